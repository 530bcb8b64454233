//! A reader without a group in the world.

use super::consumer::fetch;
use super::records::decode;
use super::{PARTITIONS, call, failed, group_id, topic_name};
use crate::simulation::world::{Pid, world};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponsePartition;
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, OffsetFetchRequest, RequestKind, ResponseKind};
use runtime::cluster::{PartitionReader, Polled, Positions};
use runtime::kafka::ClientError;
use runtime::reader::{From, Range, ReadError, Until};
use runtime::record::Record;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Pause before it is looked again whether a transaction has ended.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// A reader.
pub(crate) struct SimReader {
    pid: Pid,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    topic: Arc<str>,
    partitions: BTreeMap<i32, Reading>,
    /// Counts the assignments, so that an answer to a question of an earlier one is not taken.
    assignment: u64,
}

#[derive(Default)]
struct Reading {
    fetch: i64,
    buffer: VecDeque<Record>,
    /// The end was told and nothing has come since.
    ended: bool,
    /// The end was reached when the topic had this version: there is nothing to ask for before it has another.
    idle_at: Option<u64>,
}

impl SimReader {
    pub fn open(pid: Pid) -> Self {
        world().gate(pid, "reader");
        Self { pid, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn buffered(&self) -> Option<Record> {
        self.state().partitions.values_mut().find_map(|reading| reading.buffer.pop_front())
    }

    /// One round of fetches; some end when a partition has come to it.
    fn fetch(&self) -> Option<i32> {
        let (topic, wanted, assignment) = {
            let state = self.state();
            let version = world().broker.borrow().version(&state.topic);
            let wanted = state.partitions.iter().filter(|(_, reading)| reading.idle_at != Some(version));
            let wanted: Vec<(i32, i64)> = wanted.map(|(partition, reading)| (*partition, reading.fetch)).collect();
            (Arc::clone(&state.topic), wanted, state.assignment)
        };
        for (partition, from) in wanted {
            let version = world().broker.borrow().version(&topic);
            let Some(data) = fetch(self.pid, &topic, partition, from, true) else { continue };
            let Ok(fetched) = decode(&topic, from, &data, true) else { continue };
            let mut state = self.state();
            if state.assignment != assignment {
                return None;
            }
            let Some(reading) = state.partitions.get_mut(&partition) else { continue };
            reading.fetch = fetched.next;
            reading.idle_at = fetched.at_end.then_some(version);
            if !fetched.records.is_empty() {
                reading.ended = false;
                reading.buffer.extend(fetched.records);
                return None;
            }
            if fetched.at_end && !reading.ended {
                reading.ended = true;
                return Some(partition);
            }
        }
        None
    }
}

impl PartitionReader for SimReader {
    type Message<'a> = Record;

    fn partitions(&self, _topic: &str) -> Result<Vec<i32>, ClientError> {
        world().gate(self.pid, "partitions");
        Ok((0..PARTITIONS).collect())
    }

    fn assign(&self, topic: &str, partitions: &[(i32, Option<i64>)]) -> Result<(), ClientError> {
        world().gate(self.pid, "assign");
        let mut state = self.state();
        state.topic = Arc::from(topic);
        state.assignment += 1;
        let reading = |(partition, from): &(i32, Option<i64>)| {
            (*partition, Reading { fetch: from.unwrap_or_default(), ..Reading::default() })
        };
        state.partitions = partitions.iter().map(reading).collect();
        Ok(())
    }

    fn poll(&self, patience: Duration) -> Polled<Record> {
        if let Some(record) = self.buffered() {
            return Polled::Record(record);
        }
        if let Some(partition) = self.fetch() {
            return Polled::End(partition);
        }
        if let Some(record) = self.buffered() {
            return Polled::Record(record);
        }
        if !patience.is_zero() {
            world().pass(patience);
        }
        Polled::Nothing
    }
}

/// The offset after the last committed record of a partition.
fn end_of(pid: Pid, topic: &str, partition: i32) -> Result<i64, ClientError> {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]);
    let request =
        ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_isolation_level(1).with_topics(vec![topic]);
    let answer = call(pid, "end", &RequestKind::ListOffsets(request), 5, ANSWER)?;
    let ResponseKind::ListOffsets(answer) = answer else { return Err(failed("end", -1)) };
    let told = answer.topics.iter().flat_map(|topic| &topic.partitions).next();
    let told = told.ok_or_else(|| failed("end", -1))?;
    if told.error_code == 0 { Ok(told.offset) } else { Err(failed("end", told.error_code)) }
}

/// Visits the committed records of a range.
pub(crate) fn read_range(
    pid: Pid,
    range: &Range,
    visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    let stalled = |error: ClientError| ReadError::Stalled {
        topic: range.topic.clone(),
        waited_s: ANSWER.as_secs(),
        last_error: error.to_string(),
    };
    let topic: Arc<str> = Arc::from(range.topic.as_str());
    let all: Vec<i32> = (0..PARTITIONS).collect();
    let mut visited = 0;
    for partition in if range.partitions.is_empty() { &all } else { &range.partitions } {
        let mut end = end_of(pid, &topic, *partition).map_err(stalled)?;
        if let Until::Offset(until) = range.until {
            end = end.min(until);
        }
        let mut next = match range.from {
            From::Offset(offset) => offset,
            From::Newest(places) => end.saturating_sub(places).max(0),
            From::Earliest | From::TimeMs(_) => 0,
        };
        let mut failures = 0;
        while next < end {
            let fetched = fetch(pid, &topic, *partition, next, true)
                .and_then(|data| decode(&topic, next, &data, true).ok())
                .filter(|fetched| fetched.next > next);
            let Some(fetched) = fetched else {
                failures += 1;
                if failures > 20 {
                    return Err(stalled(failed("fetch", -1)));
                }
                continue;
            };
            next = fetched.next;
            for record in fetched.records.into_iter().filter(|record| record.place.offset < end) {
                visited += 1;
                if visit(record).is_break() {
                    return Ok(visited);
                }
            }
        }
    }
    Ok(visited)
}

/// All committed records of a topic, for whoever looks at the end of a run.
pub(crate) fn committed(pid: Pid, topic: &str) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    read_range(pid, &Range::all(topic), &mut |record| {
        records.push(record);
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// Where a group goes on in a partition; 0 when it has committed nothing.
pub(crate) fn group_position(pid: Pid, group: &str, topic: &str, partition: i32) -> Result<i64, ClientError> {
    let asked = OffsetFetchRequestTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![partition]);
    let request = OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(Some(vec![asked]));
    let answer = call(pid, "position", &RequestKind::OffsetFetch(request), 7, ANSWER)?;
    let ResponseKind::OffsetFetch(answer) = answer else { return Err(failed("position", -1)) };
    let told = answer.topics.iter().flat_map(|topic| &topic.partitions).next();
    Ok(told.map_or(0, |told| told.committed_offset.max(0)))
}

/// Whether a record that was written before a time waits for a group.
pub(crate) fn is_late(pid: Pid, group: &str, topic: &str, before_ms: i64) -> Result<bool, ReadError> {
    let failed = |error: ClientError| ReadError::Stalled {
        topic: topic.to_owned(),
        waited_s: ANSWER.as_secs(),
        last_error: error.to_string(),
    };
    let mut late = false;
    for partition in 0..PARTITIONS {
        let next = group_position(pid, group, topic, partition).map_err(failed)?;
        let range = Range { from: From::Offset(next), ..Range::all(topic).partitions([partition]) };
        read_range(pid, &range, &mut |record| {
            late |= record.timestamp_ms.is_some_and(|at| at < before_ms);
            ControlFlow::Break(())
        })?;
    }
    Ok(late)
}

/// Partitions in which a transaction is still open.
pub(crate) fn undecided(pid: Pid, topics: &[&str]) -> Vec<String> {
    let mut open = Vec::new();
    for topic in topics {
        for partition in 0..PARTITIONS {
            let data = fetch(pid, topic, partition, 0, true);
            if let Some(data) = data.filter(|data| data.last_stable_offset < data.high_watermark) {
                open.push(format!("{topic}-{partition}@{}", data.last_stable_offset));
            }
        }
    }
    open
}

/// Waits until what is open now in these partitions has been decided.
pub(crate) fn settled(pid: Pid, topic: &str, partitions: &BTreeSet<i32>, longest: Duration) -> Result<(), ClientError> {
    let until = world().now() + longest;
    for partition in partitions {
        let mut end = None;
        loop {
            if let Some(data) = fetch(pid, topic, *partition, 0, true) {
                let end = *end.get_or_insert(data.high_watermark);
                if data.last_stable_offset >= end {
                    break;
                }
            }
            if world().now() >= until {
                return Err(failed("settled", -1));
            }
            world().pass(SETTLE_PAUSE);
        }
    }
    Ok(())
}

/// Waits until no position of a group is part of an open transaction.
pub(crate) fn decided(pid: Pid, group: &str, topics: &[&str], longest: Duration) -> Result<Positions, ClientError> {
    let until = world().now() + longest;
    let asked = topics.iter().map(|topic| {
        OffsetFetchRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partition_indexes((0..PARTITIONS).collect())
    });
    let request = OffsetFetchRequest::default()
        .with_group_id(group_id(group))
        .with_require_stable(true)
        .with_topics(Some(asked.collect()));
    loop {
        if let Ok(ResponseKind::OffsetFetch(answer)) =
            call(pid, "decided", &RequestKind::OffsetFetch(request.clone()), 7, ANSWER)
        {
            let told =
                answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(|told| (&*topic.name.0, told)));
            if answer.error_code == 0 && told.clone().all(|(_, told)| told.error_code == 0) {
                let position = |(topic, told): (&str, &OffsetFetchResponsePartition)| {
                    ((topic.to_owned(), told.partition_index), told.committed_offset.max(0))
                };
                return Ok(told.map(position).collect());
            }
        }
        if world().now() >= until {
            return Err(failed("decided", -1));
        }
        world().pass(SETTLE_PAUSE);
    }
}
