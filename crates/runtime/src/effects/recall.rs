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
use crate::reader::Range;
use crate::record::Record;
use crate::room::RoomError;
use crate::turn::{Loop, Next, PATIENCE};
use schemas::topics;
use std::collections::{BTreeMap, HashMap};
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
}

/// Lanes by the place that they wait for.
type Waiting = BTreeMap<EffectPlace, Vec<Lane>>;
/// Lanes by the business key whose newest output they wait for, of each partition.
type Searching = BTreeMap<i32, HashMap<KeyId, Vec<Lane>>>;

impl Recollection {
    /// A lane waits for an answer from now on.
    pub fn ask(&mut self, lane: Lane, sought: Sought) {
        self.asked.insert(lane, sought);
    }

    /// Keeps an answer, when the lane still waits for it; says whether it does.
    pub fn told(&mut self, recalled: Recalled) -> Option<Lane> {
        let Recalled { lane, sought, found } = recalled;
        if self.asked.get(&lane) != Some(&sought) {
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
        let (mut waiting, mut searching) = (Waiting::new(), Searching::new());
        for Asked { lane, sought } in std::iter::once(first).chain(self.asked.try_iter()) {
            match sought {
                Sought::At(place) => waiting.entry(place).or_default().push(lane),
                Sought::Newest(key) => {
                    searching.entry(lane.partition).or_default().entry(key).or_default().push(lane);
                }
            }
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
    fn search(&self, partition: i32, lanes: HashMap<KeyId, Vec<Lane>>) {
        tracing::info!(partition, keys = lanes.len(), "searching for effects that are remembered no more");
        let (mut newest, mut failed) = (HashMap::new(), None);
        let range = Range::all(topics::OPS_EFFECT_V1.name()).partitions([partition]);
        let read = self.cluster.read_range(&range, &mut |record| match (self.key_of)(&record) {
            Ok(key) => {
                if let Some(key) = key.filter(|key| lanes.contains_key(key)) {
                    newest.insert(key, (record.place.partition, record.place.offset));
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error.to_string());
                ControlFlow::Break(())
            }
        });
        let failed = failed.or_else(|| read.err().map(|error| error.to_string()));
        if let Some(error) = &failed {
            tracing::warn!(partition, error, "earlier effects cannot be read now");
        }
        for (key, lanes) in lanes {
            let found = match newest.get(&key) {
                _ if failed.is_some() => Found::NotYet,
                Some(place) => Found::Place(*place),
                None => Found::Nothing,
            };
            for lane in lanes {
                let recalled = Recalled { lane, sought: Sought::Newest(key), found: found.clone() };
                drop(self.events.send(Event::Recalled(Box::new(recalled))));
            }
        }
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
    fn teller(&self) -> impl FnMut(Lane, EffectPlace, Option<&Record>) {
        |lane, place, record| {
            let found = record.map_or(Found::NotYet, |record| Found::Record(Box::new(record.clone())));
            // The loop is gone only when the room has stopped.
            drop(self.events.send(Event::Recalled(Box::new(Recalled { lane, sought: Sought::At(place), found }))));
        }
    }
}

/// Takes the first run of places of each partition out of what waits, and reads it. Each lane of it is told once, whatever fails.
fn read_runs<R: PartitionReader>(
    reader: &R,
    waiting: &mut Waiting,
    tell: &mut impl FnMut(Lane, EffectPlace, Option<&Record>),
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
    tell: &mut impl FnMut(Lane, EffectPlace, Option<&Record>),
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

fn tell_all(waiting: Waiting, tell: &mut impl FnMut(Lane, EffectPlace, Option<&Record>)) {
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
mod tests {
    use super::*;
    use crate::clock::{VirtualTime, simulate};
    use crate::record::Place;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::sync::Arc;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    struct TestTime;

    impl VirtualTime for TestTime {
        fn since_start(&self) -> Duration {
            NOW.get()
        }

        fn pass(&self, longest: Duration) {
            NOW.set(NOW.get() + longest);
        }
    }

    /// What a poll gives: a place.
    struct Came(EffectPlace);

    impl crate::cluster::RecordView for Came {
        fn topic(&self) -> &'static str {
            "e"
        }

        fn partition(&self) -> i32 {
            self.0.0
        }

        fn offset(&self) -> i64 {
            self.0.1
        }

        fn timestamp_ms(&self) -> Option<i64> {
            None
        }

        fn key(&self) -> Option<&[u8]> {
            None
        }

        fn value(&self) -> Option<&[u8]> {
            None
        }

        fn visit_headers(&self, _visit: impl FnMut(&str, Option<&[u8]>)) {}
    }

    /// A topic that has these records, and then `goes_on` with further ones of a partition for ever.
    #[derive(Default)]
    struct Topic {
        records: RefCell<VecDeque<EffectPlace>>,
        goes_on: Option<i32>,
        /// The call of `assign` that fails, counted from one.
        fails: Option<usize>,
        assigned: Cell<usize>,
        polled: Cell<usize>,
    }

    impl PartitionReader for Topic {
        type Message<'a> = Came;

        fn partitions(&self, _topic: &str) -> Result<Vec<i32>, ClientError> {
            Ok(vec![0, 1])
        }

        fn assign(&self, _topic: &str, _partitions: &[(i32, Option<i64>)]) -> Result<(), ClientError> {
            self.assigned.set(self.assigned.get() + 1);
            if self.fails == Some(self.assigned.get()) {
                return Err(ClientError::Delivery("it does not work".to_owned()));
            }
            Ok(())
        }

        fn poll(&self, patience: Duration) -> Polled<Came> {
            self.polled.set(self.polled.get() + 1);
            assert!(self.polled.get() < 10_000, "it waits for ever");
            NOW.set(NOW.get() + patience);
            let next = self.records.borrow_mut().pop_front();
            let goes_on =
                || self.goes_on.map(|partition| (partition, 1_000 + i64::try_from(self.polled.get()).unwrap()));
            next.or_else(goes_on).map_or(Polled::Nothing, |place| Polled::Record(Came(place)))
        }
    }

    /// What each lane was told of its place, in order: whether there is a record.
    fn told(topic: &Topic, asked: &[(&str, EffectPlace)]) -> (Vec<(String, bool)>, Result<(), ClientError>) {
        simulate(Some(&TestTime));
        let mut waiting = Waiting::new();
        for (key, place) in asked {
            waiting.entry(*place).or_default().push(lane(key));
        }
        let mut told = Vec::new();
        let mut tell = |lane: Lane, place: EffectPlace, record: Option<&Record>| {
            assert!(record.is_none_or(|record| (record.place.partition, record.place.offset) == place));
            told.push((String::from_utf8_lossy(&lane.key).into_owned(), record.is_some()));
        };
        let read = read_runs(topic, &mut waiting, &mut tell);
        simulate(None);
        assert!(waiting.is_empty(), "one run of each partition");
        (told, read)
    }

    fn answers(of: &[(&str, bool)]) -> Vec<(String, bool)> {
        of.iter().map(|(key, there)| ((*key).to_owned(), *there)).collect()
    }

    /// Two lanes that wait for one place, one for another, one in another partition, and one for what is not there.
    const ASKED: [(&str, EffectPlace); 5] = [("a", (0, 5)), ("b", (0, 5)), ("c", (0, 7)), ("d", (1, 3)), ("e", (0, 6))];

    #[test]
    fn ord_1_each_lane_has_one_answer_whether_its_record_is_there_or_not() {
        let records = RefCell::new([(0, 5), (1, 3), (0, 5), (0, 7)].into());
        let topic = Topic { records, ..Topic::default() };
        let (told, read) = told(&topic, &ASKED);
        assert_eq!(told, answers(&[("a", true), ("b", true), ("d", true), ("c", true), ("e", false)]));
        assert!(read.is_ok() && topic.polled.get() == 4, "it ends with what was asked for");
    }

    #[test]
    fn ord_1_no_answer_is_lost_when_the_reader_fails() {
        for fails in [1, 2] {
            let records = RefCell::new([(0, 5), (0, 7), (1, 3)].into());
            let (mut told, read) = told(&Topic { records, fails: Some(fails), ..Topic::default() }, &ASKED);
            told.sort();
            let there = fails == 2;
            let all = [("a", there), ("b", there), ("c", there), ("d", there), ("e", false)];
            assert_eq!(told, answers(&all), "assignment {fails} fails");
            assert!(read.is_err(), "and it is said");
        }
    }

    /// What is written on and on to a partition that is through keeps nobody waiting for what does not come in another one.
    #[test]
    fn bnd_1_a_partition_that_is_through_does_not_prolong_the_wait_for_another() {
        let records = RefCell::new([(1, 3)].into());
        let topic = Topic { records, goes_on: Some(1), ..Topic::default() };
        let before = NOW.get();
        let (told, read) = told(&topic, &[("a", (0, 5)), ("d", (1, 3))]);
        assert_eq!(told, answers(&[("d", true), ("a", false)]));
        assert!(read.is_ok() && NOW.get() - before <= SILENCE + 3 * SLICE, "{:?}", NOW.get() - before);
    }

    fn lane(key: &str) -> Lane {
        Lane { topic: Arc::from("t"), partition: 0, key: Arc::from(key.as_bytes()), alone: None }
    }

    fn recalled(key: &str, place: EffectPlace) -> Recalled {
        let at = Place { topic: Arc::from("e"), partition: place.0, offset: place.1 };
        let record = Record { place: at, timestamp_ms: None, key: None, value: None, headers: Vec::new() };
        Recalled { lane: lane(key), sought: Sought::At(place), found: Found::Record(Box::new(record)) }
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
        recollection.ask(lane("a"), Sought::At((0, 1)));
        assert_eq!(recollection.told(recalled("a", (0, 2))), None, "a place that was asked for long ago");
        assert_eq!(recollection.told(recalled("a", (0, 1))), Some(lane("a")));
        assert_eq!(recollection.told(recalled("a", (0, 1))), None, "a lane that has begun is not begun again");
        assert!(
            matches!(recollection.take(&lane("a"), Sought::At((0, 1))), Some(Found::Record(at)) if at.place.offset == 1)
        );
        assert!(recollection.take(&lane("a"), Sought::At((0, 1))).is_none(), "it is used once");
    }

    #[test]
    fn a_newer_place_is_asked_for_anew() {
        let mut recollection = Recollection::default();
        recollection.ask(lane("a"), Sought::At((0, 1)));
        recollection.told(recalled("a", (0, 1)));
        assert!(recollection.take(&lane("a"), Sought::At((0, 7))).is_none());
    }
}
