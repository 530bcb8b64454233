//! Reads parked events back: on from a place, and nothing is waited for.

use crate::clock::{Tick, tick};
use crate::cluster::{Cluster, PartitionReader, Polled, RecordView as _};
use crate::parking::At;
use crate::parking_store::{ParkingError, SETTLED_WITHIN};
use crate::record::Record;
use bytes::Bytes;
use schemas::topics;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the broker may wait for records: those asked for are there.
const WAIT: Duration = Duration::from_millis(5);
/// Records that are fetched ahead.
const RECORDS_AHEAD: usize = 2_000;
/// Most bytes of records that were read on the way to another one.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest wait for a record that must be there. It may stand behind what somebody who died has left open, which only the broker
/// ends: some time after the time-out of transactions. At an assignment that is waited for as long.
const LONGEST: Duration = SETTLED_WITHIN;
/// Whoever has not asked for so long was not waiting.
const PAUSED: Duration = Duration::from_secs(1);
/// After so long without a record there is none: of a partition that was read to its end before, the end is not told again, and
/// behind an open transaction none is told.
const ENDED: Duration = Duration::from_millis(200);
/// That grows up to here while nothing comes at all. Else a slow broker would be asked for one partition after the other, and for
/// none long enough.
const ENDED_MOST: Duration = Duration::from_secs(2);

/// Reads the parking topic from a place on. Events that were parked together come back together.
pub(crate) struct ParkedReader<K: Cluster> {
    reader: K::Reader,
    /// Partition that is read, and the offset that comes next.
    next: Option<At>,
    /// When something came last, or the asking for it began.
    heard: Tick,
    /// When it was asked for last.
    asked: Tick,
    /// How long partitions were asked for in vain before others came between, since their last record.
    in_vain: BTreeMap<i32, Duration>,
    /// After so long without a record there is none for now.
    patience: Duration,
    /// What was come by, where it will be asked for soon.
    kept: BTreeMap<At, Record>,
    kept_bytes: usize,
}

/// A record as the client hands it out.
type Message<'a, K> = <<K as Cluster>::Reader as PartitionReader>::Message<'a>;

/// What came.
pub(crate) enum Came<M> {
    /// This record.
    Record(M),
    /// Nothing yet.
    Nothing,
    /// There is no more for now.
    End,
}

impl<K: Cluster> ParkedReader<K> {
    /// Connects; reads nothing yet.
    pub fn new(cluster: &K) -> Result<Self, ParkingError> {
        let reader = cluster.reader(RECORDS_AHEAD, WAIT)?;
        Ok(Self {
            reader,
            next: None,
            heard: Tick::default(),
            asked: Tick::default(),
            in_vain: BTreeMap::new(),
            patience: ENDED,
            kept: BTreeMap::new(),
            kept_bytes: 0,
        })
    }

    /// The record that comes next from a place on.
    ///
    /// # Errors
    /// When the client refuses, or nothing comes for too long.
    pub fn next(&mut self, (partition, offset): At) -> Result<Came<Message<'_, K>>, ParkingError> {
        let now = tick();
        if self.next != Some((partition, offset)) {
            self.reader.assign(topics::OPS_PARKED_V1.name(), &[(partition, Some(offset))])?;
            if let Some((left, _)) = self.next {
                *self.in_vain.entry(left).or_default() += self.asked.since(self.heard);
            }
            (self.next, self.heard) = (Some((partition, offset)), now);
        }
        if now.since(self.asked) > PAUSED {
            self.heard = now;
        }
        self.asked = now;
        let silent = now.since(self.heard);
        let in_vain = silent + self.in_vain.get(&partition).copied().unwrap_or_default();
        match self.reader.poll(Duration::ZERO) {
            // One of the partition that was read before.
            Polled::Record(message) if message.partition() != partition => Ok(Came::Nothing),
            Polled::Record(message) => {
                (self.next, self.heard) = (Some((partition, message.offset() + 1)), now);
                self.in_vain.remove(&partition);
                self.patience = ENDED;
                Ok(Came::Record(message))
            }
            Polled::Nothing | Polled::End(_) if silent > ENDED && in_vain > LONGEST => {
                // It is asked for anew next time.
                self.in_vain.remove(&partition);
                self.next = None;
                Err(ParkingError::Missing(offset))
            }
            Polled::End(ended) if ended == partition => {
                self.patience = ENDED;
                Ok(Came::End)
            }
            Polled::Nothing | Polled::End(_) if silent > self.patience => {
                self.patience = ENDED_MOST.min(self.patience * 2);
                Ok(Came::End)
            }
            Polled::Nothing | Polled::End(_) => Ok(Came::Nothing),
            // It may be of long ago: this reader is polled only here, and an outage leaves many.
            Polled::Failed(error) => {
                tracing::warn!(%error, "parking lot");
                Ok(Came::Nothing)
            }
        }
    }

    /// Stops reading ahead: nothing is to be brought back for now.
    pub fn rest(&mut self) {
        if self.next.is_some() {
            self.stop();
        }
    }

    /// The record that came last is to come again.
    pub fn again(&mut self) {
        self.next = None;
    }

    /// Forgets everything: the partitions have changed.
    pub fn stop(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
        self.in_vain.clear();
        self.patience = ENDED;
        self.next = None;
        if let Err(error) = self.reader.assign(topics::OPS_PARKED_V1.name(), &[]) {
            tracing::warn!(%error, "parking lot");
        }
    }

    /// Keeps a record that was come by, within a bound (BND-1).
    pub fn keep(&mut self, record: Record) {
        self.kept_bytes += size_of(&record);
        if let Some(before) = self.kept.insert((record.place.partition, record.place.offset), record) {
            self.kept_bytes = self.kept_bytes.saturating_sub(size_of(&before));
        }
        while self.kept_bytes > KEPT_BYTES_MAX
            && let Some((_, oldest)) = self.kept.pop_first()
        {
            self.kept_bytes = self.kept_bytes.saturating_sub(size_of(&oldest));
        }
    }

    /// Takes a record that was kept.
    pub fn take_kept(&mut self, place: At) -> Option<Record> {
        let record = self.kept.remove(&place)?;
        self.kept_bytes = self.kept_bytes.saturating_sub(size_of(&record));
        Some(record)
    }
}

/// About what a record takes in memory, bytes.
fn size_of(record: &Record) -> usize {
    const OVERHEAD: usize = 256;
    OVERHEAD + record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len)
}
