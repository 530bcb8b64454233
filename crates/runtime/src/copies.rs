//! Recognises copies: what a sender has said again and two parts of a source have both published, under one event id.
//!
//! Whether a record is a copy is a property of its partition and of nothing else: an event of the same id lies before it, at
//! most so many offsets away. So a crash, a rebalance or a step back forgets nothing: what lies before the next record is read
//! from the topic. Only records as they come from their topic are looked at. What comes back from the parking lot (a redrive,
//! a replay) has its place in the order already, and repeats ids by design.

use crate::cluster::{Cluster, RecordView};
use crate::reader::{From, Range, ReadError, Until};
use crate::record::Record;
use schemas::{TopicInfo, headers};
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use uuid::Uuid;

/// Rule under which copies are on the audit topic.
pub(crate) const RULE: &str = "source.copy";

/// What lies before a record cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("WL-6060: what lies before offset {offset} of {topic}-{partition} cannot be read: {source}")]
pub struct CopiesError {
    topic: String,
    partition: i32,
    offset: i64,
    source: ReadError,
}

/// What one worker knows of the topics that sources write.
pub(crate) struct Copies<K: Cluster> {
    cluster: K,
    windows: Vec<Window>,
    topics: Vec<&'static TopicInfo>,
    /// How far back, in offsets.
    reach: i64,
}

/// The newest ids of a partition.
struct Window {
    topic: Arc<str>,
    partition: i32,
    /// All before this offset that is in reach is known.
    next: i64,
    /// Records may have passed that were not seen here.
    has_gap: bool,
    seen: Seen,
}

/// An id, 16 bytes.
type Id = [u64; 2];

/// Ids with their offsets, as a ring in the order of offsets, and the newest offset of each.
#[derive(Default)]
struct Seen {
    ring: VecDeque<(i64, Id)>,
    newest: HashMap<Id, i64>,
    /// What was taken in last, and where its id was known to lie before.
    last: Option<(Id, Option<i64>)>,
}

impl<K: Cluster> Copies<K> {
    /// Looks at those of the topics that may repeat an event; `reach` is `limits.copies_reach`.
    pub fn new(cluster: &K, topics: Vec<&'static TopicInfo>, reach: usize) -> Self {
        let topics = topics.into_iter().filter(|topic| topic.may_repeat()).collect();
        let reach = i64::try_from(reach).unwrap_or(i64::MAX);
        Self { cluster: cluster.clone(), windows: Vec::new(), topics, reach }
    }

    /// Takes a record in as it comes from its topic; the offset of the event that it repeats when it is a copy.
    ///
    /// # Errors
    /// When what lies before it had to be read and could not be.
    pub fn first_of(&mut self, record: &impl RecordView) -> Result<Option<i64>, CopiesError> {
        let topic = record.topic();
        if !self.topics.iter().any(|known| known.name == topic) {
            return Ok(None);
        }
        let (partition, offset, cluster) = (record.partition(), record.offset(), &self.cluster);
        let read = |from, visit: &mut dyn FnMut(Record)| {
            let range = Range {
                topic: topic.to_owned(),
                partitions: vec![partition],
                from: From::Offset(from),
                until: Until::Offset(offset),
            };
            let mut each = |record| {
                visit(record);
                ControlFlow::Continue(())
            };
            cluster.read_range(&range, &mut each).map(drop)
        };
        let window = window(&mut self.windows, topic, partition);
        let first = window.first_of(id_of(record), offset, self.reach, read);
        first.map_err(|source| CopiesError { topic: topic.to_owned(), partition, offset, source })
    }

    /// Others may have read on, or reading starts again further back: what lies before the next record of each partition is
    /// made sure of.
    pub fn unsure(&mut self) {
        self.windows.iter_mut().for_each(|window| window.has_gap = true);
    }
}

fn window<'a>(windows: &'a mut Vec<Window>, topic: &str, partition: i32) -> &'a mut Window {
    let found = windows.iter().position(|window| window.partition == partition && &*window.topic == topic);
    let place = found.unwrap_or_else(|| {
        let topic = Arc::from(topic);
        windows.push(Window { topic, partition, next: 0, has_gap: true, seen: Seen::default() });
        windows.len() - 1
    });
    &mut windows[place]
}

impl Window {
    /// Takes an id in; where the event that it repeats lies, when it is a copy. `read` visits what lies from an offset up to
    /// this one.
    fn first_of(
        &mut self,
        id: Option<Id>,
        offset: i64,
        reach: i64,
        read: impl FnOnce(i64, &mut dyn FnMut(Record)) -> Result<(), ReadError>,
    ) -> Result<Option<i64>, ReadError> {
        if offset + 1 == self.next && self.seen.undo(offset) {
            // The last one comes again: it could not be decided.
            self.next = offset;
        } else if offset < self.next {
            // A step back: what lies behind is to come again.
            (self.seen, self.next, self.has_gap) = (Seen::default(), 0, true);
        }
        if self.has_gap {
            let from = self.next.max(offset.saturating_sub(reach));
            if from < offset {
                read(from, &mut |record| self.take(id_of(&record), record.place.offset, reach))?;
            }
            self.has_gap = false;
        }
        let first = id.and_then(|id| self.seen.before(id, offset, reach));
        self.take(id, offset, reach);
        Ok(first)
    }

    fn take(&mut self, id: Option<Id>, offset: i64, reach: i64) {
        self.next = offset.saturating_add(1);
        if let Some(id) = id {
            self.seen.insert(id, offset);
        }
        self.seen.forget_before(offset.saturating_sub(reach));
    }
}

impl Seen {
    /// The newest place of an id before an offset, when it is in reach.
    fn before(&self, id: Id, offset: i64, reach: i64) -> Option<i64> {
        self.newest.get(&id).copied().filter(|seen| *seen < offset && offset - seen <= reach)
    }

    fn insert(&mut self, id: Id, offset: i64) {
        self.ring.push_back((offset, id));
        self.last = Some((id, self.newest.insert(id, offset)));
    }

    /// Takes back the id that was taken in last; false when it is not of this offset.
    fn undo(&mut self, offset: i64) -> bool {
        let Some((id, before)) = self.last.take_if(|(id, _)| self.newest.get(id) == Some(&offset)) else {
            return false;
        };
        self.ring.pop_back();
        match before {
            Some(before) => self.newest.insert(id, before),
            None => self.newest.remove(&id),
        };
        true
    }

    fn forget_before(&mut self, oldest: i64) {
        while let Some((offset, id)) = self.ring.front().copied().filter(|(offset, _)| *offset < oldest) {
            self.ring.pop_front();
            // One that was said again is known by its newest place.
            if self.newest.get(&id) == Some(&offset) {
                self.newest.remove(&id);
            }
        }
    }
}

/// The event id in the headers of a record.
fn id_of(record: &impl RecordView) -> Option<Id> {
    let mut id = None;
    record.visit_headers(|name, value| {
        if name == headers::ID && id.is_none() {
            id = value.map(number);
        }
    });
    id
}

/// Ids of Wardline's own sources are UUIDs; of any other text its hash is taken.
fn number(text: &[u8]) -> Id {
    let uuid = Uuid::try_parse_ascii(text).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, text));
    let (high, low) = uuid.as_u64_pair();
    [high, low]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::record::Place;
    use bytes::Bytes;
    use std::borrow::Cow;

    /// A partition: offsets with the ids that lie there; between them are marks of transactions.
    struct Partition(Vec<(i64, Option<u8>)>);

    impl Partition {
        /// `a b - a` is the event a, the event b, a mark of a transaction, and a once more; `_` is a record without an id.
        fn of(text: &str) -> Self {
            let records = (0..).zip(text.split_whitespace()).filter(|(_, word)| *word != "-");
            Self(records.map(|(offset, word)| (offset, word.bytes().next().filter(|id| *id != b'_'))).collect())
        }

        fn record(&self, place: usize) -> Record {
            let (offset, id) = self.0[place];
            let id = id.map(|id| (Cow::Borrowed(headers::ID), Some(Bytes::from(vec![id]))));
            let place = Place { topic: Arc::from("t"), partition: 0, offset };
            Record { place, timestamp_ms: None, key: None, value: None, headers: id.into_iter().collect() }
        }

        /// What a window says of the record at a place, and from where it had to read.
        fn ask(&self, window: &mut Window, place: usize, reach: i64) -> (Option<i64>, Option<i64>) {
            let record = self.record(place);
            let mut read_from = None;
            let read = |from, visit: &mut dyn FnMut(Record)| {
                read_from = Some(from);
                let range = (0..self.0.len()).filter(|at| (from..record.place.offset).contains(&self.0[*at].0));
                range.for_each(|at| visit(self.record(at)));
                Ok(())
            };
            let first = window.first_of(id_of(&record), record.place.offset, reach, read).unwrap();
            (first, read_from)
        }

        /// By the definition: the newest record of the same id before it, not further away than `reach`.
        fn truth(&self, place: usize, reach: i64) -> Option<i64> {
            let (offset, id) = self.0[place];
            let before = self.0[..place].iter().rev().filter(|(_, other)| id.is_some() && *other == id);
            before.map(|(other, _)| *other).find(|other| offset - other <= reach)
        }
    }

    fn fresh() -> Window {
        Window { topic: Arc::from("t"), partition: 0, next: 0, has_gap: true, seen: Seen::default() }
    }

    #[test]
    fn eos_1_an_event_that_lies_before_it_in_reach_makes_a_copy() {
        for (text, reach, wanted) in [
            ("a b a", 10, vec![None, None, Some(0)]),
            ("a b a", 2, vec![None, None, Some(0)]),
            ("a b c a", 2, vec![None, None, None, None]),
            ("a - - a b", 3, vec![None, Some(0), None]),
            ("a b a b a", 2, vec![None, None, Some(0), Some(1), Some(2)]),
            ("_ _ a _", 10, vec![None, None, None, None]),
        ] {
            let (partition, mut window) = (Partition::of(text), fresh());
            let said: Vec<_> = (0..wanted.len()).map(|place| partition.ask(&mut window, place, reach).0).collect();
            assert_eq!(said, wanted, "{text}, {reach}");
        }
    }

    #[test]
    fn eos_1_who_comes_to_a_partition_reads_what_lies_before_and_no_more() {
        let partition = Partition::of("a b c d e b a");
        let mut window = fresh();
        assert_eq!(partition.ask(&mut window, 5, 4), (Some(1), Some(1)));
        assert_eq!(partition.ask(&mut window, 6, 4), (None, None), "a is out of reach");
        let mut returned = fresh();
        partition.ask(&mut returned, 0, 10);
        returned.has_gap = true;
        assert_eq!(partition.ask(&mut returned, 5, 10), (Some(1), Some(1)), "what it knows it does not read");
    }

    #[test]
    fn eos_1_a_record_that_is_read_again_is_not_its_own_copy() {
        let (partition, mut window) = (Partition::of("a b a c"), fresh());
        for place in 0..4 {
            partition.ask(&mut window, place, 10);
        }
        assert_eq!(partition.ask(&mut window, 1, 10), (None, Some(0)));
        assert_eq!(partition.ask(&mut window, 2, 10), (Some(0), None));
    }

    #[test]
    fn a_record_that_comes_again_at_once_costs_no_reading() {
        let (partition, mut window) = (Partition::of("a b a c"), fresh());
        for (place, wanted) in [(0, None), (1, None), (2, Some(0)), (2, Some(0)), (2, Some(0)), (3, None), (3, None)] {
            assert_eq!(partition.ask(&mut window, place, 10), (wanted, None), "{place}");
        }
        assert_eq!(partition.ask(&mut window, 2, 10).0, Some(0));
    }

    #[test]
    fn eos_1_what_is_a_copy_depends_on_the_partition_alone() {
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..200 {
            let words: Vec<&str> = (0..60).map(|_| ["a", "b", "c", "d", "e", "f", "_", "-"][random(8)]).collect();
            let (partition, reach) = (Partition::of(&words.join(" ")), i64::try_from(1 + random(12)).unwrap());
            let (mut window, mut place) = (fresh(), 0);
            while place < partition.0.len() {
                assert_eq!(
                    partition.ask(&mut window, place, reach).0,
                    partition.truth(place, reach),
                    "{words:?} {place}"
                );
                match random(12) {
                    // Another one has read on, this one comes back to the partition, or a new process does.
                    0 => (window.has_gap, place) = (true, place + random(9)),
                    1 => place = place.saturating_sub(random(9)),
                    2 => window = fresh(),
                    _ => place += 1,
                }
            }
        }
    }

    #[test]
    fn bnd_1_no_more_ids_are_held_than_are_in_reach() {
        let mut seen = Seen::default();
        for offset in 0..1_000 {
            seen.insert(number(offset.to_string().as_bytes()), offset);
            seen.insert(number(b"again"), offset);
            seen.forget_before(offset - 10);
        }
        assert_eq!((seen.ring.len(), seen.newest.len()), (22, 12));
    }
}
