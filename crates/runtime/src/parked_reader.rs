//! Reads single parked events back, many in a row as cheaply as one.

use crate::cluster::{Cluster, PartitionReader, Polled, RecordView as _};
use crate::parking_store::ParkingError;
use crate::record::Record;
use bytes::Bytes;
use schemas::topics;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the broker may wait for records: those asked for are there.
const WAIT: Duration = Duration::from_millis(5);
/// Records that are fetched ahead.
const RECORDS_AHEAD: usize = 1_000;
/// So many records further on it is cheaper to read on than to start anew.
const SWEEP_MAX: i64 = 1_000;
/// Most bytes of records that were read on the way to another one.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// One wait for records.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for one record that must be there.
const LONGEST: Duration = Duration::from_secs(30);

/// Reads at places of the parking topic. Events that were parked together come back together: it reads on, and keeps what it
/// comes by, within a bound (BND-1).
pub(crate) struct ParkedReader<K: Cluster> {
    reader: K::Reader,
    /// Partition that is read, and the offset that comes next.
    next: Option<(i32, i64)>,
    kept: BTreeMap<(i32, i64), Record>,
    kept_bytes: usize,
    /// Something was asked for since it was last told to rest.
    busy: bool,
}

impl<K: Cluster> ParkedReader<K> {
    /// Connects; reads nothing yet.
    pub fn new(cluster: &K) -> Result<Self, ParkingError> {
        let reader = cluster.reader(RECORDS_AHEAD, WAIT)?;
        Ok(Self { reader, next: None, kept: BTreeMap::new(), kept_bytes: 0, busy: false })
    }

    /// The record at an offset of the parking topic.
    ///
    /// # Errors
    /// When it cannot be read within a bound.
    pub fn fetch(&mut self, partition: i32, offset: i64) -> Result<Record, ParkingError> {
        self.busy = true;
        if let Some(record) = self.kept.remove(&(partition, offset)) {
            self.kept_bytes = self.kept_bytes.saturating_sub(size_of(&record));
            return Ok(record);
        }
        if !self.comes_next(partition, offset) {
            self.reader.assign(topics::OPS_PARKED_V1.name(), &[(partition, Some(offset))])?;
        }
        let found = self.read_to(partition, offset);
        if found.is_err() {
            self.stop();
        }
        found
    }

    /// Whether the record at an offset costs little now: it was come by, or is among those that come next.
    pub fn is_near(&self, partition: i32, offset: i64) -> bool {
        self.kept.contains_key(&(partition, offset)) || self.comes_next(partition, offset)
    }

    /// Stops reading ahead when nothing was asked for since the last call.
    pub fn rest(&mut self) {
        if !std::mem::take(&mut self.busy) && self.next.is_some() {
            self.stop();
        }
    }

    /// Forgets everything: the partitions have changed.
    pub fn stop(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
        self.next = None;
        if let Err(error) = self.reader.assign(topics::OPS_PARKED_V1.name(), &[]) {
            tracing::warn!(%error, "parking lot");
        }
    }

    fn comes_next(&self, partition: i32, offset: i64) -> bool {
        self.next.is_some_and(|(read, next)| read == partition && (0..SWEEP_MAX).contains(&(offset - next)))
    }

    fn read_to(&mut self, partition: i32, offset: i64) -> Result<Record, ParkingError> {
        let started = crate::clock::tick();
        while crate::clock::tick().since(started) < LONGEST {
            let record = match self.reader.poll(POLL) {
                Polled::Record(message) => message.to_record(),
                Polled::End(_) | Polled::Nothing => continue,
                // It may be of long ago: this reader is polled only here, and an outage leaves many.
                Polled::Failed(error) => {
                    tracing::warn!(%error, "parking lot");
                    continue;
                }
            };
            let at = record.place.offset;
            self.next = Some((partition, at + 1));
            match at.cmp(&offset) {
                std::cmp::Ordering::Less => self.keep(record),
                std::cmp::Ordering::Equal => return Ok(record),
                std::cmp::Ordering::Greater => return Err(ParkingError::Missing(offset)),
            }
        }
        Err(ParkingError::Missing(offset))
    }

    fn keep(&mut self, record: Record) {
        self.kept_bytes += size_of(&record);
        self.kept.insert((record.place.partition, record.place.offset), record);
        while self.kept_bytes > KEPT_BYTES_MAX
            && let Some((_, oldest)) = self.kept.pop_first()
        {
            self.kept_bytes = self.kept_bytes.saturating_sub(size_of(&oldest));
        }
    }
}

/// About what a record takes in memory, bytes.
fn size_of(record: &Record) -> usize {
    const OVERHEAD: usize = 256;
    OVERHEAD + record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len)
}
