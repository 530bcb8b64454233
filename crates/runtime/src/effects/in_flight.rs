//! How much a room holds in memory, as the intake and the loop count it together.

use super::turns::CLASSES;
use crate::record::Record;
use std::array::from_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records and their bytes, of each class of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    records: [usize; CLASSES],
    bytes: [usize; CLASSES],
}

impl Amount {
    /// One record, of a class so far below the most urgent one of the room.
    pub fn of(record: &Record, below: usize) -> Self {
        Self::of_class(below, 1, record.bytes())
    }

    /// So many records and bytes, as a bound or of the most urgent class.
    pub fn most(records: usize, bytes: usize) -> Self {
        Self::of_class(0, records, bytes)
    }

    fn of_class(below: usize, records: usize, bytes: usize) -> Self {
        let counted = |amount| from_fn(|class| if class == below { amount } else { 0 });
        Self { records: counted(records), bytes: counted(bytes) }
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
        self.records.iter().sum::<usize>() >= most.records[0] || self.bytes.iter().sum::<usize>() >= most.bytes[0]
    }

    /// Whether a class alone has as much as `part`.
    pub fn crowds(self, class: usize, part: Self) -> bool {
        self.records[class] >= part.records[0] || self.bytes[class] >= part.bytes[0]
    }

    /// Half of a bound.
    #[must_use]
    pub fn half(self) -> Self {
        self.part(2)
    }

    /// One of so many even parts of a bound.
    #[must_use]
    pub fn part(self, of: usize) -> Self {
        Self::most(self.records[0] / of.max(1) + 1, self.bytes[0] / of.max(1) + 1)
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
    fn key_1_a_class_fills_its_part_by_itself() {
        let (most, held) = (Amount::most(100, 1_000), InFlight::default());
        let quarter = most.part(4);
        let (operational, analytical) = (Amount::of_class(1, 25, 25), Amount::of_class(2, 26, 26));
        held.add(analytical);
        held.add(operational);
        assert!(held.now().crowds(2, quarter) && !held.now().crowds(1, quarter));
        held.add(Amount::most(40, 40));
        assert!(!held.now().fills(most), "91 of 100");
        held.add(Amount::most(9, 9));
        assert!(held.now().fills(most), "all together fill the room");
        held.sub(analytical);
        assert!(!held.now().crowds(2, Amount::most(1, 1)) && held.now().crowds(1, Amount::most(25, 1_000)));
        held.sub(operational);
        assert_eq!(held.now(), Amount::most(49, 49));
    }
}
