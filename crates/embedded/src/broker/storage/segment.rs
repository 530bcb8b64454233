//! A segment: one file of a log, its sparse index, and the seal that makes it cheap to open again.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{BatchHeader, ProducerTable, Storage, StorageError, len_usize, len64, replace};

/// Bytes of log between two entries of the index.
const INDEX_EVERY: u64 = 16 * 1024;

/// Length and checksum before each part of a seal.
const FRAME_LEN: usize = 8;

/// Where a batch is: the index has one entry for some KiB of log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// First offset of the batch.
    pub offset: i64,
    /// Where it begins in the file.
    pub position: u64,
    /// Newest timestamp of a record before it, milliseconds since 1970; -1 when there is none.
    pub newest_before: i64,
}

/// What a transaction wrote in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortedRange {
    /// Its producer.
    pub producer_id: i64,
    /// Its first record.
    pub first_offset: i64,
    /// Its abort marker.
    pub last_offset: i64,
}

/// What is needed to look inside a segment. A sealed one has it on disk and loads it when asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Details {
    pub index: Vec<IndexEntry>,
    pub aborted: Vec<AbortedRange>,
}

/// What is known of every segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    /// Offset that the file is named after.
    pub base: i64,
    /// Offset after the last record.
    pub next: i64,
    /// Bytes.
    pub size: u64,
    /// Newest timestamp of a record; -1 when there is none.
    pub newest: i64,
    /// Timestamp of the first batch; -1 when there is none.
    pub first: i64,
    /// Whether transactions were aborted in it.
    pub has_aborted: bool,
    /// Whether it was compacted.
    #[serde(default)]
    pub cleaned: bool,
}

impl Segment {
    pub(super) fn new(base: i64) -> Self {
        Self { base, next: base, size: 0, newest: -1, first: -1, has_aborted: false, cleaned: false }
    }

    /// Notes a batch that was appended.
    pub(super) fn note(&mut self, batch: &BatchHeader, details: &mut Details) {
        let indexed = details.index.last().map_or(0, |entry| entry.position + INDEX_EVERY);
        if self.size >= indexed {
            let entry = IndexEntry { offset: batch.base_offset, position: self.size, newest_before: self.newest };
            details.index.push(entry);
        }
        self.size += len64(batch.size);
        self.next = batch.last_offset() + 1;
        self.newest = self.newest.max(batch.max_timestamp);
        if self.first < 0 {
            self.first = batch.max_timestamp;
        }
    }

    pub(super) fn note_aborted(&mut self, range: AbortedRange, details: &mut Details) {
        self.has_aborted = true;
        details.aborted.push(range);
    }
}

/// Name of a file of a segment.
pub(super) fn name(prefix: &str, base: i64, kind: &str) -> String {
    format!("{prefix}/{base:020}.{kind}")
}

/// Writes what opening a segment again needs: itself, the producers after it, and its details, each with a checksum.
pub(super) fn write_seal(
    storage: &mut dyn Storage,
    file: &str,
    segment: &Segment,
    producers: &ProducerTable,
    details: &Details,
) -> Result<(), StorageError> {
    let parts = [frame(file, segment)?, frame(file, producers)?, frame(file, details)?];
    replace(storage, file, &parts)
}

/// The segment that a seal describes; none when the seal is missing or damaged, so that the segment is scanned.
pub(super) fn read_seal(storage: &mut dyn Storage, file: &str) -> Option<Segment> {
    read_frame(storage, file, 0).map(|(segment, _)| segment)
}

/// The producers after a sealed segment.
pub(super) fn read_producers(storage: &mut dyn Storage, file: &str) -> Option<ProducerTable> {
    let (_, second) = read_frame::<Segment>(storage, file, 0)?;
    read_frame(storage, file, second).map(|(producers, _)| producers)
}

/// The details of a sealed segment.
pub(super) fn read_details(storage: &mut dyn Storage, file: &str) -> Result<Details, StorageError> {
    let found = read_frame::<Segment>(storage, file, 0)
        .and_then(|(_, second)| skip_frame(storage, file, second))
        .and_then(|third| read_frame(storage, file, third));
    let (details, _) = found.ok_or_else(|| damaged(file, "the checksum does not match"))?;
    Ok(details)
}

pub(super) fn damaged(file: &str, reason: &str) -> StorageError {
    StorageError::Damaged { file: file.to_owned(), reason: reason.to_owned() }
}

/// A value with its length and checksum before it.
pub(super) fn frame(file: &str, value: &impl Serialize) -> Result<Bytes, StorageError> {
    let payload = serde_json::to_vec(value).map_err(|error| damaged(file, &error.to_string()))?;
    let len = u32::try_from(payload.len()).map_err(|_| damaged(file, "longer than 4 GiB"))?;
    let mut framed = BytesMut::with_capacity(FRAME_LEN + payload.len());
    framed.extend_from_slice(&len.to_be_bytes());
    framed.extend_from_slice(&crc32c::crc32c(&payload).to_be_bytes());
    framed.extend_from_slice(&payload);
    Ok(framed.freeze())
}

/// The payload of the frame at the start of `bytes` and what follows it; none when it is cut or damaged.
pub(super) fn unframe(bytes: &Bytes) -> Option<(Bytes, Bytes)> {
    let len: [u8; 4] = *bytes.first_chunk()?;
    let crc: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
    let end = FRAME_LEN.checked_add(usize::try_from(u32::from_be_bytes(len)).ok()?)?;
    let payload = (end <= bytes.len()).then(|| bytes.slice(FRAME_LEN..end))?;
    (crc32c::crc32c(&payload) == u32::from_be_bytes(crc)).then(|| (payload, bytes.slice(end..)))
}

fn read_frame<T: DeserializeOwned>(storage: &mut dyn Storage, file: &str, position: u64) -> Option<(T, u64)> {
    let end = skip_frame(storage, file, position)?;
    let bytes = storage.read(file, position, len_usize(end - position)).ok()?;
    let (payload, _) = unframe(&bytes)?;
    Some((serde_json::from_slice(&payload).ok()?, end))
}

fn skip_frame(storage: &mut dyn Storage, file: &str, position: u64) -> Option<u64> {
    let head = storage.read(file, position, FRAME_LEN).ok()?;
    let len: [u8; 4] = *head.first_chunk()?;
    position.checked_add(len64(FRAME_LEN) + u64::from(u32::from_be_bytes(len)))
}

/// Reads the batches of a file one after the other.
pub(super) struct Walker {
    file: String,
    /// Where the next batch begins.
    pub position: u64,
    end: u64,
    buffer: Bytes,
}

/// Bytes that a walker reads at once.
const WALK: usize = 256 * 1024;

impl Walker {
    pub(super) fn new(file: String, position: u64, end: u64) -> Self {
        Self { file, position, end, buffer: Bytes::new() }
    }

    /// The next batch, whole; none at the end and where what follows is no whole batch.
    pub(super) fn next(&mut self, storage: &mut dyn Storage) -> Result<Option<(BatchHeader, Bytes)>, StorageError> {
        self.fill(storage, super::HEADER_LEN)?;
        let Ok(header) = BatchHeader::parse(&self.buffer) else { return Ok(None) };
        if len64(header.size) > self.end.saturating_sub(self.position) {
            return Ok(None);
        }
        self.fill(storage, header.size)?;
        if self.buffer.len() < header.size {
            return Ok(None);
        }
        self.position += len64(header.size);
        Ok(Some((header, self.buffer.split_to(header.size))))
    }

    /// Makes the buffer hold at least `wanted` bytes, where the file has them.
    fn fill(&mut self, storage: &mut dyn Storage, wanted: usize) -> Result<(), StorageError> {
        if self.buffer.len() < wanted {
            let left = len_usize(self.end.saturating_sub(self.position));
            self.buffer = storage.read(&self.file, self.position, wanted.max(WALK).min(left))?;
        }
        Ok(())
    }
}
