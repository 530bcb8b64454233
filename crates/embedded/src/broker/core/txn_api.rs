//! Requests of transactional and idempotent producers, and what ends their transactions.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId, ResponseKind,
};

use super::super::storage::{BatchHeader, control_batch};
use super::Core;
use super::entry::{Entry, PartitionSet};
use super::transactions::{State, Transaction};

/// How long the storage has to recover before a transaction that cannot end is tried again, milliseconds.
const RETRY_MS: i64 = 500;

impl Core {
    pub(super) fn init_producer_id(
        &mut self,
        version: i16,
        request: &InitProducerIdRequest,
        now_ms: i64,
    ) -> ResponseKind {
        let outcome = match &request.transactional_id {
            None => self.new_producer_id().map(|id| (id, 0)),
            Some(id) => self.init_transactional(id, request, now_ms),
        };
        let answer = InitProducerIdResponse::default();
        match outcome {
            Ok((id, epoch)) => answer.with_producer_id(ProducerId(id)).with_producer_epoch(epoch),
            Err(error) => {
                let code = if version < 4 { before_fencing(error) } else { error }.code();
                answer.with_error_code(code).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
            }
        }
        .into()
    }

    fn new_producer_id(&mut self) -> Result<i64, ResponseError> {
        let id = self.counters.producers;
        self.counters.producers += 1;
        // A number that was not kept is not used either.
        self.write(&Entry::Counters(self.counters)).map_err(|_| ResponseError::CoordinatorNotAvailable)?;
        Ok(id)
    }

    fn init_transactional(
        &mut self,
        id: &str,
        request: &InitProducerIdRequest,
        now_ms: i64,
    ) -> Result<(i64, i16), ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let timeout_ms = request.transaction_timeout_ms;
        if timeout_ms <= 0 || timeout_ms > self.options.transaction_timeout_max_ms {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let expected = (request.producer_id.0 >= 0).then_some((request.producer_id.0, request.producer_epoch));
        let Some(known) = self.transactions.get(id) else {
            if self.transactions.len() >= self.options.transactional_ids_max {
                return Err(ResponseError::PolicyViolation);
            }
            let producer_id = self.new_producer_id()?;
            let new =
                Transaction { producer_id, last_epoch: -1, timeout_ms, updated_ms: now_ms, ..Transaction::default() };
            return self.put_transaction(id, new);
        };
        if known.state.preparing().is_some() {
            self.complete(id, now_ms);
        }
        let Some(known) = self.transactions.get(id) else { return Err(ResponseError::CoordinatorNotAvailable) };
        if known.state.preparing().is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if let Some((producer_id, epoch)) = expected {
            let retried = producer_id == known.producer_id && epoch == known.last_epoch;
            if retried && known.state != State::Ongoing {
                return Ok((known.producer_id, known.epoch));
            }
            if (producer_id, epoch) != (known.producer_id, known.epoch) {
                return Err(ResponseError::ProducerFenced);
            }
        }
        if known.state == State::Ongoing {
            self.end(id, false, true, now_ms)?;
        }
        self.next_epoch(id, expected.map(|(_, epoch)| epoch), timeout_ms, now_ms)
    }

    fn next_epoch(
        &mut self,
        id: &str,
        last: Option<i16>,
        timeout_ms: i32,
        now_ms: i64,
    ) -> Result<(i64, i16), ResponseError> {
        let known = self.transactions.get(id).cloned().ok_or(ResponseError::CoordinatorNotAvailable)?;
        if known.state.preparing().is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let (producer_id, epoch) =
            if known.is_exhausted() { (self.new_producer_id()?, 0) } else { (known.producer_id, known.epoch + 1) };
        let last_epoch = last.filter(|_| epoch > 0).unwrap_or(-1);
        let next =
            Transaction { producer_id, epoch, last_epoch, timeout_ms, updated_ms: now_ms, ..Transaction::default() };
        self.put_transaction(id, next)
    }

    fn put_transaction(&mut self, id: &str, transaction: Transaction) -> Result<(i64, i16), ResponseError> {
        let kept = self.write(&Entry::Transaction(id.to_owned(), transaction.clone()));
        kept.map_err(|_| ResponseError::CoordinatorNotAvailable)?;
        let now = (transaction.producer_id, transaction.epoch);
        self.transactions.insert(id.to_owned(), transaction);
        Ok(now)
    }

    pub(super) fn add_partitions_to_txn(
        &mut self,
        version: i16,
        request: AddPartitionsToTxnRequest,
        now_ms: i64,
    ) -> ResponseKind {
        let answer = AddPartitionsToTxnResponse::default();
        if version < 4 {
            let producer = (request.v3_and_below_producer_id.0, request.v3_and_below_producer_epoch);
            let id = request.v3_and_below_transactional_id;
            let topics = self.add_partitions(version, &id, producer, &request.v3_and_below_topics, now_ms);
            return answer.with_results_by_topic_v3_and_below(topics).into();
        }
        let results = request.transactions.into_iter().map(|transaction| {
            let producer = (transaction.producer_id.0, transaction.producer_epoch);
            let id = &transaction.transactional_id;
            let topics = if transaction.verify_only {
                self.verify_partitions(id, producer, &transaction.topics)
            } else {
                self.add_partitions(version, id, producer, &transaction.topics, now_ms)
            };
            AddPartitionsToTxnResult::default()
                .with_transactional_id(transaction.transactional_id.clone())
                .with_topic_results(topics)
        });
        answer.with_results_by_transaction(results.collect()).into()
    }

    fn verify_partitions(
        &self,
        id: &str,
        (producer_id, epoch): (i64, i16),
        topics: &[AddPartitionsToTxnTopic],
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        let known = self.transactions.get(id).ok_or(ResponseError::InvalidProducerIdMapping);
        let known = known.and_then(|known| known.admit_more(producer_id, epoch).map(|()| known));
        topic_results(topics, |topic, partition| match known {
            Ok(transaction) if transaction.has(topic, partition) => 0,
            Ok(_) => ResponseError::InvalidTxnState.code(),
            Err(error) => error.code(),
        })
    }

    fn add_partitions(
        &mut self,
        version: i16,
        id: &str,
        producer: (i64, i16),
        topics: &[AddPartitionsToTxnTopic],
        now_ms: i64,
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        let exists = |topic: &str, partition| self.registry.partition(topic, partition).is_some();
        let all = topics.iter().all(|topic| topic.partitions.iter().all(|index| exists(&topic.name, *index)));
        if !all {
            return topic_results(topics, |topic, partition| match exists(topic, partition) {
                true => ResponseError::OperationNotAttempted.code(),
                false => ResponseError::UnknownTopicOrPartition.code(),
            });
        }
        let mut wanted = PartitionSet::new();
        for topic in topics {
            wanted.entry(topic.name.to_string()).or_default().extend(&topic.partitions);
        }
        let code = self.add_to_transaction(version, id, producer, (&wanted, None), now_ms);
        topic_results(topics, |_, _| code)
    }

    pub(super) fn add_offsets_to_txn(
        &mut self,
        version: i16,
        request: &AddOffsetsToTxnRequest,
        now_ms: i64,
    ) -> ResponseKind {
        let producer = (request.producer_id.0, request.producer_epoch);
        let more = (&PartitionSet::new(), Some(request.group_id.as_str()));
        let code = self.add_to_transaction(version, &request.transactional_id, producer, more, now_ms);
        AddOffsetsToTxnResponse::default().with_error_code(code).into()
    }

    fn add_to_transaction(
        &mut self,
        version: i16,
        id: &str,
        (producer_id, epoch): (i64, i16),
        (partitions, group): (&PartitionSet, Option<&str>),
        now_ms: i64,
    ) -> i16 {
        if id.is_empty() {
            return ResponseError::InvalidRequest.code();
        }
        let known = self.transactions.get(id).ok_or(ResponseError::InvalidProducerIdMapping);
        let admitted = known.and_then(|known| known.admit_more(producer_id, epoch).map(|()| known.clone()));
        let outcome = admitted.and_then(|mut transaction| {
            if transaction.add(partitions, group, now_ms) {
                self.put_transaction(id, transaction)?;
            }
            Ok(())
        });
        let version_2 = |error| if version < 2 { before_fencing(error) } else { error };
        outcome.err().map_or(0, |error| version_2(error).code())
    }

    pub(super) fn end_txn(&mut self, version: i16, request: &EndTxnRequest, now_ms: i64) -> ResponseKind {
        let id = request.transactional_id.as_str();
        let known = self.transactions.get(id).ok_or(ResponseError::InvalidProducerIdMapping);
        let producer = (request.producer_id.0, request.producer_epoch);
        let admitted = known.and_then(|known| known.admit_end(producer.0, producer.1, request.committed));
        let outcome =
            admitted.and_then(|open| if open { self.end(id, request.committed, false, now_ms) } else { Ok(()) });
        let error = outcome.err().map(|error| if version < 2 { before_fencing(error) } else { error });
        EndTxnResponse::default()
            .with_error_code(error.map_or(0, |error| error.code()))
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
            .into()
    }

    /// Decides how an open transaction ends. When this returns it will end so, whatever happens.
    fn end(&mut self, id: &str, commit: bool, fence: bool, now_ms: i64) -> Result<(), ResponseError> {
        let known = self.transactions.get(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        let prepared = known.prepared(commit, fence, now_ms);
        self.put_transaction(id, prepared)?;
        self.complete(id, now_ms);
        Ok(())
    }

    /// Writes the markers of a transaction whose end was decided. What fails is tried again as time passes.
    fn complete(&mut self, id: &str, now_ms: i64) {
        let Some(transaction) = self.transactions.get(id).cloned() else { return };
        let Some(commit) = transaction.state.preparing() else { return };
        let mut done = PartitionSet::new();
        for (topic, partitions) in &transaction.partitions {
            for index in partitions {
                if self.write_marker(topic, *index, &transaction, commit, now_ms) {
                    done.entry(topic.clone()).or_default().insert(*index);
                }
            }
        }
        // Only what is missing is written the next time: a retry must not ask for more than it wrote itself.
        let missing = self.transactions.get_mut(id).is_some_and(|known| {
            known.partitions.retain(|topic, partitions| {
                partitions.retain(|index| !done.get(topic).is_some_and(|done| done.contains(index)));
                !partitions.is_empty()
            });
            !known.partitions.is_empty()
        });
        if missing || !self.complete_groups(id, &transaction, commit, now_ms) {
            self.retry_ms = Some(now_ms.saturating_add(RETRY_MS));
        }
    }

    fn complete_groups(&mut self, id: &str, transaction: &Transaction, commit: bool, now_ms: i64) -> bool {
        let effects = self.groups.end_transaction(transaction.producer_id, commit, now_ms);
        self.carry_out(effects) && self.put_transaction(id, transaction.completed(now_ms)).is_ok()
    }

    /// Whether the marker is in the log, or there is no log any more.
    fn write_marker(&mut self, topic: &str, index: i32, transaction: &Transaction, commit: bool, now_ms: i64) -> bool {
        let (storage, registry) = (&mut *self.storage, &mut self.registry);
        let Some(topic) = registry.get_mut(topic) else { return true };
        let settings = topic.settings.clone();
        let found = usize::try_from(index).ok().and_then(|index| topic.partitions.get_mut(index));
        let Some(partition) = found else { return true };
        let marker = control_batch(transaction.producer_id, transaction.epoch, commit, now_ms);
        let Ok(header) = BatchHeader::parse(&marker) else { return false };
        match partition.place(storage, &header, &marker, &settings, None, now_ms) {
            Ok(placed) => {
                if let Some(range) = partition.producers.note_marker(&placed, commit) {
                    partition.log.note_aborted(range);
                }
                self.woken.extend(partition.waiting.iter().copied());
                true
            }
            Err(error) => {
                tracing::error!(%error, "transaction marker not kept");
                false
            }
        }
    }

    /// Ends what a crash or a full disk has interrupted.
    pub(super) fn complete_prepared(&mut self, now_ms: i64) {
        self.retry_ms = None;
        let prepared = self.transactions.iter().filter(|(_, transaction)| transaction.state.preparing().is_some());
        let ids: Vec<String> = prepared.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.complete(&id, now_ms);
        }
    }

    /// Aborts what took too long, and shuts its producer out.
    pub(super) fn end_late_transactions(&mut self, now_ms: i64) {
        let late = self.transactions.iter().filter(|(_, known)| known.deadline_ms().is_some_and(|at| at <= now_ms));
        let ids: Vec<String> = late.map(|(id, _)| id.clone()).collect();
        for id in ids {
            if let Err(error) = self.end(&id, false, true, now_ms) {
                tracing::warn!(%error, "transaction that took too long not aborted yet");
            }
        }
        self.complete_prepared(now_ms);
    }
}

/// What clients were told before there was a code for a producer that is shut out.
fn before_fencing(error: ResponseError) -> ResponseError {
    if error == ResponseError::ProducerFenced { ResponseError::InvalidProducerEpoch } else { error }
}

fn topic_results(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&str, i32) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic| {
        let partitions = topic.partitions.iter().map(|index| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code(&topic.name, *index))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    };
    topics.iter().map(result).collect()
}
