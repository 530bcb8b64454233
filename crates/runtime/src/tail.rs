//! Follows a topic, and tells when all that was on it at a moment has been seen: for whoever must know what others have written.
//!
//! Blocks, as everything in [`crate::reader`].

use crate::ask::{ask, is_passing};
use crate::cluster::RecordView as _;
use crate::config::KafkaConfig;
use crate::kafka::{self, Reader};
use crate::reader::{From, POLL_SLICE, Range, ReadError, STALL_TIMEOUT, Until, partitions, spans_with};
use crate::record::Record;
use crate::stall::Stall;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// The broker answers at once when there is something; this is how often it says that there is nothing.
const NOTHING_WAIT_MS: &str = "500";
/// A record that is there comes within a few milliseconds. When nothing came for this long, what is missing may be no record of
/// anybody (the mark that ends a transaction), and the client is asked to begin again where it stands.
const SILENCE: Duration = Duration::from_millis(400);

/// A place in each partition of a topic, and the client that goes on from there.
///
/// It reads records of open and of aborted transactions too: another's open transaction must not hide what was confirmed behind
/// it. So it is for records that are written without transactions; whoever visits leaves out all others.
pub struct Tail {
    reader: Reader,
    /// Asks for the ends on a connection of its own: on the reader's, a question waits behind the fetch that waits for records.
    asker: Reader,
    topic: String,
    next: BTreeMap<i32, i64>,
}

impl Tail {
    /// Begins at a place; nothing is read yet.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open(kafka: &KafkaConfig, topic: &str, from: From) -> Result<Self, ReadError> {
        let client = settings(kafka);
        let (reader, asker) = (kafka::open_reader(&client)?, kafka::open_reader(&client)?);
        let range = Range { topic: topic.to_owned(), partitions: Vec::new(), from, until: Until::EndNow };
        let next = spans_with(&asker, &range)?.into_iter().map(|(partition, span)| (partition, span.start)).collect();
        let tail = Self { reader, asker, topic: topic.to_owned(), next };
        tail.assign()?;
        Ok(tail)
    }

    /// Visits what has come so far, without a wait, and returns how many records that were.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn drain(&mut self, mut visit: impl FnMut(Record)) -> Result<u64, ReadError> {
        let mut visited = 0;
        loop {
            match self.poll(Duration::ZERO, &mut visit)? {
                Polled::Record => visited += 1,
                Polled::End(_) | Polled::Passing(_) => {}
                Polled::Nothing => return Ok(visited),
            }
        }
    }

    /// Visits what was written before this call and was not visited yet, in order per partition, and returns how many records
    /// that were. `patience` bounds the wait for each answer of the broker.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn catch_up(&mut self, patience: Duration, mut visit: impl FnMut(Record)) -> Result<u64, ReadError> {
        let ends = self.ends(patience)?;
        if ends.keys().any(|partition| !self.next.contains_key(partition)) {
            // A partition that the topic has gained is read from its beginning.
            for partition in ends.keys() {
                self.next.entry(*partition).or_default();
            }
            self.assign()?;
        }
        let (mut visited, mut began_again) = (0, false);
        let topic = self.topic.clone();
        let (mut stall, mut silence) = (Stall::within(&topic, patience), Stall::within(&topic, SILENCE));
        while ends.iter().any(|(partition, end)| self.next.get(partition) < Some(end)) {
            match self.poll(POLL_SLICE, &mut visit)? {
                Polled::Record => {
                    visited += 1;
                    stall.reset();
                    silence.reset();
                }
                // What the client read since it began again was asked for after the ends were told.
                Polled::End(partition) if began_again => {
                    let end = ends.get(&partition).copied().unwrap_or_default();
                    let next = self.next.entry(partition).or_default();
                    *next = end.max(*next);
                }
                Polled::End(_) => {}
                Polled::Passing(error) => stall.error(&error),
                Polled::Nothing => {
                    stall.idle()?;
                    if !began_again && silence.idle().is_err() {
                        began_again = true;
                        self.assign()?;
                    }
                }
            }
        }
        Ok(visited)
    }

    fn poll(&mut self, wait: Duration, visit: &mut impl FnMut(Record)) -> Result<Polled, ReadError> {
        match self.reader.poll(wait) {
            None => Ok(Polled::Nothing),
            Some(Ok(message)) => {
                let record = message.to_record();
                let next = self.next.entry(record.place.partition).or_default();
                // A place never goes back: what was visited stays visited where a log was cut short.
                *next = record.place.offset.saturating_add(1).max(*next);
                visit(record);
                Ok(Polled::Record)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Polled::End(partition)),
            Some(Err(error)) if is_passing(&error) => Ok(Polled::Passing(error)),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Lets the client begin at the places of now; what it holds ready is forgotten.
    fn assign(&self) -> Result<(), ReadError> {
        let mut assignment = TopicPartitionList::new();
        for (partition, next) in &self.next {
            assignment.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))?;
        }
        self.reader.assign(&assignment)?;
        Ok(())
    }

    /// Offset after the last record of each partition, in one question to each broker.
    fn ends(&self, patience: Duration) -> Result<BTreeMap<i32, i64>, ReadError> {
        let patience = patience.min(STALL_TIMEOUT);
        let mut asked = TopicPartitionList::new();
        for partition in partitions(&self.asker, &self.topic, patience)? {
            asked.add_partition_offset(&self.topic, partition, Offset::End)?;
        }
        let found = ask(patience, || self.asker.offsets_for_times(asked.clone(), patience))?;
        let mut ends = BTreeMap::new();
        for element in found.elements() {
            element.error()?;
            // A partition whose end is not told must not pass for one without records.
            let Offset::Offset(end) = element.offset() else {
                let last_error = format!("the end of partition {} is not known", element.partition());
                return Err(ReadError::Stalled { topic: self.topic.clone(), waited_s: 0, last_error });
            };
            ends.insert(element.partition(), end);
        }
        Ok(ends)
    }
}

/// What one look at the client gave.
enum Polled {
    /// A record, which was visited.
    Record,
    /// This partition had no more records when it was asked.
    End(i32),
    /// An error that may be over soon.
    Passing(KafkaError),
    Nothing,
}

fn settings(kafka: &KafkaConfig) -> ClientConfig {
    let mut client = kafka::reader(kafka);
    client
        .set("isolation.level", "read_uncommitted")
        .set("fetch.wait.max.ms", NOTHING_WAIT_MS)
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest");
    client
}
