//! Reads ranges of topics for tools and reports: no group, `read_committed`, bounded memory.
//!
//! These functions block: call them on a blocking thread. The end of a range is found by the broker's own word (the
//! end-of-partition event), because the last offsets of a partition may be transaction markers or compacted away and then
//! no record with such an offset ever comes.

mod lag;

use crate::ask::{ask, is_passing};
use crate::cluster::RecordView as _;
use crate::config::KafkaConfig;
use crate::kafka::{self, Reader};
use crate::record::Record;
use crate::stall::Stall;
use bytes::Bytes;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

pub(crate) use lag::group_lag_with;
pub use lag::{PartitionLag, group_lag};

/// Longest wait for one answer of the broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A range that brings nothing for so long is given up. A broker that was killed and starts again looks through its logs and
/// then has up to a minute to register (`initial.broker.registration.timeout.ms`); on a busy machine 30 s were not enough.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Slice of waiting for the next record.
pub(crate) const POLL_SLICE: Duration = Duration::from_millis(200);
/// How long the broker may wait at the end of a partition of a range: what is read is there already.
pub(crate) const RANGE_WAIT: Duration = Duration::from_millis(5);
/// The same for what is still to come.
pub(crate) const FOLLOW_WAIT: Duration = Duration::from_millis(100);

/// Where a range starts, in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The oldest record that is still there.
    Earliest,
    /// This offset, or the oldest record when that is later.
    Offset(i64),
    /// The first record at or after this time, milliseconds since 1970.
    TimeMs(i64),
    /// So many places before the end of the range, or the oldest record when there are fewer.
    Newest(i64),
}

/// Where a range ends, in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The last record committed when the call was made.
    EndNow,
    /// Before this offset, and not later than [`Until::EndNow`].
    Offset(i64),
    /// Before the first record at or after this time, milliseconds since 1970, and not later than [`Until::EndNow`].
    TimeMs(i64),
}

/// A range of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Topic.
    pub topic: String,
    /// Partitions; all when empty.
    pub partitions: Vec<i32>,
    /// Start.
    pub from: From,
    /// End.
    pub until: Until,
}

/// First offset and offset after the last one of a partition, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First offset to read.
    pub start: i64,
    /// Offset before which to stop.
    pub end: i64,
}

/// Why a range could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// librdkafka refused or gave up.
    #[error("WL-6010: kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The cluster does not have the topic.
    #[error("WL-6013: topic {0} does not exist; `wardline topics apply` creates it")]
    NoTopic(String),
    /// Nothing came although the range is not finished.
    #[error("WL-6014: nothing came from {topic} for {waited_s} s; last client error: {last_error}")]
    Stalled {
        /// Topic.
        topic: String,
        /// How long, seconds.
        waited_s: u64,
        /// What the client last said.
        last_error: String,
    },
    /// More keys than the caller allows.
    #[error("WL-6015: {topic} has more than {most} keys")]
    TooManyKeys {
        /// Topic.
        topic: String,
        /// The bound.
        most: usize,
    },
}

impl Range {
    /// All of a topic, up to what is committed now.
    pub fn all(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), partitions: Vec::new(), from: From::Earliest, until: Until::EndNow }
    }

    /// One place.
    pub fn one(topic: impl Into<String>, partition: i32, offset: i64) -> Self {
        let (from, until) = (From::Offset(offset), Until::Offset(offset.saturating_add(1)));
        Self { topic: topic.into(), partitions: vec![partition], from, until }
    }

    /// Narrows the range to some partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = i32>) -> Self {
        self.partitions = partitions.into_iter().collect();
        self
    }
}

/// Visits the records of a range, in order per partition, until the end or until `visit` breaks. Returns how many were
/// visited.
///
/// # Errors
/// See [`ReadError`].
pub fn read_range(
    kafka: &KafkaConfig,
    range: &Range,
    visit: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    read_range_with(&consumer_waiting(kafka, "wardline-reader", RANGE_WAIT)?, range, visit)
}

/// As [`read_range`], on a connection that is there.
pub(crate) fn read_range_with(
    consumer: &Reader,
    range: &Range,
    mut visit: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    let spans = spans_with(consumer, range)?;
    let visit = |message: Option<&BorrowedMessage<'_>>| match message {
        Some(message) => visit(message.to_record()),
        None => ControlFlow::Continue(()),
    };
    walk(consumer, &range.topic, spans, visit)
}

/// Visits what is committed to a topic from now on, until `visit` breaks. It is also asked, with `None`, when nothing comes
/// for a while. `started` is called once the place to start from is known.
///
/// # Errors
/// See [`ReadError`].
pub fn follow(
    kafka: &KafkaConfig,
    topic: &str,
    started: impl FnOnce(),
    mut visit: impl FnMut(Option<Record>) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let consumer = consumer(kafka, "wardline-reader")?;
    let mut assignment = TopicPartitionList::new();
    for (partition, span) in spans_with(&consumer, &Range::all(topic))? {
        assignment.add_partition_offset(topic, partition, Offset::Offset(span.end))?;
    }
    consumer.assign(&assignment)?;
    started();
    loop {
        let record = match consumer.poll(POLL_SLICE) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => None,
            Some(Ok(message)) => Some(message.to_record()),
            Some(Err(error)) if is_passing(&error) => None,
            Some(Err(error)) => return Err(error.into()),
        };
        if visit(record).is_break() {
            return Ok(());
        }
    }
}

/// Resolves a range to offsets, per partition, without reading.
///
/// # Errors
/// See [`ReadError`].
pub fn spans(kafka: &KafkaConfig, range: &Range) -> Result<BTreeMap<i32, Span>, ReadError> {
    spans_with(&consumer(kafka, "wardline-reader")?, range)
}

/// Offset after the last committed record of each partition.
///
/// # Errors
/// See [`ReadError`].
pub fn ends(kafka: &KafkaConfig, topics: &[&str]) -> Result<BTreeMap<(String, i32), i64>, ReadError> {
    ends_with(&consumer(kafka, "wardline-reader")?, topics)
}

/// As [`ends`], on a connection that is there.
pub(crate) fn ends_with(consumer: &Reader, topics: &[&str]) -> Result<BTreeMap<(String, i32), i64>, ReadError> {
    let mut ends = BTreeMap::new();
    for topic in topics {
        for (partition, span) in spans_with(consumer, &Range::all(*topic))? {
            ends.insert(((*topic).to_owned(), partition), span.end);
        }
    }
    Ok(ends)
}

/// The newest record of each key, without deleted ones (for compacted topics).
///
/// # Errors
/// See [`ReadError`]; more than `most` keys are an error too, so that memory is bounded.
pub fn latest_by_key(kafka: &KafkaConfig, topic: &str, most: usize) -> Result<HashMap<Bytes, Record>, ReadError> {
    let mut latest: HashMap<Bytes, Record> = HashMap::new();
    let mut overflow = false;
    read_range(kafka, &Range::all(topic), |record| {
        let key = record.key.clone().unwrap_or_default();
        if record.value.is_none() {
            latest.remove(&key);
        } else {
            latest.insert(key, record);
        }
        overflow = latest.len() > most;
        if overflow { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if overflow {
        return Err(ReadError::TooManyKeys { topic: topic.to_owned(), most });
    }
    Ok(latest)
}

/// One record by its place, when it is still there.
///
/// # Errors
/// See [`ReadError`].
pub fn read_one(kafka: &KafkaConfig, topic: &str, partition: i32, offset: i64) -> Result<Option<Record>, ReadError> {
    let mut found = None;
    read_range(kafka, &Range::one(topic, partition, offset), |record| {
        found = (record.place.offset == offset).then_some(record);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Number of partitions of each topic of the cluster.
///
/// # Errors
/// See [`ReadError`].
pub fn topics(kafka: &KafkaConfig) -> Result<BTreeMap<String, usize>, ReadError> {
    let consumer = consumer(kafka, "wardline-reader")?;
    let metadata = ask(STALL_TIMEOUT, || consumer.fetch_metadata(None, ANSWER_TIMEOUT))?;
    Ok(metadata.topics().iter().map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
}

fn consumer(kafka: &KafkaConfig, group: &str) -> Result<Reader, KafkaError> {
    consumer_waiting(kafka, group, FOLLOW_WAIT)
}

/// Visits the records of a topic between offsets, in order per partition, until the end or until `visit` breaks. It is also
/// asked, with `None`, while nothing comes.
pub(crate) fn walk(
    consumer: &Reader,
    topic: &str,
    spans: BTreeMap<i32, Span>,
    mut visit: impl FnMut(Option<&BorrowedMessage<'_>>) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    let mut open = spans;
    open.retain(|_, span| span.start < span.end);
    let mut assignment = TopicPartitionList::new();
    for (partition, span) in &open {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(span.start))?;
    }
    // What an earlier read on this connection has left.
    while consumer.poll(Duration::ZERO).is_some() {}
    consumer.assign(&assignment)?;
    let mut visited = 0;
    let mut stall = Stall::new(topic);
    while !open.is_empty() {
        let finished = match consumer.poll(POLL_SLICE) {
            None => {
                stall.idle()?;
                if visit(None).is_break() {
                    return Ok(visited);
                }
                None
            }
            Some(Ok(message)) => {
                stall.reset();
                let (partition, offset) = (message.partition(), message.offset());
                let Some(span) = open.get(&partition) else { continue };
                if message.topic() != topic || offset < span.start {
                    continue;
                }
                if offset < span.end {
                    visited += 1;
                    if visit(Some(&message)).is_break() {
                        return Ok(visited);
                    }
                }
                (offset + 1 >= span.end).then_some(partition)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
            Some(Err(error)) if is_passing(&error) => {
                stall.error(&error);
                None
            }
            Some(Err(error)) => return Err(error.into()),
        };
        if let Some(partition) = finished
            && open.remove(&partition).is_some()
        {
            let mut done = TopicPartitionList::new();
            done.add_partition(topic, partition);
            consumer.pause(&done)?;
        }
    }
    Ok(visited)
}

/// Makes a connection ready for the next read.
pub(crate) fn let_go(consumer: &Reader) -> Result<(), KafkaError> {
    // A partition that is paused stays so, also when it is assigned anew.
    consumer.resume(&consumer.assignment()?)?;
    consumer.unassign()
}

/// Also says how long the broker may wait for records before it tells that a partition is at its end.
pub(crate) fn consumer_waiting(kafka: &KafkaConfig, group: &str, wait: Duration) -> Result<Reader, KafkaError> {
    let mut client = kafka::reader(kafka);
    client
        .set("group.id", group)
        .set("fetch.wait.max.ms", wait.as_millis().to_string())
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "16384");
    kafka::open_reader(&client)
}

pub(crate) fn partitions(consumer: &Reader, topic: &str, patience: Duration) -> Result<Vec<i32>, ReadError> {
    let metadata = ask(patience, || consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT.min(patience)))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let mut ids: Vec<i32> =
        found.map(|found| found.partitions().iter().map(|one| one.id()).collect()).unwrap_or_default();
    if ids.is_empty() {
        return Err(ReadError::NoTopic(topic.to_owned()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Oldest offset, and offset after the last committed record.
fn watermarks(consumer: &Reader, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
    ask(STALL_TIMEOUT, || consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT))
}

pub(crate) fn spans_with(consumer: &Reader, range: &Range) -> Result<BTreeMap<i32, Span>, ReadError> {
    let mut ids = partitions(consumer, &range.topic, STALL_TIMEOUT)?;
    if !range.partitions.is_empty() {
        ids.retain(|id| range.partitions.contains(id));
    }
    let starts = match range.from {
        From::TimeMs(time) => Some(offsets_at(consumer, &range.topic, &ids, time)?),
        From::Earliest | From::Offset(_) | From::Newest(_) => None,
    };
    let ends = match range.until {
        Until::TimeMs(time) => Some(offsets_at(consumer, &range.topic, &ids, time)?),
        Until::EndNow | Until::Offset(_) => None,
    };
    let mut spans = BTreeMap::new();
    for id in ids {
        // With read_committed the upper watermark is the last stable offset: what is still open is not in the range.
        let (low, high) = watermarks(consumer, &range.topic, id)?;
        let end = match range.until {
            Until::EndNow => high,
            Until::Offset(offset) => offset.min(high),
            Until::TimeMs(_) => ends.as_ref().and_then(|at| at.get(&id).copied()).unwrap_or(high).min(high),
        };
        let start = match range.from {
            From::Earliest => low,
            From::Offset(offset) => offset.max(low),
            From::TimeMs(_) => starts.as_ref().and_then(|at| at.get(&id).copied()).unwrap_or(high),
            From::Newest(places) => end.saturating_sub(places).max(low),
        };
        spans.insert(id, Span { start, end });
    }
    Ok(spans)
}

/// First offset at or after a time; partitions without such a record are left out.
fn offsets_at(
    consumer: &Reader,
    topic: &str,
    partitions: &[i32],
    time_ms: i64,
) -> Result<HashMap<i32, i64>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for partition in partitions {
        asked.add_partition_offset(topic, *partition, Offset::Offset(time_ms.max(0)))?;
    }
    let found = ask(STALL_TIMEOUT, || consumer.offsets_for_times(asked.clone(), ANSWER_TIMEOUT))?;
    Ok(found
        .elements()
        .iter()
        .filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        })
        .collect())
}
