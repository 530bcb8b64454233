//! Events above the watermark that have their outcome already, as the topics tell it after a restart.
//!
//! The offset of a partition stands below its oldest open event, so after a crash what was settled above it is read again.
//! Every outcome leaves a record with its place: an effect record, or a parked event and the mark that it has left. With
//! these the event is passed over, so a crash repeats only what was in flight (LOSS-1, FX-1).

use crate::record::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Places of settled events, of each partition the newest ones: above the watermark there are never more than the room may
/// hold in flight (BND-1).
#[derive(Debug)]
pub(super) struct Settled {
    offsets: BTreeMap<(Arc<str>, i32), BTreeSet<i64>>,
    bound: usize,
}

impl Settled {
    /// Remembers at most `bound` events of each partition.
    pub fn new(bound: usize) -> Self {
        Self { offsets: BTreeMap::new(), bound }
    }

    /// The event at this place has its outcome.
    pub fn insert(&mut self, topic: &str, partition: i32, offset: i64) {
        let offsets = self.offsets.entry((Arc::from(topic), partition)).or_default();
        offsets.insert(offset);
        if offsets.len() > self.bound {
            offsets.pop_first();
        }
    }

    /// Whether the event that comes now has its outcome. Offsets rise, so what lies before it is forgotten.
    pub fn passes(&mut self, place: &Place) -> bool {
        if self.offsets.is_empty() {
            return false;
        }
        let partition = (Arc::clone(&place.topic), place.partition);
        let Some(offsets) = self.offsets.get_mut(&partition) else { return false };
        while offsets.first().is_some_and(|first| *first < place.offset) {
            offsets.pop_first();
        }
        let passes = offsets.remove(&place.offset);
        if offsets.is_empty() {
            self.offsets.remove(&partition);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32, offset: i64) -> Place {
        Place { topic: Arc::from("t"), partition, offset }
    }

    #[test]
    fn loss_1_what_is_settled_passes_once_and_everything_else_is_worked_on() {
        let mut settled = Settled::new(10);
        for offset in [3, 7, 8] {
            settled.insert("t", 0, offset);
        }
        let passed: Vec<i64> = (2..10).filter(|offset| settled.passes(&place(0, *offset))).collect();
        assert_eq!(passed, [3, 7, 8]);
        assert!(!settled.passes(&place(0, 3)) && !settled.passes(&place(1, 3)));
        assert!(settled.offsets.is_empty(), "nothing is kept that is behind");
    }

    #[test]
    fn bnd_1_the_newest_are_kept() {
        let mut settled = Settled::new(2);
        for offset in [1, 2, 3] {
            settled.insert("t", 0, offset);
        }
        assert!(!settled.passes(&place(0, 1)) && settled.passes(&place(0, 2)) && settled.passes(&place(0, 3)));
    }
}
