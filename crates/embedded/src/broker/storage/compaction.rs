//! Compaction: of every key the newest record stays.
//!
//! Sealed segments are written anew and put in place of the old ones by renaming one file: until then nothing has happened,
//! from then on the rest is done, by this process or the next. What aborted transactions wrote goes with their markers; a
//! tombstone goes when readers had the time to see it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::records::{encode, records};
use super::segment::{Details, Segment, Walker, name, read_producers, write_seal};
use super::{AbortedRange, BatchError, BatchHeader, Log, RawRecord, Storage, StorageError};

/// Bytes that are gathered before they are written.
const WRITE: usize = 1024 * 1024;

/// When and how far to compact.
#[derive(Clone, Copy, Debug)]
pub struct CompactionPolicy {
    /// Now, milliseconds since 1970.
    pub now_ms: i64,
    /// Every transaction before this offset has ended.
    pub stable: i64,
    /// Younger records are left alone, milliseconds.
    pub lag_min_ms: i64,
    /// Older records are compacted whatever the share of new ones is, milliseconds.
    pub lag_max_ms: i64,
    /// The share of new bytes that makes it worth while, 0 to 1.
    pub dirty_ratio_min: f64,
    /// How long a tombstone stays, milliseconds.
    pub delete_retention_ms: i64,
    /// Small segments are joined up to this size, bytes.
    pub segment_bytes: u64,
    /// Most keys of one pass.
    pub keys_max: usize,
}

/// A key, as far as compaction must tell it from others.
type KeyHash = [u8; 16];

/// What a pass knows while it goes through the segments.
struct Pass<'a> {
    policy: &'a CompactionPolicy,
    newest: BTreeMap<KeyHash, i64>,
    aborted: Vec<AbortedRange>,
    /// Producers with records that stay and whose marker has not come yet.
    live: BTreeSet<i64>,
}

impl Log {
    /// Compacts what is due; whether anything was.
    ///
    /// # Errors
    /// [`StorageError`]: then the log is as it was, or what is left to do is done by the next call.
    pub fn compact(&mut self, storage: &mut dyn Storage, policy: &CompactionPolicy) -> Result<bool, StorageError> {
        self.finish_swap(storage)?;
        let mut dirty = self.due(policy);
        if dirty.is_empty() {
            return Ok(false);
        }
        let aborted = self.aborted(storage, self.start(), policy.stable)?;
        let mut pass = Pass { policy, newest: BTreeMap::new(), aborted, live: BTreeSet::new() };
        let mapped = pass.map_keys(storage, &self.prefix, &dirty)?;
        dirty.truncate(mapped);
        let end = dirty.last().map_or(0, |segment| segment.next);
        for group in self.groups(end, policy.segment_bytes) {
            self.rewrite(storage, &group, &mut pass)?;
        }
        Ok(true)
    }

    /// The segments to compact, when it is worth while.
    fn due(&self, policy: &CompactionPolicy) -> Vec<Segment> {
        let eligible = |segment: &&Segment| {
            segment.next <= policy.stable && policy.now_ms.saturating_sub(segment.newest) >= policy.lag_min_ms
        };
        let eligible: Vec<Segment> = self.sealed.values().take_while(eligible).copied().collect();
        let dirty: Vec<Segment> = eligible.iter().skip_while(|segment| segment.cleaned).copied().collect();
        let bytes = |segments: &[Segment]| segments.iter().map(|segment| segment.size).sum::<u64>();
        #[allow(clippy::cast_precision_loss, reason = "a ratio of sizes needs no precision")]
        let ratio = bytes(&dirty) as f64 / bytes(&eligible).max(1) as f64;
        let old = dirty.first().is_some_and(|s| policy.now_ms.saturating_sub(s.first) > policy.lag_max_ms);
        if ratio >= policy.dirty_ratio_min || old { dirty } else { Vec::new() }
    }

    /// Neighbours that are small enough together to become one segment, up to an offset.
    fn groups(&self, end: i64, segment_bytes: u64) -> Vec<Vec<Segment>> {
        let mut groups: Vec<Vec<Segment>> = Vec::new();
        let mut size = 0;
        for segment in self.sealed.values().take_while(|segment| segment.next <= end) {
            size += segment.size;
            match groups.last_mut() {
                Some(group) if size <= segment_bytes => group.push(*segment),
                _ => {
                    groups.push(vec![*segment]);
                    size = segment.size;
                }
            }
        }
        groups
    }

    /// Writes one segment in place of a group of them.
    fn rewrite(
        &mut self,
        storage: &mut dyn Storage,
        group: &[Segment],
        pass: &mut Pass<'_>,
    ) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        let swap = Swap { base: first.base, next: last.next };
        let cleaned = swap.file(&self.prefix, "cleaned");
        storage.remove(&cleaned)?;
        storage.append(&cleaned, &[])?;
        let (mut segment, mut details) = (Segment::new(first.base), Details::default());
        let mut gathered = Vec::new();
        let mut bytes = 0;
        for old in group {
            let mut walker = Walker::new(name(&self.prefix, old.base, "log"), 0, old.size);
            while let Some((header, batch)) = walker.next(storage)? {
                let Some((header, batch)) = pass.keep(&header, batch) else { continue };
                segment.note(&header, &mut details);
                bytes += batch.len();
                gathered.push(batch);
                if bytes >= WRITE {
                    storage.append(&cleaned, &std::mem::take(&mut gathered))?;
                    bytes = 0;
                }
            }
        }
        storage.append(&cleaned, &gathered)?;
        segment.next = last.next;
        segment.cleaned = true;
        let producers = read_producers(storage, &name(&self.prefix, last.base, "seal")).unwrap_or_default();
        write_seal(storage, &swap.file(&self.prefix, "sealed"), &segment, &producers, &details)?;
        storage.rename(&cleaned, &swap.file(&self.prefix, "swap"))?;
        // From here on it has happened.
        self.forget_loaded();
        for old in group {
            self.sealed.remove(&old.base);
        }
        self.sealed.insert(segment.base, segment);
        self.swapping = Some((swap, group.iter().map(|old| old.base).collect()));
        self.finish_swap(storage)
    }

    fn finish_swap(&mut self, storage: &mut dyn Storage) -> Result<(), StorageError> {
        if let Some((swap, old)) = &self.swapping {
            swap.finish(storage, &self.prefix, old)?;
            self.swapping = None;
        }
        Ok(())
    }
}

/// Segments from one offset to another are being replaced by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swap {
    pub base: i64,
    pub next: i64,
}

impl Swap {
    /// What the name of a file says.
    pub(super) fn parse(prefix: &str, file: &str) -> Option<Self> {
        let range = file.strip_prefix(prefix)?.strip_prefix('/')?.strip_suffix(".swap")?;
        let (base, next) = range.split_once('-')?;
        Some(Self { base: base.parse().ok()?, next: next.parse().ok()? })
    }

    fn file(self, prefix: &str, kind: &str) -> String {
        format!("{prefix}/{:020}-{:020}.{kind}", self.base, self.next)
    }

    /// Puts the new segment in place of those that begin at the `old` offsets. Can be done again after any part of it.
    pub(super) fn finish(self, storage: &mut dyn Storage, prefix: &str, old: &[i64]) -> Result<(), StorageError> {
        let sealed = self.file(prefix, "sealed");
        // Once the seal has its name, what was there before is gone.
        if storage.list()?.iter().any(|(file, _)| *file == sealed) {
            for base in old {
                storage.remove(&name(prefix, *base, "log"))?;
                storage.remove(&name(prefix, *base, "seal"))?;
            }
            storage.rename(&sealed, &name(prefix, self.base, "seal"))?;
        }
        storage.rename(&self.file(prefix, "swap"), &name(prefix, self.base, "log"))
    }
}

impl Pass<'_> {
    /// Finds the newest offset of every key in the segments; how many of them, as far as the keys fit.
    fn map_keys(&mut self, storage: &mut dyn Storage, prefix: &str, dirty: &[Segment]) -> Result<usize, StorageError> {
        for (n, segment) in dirty.iter().enumerate() {
            let mut walker = Walker::new(name(prefix, segment.base, "log"), 0, segment.size);
            while let Some((header, batch)) = walker.next(storage)? {
                if header.is_control() || self.is_aborted(&header) {
                    continue;
                }
                for record in records(&header, &batch).unwrap_or_default() {
                    let Some(key) = record.key.as_deref().map(hash) else { continue };
                    if self.newest.len() >= self.policy.keys_max && !self.newest.contains_key(&key) {
                        // Keys that are not in the map keep all their records until the next pass.
                        return Ok(n.max(1));
                    }
                    self.newest.insert(key, header.base_offset + record.offset_delta);
                }
            }
        }
        Ok(dirty.len())
    }

    fn is_aborted(&self, header: &BatchHeader) -> bool {
        let within = |range: &&AbortedRange| range.producer_id == header.producer_id;
        header.is_transactional()
            && self
                .aborted
                .iter()
                .filter(within)
                .any(|range| range.first_offset <= header.base_offset && header.base_offset <= range.last_offset)
    }

    /// What stays of a batch.
    fn keep(&mut self, header: &BatchHeader, batch: Bytes) -> Option<(BatchHeader, Bytes)> {
        if header.is_control() {
            // A marker stays as long as there is something before it that it ends.
            return self.live.remove(&header.producer_id).then_some((*header, batch));
        }
        if self.is_aborted(header) {
            return None;
        }
        // What cannot be opened is kept as it is.
        let kept = self.keep_records(header, &batch).unwrap_or_else(|_| Some((*header, batch)));
        if kept.is_some() && header.is_transactional() {
            self.live.insert(header.producer_id);
        }
        kept
    }

    fn keep_records(&self, header: &BatchHeader, batch: &Bytes) -> Result<Option<(BatchHeader, Bytes)>, BatchError> {
        let all = records(header, batch)?;
        let count = all.len();
        let past = header.delete_horizon().is_some_and(|horizon| horizon <= self.policy.now_ms);
        let stays = |record: &RawRecord| {
            let offset = header.base_offset + record.offset_delta;
            let newest = record.key.as_deref().map(|key| self.newest.get(&hash(key)).is_none_or(|n| *n <= offset));
            newest.unwrap_or(false) && !(past && record.value.is_none())
        };
        let kept: Vec<RawRecord> = all.into_iter().filter(stays).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let tombstones = kept.iter().any(|record| record.value.is_none());
        let horizon = (tombstones && header.delete_horizon().is_none())
            .then(|| self.policy.now_ms.saturating_add(self.policy.delete_retention_ms));
        if kept.len() == count && horizon.is_none() {
            return Ok(Some((*header, batch.clone())));
        }
        encode(header, &kept, horizon).map(Some)
    }
}

fn hash(key: &[u8]) -> KeyHash {
    let mut hash = KeyHash::default();
    hash.copy_from_slice(&Sha256::digest(key)[..16]);
    hash
}
