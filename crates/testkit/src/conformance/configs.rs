//! Settings of topics: describing and altering them.

use super::clients::{admin, fresh, one, options, topic, wait};
use super::raw::{Raw, text};
use super::{Target, same};
use anyhow::{Context, Result, anyhow, ensure};
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsRequest, AlterConfigsResource as LegacyResource, AlterableConfig as LegacyConfig,
};
use kafka_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use rdkafka::admin::{AlterConfig, ConfigResource, ConfigSource, ResourceSpecifier};
use rdkafka::error::RDKafkaErrorCode;

/// Resource types of the protocol.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Operations of the protocol.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What was set is described as set, the rest as default.
pub(super) fn describes_what_was_set(target: &dyn Target) -> Result<()> {
    let name = topic(target, 1, &[("retention.ms", "123456"), ("cleanup.policy", "compact")])?;
    let described = describe(target, &name)?;
    for (key, value, set) in [
        ("retention.ms", "123456", true),
        ("cleanup.policy", "compact", true),
        ("max.message.bytes", "1048588", false),
        ("message.timestamp.type", "CreateTime", false),
        ("retention.bytes", "-1", false),
        ("compression.type", "producer", false),
        ("min.insync.replicas", "1", false),
        ("delete.retention.ms", "86400000", false),
    ] {
        let entry = described.get(key).with_context(|| format!("{key} is missing"))?;
        same(key, entry.value.as_deref(), Some(value))?;
        same(key, entry.source == ConfigSource::DynamicTopic, set)?;
        // What the node's own file says is a default for topics too, though not the software's.
        ensure!(!entry.is_read_only && !entry.is_sensitive, "{key}: {entry:?}");
    }
    Ok(())
}

/// Who asks for some settings gets these.
pub(super) fn describes_what_was_asked(target: &dyn Target) -> Result<()> {
    let name = topic(target, 1, &[("retention.ms", "123456")])?;
    let keys = Some(vec![text("retention.ms"), text("cleanup.policy")]);
    let result = describe_raw(
        target,
        DescribeConfigsResource::default().with_resource_name(text(&name)).with_configuration_keys(keys),
    )?;
    same("error", result.error_code, 0)?;
    let mut names: Vec<_> = result.configs.iter().map(|config| config.name.as_str()).collect();
    names.sort_unstable();
    same("names", names, ["cleanup.policy", "retention.ms"])?;
    let unknown = fresh("unknown");
    let result = describe_raw(
        target,
        DescribeConfigsResource::default().with_resource_name(text(&unknown)).with_configuration_keys(None),
    )?;
    same("error of an unknown topic", result.error_code, 3)
}

/// The broker describes its own settings.
pub(super) fn describes_the_broker(target: &dyn Target) -> Result<()> {
    let metadata = admin(target)?.inner().fetch_metadata(None, super::clients::PATIENCE)?;
    let id = metadata.brokers().first().context("no broker")?.id().to_string();
    let request = DescribeConfigsRequest::default().with_resources(vec![
        DescribeConfigsResource::default()
            .with_resource_type(BROKER)
            .with_resource_name(text(&id))
            .with_configuration_keys(None),
    ]);
    let result = Raw::connect(target)?.call(1, &request)?.results.into_iter().next().context("no result")?;
    same("error", result.error_code, 0)?;
    let auto = result.configs.iter().find(|config| config.name.as_str() == "auto.create.topics.enable");
    let auto = auto.and_then(|config| config.value.as_ref()).map(|value| value.as_str());
    same("auto.create.topics.enable", auto, Some("false"))
}

/// Settings change one by one: set, back to the default, added to and taken from a list.
pub(super) fn alters_one_setting_at_a_time(target: &dyn Target) -> Result<()> {
    let name = topic(target, 1, &[("retention.ms", "123456"), ("max.message.bytes", "5000")])?;
    same("set", alter(target, &name, "segment.ms", SET, Some("60000"), false)?, 0)?;
    same("delete", alter(target, &name, "retention.ms", DELETE, None, false)?, 0)?;
    same("append", alter(target, &name, "cleanup.policy", APPEND, Some("compact"), false)?, 0)?;
    super::clock::until("the new settings are described", || {
        let described = describe(target, &name)?;
        let value = |key: &str| described.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default();
        Ok(value("segment.ms") == "60000"
            && value("retention.ms") == "604800000"
            && value("cleanup.policy") == "delete,compact"
            && value("max.message.bytes") == "5000")
    })?;
    same("subtract", alter(target, &name, "cleanup.policy", SUBTRACT, Some("delete"), false)?, 0)?;
    super::clock::until("the list is shorter", || {
        let described = describe(target, &name)?;
        Ok(described.get("cleanup.policy").and_then(|entry| entry.value.clone()).as_deref() == Some("compact"))
    })
}

/// What cannot be is refused and changes nothing.
pub(super) fn refuses_settings_that_cannot_be(target: &dyn Target) -> Result<()> {
    let name = topic(target, 1, &[("retention.ms", "123456")])?;
    same("text for a number", alter(target, &name, "retention.ms", SET, Some("soon"), false)?, 40)?;
    same("unknown setting", alter(target, &name, "no.such.setting", SET, Some("1"), false)?, 40)?;
    same("append to no list", alter(target, &name, "retention.ms", APPEND, Some("1"), false)?, 40)?;
    same("unknown topic", alter(target, &fresh("unknown"), "retention.ms", SET, Some("1"), false)?, 3)?;
    same("only validated", alter(target, &name, "retention.ms", SET, Some("99"), true)?, 0)?;
    let described = describe(target, &name)?;
    let kept = described.get("retention.ms").and_then(|entry| entry.value.clone());
    same("retention.ms", kept.as_deref(), Some("123456"))
}

/// The older way to alter replaces all settings of a topic.
pub(super) fn alters_all_settings_at_once(target: &dyn Target) -> Result<()> {
    let name = topic(target, 1, &[("retention.ms", "123456"), ("max.message.bytes", "5000")])?;
    // What is refused is asked for by hand: librdkafka's binding for Rust does not tell.
    let wrong = LegacyConfig::default().with_name(text("retention.ms")).with_value(Some(text("soon")));
    let resource =
        LegacyResource::default().with_resource_type(TOPIC).with_resource_name(text(&name)).with_configs(vec![wrong]);
    let request = AlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = Raw::connect(target)?.call(1, &request)?;
    same("refused", answer.responses.first().map(|response| response.error_code), Some(40))?;
    let change = AlterConfig::new(ResourceSpecifier::Topic(&name)).set("retention.ms", "777");
    one(wait(admin(target)?.alter_configs([&change], &options()))??).map_err(|code| anyhow!("{code}"))?;
    super::clock::until("the new settings are described", || {
        let described = describe(target, &name)?;
        let value = |key: &str| described.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default();
        Ok(value("retention.ms") == "777" && value("max.message.bytes") == "1048588")
    })
}

/// A changed bound of record size is in force.
pub(super) fn a_changed_setting_is_in_force(target: &dyn Target) -> Result<()> {
    let name = topic(target, 1, &[])?;
    let value = "x".repeat(20_000);
    super::clients::put(target, &name, 0, &[&value])?;
    same("set", alter(target, &name, "max.message.bytes", SET, Some("1000"), false)?, 0)?;
    super::clock::until("large records are refused", || {
        let sender = super::clients::Sender::new(target, &[])?;
        sender.send(&name, &super::clients::Outgoing::new(0, &value))?;
        Ok(sender.outcomes()? == [Err(RDKafkaErrorCode::MessageSizeTooLarge)])
    })
}

struct Described(ConfigResource);

impl Described {
    fn get(&self, key: &str) -> Option<&rdkafka::admin::ConfigEntry> {
        self.0.get(key)
    }
}

fn describe(target: &dyn Target, name: &str) -> Result<Described> {
    let specifier = ResourceSpecifier::Topic(name);
    let results = wait(admin(target)?.describe_configs([&specifier], &options()))??;
    let result = results.into_iter().next().context("no result")?;
    result.map(Described).map_err(|code| anyhow!("describe {name}: {code}"))
}

fn describe_raw(target: &dyn Target, resource: DescribeConfigsResource) -> Result<DescribeConfigsResult> {
    let request = DescribeConfigsRequest::default().with_resources(vec![resource.with_resource_type(TOPIC)]);
    Raw::connect(target)?.call(1, &request)?.results.into_iter().next().context("no result")
}

fn alter(
    target: &dyn Target,
    topic: &str,
    key: &str,
    operation: i8,
    value: Option<&str>,
    validate: bool,
) -> Result<i16> {
    let config =
        AlterableConfig::default().with_name(text(key)).with_config_operation(operation).with_value(value.map(text));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate);
    let response = Raw::connect(target)?.call(1, &request)?.responses.into_iter().next().context("no result")?;
    Ok(response.error_code)
}
