//! Settings are asked for and changed.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as AlteredResource;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ResponseKind,
};

use super::Core;
use super::entry::Entry;
use super::registry::text;
use super::settings::{
    self, Kind, SETTINGS, SOURCE_BROKER, SOURCE_DEFAULT, SOURCE_STATIC, SOURCE_TOPIC, Setting, TopicSettings,
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What a client is told when something is refused.
type Refusal = (ResponseError, String);

/// Settings as text.
type Configs = BTreeMap<String, String>;

/// A change of one setting: its name, what to do (0 set, 1 delete, 2 append, 3 subtract), and the value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

impl Core {
    pub(super) fn describe_configs(&self, request: &DescribeConfigsRequest) -> ResponseKind {
        let results = request.resources.iter().map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match self.describe(resource) {
                Ok(mut configs) => {
                    if let Some(keys) = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty()) {
                        configs.retain(|config| keys.contains(&config.name));
                    }
                    if !request.include_synonyms {
                        configs.iter_mut().for_each(|config| config.synonyms.clear());
                    }
                    result.with_configs(configs)
                }
                Err((error, reason)) => result.with_error_code(error.code()).with_error_message(Some(text(&reason))),
            }
        });
        DescribeConfigsResponse::default().with_results(results.collect()).into()
    }

    fn describe(&self, resource: &DescribeConfigsResource) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
        match resource.resource_type {
            TOPIC => {
                let name = resource.resource_name.as_str();
                let topic = self.registry.get(name).ok_or_else(|| unknown_topic(name))?;
                Ok(SETTINGS.iter().map(|setting| self.describe_topic(&topic.configs, setting)).collect())
            }
            BROKER => {
                self.check_broker(&resource.resource_name)?;
                Ok(self.describe_broker())
            }
            _ => Err(unknown_kind(resource.resource_type)),
        }
    }

    fn describe_topic(&self, configs: &Configs, setting: &Setting) -> DescribeConfigsResourceResult {
        let (value, source) = self.effective(configs, setting);
        let own = configs.get(setting.name).map(|value| (setting.name, value.clone(), SOURCE_TOPIC));
        let broker = self.broker_configs.get(setting.broker_name);
        let broker = broker.map(|value| (setting.broker_name, value.clone(), SOURCE_BROKER));
        let default = (!setting.broker_name.is_empty()).then(|| {
            let (value, source) = self.unset(setting);
            (setting.broker_name, value, source)
        });
        let synonyms = [own, broker, default].into_iter().flatten().map(|(name, value, source)| {
            let synonym = DescribeConfigsSynonym::default().with_name(text(name));
            synonym.with_value(Some(text(&value))).with_source(source)
        });
        described(setting.name, &value, setting.kind).with_config_source(source).with_synonyms(synonyms.collect())
    }

    fn describe_broker(&self) -> Vec<DescribeConfigsResourceResult> {
        let mut configs: Vec<_> = SETTINGS
            .iter()
            .filter(|setting| !setting.broker_name.is_empty())
            .map(|setting| {
                let (value, source) = match self.broker_configs.get(setting.broker_name) {
                    Some(value) => (value.clone(), SOURCE_BROKER),
                    None => self.unset(setting),
                };
                described(setting.broker_name, &value, setting.kind).with_config_source(source)
            })
            .collect();
        let options = &self.options;
        let fixed = [
            ("auto.create.topics.enable", options.auto_create.to_string(), Kind::Bool),
            ("broker.id", options.node_id.to_string(), Kind::Int(0, 0)),
            ("default.replication.factor", "1".to_owned(), Kind::Int(0, 0)),
            ("fetch.max.bytes", options.fetch_bytes_max.to_string(), Kind::Int(0, 0)),
            ("group.max.session.timeout.ms", options.groups.session_timeout_max_ms.to_string(), Kind::Int(0, 0)),
            ("group.min.session.timeout.ms", options.groups.session_timeout_min_ms.to_string(), Kind::Int(0, 0)),
            ("log.retention.check.interval.ms", options.retention_check_interval_ms.to_string(), Kind::Long(0, 0)),
            ("node.id", options.node_id.to_string(), Kind::Int(0, 0)),
            ("num.partitions", options.default_partitions.to_string(), Kind::Int(0, 0)),
            ("producer.id.expiration.ms", options.producer_id_expiry_ms.to_string(), Kind::Int(0, 0)),
            ("transaction.max.timeout.ms", options.transaction_timeout_max_ms.to_string(), Kind::Int(0, 0)),
            ("transactional.id.expiration.ms", options.transactional_id_expiry_ms.to_string(), Kind::Int(0, 0)),
        ];
        configs.extend(fixed.into_iter().map(|(name, value, kind)| {
            described(name, &value, kind).with_config_source(SOURCE_STATIC).with_read_only(true)
        }));
        configs.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        configs
    }

    pub(super) fn incremental_alter_configs(&mut self, request: &IncrementalAlterConfigsRequest) -> ResponseKind {
        let responses = request.resources.iter().map(|resource| {
            let changes = resource.configs.iter();
            let changes: Vec<Change<'_>> =
                changes.map(|c| (c.name.as_str(), c.config_operation, c.value.as_deref())).collect();
            let target = (resource.resource_type, resource.resource_name.as_str());
            let outcome = self.alter(target, &changes, false, request.validate_only);
            let (code, reason) = coded(outcome);
            AlterConfigsResourceResponse::default()
                .with_error_code(code)
                .with_error_message(reason.as_deref().map(text))
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect()).into()
    }

    pub(super) fn alter_configs(&mut self, request: &AlterConfigsRequest) -> ResponseKind {
        let responses = request.resources.iter().map(|resource| {
            let changes: Vec<Change<'_>> =
                resource.configs.iter().map(|config| (config.name.as_str(), 0, config.value.as_deref())).collect();
            let target = (resource.resource_type, resource.resource_name.as_str());
            let (code, reason) = coded(self.alter(target, &changes, true, request.validate_only));
            AlteredResource::default()
                .with_error_code(code)
                .with_error_message(reason.as_deref().map(text))
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
        });
        AlterConfigsResponse::default().with_responses(responses.collect()).into()
    }

    /// Changes settings; `anew` forgets all that were set before.
    fn alter(
        &mut self,
        (kind, name): (i8, &str),
        changes: &[Change<'_>],
        anew: bool,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let mut seen = std::collections::BTreeSet::new();
        if let Some((twice, ..)) = changes.iter().find(|(name, ..)| !seen.insert(*name)) {
            return Err((ResponseError::InvalidRequest, format!("Error due to duplicate config keys: {twice}")));
        }
        match kind {
            TOPIC => {
                let topic = self.registry.get(name).ok_or_else(|| unknown_topic(name))?;
                let before = if anew { Configs::new() } else { topic.configs.clone() };
                let configs =
                    changed(before, changes, |setting| self.effective(&topic.configs, setting).0, |s| s.name)?;
                if validate_only { Ok(()) } else { self.set_topic_configs(name, configs) }
            }
            BROKER => {
                self.check_broker(name)?;
                let before = if anew { Configs::new() } else { self.broker_configs.clone() };
                let now = |setting: &Setting| {
                    self.broker_configs.get(setting.broker_name).cloned().unwrap_or_else(|| self.unset(setting).0)
                };
                let configs = changed(before, changes, now, |setting| setting.broker_name)?;
                if validate_only { Ok(()) } else { self.set_broker_configs(configs) }
            }
            _ => Err(unknown_kind(kind)),
        }
    }

    fn set_topic_configs(&mut self, name: &str, configs: Configs) -> Result<(), Refusal> {
        let topic = self.registry.get(name).ok_or_else(|| unknown_topic(name))?;
        let mut entry = self.topic_entry(name, topic);
        entry.configs.clone_from(&configs);
        self.write(&Entry::Topic(entry)).map_err(not_kept)?;
        let settings = TopicSettings::new(&configs, &self.broker_configs, &self.options);
        if let Some(topic) = self.registry.get_mut(name) {
            (topic.configs, topic.settings) = (configs, settings);
        }
        Ok(())
    }

    fn set_broker_configs(&mut self, configs: Configs) -> Result<(), Refusal> {
        self.write(&Entry::BrokerConfigs(configs.clone())).map_err(not_kept)?;
        self.broker_configs = configs;
        let (broker, options) = (&self.broker_configs, &self.options);
        for (_, topic) in self.registry.iter_mut() {
            topic.settings = TopicSettings::new(&topic.configs, broker, options);
        }
        Ok(())
    }

    /// An empty name means every broker.
    fn check_broker(&self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() || name == self.options.node_id.to_string() {
            return Ok(());
        }
        let node_id = self.options.node_id;
        Err((ResponseError::InvalidRequest, format!("Unexpected broker id, expected {node_id} but received {name}")))
    }

    pub(super) fn unset(&self, setting: &Setting) -> (String, i8) {
        let value = setting.default(&self.options);
        let source = if setting.is_default(&value) { SOURCE_DEFAULT } else { SOURCE_STATIC };
        (value, source)
    }
}

/// Settings after some changes; `now` is what holds for one before them, `name` what it is called here.
fn changed(
    mut configs: Configs,
    changes: &[Change<'_>],
    now: impl Fn(&Setting) -> String,
    name: impl Fn(&Setting) -> &'static str,
) -> Result<Configs, Refusal> {
    for (key, operation, value) in changes {
        let setting = SETTINGS.iter().find(|setting| !key.is_empty() && name(setting) == *key);
        let setting = setting.ok_or_else(|| {
            (ResponseError::InvalidConfig, format!("Unknown config name, or one that cannot be changed: {key}"))
        })?;
        let list = || matches!(setting.kind, Kind::List(_));
        let value = value.map(str::to_owned);
        let needed = || (ResponseError::InvalidRequest, format!("Null value not supported for: {key}"));
        let next = match operation {
            0 => Some(value.ok_or_else(needed)?),
            1 => None,
            2 | 3 if list() => {
                let value = value.ok_or_else(needed)?;
                let parts = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
                let mut current = parts(&now(setting));
                current.retain(|part| !part.is_empty());
                if *operation == 2 {
                    current.extend(parts(&value).into_iter().filter(|part| !now(setting).contains(part.as_str())));
                } else {
                    current.retain(|part| !parts(&value).contains(part));
                }
                Some(current.join(","))
            }
            _ => return Err((ResponseError::InvalidConfig, format!("{key} is not a list"))),
        };
        match next {
            Some(value) => {
                if let Some(fault) = setting.fault(&value) {
                    return Err((ResponseError::InvalidConfig, fault));
                }
                configs.insert((*key).to_owned(), value);
            }
            None => drop(configs.remove(*key)),
        }
    }
    Ok(configs)
}

fn described(name: &str, value: &str, kind: Kind) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_type(settings::type_code(kind))
}

fn coded(outcome: Result<(), Refusal>) -> (i16, Option<String>) {
    match outcome {
        Ok(()) => (0, None),
        Err((error, reason)) => (error.code(), Some(reason)),
    }
}

fn unknown_topic(name: &str) -> Refusal {
    (ResponseError::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."))
}

fn unknown_kind(kind: i8) -> Refusal {
    (ResponseError::InvalidRequest, format!("Resources of type {kind} have no settings here."))
}

fn not_kept(error: super::StorageError) -> Refusal {
    (ResponseError::KafkaStorageError, error.to_string())
}
