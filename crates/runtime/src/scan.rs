//! Looks through many records for few: nothing is copied before it was asked for.
//!
//! What [`crate::reader`] is for reports that need every record, this is for questions and for what follows several topics at
//! once. These functions block: call them on a blocking thread.

use crate::ask::{ask, is_passing};
use crate::clock::tick;
use crate::cluster::RecordView as _;
use crate::config::KafkaConfig;
use crate::kafka;
use crate::reader::{FOLLOW_WAIT, POLL_SLICE, PartitionLag, Range, ReadError, STALL_TIMEOUT, Span, spans_with, walk};
use crate::readers::Readers;
use crate::record::Record;
use crate::stall::Stall;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// How long the broker may wait at the end of a partition of a range: what is read is there already.
const RANGE_WAIT: Duration = Duration::from_millis(5);
/// Longest wait for one answer of the broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The same for whoever may have to stop meanwhile.
const ANSWER_TURN: Duration = Duration::from_millis(500);
/// Bytes that a scan has lying ready: it takes them as fast as they come.
const AHEAD_KBYTES: &str = "8192";

/// What there is to read of a topic, by partition.
pub type Spans = BTreeMap<i32, Span>;

/// A record that was not copied yet.
pub struct Glance<'a> {
    message: &'a BorrowedMessage<'a>,
}

impl Glance<'_> {
    /// Topic.
    pub fn topic(&self) -> &str {
        self.message.topic()
    }

    /// Partition.
    pub fn partition(&self) -> i32 {
        self.message.partition()
    }

    /// Offset.
    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    /// Broker or producer time, milliseconds since 1970, when known.
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.message.timestamp_ms()
    }

    /// Key bytes.
    pub fn key(&self) -> Option<&[u8]> {
        self.message.key()
    }

    /// Value bytes.
    pub fn value(&self) -> Option<&[u8]> {
        self.message.value()
    }

    /// Whether any header is as wished.
    pub fn any_header(&self, mut wish: impl FnMut(&str, &[u8]) -> bool) -> bool {
        let headers = rdkafka::Message::headers(self.message).into_iter().flat_map(|headers| headers.iter());
        headers.into_iter().any(|header| header.value.is_some_and(|value| wish(header.key, value)))
    }

    /// The text of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = rdkafka::Message::headers(self.message)?.iter();
        let found = headers.find(|header| header.key == name)?;
        std::str::from_utf8(found.value?).ok()
    }

    /// An owned copy.
    pub fn to_record(&self) -> Record {
        self.message.to_record()
    }
}

/// Resolves several ranges to offsets at once, per partition, without reading; none for a topic that is not there.
///
/// # Errors
/// See [`ReadError`].
pub fn spans(readers: &Readers, ranges: &[Range]) -> Result<Vec<Option<Spans>>, ReadError> {
    readers.with(|reader| ranges.iter().map(|range| resolve(reader, range)).collect())
}

/// The same for whoever may have to stop meanwhile: nothing when `stopped` says so before all is known. A broker that does not
/// answer is asked in short turns, with a look at the stop between two of them.
///
/// # Errors
/// See [`ReadError`].
pub fn spans_until(
    kafka: &KafkaConfig,
    ranges: &[Range],
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Vec<Option<Spans>>>, ReadError> {
    let consumer = consumer(kafka, RANGE_WAIT)?;
    let mut spans = Vec::with_capacity(ranges.len());
    for range in ranges {
        if !answers(&consumer, &range.topic, stopped)? {
            return Ok(None);
        }
        spans.push(resolve(&consumer, range)?);
    }
    Ok(Some(spans))
}

/// Visits the records between offsets of a topic, in order per partition, until the end or until `visit` breaks; it is also
/// asked, with `None`, while nothing comes. Returns how many were visited.
///
/// # Errors
/// See [`ReadError`].
pub fn scan(
    kafka: &KafkaConfig,
    topic: &str,
    spans: &BTreeMap<i32, Span>,
    mut visit: impl FnMut(Option<&Glance<'_>>) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    if spans.values().all(|span| span.start >= span.end) {
        return Ok(0);
    }
    scan_with(&consumer(kafka, RANGE_WAIT)?, topic, spans, &mut visit)
}

/// As [`scan`], on a connection that is kept.
///
/// # Errors
/// See [`ReadError`].
pub fn scan_on(
    readers: &Readers,
    topic: &str,
    spans: &BTreeMap<i32, Span>,
    mut visit: impl FnMut(Option<&Glance<'_>>) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    readers.with(|reader| scan_with(reader, topic, spans, &mut visit))
}

fn scan_with(
    reader: &kafka::Reader,
    topic: &str,
    spans: &BTreeMap<i32, Span>,
    visit: &mut impl FnMut(Option<&Glance<'_>>) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    walk(reader, topic, spans.clone(), |message| match message {
        Some(message) => visit(Some(&Glance { message })),
        None => visit(None),
    })
}

/// Visits what is committed to several topics from these offsets on, until `visit` breaks. It is also asked, with `None`, when
/// nothing comes for a while. What was visited counts in `positions`, so that a later call goes on there.
///
/// # Errors
/// See [`ReadError`].
pub fn follow(
    kafka: &KafkaConfig,
    positions: &mut BTreeMap<(String, i32), i64>,
    mut visit: impl FnMut(Option<&Glance<'_>>) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let consumer = consumer(kafka, FOLLOW_WAIT)?;
    let starts = positions.iter().map(|((topic, partition), offset)| ((topic.as_str(), *partition), *offset));
    consumer.assign(&assignment(starts)?)?;
    // After an outage nothing tells that it is over but a record; without one, whoever follows looks anew.
    let mut outage: Option<Stall<'_>> = None;
    loop {
        let flow = match consumer.poll(POLL_SLICE) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => {
                outage.as_mut().map_or(Ok(()), Stall::idle)?;
                visit(None)
            }
            Some(Ok(message)) => {
                outage = None;
                let flow = visit(Some(&Glance { message: &message }));
                if let Some(next) = positions.get_mut(&(message.topic().to_owned(), message.partition())) {
                    *next = message.offset() + 1;
                }
                flow
            }
            Some(Err(error)) if is_passing(&error) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
                    outage.get_or_insert_with(|| Stall::new("all that is followed")).error(&error);
                }
                visit(None)
            }
            Some(Err(error)) => return Err(error.into()),
        };
        if flow.is_break() {
            return Ok(());
        }
    }
}

/// When the first record that a group has not finished was written, per topic and partition, milliseconds since 1970. What is
/// finished, or has nothing but marks of transactions left, is not in it.
///
/// # Errors
/// See [`ReadError`].
pub fn oldest_open(kafka: &KafkaConfig, lags: &[PartitionLag]) -> Result<BTreeMap<(String, i32), i64>, ReadError> {
    let mut by_topic: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
    for lag in lags.iter().filter(|lag| lag.lag > 0) {
        by_topic.entry(&lag.topic).or_default().insert(lag.partition, lag.committed.unwrap_or_default());
    }
    let mut oldest = BTreeMap::new();
    for (topic, open) in by_topic {
        for (partition, time) in oldest_of_topic(kafka, topic, open)? {
            oldest.insert((topic.to_owned(), partition), time);
        }
    }
    Ok(oldest)
}

/// The time of the first record from each offset on. One topic at a time: the end of a partition is told without its topic.
fn oldest_of_topic(
    kafka: &KafkaConfig,
    topic: &str,
    mut open: BTreeMap<i32, i64>,
) -> Result<BTreeMap<i32, i64>, ReadError> {
    let consumer = consumer(kafka, RANGE_WAIT)?;
    // What was committed may be gone: then the oldest record that is left is the first one that was not finished.
    for (partition, offset) in &mut open {
        let (low, _) = ask(STALL_TIMEOUT, || consumer.fetch_watermarks(topic, *partition, ANSWER_TIMEOUT))?;
        *offset = low.max(*offset);
    }
    consumer.assign(&assignment(open.iter().map(|(partition, offset)| ((topic, *partition), *offset)))?)?;
    let mut oldest = BTreeMap::new();
    let mut stall = Stall::new(topic);
    while !open.is_empty() {
        let partition = match consumer.poll(POLL_SLICE) {
            None => {
                stall.idle()?;
                continue;
            }
            Some(Ok(message)) => {
                stall.reset();
                let time = message.timestamp_ms();
                if open.contains_key(&message.partition()) {
                    oldest.extend(time.map(|time| (message.partition(), time)));
                }
                message.partition()
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => partition,
            Some(Err(error)) if is_passing(&error) => {
                stall.error(&error);
                continue;
            }
            Some(Err(error)) => return Err(error.into()),
        };
        if open.remove(&partition).is_some() {
            let mut done = TopicPartitionList::new();
            done.add_partition(topic, partition);
            consumer.pause(&done)?;
        }
    }
    Ok(oldest)
}

fn resolve(consumer: &kafka::Reader, range: &Range) -> Result<Option<Spans>, ReadError> {
    match spans_with(consumer, range) {
        Ok(spans) => Ok(Some(spans)),
        Err(ReadError::NoTopic(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until the broker answers about a topic; says no when the stop came first.
fn answers(consumer: &kafka::Reader, topic: &str, stopped: &dyn Fn() -> bool) -> Result<bool, ReadError> {
    let started = tick();
    while !stopped() {
        match consumer.fetch_metadata(Some(topic), ANSWER_TURN) {
            Ok(_) => return Ok(true),
            Err(error) if is_passing(&error) && tick().since(started) < STALL_TIMEOUT => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn assignment<'a>(starts: impl Iterator<Item = ((&'a str, i32), i64)>) -> Result<TopicPartitionList, KafkaError> {
    let mut assignment = TopicPartitionList::new();
    for ((topic, partition), offset) in starts {
        assignment.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(assignment)
}

fn consumer(kafka: &KafkaConfig, wait: Duration) -> Result<kafka::Reader, KafkaError> {
    let mut client = kafka::reader(kafka);
    client
        .set("fetch.wait.max.ms", wait.as_millis().to_string())
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", AHEAD_KBYTES);
    kafka::open_reader(&client)
}
