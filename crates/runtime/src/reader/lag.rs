//! Where groups stand, seen from outside.

use super::{
    ANSWER_TIMEOUT, RANGE_WAIT, ReadError, STALL_TIMEOUT, Span, consumer_waiting, let_go, partitions, walk, watermarks,
};
use crate::ask::ask;
use crate::config::KafkaConfig;
use crate::kafka::Reader;
use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Up to so many offsets a lag is looked at record by record.
const MARKERS_MAX: i64 = 100;

/// How far a group has got in one partition.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartitionLag {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Next offset the group will read; none when it never committed.
    pub committed: Option<i64>,
    /// Offset after the last committed record.
    pub end: i64,
    /// Records between the two; where many are left, transaction markers are counted with them.
    pub lag: i64,
}

/// Where a group stands in each partition of the topics. Does not join the group.
///
/// # Errors
/// See [`ReadError`].
pub fn group_lag(kafka: &KafkaConfig, group: &str, topics: &[&str]) -> Result<Vec<PartitionLag>, ReadError> {
    group_lag_with(&consumer_waiting(kafka, group, RANGE_WAIT)?, topics)
}

/// As [`group_lag`], on a connection of the group that is there.
pub(crate) fn group_lag_with(consumer: &Reader, topics: &[&str]) -> Result<Vec<PartitionLag>, ReadError> {
    let mut asked = TopicPartitionList::new();
    for topic in topics {
        for partition in partitions(consumer, topic, STALL_TIMEOUT)? {
            asked.add_partition(topic, partition);
        }
    }
    let committed = ask(STALL_TIMEOUT, || consumer.committed_offsets(asked.clone(), ANSWER_TIMEOUT))?;
    let mut lags = Vec::with_capacity(committed.count());
    for element in committed.elements() {
        let (low, end) = watermarks(consumer, element.topic(), element.partition())?;
        let next = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        lags.push(PartitionLag {
            topic: element.topic().to_owned(),
            partition: element.partition(),
            committed: next,
            end,
            lag: (end - next.unwrap_or(low).max(low)).max(0),
        });
    }
    for topic in topics {
        without_markers(consumer, topic, &mut lags)?;
    }
    Ok(lags)
}

/// Offsets left may be nothing but the markers of transactions: looks, where few are left, so that a room that has done
/// everything shows 0.
fn without_markers(consumer: &Reader, topic: &str, lags: &mut [PartitionLag]) -> Result<(), ReadError> {
    let doubtful = |lag: &&PartitionLag| lag.topic == topic && lag.lag > 0 && lag.lag <= MARKERS_MAX;
    let span = |lag: &PartitionLag| (lag.partition, Span { start: lag.end - lag.lag, end: lag.end });
    let spans: BTreeMap<i32, Span> = lags.iter().filter(doubtful).map(span).collect();
    if spans.is_empty() {
        return Ok(());
    }
    let mut counted: BTreeMap<i32, i64> = spans.keys().map(|partition| (*partition, 0)).collect();
    walk(consumer, topic, spans, |message| {
        if let Some(count) = message.and_then(|message| counted.get_mut(&message.partition())) {
            *count += 1;
        }
        ControlFlow::Continue(())
    })?;
    let_go(consumer)?;
    for lag in lags.iter_mut().filter(|lag| lag.topic == topic) {
        lag.lag = counted.get(&lag.partition).copied().unwrap_or(lag.lag);
    }
    Ok(())
}
