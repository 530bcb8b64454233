//! Typed handles of topics, and what every event can say about itself.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::EventMeta;
use crate::catalogue::{Compatibility, Consumer, Criticality, MeasuredFrom, OnReject, Phi, Storage};
use crate::codec::{CodecError, WriterSchema};

/// What `topics.yaml` and the contracts say about one topic.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Topic name.
    pub name: &'static str,
    /// Subject in the schema registry: `<topic>-value`.
    pub subject: &'static str,
    /// Its contract in CloudEvents headers: `urn:wardline:schema:<subject>`.
    pub data_schema: &'static str,
    /// CloudEvents type of its records, of those that are of no kind: `org.wardline.<topic>`.
    pub event_type: &'static str,
    /// What it carries.
    pub description: &'static str,
    /// Team that answers for it.
    pub owner: &'static str,
    /// Contract file under `schemas/avro`; empty for raw bytes.
    pub schema_file: &'static str,
    /// Self-contained Avro schema, JSON; empty for raw bytes.
    pub schema: &'static str,
    /// Field paths that make the key; empty for raw bytes.
    pub key: &'static [&'static str],
    /// Number of partitions.
    pub partitions: u16,
    /// Only the newest record of each key stays.
    pub compacted: bool,
    /// How long records stay.
    pub storage: Storage,
    /// How urgent it is.
    pub class: Criticality,
    /// Highest class of patient data in it.
    pub phi: Phi,
    /// Rule for new schema versions; `None` for raw bytes.
    pub compatibility: Option<Compatibility>,
    /// Rooms that write it.
    pub producers: &'static [&'static str],
    /// Those of them that bring events in from outside. What a sender repeats they may write again, under the same event id.
    pub sources: &'static [&'static str],
    /// Rooms that read it and what for.
    pub consumers: &'static [(&'static str, &'static str)],
    /// 99 of 100 records are published within this many milliseconds after they were recorded.
    pub latency_p99_ms: u64,
    /// What a rejected record means for later records of its key.
    pub on_reject: OnReject,
}

impl TopicInfo {
    /// The rooms that read it, as the catalogue holds them.
    #[must_use]
    pub fn consumer_list(&self) -> Vec<Consumer> {
        let consumer =
            |(room, purpose): &(&str, &str)| Consumer { room: (*room).to_owned(), purpose: (*purpose).to_owned() };
        self.consumers.iter().map(consumer).collect()
    }

    /// Whether an event may be on it again under the same id, because its sender has said it again: a source has written it. On
    /// a compacted topic the newest record of a key counts, however often it is said.
    #[must_use]
    pub const fn may_repeat(&self) -> bool {
        !self.sources.is_empty() && !self.compacted
    }

    /// `retention.ms` for Kafka; `None` on compacted topics, -1 for forever.
    #[must_use]
    pub const fn retention_ms(&self) -> Option<i64> {
        match self.storage {
            Storage::Compacted => None,
            Storage::RetentionMs(milliseconds) => Some(milliseconds),
            Storage::Forever => Some(-1),
        }
    }
}

/// What the hospital is promised about the way from one topic to another, as `topics.yaml` says.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceLevel {
    /// Name: words in lower case, joined with hyphens.
    pub name: &'static str,
    /// What people wait for, one sentence.
    pub description: &'static str,
    /// Topic whose events start the time.
    pub from: &'static TopicInfo,
    /// Topic whose events end it.
    pub to: &'static TopicInfo,
    /// Which time of the first event counts.
    pub measured_from: MeasuredFrom,
    /// Longest time that keeps the promise, milliseconds.
    pub within_ms: u64,
    /// Share that must keep it, hundredths of a percent: 9900 is 99 %.
    pub target_basis_points: u32,
    /// How urgent it is.
    pub class: Criticality,
    /// Rooms on the way, sorted. What one of them leaves out by a rule will never arrive and is not waited for.
    pub rooms: &'static [&'static str],
    /// Topics between the two, sorted by name.
    pub through: &'static [&'static TopicInfo],
}

/// A topic that carries records of type `T`.
///
/// A handle of one record type is not a handle of another:
/// ```compile_fail
/// use wardline_schemas::{Encounter, SupplyUsage, Topic, topics};
/// let wrong: Topic<SupplyUsage> = topics::CLINICAL_ENCOUNTER_V1;
/// ```
/// ```
/// use wardline_schemas::{Encounter, Topic, topics};
/// let right: Topic<Encounter> = topics::CLINICAL_ENCOUNTER_V1;
/// assert_eq!(right.name(), "clinical.encounter.v1");
/// ```
pub struct Topic<T> {
    info: &'static TopicInfo,
    record: PhantomData<fn() -> T>,
}

impl<T> Topic<T> {
    pub(crate) const fn new(info: &'static TopicInfo) -> Self {
        Self { info, record: PhantomData }
    }

    /// Topic name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info.name
    }

    /// What is known about it.
    #[must_use]
    pub const fn info(self) -> &'static TopicInfo {
        self.info
    }
}

impl<T: Event> Topic<T> {
    /// The topic that carries `T`, for record types outside this crate.
    #[must_use]
    pub fn of_event() -> Self {
        Self::new(T::topic())
    }
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Topic<T> {}

impl<T> fmt::Debug for Topic<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Topic").field(&self.info.name).finish()
    }
}

/// Marks a topic whose records are bytes as they came, without a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawBytes {}

/// A record that has a topic of its own.
pub trait Event:
    Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Default + Send + Sync + 'static
{
    /// The contract it is written with, compiled once.
    ///
    /// # Errors
    /// The contract built in does not compile; a test shows that none does.
    fn contract() -> Result<&'static WriterSchema, CodecError>;

    /// The topic that carries it.
    fn topic() -> &'static TopicInfo;

    /// Its Kafka key: the key fields of the topic, joined with `/`.
    fn key(&self) -> String;

    /// Its envelope; `None` for operational records.
    fn meta(&self) -> Option<&EventMeta>;

    /// What kind of fact it is, as the symbol of its `kind` field.
    fn kind(&self) -> Option<&'static str>;

    /// Its event id; `None` for operational records.
    fn event_id(&self) -> Option<&str> {
        self.meta().map(|meta| meta.event_id.as_str())
    }

    /// CloudEvents type: `org.wardline.<domain>.<entity>[.<kind>].v<major>`.
    fn event_type(&self) -> Cow<'static, str> {
        match self.kind() {
            None => Cow::Borrowed(Self::topic().event_type),
            kind => Cow::Owned(event_type(Self::topic().name, kind)),
        }
    }
}

/// CloudEvents type of a kind of event on a topic.
#[must_use]
pub fn event_type(topic: &str, kind: Option<&str>) -> String {
    match (kind, topic.rsplit_once('.')) {
        (Some(kind), Some((entity, version))) => {
            let kind = kind.to_ascii_lowercase().replace('_', "-");
            format!("org.wardline.{entity}.{kind}.{version}")
        }
        _ => format!("org.wardline.{topic}"),
    }
}
