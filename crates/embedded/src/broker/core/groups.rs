//! Requests about groups go to their coordinator; what it wants done is done here.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{RequestKind, ResponseKind, TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::super::groups::{Effect, Topics};
use super::super::wire::{Request, Response};
use super::Core;
use super::entry::Entry;
use super::registry::Registry;
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
            && let Err(error) = self.admit_group(commit)
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
                Effect::Persist(entries) => {
                    if self.write(&Entry::Offsets(entries)).is_err() {
                        // The coordinator has them in memory.
                        self.is_ahead = true;
                        kept = false;
                    }
                }
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

    /// Whether the group was added to the transaction in which it is to commit. The coordinator judges the rest.
    fn admit_group(&self, commit: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
        let known = self.transactions.get(commit.transactional_id.as_str());
        let current = known.filter(|known| known.admit_more(commit.producer_id.0, commit.producer_epoch).is_ok());
        match current {
            Some(known) if !known.groups.contains(commit.group_id.as_str()) => Err(ResponseError::InvalidTxnState),
            _ => Ok(()),
        }
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
        Some(ResponseKind::TxnOffsetCommit(body)) => {
            body.topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|p| p.error_code = code);
        }
        Some(ResponseKind::OffsetDelete(body)) => body.error_code = code,
        Some(ResponseKind::DeleteGroups(body)) => body.results.iter_mut().for_each(|group| group.error_code = code),
        _ => {}
    }
}
