//! The batch that is being decided: what will be one transaction.

use crate::cluster::RecordView;
use crate::committer::Position;
use crate::config::Limits;
use crate::outgoing::Outgoing;
use schemas::topics;
use std::sync::Arc;

/// Outputs of the records decided so far, and how far that is.
#[derive(Default)]
pub(super) struct Open {
    records: Vec<Outgoing>,
    read: Vec<Read>,
    /// Records decided, with those from the parking lot.
    decided: usize,
    /// Bytes of the outputs.
    bytes: usize,
    /// Something was parked or let go from the parking lot, or something was said about an event that waits there.
    moves_lot: bool,
}

/// What was read of one partition.
#[derive(Clone)]
struct Read {
    topic: Arc<str>,
    partition: i32,
    first: i64,
    next: i64,
}

/// The first records of what was given up: where reading starts again.
#[derive(Default)]
pub(super) struct Firsts {
    read: Vec<Read>,
    moves_lot: bool,
}

impl Open {
    /// Takes note of a record from its topic.
    pub fn read(&mut self, topic: &str, message: &impl RecordView) {
        let (partition, offset) = (message.partition(), message.offset());
        self.decided += 1;
        match self.read.iter_mut().find(|read| read.partition == partition && &*read.topic == topic) {
            Some(read) => read.next = offset + 1,
            None => self.read.push(Read { topic: Arc::from(topic), partition, first: offset, next: offset + 1 }),
        }
    }

    /// Takes back the note of the record that was read last: it comes again.
    pub fn unread(&mut self, topic: &str, partition: i32, offset: i64) {
        self.decided = self.decided.saturating_sub(1);
        let this = |read: &Read| read.partition == partition && &*read.topic == topic;
        for read in self.read.iter_mut().filter(|read| this(read)) {
            read.next = offset;
        }
        self.read.retain(|read| !this(read) || read.first < offset);
    }

    /// Takes note of an event from the parking lot.
    pub fn redriven(&mut self) {
        self.decided += 1;
    }

    /// Adds an output.
    pub fn push(&mut self, record: Outgoing) {
        self.bytes += record.bytes();
        // What is known of a key that waits goes by what was said about it: an exception that was never written must be raised
        // again.
        self.moves_lot |=
            [topics::OPS_PARKED_V1.name(), topics::OPS_EXCEPTION_V1.name()].contains(&record.topic.as_ref());
        self.records.push(record);
    }

    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes back the outputs beyond the first `count`.
    pub fn truncate(&mut self, count: usize) {
        let taken = self.records.drain(count.min(self.records.len())..);
        self.bytes -= taken.map(|record| record.bytes()).sum::<usize>();
    }

    /// Whether nothing is to be committed.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.read.is_empty()
    }

    /// Whether it is as large as a transaction may be.
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.decided >= limits.batch_records_max || self.bytes >= limits.batch_bytes_max
    }

    /// Takes the outputs, how far was read, and where reading would start again.
    pub fn take(&mut self) -> (Vec<Outgoing>, Vec<Position>, Firsts) {
        // The next batch is most likely as large: a list that grows is copied each time.
        let next = Self { records: Vec::with_capacity(self.records.len()), ..Self::default() };
        let taken = std::mem::replace(self, next);
        let positions = taken.read.iter().map(|read| (Arc::clone(&read.topic), read.partition, read.next));
        (taken.records, positions.collect(), Firsts { read: taken.read, moves_lot: taken.moves_lot })
    }
}

impl Firsts {
    /// Adds what was read later.
    pub fn join(mut self, later: Self) -> Self {
        for read in later.read {
            if !self.read.iter().any(|earlier| earlier.partition == read.partition && earlier.topic == read.topic) {
                self.read.push(read);
            }
        }
        self.moves_lot |= later.moves_lot;
        self
    }

    /// Forgets partitions that go to another member: it reads on there.
    pub fn forget(&mut self, gone: &[(String, i32)]) {
        let is_gone =
            |read: &Read| gone.iter().any(|(topic, partition)| *topic == *read.topic && *partition == read.partition);
        self.read.retain(|read| !is_gone(read));
    }

    /// Topic, partition and first offset.
    pub fn places(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.read.iter().map(|read| (&*read.topic, read.partition, read.first))
    }

    /// Whether what was given up had changed the parking lot, so that the index of it is wrong now.
    pub fn moved_lot(&self) -> bool {
        self.moves_lot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Place, Record};

    fn record(partition: i32, offset: i64) -> Record {
        let place = Place { topic: Arc::from("t"), partition, offset };
        Record { place, timestamp_ms: None, key: None, value: None, headers: Vec::new() }
    }

    #[test]
    fn eos_1_a_batch_commits_behind_its_last_record_and_starts_again_at_its_first() {
        let mut open = Open::default();
        for (partition, offset) in [(0, 5), (1, 7), (0, 9)] {
            open.read("t", &record(partition, offset));
        }
        let (_, positions, earlier) = open.take();
        assert_eq!(positions, [(Arc::from("t"), 0, 10), (Arc::from("t"), 1, 8)]);
        assert!(open.is_empty());
        for (partition, offset) in [(0, 10), (2, 3)] {
            open.read("t", &record(partition, offset));
        }
        let (_, _, later) = open.take();
        let mut firsts = earlier.join(later);
        let places =
            |firsts: &Firsts| -> Vec<_> { firsts.places().map(|(_, partition, first)| (partition, first)).collect() };
        assert_eq!(places(&firsts), [(0, 5), (1, 7), (2, 3)]);
        // What goes to another member is read on there, and not sought when it comes back.
        firsts.forget(&[("t".to_owned(), 1), ("other".to_owned(), 2)]);
        assert_eq!(places(&firsts), [(0, 5), (2, 3)]);
    }

    #[test]
    fn loss_1_what_was_not_decided_is_not_committed() {
        let mut open = Open::default();
        for (partition, offset) in [(0, 5), (0, 8), (1, 7)] {
            open.read("t", &record(partition, offset));
        }
        open.unread("t", 1, 7);
        open.unread("t", 0, 8);
        let (_, positions, _) = open.take();
        assert_eq!(positions, [(Arc::from("t"), 0, 8)]);
    }

    #[test]
    fn loss_1_what_is_given_up_makes_the_index_wrong_when_it_parked_something_or_raised_it() {
        let given_up = |topic| {
            let mut open = Open::default();
            open.push(Outgoing::tombstone(topic, None, Vec::new()));
            open.take().2
        };
        let (parked, other) = (topics::OPS_PARKED_V1.name(), "other");
        assert!(given_up(parked).moved_lot() && !given_up(other).moved_lot());
        assert!(
            given_up(topics::OPS_EXCEPTION_V1.name()).moved_lot(),
            "a key that waits has an exception, or is due again"
        );
        assert!(given_up(other).join(given_up(parked)).moved_lot());
        assert!(given_up(parked).join(given_up(other)).moved_lot());
    }

    #[test]
    fn bnd_1_what_is_taken_back_does_not_count() {
        let mut open = Open::default();
        for value in ["1", "22", "333"] {
            open.push(Outgoing::tombstone("t", None, value));
        }
        open.truncate(1);
        let mut one = Open::default();
        one.push(Outgoing::tombstone("t", None, "1"));
        assert_eq!((open.len(), open.bytes), (1, one.bytes));
        open.truncate(2);
        assert_eq!(open.len(), 1);
    }

    #[test]
    fn bnd_1_a_batch_is_full_by_count_or_by_bytes() {
        let limits = Limits { batch_records_max: 2, batch_bytes_max: 1_000, ..Limits::default() };
        let mut open = Open::default();
        open.read("t", &record(0, 1));
        assert!(!open.is_full(&limits));
        open.redriven();
        assert!(open.is_full(&limits));
        let mut open = Open::default();
        open.push(Outgoing { value: Some(vec![0; 1_000].into()), ..Outgoing::tombstone("t", None, Vec::new()) });
        assert!(open.is_full(&limits));
    }
}
