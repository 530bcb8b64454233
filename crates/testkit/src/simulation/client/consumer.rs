//! A member of a consumer group in the world: the classic protocol with one assignor, driven by polls.
//!
//! Heartbeats go on by themselves, as librdkafka's do, also while the process is deep in its own work.

use super::members::{HEARTBEAT, Membership, Proof};
use super::records::decode;
use super::{call, group_id, text, topic_name};
use crate::simulation::broker::ms;
use crate::simulation::toy::POST;
use crate::simulation::world::{Handed, Pid, world};
use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    BrokerId, ConsumerProtocolAssignment, ConsumerProtocolSubscription, FetchRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, OffsetFetchRequest, RequestKind, ResponseKind, SyncGroupRequest,
    consumer_protocol_assignment::TopicPartition,
};
use kafka_protocol::protocol::{Decodable as _, Encodable as _};
use runtime::cluster::{GroupConsumer, Polled, Rebalances};
use runtime::kafka::ClientError;
use runtime::record::Record;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A member that is silent for so long is thrown out.
const SESSION: Duration = Duration::from_secs(6);
/// How long a rebalance waits for the members.
const REBALANCE: Duration = Duration::from_secs(300);
/// Most bytes of one fetch of a partition: a few records, so that there are many fetches.
const FETCH_BYTES: i32 = 4_000;
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Version of the embedded consumer protocol.
const CONSUMER_PROTOCOL: i16 = 1;

/// A member of a group.
pub(crate) struct SimConsumer {
    pid: Pid,
    number: u64,
    group: String,
    topics: Vec<String>,
    told: Arc<dyn Rebalances<Proof>>,
    /// Whether records of open and aborted transactions are kept from the loop.
    committed: bool,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    member: String,
    phase: Phase,
    partitions: BTreeMap<(Arc<str>, i32), Reading>,
    left: bool,
}

#[derive(Default)]
enum Phase {
    #[default]
    Outside,
    Joining(embedded::broker::wire::RequestId),
    Syncing(embedded::broker::wire::RequestId, i32),
    Member(i32),
}

/// One partition that is ours.
#[derive(Default)]
struct Reading {
    next: Option<i64>,
    buffer: VecDeque<Record>,
    /// Where the next fetch goes on; beyond what is in the buffer.
    fetch: i64,
    paused: bool,
    /// The end was reached when the topic had this version: there is nothing to ask for before it has another.
    idle_at: Option<u64>,
}

impl SimConsumer {
    pub fn open(pid: Pid, group: &str, topics: &[&str], told: Arc<dyn Rebalances<Proof>>, committed: bool) -> Self {
        let world = world();
        world.gate(pid, "consumer");
        Self {
            pid,
            number: world.number(),
            group: group.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            told,
            committed,
            state: RefCell::default(),
        }
    }

    /// Holds some partitions back: only a broken variant does that.
    pub fn withhold(&self, partitions: &std::collections::BTreeSet<i32>) {
        for ((_, partition), reading) in &mut self.state.borrow_mut().partitions {
            reading.paused = partitions.contains(partition);
        }
    }

    /// Takes the next step in the group's protocol. Never waits for others.
    fn follow_group(&self) {
        let world = world();
        let phase = std::mem::take(&mut self.state.borrow_mut().phase);
        let phase = match phase {
            Phase::Outside => self.join(),
            Phase::Joining(id) => match self.take(id) {
                Taken::Nothing => Phase::Joining(id),
                Taken::Lost => Phase::Outside,
                Taken::Answer(answer) => match *answer {
                    ResponseKind::JoinGroup(answer) => self.joined(&answer),
                    _ => Phase::Outside,
                },
            },
            Phase::Syncing(id, generation) => match self.take(id) {
                Taken::Nothing => Phase::Syncing(id, generation),
                Taken::Lost => Phase::Outside,
                Taken::Answer(answer) => match *answer {
                    ResponseKind::SyncGroup(answer) => match ResponseError::try_from_code(answer.error_code) {
                        None => {
                            self.assigned(generation, answer.assignment);
                            Phase::Member(generation)
                        }
                        Some(error) => self.outside(error),
                    },
                    _ => Phase::Outside,
                },
            },
            Phase::Member(generation) => Phase::Member(generation),
        };
        self.state.borrow_mut().phase = phase;
        let verdict = world.members.borrow_mut().0.get_mut(&self.number).and_then(|member| member.verdict.take());
        let is_member = matches!(self.state.borrow().phase, Phase::Member(_));
        if let Some(verdict) = verdict.filter(|_| is_member) {
            world.note("rebalance", || format!("{} {verdict:?}", self.pid));
            self.give_up();
            let phase = self.outside(verdict);
            self.state.borrow_mut().phase = phase;
        }
    }

    fn join(&self) -> Phase {
        let subscription =
            ConsumerProtocolSubscription::default().with_topics(self.topics.iter().map(|topic| text(topic)).collect());
        let mut metadata = BytesMut::new();
        metadata.put_i16(CONSUMER_PROTOCOL);
        let encoded = subscription.encode(&mut metadata, CONSUMER_PROTOCOL);
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata.freeze());
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(millis(SESSION))
            .with_rebalance_timeout_ms(millis(REBALANCE))
            .with_member_id(text(&self.state.borrow().member))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        match (encoded, self.ask("join", RequestKind::JoinGroup(request), 5)) {
            (Ok(()), Some(id)) => Phase::Joining(id),
            _ => Phase::Outside,
        }
    }

    fn joined(&self, answer: &JoinGroupResponse) -> Phase {
        match ResponseError::try_from_code(answer.error_code) {
            Some(ResponseError::MemberIdRequired) => {
                self.state.borrow_mut().member = answer.member_id.to_string();
                return self.join();
            }
            Some(error) => return self.outside(error),
            None => {}
        }
        self.state.borrow_mut().member = answer.member_id.to_string();
        let assignments = if answer.leader == answer.member_id { self.share_out(answer) } else { Vec::new() };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(answer.generation_id)
            .with_member_id(answer.member_id.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(assignments);
        // A member that has joined is watched from now on.
        self.watch(answer.generation_id);
        match self.ask("sync", RequestKind::SyncGroup(request), 5) {
            Some(id) => Phase::Syncing(id, answer.generation_id),
            None => Phase::Outside,
        }
    }

    /// The leader deals the partitions of each topic out in ranges.
    fn share_out(&self, answer: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
        let mut members: Vec<_> = answer.members.iter().map(|member| member.member_id.clone()).collect();
        members.sort();
        let count = i32::try_from(members.len()).unwrap_or(i32::MAX).max(1);
        let mut shared = Vec::new();
        for (number, member) in (0_i32..).zip(members) {
            let partitions: Vec<i32> =
                (0..super::PARTITIONS).filter(|partition| partition * count / super::PARTITIONS == number).collect();
            let topics = self.topics.iter().map(|topic| {
                TopicPartition::default().with_topic(topic_name(topic)).with_partitions(partitions.clone())
            });
            let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(topics.collect());
            let mut bytes = BytesMut::new();
            bytes.put_i16(CONSUMER_PROTOCOL);
            if assignment.encode(&mut bytes, CONSUMER_PROTOCOL).is_ok() {
                let one = SyncGroupRequestAssignment::default();
                shared.push(one.with_member_id(member).with_assignment(bytes.freeze()));
            }
        }
        shared
    }

    fn assigned(&self, generation: i32, mut assignment: Bytes) {
        let mut ours = Vec::new();
        if assignment.len() > 2 {
            let version = i16::from_be_bytes([assignment[0], assignment[1]]);
            let _ = assignment.split_to(2);
            if let Ok(assignment) = ConsumerProtocolAssignment::decode(&mut assignment, version) {
                for topic in assignment.assigned_partitions {
                    ours.extend(topic.partitions.iter().map(|partition| (topic.topic.to_string(), *partition)));
                }
            }
        }
        let member = self.state.borrow().member.clone();
        world().note("assigned", || format!("{} {member} {generation} {ours:?}", self.pid));
        let reading =
            |(topic, partition): &(String, i32)| ((Arc::from(topic.as_str()), *partition), Reading::default());
        self.state.borrow_mut().partitions = ours.iter().map(reading).collect();
        self.watch(generation);
        self.told.assigned(ours, Some(Proof { group: self.group.clone(), member, generation }));
    }

    /// The partitions go: the loop may finish what it holds, then they are not ours any more.
    fn give_up(&self) {
        if matches!(self.state.borrow().phase, Phase::Member(_)) {
            self.told.revoking();
            self.state.borrow_mut().partitions.clear();
            self.told.revoked();
            world().handed.borrow_mut().push(Handed::Left { consumer: self.number });
        }
        world().members.borrow_mut().0.remove(&self.number);
    }

    /// What to do when the group does not want us as we are.
    fn outside(&self, error: ResponseError) -> Phase {
        world().members.borrow_mut().0.remove(&self.number);
        if matches!(error, ResponseError::UnknownMemberId) {
            self.state.borrow_mut().member.clear();
        }
        Phase::Outside
    }

    fn watch(&self, generation: i32) {
        let world = world();
        let member = self.state.borrow().member.clone();
        let proof = Proof { group: self.group.clone(), member, generation };
        let due = world.now() + HEARTBEAT;
        let membership = Membership { pid: self.pid, proof, due, verdict: None };
        world.members.borrow_mut().0.insert(self.number, membership);
    }

    /// Asks and does not wait.
    fn ask(&self, what: &'static str, body: RequestKind, version: i16) -> Option<embedded::broker::wire::RequestId> {
        let world = world();
        world.gate(self.pid, what);
        let now = world.now();
        let asked = world.broker.borrow_mut().ask(body, version, now);
        world.gate(self.pid, what);
        asked
    }

    fn take(&self, id: embedded::broker::wire::RequestId) -> Taken {
        let world = world();
        let mut broker = world.broker.borrow_mut();
        match broker.answer(id) {
            Some(answer) => Taken::Answer(Box::new(answer)),
            None if broker.remembers(id) => Taken::Nothing,
            None => Taken::Lost,
        }
    }

    /// Asks where the group stands, for partitions whose place is not known yet.
    fn find_places(&self) {
        let unknown: Vec<(Arc<str>, i32)> = {
            let state = self.state.borrow();
            state
                .partitions
                .iter()
                .filter(|(_, reading)| reading.next.is_none())
                .map(|(place, _)| place.clone())
                .collect()
        };
        if unknown.is_empty() {
            return;
        }
        let topics = unknown.iter().map(|(topic, partition)| {
            OffsetFetchRequestTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![*partition])
        });
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(&self.group))
            .with_require_stable(true)
            .with_topics(Some(topics.collect()));
        let answer = call(self.pid, "offsets", &RequestKind::OffsetFetch(request), 7, ANSWER);
        let Ok(ResponseKind::OffsetFetch(answer)) = answer else { return };
        let mut state = self.state.borrow_mut();
        for topic in &answer.topics {
            for told in topic.partitions.iter().filter(|told| told.error_code == 0) {
                let place = (Arc::from(topic.name.as_str()), told.partition_index);
                if let Some(reading) = state.partitions.get_mut(&place).filter(|reading| reading.next.is_none()) {
                    // Nothing was ever committed: reading starts at the oldest record.
                    let next = told.committed_offset.max(0);
                    reading.next = Some(next);
                    reading.fetch = next;
                }
            }
        }
    }

    /// Fetches from one partition that has nothing in its buffer.
    fn fetch(&self) {
        let world = world();
        let idle: Vec<((Arc<str>, i32), i64)> = {
            let state = self.state.borrow();
            let idle = |reading: &Reading| reading.buffer.is_empty() && !reading.paused && reading.next.is_some();
            let news = |topic: &str, reading: &Reading| reading.idle_at != Some(world.broker.borrow().version(topic));
            let idle = state.partitions.iter().filter(|((topic, _), reading)| idle(reading) && news(topic, reading));
            idle.map(|(place, reading)| (place.clone(), reading.fetch)).collect()
        };
        for _ in 0..idle.len() {
            let Some((place, from)) = world.random(|prng| idle.get(prng.index(idle.len())).cloned()) else { return };
            let version = world.broker.borrow().version(&place.0);
            let Some(data) = fetch(self.pid, &place.0, place.1, from, self.committed) else { continue };
            let Ok(fetched) = decode(&place.0, from, &data, self.committed) else { continue };
            let mut state = self.state.borrow_mut();
            let Some(reading) = state.partitions.get_mut(&place).filter(|reading| reading.fetch == from) else {
                continue;
            };
            reading.fetch = fetched.next;
            reading.idle_at = fetched.at_end.then_some(version);
            reading.buffer.extend(fetched.records);
            if !reading.buffer.is_empty() {
                return;
            }
        }
    }

    fn next_record(&self) -> Option<Record> {
        let mut state = self.state.borrow_mut();
        let ready: Vec<(Arc<str>, i32)> = state
            .partitions
            .iter()
            .filter(|(_, reading)| !reading.buffer.is_empty() && !reading.paused)
            .map(|(place, _)| place.clone())
            .collect();
        let place = world().random(|prng| ready.get(prng.index(ready.len())).cloned())?;
        let reading = state.partitions.get_mut(&place)?;
        let record = reading.buffer.pop_front()?;
        reading.next = Some(record.place.offset + 1);
        world().tell("took", || {
            format!("{} {} {}", self.pid, record.place, record.header(schemas::headers::ID).unwrap_or_default())
        });
        if self.group == POST {
            let event = record.header(schemas::headers::ID).unwrap_or_default().to_owned();
            let handed = Handed::Record { pid: self.pid, consumer: self.number, at_ms: ms(world().now()), event };
            world().handed.borrow_mut().push(handed);
        }
        Some(record)
    }
}

enum Taken {
    Answer(Box<ResponseKind>),
    Nothing,
    Lost,
}

impl GroupConsumer for SimConsumer {
    type Membership = Proof;
    type Message<'a> = Record;

    fn poll(&self, _patience: Duration) -> Polled<Record> {
        world().gate(self.pid, "poll");
        if self.state.borrow().left {
            return Polled::Nothing;
        }
        let was_member = matches!(self.state.borrow().phase, Phase::Member(_));
        self.follow_group();
        let is_member = matches!(self.state.borrow().phase, Phase::Member(_));
        if !(was_member && is_member) {
            return Polled::Nothing;
        }
        if let Some(record) = self.next_record() {
            return Polled::Record(record);
        }
        self.find_places();
        self.fetch();
        self.next_record().map_or(Polled::Nothing, Polled::Record)
    }

    fn assignment(&self) -> Result<Vec<(String, i32)>, ClientError> {
        let state = self.state.borrow();
        Ok(state.partitions.keys().map(|(topic, partition)| (topic.to_string(), *partition)).collect())
    }

    fn seek(&self, topic: &str, partition: i32, offset: i64, _longest: Duration) -> Result<(), ClientError> {
        world().gate(self.pid, "seek");
        let mut state = self.state.borrow_mut();
        let Some(reading) = state.partitions.get_mut(&(Arc::from(topic), partition)) else {
            return Err(ClientError::Delivery(format!("{topic}-{partition} is not assigned")));
        };
        *reading = Reading { next: Some(offset), fetch: offset, paused: reading.paused, ..Reading::default() };
        Ok(())
    }

    fn pause(&self, paused: bool) -> Result<(), ClientError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        self.pause_topics(&topics, paused)
    }

    fn pause_topics(&self, topics: &[&str], paused: bool) -> Result<(), ClientError> {
        world().gate(self.pid, "pause");
        let mut state = self.state.borrow_mut();
        let own = state.partitions.iter_mut().filter(|((topic, _), _)| topics.contains(&&**topic));
        for (_, reading) in own {
            reading.paused = paused;
            if let Some(next) = reading.next.filter(|_| paused) {
                // What was fetched ahead is thrown away and fetched again.
                reading.buffer.clear();
                reading.fetch = next;
                reading.idle_at = None;
            }
        }
        Ok(())
    }

    fn leave(&self) {
        let world = world();
        world.gate(self.pid, "leave");
        self.give_up();
        let mut state = self.state.borrow_mut();
        state.left = true;
        let member = std::mem::take(&mut state.member);
        drop(state);
        if !member.is_empty() {
            let leaver = MemberIdentity::default().with_member_id(text(&member));
            let request = LeaveGroupRequest::default().with_group_id(group_id(&self.group)).with_members(vec![leaver]);
            self.ask("leave", RequestKind::LeaveGroup(request), 4);
        }
    }
}

/// The data of one partition from an offset on.
pub(super) fn fetch(
    pid: Pid,
    topic: &str,
    partition: i32,
    from: i64,
    committed: bool,
) -> Option<kafka_protocol::messages::fetch_response::PartitionData> {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(from)
        .with_partition_max_bytes(FETCH_BYTES);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(FETCH_BYTES)
        .with_isolation_level(i8::from(committed))
        .with_topics(vec![topic]);
    let answer = call(pid, "fetch", &RequestKind::Fetch(request), 11, ANSWER).ok()?;
    let ResponseKind::Fetch(answer) = answer else { return None };
    let data = answer.responses.into_iter().flat_map(|topic| topic.partitions).next()?;
    (data.error_code == 0).then_some(data)
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
