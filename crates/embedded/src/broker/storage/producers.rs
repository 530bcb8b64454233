//! What a partition remembers of its producers: sequences, epochs and open transactions.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{AbortedRange, BatchHeader};

/// How many of its last batches a producer may send again and be answered as the first time.
const REMEMBERED: usize = 5;

/// What the sequence number of a batch says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// It is the next one.
    Next,
    /// It is in the log already, from this offset.
    Duplicate {
        /// Offset of its first record.
        base_offset: i64,
    },
    /// Something before it is missing.
    OutOfOrder,
    /// A newer epoch of the producer has been here.
    Fenced,
}

/// Every producer of a partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProducerTable {
    producers: BTreeMap<i64, ProducerState>,
    /// Producers of open transactions, by the offset where theirs begins.
    open: BTreeMap<i64, i64>,
}

/// One producer of a partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProducerState {
    /// Newest epoch seen.
    pub epoch: i16,
    /// When it was last heard of, milliseconds since 1970.
    pub last_ms: i64,
    /// Where its open transaction begins.
    pub open_since: Option<i64>,
    batches: VecDeque<Seen>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    first: i32,
    last: i32,
    base_offset: i64,
}

impl ProducerTable {
    /// Judges a batch of an idempotent producer.
    #[must_use]
    pub fn judge(&self, batch: &BatchHeader) -> Sequence {
        let Some(known) = self.producers.get(&batch.producer_id) else { return Sequence::Next };
        if batch.producer_epoch < known.epoch {
            return Sequence::Fenced;
        }
        if batch.producer_epoch > known.epoch {
            return if batch.base_sequence == 0 { Sequence::Next } else { Sequence::OutOfOrder };
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        if let Some(seen) = known.batches.iter().find(|seen| seen.first == first && seen.last == last) {
            return Sequence::Duplicate { base_offset: seen.base_offset };
        }
        let next = known.batches.back().map_or(0, |seen| seen.last.checked_add(1).unwrap_or(0));
        if first == next { Sequence::Next } else { Sequence::OutOfOrder }
    }

    /// Notes a batch that is now in the log, at the place its header says.
    pub fn note(&mut self, batch: &BatchHeader) {
        if batch.producer_id < 0 || batch.is_control() {
            return;
        }
        let known = self.producers.entry(batch.producer_id).or_default();
        known.move_to(batch.producer_epoch);
        known.last_ms = known.last_ms.max(batch.max_timestamp);
        if batch.base_sequence >= 0 {
            let (first, last) = (batch.base_sequence, batch.last_sequence());
            known.batches.push_back(Seen { first, last, base_offset: batch.base_offset });
            if known.batches.len() > REMEMBERED {
                known.batches.pop_front();
            }
        }
        if batch.is_transactional() && known.open_since.is_none() {
            known.open_since = Some(batch.base_offset);
            self.open.insert(batch.base_offset, batch.producer_id);
        }
    }

    /// Notes a marker that is now in the log, at the place its header says. The range that it aborts, if it aborts any.
    pub fn note_marker(&mut self, marker: &BatchHeader, commit: bool) -> Option<AbortedRange> {
        let known = self.producers.entry(marker.producer_id).or_default();
        known.move_to(marker.producer_epoch);
        known.last_ms = known.last_ms.max(marker.max_timestamp);
        let first_offset = known.open_since.take()?;
        self.open.remove(&first_offset);
        let range = AbortedRange { producer_id: marker.producer_id, first_offset, last_offset: marker.base_offset };
        (!commit).then_some(range)
    }

    /// Where the oldest open transaction begins.
    #[must_use]
    pub fn first_open(&self) -> Option<i64> {
        self.open.keys().next().copied()
    }

    /// What is known of a producer.
    #[must_use]
    pub fn get(&self, producer_id: i64) -> Option<&ProducerState> {
        self.producers.get(&producer_id)
    }

    /// Every producer with its id.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &ProducerState)> {
        self.producers.iter().map(|(id, state)| (*id, state))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Forgets producers that were last heard of before `before_ms` and have nothing open.
    pub fn expire(&mut self, before_ms: i64) {
        self.producers.retain(|_, known| known.open_since.is_some() || known.last_ms >= before_ms);
    }

    /// Forgets the one that was silent for longest and has nothing open, so that there is room for another.
    pub fn expire_oldest(&mut self) {
        let idle = self.producers.iter().filter(|(_, known)| known.open_since.is_none());
        if let Some(oldest) = idle.min_by_key(|(_, known)| known.last_ms).map(|(id, _)| *id) {
            self.producers.remove(&oldest);
        }
    }
}

impl ProducerState {
    /// Sequence number of its last record, or -1.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |seen| seen.last)
    }

    /// A newer epoch starts its sequence anew.
    fn move_to(&mut self, epoch: i16) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::control_batch;
    use super::*;

    fn batch(producer_id: i64, epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
        let marker = BatchHeader::parse(&control_batch(producer_id, epoch, true, 0)).unwrap();
        BatchHeader {
            attributes: 0x10,
            base_sequence: sequence,
            last_offset_delta: count - 1,
            count,
            base_offset: offset,
            ..marker
        }
    }

    #[test]
    fn sequences_are_judged_as_kafka_does() {
        let mut table = ProducerTable::default();
        assert_eq!(table.judge(&batch(1, 0, 7, 1, 0)), Sequence::Next, "an unknown producer may start anywhere");
        for n in 0..6 {
            table.note(&batch(1, 0, n * 2, 2, i64::from(n) * 2));
        }
        assert_eq!(table.judge(&batch(1, 0, 12, 3, 0)), Sequence::Next);
        assert_eq!(table.judge(&batch(1, 0, 2, 2, 0)), Sequence::Duplicate { base_offset: 2 });
        assert_eq!(table.judge(&batch(1, 0, 0, 2, 0)), Sequence::OutOfOrder, "older than what is remembered");
        assert_eq!(table.judge(&batch(1, 0, 13, 1, 0)), Sequence::OutOfOrder);
        assert_eq!(table.judge(&batch(1, 1, 1, 1, 0)), Sequence::OutOfOrder);
        assert_eq!(table.judge(&batch(1, 1, 0, 1, 0)), Sequence::Next);
        table.note(&batch(1, 1, 0, 1, 12));
        assert_eq!(table.judge(&batch(1, 0, 12, 1, 0)), Sequence::Fenced);
    }

    #[test]
    fn a_sequence_goes_on_at_zero_after_the_largest() {
        let mut table = ProducerTable::default();
        table.note(&batch(1, 0, i32::MAX - 1, 2, 0));
        assert_eq!(table.judge(&batch(1, 0, 0, 1, 0)), Sequence::Next);
    }

    #[test]
    fn open_transactions_hold_the_stable_offset_back() {
        let mut table = ProducerTable::default();
        table.note(&batch(1, 0, 0, 2, 10));
        table.note(&batch(2, 0, 0, 1, 12));
        table.note(&batch(1, 0, 2, 1, 13));
        assert_eq!(table.first_open(), Some(10));
        let aborted = table.note_marker(&batch(1, 0, -1, 1, 14), false).unwrap();
        assert_eq!((aborted.first_offset, aborted.last_offset), (10, 14));
        assert_eq!(table.first_open(), Some(12));
        assert!(table.note_marker(&batch(2, 0, -1, 1, 15), true).is_none());
        assert_eq!(table.first_open(), None);
        assert!(table.note_marker(&batch(3, 0, -1, 1, 16), false).is_none(), "nothing was written");
    }
}
