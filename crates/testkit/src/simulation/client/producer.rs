//! A producer in the world: idempotent, transactional when it has an id.

use super::records::{Writer, encode};
use super::{PARTITIONS, Proof, call, failed, group_id, text, topic_name, transactional_id, unexpected};
use crate::simulation::broker::ms;
use crate::simulation::world::{Actor, Pid, Turn, world};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProduceRequest,
    ProducerId, RequestKind, ResponseKind, TxnOffsetCommitRequest,
};
use runtime::cluster::RecordProducer;
use runtime::kafka::ClientError;
use runtime::outgoing::Outgoing;
use runtime::producer::Delivery;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a record may take to be delivered.
const DELIVERY: Duration = Duration::from_secs(20);
/// Pause before a request that came too early is sent again.
const TOO_EARLY: Duration = Duration::from_millis(40);
/// Most records in one batch.
const BATCH_MAX: usize = 50;

/// A producer.
pub(crate) struct SimProducer {
    shared: Arc<Shared>,
}

struct Shared {
    pid: Pid,
    id: Option<String>,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    producer: Option<(i64, i16)>,
    sequences: BTreeMap<(String, i32), i32>,
    queue: Vec<Queued>,
    /// Partitions and groups that are part of the open transaction.
    added: BTreeSet<(String, i32)>,
    offsets_added: bool,
    /// A flush of the queue is under way or about to be.
    flushing: bool,
    /// The producer is of no use any more.
    dead: Option<String>,
}

struct Queued {
    record: Outgoing,
    partition: i32,
    delivery: Arc<Delivery>,
}

impl SimProducer {
    pub fn open(pid: Pid, id: Option<&str>, timeout: Duration) -> Result<Self, ClientError> {
        world().gate(pid, "producer");
        let shared = Shared { pid, id: id.map(str::to_owned), timeout, state: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A transaction that commits positions alone, without anything that was sent: only broken variants do that.
    pub fn commit_early(
        &self,
        next: &[(Arc<str>, i32, i64)],
        group: Option<&Proof>,
        longest: Duration,
    ) -> Result<(), ClientError> {
        if let Some(group) = group.filter(|_| !next.is_empty()) {
            self.shared.add_offsets(next, group, longest)?;
        }
        self.shared.end(true, longest)
    }
}

impl RecordProducer for SimProducer {
    type Membership = Proof;

    fn send(&self, record: &Outgoing, delivery: &Arc<Delivery>) -> Result<(), ClientError> {
        let shared = &self.shared;
        let partition = record.partition.unwrap_or_else(|| partition_of(record.key.as_deref()));
        delivery.expect_one();
        let start = {
            let mut state = shared.state();
            if let Some(reason) = &state.dead {
                delivery.settle(Err(reason.clone()));
                return Err(ClientError::Fenced(reason.clone()));
            }
            state.queue.push(Queued { record: record.clone(), partition, delivery: Arc::clone(delivery) });
            // A producer without transactions sends by itself; so does one with, now and then.
            let start = !state.flushing && shared.id.is_none();
            state.flushing |= start;
            start
        };
        let world = world();
        if start {
            let delay = world.random(|prng| prng.between(Duration::ZERO, Duration::from_millis(20)));
            world.spawn(Some(shared.pid), "flush", delay, Box::new(Flush(Arc::clone(shared))));
        } else if shared.id.is_some() && world.chance(500) {
            shared.flush(DELIVERY.min(shared.timeout));
        }
        Ok(())
    }

    fn init_transactions(&self, longest: Duration) -> Result<(), ClientError> {
        self.shared.init(longest)
    }

    fn begin(&self) -> Result<(), ClientError> {
        world().gate(self.shared.pid, "begin");
        let mut state = self.shared.state();
        state.added.clear();
        state.offsets_added = false;
        state.dead.clone().map_or(Ok(()), |reason| Err(ClientError::Fenced(reason)))
    }

    fn commit(
        &self,
        delivery: &Delivery,
        next: &[(Arc<str>, i32, i64)],
        group: Option<&Proof>,
        longest: Duration,
    ) -> Result<(), ClientError> {
        let shared = &self.shared;
        if let Some(group) = group.filter(|_| !next.is_empty()) {
            shared.add_offsets(next, group, longest)?;
        }
        let world = world();
        if world.chance(2 * world.faults().lose) {
            world.note("refused", || shared.pid.to_string());
            return Err(ClientError::Delivery("the cluster refuses the records for now".to_owned()));
        }
        shared.flush(longest);
        delivery.wait(Duration::ZERO, || "simulation".to_owned())?;
        shared.end(true, longest)
    }

    fn abort(&self, longest: Duration) -> Result<(), ClientError> {
        let shared = &self.shared;
        let queue = std::mem::take(&mut shared.state().queue);
        queue.iter().for_each(|queued| queued.delivery.settle(Err("the transaction was aborted".to_owned())));
        shared.end(false, longest)
    }
}

/// Sends what waits in the queue of a producer.
struct Flush(Arc<Shared>);

impl Actor for Flush {
    fn turn(&mut self) -> Turn {
        if self.0.state().producer.is_none() && self.0.init(DELIVERY).is_err() {
            self.0.fail_queue("no producer id");
            self.0.state().flushing = false;
            return Turn::Done;
        }
        self.0.flush(DELIVERY);
        let mut state = self.0.state();
        if state.queue.is_empty() {
            state.flushing = false;
            return Turn::Done;
        }
        Turn::After(Duration::from_millis(1))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn init(&self, longest: Duration) -> Result<(), ClientError> {
        let timeout = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(self.id.as_deref().map(transactional_id))
            .with_transaction_timeout_ms(timeout)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let body = RequestKind::InitProducerId(request);
        let answer = self.patiently("init-producer", &body, 4, longest, |answer| match answer {
            ResponseKind::InitProducerId(answer) => Some(answer.error_code),
            _ => None,
        })?;
        if let ResponseKind::InitProducerId(answer) = answer {
            let mut state = self.state();
            state.producer = Some((answer.producer_id.0, answer.producer_epoch));
            state.sequences.clear();
        }
        Ok(())
    }

    /// Calls until the answer is not that it is too early.
    fn patiently(
        &self,
        what: &'static str,
        body: &RequestKind,
        version: i16,
        longest: Duration,
        code: impl Fn(&ResponseKind) -> Option<i16>,
    ) -> Result<ResponseKind, ClientError> {
        let world = world();
        let until = world.now() + longest;
        loop {
            let answer = call(self.pid, what, body, version, longest)?;
            let Some(code) = code(&answer) else { return Err(unexpected(&world, what, &answer)) };
            match ResponseError::try_from_code(code) {
                None => return Ok(answer),
                Some(
                    ResponseError::ConcurrentTransactions
                    | ResponseError::CoordinatorLoadInProgress
                    | ResponseError::CoordinatorNotAvailable
                    | ResponseError::NotCoordinator,
                ) if world.now() < until => world.pass(TOO_EARLY),
                Some(
                    ResponseError::ProducerFenced
                    | ResponseError::InvalidProducerEpoch
                    | ResponseError::InvalidProducerIdMapping
                    | ResponseError::TransactionalIdAuthorizationFailed,
                ) => return Err(self.fence(format!("{what}: error {code}"))),
                Some(_) => return Err(failed(what, code)),
            }
        }
    }

    fn fence(&self, reason: String) -> ClientError {
        world().note("fenced", || format!("{} {reason}", self.pid));
        self.state().dead = Some(reason.clone());
        ClientError::Fenced(reason)
    }

    fn fail_queue(&self, reason: &str) {
        let queue = std::mem::take(&mut self.state().queue);
        queue.iter().for_each(|queued| queued.delivery.settle(Err(reason.to_owned())));
    }

    /// Sends all that is queued; the deliveries learn how it went.
    fn flush(&self, longest: Duration) {
        let queue = std::mem::take(&mut self.state().queue);
        let mut batches: BTreeMap<(String, i32), Vec<Queued>> = BTreeMap::new();
        for queued in queue {
            batches.entry((queued.record.topic.to_string(), queued.partition)).or_default().push(queued);
        }
        for ((topic, partition), queued) in batches {
            for batch in queued.chunks(BATCH_MAX) {
                let outcome = self.produce(&topic, partition, batch, longest);
                for (number, queued) in (0_i64..).zip(batch) {
                    let ticket = queued.record.ticket;
                    queued.delivery.settle(match &outcome {
                        Ok(base) => Ok(ticket.map(|ticket| (ticket, partition, base + number))),
                        Err(error) => Err(error.to_string()),
                    });
                }
            }
        }
    }

    fn produce(&self, topic: &str, partition: i32, batch: &[Queued], longest: Duration) -> Result<i64, ClientError> {
        if self.id.is_some() {
            self.add_partition(topic, partition, longest)?;
        }
        let place = (topic.to_owned(), partition);
        let (producer, sequence) = {
            let state = self.state();
            (state.producer, state.sequences.get(&place).copied().unwrap_or_default())
        };
        let Some((producer_id, epoch)) = producer else { return Err(failed("produce", -1)) };
        let writer = Writer { producer_id, epoch, sequence, transactional: self.id.is_some() };
        let records: Vec<Outgoing> = batch.iter().map(|queued| queued.record.clone()).collect();
        let bytes = encode(&records, writer, ms(world().now())).map_err(ClientError::Delivery)?;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(bytes));
        let topic_data = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(self.id.as_deref().map(transactional_id))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic_data]);
        let answer = call(self.pid, "produce", &RequestKind::Produce(request), 11, longest);
        let answer = answer.inspect_err(|error| {
            // It may or may not be there: with what was sent and not confirmed the sequence is lost.
            self.fence(error.to_string());
        })?;
        let ResponseKind::Produce(produced) = &answer else { return Err(unexpected(&world(), "produce", &answer)) };
        let told = produced.responses.iter().flat_map(|topic| &topic.partition_responses).next();
        let Some(told) = told else { return Err(unexpected(&world(), "produce", &answer)) };
        match ResponseError::try_from_code(told.error_code) {
            None => {
                let count = i32::try_from(batch.len()).unwrap_or(i32::MAX);
                self.state().sequences.insert(place, sequence.wrapping_add(count));
                for (number, queued) in (0_i64..).zip(batch) {
                    let value = if queued.record.value.is_some() { "" } else { " nothing" };
                    world().tell("wrote", || {
                        let key =
                            String::from_utf8_lossy(queued.record.key.as_deref().unwrap_or_default()).into_owned();
                        let id = runtime::outgoing::header_text(&queued.record.headers, schemas::headers::ID);
                        let id = id.unwrap_or_default();
                        format!("{} {topic}-{partition}@{} {key} {id}{value}", self.pid, told.base_offset + number)
                    });
                }
                Ok(told.base_offset)
            }
            Some(ResponseError::ProducerFenced | ResponseError::InvalidProducerEpoch) => {
                Err(self.fence(format!("produce: error {}", told.error_code)))
            }
            Some(_) => Err(self.fence(format!("produce: error {}", told.error_code))),
        }
    }

    fn add_partition(&self, topic: &str, partition: i32, longest: Duration) -> Result<(), ClientError> {
        let place = (topic.to_owned(), partition);
        let (added, producer) = {
            let state = self.state();
            (state.added.contains(&place), state.producer)
        };
        let Some((producer_id, epoch)) = producer else { return Err(failed("add-partitions", -1)) };
        if added {
            return Ok(());
        }
        let topics =
            vec![AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition])];
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id(self.id.as_deref().unwrap_or_default()))
            .with_v3_and_below_producer_id(ProducerId(producer_id))
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(topics);
        let body = RequestKind::AddPartitionsToTxn(request);
        self.patiently("add-partitions", &body, 3, longest, |answer| match answer {
            ResponseKind::AddPartitionsToTxn(answer) => answer
                .results_by_topic_v3_and_below
                .iter()
                .flat_map(|topic| &topic.results_by_partition)
                .map(|partition| partition.partition_error_code)
                .next(),
            _ => None,
        })?;
        self.state().added.insert(place);
        Ok(())
    }

    fn add_offsets(&self, next: &[(Arc<str>, i32, i64)], group: &Proof, longest: Duration) -> Result<(), ClientError> {
        let Some((producer_id, epoch)) = self.state().producer else { return Err(failed("add-offsets", -1)) };
        let id = transactional_id(self.id.as_deref().unwrap_or_default());
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(id.clone())
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch)
            .with_group_id(group_id(&group.group));
        self.patiently("add-offsets", &RequestKind::AddOffsetsToTxn(request), 3, longest, |answer| match answer {
            ResponseKind::AddOffsetsToTxn(answer) => Some(answer.error_code),
            _ => None,
        })?;
        self.state().offsets_added = true;
        world().tell("positions", || format!("{} {next:?}", self.pid));
        let topics = next.iter().map(|(topic, partition, offset)| {
            let position = TxnOffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(*offset);
            TxnOffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![position])
        });
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id)
            .with_group_id(group_id(&group.group))
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch)
            .with_generation_id(group.generation)
            .with_member_id(text(&group.member))
            .with_topics(topics.collect());
        self.patiently("commit-offsets", &RequestKind::TxnOffsetCommit(request), 3, longest, |answer| match answer {
            ResponseKind::TxnOffsetCommit(answer) => {
                let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code);
                Some(codes.max_by_key(|code| *code != 0).unwrap_or_default())
            }
            _ => None,
        })?;
        Ok(())
    }

    fn end(&self, commit: bool, longest: Duration) -> Result<(), ClientError> {
        let (producer, anything, dead) = {
            let state = self.state();
            (state.producer, state.offsets_added || !state.added.is_empty(), state.dead.clone())
        };
        if let Some(reason) = dead {
            return Err(ClientError::Fenced(reason));
        }
        let Some((producer_id, epoch)) = producer else { return Err(failed("end", -1)) };
        if anything {
            let request = EndTxnRequest::default()
                .with_transactional_id(transactional_id(self.id.as_deref().unwrap_or_default()))
                .with_producer_id(ProducerId(producer_id))
                .with_producer_epoch(epoch)
                .with_committed(commit);
            let what = if commit { "commit" } else { "abort" };
            self.patiently(what, &RequestKind::EndTxn(request), 3, longest, |answer| match answer {
                ResponseKind::EndTxn(answer) => Some(answer.error_code),
                _ => None,
            })?;
        }
        world().tell(if commit { "committed" } else { "aborted" }, || self.pid.to_string());
        let mut state = self.state();
        state.added.clear();
        state.offsets_added = false;
        Ok(())
    }
}

/// Any stable function of the key does, as long as everybody uses the same.
fn partition_of(key: Option<&[u8]>) -> i32 {
    let key = key.unwrap_or_default();
    let sum = key.iter().fold(7_i32, |sum, byte| sum.wrapping_mul(31).wrapping_add(i32::from(*byte)));
    sum.rem_euclid(PARTITIONS)
}
