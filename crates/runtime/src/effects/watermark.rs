//! The offset below which everything of a partition is settled.

use std::collections::BTreeSet;

/// Settled and open offsets of one partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Watermark {
    open: BTreeSet<i64>,
    next: Option<i64>,
    told: Option<i64>,
}

impl Watermark {
    /// A record was taken in; offsets rise.
    pub fn begin(&mut self, offset: i64) {
        self.open.insert(offset);
        self.next = Some(self.next.map_or(offset + 1, |next| next.max(offset + 1)));
    }

    /// A record is settled.
    pub fn settle(&mut self, offset: i64) {
        self.open.remove(&offset);
    }

    /// Whether what is told of by now lies above this offset.
    pub fn covers(&self, offset: i64) -> bool {
        self.told.is_some_and(|told| offset < told)
    }

    /// The offset to read from after a restart, when it has moved since it was last told.
    pub fn advance(&mut self) -> Option<i64> {
        let position = self.open.first().copied().or(self.next);
        if position == self.told {
            return None;
        }
        self.told = position;
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_1_the_mark_never_passes_an_open_record() {
        let mut mark = Watermark::default();
        for offset in [10, 11, 12] {
            mark.begin(offset);
        }
        mark.settle(12);
        assert!(!mark.covers(0), "nothing is told of yet");
        assert_eq!(mark.advance(), Some(10));
        mark.settle(10);
        assert!(!mark.covers(10), "it is not told of yet");
        assert_eq!(mark.advance(), Some(11));
        assert!(mark.covers(10) && !mark.covers(11) && !mark.covers(12));
        assert_eq!(mark.advance(), None);
        mark.settle(11);
        assert_eq!(mark.advance(), Some(13));
    }

    #[test]
    fn gaps_in_offsets_do_not_hold_the_mark() {
        let mut mark = Watermark::default();
        mark.begin(5);
        mark.begin(9);
        mark.settle(5);
        assert_eq!(mark.advance(), Some(9));
        mark.settle(9);
        assert_eq!(mark.advance(), Some(10));
    }
}
