//! Reads what a topic has gained, up to its end, each time it is asked to: for whoever must know what others have written.
//!
//! Blocks, as everything in [`crate::reader`].

use crate::ask::ask;
use crate::cluster::RecordView as _;
use crate::config::KafkaConfig;
use crate::kafka::{self, Reader};
use crate::reader::{
    From, RANGE_WAIT, Range, ReadError, STALL_TIMEOUT, Span, Until, partitions, spans_with, walk_within,
};
use crate::record::Record;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// A place in each partition of a topic, and the client that goes on from there.
///
/// It reads records of open and of aborted transactions too: another's open transaction must not hide what was confirmed behind
/// it. So it is for records that are written without transactions; whoever visits leaves out all others.
pub struct Tail {
    consumer: Reader,
    topic: String,
    next: BTreeMap<i32, i64>,
}

impl Tail {
    /// Begins at a place; nothing is read yet.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open(kafka: &KafkaConfig, topic: &str, from: From) -> Result<Self, ReadError> {
        let mut client = kafka::reader(kafka);
        client
            .set("isolation.level", "read_uncommitted")
            .set("fetch.wait.max.ms", RANGE_WAIT.as_millis().to_string())
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest");
        let consumer = kafka::open_reader(&client)?;
        let range = Range { topic: topic.to_owned(), partitions: Vec::new(), from, until: Until::EndNow };
        let next =
            spans_with(&consumer, &range)?.into_iter().map(|(partition, span)| (partition, span.start)).collect();
        Ok(Self { consumer, topic: topic.to_owned(), next })
    }

    /// Visits what was written before this call and was not visited yet, in order per partition, and returns how many records
    /// that were. `patience` bounds the wait for each answer of the broker. After an error it goes on from the place before:
    /// some records are visited again.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn catch_up(&mut self, patience: Duration, mut visit: impl FnMut(Record)) -> Result<u64, ReadError> {
        let ends = self.ends(patience)?;
        let mut spans = BTreeMap::new();
        for (partition, end) in &ends {
            // A partition that the topic has gained is read from its beginning.
            let start = self.next.get(partition).copied().unwrap_or_default();
            if start < *end {
                spans.insert(*partition, Span { start, end: *end });
            }
        }
        if spans.is_empty() {
            return Ok(0);
        }
        let visited = walk_within(&self.consumer, &self.topic, spans, patience, |message| {
            visit(message.to_record());
            ControlFlow::Continue(())
        })?;
        // A place never goes back: where a log was cut short, what is behind the cut is read when it is there again.
        for (partition, end) in ends {
            let next = self.next.entry(partition).or_default();
            *next = end.max(*next);
        }
        Ok(visited)
    }

    /// Offset after the last record of each partition, in one question to each broker.
    fn ends(&self, patience: Duration) -> Result<BTreeMap<i32, i64>, ReadError> {
        let patience = patience.min(STALL_TIMEOUT);
        let mut asked = TopicPartitionList::new();
        for partition in partitions(&self.consumer, &self.topic, patience)? {
            asked.add_partition_offset(&self.topic, partition, Offset::End)?;
        }
        let found = ask(patience, || self.consumer.offsets_for_times(asked.clone(), patience))?;
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
