//! When a snapshot of a table is written, and whether one may be used.

use super::file::{self, Header, Unusable, Witness};
use crate::clock::{Tick, now_micros, tick};
use crate::cluster::RecordView;
use crate::config::Config;
use processor::{Snapshots, TableFeed};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

/// Where and how often the tables of a room are written down.
#[derive(Clone, Debug)]
pub struct Keeping {
    dir: PathBuf,
    room: &'static str,
    instance: String,
    every: Duration,
    age_max: Duration,
}

/// Keeps the snapshot of one table.
pub(super) struct Keeper {
    keeping: Keeping,
    topic: &'static str,
    witnesses: BTreeMap<i32, Witness>,
    /// Something was read since the last snapshot was begun.
    changed: bool,
    /// A record had no place in the table: what is read from a snapshot would lack it even when there is room again.
    lacking: bool,
    /// When the last one was begun or read; none when there is none yet.
    begun: Option<Tick>,
    writing: Option<JoinHandle<()>>,
}

impl Keeping {
    /// As the configuration says; none when it names no folder.
    pub fn of(config: &Config, room: &'static str) -> Option<Self> {
        let tables = &config.tables;
        Some(Self {
            dir: tables.snapshot_dir.clone()?,
            room,
            instance: config.kafka.instance.clone(),
            every: Duration::from_secs(tables.snapshot_every_s),
            age_max: Duration::from_secs(tables.snapshot_age_max_s),
        })
    }
}

impl Keeper {
    pub fn new(keeping: Keeping, topic: &'static str) -> Self {
        let witnesses = BTreeMap::new();
        Self { keeping, topic, witnesses, changed: false, lacking: false, begun: None, writing: None }
    }

    /// Fills the table from the snapshot and says which records prove that it is one of this topic. Without one that can be
    /// used the table is empty, and nothing is to be proved.
    pub fn load(&mut self, feed: &dyn TableFeed, partitions: &[i32]) -> BTreeMap<i32, Witness> {
        let Some(table) = feed.snapshots() else { return BTreeMap::new() };
        match self.read(table, partitions) {
            Ok(header) => {
                tracing::info!(topic = self.topic, rows = feed.rows(), "table read from its snapshot");
                self.begun = Some(tick());
                self.witnesses = header.witnesses.iter().map(|witness| (witness.partition, *witness)).collect();
            }
            Err(Unusable::Absent) => table.clear(),
            Err(reason) => {
                table.clear();
                self.refused(&reason.to_string());
            }
        }
        self.witnesses.clone()
    }

    /// The topic is not the one that the snapshot is of.
    pub fn disproved(&mut self, feed: &dyn TableFeed) {
        self.refused("the topic has another record, or none, where the snapshot ends");
        self.witnesses.clear();
        self.begun = None;
        if let Some(table) = feed.snapshots() {
            table.clear();
        }
    }

    /// A record was read and is in the table, or can never be.
    pub fn read_on(&mut self, record: &impl RecordView) {
        let partition = record.partition();
        self.witnesses.insert(partition, Witness::of(record));
        self.changed = true;
    }

    /// A record had no place in the table.
    pub fn lacks(&mut self) {
        self.lacking = true;
    }

    /// Writes a snapshot in the background when it is time.
    pub fn tend(&mut self, feed: &dyn TableFeed, now: Tick) {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join();
        }
        let due = match self.begun.map(|begun| now.since(begun)) {
            None => self.changed,
            Some(waited) if self.changed => waited >= self.keeping.every,
            // One that nothing has changed grows old all the same.
            Some(waited) => waited >= self.keeping.age_max / 2,
        };
        if due && self.writing.is_none() {
            self.begin(feed, now);
        }
    }

    /// Writes the last snapshot and waits for it.
    pub fn finish(&mut self, feed: &dyn TableFeed) {
        self.join();
        if self.changed {
            self.begin(feed, tick());
            self.join();
        }
    }

    fn begin(&mut self, feed: &dyn TableFeed, now: Tick) {
        self.begun = Some(now);
        let Some(table) = feed.snapshots().filter(|_| !self.lacking) else { return };
        self.changed = false;
        let Ok(contract) = table.contract() else { return };
        let image = table.image();
        let header = Header {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            topic: self.topic.to_owned(),
            contract: contract.to_owned(),
            taken_at_micros: now_micros(),
            witnesses: self.witnesses.values().copied().collect(),
            writers: image.writers,
            rows: u64::try_from(image.rows.len()).unwrap_or(u64::MAX),
        };
        let (path, beside, topic) =
            (self.path("table"), self.path(&format!("{}.new", self.keeping.instance)), self.topic);
        let write = move || {
            let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            match folder.and_then(|()| file::write(&path, &beside, &header, &image.rows)) {
                Ok(bytes) => tracing::info!(topic, rows = header.rows, bytes, "snapshot of a table written"),
                Err(error) => {
                    tracing::warn!(topic, path = %path.display(), %error, code = "WL-6022", "no snapshot of a table");
                }
            }
        };
        match std::thread::Builder::new().name(format!("snapshot-{topic}")).spawn(write) {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => tracing::warn!(topic, %error, code = "WL-6022", "no snapshot of a table"),
        }
    }

    fn join(&mut self) {
        if let Some(writing) = self.writing.take() {
            // A thread that panicked has told so itself, and the old snapshot is still there.
            drop(writing.join());
        }
    }

    fn read(&self, table: &dyn Snapshots, partitions: &[i32]) -> Result<Header, Unusable> {
        let contract = table.contract().map_err(|error| Unusable::Refused(error.to_string()))?;
        let accept = |header: &Header| {
            self.may_use(header, contract, partitions, now_micros())?;
            table.begin(&header.writers).map_err(|error| error.to_string())
        };
        file::read(&self.path("table"), accept, |row| table.restore(row).map_err(|error| error.to_string()))
    }

    fn may_use(&self, header: &Header, contract: &str, partitions: &[i32], now_micros: i64) -> Result<(), String> {
        let age = now_micros.saturating_sub(header.taken_at_micros);
        let known = |witness: &Witness| partitions.contains(&witness.partition);
        if header.topic != self.topic {
            return Err(format!("it is of topic {}", header.topic));
        }
        if header.release != env!("CARGO_PKG_VERSION") || header.contract != contract {
            return Err("another version of Wardline or of the contract has written it".to_owned());
        }
        if u64::try_from(age).map_or(true, |age| Duration::from_micros(age) > self.keeping.age_max) {
            return Err(
                "it is too old, or of a time that has not come: what was deleted since could come back".to_owned()
            );
        }
        if !header.witnesses.iter().all(known) {
            return Err("the topic has fewer partitions".to_owned());
        }
        Ok(())
    }

    fn refused(&self, reason: &str) {
        let path = self.path("table");
        tracing::warn!(
            topic = self.topic,
            path = %path.display(),
            reason,
            code = "WL-6021",
            "snapshot not used, reading the whole topic"
        );
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.keeping.dir.join(format!("{}.{}.{ending}", self.keeping.room, self.topic))
    }
}

impl Witness {
    /// Of a record.
    pub fn of(record: &impl RecordView) -> Self {
        let key = crc32c::crc32c(record.key().unwrap_or_default());
        let value = crc32c::crc32c_append(key, record.value().unwrap_or_default());
        let time = record.timestamp_ms().unwrap_or_default().to_le_bytes();
        Self { partition: record.partition(), offset: record.offset(), crc: crc32c::crc32c_append(value, &time) }
    }
}
