//! Topics are made, grow and go.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, ResponseKind,
};
use uuid::Uuid;

use super::super::storage::{Log, ProducerTable};
use super::Core;
use super::entry::{Entry, TopicEntry};
use super::registry::{Partition, Topic, log_prefix, name_fault, text, topic_name};
use super::settings::{self, SETTINGS, TopicSettings};

/// Version from which topics to delete may be named by their id.
const DELETE_BY_ID: i16 = 6;

/// What a client is told when something is refused.
type Refusal = (ResponseError, String);

/// A topic that may be made.
struct Plan {
    name: String,
    partitions: i32,
    configs: BTreeMap<String, String>,
}

impl Core {
    pub(super) fn create_topics(&mut self, request: CreateTopicsRequest) -> ResponseKind {
        let twice = |name: &str| request.topics.iter().filter(|topic| topic.name.as_str() == name).count() > 1;
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let outcome = if twice(&topic.name) {
                Err((ResponseError::InvalidRequest, "Duplicate topic name.".to_owned()))
            } else {
                self.plan(topic).and_then(|plan| {
                    let id = if request.validate_only { Uuid::nil() } else { self.create(&plan)? };
                    Ok((plan, id))
                })
            };
            let result = CreatableTopicResult::default().with_name(topic.name.clone());
            results.push(match outcome {
                Ok((plan, id)) => self.created(result, &plan, id),
                Err((error, reason)) => result
                    .with_error_code(error.code())
                    .with_error_message(Some(text(&reason)))
                    .with_num_partitions(-1)
                    .with_replication_factor(-1),
            });
        }
        CreateTopicsResponse::default().with_topics(results).into()
    }

    pub(super) fn create_if_absent(&mut self, name: &str) {
        if self.registry.get(name).is_none() {
            let asked = CreatableTopic::default().with_name(topic_name(name));
            let asked = asked.with_num_partitions(-1).with_replication_factor(-1);
            if let Err((_, reason)) = self.plan(&asked).and_then(|plan| self.create(&plan)) {
                tracing::warn!(topic = name, reason, "topic not made");
            }
        }
    }

    /// Whether the topic may be made.
    fn plan(&self, topic: &CreatableTopic) -> Result<Plan, Refusal> {
        let name = topic.name.as_str();
        if self.registry.get(name).is_some() {
            return Err((ResponseError::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        if let Some(fault) = name_fault(name) {
            return Err((ResponseError::InvalidTopicException, fault));
        }
        if let Some(other) = self.registry.collision(name) {
            let reason = format!("Topic '{name}' collides with existing topic: {other}");
            return Err((ResponseError::InvalidTopicException, reason));
        }
        let partitions = self.planned_partitions(topic)?;
        let mut configs = BTreeMap::new();
        for config in &topic.configs {
            if let Some(value) = &config.value {
                configs.insert(config.name.to_string(), value.to_string());
            }
        }
        if let Some(fault) = settings::fault(&configs) {
            return Err((ResponseError::InvalidConfig, fault));
        }
        if self.registry.len() >= self.options.topics_max {
            return Err((ResponseError::PolicyViolation, "There are as many topics as there may be.".to_owned()));
        }
        Ok(Plan { name: name.to_owned(), partitions, configs })
    }

    fn planned_partitions(&self, topic: &CreatableTopic) -> Result<i32, Refusal> {
        let partitions = if topic.assignments.is_empty() {
            if topic.replication_factor != -1 && topic.replication_factor != 1 {
                let reason = format!("Unable to replicate the partition {} time(s)", topic.replication_factor);
                return Err((ResponseError::InvalidReplicationFactor, reason));
            }
            if topic.num_partitions == -1 { self.options.default_partitions } else { topic.num_partitions }
        } else {
            check_assignments(topic, self.options.node_id)?
        };
        if partitions < 1 || partitions > self.options.partitions_max {
            let max = self.options.partitions_max;
            return Err((
                ResponseError::InvalidPartitions,
                format!("Number of partitions must be between 1 and {max}."),
            ));
        }
        Ok(partitions)
    }

    fn create(&mut self, plan: &Plan) -> Result<Uuid, Refusal> {
        let id = self.new_topic_id();
        let entry =
            TopicEntry { name: plan.name.clone(), id, partitions: plan.partitions, configs: plan.configs.clone() };
        let kept = self.write(&Entry::Counters(self.counters)).and_then(|()| self.write(&Entry::Topic(entry)));
        kept.map_err(|error| (ResponseError::KafkaStorageError, error.to_string()))?;
        let topic = Topic {
            id,
            configs: plan.configs.clone(),
            settings: TopicSettings::new(&plan.configs, &self.broker_configs, &self.options),
            partitions: (0..plan.partitions).map(|index| empty_partition(id, index)).collect(),
        };
        self.registry.insert(plan.name.clone(), topic);
        Ok(id)
    }

    fn created(&self, result: CreatableTopicResult, plan: &Plan, id: Uuid) -> CreatableTopicResult {
        let configs = SETTINGS.iter().map(|setting| {
            let (value, source) = self.effective(&plan.configs, setting);
            CreatableTopicConfigs::default()
                .with_name(text(setting.name))
                .with_value(Some(text(&value)))
                .with_config_source(source)
        });
        result
            .with_topic_id(id)
            .with_num_partitions(plan.partitions)
            .with_replication_factor(1)
            .with_configs(Some(configs.collect()))
    }

    pub(super) fn delete_topics(&mut self, version: i16, request: DeleteTopicsRequest) -> ResponseKind {
        let mut wanted: Vec<(Option<String>, Uuid)> = Vec::new();
        if version < DELETE_BY_ID {
            wanted.extend(request.topic_names.iter().map(|name| (Some(name.to_string()), Uuid::nil())));
        } else {
            wanted.extend(request.topics.iter().map(|t| (t.name.as_ref().map(|name| name.to_string()), t.topic_id)));
        }
        let results = wanted.into_iter().map(|(name, id)| {
            let (name, unknown) = match name {
                Some(name) => (Some(name), ResponseError::UnknownTopicOrPartition),
                None => (self.registry.name_of(id).map(str::to_owned), ResponseError::UnknownTopicId),
            };
            let known = name.as_deref().and_then(|name| self.registry.get(name)).map(|topic| topic.id);
            let outcome = match (&name, known) {
                (Some(name), Some(id)) => self.delete(name, id),
                _ => Err(unknown),
            };
            DeletableTopicResult::default()
                .with_name(name.as_deref().map(topic_name))
                .with_topic_id(known.unwrap_or(id))
                .with_error_code(outcome.err().map_or(0, |error| error.code()))
        });
        DeleteTopicsResponse::default().with_responses(results.collect()).into()
    }

    fn delete(&mut self, name: &str, id: Uuid) -> Result<(), ResponseError> {
        self.write(&Entry::TopicDeleted(id)).map_err(|_| ResponseError::KafkaStorageError)?;
        let Some(topic) = self.registry.remove(name) else { return Ok(()) };
        for partition in &topic.partitions {
            self.woken.extend(partition.waiting.iter().copied());
        }
        for partition in topic.partitions {
            // What cannot be removed now is removed at the next start.
            if let Err(error) = partition.log.remove(&mut *self.storage) {
                tracing::warn!(%error, topic = name, "files of a deleted topic are left");
            }
        }
        for transaction in self.transactions.values_mut() {
            transaction.partitions.remove(name);
        }
        let effects = self.groups.topic_deleted(name);
        self.carry_out(effects);
        Ok(())
    }

    pub(super) fn create_partitions(&mut self, request: CreatePartitionsRequest) -> ResponseKind {
        let results = request.topics.iter().map(|topic| {
            let outcome = self.grow(topic, request.validate_only);
            let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
            match outcome {
                Ok(()) => result.with_error_message(None),
                Err((error, reason)) => result.with_error_code(error.code()).with_error_message(Some(text(&reason))),
            }
        });
        CreatePartitionsResponse::default().with_results(results.collect()).into()
    }

    fn grow(&mut self, wanted: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
        let name = wanted.name.as_str();
        let unknown = || (ResponseError::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."));
        let topic = self.registry.get(name).ok_or_else(unknown)?;
        let mut entry = self.topic_entry(name, topic);
        if wanted.count <= entry.partitions || wanted.count > self.options.partitions_max {
            let now = entry.partitions;
            let reason =
                format!("The topic has {now} partitions; {} is not an increase that is possible.", wanted.count);
            return Err((ResponseError::InvalidPartitions, reason));
        }
        if let Some(assignments) = &wanted.assignments {
            let added = usize::try_from(wanted.count - entry.partitions).unwrap_or(0);
            let ours = |ids: &[_]| ids == [kafka_protocol::messages::BrokerId(self.options.node_id)];
            if assignments.len() != added || !assignments.iter().all(|assignment| ours(&assignment.broker_ids)) {
                let reason = "Each new partition must be assigned to the one broker.".to_owned();
                return Err((ResponseError::InvalidReplicaAssignment, reason));
            }
        }
        if validate_only {
            return Ok(());
        }
        let (id, before) = (entry.id, entry.partitions);
        entry.partitions = wanted.count;
        let kept = self.write(&Entry::Topic(entry));
        kept.map_err(|error| (ResponseError::KafkaStorageError, error.to_string()))?;
        let topic = self.registry.get_mut(name).ok_or_else(unknown)?;
        topic.partitions.extend((before..wanted.count).map(|index| empty_partition(id, index)));
        Ok(())
    }
}

fn check_assignments(topic: &CreatableTopic, node_id: i32) -> Result<i32, Refusal> {
    let refuse = |error, reason: &str| Err((error, reason.to_owned()));
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        return refuse(ResponseError::InvalidRequest, "Counts must be -1 when partitions are assigned.");
    }
    let mut indexes: Vec<i32> = topic.assignments.iter().map(|assignment| assignment.partition_index).collect();
    indexes.sort_unstable();
    let ours = topic.assignments.iter().all(|a| a.broker_ids.iter().map(|id| id.0).eq([node_id]));
    if !ours || !indexes.iter().copied().eq((0..).take(indexes.len())) {
        return refuse(ResponseError::InvalidReplicaAssignment, "Each partition must be assigned to the one broker.");
    }
    Ok(i32::try_from(indexes.len()).unwrap_or(i32::MAX))
}

fn empty_partition(id: Uuid, index: i32) -> Partition {
    Partition::new(Log::new(log_prefix(id, index), 0), ProducerTable::default())
}
