//! Answers to lanes, whatever the reader does.

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
        let goes_on = || self.goes_on.map(|partition| (partition, 1_000 + i64::try_from(self.polled.get()).unwrap()));
        next.or_else(goes_on).map_or(Polled::Nothing, |place| Polled::Record(Came(place)))
    }
}

/// What each lane was told of its place, in order: whether there is a record.
fn told(topic: &Topic, asked: &[(&str, EffectPlace)]) -> (Vec<(String, bool)>, Result<(), ClientError>) {
    simulate(Some(&TestTime));
    let mut waiting = Waiting::new();
    for (key, place) in asked {
        waiting.entry(*place).or_default().push((lane(key), 0));
    }
    let mut told = Vec::new();
    let mut tell = |(lane, _): Asking, place: EffectPlace, record: Option<&Record>| {
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
    let found = Found::Record(Box::new(record));
    Recalled { lane: lane(key), sought: Sought::At(place), assignment: 0, found }
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
    recollection.ask(lane("a"), Sought::At((0, 1)));
    recollection.clear();
    recollection.ask(lane("a"), Sought::At((0, 1)));
    assert_eq!(recollection.told(recalled("a", (0, 1))), None, "an answer of the assignment before");
}
