//! The log of a partition: segments, found by offset and by time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::compaction::Swap;
use super::segment::{Details, Segment, Walker, name, read_details, write_seal};
use super::{AbortedRange, BatchHeader, HEADER_LEN, ProducerTable, Storage, StorageError, len_usize, len64};

/// Details of this many sealed segments are kept in memory.
const LOADED: usize = 4;

/// A batch without an index entry begins at most this far after the entry before it.
const INDEX_SPAN: usize = 16 * 1024;

/// The log of a partition. Holds no records in memory, and an index of the active segment and of a few others only.
#[derive(Debug)]
pub struct Log {
    pub(super) prefix: String,
    pub(super) sealed: BTreeMap<i64, Segment>,
    pub(super) active: Segment,
    pub(super) active_details: Details,
    pub(super) start: i64,
    /// A failed append could not be cut off yet.
    pub(super) torn: bool,
    /// A compacted segment that is not wholly in its place yet, and the segments that it replaces.
    pub(super) swapping: Option<(Swap, Vec<i64>)>,
    loaded: VecDeque<(i64, Arc<Details>)>,
}

/// What a read may return.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// First offset wanted; the batch that holds it is returned whole.
    pub from: i64,
    /// Only batches that begin before this offset.
    pub to: i64,
    /// No more bytes than this,
    pub max_bytes: usize,
    /// except for the first batch, if this is set.
    pub at_least_one: bool,
}

impl Log {
    /// An empty log that begins at `base`.
    #[must_use]
    pub fn new(prefix: String, base: i64) -> Self {
        Self {
            prefix,
            sealed: BTreeMap::new(),
            active: Segment::new(base),
            active_details: Details::default(),
            start: base,
            torn: false,
            swapping: None,
            loaded: VecDeque::new(),
        }
    }

    /// First offset that may be read.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start
    }

    /// Offset that the next record gets.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.active.next
    }

    /// Bytes in all segments.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.active.size + self.sealed.values().map(|segment| segment.size).sum::<u64>()
    }

    /// Number of segments.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.sealed.len() + 1
    }

    /// Whether the active segment must be sealed before `more` bytes are appended.
    #[must_use]
    pub fn is_due_to_roll(&self, more: usize, segment_bytes: u64, segment_ms: i64, now_ms: i64) -> bool {
        let old = self.active.first >= 0 && now_ms.saturating_sub(self.active.first) > segment_ms;
        self.active.size > 0 && (old || self.active.size.saturating_add(len64(more)) > segment_bytes)
    }

    /// Seals the active segment and begins another.
    ///
    /// # Errors
    /// [`StorageError`]: then nothing has changed.
    pub fn roll(&mut self, storage: &mut dyn Storage, producers: &ProducerTable) -> Result<(), StorageError> {
        self.mend(storage)?;
        let base = self.active.base;
        write_seal(storage, &name(&self.prefix, base, "seal"), &self.active, producers, &self.active_details)?;
        // The empty file says at the next start that the segment before it is complete.
        storage.append(&name(&self.prefix, self.active.next, "log"), &[])?;
        self.sealed.insert(base, self.active);
        self.active = Segment::new(self.active.next);
        let details = std::mem::take(&mut self.active_details);
        self.keep_loaded(base, Arc::new(details));
        Ok(())
    }

    /// Appends a batch whose header says where it is placed.
    ///
    /// # Errors
    /// [`StorageError`]: then nothing of it is in the log.
    pub fn append(
        &mut self,
        storage: &mut dyn Storage,
        header: &BatchHeader,
        parts: &[Bytes],
    ) -> Result<(), StorageError> {
        self.mend(storage)?;
        let file = name(&self.prefix, self.active.base, "log");
        if let Err(error) = storage.append(&file, parts) {
            self.torn = true;
            // Where this fails too, the next append tries it again.
            let _ = self.mend(storage);
            return Err(error);
        }
        self.active.note(header, &mut self.active_details);
        Ok(())
    }

    /// Notes that the marker appended last has aborted something.
    pub fn note_aborted(&mut self, range: AbortedRange) {
        self.active.note_aborted(range, &mut self.active_details);
    }

    /// Reads whole batches, from one segment.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn read(&mut self, storage: &mut dyn Storage, limits: ReadLimits) -> Result<Bytes, StorageError> {
        let before = self.sealed.range(..=limits.from).next_back().map_or(limits.from, |(base, _)| *base);
        let bases: Vec<i64> = self.sealed.range(before..).map(|(base, _)| *base).collect();
        for base in bases.into_iter().chain([self.active.base]) {
            let Some(segment) = self.segment(base) else { continue };
            if segment.next <= limits.from || base >= limits.to {
                continue;
            }
            let found = self.read_segment(storage, segment, limits)?;
            if let Some(bytes) = found {
                return Ok(bytes);
            }
        }
        Ok(Bytes::new())
    }

    /// The transactions aborted in what lies between two offsets.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn aborted(
        &mut self,
        storage: &mut dyn Storage,
        from: i64,
        to: i64,
    ) -> Result<Vec<AbortedRange>, StorageError> {
        // A marker lies behind what it ends, so segments before `from` do not matter; a transaction that was open at `to`
        // has its marker behind it.
        let with: Vec<i64> = self.sealed.values().filter(|s| s.has_aborted && s.next > from).map(|s| s.base).collect();
        let mut found: Vec<AbortedRange> = Vec::new();
        for base in with.into_iter().chain([self.active.base]) {
            let details = self.details(storage, base)?;
            let ranges = details.as_deref().unwrap_or(&self.active_details).aborted.iter();
            found.extend(ranges.filter(|range| range.last_offset >= from && range.first_offset < to));
        }
        found.sort_by_key(|range| range.first_offset);
        Ok(found)
    }

    /// Newest timestamp of a record, milliseconds since 1970; -1 when there is none.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.sealed.values().map(|segment| segment.newest).fold(self.active.newest, i64::max)
    }

    /// The first batch, from `from` on, that has a record of `timestamp` or later.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn first_since(
        &mut self,
        storage: &mut dyn Storage,
        timestamp: i64,
        from: i64,
    ) -> Result<Option<Bytes>, StorageError> {
        let bases: Vec<i64> = self.sealed.keys().copied().chain([self.active.base]).collect();
        for base in bases {
            let Some(segment) = self.segment(base).filter(|s| s.newest >= timestamp && s.next > from) else { continue };
            let details = self.details(storage, base)?;
            let index = &details.as_deref().unwrap_or(&self.active_details).index;
            let entry = index.partition_point(|entry| entry.newest_before < timestamp).saturating_sub(1);
            let position = index.get(entry).map_or(0, |entry| entry.position);
            let mut walker = Walker::new(name(&self.prefix, base, "log"), position, segment.size);
            while let Some((header, batch)) = walker.next(storage)? {
                if header.max_timestamp >= timestamp && header.last_offset() >= from {
                    return Ok(Some(batch));
                }
            }
        }
        Ok(None)
    }

    /// Moves the start and removes the segments that lie wholly before it. A file that cannot be removed now is removed at
    /// the next start.
    pub fn advance_start(&mut self, storage: &mut dyn Storage, offset: i64) {
        self.start = self.start.max(offset.min(self.end()));
        while let Some((base, segment)) = self.sealed.first_key_value().map(|(base, segment)| (*base, *segment)) {
            if segment.next > self.start {
                break;
            }
            self.sealed.remove(&base);
            self.loaded.retain(|(loaded, _)| *loaded != base);
            for kind in ["seal", "log"] {
                let _ = storage.remove(&name(&self.prefix, base, kind));
            }
        }
    }

    /// Where the log may begin when records older than `retention_ms` and bytes beyond `retention_bytes` go; negative
    /// values keep everything. Only sealed segments before `limit` go.
    #[must_use]
    pub fn retained_from(&self, retention_ms: i64, retention_bytes: i64, limit: i64, now_ms: i64) -> i64 {
        let mut excess = u64::try_from(retention_bytes).map_or(0, |bytes| self.size().saturating_sub(bytes));
        let mut from = self.start;
        for segment in self.sealed.values().take_while(|segment| segment.next <= limit) {
            let expired = retention_ms >= 0 && now_ms.saturating_sub(segment.newest) > retention_ms;
            if !expired && (excess == 0 || excess < segment.size) {
                break;
            }
            excess = excess.saturating_sub(segment.size);
            from = from.max(segment.next);
        }
        from
    }

    /// Whether the newest record of the active segment is older than `retention_ms`.
    #[must_use]
    pub fn is_active_expired(&self, retention_ms: i64, now_ms: i64) -> bool {
        retention_ms >= 0 && self.active.size > 0 && now_ms.saturating_sub(self.active.newest) > retention_ms
    }

    /// Cuts off what a failed append has left.
    fn mend(&mut self, storage: &mut dyn Storage) -> Result<(), StorageError> {
        if self.torn {
            storage.truncate(&name(&self.prefix, self.active.base, "log"), self.active.size)?;
            self.torn = false;
        }
        Ok(())
    }

    fn segment(&self, base: i64) -> Option<Segment> {
        if base == self.active.base { Some(self.active) } else { self.sealed.get(&base).copied() }
    }

    /// Details of a sealed segment; none for the active one, whose are at hand.
    fn details(&mut self, storage: &mut dyn Storage, base: i64) -> Result<Option<Arc<Details>>, StorageError> {
        if base == self.active.base {
            return Ok(None);
        }
        if let Some((_, details)) = self.loaded.iter().find(|(loaded, _)| *loaded == base) {
            return Ok(Some(Arc::clone(details)));
        }
        let details = Arc::new(read_details(storage, &name(&self.prefix, base, "seal"))?);
        self.keep_loaded(base, Arc::clone(&details));
        Ok(Some(details))
    }

    pub(super) fn forget_loaded(&mut self) {
        self.loaded.clear();
    }

    fn keep_loaded(&mut self, base: i64, details: Arc<Details>) {
        self.loaded.push_back((base, details));
        if self.loaded.len() > LOADED {
            self.loaded.pop_front();
        }
    }

    /// None when no batch of the segment is wanted: compaction leaves gaps.
    fn read_segment(
        &mut self,
        storage: &mut dyn Storage,
        segment: Segment,
        limits: ReadLimits,
    ) -> Result<Option<Bytes>, StorageError> {
        let details = self.details(storage, segment.base)?;
        let index = &details.as_deref().unwrap_or(&self.active_details).index;
        let entry = index.partition_point(|entry| entry.offset <= limits.from).saturating_sub(1);
        let position = index.get(entry).map_or(0, |entry| entry.position);
        let wanted = INDEX_SPAN.saturating_add(HEADER_LEN).saturating_add(limits.max_bytes);
        let len = wanted.min(len_usize(segment.size - position));
        let file = name(&self.prefix, segment.base, "log");
        let chunk = storage.read(&file, position, len)?;
        let (mut begin, mut end) = (None, 0);
        while let Ok(header) = BatchHeader::parse(&chunk[end..]) {
            if header.base_offset >= limits.to {
                break;
            }
            if header.last_offset() >= limits.from {
                let first = *begin.get_or_insert(end);
                if end + header.size - first > limits.max_bytes || end + header.size > chunk.len() {
                    if first < end {
                        break;
                    }
                    if !limits.at_least_one {
                        return Ok(Some(Bytes::new()));
                    }
                    return storage.read(&file, position + len64(first), header.size).map(Some);
                }
            }
            end += header.size;
            if end >= chunk.len() {
                break;
            }
        }
        Ok(begin.map(|begin| chunk.slice(begin..end)))
    }
}

impl Log {
    /// Removes all its files.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn remove(self, storage: &mut dyn Storage) -> Result<(), StorageError> {
        for base in self.sealed.keys() {
            storage.remove(&name(&self.prefix, *base, "seal"))?;
            storage.remove(&name(&self.prefix, *base, "log"))?;
        }
        storage.remove(&name(&self.prefix, self.active.base, "log"))
    }
}
