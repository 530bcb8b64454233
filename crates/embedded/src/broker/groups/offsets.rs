//! Positions of groups: commit, fetch, delete, alone and in transactions.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::group::{Group, State};
use super::{Groups, OffsetEntry, Position, Topics, Turn};
use crate::broker::wire::Request;

/// A committed position as a request says it.
struct Commit<'a> {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: &'a str,
}

impl<'a> From<&'a OffsetCommitRequestPartition> for Commit<'a> {
    fn from(partition: &'a OffsetCommitRequestPartition) -> Self {
        Self {
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref().unwrap_or_default(),
        }
    }
}

impl<'a> From<&'a TxnOffsetCommitRequestPartition> for Commit<'a> {
    fn from(partition: &'a TxnOffsetCommitRequestPartition) -> Self {
        Self {
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref().unwrap_or_default(),
        }
    }
}

/// Who commits.
struct Committer<'a> {
    generation: i32,
    member: &'a StrBytes,
    instance: Option<&'a StrBytes>,
    /// The producer in whose transaction the commit is.
    producer: Option<i64>,
}

impl Groups {
    pub(super) fn offset_commit(
        &mut self,
        request: &Request,
        body: &OffsetCommitRequest,
        topics: &dyn Topics,
        now_ms: i64,
    ) {
        let committer = Committer {
            generation: body.generation_id_or_member_epoch,
            member: &body.member_id,
            instance: body.group_instance_id.as_ref(),
            producer: None,
        };
        let checked = self.check_commit(&body.group_id, &committer, now_ms);
        let mut entries = Vec::new();
        let mut answers = Vec::new();
        for topic in &body.topics {
            let partitions = topic.partitions.iter().map(|partition| {
                let commit = Commit::from(partition);
                let kept = checked
                    .and_then(|()| self.keep(&body.group_id, &topic.name, &commit, &committer, (topics, now_ms)));
                let code = collect(kept, &mut entries);
                OffsetCommitResponsePartition::default().with_partition_index(commit.partition).with_error_code(code)
            });
            let partitions = partitions.collect();
            answers
                .push(OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions));
        }
        self.persist(entries);
        self.respond(request.id, OffsetCommitResponse::default().with_topics(answers).into());
    }

    pub(super) fn txn_offset_commit(
        &mut self,
        request: &Request,
        body: &TxnOffsetCommitRequest,
        topics: &dyn Topics,
        now_ms: i64,
    ) {
        let committer = Committer {
            generation: body.generation_id,
            member: &body.member_id,
            instance: body.group_instance_id.as_ref(),
            producer: Some(body.producer_id.0),
        };
        let code = topics.producer_error(&body.transactional_id, body.producer_id.0, body.producer_epoch);
        let checked = match ResponseError::try_from_code(code) {
            Some(error) => Err(error),
            None => self.check_commit(&body.group_id, &committer, now_ms),
        };
        let mut entries = Vec::new();
        let mut answers = Vec::new();
        for topic in &body.topics {
            let partitions = topic.partitions.iter().map(|partition| {
                let commit = Commit::from(partition);
                let kept = checked
                    .and_then(|()| self.keep(&body.group_id, &topic.name, &commit, &committer, (topics, now_ms)));
                let code = collect(kept, &mut entries);
                TxnOffsetCommitResponsePartition::default().with_partition_index(commit.partition).with_error_code(code)
            });
            let partitions = partitions.collect();
            answers.push(
                TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions),
            );
        }
        self.persist(entries);
        self.respond(request.id, TxnOffsetCommitResponse::default().with_topics(answers).into());
    }

    pub(super) fn offset_delete(
        &mut self,
        request: &Request,
        body: &OffsetDeleteRequest,
        topics: &dyn Topics,
        now_ms: i64,
    ) {
        let step = |group: &mut Group, turn: &mut Turn<'_>| group.delete_offsets(body, topics, turn);
        let missing = Err(ResponseError::GroupIdNotFound);
        let answer = self.with_group(&body.group_id, now_ms, step).unwrap_or(missing);
        let answer = match answer {
            Ok(answers) => OffsetDeleteResponse::default().with_topics(answers),
            Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
        };
        self.respond(request.id, answer.into());
    }

    /// Whether somebody may commit, and a group to commit to: a consumer that is no member makes one.
    fn check_commit(&mut self, group: &str, committer: &Committer<'_>, now_ms: i64) -> Result<(), ResponseError> {
        if group.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        if !self.groups.contains_key(group) {
            if committer.generation >= 0 {
                return Err(ResponseError::IllegalGeneration);
            }
            self.ensure_group(group)?;
        }
        let step = |group: &mut Group, _: &mut Turn<'_>| group.check_commit(committer, now_ms);
        self.with_group(group, now_ms, step).unwrap_or(Err(ResponseError::UnknownMemberId))
    }

    fn keep(
        &mut self,
        group: &str,
        topic: &str,
        commit: &Commit<'_>,
        committer: &Committer<'_>,
        (topics, now_ms): (&dyn Topics, i64),
    ) -> Result<OffsetEntry, ResponseError> {
        if !exists(topics, topic, commit.partition) {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        if commit.metadata.len() > self.options.offset_metadata_bytes_max {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        let Some(found) = self.groups.get_mut(group) else { return Err(ResponseError::UnknownMemberId) };
        let position = Position {
            offset: commit.offset,
            leader_epoch: commit.leader_epoch,
            metadata: commit.metadata.to_owned(),
            committed_ms: now_ms,
        };
        Ok(found.positions.set(group, (topic.to_owned(), commit.partition), committer.producer, position))
    }

    fn persist(&mut self, entries: Vec<OffsetEntry>) {
        if !entries.is_empty() {
            self.effects.push(super::Effect::Persist(entries));
        }
    }
}

impl Group {
    fn check_commit(&mut self, committer: &Committer<'_>, now_ms: i64) -> Result<(), ResponseError> {
        let alone = committer.producer.is_none();
        if committer.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if committer.generation >= 0 || !committer.member.is_empty() || committer.instance.is_some() {
            self.check_member(committer.member, committer.instance)?;
            if committer.generation != self.generation {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if alone {
            return Err(ResponseError::UnknownMemberId);
        }
        if alone && self.state == State::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        if alone {
            self.heard_of(committer.member, now_ms);
        }
        Ok(())
    }

    fn delete_offsets(
        &mut self,
        body: &OffsetDeleteRequest,
        topics: &dyn Topics,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<OffsetDeleteResponseTopic>, ResponseError> {
        let consumers = self.protocol_type.as_deref() == Some(super::subscription::PROTOCOL_TYPE);
        if self.state != State::Empty && !consumers {
            return Err(ResponseError::NonEmptyGroup);
        }
        let mut entries = Vec::new();
        let mut answers = Vec::new();
        for topic in &body.topics {
            let subscribed = self.is_subscribed(&topic.name);
            let partitions = topic.partitions.iter().map(|partition| {
                let partition = partition.partition_index;
                let deleted = if !exists(topics, &topic.name, partition) {
                    Err(ResponseError::UnknownTopicOrPartition)
                } else if subscribed {
                    Err(ResponseError::GroupSubscribedToTopic)
                } else {
                    Ok(self.positions.remove(&self.id, &topic.name, partition))
                };
                let code = deleted.as_ref().err().map_or(0, ResponseError::code);
                entries.extend(deleted.ok().flatten());
                OffsetDeleteResponsePartition::default().with_partition_index(partition).with_error_code(code)
            });
            let partitions = partitions.collect();
            answers
                .push(OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions));
        }
        turn.persist(entries);
        Ok(answers)
    }
}

fn exists(topics: &dyn Topics, topic: &str, partition: i32) -> bool {
    topics.partitions(topic).is_some_and(|count| (0..count).contains(&partition))
}

/// Takes an entry to keep, or says what was wrong.
fn collect(kept: Result<OffsetEntry, ResponseError>, entries: &mut Vec<OffsetEntry>) -> i16 {
    match kept {
        Ok(entry) => {
            entries.push(entry);
            0
        }
        Err(error) => error.code(),
    }
}
