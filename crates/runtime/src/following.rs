//! Reads all of a topic and then what is written to it, without a gap, for views that live as long as their process.
//!
//! A broker that restarts or is away for an hour is waited for: what was read stays, and reading goes on where it stood.

use crate::ask::is_passing;
use crate::clock::{Tick, tick};
use crate::cluster::RecordView as _;
use crate::config::KafkaConfig;
use crate::kafka::Reader;
use crate::reader::{FOLLOW_WAIT, POLL_SLICE, ReadError, consumer_waiting};
use crate::record::Record;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

/// Longest wait for one answer of the broker: whoever follows must be able to stop meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause before a connection that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether Kafka is still there, and whether the topic has more partitions now.
const PARTITIONS_LOOK: Duration = Duration::from_secs(10);

/// What a follower is told.
#[derive(Debug)]
pub enum Told {
    /// The next record of its partition.
    Record(Record),
    /// All that was there at the start has been told. Told once, and once more after [`Told::Anew`].
    CaughtUp,
    /// Nothing new has come for a moment, and Kafka answers.
    Idle,
    /// Kafka does not answer or lacks the topic. It is tried again.
    Trouble(ReadError),
    /// What was told is void: the topic was made anew. Everything is told from the beginning.
    Anew,
}

/// Follows a topic from its beginning until `visit` breaks. Blocks: call it on a thread of its own.
pub fn follow_all(kafka: &KafkaConfig, topic: &str, mut visit: impl FnMut(Told) -> ControlFlow<()>) {
    let mut follower = Follower { kafka, topic, next: BTreeMap::new(), caught_up: false };
    loop {
        match follower.session(&mut visit) {
            Ok(End::Stopped) => return,
            Ok(End::Again) => {}
            Ok(End::Anew) => {
                follower.next.clear();
                follower.caught_up = false;
                if visit(Told::Anew).is_break() {
                    return;
                }
            }
            Err(error) => {
                if visit(Told::Trouble(error)).is_break() {
                    return;
                }
                std::thread::park_timeout(PAUSE);
            }
        }
    }
}

/// Why a session ended.
enum End {
    /// The visitor has had enough.
    Stopped,
    /// The topic has more partitions.
    Again,
    /// The topic is another one.
    Anew,
}

struct Follower<'a> {
    kafka: &'a KafkaConfig,
    topic: &'a str,
    /// Offset that comes next, per partition.
    next: BTreeMap<i32, i64>,
    caught_up: bool,
}

impl Follower<'_> {
    /// One connection: until it cannot be used any more or nobody wants to know.
    fn session(&mut self, visit: &mut impl FnMut(Told) -> ControlFlow<()>) -> Result<End, ReadError> {
        let consumer = consumer_waiting(self.kafka, "wardline-follower", FOLLOW_WAIT)?;
        let partitions = self.partitions(&consumer)?;
        let mut assignment = TopicPartitionList::new();
        for partition in &partitions {
            let (low, high) = consumer.fetch_watermarks(self.topic, *partition, ANSWER_TIMEOUT)?;
            let known = self.next.get(partition).copied();
            if known.is_some_and(|known| known > high) {
                return Ok(End::Anew);
            }
            let start = known.unwrap_or(low).max(low);
            self.next.insert(*partition, start);
            assignment.add_partition_offset(self.topic, *partition, Offset::Offset(start))?;
        }
        consumer.assign(&assignment)?;
        let mut behind = partitions.clone();
        let mut looked = tick();
        let mut in_trouble = false;
        loop {
            let told = match consumer.poll(POLL_SLICE) {
                Some(Ok(message)) => {
                    let record = message.to_record();
                    let next = self.next.entry(record.place.partition).or_default();
                    if record.place.offset < *next {
                        return Ok(End::Anew);
                    }
                    *next = record.place.offset + 1;
                    in_trouble = false;
                    Some(Told::Record(record))
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    behind.remove(&partition);
                    in_trouble = false;
                    self.end_reached(&behind)
                }
                Some(Err(error)) if is_passing(&error) => {
                    in_trouble = true;
                    Some(Told::Trouble(error.into()))
                }
                Some(Err(error)) => return Err(error.into()),
                None => match self.look(&consumer, &partitions, in_trouble, &mut looked) {
                    Ok(true) => return Ok(End::Again),
                    Ok(false) => {
                        in_trouble = false;
                        Some(Told::Idle)
                    }
                    Err(error) => Some(Told::Trouble(error)),
                },
            };
            if told.is_some_and(|told| visit(told).is_break()) {
                return Ok(End::Stopped);
            }
        }
    }

    /// The end of a partition was reached: of the last one it is told, once.
    fn end_reached(&mut self, behind: &BTreeSet<i32>) -> Option<Told> {
        if !behind.is_empty() || self.caught_up {
            return None;
        }
        self.caught_up = true;
        Some(Told::CaughtUp)
    }

    /// Whether the topic has other partitions now; asked now and then, and at once where Kafka did not answer before.
    fn look(
        &self,
        consumer: &Reader,
        known: &BTreeSet<i32>,
        in_trouble: bool,
        looked: &mut Tick,
    ) -> Result<bool, ReadError> {
        if !in_trouble && tick().since(*looked) < PARTITIONS_LOOK {
            return Ok(false);
        }
        *looked = tick();
        Ok(self.partitions(consumer)? != *known)
    }

    fn partitions(&self, consumer: &Reader) -> Result<BTreeSet<i32>, ReadError> {
        let metadata = consumer.fetch_metadata(Some(self.topic), ANSWER_TIMEOUT)?;
        let found = metadata.topics().iter().find(|found| found.name() == self.topic && found.error().is_none());
        let ids: BTreeSet<i32> =
            found.map(|found| found.partitions().iter().map(|one| one.id()).collect()).unwrap_or_default();
        if ids.is_empty() { Err(ReadError::NoTopic(self.topic.to_owned())) } else { Ok(ids) }
    }
}
