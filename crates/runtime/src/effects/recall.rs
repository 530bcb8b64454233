//! Reads back what was done before, beside the loop: a lane whose event corrects something waits for it, the others go on.
//!
//! What is asked for together is read together: of each partition the places that lie near each other, in one go.

use super::Event;
use super::index::EffectPlace;
use super::key_id::KeyId;
use crate::clock::{Tick, tick};
use crate::cluster::{Cluster, Membership, PartitionReader, Polled, RecordView as _};
use crate::codec::WireError;
use crate::kafka::ClientError;
use crate::parking::Lane;
use crate::parking_store::SETTLED_WITHIN;
use crate::reader::Range;
use crate::record::Record;
use crate::room::RoomError;
use crate::turn::{Loop, Next, PATIENCE};
use schemas::topics;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How long the broker may wait for records: those asked for are there, or their transaction is just ending.
const WAIT: Duration = Duration::from_millis(5);
/// Records that are fetched ahead.
const RECORDS_AHEAD: usize = 1_000;
/// Places that lie so near are read in one go.
const NEAR: i64 = 1_000;
/// One wait for the next record.
const SLICE: Duration = Duration::from_millis(20);
/// When nothing has come for so long, what was asked for cannot be read yet; whoever wants it asks again later.
const SILENCE: Duration = Duration::from_millis(500);

/// What a lane asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// The effect record at a place.
    At(EffectPlace),
    /// The place of the newest output under a business key, in the partition of the lane. All records of it are read for that, so
    /// this is only asked about what is remembered no more.
    Newest(KeyId),
}

/// A lane asks.
pub(super) struct Asked {
    pub lane: Lane,
    pub sought: Sought,
    /// Number of the assignment in which it asks: an answer to a question of another one may be out of date.
    pub assignment: u64,
}

/// What there is.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// This record.
    Record(Box<Record>),
    /// The newest output lies there.
    Place(EffectPlace),
    /// There is none.
    Nothing,
    /// It cannot be read yet.
    NotYet,
}

/// What a lane is told.
pub(crate) struct Recalled {
    pub(super) lane: Lane,
    pub(super) sought: Sought,
    pub(super) assignment: u64,
    pub(super) found: Found,
}

/// Tells the business key of an output, when a record holds one of this room.
pub(super) type KeyOf = Box<dyn Fn(&Record) -> Result<Option<KeyId>, WireError> + Send>;

/// Reads effect records for lanes; ends when nobody can ask any more.
pub(super) struct Recall<K: Cluster> {
    pub cluster: K,
    pub key_of: KeyOf,
    /// Opened when it is needed first: most rooms never correct anything.
    pub reader: Option<K::Reader>,
    pub asked: Receiver<Asked>,
    pub events: Sender<Event<Membership<K>>>,
}

/// What the loop knows of its questions: which lane waits for which place, and what was answered.
#[derive(Default)]
pub(super) struct Recollection {
    asked: HashMap<Lane, Sought>,
    told: HashMap<Lane, (Sought, Found)>,
    assignment: u64,
}

/// Lanes by the place that they wait for.
type Waiting = BTreeMap<EffectPlace, Vec<Asking>>;
/// Lanes by the business key whose newest output they wait for, of each partition.
type Searching = BTreeMap<i32, HashMap<KeyId, Vec<Asking>>>;
/// A lane, and in which assignment it asks.
type Asking = (Lane, u64);

impl Recollection {
    /// A lane waits for an answer from now on.
    pub fn ask(&mut self, lane: Lane, sought: Sought) -> Asked {
        self.asked.insert(lane.clone(), sought);
        Asked { lane, sought, assignment: self.assignment }
    }

    /// Keeps an answer, when the lane still waits for it; says whether it does.
    pub fn told(&mut self, recalled: Recalled) -> Option<Lane> {
        let Recalled { lane, sought, assignment, found } = recalled;
        if assignment != self.assignment || self.asked.get(&lane) != Some(&sought) {
            // Asked before the partitions were assigned anew.
            return None;
        }
        self.asked.remove(&lane);
        self.told.insert(lane.clone(), (sought, found));
        Some(lane)
    }

    /// Takes the answer to a question; none when there is none, and the lane has to ask.
    pub fn take(&mut self, lane: &Lane, sought: Sought) -> Option<Found> {
        self.told.remove(lane).filter(|(told, _)| *told == sought).map(|(_, found)| found)
    }

    /// Forgets everything: the partitions have gone.
    pub fn clear(&mut self) {
        *self = Self { assignment: self.assignment + 1, ..Self::default() };
    }
}

impl<K: Cluster> Loop for Recall<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let first = match self.asked.recv_timeout(patience) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Within(PATIENCE)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        };
        let (mut waiting, mut searching) = (Waiting::new(), Searching::new());
        for Asked { lane, sought, assignment } in std::iter::once(first).chain(self.asked.try_iter()) {
            let partition = lane.partition;
            let of_key = match sought {
                Sought::At(place) => waiting.entry(place).or_default(),
                Sought::Newest(key) => searching.entry(partition).or_default().entry(key).or_default(),
            };
            of_key.push((lane, assignment));
        }
        while !waiting.is_empty() {
            if let Err(error) = self.round(&mut waiting) {
                tracing::warn!(%error, "earlier effects cannot be read now");
                tell_all(std::mem::take(&mut waiting), &mut self.teller());
            }
        }
        for (partition, lanes) in searching {
            self.search(partition, lanes);
        }
        Ok(Next::Within(Duration::ZERO))
    }
}

impl<K: Cluster> Recall<K> {
    /// Reads a whole partition for the newest outputs under these business keys. Each lane has its answer in the end.
    fn search(&self, partition: i32, lanes: HashMap<KeyId, Vec<Asking>>) {
        tracing::info!(partition, keys = lanes.len(), "searching for effects that are remembered no more");
        let newest = self.newest(partition, &lanes);
        if let Err(error) = &newest {
            tracing::warn!(partition, error, "earlier effects cannot be read now");
        }
        for (key, lanes) in lanes {
            let found = match &newest {
                Ok(newest) => newest.get(&key).map_or(Found::Nothing, |place| Found::Place(*place)),
                Err(_) => Found::NotYet,
            };
            for (lane, assignment) in lanes {
                let recalled = Recalled { lane, sought: Sought::Newest(key), assignment, found: found.clone() };
                drop(self.events.send(Event::Recalled(Box::new(recalled))));
            }
        }
    }

    fn newest<V>(&self, partition: i32, wanted: &HashMap<KeyId, V>) -> Result<HashMap<KeyId, EffectPlace>, String> {
        let topic = topics::OPS_EFFECT_V1.name();
        // What was committed and stands behind what is still open would be missed.
        let settled = self.cluster.settled(topic, &BTreeSet::from([partition]), SETTLED_WITHIN);
        settled.map_err(|error| error.to_string())?;
        let (mut newest, mut failed) = (HashMap::new(), None);
        let read = self.cluster.read_range(
            &Range::all(topic).partitions([partition]),
            &mut |record| match (self.key_of)(&record) {
                Ok(key) => {
                    if let Some(key) = key.filter(|key| wanted.contains_key(key)) {
                        newest.insert(key, (record.place.partition, record.place.offset));
                    }
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error.to_string());
                    ControlFlow::Break(())
                }
            },
        );
        read.map_err(|error| error.to_string())?;
        failed.map_or(Ok(newest), Err)
    }

    /// Reads one run of places of each partition. All its lanes have their answer in the end.
    fn round(&mut self, waiting: &mut Waiting) -> Result<(), ClientError> {
        if self.reader.is_none() {
            self.reader = Some(self.cluster.reader(RECORDS_AHEAD, WAIT)?);
        }
        let Some(reader) = &self.reader else { return Ok(()) };
        read_runs(reader, waiting, &mut self.teller())
    }

    /// Tells the loop what there is at a place.
    fn teller(&self) -> impl FnMut(Asking, EffectPlace, Option<&Record>) {
        |(lane, assignment), place, record| {
            let found = record.map_or(Found::NotYet, |record| Found::Record(Box::new(record.clone())));
            // The loop is gone only when the room has stopped.
            drop(self.events.send(Event::Recalled(Box::new(Recalled {
                lane,
                sought: Sought::At(place),
                assignment,
                found,
            }))));
        }
    }
}

/// Takes the first run of places of each partition out of what waits, and reads it. Each lane of it is told once, whatever fails.
fn read_runs<R: PartitionReader>(
    reader: &R,
    waiting: &mut Waiting,
    tell: &mut impl FnMut(Asking, EffectPlace, Option<&Record>),
) -> Result<(), ClientError> {
    let open = runs(waiting.keys().copied());
    let mut here = Waiting::new();
    for (partition, (first, last)) in &open {
        let places = waiting.extract_if((*partition, *first)..=(*partition, *last), |_, _| true);
        here.extend(places);
    }
    let listened = listen(reader, open, &mut here, tell);
    // What was not found, and what was not even looked for: a lane without an answer would wait for ever.
    tell_all(here, tell);
    listened
}

/// Reads until every run is through, or nothing comes any more of those that are not.
fn listen<R: PartitionReader>(
    reader: &R,
    mut open: BTreeMap<i32, (i64, i64)>,
    here: &mut Waiting,
    tell: &mut impl FnMut(Asking, EffectPlace, Option<&Record>),
) -> Result<(), ClientError> {
    let starts: Vec<_> = open.iter().map(|(partition, (first, _))| (*partition, Some(*first))).collect();
    let topic = topics::OPS_EFFECT_V1.name();
    reader.assign(topic, &starts)?;
    let mut heard = tick();
    while !open.is_empty() && is_heard(heard) {
        match reader.poll(SLICE) {
            Polled::Record(message) => {
                let place = (message.partition(), message.offset());
                // What goes on in a partition that is through says nothing about the others.
                if open.contains_key(&place.0) {
                    heard = tick();
                }
                if let Some(lanes) = here.remove(&place) {
                    let record = message.to_record();
                    lanes.into_iter().for_each(|lane| tell(lane, place, Some(&record)));
                }
                if open.get(&place.0).is_some_and(|(_, last)| place.1 >= *last) {
                    open.remove(&place.0);
                }
            }
            // At the end of a partition what was asked for may be behind a transaction that is just ending.
            Polled::Nothing | Polled::End(_) => {}
            Polled::Failed(error) => tracing::debug!(%error, "earlier effects"),
        }
    }
    reader.assign(topic, &[])
}

fn tell_all(waiting: Waiting, tell: &mut impl FnMut(Asking, EffectPlace, Option<&Record>)) {
    for (place, lanes) in waiting {
        lanes.into_iter().for_each(|lane| tell(lane, place, None));
    }
}

fn is_heard(heard: Tick) -> bool {
    tick().since(heard) <= SILENCE
}

/// The first run of places of each partition: its first and its last offset.
fn runs(places: impl Iterator<Item = EffectPlace>) -> BTreeMap<i32, (i64, i64)> {
    let mut runs: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for (partition, offset) in places {
        let (_, last) = runs.entry(partition).or_insert((offset, offset));
        if offset - *last <= NEAR {
            *last = offset;
        }
    }
    runs
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
#[path = "recall_tests.rs"]
mod tests;
