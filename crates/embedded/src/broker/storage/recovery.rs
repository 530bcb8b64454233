//! Opening a log again: what is whole is kept, what is torn is cut off, what was half done is finished or forgotten.

use std::collections::BTreeSet;

use super::batch::commits;
use super::compaction::Swap;
use super::segment::{Details, Segment, Walker, name, read_producers, read_seal, write_seal};
use super::{BatchHeader, Log, ProducerTable, Storage, StorageError};

/// Opens the log that lies under `prefix`, whose files and their lengths are given, with what is known of its producers.
///
/// Sealed segments are not read. The last one is, with every checksum: it is where a write may have been cut.
///
/// # Errors
/// [`StorageError`].
pub fn open_log(
    storage: &mut dyn Storage,
    prefix: &str,
    files: &[(String, u64)],
    start: i64,
) -> Result<(Log, ProducerTable), StorageError> {
    let mut log = Log::new(prefix.to_owned(), start);
    let mut producers = ProducerTable::default();
    let mut snapshot = None;
    let files = finish_swaps(storage, prefix, files)?;
    let bases = segments(storage, prefix, &files)?;
    let last = bases.last().map(|(base, _)| *base);
    for (base, size) in bases {
        let seal = name(prefix, base, "seal");
        let is_last = Some(base) == last;
        if !is_last && let Some(segment) = read_seal(storage, &seal).filter(|seal| seal.size == size) {
            log.sealed.insert(base, segment);
            snapshot = Some(seal);
            continue;
        }
        if let Some(seal) = snapshot.take() {
            producers = read_producers(storage, &seal).unwrap_or_default();
        }
        let (segment, details) = scan(storage, prefix, base, size, &mut producers)?;
        if segment.size < size {
            storage.truncate(&name(prefix, base, "log"), segment.size)?;
        }
        if is_last {
            (log.active, log.active_details) = (segment, details);
        } else {
            write_seal(storage, &seal, &segment, &producers, &details)?;
            log.sealed.insert(base, segment);
        }
    }
    log.start = log.start.max(log.sealed.keys().next().copied().unwrap_or(log.active.base)).min(log.active.next);
    Ok((log, producers))
}

/// Puts compacted segments in their place where this was decided; the files after it.
fn finish_swaps(
    storage: &mut dyn Storage,
    prefix: &str,
    files: &[(String, u64)],
) -> Result<Vec<(String, u64)>, StorageError> {
    let mut found = false;
    for swap in files.iter().filter_map(|(file, _)| Swap::parse(prefix, file)) {
        let bases = files.iter().filter_map(|(file, _)| base_of(prefix, file, ".log"));
        let old: Vec<i64> = bases.filter(|base| (swap.base..swap.next).contains(base)).collect();
        // A seal without its segment goes too.
        swap.finish(storage, prefix, &[old, vec![swap.base]].concat())?;
        found = true;
    }
    if !found {
        return Ok(files.to_vec());
    }
    let folder = format!("{prefix}/");
    Ok(storage.list()?.into_iter().filter(|(file, _)| file.starts_with(&folder)).collect())
}

/// Base offsets and lengths of the segments; removes files that nothing refers to.
fn segments(storage: &mut dyn Storage, prefix: &str, files: &[(String, u64)]) -> Result<Vec<(i64, u64)>, StorageError> {
    let mut logs = Vec::new();
    let mut bases = BTreeSet::new();
    for (file, size) in files {
        if let Some(base) = base_of(prefix, file, ".log") {
            logs.push((base, *size));
            bases.insert(base);
        }
    }
    for (file, _) in files {
        let seal_of = base_of(prefix, file, ".seal");
        if base_of(prefix, file, ".log").is_none() && seal_of.is_none_or(|base| !bases.contains(&base)) {
            storage.remove(file)?;
        }
    }
    logs.sort_unstable();
    Ok(logs)
}

fn base_of(prefix: &str, file: &str, kind: &str) -> Option<i64> {
    file.strip_prefix(prefix)?.strip_prefix('/')?.strip_suffix(kind)?.parse().ok()
}

/// Reads a segment as far as it is whole.
fn scan(
    storage: &mut dyn Storage,
    prefix: &str,
    base: i64,
    size: u64,
    producers: &mut ProducerTable,
) -> Result<(Segment, Details), StorageError> {
    let (mut segment, mut details) = (Segment::new(base), Details::default());
    let mut walker = Walker::new(name(prefix, base, "log"), 0, size);
    while let Some((header, batch)) = walker.next(storage)? {
        if BatchHeader::parse_checked(&batch).is_err() || header.base_offset < segment.next {
            break;
        }
        segment.note(&header, &mut details);
        match commits(&batch).filter(|_| header.is_control()) {
            Some(commit) => {
                if let Some(range) = producers.note_marker(&header, commit) {
                    segment.note_aborted(range, &mut details);
                }
            }
            None => producers.note(&header),
        }
    }
    Ok((segment, details))
}
