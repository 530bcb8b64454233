//! Requests about groups go to their coordinator; what it wants done is done here.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    GroupId, ProducerId, RequestKind, ResponseKind, TransactionalId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use std::collections::BTreeMap;

use super::super::groups::{Effect, Topics};
use super::super::wire::{Request, RequestId, Response};
use super::Core;
use super::entry::{Entry, TransactionOffsets};
use super::registry::{Registry, text, topic_name};
use super::transactions::{State, Transaction};

/// What the coordinator of groups may see.
struct View<'a> {
    registry: &'a Registry,
    transactions: &'a BTreeMap<String, Transaction>,
}

impl Topics for View<'_> {
    fn partitions(&self, topic: &str) -> Option<i32> {
        self.registry.get(topic).map(|topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
    }

    fn producer_error(&self, transactional_id: &str, producer_id: i64, epoch: i16) -> i16 {
        match self.transactions.get(transactional_id) {
            Some(known) if known.producer_id != producer_id => ResponseError::InvalidProducerIdMapping.code(),
            Some(known) if known.epoch != epoch => ResponseError::InvalidProducerEpoch.code(),
            Some(known) if known.state != State::Ongoing => ResponseError::InvalidTxnState.code(),
            Some(_) => 0,
            None => ResponseError::InvalidProducerIdMapping.code(),
        }
    }
}

impl Core {
    pub(super) fn handle_group(&mut self, request: &Request, now_ms: i64) {
        if let RequestKind::TxnOffsetCommit(commit) = &request.body
            && let Err(error) = self.keep_pending(commit)
        {
            return self.respond(request.id, Some(refuse(commit, error)));
        }
        let view = View { registry: &self.registry, transactions: &self.transactions };
        let effects = self.groups.handle(request, &view, now_ms);
        self.carry_out(effects);
    }

    /// Does what the coordinator wants; false when something could not be kept. Then whoever waits for an answer hears
    /// that the coordinator is not available, and tries again.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) -> bool {
        let mut kept = true;
        for effect in effects {
            match effect {
                Effect::Persist(entries) => kept &= self.write(&Entry::Offsets(entries)).is_ok(),
                Effect::Respond(mut response) => {
                    if !kept {
                        spoil(&mut response);
                    }
                    self.responses.push(response);
                }
            }
        }
        kept
    }

    /// Keeps the positions of an open transaction, so that a restart does not lose them.
    fn keep_pending(&mut self, commit: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
        let offsets = TransactionOffsets::of(commit);
        let view = View { registry: &self.registry, transactions: &self.transactions };
        if view.producer_error(&offsets.transactional_id, offsets.producer_id, offsets.epoch) != 0 {
            return Ok(()); // the coordinator refuses it
        }
        let known = self.transactions.get(&offsets.transactional_id);
        if !known.is_some_and(|known| known.groups.contains(&offsets.group)) {
            return Err(ResponseError::InvalidTxnState);
        }
        self.write(&Entry::TransactionOffsets(offsets.clone())).map_err(|_| ResponseError::CoordinatorNotAvailable)?;
        self.pending_offsets.entry(offsets.producer_id).or_default().push(offsets);
        Ok(())
    }

    /// Gives the coordinator the positions of open transactions back.
    pub(super) fn restore_pending_offsets(&mut self, now_ms: i64) {
        let pending = std::mem::take(&mut self.pending_offsets);
        for offsets in pending.values().flatten() {
            let body = RequestKind::TxnOffsetCommit(offsets.request());
            let id = RequestId { connection: 0, number: 0 };
            let request = Request { id, api_version: 3, client_id: String::new(), client_host: String::new(), body };
            let known = OpenAgain(View { registry: &self.registry, transactions: &self.transactions });
            self.groups.handle(&request, &known, now_ms);
        }
        self.pending_offsets = pending;
    }
}

/// At the start, what was admitted before is not judged again: its transaction may be ending by now.
struct OpenAgain<'a>(View<'a>);

impl Topics for OpenAgain<'_> {
    fn partitions(&self, topic: &str) -> Option<i32> {
        self.0.partitions(topic)
    }

    fn producer_error(&self, _transactional_id: &str, _producer_id: i64, _epoch: i16) -> i16 {
        0
    }
}

impl TransactionOffsets {
    fn of(commit: &TxnOffsetCommitRequest) -> Self {
        let positions = commit.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|position| {
                let metadata = position.committed_metadata.as_ref().map(|metadata| metadata.to_string());
                let (offset, epoch) = (position.committed_offset, position.committed_leader_epoch);
                (topic.name.to_string(), position.partition_index, offset, epoch, metadata)
            })
        });
        Self {
            transactional_id: commit.transactional_id.to_string(),
            producer_id: commit.producer_id.0,
            epoch: commit.producer_epoch,
            group: commit.group_id.to_string(),
            positions: positions.collect(),
        }
    }

    fn request(&self) -> TxnOffsetCommitRequest {
        let topics = self.positions.iter().map(|(topic, partition, offset, leader_epoch, metadata)| {
            let position = TxnOffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(*leader_epoch)
                .with_committed_metadata(metadata.as_deref().map(text));
            TxnOffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![position])
        });
        TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_group_id(GroupId(text(&self.group)))
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_generation_id(-1)
            .with_topics(topics.collect())
    }
}

fn refuse(commit: &TxnOffsetCommitRequest, error: ResponseError) -> ResponseKind {
    let topics = commit.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|position| {
            let refused = TxnOffsetCommitResponsePartition::default().with_partition_index(position.partition_index);
            refused.with_error_code(error.code())
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect()).into()
}

/// Makes an answer say that nothing was kept.
fn spoil(response: &mut Response) {
    let code = ResponseError::CoordinatorNotAvailable.code();
    match &mut response.body {
        Some(ResponseKind::OffsetCommit(body)) => {
            body.topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|p| p.error_code = code);
        }
        Some(ResponseKind::OffsetDelete(body)) => body.error_code = code,
        Some(ResponseKind::DeleteGroups(body)) => body.results.iter_mut().for_each(|group| group.error_code = code),
        _ => {}
    }
}
