//! Which master records an exception has to do with: those its event was made with, and the one it is about.

use serde::Serialize;
use serde_json::Value;

/// Begins the names of all topics of master data.
const MASTER: &str = "master.";

/// A master record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MasterUsed {
    /// Its topic, for example `master.item.v1`.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// The revision that the event was made with; none where the event was not made with it.
    pub revision: Option<i64>,
    /// Whether the exception is about it: it is not there, or it does not fit.
    pub is_blamed: bool,
}

/// The master records that an event says it was made with, and the one that the exception is about, `kind/key`.
#[must_use]
pub fn masters(event: Option<&Value>, subject: Option<&str>) -> Vec<MasterUsed> {
    let listed = event.and_then(|event| event.get("masters")).and_then(Value::as_array);
    let mut all: Vec<MasterUsed> = listed.into_iter().flatten().filter_map(used).collect();
    let about = subject.and_then(|subject| subject.split_once('/')).filter(|(kind, _)| kind.starts_with(MASTER));
    if let Some((topic, key)) = about {
        match all.iter_mut().find(|one| one.topic == topic && one.key == key) {
            Some(one) => one.is_blamed = true,
            None => {
                let (topic, key) = (topic.to_owned(), key.to_owned());
                all.push(MasterUsed { topic, key, revision: None, is_blamed: true });
            }
        }
    }
    all
}

fn used(entry: &Value) -> Option<MasterUsed> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let revision = entry.get("revision").and_then(Value::as_i64);
    Some(MasterUsed { topic: text("topic")?, key: text("key")?, revision, is_blamed: false })
}

impl MasterUsed {
    /// What it has to do with the exception, for people.
    #[must_use]
    pub fn told(&self) -> String {
        match (self.revision, self.is_blamed) {
            (Some(revision), false) => format!("revision {revision}"),
            (Some(revision), true) => format!("revision {revision}; the exception is about it"),
            (None, _) => "looked for: it is not there, or it does not fit".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_event_was_made_with_and_what_the_exception_is_about() {
        let event = json!({"masters": [
            {"topic": "master.item.v1", "key": "4711", "revision": 3},
            {"topic": "master.location.v1", "key": "OR3", "revision": 1},
            {"topic": "master.broken.v1"},
        ]});
        let told = |event: Option<&Value>, subject: Option<&str>| {
            let all = masters(event, subject);
            all.iter().map(|one| format!("{}/{} {}", one.topic, one.key, one.told())).collect::<Vec<_>>()
        };
        let (item, place) = ("master.item.v1/4711 revision 3", "master.location.v1/OR3 revision 1");
        assert_eq!(told(Some(&event), None), [item, place]);
        assert_eq!(told(Some(&event), Some("encounter/e1")), [item, place], "a visit is no master record");
        let about = told(Some(&event), Some("master.item.v1/4711"));
        assert_eq!(about, ["master.item.v1/4711 revision 3; the exception is about it", place]);
        let missing = told(Some(&event), Some("master.cost-center.v1/CC/9"));
        assert!(missing[2].starts_with("master.cost-center.v1/CC/9 looked for"), "{missing:?}");
        assert_eq!(told(None, Some("master.item.v1/1")).len(), 1);
        assert!(told(None, None).is_empty() && told(Some(&json!({})), None).is_empty());
    }
}
