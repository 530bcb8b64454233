//! The catalogue of this version as people look at it.

use schemas::catalogue::Storage;
use schemas::{Criticality, TopicInfo, topics};
use serde::Serialize;
use serde_json::Value;

const DAY_MS: i64 = 86_400_000;

/// One topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicView {
    /// Name.
    pub name: &'static str,
    /// What it carries.
    pub description: &'static str,
    /// Team that answers for it.
    pub owner: &'static str,
    /// How urgent it is.
    pub class: Criticality,
    /// Highest class of patient data in it.
    pub phi: &'static str,
    /// Field paths that make the key; none for raw bytes.
    pub key: &'static [&'static str],
    /// Number of partitions.
    pub partitions: u16,
    /// How long records stay, in words.
    pub storage: String,
    /// 99 of 100 records are published within this many milliseconds.
    pub latency_p99_ms: u64,
    /// Rooms that write it.
    pub producers: &'static [&'static str],
    /// Rooms that read it.
    pub consumers: Vec<TopicConsumer>,
    /// Its contract, where one topic is asked for; none for raw bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// A room that reads a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicConsumer {
    /// Its name.
    pub room: &'static str,
    /// What for.
    pub purpose: &'static str,
}

impl TopicView {
    /// All topics, without their contracts.
    #[must_use]
    pub fn all() -> Vec<Self> {
        topics::ALL.iter().map(|info| Self::of(info)).collect()
    }

    /// One topic, with its contract; none when the catalogue does not have it.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let info = topics::find(name)?;
        Some(Self { schema: serde_json::from_str(info.schema).ok(), ..Self::of(info) })
    }

    fn of(info: &TopicInfo) -> Self {
        Self {
            name: info.name,
            description: info.description,
            owner: info.owner,
            class: info.class,
            phi: info.phi.as_str(),
            key: info.key,
            partitions: info.partitions,
            storage: storage_text(info.storage),
            latency_p99_ms: info.latency_p99_ms,
            producers: info.producers,
            consumers: info.consumers.iter().map(|(room, purpose)| TopicConsumer { room, purpose }).collect(),
            schema: None,
        }
    }
}

fn storage_text(storage: Storage) -> String {
    match storage {
        Storage::Compacted => "newest of each key".to_owned(),
        Storage::Forever => "for ever".to_owned(),
        Storage::RetentionMs(milliseconds) if milliseconds % DAY_MS == 0 => format!("{} days", milliseconds / DAY_MS),
        Storage::RetentionMs(milliseconds) => format!("{} h", milliseconds / (DAY_MS / 24)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_says_who_writes_and_reads_what() {
        let all = TopicView::all();
        assert_eq!(all.len(), topics::ALL.len());
        assert!(all.iter().all(|topic| topic.schema.is_none() && !topic.description.is_empty()));
        let audit = TopicView::find("ops.audit.v1").unwrap();
        assert_eq!((audit.key, audit.phi, audit.storage.as_str()), (&["room"][..], "none", "1825 days"));
        assert!(audit.producers.contains(&"console") && audit.consumers.iter().any(|one| one.room == "cli"));
        assert_eq!(audit.schema.unwrap()["name"], "Audit");
        assert_eq!(TopicView::find("ops.dead-letter.v1").unwrap().schema, None, "bytes have no contract");
        assert_eq!(TopicView::find("ops.nothing.v1"), None);
        assert_eq!(storage_text(Storage::RetentionMs(7_200_000)), "2 h");
    }
}
