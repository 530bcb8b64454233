//! Records that wait for the next commit, with the places where they may be parted.

use super::drafts::Draft;

/// Records in the order in which their events were settled. What belongs to one event is never parted: an effect on record
/// whose output is in a later transaction would be lost with this instance (LOSS-1).
#[derive(Default)]
pub(super) struct Pending {
    records: Vec<Draft>,
    /// Where an event is complete: numbers of records, rising.
    cuts: Vec<usize>,
}

impl Pending {
    pub fn push(&mut self, record: Draft) {
        self.records.push(record);
    }

    /// All that belongs to the events so far is here.
    pub fn cut(&mut self) {
        if self.cuts.last().copied().unwrap_or_default() < self.records.len() {
            self.cuts.push(self.records.len());
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes about `most` records of whole events, and says whether nothing is left. To be asked between events only.
    pub fn take(&mut self, most: usize) -> (Vec<Draft>, bool) {
        self.cut();
        let fitting = self.cuts.partition_point(|cut| *cut <= most);
        let Some(at) = self.cuts.get(fitting.saturating_sub(1)).copied() else { return (Vec::new(), true) };
        let taken = self.records.drain(..at).collect();
        self.cuts.drain(..fitting.max(1));
        for cut in &mut self.cuts {
            *cut -= at;
        }
        (taken, self.records.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::Outgoing;

    fn pending(events: &[usize]) -> Pending {
        let mut pending = Pending::default();
        for records in events {
            for _ in 0..*records {
                pending.push(Draft::Written(Outgoing::tombstone("t", None, Vec::new())));
            }
            pending.cut();
        }
        pending
    }

    fn parts(mut pending: Pending, most: usize) -> Vec<(usize, bool)> {
        let mut parts = Vec::new();
        while !pending.is_empty() {
            let (records, whole) = pending.take(most);
            parts.push((records.len(), whole));
        }
        parts
    }

    #[test]
    fn loss_1_what_belongs_to_one_event_is_never_parted() {
        assert_eq!(parts(pending(&[3, 3, 3]), 5), [(3, false), (3, false), (3, true)]);
        assert_eq!(parts(pending(&[2, 2, 2, 2]), 5), [(4, false), (4, true)]);
        assert_eq!(parts(pending(&[9, 1]), 5), [(9, false), (1, true)]);
        assert_eq!(parts(pending(&[2, 2]), 5), [(4, true)]);
    }

    #[test]
    fn nothing_is_whole() {
        assert!(pending(&[]).take(5).1);
    }
}
