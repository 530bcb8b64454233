//! How much a room holds in memory, as the intake and the loop count it together.

use crate::record::Record;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub records: usize,
    pub bytes: usize,
}

impl Amount {
    /// One record.
    pub fn of(record: &Record) -> Self {
        Self { records: 1, bytes: record.bytes() }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { records: self.records + other.records, bytes: self.bytes + other.bytes }
    }

    /// What is left of this.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { records: self.records.saturating_sub(other.records), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    /// Whether a room that holds this much has as much as `most`, in one way or the other.
    pub fn fills(self, most: Self) -> bool {
        self.records >= most.records || self.bytes >= most.bytes
    }

    /// Half of it.
    #[must_use]
    pub fn half(self) -> Self {
        Self { records: self.records / 2 + 1, bytes: self.bytes / 2 + 1 }
    }
}

/// What a room holds: taken in, and not yet part of a commit that has ended (BND-1).
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl InFlight {
    pub fn add(&self, amount: Amount) {
        self.0.records.fetch_add(amount.records, Ordering::Relaxed);
        self.0.bytes.fetch_add(amount.bytes, Ordering::Relaxed);
    }

    pub fn sub(&self, amount: Amount) {
        self.0.records.fetch_sub(amount.records, Ordering::Relaxed);
        self.0.bytes.fetch_sub(amount.bytes, Ordering::Relaxed);
    }

    pub fn now(&self) -> Amount {
        Amount { records: self.0.records.load(Ordering::Relaxed), bytes: self.0.bytes.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bnd_1_few_large_records_fill_a_room_as_many_small_ones_do() {
        let most = Amount { records: 100, bytes: 1_000 };
        let held = InFlight::default();
        held.add(Amount { records: 1, bytes: 1_000 });
        assert!(held.now().fills(most));
        held.sub(Amount { records: 1, bytes: 1_000 });
        assert!(!held.now().fills(most) && held.now() == Amount::default());
        held.add(Amount { records: 100, bytes: 10 });
        assert!(held.now().fills(most) && held.now().fills(most.half()));
    }
}
