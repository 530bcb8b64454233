//! The replay that would mend a difference. It is a proposal: nothing is processed before a person has planned it, looked at what
//! it comes to, and applied it.

use super::fact::Spot;
use serde::{Deserialize, Serialize};

/// Field of every event that says which fact it is about.
const BUSINESS_KEY: &str = "meta.businessKey";

/// What to put into a plan of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Room that is to process the records.
    pub room: String,
    /// Topic of the records.
    pub topic: String,
    /// Partition of the record; none when it is known by its id.
    pub partition: Option<i32>,
    /// First offset of the partition.
    pub from_offset: Option<i64>,
    /// Last offset of the partition.
    pub to_offset: Option<i64>,
    /// Id of the event, when its place is not known.
    pub event_id: Option<String>,
    /// Key of the record, when neither its place nor its id is known.
    #[serde(default)]
    pub key: Option<String>,
    /// Business key of the event among those of that key: all its revisions, of which the newest is the one that counts.
    #[serde(default)]
    pub business_key: Option<String>,
    /// Whether events are made anew where they would come out otherwise with the master data of now.
    pub correct: bool,
}

impl Proposal {
    /// A room processes the record at a place again.
    #[must_use]
    pub fn again(room: &str, spot: Spot) -> Self {
        Self {
            room: room.to_owned(),
            topic: spot.topic_name().to_owned(),
            partition: Some(spot.partition),
            from_offset: Some(spot.offset),
            to_offset: Some(spot.offset),
            event_id: None,
            key: None,
            business_key: None,
            correct: false,
        }
    }

    /// A room makes what it wrote about an event anew, where it would come out otherwise now.
    #[must_use]
    pub fn anew(room: &str, topic: &str, event_id: String) -> Self {
        Self {
            room: room.to_owned(),
            topic: topic.to_owned(),
            partition: None,
            from_offset: None,
            to_offset: None,
            event_id: Some(event_id),
            key: None,
            business_key: None,
            correct: true,
        }
    }

    /// The same about whatever a source has said of one fact: the events of a key with a business key.
    #[must_use]
    pub fn anew_of(room: &str, topic: &str, key: String, business_key: String) -> Self {
        let (key, business_key) = (Some(key), Some(business_key));
        Self { event_id: None, key, business_key, ..Self::anew(room, topic, String::new()) }
    }

    /// The command that plans it.
    #[must_use]
    pub fn command(&self) -> String {
        let Self { room, topic, .. } = self;
        let correct = if self.correct { " --correct" } else { "" };
        let mut command = format!("wardline replay plan {room}{correct} --topic {topic}");
        let numbers = [
            ("partition", self.partition.map(i64::from)),
            ("from-offset", self.from_offset),
            ("to-offset", self.to_offset),
        ];
        for (name, value) in numbers {
            command += &value.map(|value| format!(" --{name} {value}")).unwrap_or_default();
        }
        let texts = [("event-id", self.event_id.clone()), ("key", self.key.clone()), ("field", self.condition())];
        for (name, value) in texts {
            command += &value.map(|value| format!(" --{name} {}", quoted(&value))).unwrap_or_default();
        }
        command + " --reason TEXT"
    }

    /// The business key as a condition on a field.
    fn condition(&self) -> Option<String> {
        self.business_key.as_ref().map(|key| format!("{BUSINESS_KEY}={key}"))
    }

    /// The same for the form of the console: names and values, without what is not said.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("room", Some(self.room.clone())),
            ("topic", Some(self.topic.clone())),
            ("partition", self.partition.map(|partition| partition.to_string())),
            ("from_offset", self.from_offset.map(|offset| offset.to_string())),
            ("to_offset", self.to_offset.map(|offset| offset.to_string())),
            ("event_id", self.event_id.clone()),
            ("key", self.key.clone()),
            ("field", self.condition()),
            ("correct", self.correct.then(|| "true".to_owned())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A value as a shell takes it for one word: keys come from senders and may hold anything.
fn quoted(value: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_a_command_and_the_fields_of_a_form() {
        let spot = Spot::new("supply.usage-enriched.v1", 2, 17).unwrap();
        let again = Proposal::again("erp-post", spot);
        assert_eq!(
            again.command(),
            "wardline replay plan erp-post --topic supply.usage-enriched.v1 --partition 2 --from-offset 17 --to-offset 17 \
             --reason TEXT"
        );
        let names: Vec<&str> = again.fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["room", "topic", "partition", "from_offset", "to_offset"]);
        let anew = Proposal::anew("enrich", "supply.usage-validated.v1", "e1".to_owned());
        assert_eq!(
            anew.command(),
            "wardline replay plan enrich --correct --topic supply.usage-validated.v1 --event-id e1 --reason TEXT"
        );
        assert!(anew.fields().contains(&("correct", "true".to_owned())), "{:?}", anew.fields());
    }

    #[test]
    fn a_fact_is_named_by_its_keys_and_a_shell_reads_each_as_one_word() {
        let of = |key: &str| {
            Proposal::anew_of("validate", "clinical.supply-usage.v1", "v1".to_owned(), key.to_owned()).command()
        };
        let start = "wardline replay plan validate --correct --topic clinical.supply-usage.v1 --key v1";
        assert_eq!(of("oris/7/1"), format!("{start} --field meta.businessKey=oris/7/1 --reason TEXT"));
        assert_eq!(of("a b;$(c)"), format!("{start} --field 'meta.businessKey=a b;$(c)' --reason TEXT"));
        assert_eq!(of("it's"), format!(r"{start} --field 'meta.businessKey=it'\''s' --reason TEXT"));
        let fields = Proposal::anew_of("validate", "t", "v1".to_owned(), "a b".to_owned()).fields();
        assert!(fields.contains(&("key", "v1".to_owned())), "{fields:?}");
        assert!(fields.contains(&("field", "meta.businessKey=a b".to_owned())), "{fields:?}");
    }

    #[test]
    fn a_proposal_that_was_kept_before_it_could_name_keys_is_read() {
        let kept = r#"{"room":"enrich","topic":"t","partition":null,"fromOffset":null,"toOffset":null,"eventId":"e1","correct":true}"#;
        assert_eq!(serde_json::from_str::<Proposal>(kept).unwrap(), Proposal::anew("enrich", "t", "e1".to_owned()));
    }
}
