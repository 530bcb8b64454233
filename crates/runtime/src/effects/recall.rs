//! Reads back what was done before, beside the loop: a lane whose event corrects something waits for it, the others go on.
//!
//! What is asked for together is read together: of each partition the places that lie near each other, in one go.

use super::Event;
use super::index::EffectPlace;
use crate::clock::{Tick, tick};
use crate::cluster::{Cluster, Membership, PartitionReader as _, Polled, RecordView as _};
use crate::kafka::ClientError;
use crate::parking::Lane;
use crate::record::Record;
use crate::room::RoomError;
use crate::turn::{Loop, Next, PATIENCE};
use schemas::topics;
use std::collections::{BTreeMap, HashMap};
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

/// A lane asks for the effect record at a place.
pub(super) struct Asked {
    pub lane: Lane,
    pub place: EffectPlace,
}

/// What there is at a place; no record when it cannot be read yet.
pub(crate) struct Recalled {
    pub(super) lane: Lane,
    pub(super) place: EffectPlace,
    pub(super) record: Option<Record>,
}

/// Reads effect records for lanes; ends when nobody can ask any more.
pub(super) struct Recall<K: Cluster> {
    pub cluster: K,
    /// Opened when it is needed first: most rooms never correct anything.
    pub reader: Option<K::Reader>,
    pub asked: Receiver<Asked>,
    pub events: Sender<Event<Membership<K>>>,
}

/// What the loop knows of its questions: which lane waits for which place, and what was answered.
#[derive(Default)]
pub(super) struct Recollection {
    asked: HashMap<Lane, EffectPlace>,
    told: HashMap<Lane, (EffectPlace, Option<Record>)>,
}

/// Lanes by the place that they wait for.
type Waiting = BTreeMap<EffectPlace, Vec<Lane>>;

impl Recollection {
    /// A lane waits for a place from now on.
    pub fn ask(&mut self, lane: Lane, place: EffectPlace) {
        self.asked.insert(lane, place);
    }

    /// Keeps an answer, when the lane still waits for it; says whether it does.
    pub fn told(&mut self, recalled: Recalled) -> Option<Lane> {
        let Recalled { lane, place, record } = recalled;
        if self.asked.get(&lane) != Some(&place) {
            // Asked before the partitions were assigned anew.
            return None;
        }
        self.asked.remove(&lane);
        self.told.insert(lane.clone(), (place, record));
        Some(lane)
    }

    /// Takes the answer about a place; none when there is none, and the lane has to ask.
    pub fn take(&mut self, lane: &Lane, place: EffectPlace) -> Option<Option<Record>> {
        self.told.remove(lane).filter(|(told, _)| *told == place).map(|(_, record)| record)
    }

    /// Forgets everything: the partitions have gone.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<K: Cluster> Loop for Recall<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let first = match self.asked.recv_timeout(patience) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Within(PATIENCE)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        };
        let mut waiting = Waiting::new();
        for asked in std::iter::once(first).chain(self.asked.try_iter()) {
            waiting.entry(asked.place).or_default().push(asked.lane);
        }
        while !waiting.is_empty() {
            if let Err(error) = self.round(&mut waiting) {
                tracing::warn!(%error, "earlier effects cannot be read now");
                self.tell_all(std::mem::take(&mut waiting), None);
            }
        }
        Ok(Next::Within(Duration::ZERO))
    }
}

impl<K: Cluster> Recall<K> {
    /// Reads one run of places of each partition. All its lanes have their answer in the end.
    fn round(&mut self, waiting: &mut Waiting) -> Result<(), ClientError> {
        if self.reader.is_none() {
            self.reader = Some(self.cluster.reader(RECORDS_AHEAD, WAIT)?);
        }
        let Some(reader) = &self.reader else { return Ok(()) };
        let mut open = runs(waiting.keys().copied());
        let mut here = Waiting::new();
        for (partition, (first, last)) in &open {
            let places = waiting.extract_if((*partition, *first)..=(*partition, *last), |_, _| true);
            here.extend(places);
        }
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
                        self.tell(lanes, place, Some(&record));
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
        reader.assign(topic, &[])?;
        self.tell_all(here, None);
        Ok(())
    }

    fn tell_all(&self, waiting: Waiting, record: Option<&Record>) {
        for (place, lanes) in waiting {
            self.tell(lanes, place, record);
        }
    }

    fn tell(&self, lanes: Vec<Lane>, place: EffectPlace, record: Option<&Record>) {
        for lane in lanes {
            // The loop is gone only when the room has stopped.
            drop(self.events.send(Event::Recalled(Box::new(Recalled { lane, place, record: record.cloned() }))));
        }
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
mod tests {
    use super::*;
    use crate::record::Place;
    use std::sync::Arc;

    fn lane(key: &str) -> Lane {
        Lane { topic: Arc::from("t"), partition: 0, key: Arc::from(key.as_bytes()), alone: None }
    }

    fn recalled(key: &str, place: EffectPlace) -> Recalled {
        let at = Place { topic: Arc::from("e"), partition: place.0, offset: place.1 };
        let record = Record { place: at, timestamp_ms: None, key: None, value: None, headers: Vec::new() };
        Recalled { lane: lane(key), place, record: Some(record) }
    }

    #[test]
    fn a_run_ends_before_a_gap_and_each_partition_has_one() {
        let places = [(0, 5), (0, 5 + NEAR), (0, 6 + 2 * NEAR), (3, 1), (3, 2)];
        assert_eq!(runs(places.into_iter()), [(0, (5, 5 + NEAR)), (3, (1, 2))].into());
    }

    #[test]
    fn ord_1_an_answer_wakes_the_lane_that_waits_for_it_once_and_no_other() {
        let mut recollection = Recollection::default();
        assert_eq!(recollection.told(recalled("a", (0, 1))), None, "nobody asked");
        recollection.ask(lane("a"), (0, 1));
        assert_eq!(recollection.told(recalled("a", (0, 2))), None, "a place that was asked for long ago");
        assert_eq!(recollection.told(recalled("a", (0, 1))), Some(lane("a")));
        assert_eq!(recollection.told(recalled("a", (0, 1))), None, "a lane that has begun is not begun again");
        assert_eq!(recollection.take(&lane("a"), (0, 1)).unwrap().unwrap().place.offset, 1);
        assert!(recollection.take(&lane("a"), (0, 1)).is_none(), "it is used once");
    }

    #[test]
    fn a_newer_place_is_asked_for_anew() {
        let mut recollection = Recollection::default();
        recollection.ask(lane("a"), (0, 1));
        recollection.told(recalled("a", (0, 1)));
        assert!(recollection.take(&lane("a"), (0, 7)).is_none());
    }
}
