//! Starting: the journal and the logs say where the broker was.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::super::groups::{GroupOptions, Groups, OffsetEntry};
use super::super::storage::{Journal, Log, Storage, StorageError, open_log};
use super::entry::{Counters, Entry, TopicEntry};
use super::registry::{Partition, Registry, Topic, log_prefix};
use super::settings::TopicSettings;
use super::{Core, CoreOptions};

/// What the journal says.
#[derive(Debug, Default)]
struct Kept {
    cluster_id: Option<String>,
    counters: Counters,
    broker_configs: BTreeMap<String, String>,
    topics: BTreeMap<Uuid, TopicEntry>,
    starts: BTreeMap<(Uuid, i32), i64>,
    transactions: BTreeMap<String, super::Transaction>,
    offsets: Vec<OffsetEntry>,
}

/// Files of the logs, by the folder they are in.
type Folders = BTreeMap<String, Vec<(String, u64)>>;

impl Core {
    /// Opens the broker over what its storage holds: everything that was acknowledged is there again, open transactions
    /// are still open, and those that were ending end.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn open(options: CoreOptions, mut storage: Box<dyn Storage>, now_ms: i64) -> Result<Self, StorageError> {
        let mut kept = Kept::default();
        let journal = Journal::open(&mut *storage, |entry| kept.apply(entry))?;
        let mut registry = Registry::default();
        let mut folders = folders(&mut *storage)?;
        for entry in std::mem::take(&mut kept.topics).into_values() {
            let topic = open_topic(&mut *storage, &entry, &mut folders, &kept, &options)?;
            registry.insert(entry.name, topic);
        }
        // What is left belongs to topics that were deleted, or that were never acknowledged.
        for (file, _) in folders.into_values().flatten() {
            storage.remove(&file)?;
        }
        // A member of the broker before the restart may come back with its id: nobody else may get that id.
        let seed = options.groups.seed ^ u64::from_be_bytes(now_ms.to_be_bytes());
        let mut groups = Groups::new(GroupOptions { seed, ..options.groups.clone() });
        for entry in kept.offsets {
            groups.restore(entry);
        }
        let new_id = || format!("wardline-embedded-{}", id_of(options.seed, u64::MAX).simple());
        let cluster_id = kept.cluster_id.clone().unwrap_or_else(new_id);
        let interval_ms = options.retention_check_interval_ms.max(1);
        let mut core = Self {
            options,
            storage,
            journal,
            cluster_id,
            counters: kept.counters,
            broker_configs: kept.broker_configs,
            registry,
            transactions: kept.transactions,
            groups,
            waiting: BTreeMap::new(),
            woken: std::collections::BTreeSet::new(),
            responses: Vec::new(),
            is_ahead: false,
            retry_ms: None,
            maintenance_ms: now_ms.saturating_add(interval_ms),
        };
        if kept.cluster_id.is_none() {
            core.write(&Entry::Cluster(core.cluster_id.clone()))?;
        }
        core.complete_prepared(now_ms);
        core.responses.clear();
        Ok(core)
    }

    /// An id that no topic of this broker ever had.
    pub(super) fn new_topic_id(&mut self) -> Uuid {
        self.counters.topics += 1;
        id_of(self.options.seed, self.counters.topics)
    }
}

impl Kept {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Cluster(id) => self.cluster_id = Some(id),
            Entry::Counters(counters) => self.counters = counters,
            Entry::BrokerConfigs(configs) => self.broker_configs = configs,
            Entry::Topic(topic) => {
                self.topics.insert(topic.id, topic);
            }
            Entry::TopicDeleted(id) => {
                self.topics.remove(&id);
                self.starts.retain(|(topic, _), _| *topic != id);
            }
            Entry::LogStart(id, partition, offset) => {
                self.starts.insert((id, partition), offset);
            }
            Entry::Transaction(id, transaction) => {
                self.transactions.insert(id, transaction);
            }
            Entry::TransactionForgotten(id) => {
                self.transactions.remove(&id);
            }
            Entry::Offsets(offsets) => self.offsets.extend(offsets),
        }
    }
}

fn folders(storage: &mut dyn Storage) -> Result<Folders, StorageError> {
    let mut folders = Folders::new();
    for (file, size) in storage.list()? {
        if let Some((folder, _)) = file.split_once('/') {
            folders.entry(folder.to_owned()).or_default().push((file, size));
        }
    }
    Ok(folders)
}

fn open_topic(
    storage: &mut dyn Storage,
    entry: &TopicEntry,
    folders: &mut Folders,
    kept: &Kept,
    options: &CoreOptions,
) -> Result<Topic, StorageError> {
    let partitions = (0..entry.partitions).map(|index| {
        let prefix = log_prefix(entry.id, index);
        let start = kept.starts.get(&(entry.id, index)).copied().unwrap_or(0);
        match folders.remove(&prefix) {
            Some(files) => {
                let (log, producers) = open_log(storage, &prefix, &files, start)?;
                Ok(Partition::new(log, producers))
            }
            None => Ok(Partition::new(Log::new(prefix, start), Default::default())),
        }
    });
    Ok(Topic {
        id: entry.id,
        configs: entry.configs.clone(),
        settings: TopicSettings::new(&entry.configs, &kept.broker_configs, options),
        partitions: partitions.collect::<Result<_, StorageError>>()?,
    })
}

/// The n-th id that follows from a seed.
fn id_of(seed: u64, n: u64) -> Uuid {
    let digest = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(n.to_be_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_random_bytes(bytes).into_uuid()
}
