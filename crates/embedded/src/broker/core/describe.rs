//! What operators ask for: partitions, producers, transactions, sizes.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::describe_transactions_response::{self, TopicData};
use kafka_protocol::messages::list_transactions_response;
use kafka_protocol::messages::{
    BrokerId, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse, ProducerId, ResponseKind,
    TransactionalId,
};

use super::registry::{Partition, text, topic_name};
use super::transactions::{State, Transaction};
use super::{Core, LEADER_EPOCH};

/// Most partitions in one answer.
const PARTITIONS_MAX: usize = 2_000;

/// What a client that asks what it may do is answered when there is nothing to say.
const OPERATIONS_UNKNOWN: i32 = i32::MIN;

impl Core {
    pub(super) fn describe_topic_partitions(&self, request: DescribeTopicPartitionsRequest) -> ResponseKind {
        let asked: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
        let all = self.registry.iter().map(|(name, _)| name);
        let names: Vec<&str> = if asked.is_empty() { all.collect() } else { asked.into_iter().collect() };
        let from = request.cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
        let (from, mut index) = from.unwrap_or_default();
        let mut left = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, PARTITIONS_MAX);
        let mut answer = DescribeTopicPartitionsResponse::default();
        for name in names.into_iter().filter(|name| *name >= from.as_str()) {
            let first = usize::try_from(if name == from { std::mem::take(&mut index) } else { 0 }).unwrap_or(0);
            let topic = self.describe_partitions(name, first, left);
            left -= topic.partitions.len();
            let known = self.registry.get(name).map_or(0, |topic| topic.partitions.len());
            let next = first + topic.partitions.len();
            if next < known && left == 0 {
                let next = i32::try_from(next).unwrap_or(i32::MAX);
                let cursor = Cursor::default().with_topic_name(topic_name(name)).with_partition_index(next);
                answer.topics.push(topic);
                return answer.with_next_cursor(Some(cursor)).into();
            }
            answer.topics.push(topic);
        }
        answer.into()
    }

    fn describe_partitions(&self, name: &str, first: usize, max: usize) -> DescribeTopicPartitionsResponseTopic {
        let answer = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic_name(name)))
            .with_topic_authorized_operations(OPERATIONS_UNKNOWN);
        let Some(topic) = self.registry.get(name) else {
            return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
        };
        let node = BrokerId(self.options.node_id);
        let partitions = (0..).zip(&topic.partitions).skip(first).take(max).map(|(index, _)| {
            DescribeTopicPartitionsResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(node)
                .with_leader_epoch(LEADER_EPOCH)
                .with_replica_nodes(vec![node])
                .with_isr_nodes(vec![node])
                // The Java client fails on null here.
                .with_eligible_leader_replicas(Some(Vec::new()))
                .with_last_known_elr(Some(Vec::new()))
        });
        answer.with_topic_id(topic.id).with_partitions(partitions.collect())
    }

    pub(super) fn describe_producers(&self, request: &DescribeProducersRequest) -> ResponseKind {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| {
                let answer = PartitionResponse::default().with_partition_index(*index);
                match self.registry.partition(&topic.name, *index) {
                    Some(partition) => answer.with_active_producers(producers(partition)),
                    None => answer.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
                }
            });
            let partitions = partitions.collect();
            TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        DescribeProducersResponse::default().with_topics(topics.collect()).into()
    }

    pub(super) fn describe_transactions(&self, request: DescribeTransactionsRequest, _now_ms: i64) -> ResponseKind {
        let states = request.transactional_ids.into_iter().map(|id| {
            let answer = describe_transactions_response::TransactionState::default();
            let answer = match self.transactions.get(id.as_str()) {
                Some(known) => described(answer, known),
                None => answer.with_error_code(ResponseError::TransactionalIdNotFound.code()),
            };
            answer.with_transactional_id(id)
        });
        DescribeTransactionsResponse::default().with_transaction_states(states.collect()).into()
    }

    pub(super) fn list_transactions(&self, request: &ListTransactionsRequest, now_ms: i64) -> ResponseKind {
        let names = State::ALL.map(State::name);
        let unknown = request.state_filters.iter().filter(|name| !names.contains(&name.as_str())).cloned();
        let wanted = |id: &str, known: &Transaction| {
            let state = request.state_filters.is_empty()
                || request.state_filters.iter().any(|name| name.as_str() == known.state.name());
            let producer = request.producer_id_filters.is_empty()
                || request.producer_id_filters.contains(&ProducerId(known.producer_id));
            let open_for = if known.state == State::Ongoing { now_ms.saturating_sub(known.started_ms) } else { -1 };
            let long = request.duration_filter < 0 || open_for > request.duration_filter;
            // A pattern is a regular expression in Kafka; here it is taken literally, as part of the id.
            let named = request.transactional_id_pattern.as_ref().is_none_or(|part| id.contains(part.as_str()));
            state && producer && long && named
        };
        let states = self.transactions.iter().filter(|(id, known)| wanted(id, known)).map(|(id, known)| {
            list_transactions_response::TransactionState::default()
                .with_transactional_id(TransactionalId(text(id)))
                .with_producer_id(ProducerId(known.producer_id))
                .with_transaction_state(text(known.state.name()))
        });
        ListTransactionsResponse::default()
            .with_unknown_state_filters(unknown.collect())
            .with_transaction_states(states.collect())
            .into()
    }

    pub(super) fn describe_log_dirs(&self, request: &DescribeLogDirsRequest) -> ResponseKind {
        let wanted = |name: &str, index: i32| {
            let topics = request.topics.as_ref();
            topics.is_none_or(|t| t.iter().any(|t| t.topic.as_str() == name && t.partitions.contains(&index)))
        };
        let topics = self.registry.iter().filter_map(|(name, topic)| {
            let partitions = (0..).zip(&topic.partitions).filter(|(index, _)| wanted(name, *index));
            let partitions: Vec<_> = partitions
                .map(|(index, partition)| {
                    let size = i64::try_from(partition.log.size()).unwrap_or(i64::MAX);
                    DescribeLogDirsPartition::default().with_partition_index(index).with_partition_size(size)
                })
                .collect();
            let answer = DescribeLogDirsTopic::default().with_name(topic_name(name));
            (!partitions.is_empty()).then(|| answer.with_partitions(partitions))
        });
        let folder = DescribeLogDirsResult::default()
            .with_log_dir(text("data"))
            .with_topics(topics.collect())
            .with_total_bytes(-1)
            .with_usable_bytes(-1);
        DescribeLogDirsResponse::default().with_results(vec![folder]).into()
    }
}

fn producers(partition: &Partition) -> Vec<ProducerState> {
    let producers = partition.producers.iter().map(|(id, known)| {
        ProducerState::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(i32::from(known.epoch))
            .with_last_sequence(known.last_sequence())
            .with_last_timestamp(known.last_ms)
            .with_current_txn_start_offset(known.open_since.unwrap_or(-1))
    });
    producers.collect()
}

fn described(
    answer: describe_transactions_response::TransactionState,
    known: &Transaction,
) -> describe_transactions_response::TransactionState {
    let topics = known.partitions.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().copied().collect();
        TopicData::default().with_topic(topic_name(name)).with_partitions(partitions)
    });
    answer
        .with_transaction_state(text(known.state.name()))
        .with_transaction_timeout_ms(known.timeout_ms)
        .with_transaction_start_time_ms(if known.state == State::Ongoing { known.started_ms } else { -1 })
        .with_producer_id(ProducerId(known.producer_id))
        .with_producer_epoch(known.epoch)
        .with_topics(topics.collect())
}
