//! What there is: the broker, its topics, and who coordinates.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest,
    MetadataResponse, ResponseKind,
};
use uuid::Uuid;

use super::registry::{Topic, text, topic_name};
use super::{Core, LEADER_EPOCH};

/// What a client that asks what it may do is answered when there is nothing to say.
const OPERATIONS_UNKNOWN: i32 = i32::MIN;

/// Version from which several coordinators are asked for at once.
const SEVERAL_KEYS: i16 = 4;

impl Core {
    pub(super) fn metadata(&mut self, version: i16, request: MetadataRequest, _now_ms: i64) -> ResponseKind {
        // In version 0 an empty list asks for all topics.
        let wanted = request.topics.filter(|topics| version > 0 || !topics.is_empty());
        let mut topics = Vec::new();
        match wanted {
            None => topics.extend(self.registry.iter().map(|(name, topic)| self.metadata_topic(name, topic))),
            Some(wanted) => {
                for topic in wanted {
                    let by_id = topic.name.is_none();
                    let name = match topic.name {
                        Some(name) => Some(name.to_string()),
                        None => self.registry.name_of(topic.topic_id).map(str::to_owned),
                    };
                    let name = name.unwrap_or_default();
                    if !by_id && self.options.auto_create && request.allow_auto_topic_creation {
                        self.create_if_absent(&name);
                    }
                    topics.push(match self.registry.get(&name) {
                        Some(known) => self.metadata_topic(&name, known),
                        None if by_id => unknown_id(topic.topic_id),
                        None => unknown_name(&name),
                    });
                }
            }
        }
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(self.options.node_id))
            .with_host(text(&self.options.host))
            .with_port(i32::from(self.options.port));
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(text(&self.cluster_id)))
            .with_controller_id(BrokerId(self.options.node_id))
            .with_cluster_authorized_operations(OPERATIONS_UNKNOWN)
            .with_topics(topics)
            .into()
    }

    fn metadata_topic(&self, name: &str, topic: &Topic) -> MetadataResponseTopic {
        let node = BrokerId(self.options.node_id);
        let partitions = (0..).zip(&topic.partitions).map(|(index, _)| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(node)
                .with_leader_epoch(LEADER_EPOCH)
                .with_replica_nodes(vec![node])
                .with_isr_nodes(vec![node])
        });
        MetadataResponseTopic::default()
            .with_name(Some(topic_name(name)))
            .with_topic_id(topic.id)
            .with_topic_authorized_operations(OPERATIONS_UNKNOWN)
            .with_partitions(partitions.collect())
    }

    pub(super) fn describe_cluster(&self) -> ResponseKind {
        let broker = DescribeClusterBroker::default()
            .with_broker_id(BrokerId(self.options.node_id))
            .with_host(text(&self.options.host))
            .with_port(i32::from(self.options.port));
        DescribeClusterResponse::default()
            .with_endpoint_type(1)
            .with_cluster_id(text(&self.cluster_id))
            .with_controller_id(BrokerId(self.options.node_id))
            .with_brokers(vec![broker])
            .with_cluster_authorized_operations(OPERATIONS_UNKNOWN)
            .into()
    }

    pub(super) fn find_coordinator(&self, version: i16, request: FindCoordinatorRequest) -> ResponseKind {
        let (node, host) = (BrokerId(self.options.node_id), text(&self.options.host));
        let port = i32::from(self.options.port);
        // 0 is a group, 1 a transactional id; share groups are not served.
        let error = if (0..=1).contains(&request.key_type) { 0 } else { ResponseError::InvalidRequest.code() };
        let answer = FindCoordinatorResponse::default();
        if version < SEVERAL_KEYS {
            return answer.with_error_code(error).with_node_id(node).with_host(host).with_port(port).into();
        }
        let coordinators = request.coordinator_keys.into_iter().map(|key| {
            let coordinator = Coordinator::default().with_key(key).with_error_code(error);
            coordinator.with_node_id(node).with_host(host.clone()).with_port(port)
        });
        answer.with_coordinators(coordinators.collect()).into()
    }
}

fn unknown_id(id: Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_topic_id(id)
        .with_error_code(ResponseError::UnknownTopicId.code())
        .with_topic_authorized_operations(OPERATIONS_UNKNOWN)
}

fn unknown_name(name: &str) -> MetadataResponseTopic {
    let invalid = super::registry::name_fault(name).is_some();
    let error = if invalid { ResponseError::InvalidTopicException } else { ResponseError::UnknownTopicOrPartition };
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(name)))
        .with_error_code(error.code())
        .with_topic_authorized_operations(OPERATIONS_UNKNOWN)
}
