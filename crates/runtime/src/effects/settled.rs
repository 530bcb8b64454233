//! Events above the watermark that have their outcome already, as the topics tell it after a restart.
//!
//! The offset of a partition stands below its oldest open event, so after a crash what was settled above it is read again.
//! Every outcome leaves a record with its place: an effect record, or a parked event and the mark that it has left. With
//! these the event is passed over, so a crash repeats only what was in flight (LOSS-1, FX-1).

use crate::record::Place;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A partition of a topic.
type Partition = (Arc<str>, i32);

/// Places of settled events. None is left out: one event may be open for a night while all others of its partition go on. They
/// are kept as runs from a first to a last offset, of each partition from its position on.
#[derive(Debug, Default)]
pub(super) struct Settled(BTreeMap<Partition, Runs>);

/// Runs of offsets, by the first one.
#[derive(Debug)]
struct Runs {
    position: i64,
    last_by_first: BTreeMap<i64, i64>,
}

impl Settled {
    /// Of these partitions, from their positions on: what lies below is not read again.
    pub fn above(positions: impl IntoIterator<Item = (Partition, i64)>) -> Self {
        let runs = |position| Runs { position, last_by_first: BTreeMap::new() };
        Self(positions.into_iter().map(|(partition, position)| (partition, runs(position))).collect())
    }

    /// The event at this place has its outcome.
    pub fn insert(&mut self, topic: &str, partition: i32, offset: i64) {
        if let Some(runs) = self.0.get_mut(&(Arc::from(topic), partition)) {
            runs.insert(offset);
        }
    }

    /// Whether the event at this place lies below the position of its partition, which is one of ours.
    pub fn is_below(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.0.get(&(Arc::from(topic), partition)).is_some_and(|runs| offset < runs.position)
    }

    /// Whether the event that comes now has its outcome. Offsets rise, so what lies before it is forgotten.
    pub fn passes(&mut self, place: &Place) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let partition = (Arc::clone(&place.topic), place.partition);
        let Some(runs) = self.0.get_mut(&partition) else { return false };
        let passes = runs.take(place.offset);
        if runs.last_by_first.is_empty() {
            self.0.remove(&partition);
        }
        passes
    }
}

impl Runs {
    fn insert(&mut self, offset: i64) {
        if offset < self.position {
            return;
        }
        let before = self.last_by_first.range(..=offset).next_back().map(|(first, last)| (*first, *last));
        let (first, last) = match before {
            Some((_, last)) if last >= offset => return,
            Some((first, last)) if last + 1 == offset => (first, offset),
            _ => (offset, offset),
        };
        // The run behind it begins right after it, or stays its own.
        let last = self.last_by_first.remove(&(last + 1)).unwrap_or(last);
        self.last_by_first.insert(first, last);
    }

    /// Whether an offset is in a run; forgets all up to it.
    fn take(&mut self, offset: i64) -> bool {
        while let Some(run) = self.last_by_first.first_entry() {
            let (first, last) = (*run.key(), *run.get());
            if first > offset {
                return false;
            }
            run.remove();
            if last > offset {
                self.last_by_first.insert(offset + 1, last);
            }
            if last >= offset {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32, offset: i64) -> Place {
        Place { topic: Arc::from("t"), partition, offset }
    }

    fn above(position: i64) -> Settled {
        Settled::above([((Arc::from("t"), 0), position)])
    }

    #[test]
    fn loss_1_what_is_settled_passes_once_and_everything_else_is_worked_on() {
        let mut settled = above(0);
        for offset in [7, 3, 8] {
            settled.insert("t", 0, offset);
        }
        let passed: Vec<i64> = (2..10).filter(|offset| settled.passes(&place(0, *offset))).collect();
        assert_eq!(passed, [3, 7, 8]);
        assert!(!settled.passes(&place(0, 3)) && !settled.passes(&place(1, 3)));
        assert!(settled.0.is_empty(), "nothing is kept that is behind");
    }

    /// One event was open all night: however many were settled above it, none is forgotten.
    #[test]
    fn loss_1_all_that_was_settled_above_an_open_event_passes() {
        let mut settled = above(10);
        let (open, last) = (10, 1_000_000);
        // As they were done, not as they came: the even ones first.
        for offset in (open + 1..=last).filter(|offset| offset % 2 == 0).chain((open + 1..=last).filter(|o| o % 2 == 1))
        {
            settled.insert("t", 0, offset);
        }
        settled.insert("t", 0, 500);
        assert_eq!(settled.0.values().next().map(|runs| runs.last_by_first.clone()), Some([(open + 1, last)].into()));
        assert!(!settled.passes(&place(0, open)) && settled.passes(&place(0, open + 1)));
        assert!(settled.passes(&place(0, last)) && !settled.passes(&place(0, last + 1)));
    }

    #[test]
    fn bnd_1_what_is_not_read_again_is_not_kept() {
        let mut settled = above(5);
        for (partition, offset) in [(0, 4), (1, 9), (0, 5)] {
            settled.insert("t", partition, offset);
        }
        settled.insert("other", 0, 9);
        assert_eq!(settled.0.values().next().map(|runs| runs.last_by_first.clone()), Some([(5, 5)].into()));
        assert_eq!(settled.0.len(), 1);
    }
}
