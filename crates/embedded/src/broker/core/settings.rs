//! Settings of topics: which there are, what they allow, what holds when nothing is said.

use std::collections::BTreeMap;

use super::options::CoreOptions;

/// What holds for a topic.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TopicSettings {
    pub compact: bool,
    pub delete: bool,
    pub retention_ms: i64,
    pub retention_bytes: i64,
    pub segment_bytes: u64,
    pub segment_ms: i64,
    pub batch_bytes_max: usize,
    pub log_append_time: bool,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub delete_retention_ms: i64,
    pub compaction_lag_min_ms: i64,
    pub compaction_lag_max_ms: i64,
    pub dirty_ratio_min: f64,
}

/// How the values of a setting are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Bool,
    Int(i64, i64),
    Long(i64, i64),
    Double(f64, f64),
    Choice(&'static [&'static str]),
    List(&'static [&'static str]),
    Free,
}

/// A setting of a topic.
#[derive(Debug)]
pub(super) struct Setting {
    pub name: &'static str,
    /// What the same is called as a setting of the broker.
    pub broker_name: &'static str,
    pub kind: Kind,
    default: &'static str,
}

const MAX: i64 = i64::MAX;
const INT_MAX: i64 = 2_147_483_647;

/// Settings of topics, in the order of their names. Defaults are those of Apache Kafka 4, but for the size of a segment.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("cleanup.policy", "log.cleanup.policy", Kind::List(&["compact", "delete"]), "delete"),
    Setting::new(
        "compression.type",
        "compression.type",
        Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "producer",
    ),
    Setting::new("delete.retention.ms", "log.cleaner.delete.retention.ms", Kind::Long(0, MAX), "86400000"),
    Setting::new("file.delete.delay.ms", "log.segment.delete.delay.ms", Kind::Long(0, MAX), "60000"),
    Setting::new("flush.messages", "log.flush.interval.messages", Kind::Long(1, MAX), "9223372036854775807"),
    Setting::new("flush.ms", "log.flush.interval.ms", Kind::Long(0, MAX), "9223372036854775807"),
    Setting::new("follower.replication.throttled.replicas", "", Kind::Free, ""),
    Setting::new("index.interval.bytes", "log.index.interval.bytes", Kind::Int(0, INT_MAX), "4096"),
    Setting::new("leader.replication.throttled.replicas", "", Kind::Free, ""),
    Setting::new("local.retention.bytes", "log.local.retention.bytes", Kind::Long(-2, MAX), "-2"),
    Setting::new("local.retention.ms", "log.local.retention.ms", Kind::Long(-2, MAX), "-2"),
    Setting::new(
        "max.compaction.lag.ms",
        "log.cleaner.max.compaction.lag.ms",
        Kind::Long(1, MAX),
        "9223372036854775807",
    ),
    Setting::new("max.message.bytes", "message.max.bytes", Kind::Int(0, INT_MAX), "1048588"),
    Setting::new("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", Kind::Long(0, MAX), "3600000"),
    Setting::new(
        "message.timestamp.before.max.ms",
        "log.message.timestamp.before.max.ms",
        Kind::Long(0, MAX),
        "9223372036854775807",
    ),
    Setting::new(
        "message.timestamp.type",
        "log.message.timestamp.type",
        Kind::Choice(&["CreateTime", "LogAppendTime"]),
        "CreateTime",
    ),
    Setting::new("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", Kind::Double(0.0, 1.0), "0.5"),
    Setting::new("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", Kind::Long(0, MAX), "0"),
    Setting::new("min.insync.replicas", "min.insync.replicas", Kind::Int(1, INT_MAX), "1"),
    Setting::new("preallocate", "log.preallocate", Kind::Bool, "false"),
    Setting::new("remote.storage.enable", "", Kind::Bool, "false"),
    Setting::new("retention.bytes", "log.retention.bytes", Kind::Long(-1, MAX), "-1"),
    Setting::new("retention.ms", "log.retention.ms", Kind::Long(-1, MAX), "604800000"),
    Setting::new("segment.bytes", "log.segment.bytes", Kind::Int(1_048_576, INT_MAX), "1073741824"),
    Setting::new("segment.index.bytes", "log.index.size.max.bytes", Kind::Int(4, INT_MAX), "10485760"),
    Setting::new("segment.jitter.ms", "log.roll.jitter.ms", Kind::Long(0, MAX), "0"),
    Setting::new("segment.ms", "log.roll.ms", Kind::Long(1, MAX), "604800000"),
    Setting::new("unclean.leader.election.enable", "unclean.leader.election.enable", Kind::Bool, "false"),
];

impl Setting {
    const fn new(name: &'static str, broker_name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self { name, broker_name, kind, default }
    }

    /// What holds when neither the topic nor the broker says anything.
    pub(super) fn default(&self, options: &CoreOptions) -> String {
        match self.name {
            "max.message.bytes" => options.batch_bytes_max.to_string(),
            "retention.ms" => options.retention_ms.to_string(),
            "segment.bytes" => options.segment_bytes.to_string(),
            _ => self.default.to_owned(),
        }
    }

    /// Whether Apache Kafka has the same default.
    pub(super) fn is_default(&self, value: &str) -> bool {
        value == self.default
    }

    /// What is wrong with a value.
    pub(super) fn fault(&self, value: &str) -> Option<String> {
        let valid = match self.kind {
            Kind::Bool => matches!(value, "true" | "false"),
            Kind::Int(from, to) | Kind::Long(from, to) => value.trim().parse().is_ok_and(|n| (from..=to).contains(&n)),
            Kind::Double(from, to) => value.trim().parse().is_ok_and(|n: f64| (from..=to).contains(&n)),
            Kind::Choice(choices) => choices.contains(&value),
            Kind::List(choices) => value.split(',').all(|part| choices.contains(&part.trim())),
            Kind::Free => true,
        };
        (!valid).then(|| format!("Invalid value {value} for configuration {}", self.name))
    }
}

/// Number that the protocol has for a kind of value.
pub(super) fn type_code(kind: Kind) -> i8 {
    match kind {
        Kind::Bool => 1,
        Kind::Choice(_) => 2,
        Kind::Int(..) => 3,
        Kind::Long(..) => 5,
        Kind::Double(..) => 6,
        Kind::List(_) | Kind::Free => 7,
    }
}

/// The setting of this name.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// What is wrong with the settings of a topic.
pub(super) fn fault(configs: &BTreeMap<String, String>) -> Option<String> {
    configs.iter().find_map(|(name, value)| match find(name) {
        Some(setting) => setting.fault(value),
        None => Some(format!("Unknown topic config name: {name}")),
    })
}

impl TopicSettings {
    /// What holds for a topic with these settings of its own and of the broker.
    pub(super) fn new(
        configs: &BTreeMap<String, String>,
        broker: &BTreeMap<String, String>,
        options: &CoreOptions,
    ) -> Self {
        let text = |name: &str| {
            let setting = find(name);
            let own = configs.get(name).or_else(|| broker.get(setting?.broker_name)).cloned();
            own.or_else(|| Some(setting?.default(options))).unwrap_or_default()
        };
        let number = |name: &str| text(name).trim().parse().unwrap_or(i64::MAX);
        let policy = text("cleanup.policy");
        Self {
            compact: policy.contains("compact"),
            delete: policy.contains("delete"),
            retention_ms: number("retention.ms"),
            retention_bytes: number("retention.bytes"),
            segment_bytes: number("segment.bytes").unsigned_abs(),
            segment_ms: number("segment.ms"),
            batch_bytes_max: usize::try_from(number("max.message.bytes")).unwrap_or(usize::MAX),
            log_append_time: text("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            delete_retention_ms: number("delete.retention.ms"),
            compaction_lag_min_ms: number("min.compaction.lag.ms"),
            compaction_lag_max_ms: number("max.compaction.lag.ms"),
            dirty_ratio_min: text("min.cleanable.dirty.ratio").trim().parse().unwrap_or(0.5),
        }
    }
}

/// The topic says so itself.
pub(super) const SOURCE_TOPIC: i8 = 1;
/// The broker was told so while it ran.
pub(super) const SOURCE_BROKER: i8 = 3;
/// The broker was started so.
pub(super) const SOURCE_STATIC: i8 = 4;
/// Nobody says anything.
pub(super) const SOURCE_DEFAULT: i8 = 5;

impl super::Core {
    /// Value of a setting of a topic, and where it comes from.
    pub(super) fn effective(&self, configs: &BTreeMap<String, String>, setting: &Setting) -> (String, i8) {
        if let Some(value) = configs.get(setting.name) {
            return (value.clone(), SOURCE_TOPIC);
        }
        if let Some(value) = self.broker_configs.get(setting.broker_name) {
            return (value.clone(), SOURCE_BROKER);
        }
        self.unset(setting)
    }
}

impl super::registry::Topic {
    /// How many replicas must have a record before it is acknowledged with acks=all.
    pub(super) fn min_insync(&self) -> i32 {
        self.configs.get("min.insync.replicas").and_then(|value| value.trim().parse().ok()).unwrap_or(1)
    }
}
