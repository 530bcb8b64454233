//! The header of a record batch, format 2: what a broker reads of a batch without opening its records.
//!
//! Layout: <https://kafka.apache.org/documentation/#recordbatch>.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before the first record.
pub const HEADER_LEN: usize = 61;

/// Bytes before those that the length counts.
const PREFIX_LEN: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const CHECKED_FROM: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
pub(super) const DELETE_HORIZON: i16 = 0x40;

/// What is wrong with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// Fewer bytes than the batch says, or than a header takes.
    Short,
    /// Not format 2.
    Magic,
    /// The checksum does not match.
    Checksum,
    /// A count or length that cannot be.
    Malformed,
}

/// The header of a record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record, also when compaction has removed it.
    pub base_offset: i64,
    /// Length of the whole batch in bytes.
    pub size: usize,
    /// Epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// CRC-32C of everything after it.
    pub crc: u32,
    /// Bits: compression, kind of timestamp, transactional, control, delete horizon.
    pub attributes: i16,
    /// Offset of the last record, less `base_offset`.
    pub last_offset_delta: i32,
    /// What the timestamps of the records count from, milliseconds since 1970; the delete horizon where that bit is set.
    pub base_timestamp: i64,
    /// Newest timestamp of a record, milliseconds since 1970.
    pub max_timestamp: i64,
    /// Producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Number of records.
    pub count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which need not hold the whole batch.
    ///
    /// # Errors
    /// [`BatchError`], all but [`BatchError::Checksum`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or_else(|| short_or_old(bytes))?;
        if header[MAGIC_AT] != 2 {
            return Err(BatchError::Magic);
        }
        let length = usize::try_from(i32_at(header, 8)).map_err(|_| BatchError::Malformed)?;
        let parsed = Self {
            base_offset: i64_at(header, 0),
            size: PREFIX_LEN + length,
            leader_epoch: i32_at(header, 12),
            crc: u32::from_be_bytes(i32_at(header, CRC_AT).to_be_bytes()),
            attributes: i16_at(header, CHECKED_FROM),
            last_offset_delta: i32_at(header, 23),
            base_timestamp: i64_at(header, 27),
            max_timestamp: i64_at(header, MAX_TIMESTAMP_AT),
            producer_id: i64_at(header, 43),
            producer_epoch: i16_at(header, 51),
            base_sequence: i32_at(header, 53),
            count: i32_at(header, 57),
        };
        let possible = parsed.size >= HEADER_LEN
            && parsed.last_offset_delta >= 0
            && parsed.count >= 0
            && parsed.base_offset >= 0
            && parsed.base_offset.checked_add(i64::from(parsed.last_offset_delta) + 1).is_some();
        if possible { Ok(parsed) } else { Err(BatchError::Malformed) }
    }

    /// Reads the header and checks the whole batch at the start of `bytes`.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn parse_checked(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse(bytes)?;
        let checked = bytes.get(CHECKED_FROM..header.size).ok_or(BatchError::Short)?;
        if crc32c::crc32c(checked) == header.crc { Ok(header) } else { Err(BatchError::Checksum) }
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Sequence number of the last record; it wraps as Kafka's does.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        let wrapped = if last > i64::from(i32::MAX) { last - i64::from(i32::MAX) - 1 } else { last };
        i32::try_from(wrapped).unwrap_or(i32::MAX)
    }

    /// Codec of the records: 0 none, 1 gzip, 2 Snappy, 3 LZ4, 4 Zstandard.
    #[must_use]
    pub fn compression(&self) -> i16 {
        self.attributes & COMPRESSION_MASK
    }

    /// Whether the timestamps are the broker's.
    #[must_use]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether it belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds a transaction marker and no data.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// When compaction may remove the tombstones in it, milliseconds since 1970.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// The batch as it stands in the log: with its place, and with the time of the append where the topic wants that.
    /// The records are shared, not copied.
    #[must_use]
    pub fn placed(&self, batch: &Bytes, base_offset: i64, leader_epoch: i32, append_time: Option<i64>) -> [Bytes; 2] {
        let mut header = BytesMut::from(&batch[..HEADER_LEN]);
        header[..8].copy_from_slice(&base_offset.to_be_bytes());
        header[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
        let records = batch.slice(HEADER_LEN..self.size);
        if let Some(now_ms) = append_time {
            let attributes = self.attributes | LOG_APPEND_TIME;
            header[CHECKED_FROM..23].copy_from_slice(&attributes.to_be_bytes());
            header[MAX_TIMESTAMP_AT..43].copy_from_slice(&now_ms.to_be_bytes());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&header[CHECKED_FROM..]), &records);
            header[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
        }
        [header.freeze(), records]
    }

    /// Encodes this header before `records`, with length and checksum made anew.
    #[must_use]
    pub fn encode(&self, records: &[u8]) -> Bytes {
        let mut batch = BytesMut::with_capacity(HEADER_LEN + records.len());
        batch.put_i64(self.base_offset);
        batch.put_i32(i32::try_from(HEADER_LEN - PREFIX_LEN + records.len()).unwrap_or(i32::MAX));
        batch.put_i32(self.leader_epoch);
        batch.put_u8(2);
        batch.put_u32(0);
        batch.put_i16(self.attributes);
        batch.put_i32(self.last_offset_delta);
        batch.put_i64(self.base_timestamp);
        batch.put_i64(self.max_timestamp);
        batch.put_i64(self.producer_id);
        batch.put_i16(self.producer_epoch);
        batch.put_i32(self.base_sequence);
        batch.put_i32(self.count);
        batch.put_slice(records);
        let crc = crc32c::crc32c(&batch[CHECKED_FROM..]);
        batch[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
        batch.freeze()
    }
}

/// The marker that ends a transaction of a producer in a partition.
#[must_use]
pub fn control_batch(producer_id: i64, producer_epoch: i16, commit: bool, now_ms: i64) -> Bytes {
    let mut record = BytesMut::new();
    record.put_slice(&[
        0, // attributes
        0, // timestamp delta
        0, // offset delta
        8, // length of the key, zigzag: 4
    ]);
    record.put_i16(0);
    record.put_i16(i16::from(commit));
    record.put_u8(12); // length of the value, zigzag: 6
    record.put_i16(0);
    record.put_i32(0); // epoch of the coordinator
    record.put_u8(0); // no headers
    let mut records = BytesMut::new();
    records.put_u8(u8::try_from(record.len() * 2).unwrap_or(u8::MAX));
    records.put_slice(&record);
    let header = BatchHeader {
        base_offset: 0,
        size: 0,
        leader_epoch: 0,
        crc: 0,
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        base_timestamp: now_ms,
        max_timestamp: now_ms,
        producer_id,
        producer_epoch,
        base_sequence: -1,
        count: 1,
    };
    header.encode(&records)
}

/// Whether a control batch commits: none where it is no end of a transaction.
#[must_use]
pub fn commits(batch: &[u8]) -> Option<bool> {
    // Length, attributes, two deltas and the length of the key take one byte each: the broker wrote it itself.
    let kind: &[u8; 2] = batch.get(HEADER_LEN + 7..)?.first_chunk()?;
    match i16::from_be_bytes(*kind) {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Formats 0 and 1 are shorter, so that they are told from a torn batch while there are enough bytes to see it.
fn short_or_old(bytes: &[u8]) -> BatchError {
    match bytes.get(MAGIC_AT) {
        Some(magic) if *magic != 2 => BatchError::Magic,
        _ => BatchError::Short,
    }
}

fn i16_at(header: &[u8; HEADER_LEN], at: usize) -> i16 {
    i16::from_be_bytes([header[at], header[at + 1]])
}

fn i32_at(header: &[u8; HEADER_LEN], at: usize) -> i32 {
    i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn i64_at(header: &[u8; HEADER_LEN], at: usize) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    i64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::records::RecordBatchDecoder;

    #[test]
    fn a_marker_is_read_by_another_decoder() {
        for commit in [false, true] {
            let marker = control_batch(7, 3, commit, 1_000);
            let header = BatchHeader::parse_checked(&marker).unwrap();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!(commits(&marker), Some(commit));
            let set = RecordBatchDecoder::decode(&mut marker.clone()).unwrap();
            let record = &set.records[0];
            assert_eq!((record.producer_id, record.producer_epoch, record.control), (7, 3, true));
            assert_eq!(record.key.as_deref(), Some(&[0, 0, 0, u8::from(commit)][..]));
            assert_eq!(record.value.as_deref(), Some(&[0; 6][..]));
        }
    }

    #[test]
    fn a_placed_batch_keeps_its_checksum() {
        let batch = control_batch(7, 3, true, 1_000);
        let header = BatchHeader::parse(&batch).unwrap();
        for time in [None, Some(5_000)] {
            let placed: Vec<u8> = header.placed(&batch, 42, 9, time).concat();
            let seen = BatchHeader::parse_checked(&placed).unwrap();
            assert_eq!((seen.base_offset, seen.leader_epoch), (42, 9));
            assert_eq!(seen.is_log_append_time(), time.is_some());
            assert_eq!(seen.max_timestamp, time.unwrap_or(1_000));
        }
    }

    #[test]
    fn no_cut_or_flipped_byte_passes() {
        let batch = control_batch(7, 3, true, 1_000);
        for len in 0..batch.len() {
            assert_eq!(BatchHeader::parse_checked(&batch[..len]), Err(BatchError::Short), "{len}");
        }
        for at in 8..batch.len() {
            if (12..16).contains(&at) {
                continue; // the epoch of the leader is not checked, as in Kafka
            }
            let mut damaged = batch.to_vec();
            damaged[at] ^= 0x55;
            BatchHeader::parse_checked(&damaged).unwrap_err();
        }
    }

    #[test]
    fn sequences_wrap() {
        let mut header = BatchHeader::parse(&control_batch(1, 1, true, 0)).unwrap();
        header.base_sequence = i32::MAX - 1;
        header.last_offset_delta = 2;
        assert_eq!(header.last_sequence(), 0);
    }
}
