//! How much a room holds in memory, as the intake and the loop count it together.

use crate::record::Record;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records and their bytes, and how much of it is of classes that are not the most urgent ones of the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub records: usize,
    pub bytes: usize,
    pub yielding_records: usize,
    pub yielding_bytes: usize,
}

impl Amount {
    /// One record, of a class that yields to more urgent ones or not.
    pub fn of(record: &Record, yields: bool) -> Self {
        let bytes = record.bytes();
        let one = Self { records: 1, bytes, ..Self::default() };
        if yields { Self { yielding_records: 1, yielding_bytes: bytes, ..one } } else { one }
    }

    /// So many records or bytes, for a bound.
    pub fn most(records: usize, bytes: usize) -> Self {
        Self { records, bytes, ..Self::default() }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            yielding_records: self.yielding_records + other.yielding_records,
            yielding_bytes: self.yielding_bytes + other.yielding_bytes,
        }
    }

    /// What is left of this.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_sub(other.records),
            bytes: self.bytes.saturating_sub(other.bytes),
            yielding_records: self.yielding_records.saturating_sub(other.yielding_records),
            yielding_bytes: self.yielding_bytes.saturating_sub(other.yielding_bytes),
        }
    }

    /// Whether a room that holds this much has as much as `most`, in one way or the other.
    pub fn fills(self, most: Self) -> bool {
        self.records >= most.records || self.bytes >= most.bytes
    }

    /// Whether what yields alone has as much as `most`: the rest of the room is for the most urgent class.
    pub fn crowds(self, most: Self) -> bool {
        self.yielding_records >= most.records || self.yielding_bytes >= most.bytes
    }

    /// Half of a bound.
    #[must_use]
    pub fn half(self) -> Self {
        Self::most(self.records / 2 + 1, self.bytes / 2 + 1)
    }
}

/// What a room holds: taken in, and not yet part of a commit that has ended (BND-1).
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    records: AtomicUsize,
    bytes: AtomicUsize,
    yielding_records: AtomicUsize,
    yielding_bytes: AtomicUsize,
}

impl InFlight {
    pub fn add(&self, amount: Amount) {
        let counters = &self.0;
        counters.records.fetch_add(amount.records, Ordering::Relaxed);
        counters.bytes.fetch_add(amount.bytes, Ordering::Relaxed);
        counters.yielding_records.fetch_add(amount.yielding_records, Ordering::Relaxed);
        counters.yielding_bytes.fetch_add(amount.yielding_bytes, Ordering::Relaxed);
    }

    pub fn sub(&self, amount: Amount) {
        let counters = &self.0;
        counters.records.fetch_sub(amount.records, Ordering::Relaxed);
        counters.bytes.fetch_sub(amount.bytes, Ordering::Relaxed);
        counters.yielding_records.fetch_sub(amount.yielding_records, Ordering::Relaxed);
        counters.yielding_bytes.fetch_sub(amount.yielding_bytes, Ordering::Relaxed);
    }

    pub fn now(&self) -> Amount {
        let counters = &self.0;
        Amount {
            records: counters.records.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            yielding_records: counters.yielding_records.load(Ordering::Relaxed),
            yielding_bytes: counters.yielding_bytes.load(Ordering::Relaxed),
        }
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
        let yielding = Amount { yielding_records: 51, yielding_bytes: 51, ..Amount::most(51, 51) };
        held.add(yielding);
        held.add(Amount::most(20, 20));
        assert!(held.now().crowds(most.half()) && !held.now().fills(most));
        held.sub(yielding);
        assert!(!held.now().crowds(most.half()) && held.now() == Amount::most(20, 20));
    }
}
