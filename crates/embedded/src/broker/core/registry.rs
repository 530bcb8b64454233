//! The topics there are, and their partitions.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::storage::{Log, ProducerTable};
use super::super::wire::RequestId;
use super::settings::TopicSettings;

/// Longest name of a topic.
const NAME_MAX: usize = 249;

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub id: Uuid,
    /// What was set for it, as text.
    pub configs: BTreeMap<String, String>,
    /// What holds for it.
    pub settings: TopicSettings,
    pub partitions: Vec<Partition>,
}

/// A partition: its log, its producers and who waits for more.
#[derive(Debug)]
pub(super) struct Partition {
    pub log: Log,
    pub producers: ProducerTable,
    pub waiting: BTreeSet<RequestId>,
}

impl Partition {
    pub(super) fn new(log: Log, producers: ProducerTable) -> Self {
        Self { log, producers, waiting: BTreeSet::new() }
    }

    /// The offset before which every transaction has ended.
    pub(super) fn last_stable(&self) -> i64 {
        self.producers.first_open().unwrap_or_else(|| self.log.end())
    }

    /// The offset before which a reader may see.
    pub(super) fn visible_end(&self, committed_only: bool) -> i64 {
        if committed_only { self.last_stable() } else { self.log.end() }
    }
}

/// All topics, by name and by id.
#[derive(Debug, Default)]
pub(super) struct Registry {
    topics: BTreeMap<String, Topic>,
    names: BTreeMap<Uuid, String>,
}

impl Registry {
    pub(super) fn get(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.topics.get_mut(name)
    }

    pub(super) fn partition(&self, name: &str, index: i32) -> Option<&Partition> {
        self.get(name)?.partitions.get(usize::try_from(index).ok()?)
    }

    pub(super) fn partition_mut(&mut self, name: &str, index: i32) -> Option<&mut Partition> {
        self.get_mut(name)?.partitions.get_mut(usize::try_from(index).ok()?)
    }

    pub(super) fn name_of(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(super) fn insert(&mut self, name: String, topic: Topic) {
        self.names.insert(topic.id, name.clone());
        self.topics.insert(name, topic);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Topic> {
        let topic = self.topics.remove(name)?;
        self.names.remove(&topic.id);
        Some(topic)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.topics.iter().map(|(name, topic)| (name.as_str(), topic))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Topic)> {
        self.topics.iter_mut().map(|(name, topic)| (name.as_str(), topic))
    }

    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    /// A topic whose name differs only in `.` and `_`, which metrics cannot tell apart.
    pub(super) fn collision(&self, name: &str) -> Option<&str> {
        let folded = name.replace('.', "_");
        self.topics.keys().map(String::as_str).find(|known| *known != name && known.replace('.', "_") == folded)
    }
}

/// What is wrong with the name of a topic.
pub(super) fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("Topic name is invalid: the empty string is not allowed".to_owned());
    }
    if name == "." || name == ".." {
        return Some("Topic name cannot be \".\" or \"..\"".to_owned());
    }
    if name.len() > NAME_MAX {
        return Some(format!("Topic name is invalid: the length is longer than {NAME_MAX}"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!name.chars().all(allowed))
        .then(|| "Topic name contains characters other than ASCII alphanumerics, '.', '_' and '-'".to_owned())
}

/// Where the log of a partition lies.
pub(super) fn log_prefix(id: Uuid, partition: i32) -> String {
    format!("{}-{partition}", id.simple())
}

/// A name as the protocol wants it.
pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// A text as the protocol wants it.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
