//! How much a room holds in memory, as the intake and the loop count it together.

use super::turns::CLASSES;
use crate::record::Record;
use std::array::from_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records and their bytes, in all and of the classes that yield.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    /// At the place of each class: what is of it or of less urgent ones. The first is all there is.
    records: [usize; CLASSES],
    bytes: [usize; CLASSES],
}

impl Amount {
    /// One record, of a class so far below the most urgent one of the room.
    pub fn of(record: &Record, below: usize) -> Self {
        Self::most(1, record.bytes()).of_class(below)
    }

    /// So many records and bytes of the most urgent class, or as a bound.
    pub fn most(records: usize, bytes: usize) -> Self {
        Self { records: [records; CLASSES], bytes: [bytes; CLASSES] }.of_class(0)
    }

    /// The same of a class so far below the most urgent one.
    fn of_class(self, below: usize) -> Self {
        let counted = |amount: [usize; CLASSES]| from_fn(|class| if class <= below { amount[0] } else { 0 });
        Self { records: counted(self.records), bytes: counted(self.bytes) }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, usize::saturating_add)
    }

    /// What is left of this.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(other, usize::saturating_sub)
    }

    fn with(self, other: Self, together: fn(usize, usize) -> usize) -> Self {
        let of = |one: [usize; CLASSES], other: [usize; CLASSES]| from_fn(|class| together(one[class], other[class]));
        Self { records: of(self.records, other.records), bytes: of(self.bytes, other.bytes) }
    }

    /// Whether a room that holds this much has as much as `most`, in one way or the other.
    pub fn fills(self, most: Self) -> bool {
        self.crowds(0, most)
    }

    /// Whether what is of a class or of less urgent ones has as much as `most`: the rest of the room is for the more urgent ones.
    pub fn crowds(self, class: usize, most: Self) -> bool {
        self.records[class] >= most.records[0] || self.bytes[class] >= most.bytes[0]
    }

    /// Half of a bound.
    #[must_use]
    pub fn half(self) -> Self {
        Self::most(self.records[0] / 2 + 1, self.bytes[0] / 2 + 1)
    }
}

/// What a room holds: taken in, and not yet part of a commit that has ended (BND-1).
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    records: [AtomicUsize; CLASSES],
    bytes: [AtomicUsize; CLASSES],
}

impl InFlight {
    pub fn add(&self, amount: Amount) {
        for class in 0..CLASSES {
            self.0.records[class].fetch_add(amount.records[class], Ordering::Relaxed);
            self.0.bytes[class].fetch_add(amount.bytes[class], Ordering::Relaxed);
        }
    }

    pub fn sub(&self, amount: Amount) {
        for class in 0..CLASSES {
            self.0.records[class].fetch_sub(amount.records[class], Ordering::Relaxed);
            self.0.bytes[class].fetch_sub(amount.bytes[class], Ordering::Relaxed);
        }
    }

    pub fn now(&self) -> Amount {
        let read = |counters: &[AtomicUsize; CLASSES]| from_fn(|class| counters[class].load(Ordering::Relaxed));
        Amount { records: read(&self.0.records), bytes: read(&self.0.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bnd_1_few_large_records_fill_a_room_as_many_small_ones_do() {
        let most = Amount::most(100, 1_000);
        let held = InFlight::default();
        held.add(Amount::most(1, 1_000));
        assert!(held.now().fills(most));
        held.sub(Amount::most(1, 1_000));
        assert!(!held.now().fills(most) && held.now() == Amount::default());
        held.add(Amount::most(100, 10));
        assert!(held.now().fills(most) && held.now().fills(most.half()));
    }

    #[test]
    fn key_1_what_yields_does_not_fill_the_room() {
        let (most, held) = (Amount::most(100, 1_000), InFlight::default());
        let (operational, analytical) = (Amount::most(25, 25).of_class(1), Amount::most(26, 26).of_class(2));
        held.add(analytical);
        let quarter = most.half().half();
        assert!(
            held.now().crowds(2, quarter) && !held.now().crowds(1, most.half()),
            "a quarter is left for the next class"
        );
        held.add(operational);
        held.add(Amount::most(20, 20));
        assert!(held.now().crowds(1, most.half()) && !held.now().fills(most), "and a half for the first");
        held.sub(analytical);
        assert!(!held.now().crowds(1, most.half()) && !held.now().crowds(2, quarter));
        held.sub(operational);
        assert_eq!(held.now(), Amount::most(20, 20));
    }
}
