//! Reads the parking lot back from `ops.parked.v1`: at the start, and what a replay adds while the room runs.

use crate::clock::{Tick, now_micros, tick};
use crate::cluster::{Cluster, PartitionReader, Polled, Positions, RecordView};
use crate::codec::{Codec, WireError};
use crate::desk::{Desk, LANE_HEADER, WRITER_HEADER, unpack};
use crate::kafka::ClientError;
use crate::parked_reader::{Came, ParkedReader};
use crate::parking::{Entry, Hold, Lane, ParkingLot, Passed};
use crate::reader::FOLLOW_WAIT;
use crate::record::Record;
use processor::Subject;
use schemas::catalogue::OnReject;
use schemas::codec::WriterSchema;
use schemas::{Parked, Timestamp, TopicInfo, topics};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use uuid::Uuid;

/// Code of records that a replay parked.
pub const REPLAY_CODE: &str = "replay";
/// Code of what waits for nothing but that its endpoint opens.
pub(crate) const PUT_BY: &str = "WL-6043";

/// One wait for records while loading.
const POLL: Duration = Duration::from_millis(100);
/// Records that the index fetches ahead.
const RECORDS_AHEAD: usize = 1_000;
/// Most records of the topic's end that are looked at in one go.
const TAIL_MAX: usize = 5_000;
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
    /// The broker does not send what is parked.
    #[error("WL-6032: nothing came from the parking topic for {0} s")]
    Silent(u64),
    /// A record that the index knows is not on the topic.
    #[error("WL-6031: parked record at offset {0} cannot be read back")]
    Missing(i64),
    /// Somebody else has released an event of a key of which not all events are held.
    #[error("WL-6070: another session has released a parked event of this one: the parking topic is read again")]
    Unsure,
}

/// What reading on has brought.
pub(crate) enum Step {
    /// The head of a lane whose time has come.
    Event(Arc<Lane>, Box<Record>),
    /// Something that is not wanted now.
    Passed,
    /// Nothing is there now.
    Nothing,
}

/// What the index needs of a parked record: not the original bytes, which are most of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParkedPart<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    #[serde(default)]
    key_bytes: Option<schemas::Bytes>,
    reason_code: &'a str,
    #[serde(default)]
    subject: Option<schemas::Subject>,
    #[serde(default)]
    exception_id: Option<&'a str>,
    parked_at: Timestamp,
}

/// The parking topic as one worker sees it: its partitions, and only what its room parked.
pub struct ParkingStore<K: Cluster> {
    desk: Desk,
    cluster: K,
    tail: K::Reader,
    parked: ParkedReader<K>,
    handle: Handle,
    /// Keeps what it comes by when it brings an event back.
    keeps: bool,
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
    pub fn new(cluster: &K, desk: &Desk, handle: Handle) -> Result<Self, ParkingError> {
        Ok(Self {
            desk: desk.clone(),
            cluster: cluster.clone(),
            tail: cluster.reader(RECORDS_AHEAD, FOLLOW_WAIT)?,
            parked: ParkedReader::new(cluster)?,
            handle,
            keeps: false,
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

    /// Keeps what it comes by: the next event of a key is asked for when the one before it is done, which takes a while.
    #[must_use]
    pub fn keeping(self) -> Self {
        Self { keeps: true, ..self }
    }

    /// Takes over partitions: forgets what the index holds and reads all that is parked there. `seen` is told the place of each
    /// event that is parked or was and that the room reads again: topic, partition and offset. Gives where the room goes on in the
    /// partitions of its inputs.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer.
    pub fn load(
        &mut self,
        lot: &mut ParkingLot,
        partitions: BTreeSet<i32>,
        now: Tick,
        seen: impl FnMut(&str, i32, i64),
    ) -> Result<Positions, ParkingError> {
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
    ) -> Result<Positions, ParkingError> {
        more.retain(|partition| self.partitions.insert(*partition));
        if more.is_empty() && !self.partitions.is_empty() {
            return Ok(Positions::new());
        }
        let mut positions = Positions::new();
        self.parked.stop();
        let topic = topics::OPS_PARKED_V1.name();
        if !more.is_empty() {
            let inputs = self.inputs.iter().map(|input| input.info.name).chain([topic]);
            positions = self.cluster.decided(self.desk.room, &inputs.collect::<Vec<_>>(), SETTLED_WITHIN)?;
        }
        self.cluster.settled(topic, &more, SETTLED_WITHIN)?;
        self.follow()?;
        self.read.extend(more.iter().map(|partition| (*partition, 0)));
        let mut behind = more.clone();
        lot.load();
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
                    if let Some((topic, partition, offset)) = origin_of(self.desk.room, &message)
                        && positions.get(&(topic.to_owned(), partition)).is_none_or(|position| *position <= offset)
                    {
                        seen(topic, partition, offset);
                    }
                    self.index(lot, &message, now)?;
                }
            }
        }
        lot.loaded();
        Ok(positions)
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
        for _ in 0..TAIL_MAX {
            match self.tail.poll(Duration::ZERO) {
                Polled::Nothing => break,
                Polled::End(_) => {}
                Polled::Failed(error) => tracing::warn!(room = self.desk.room, %error, "parking lot"),
                Polled::Record(message) => {
                    self.read.insert(message.partition(), message.offset() + 1);
                    // What this session parked or released is in the index already, and newer there.
                    if !self.is_ours(&message) {
                        self.index(lot, &message, now)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// How far the parking topic was read in one of our partitions: topic, partition, next offset. A transaction that has no
    /// position of its own commits this one, because only positions prove that the partitions are still ours: without it
    /// somebody who was thrown out of the group could redrive what the new owner redrives too (EOS-1).
    pub fn position(&self) -> Option<(Arc<str>, i32, i64)> {
        let (partition, next) = self.read.first_key_value()?;
        Some((Arc::from(topics::OPS_PARKED_V1.name()), *partition, *next))
    }

    /// Nothing is to be brought back for now.
    pub(crate) fn rest(&mut self) {
        self.parked.rest();
    }

    /// Reads on to the next lane whose time has come, by one record, without waiting.
    ///
    /// # Errors
    /// When the client refuses, or an event cannot be read back.
    pub(crate) fn step(&mut self, lot: &mut ParkingLot, now: Tick) -> Result<Step, ParkingError> {
        let Some(at) = lot.aim() else { return Ok(Step::Nothing) };
        let message = match self.parked.next(at)? {
            Came::Record(message) => message,
            Came::Nothing => return Ok(Step::Nothing),
            Came::End => {
                lot.end(now);
                return Ok(Step::Nothing);
            }
        };
        if self.read.get(&message.partition()).is_none_or(|counted| message.offset() >= *counted) {
            // What the index has not counted yet would be taken for one that it has (ORD-1).
            drop(message);
            self.parked.again();
            self.catch_up(lot, now)?;
            return Ok(Step::Nothing);
        }
        let found = match lot.pass(message.partition(), message.offset()) {
            Passed::Head(lane) => Some(lane),
            Passed::Missing(offset) => return Err(ParkingError::Missing(offset)),
            Passed::Nothing => None,
            Passed::Unknown => match message.value().filter(|_| origin_of(self.desk.room, &message).is_some()) {
                None => None,
                Some(value) => {
                    let opened = self.desk.codec().open_on(&self.handle, value)?;
                    let (lane, entry) = placed(&self.inputs, &part_of(&opened)?, message.offset());
                    lot.show(&lane, &entry)
                }
            },
        };
        let Some(lane) = found else {
            let is_kept = self.keeps && message.value().is_some() && origin_of(self.desk.room, &message).is_some();
            let record = is_kept.then(|| message.to_record());
            drop(message);
            if let Some(record) = record {
                self.parked.keep(record);
            }
            return Ok(Step::Passed);
        };
        let offset = message.offset();
        let value = message.value().ok_or(ParkingError::Missing(offset))?;
        let parked = decode(self.desk.codec(), &self.handle, value)?;
        Ok(Step::Event(lane, Box::new(unpack(parked))))
    }

    /// The head of a lane that is to be tried, when it was come by before; it is not to be tried any more then.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub(crate) fn kept_head(&mut self, lot: &mut ParkingLot, lane: &Lane) -> Result<Option<Record>, ParkingError> {
        let Some(place) = lot.head(lane).and_then(|head| head.parked_at) else { return Ok(None) };
        let Some(record) = self.parked.take_kept((lane.partition, place)) else { return Ok(None) };
        let Some(value) = record.value.as_deref().filter(|_| lot.take(lane)) else { return Ok(None) };
        decode(self.desk.codec(), &self.handle, value).map(|parked| Some(unpack(parked)))
    }

    /// The lane of an event: its key, or itself alone where its topic does not demand order.
    pub(crate) fn lane(&self, topic: &str, partition: i32, key: &[u8], offset: i64) -> Lane {
        lane_of(&self.inputs, topic, partition, key, offset)
    }

    /// Whether a waiting event of the topic holds up the later ones of its key.
    pub(crate) fn is_ordered(&self, topic: &str) -> bool {
        is_ordered(&self.inputs, topic)
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

    fn index(&self, lot: &mut ParkingLot, message: &impl RecordView, now: Tick) -> Result<(), ParkingError> {
        let Some((topic, partition, offset)) = origin_of(self.desk.room, message) else { return Ok(()) };
        let Some(value) = message.value() else {
            let mut lane = None;
            message.visit_headers(|name, key| {
                if name == LANE_HEADER {
                    lane = Some(self.lane(topic, partition, key.unwrap_or_default(), offset));
                }
            });
            let lane = lane.or_else(|| lot.lane_with(topic, partition, offset).map(|lane| Lane::clone(&lane)));
            let known = lane.is_none_or(|lane| lot.remove_entry(&lane, offset));
            return if known { Ok(()) } else { Err(ParkingError::Unsure) };
        };
        let opened = self.desk.codec().open_on(&self.handle, value)?;
        let part: ParkedPart<'_> = part_of(&opened)?;
        let (lane, entry) = placed(&self.inputs, &part, message.offset());
        let since_micros = since_of(&part);
        lot.park(&lane, entry, || Hold {
            code: part.reason_code.to_owned(),
            subjects: part.subject.into_iter().map(|it| Arc::new(Subject::new(it.kind, it.key))).collect(),
            since_micros,
            exception_id: part.exception_id.and_then(|id| Uuid::parse_str(id).ok()),
            attempts: 0,
            due: Some(now),
            doubted: None,
        });
        Ok(())
    }
}

/// Since when the event uses up the time that it may wait. What was put by for an endpoint that was shut has used up none.
fn since_of(part: &ParkedPart<'_>) -> i64 {
    if part.reason_code == PUT_BY { now_micros() } else { part.parked_at.0 }
}

/// The lane of a parked event and its place.
fn placed(inputs: &[Input], part: &ParkedPart<'_>, place: i64) -> (Lane, Entry) {
    let key = part.key_bytes.as_ref().map_or(&[][..], |bytes| bytes.as_ref());
    let lane = lane_of(inputs, part.topic, part.partition, key, part.offset);
    let replay = part.reason_code == REPLAY_CODE;
    (lane, Entry { origin_offset: part.offset, parked_at: Some(place), ticket: None, replay })
}

fn lane_of(inputs: &[Input], topic: &str, partition: i32, key: &[u8], offset: i64) -> Lane {
    let alone = (!is_ordered(inputs, topic)).then_some(offset);
    let known = inputs.iter().find(|input| input.info.name == topic).map(|input| Arc::clone(&input.name));
    Lane { topic: known.unwrap_or_else(|| Arc::from(topic)), partition, key: Arc::from(key), alone }
}

fn is_ordered(inputs: &[Input], topic: &str) -> bool {
    let input = inputs.iter().find(|input| input.info.name == topic);
    input.is_none_or(|input| input.info.on_reject == OnReject::Park)
}

fn part_of<'a>((writer, body): &(Arc<WriterSchema>, &'a [u8])) -> Result<ParkedPart<'a>, ParkingError> {
    Ok(schemas::codec::decode_part(writer, body).map_err(WireError::from)?)
}

fn decode(codec: &Codec, handle: &Handle, value: &[u8]) -> Result<Parked, ParkingError> {
    let (writer, body) = codec.open_on(handle, value)?;
    Ok(schemas::codec::decode(&writer, body).map_err(WireError::from)?)
}

/// The place in the key of a parked record, when it is of this room.
fn origin_of<'a>(room: &str, message: &'a impl RecordView) -> Option<(&'a str, i32, i64)> {
    origin(room, std::str::from_utf8(message.key()?).ok()?)
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
