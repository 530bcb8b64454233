//! Which master records an exception has to do with: those its event was made with, and the one it is about.

use serde::Serialize;
use serde_json::Value;

/// Begins the names of all topics of master data.
const MASTER: &str = "master.";

/// Codes of refusals because a record of this name is not there.
const ABSENT: [&str; 9] =
    ["WL-4002", "WL-4006", "WL-4051", "WL-4052", "WL-4054", "WL-4057", "WL-4060", "WL-5105", "WL-7232"];
/// Codes of refusals because a record is there and does not fit what was sent: it is ambiguous, inactive, or says otherwise.
const UNFIT: [&str; 19] = [
    "WL-4003", "WL-4005", "WL-4008", "WL-4009", "WL-4010", "WL-4011", "WL-4012", "WL-4013", "WL-4014", "WL-4015",
    "WL-4016", "WL-4017", "WL-4018", "WL-4019", "WL-4053", "WL-4055", "WL-4056", "WL-4058", "WL-4059",
];

/// What is wrong with the master record that an exception is about, as far as its code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// It is not there.
    Absent,
    /// It is there and does not fit.
    Unfit,
    /// One of the two.
    Either,
}

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
    /// Which of the two, where the exception is about it.
    pub blame: Option<Blame>,
}

/// The master records that an event says it was made with, and the one that the exception with this code is about, `kind/key`.
#[must_use]
pub fn masters(event: Option<&Value>, subject: Option<&str>, code: &str) -> Vec<MasterUsed> {
    let listed = event.and_then(|event| event.get("masters")).and_then(Value::as_array);
    let mut all: Vec<MasterUsed> = listed.into_iter().flatten().filter_map(used).collect();
    let about = subject.and_then(|subject| subject.split_once('/')).filter(|(kind, _)| kind.starts_with(MASTER));
    if let Some((topic, key)) = about {
        match all.iter_mut().find(|one| one.topic == topic && one.key == key) {
            Some(one) => (one.is_blamed, one.blame) = (true, Some(Blame::of(code))),
            None => {
                let (topic, key) = (topic.to_owned(), key.to_owned());
                all.push(MasterUsed { topic, key, revision: None, is_blamed: true, blame: Some(Blame::of(code)) });
            }
        }
    }
    all
}

fn used(entry: &Value) -> Option<MasterUsed> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let revision = entry.get("revision").and_then(Value::as_i64);
    Some(MasterUsed { topic: text("topic")?, key: text("key")?, revision, is_blamed: false, blame: None })
}

impl Blame {
    fn of(code: &str) -> Self {
        if ABSENT.contains(&code) {
            Self::Absent
        } else if UNFIT.contains(&code) {
            Self::Unfit
        } else {
            Self::Either
        }
    }
}

impl MasterUsed {
    /// What it has to do with the exception, for people.
    #[must_use]
    pub fn told(&self) -> String {
        match (self.revision, self.is_blamed) {
            (Some(revision), false) => format!("revision {revision}"),
            (Some(revision), true) => format!("revision {revision}; the exception is about it"),
            (None, _) => match self.blame {
                Some(Blame::Absent) => "looked for, and it is not there".to_owned(),
                Some(Blame::Unfit) => "it is there, and does not fit what was sent".to_owned(),
                Some(Blame::Either) | None => "looked for: it is not there, or it does not fit".to_owned(),
            },
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
            let all = masters(event, subject, "WL-4054");
            all.iter().map(|one| format!("{}/{} {}", one.topic, one.key, one.told())).collect::<Vec<_>>()
        };
        let (item, place) = ("master.item.v1/4711 revision 3", "master.location.v1/OR3 revision 1");
        assert_eq!(told(Some(&event), None), [item, place]);
        assert_eq!(told(Some(&event), Some("encounter/e1")), [item, place], "a visit is no master record");
        let about = told(Some(&event), Some("master.item.v1/4711"));
        assert_eq!(about, ["master.item.v1/4711 revision 3; the exception is about it", place]);
        let missing = told(Some(&event), Some("master.cost-center.v1/CC/9"));
        assert_eq!(missing[2], "master.cost-center.v1/CC/9 looked for, and it is not there");
        for (code, said) in [
            ("WL-4002", "looked for, and it is not there"),
            ("WL-4010", "it is there, and does not fit what was sent"),
            ("WL-9999", "looked for: it is not there, or it does not fit"),
        ] {
            assert_eq!(masters(None, Some("master.item.v1/1"), code)[0].told(), said, "{code}");
        }
        assert_eq!(told(None, Some("master.item.v1/1")).len(), 1);
        assert!(told(None, None).is_empty() && told(Some(&json!({})), None).is_empty());
    }
}
