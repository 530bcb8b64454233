//! Reads the parking lot back from `ops.parked.v1`: at the start, and what a replay adds while the room runs.

use crate::clock::{Tick, tick};
use crate::cluster::{Cluster, PartitionReader, Polled, RecordView};
use crate::codec::WireError;
use crate::desk::{Desk, WRITER_HEADER, unpack};
use crate::kafka::ClientError;
use crate::parked_reader::ParkedReader;
use crate::parking::{Entry, Hold, Lane, ParkingLot};
use crate::reader::FOLLOW_WAIT;
use crate::record::Record;
use processor::Subject;
use schemas::catalogue::OnReject;
use schemas::{Parked, TopicInfo, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use uuid::Uuid;

/// Code of records that a replay parked.
pub const REPLAY_CODE: &str = "replay";
/// One wait for records while loading.
const POLL: Duration = Duration::from_millis(100);
/// Records that the index fetches ahead.
const RECORDS_AHEAD: usize = 1_000;
/// Longest wait for transactions of others that are open when partitions become ours.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// What went wrong with the parking topic.
#[derive(Debug, thiserror::Error)]
pub enum ParkingError {
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] ClientError),
    /// The registry, or a record of ours that does not decode.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// More is parked than this instance may index.
    #[error("WL-6030: more than {0} events are parked: raise limits.parked_max or add instances")]
    Full(usize),
    /// The broker does not send what is parked.
    #[error("WL-6032: nothing came from the parking topic for {0} s")]
    Silent(u64),
    /// A record that the index knows is not on the topic.
    #[error("WL-6031: parked record at offset {0} cannot be read back")]
    Missing(i64),
}

/// The parking topic as one worker sees it: its partitions, and only what its room parked.
pub struct ParkingStore<K: Cluster> {
    desk: Desk,
    cluster: K,
    tail: K::Reader,
    parked: ParkedReader<K>,
    handle: Handle,
    parked_max: usize,
    partitions: BTreeSet<i32>,
    /// How far each partition was read.
    read: BTreeMap<i32, i64>,
    inputs: Vec<Input>,
}

/// A topic that the room reads.
struct Input {
    info: &'static TopicInfo,
    /// Its name, shared by all lanes.
    name: Arc<str>,
}

impl<K: Cluster> ParkingStore<K> {
    /// Connects; reads nothing yet.
    ///
    /// # Errors
    /// When the client refuses its settings.
    pub fn new(cluster: &K, desk: &Desk, handle: Handle, parked_max: usize) -> Result<Self, ParkingError> {
        Ok(Self {
            desk: desk.clone(),
            cluster: cluster.clone(),
            tail: cluster.reader(RECORDS_AHEAD, FOLLOW_WAIT)?,
            parked: ParkedReader::new(cluster)?,
            handle,
            parked_max,
            partitions: BTreeSet::new(),
            read: BTreeMap::new(),
            inputs: Vec::new(),
        })
    }

    /// Names the topics that the room reads: they decide whether order binds.
    #[must_use]
    pub fn reading(mut self, inputs: Vec<&'static TopicInfo>) -> Self {
        self.inputs = inputs.into_iter().map(|info| Input { info, name: Arc::from(info.name) }).collect();
        self
    }

    /// Takes over partitions: forgets what the index holds and reads all that is parked there. `seen` is told the place of each
    /// event that is parked or was: topic, partition and offset.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer, or too much is parked.
    pub fn load(
        &mut self,
        lot: &mut ParkingLot,
        partitions: BTreeSet<i32>,
        now: Tick,
        seen: impl FnMut(&str, i32, i64),
    ) -> Result<(), ParkingError> {
        lot.forget(|_| true);
        self.clear();
        self.add(lot, partitions, now, seen)
    }

    /// Takes over further partitions: reads all that is parked there. What the index holds of the others stays.
    ///
    /// # Errors
    /// As [`ParkingStore::load`].
    pub fn add(
        &mut self,
        lot: &mut ParkingLot,
        mut more: BTreeSet<i32>,
        now: Tick,
        mut seen: impl FnMut(&str, i32, i64),
    ) -> Result<(), ParkingError> {
        more.retain(|partition| self.partitions.insert(*partition));
        if more.is_empty() && !self.partitions.is_empty() {
            return Ok(());
        }
        self.parked.stop();
        let topic = topics::OPS_PARKED_V1.name();
        if !more.is_empty() {
            let inputs = self.inputs.iter().map(|input| input.info.name).chain([topic]);
            self.cluster.decided(self.desk.room, &inputs.collect::<Vec<_>>(), SETTLED_WITHIN)?;
        }
        self.cluster.settled(topic, &more, SETTLED_WITHIN)?;
        self.follow()?;
        self.read.extend(more.iter().map(|partition| (*partition, 0)));
        let mut behind = more.clone();
        let mut heard = tick();
        while !behind.is_empty() {
            let polled = self.tail.poll(POLL);
            if matches!(polled, Polled::Record(_) | Polled::End(_)) {
                heard = tick();
            } else if tick().since(heard) > SETTLED_WITHIN {
                return Err(ParkingError::Silent(SETTLED_WITHIN.as_secs()));
            }
            match polled {
                Polled::Nothing => {}
                Polled::End(partition) => {
                    behind.remove(&partition);
                }
                Polled::Failed(error) => tracing::warn!(room = self.desk.room, %error, "parking lot"),
                Polled::Record(message) => {
                    self.read.insert(message.partition(), message.offset() + 1);
                    // Of what we had, the index knows what this session wrote; of what we take over, it knows nothing.
                    if !more.contains(&message.partition()) && self.is_ours(&message) {
                        continue;
                    }
                    let record = message.to_record();
                    if let Some((topic, partition, offset)) = origin(self.desk.room, &record.key_text()) {
                        seen(topic, partition, offset);
                    }
                    self.index(lot, &record, now)?;
                }
            }
        }
        Ok(())
    }

    /// Gives partitions away. What the index holds of the others stays.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn let_go(&mut self, lot: &mut ParkingLot, gone: &BTreeSet<i32>) -> Result<(), ParkingError> {
        lot.forget(|lane| gone.contains(&lane.partition));
        self.partitions.retain(|partition| !gone.contains(partition));
        self.read.retain(|partition, _| !gone.contains(partition));
        self.parked.stop();
        self.follow()
    }

    /// Gives all partitions away, without the client: they have gone already.
    pub fn clear(&mut self) {
        self.parked.stop();
        self.partitions.clear();
        self.read.clear();
    }

    /// Reads our partitions on, those that were not read from their beginning.
    fn follow(&self) -> Result<(), ParkingError> {
        let from = |partition| self.read.get(partition).copied().filter(|next| *next > 0);
        let places: Vec<_> = self.partitions.iter().map(|partition| (*partition, from(partition))).collect();
        Ok(self.tail.assign(topics::OPS_PARKED_V1.name(), &places)?)
    }

    /// Adds what others (a replay) have parked since.
    ///
    /// # Errors
    /// As [`ParkingStore::load`].
    pub fn catch_up(&mut self, lot: &mut ParkingLot, now: Tick) -> Result<(), ParkingError> {
        loop {
            match self.tail.poll(Duration::ZERO) {
                Polled::Nothing => return Ok(()),
                Polled::End(_) => {}
                Polled::Failed(error) => tracing::warn!(room = self.desk.room, %error, "parking lot"),
                Polled::Record(message) => {
                    self.read.insert(message.partition(), message.offset() + 1);
                    // What this session parked or released is in the index already, and newer there.
                    if !self.is_ours(&message) {
                        let record = message.to_record();
                        self.index(lot, &record, now)?;
                    }
                }
            }
        }
    }

    /// How far the parking topic was read in one of our partitions: topic, partition, next offset. A transaction that has no
    /// position of its own commits this one, because only positions prove that the partitions are still ours: without it
    /// somebody who was thrown out of the group could redrive what the new owner redrives too (EOS-1).
    pub fn position(&self) -> Option<(Arc<str>, i32, i64)> {
        let (partition, next) = self.read.first_key_value()?;
        Some((Arc::from(topics::OPS_PARKED_V1.name()), *partition, *next))
    }

    /// The parked event at an offset of the parking topic.
    ///
    /// # Errors
    /// When it cannot be read within a bound.
    pub fn fetch(&mut self, partition: i32, offset: i64) -> Result<Record, ParkingError> {
        let record = self.parked.fetch(partition, offset)?;
        let value = record.value.as_deref().ok_or(ParkingError::Missing(offset))?;
        Ok(unpack(self.decode(value)?))
    }

    /// Whether the parked event at an offset costs little after the one that was brought back last.
    pub fn is_near(&self, partition: i32, offset: i64) -> bool {
        self.parked.is_near(partition, offset)
    }

    /// Nothing is to be brought back for now.
    pub fn rest(&mut self) {
        self.parked.rest();
    }

    /// The lane of an event: its key, or itself alone where its topic does not demand order.
    pub(crate) fn lane(&self, topic: &str, partition: i32, key: &[u8], offset: i64) -> Lane {
        let alone = (!self.is_ordered(topic)).then_some(offset);
        let known = self.input(topic).map(|input| Arc::clone(&input.name));
        Lane { topic: known.unwrap_or_else(|| Arc::from(topic)), partition, key: Arc::from(key), alone }
    }

    /// Whether a waiting event of the topic holds up the later ones of its key.
    pub(crate) fn is_ordered(&self, topic: &str) -> bool {
        self.input(topic).is_none_or(|input| input.info.on_reject == OnReject::Park)
    }

    fn input(&self, topic: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.info.name == topic)
    }

    fn is_ours(&self, record: &impl RecordView) -> bool {
        let mut writer = None;
        record.visit_headers(|name, value| {
            if name == WRITER_HEADER && writer.is_none() {
                writer = Some(value == Some(self.desk.writer().as_bytes()));
            }
        });
        writer == Some(true)
    }

    fn decode(&self, value: &[u8]) -> Result<Parked, ParkingError> {
        let codec = self.desk.codec();
        let (writer, body) = match codec.open_cached(value)? {
            Some(opened) => opened,
            None => self.handle.block_on(codec.open(value))?,
        };
        Ok(schemas::codec::decode(&writer, body).map_err(WireError::from)?)
    }

    fn index(&self, lot: &mut ParkingLot, record: &Record, now: Tick) -> Result<(), ParkingError> {
        let key = record.key_text();
        let Some((topic, partition, offset)) = origin(self.desk.room, &key) else { return Ok(()) };
        let Some(value) = record.value.as_deref() else {
            lot.remove_entry(topic, partition, offset);
            return Ok(());
        };
        let parked = self.decode(value)?;
        let key = parked.key_bytes.as_ref().map_or(&[][..], |bytes| bytes.as_ref());
        let lane = self.lane(&parked.topic, parked.partition, key, parked.offset);
        let replay = parked.reason_code == REPLAY_CODE;
        let entry = Entry { origin_offset: parked.offset, parked_at: Some(record.place.offset), ticket: None, replay };
        lot.park(&lane, entry, || Hold {
            code: parked.reason_code,
            subjects: parked.subject.into_iter().map(|subject| Subject::new(subject.kind, subject.key)).collect(),
            since_micros: parked.parked_at.0,
            exception_id: parked.exception_id.and_then(|id| Uuid::parse_str(&id).ok()),
            attempts: 0,
            due: Some(now),
        });
        if lot.entry_count() > self.parked_max { Err(ParkingError::Full(self.parked_max)) } else { Ok(()) }
    }
}

/// The place in the key of a parked record of a room: topic, partition and offset of the origin.
pub fn origin<'a>(room: &str, key: &'a str) -> Option<(&'a str, i32, i64)> {
    let mut parts = key.split('|');
    if parts.next() != Some(room) {
        return None;
    }
    let (topic, partition, offset) = (parts.next()?, parts.next()?, parts.next()?);
    Some((topic, partition.parse().ok()?, offset.parse().ok()?))
}
