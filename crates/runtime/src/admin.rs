//! Brings a cluster and a schema registry to what `topics.yaml` says. Running it twice changes nothing.

use crate::config::{KafkaConfig, RegistryConfig};
use crate::kafka;
use crate::reader::{self, Range, ReadError};
use crate::registry::{Registry, RegistryError};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schemas::catalogue::{Catalogue, Storage, TopicSpec};
use schemas::{TopicInfo, topics};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Longest wait for one administrative request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at whether a new topic is known.
const KNOWN_EVERY: Duration = Duration::from_millis(50);

/// The setting of a topic that says how many copies must confirm a write.
const CONFIRMING: &str = "min.insync.replicas";

/// Where topics and schemas live.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The Kafka cluster.
    pub kafka: KafkaConfig,
    /// The schema registry.
    pub registry: RegistryConfig,
    /// Copies of each partition of a new topic; from 3 on, 2 of them must confirm a write.
    pub replication: u8,
}

/// One difference between `topics.yaml` and the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// The topic is not there.
    CreateTopic {
        /// Topic.
        topic: String,
        /// Partitions.
        partitions: u16,
        /// Copies of each.
        replication: u8,
        /// Its settings.
        configs: BTreeMap<String, String>,
    },
    /// The topic has fewer partitions, and no record finds its partition by its key.
    AddPartitions {
        /// Topic.
        topic: String,
        /// Now.
        from: u16,
        /// Wanted.
        to: u16,
    },
    /// Settings differ.
    AlterConfigs {
        /// Topic.
        topic: String,
        /// Wanted value by name.
        configs: BTreeMap<String, String>,
        /// Value now by name.
        now: BTreeMap<String, String>,
    },
    /// The schema of this version is not registered.
    RegisterSchema {
        /// Subject.
        subject: String,
    },
    /// The subject checks new versions by another rule, or by the global one.
    SetCompatibility {
        /// Subject.
        subject: String,
        /// Now; none is the registry's global rule.
        from: Option<String>,
        /// Wanted.
        to: &'static str,
    },
}

/// Why the plan cannot be made or carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Kafka cannot be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Kafka refused or gave up.
    #[error("WL-6010: kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// Kafka refused one change.
    #[error("WL-6016: kafka refused to change topic {topic}: {reason}")]
    Topic {
        /// Topic.
        topic: String,
        /// What it said.
        reason: String,
    },
    /// Partitions cannot be taken away.
    #[error(
        "WL-6017: topic {topic} has {now} partitions and topics.yaml says {wanted}: Kafka cannot remove partitions"
    )]
    TooManyPartitions {
        /// Topic.
        topic: String,
        /// Now.
        now: usize,
        /// Wanted.
        wanted: u16,
    },
    /// More partitions would send later events of a key elsewhere than its earlier ones.
    #[error(
        "WL-6019: topic {topic} has {now} partitions and topics.yaml says {wanted}: its keys would move to other partitions"
    )]
    KeysWouldMove {
        /// Topic.
        topic: String,
        /// Now.
        now: u16,
        /// Wanted.
        wanted: u16,
    },
    /// The registry does not answer or refuses.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A client cannot be made.
    #[error(transparent)]
    Client(#[from] crate::kafka::ClientError),
}

/// What would have to change, in the order in which it would be done.
///
/// # Errors
/// When the cluster or the registry does not answer, or a topic has another number of partitions than it may.
pub async fn plan_topics(catalogue: &Catalogue, cluster: &Cluster) -> Result<Vec<Change>, AdminError> {
    let kafka = cluster.kafka.clone();
    let present = blocking(move || reader::topics(&kafka)).await?;
    let admin = admin(&cluster.kafka)?;
    let existing: Vec<&TopicSpec> = catalogue.topics.iter().filter(|topic| present.contains_key(&topic.name)).collect();
    let settings = describe(&admin, &existing).await?;
    let mut changes = Vec::new();
    for topic in &catalogue.topics {
        let configs = configs(topic, cluster.replication);
        let Some(now) = present.get(&topic.name).copied() else {
            changes.push(Change::CreateTopic {
                topic: topic.name.clone(),
                partitions: topic.partitions,
                replication: cluster.replication,
                configs,
            });
            continue;
        };
        changes.extend(partition_change(topic, now)?);
        let before = settings.get(&topic.name).map(|resource| values(resource, |_| true)).unwrap_or_default();
        changes.extend(config_change(topic, of_existing(configs), &before));
    }
    changes.extend(plan_schemas(catalogue, &Registry::new(&cluster.registry)?).await?);
    Ok(changes)
}

/// Carries out a plan.
///
/// # Errors
/// At the first change that is refused; those before it are done, and planning again shows what is left.
pub async fn apply_topics(changes: &[Change], cluster: &Cluster) -> Result<(), AdminError> {
    let admin = admin(&cluster.kafka)?;
    let registry = Registry::new(&cluster.registry)?;
    for change in changes {
        match change {
            Change::CreateTopic { topic, partitions, replication, configs } => {
                create(&admin, topic, *partitions, *replication, configs).await?;
            }
            Change::AddPartitions { topic, to, .. } => {
                let wanted = NewPartitions::new(topic, usize::from(*to));
                refused(topic, admin.create_partitions([&wanted], &options()).await?)?;
            }
            Change::AlterConfigs { topic, configs, .. } => alter(&admin, topic, configs).await?,
            Change::RegisterSchema { subject } => {
                if let Some(schema) = info_of_subject(subject).map(|info| info.schema) {
                    registry.register(subject, schema).await?;
                }
            }
            Change::SetCompatibility { subject, to, .. } => registry.set_compatibility(subject, to).await?,
        }
        tracing::info!(%change, "changed");
    }
    Ok(())
}

/// Creates topics that are not there yet; those that are stay as they are. For benchmarks, which have topics of their own.
///
/// # Errors
/// When the cluster does not answer or refuses a topic.
pub async fn ensure_topics(kafka: &KafkaConfig, topics: &[&'static TopicInfo]) -> Result<(), AdminError> {
    let settings = kafka.clone();
    let present = blocking(move || reader::topics(&settings)).await?;
    let admin = admin(kafka)?;
    let missing: Vec<_> = topics.iter().filter(|topic| !present.contains_key(topic.name)).collect();
    for topic in &missing {
        let policy = if topic.compacted { "compact" } else { "delete" };
        let configs = BTreeMap::from([("cleanup.policy".to_owned(), policy.to_owned())]);
        create(&admin, topic.name, topic.partitions, 1, &configs).await?;
    }
    for topic in &missing {
        until_known(kafka, topic.name).await?;
    }
    Ok(())
}

/// Gives a topic more partitions when it has fewer. For benchmarks: where keys decide about partitions, they move.
///
/// # Errors
/// When the cluster does not answer, does not have the topic or refuses.
pub async fn ensure_partitions(kafka: &KafkaConfig, topic: &str, partitions: u16) -> Result<(), AdminError> {
    let settings = kafka.clone();
    let present = blocking(move || reader::topics(&settings)).await?;
    let now = present.get(topic).copied().ok_or_else(|| ReadError::NoTopic(topic.to_owned()))?;
    if now < usize::from(partitions) {
        let wanted = NewPartitions::new(topic, usize::from(partitions));
        refused(topic, admin(kafka)?.create_partitions([&wanted], &options()).await?)?;
    }
    Ok(())
}

/// Creates a compacted topic of one partition when it is not there; one that is stays as it is.
///
/// # Errors
/// When the cluster does not answer or refuses the topic.
pub async fn ensure_compacted(kafka: &KafkaConfig, topic: &str) -> Result<(), AdminError> {
    let settings = kafka.clone();
    if blocking(move || reader::topics(&settings)).await?.contains_key(topic) {
        return Ok(());
    }
    let configs = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    create(&admin(kafka)?, topic, 1, 1, &configs).await?;
    until_known(kafka, topic).await
}

/// The answer to a creation may come before every broker knows the topic.
async fn until_known(kafka: &KafkaConfig, topic: &str) -> Result<(), AdminError> {
    let started = crate::clock::tick();
    loop {
        let (settings, range) = (kafka.clone(), Range::all(topic));
        match blocking(move || reader::spans(&settings, &range)).await {
            Ok(_) => return Ok(()),
            Err(error) if crate::clock::tick().since(started) > REQUEST_TIMEOUT => return Err(error.into()),
            Err(_) => tokio::time::sleep(KNOWN_EVERY).await,
        }
    }
}

impl Change {
    /// Whether the change is made in the schema registry, and not in Kafka.
    pub fn is_of_registry(&self) -> bool {
        matches!(self, Self::RegisterSchema { .. } | Self::SetCompatibility { .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTopic { topic, partitions, replication, configs } => {
                write!(formatter, "create topic {topic}: {partitions} partitions, replication {replication}")?;
                configs.iter().try_for_each(|(name, value)| write!(formatter, ", {name}={value}"))
            }
            Self::AddPartitions { topic, from, to } => {
                write!(formatter, "add partitions to {topic}: {from} -> {to}")
            }
            Self::AlterConfigs { topic, configs, now } => {
                write!(formatter, "alter {topic}:")?;
                configs.iter().try_for_each(|(name, value)| {
                    let before = now.get(name).map_or("unset", String::as_str);
                    write!(formatter, " {name} {before} -> {value}")
                })
            }
            Self::RegisterSchema { subject } => write!(formatter, "register the schema of {subject}"),
            Self::SetCompatibility { subject, from, to } => {
                write!(formatter, "set the compatibility of {subject}: {} -> {to}", from.as_deref().unwrap_or("global"))
            }
        }
    }
}

/// Settings that `topics.yaml` decides; all others stay as the cluster has them.
fn configs(topic: &TopicSpec, replication: u8) -> BTreeMap<String, String> {
    let mut configs = BTreeMap::new();
    let confirming = if replication >= 3 { "2" } else { "1" };
    configs.insert(CONFIRMING.to_owned(), confirming.to_owned());
    let (policy, retention_ms) = match topic.storage {
        Storage::Compacted => ("compact", None),
        Storage::RetentionMs(milliseconds) => ("delete", Some(milliseconds)),
        Storage::Forever => ("delete", Some(-1)),
    };
    configs.insert("cleanup.policy".to_owned(), policy.to_owned());
    if topic.name.starts_with("ops.") {
        configs.insert("max.message.bytes".to_owned(), kafka::OPS_RECORD_BYTES_MAX.to_string());
    }
    if let Some(milliseconds) = retention_ms {
        configs.insert("retention.ms".to_owned(), milliseconds.to_string());
    }
    configs
}

/// What is wanted of a topic that is there already. How many copies must confirm a write was decided when it was made, by how many
/// copies there are; a later plan with another number of copies, or with none, must not lower it.
fn of_existing(mut configs: BTreeMap<String, String>) -> BTreeMap<String, String> {
    configs.remove(CONFIRMING);
    configs
}

fn partition_change(topic: &TopicSpec, now: usize) -> Result<Option<Change>, AdminError> {
    let wanted = topic.partitions;
    match u16::try_from(now) {
        Ok(now) if now == wanted => Ok(None),
        Ok(now) if now < wanted && !goes_by_key(topic) => {
            Ok(Some(Change::AddPartitions { topic: topic.name.clone(), from: now, to: wanted }))
        }
        Ok(now) if now < wanted => Err(AdminError::KeysWouldMove { topic: topic.name.clone(), now, wanted }),
        _ => Err(AdminError::TooManyPartitions { topic: topic.name.clone(), now, wanted }),
    }
}

/// Whether the key of a record decides about its partition, so that it would find another one among more. Order holds within a
/// partition alone (ORD-1), what waits and what was done of a key is kept beside it (FX-1), and compaction leaves what a table says of
/// a key in both. What is parked or done lies in the partition with the number of its event, wherever its key would send it; bytes as
/// they came are read back from all partitions, in no order.
fn goes_by_key(topic: &TopicSpec) -> bool {
    let by_number = [topics::OPS_EFFECT_V1.name(), topics::OPS_PARKED_V1.name()];
    topic.schema.is_some() && !by_number.contains(&topic.name.as_str())
}

fn config_change(
    topic: &TopicSpec,
    wanted: BTreeMap<String, String>,
    before: &BTreeMap<String, String>,
) -> Option<Change> {
    let differing: BTreeMap<String, String> =
        wanted.into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect();
    if differing.is_empty() {
        return None;
    }
    let now = before.iter().filter(|(name, _)| differing.contains_key(*name));
    let now = now.map(|(name, value)| (name.clone(), value.clone())).collect();
    Some(Change::AlterConfigs { topic: topic.name.clone(), configs: differing, now })
}

async fn plan_schemas(catalogue: &Catalogue, registry: &Registry) -> Result<Vec<Change>, AdminError> {
    let mut changes = Vec::new();
    for topic in &catalogue.topics {
        let Some(info) = schemas::topics::find(&topic.name).filter(|info| !info.schema.is_empty()) else { continue };
        if !registry.has(info.subject, info.schema).await? {
            changes.push(Change::RegisterSchema { subject: info.subject.to_owned() });
        }
        let Some(wanted) = topic.compatibility else { continue };
        let now = registry.compatibility(info.subject).await?;
        if now.as_deref() != Some(wanted.as_str()) {
            let subject = info.subject.to_owned();
            changes.push(Change::SetCompatibility { subject, from: now, to: wanted.as_str() });
        }
    }
    Ok(changes)
}

fn info_of_subject(subject: &str) -> Option<&'static TopicInfo> {
    schemas::topics::ALL.iter().copied().find(|info| info.subject == subject)
}

fn admin(kafka: &KafkaConfig) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
    kafka::client(kafka).create()
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
}

async fn create(
    admin: &AdminClient<DefaultClientContext>,
    topic: &str,
    partitions: u16,
    replication: u8,
    configs: &BTreeMap<String, String>,
) -> Result<(), AdminError> {
    let mut new = NewTopic::new(topic, i32::from(partitions), TopicReplication::Fixed(i32::from(replication)));
    for (name, value) in configs {
        new = new.set(name, value);
    }
    let results = admin.create_topics([&new], &options()).await?;
    // Another `apply` may have been faster; the next plan tells whether it made the same.
    let real = results.into_iter().filter(|result| !matches!(result, Err((_, RDKafkaErrorCode::TopicAlreadyExists))));
    refused(topic, real.collect())
}

/// Kafka's call replaces all settings of a topic, so those that are set and not ours are sent along.
async fn alter(
    admin: &AdminClient<DefaultClientContext>,
    topic: &str,
    configs: &BTreeMap<String, String>,
) -> Result<(), AdminError> {
    let described = admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options()).await?;
    let mut all = BTreeMap::new();
    for resource in described {
        let resource = resource.map_err(|code| refusal(topic, code))?;
        all.extend(values(&resource, |source| *source == ConfigSource::DynamicTopic));
    }
    all.extend(configs.clone());
    let mut request = AlterConfig::new(ResourceSpecifier::Topic(topic));
    for (name, value) in &all {
        request = request.set(name, value);
    }
    let results = admin.alter_configs([&request], &options()).await?;
    results.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, code)| refusal(topic, code)))
}

async fn describe(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[&TopicSpec],
) -> Result<BTreeMap<String, ConfigResource>, AdminError> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let specifiers: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
    let mut found = BTreeMap::new();
    for resource in admin.describe_configs(&specifiers, &options()).await? {
        let resource = resource.map_err(KafkaError::AdminOp)?;
        if let OwnedResourceSpecifier::Topic(name) = &resource.specifier {
            found.insert(name.clone(), resource);
        }
    }
    Ok(found)
}

fn values(resource: &ConfigResource, wanted: impl Fn(&ConfigSource) -> bool) -> BTreeMap<String, String> {
    let entries = resource.entries.iter().filter(|entry| wanted(&entry.source));
    entries.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

fn refused(topic: &str, results: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> Result<(), AdminError> {
    results.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, code)| refusal(topic, code)))
}

fn refusal(topic: &str, code: RDKafkaErrorCode) -> AdminError {
    AdminError::Topic { topic: topic.to_owned(), reason: code.to_string() }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result,
        Err(stopped) => Err(ReadError::Kafka(KafkaError::ClientCreation(stopped.to_string()))),
    }
}
