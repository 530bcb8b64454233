//! How far polling has got: a time, and which versions near it were seen.
//!
//! Servers store late and give equal times, so each poll looks back by the overlap; a version that was seen there is not
//! read twice. The position is staged: it is stored in the transaction that carries what it stands for.

use schemas::{Cursor, Timestamp};
use std::collections::{BTreeSet, HashSet};

/// Most versions that are stored with a position. A session remembers more; after a restart that follows a bulk load, the
/// rest of the overlap is read once more and says nothing new.
const STORED_MAX: usize = 2_000;

/// A position in one stream (a resource type, or the deletions).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    newest: Option<Timestamp>,
    /// Versions by time, so that the oldest leave first.
    by_time: BTreeSet<(i64, String)>,
    seen: HashSet<String>,
}

impl Position {
    /// From what was stored; `None` when that cannot be read.
    pub(super) fn restore(cursor: &Cursor) -> Option<Self> {
        let newest = if cursor.position.is_empty() { None } else { Some(cursor.position.parse().ok()?) };
        let mut position = Self { newest, ..Self::default() };
        for entry in &cursor.seen {
            let (time, version) = entry.split_once(' ')?;
            position.by_time.insert((time.parse().ok()?, version.to_owned()));
            position.seen.insert(version.to_owned());
        }
        Some(position)
    }

    /// As it is stored.
    pub(super) fn store(&self, connector: &str, stream: &str, at: Timestamp) -> Cursor {
        Cursor {
            connector: connector.to_owned(),
            stream: stream.to_owned(),
            position: self.newest.map(|newest| newest.to_string()).unwrap_or_default(),
            seen: self.newest_versions().map(|(time, version)| format!("{time} {version}")).collect(),
            at,
        }
    }

    /// The versions to store, oldest first.
    fn newest_versions(&self) -> impl Iterator<Item = &(i64, String)> {
        self.by_time.iter().skip(self.by_time.len().saturating_sub(STORED_MAX))
    }

    /// Where the next poll starts, in whole milliseconds, which every server understands; `None` for the beginning.
    pub(super) fn from(&self, overlap_ms: u64) -> Option<Timestamp> {
        let back = i64::try_from(overlap_ms).unwrap_or(i64::MAX);
        self.newest.map(|newest| Timestamp::from_millis(newest.millis().saturating_sub(back)))
    }

    /// Whether this version was seen.
    pub(super) fn knows(&self, version: &str) -> bool {
        self.seen.contains(version)
    }

    /// Takes note of a version that was stored at `at`.
    pub(super) fn note(&mut self, version: String, at: Timestamp) {
        self.reach(at);
        if self.seen.insert(version.clone()) {
            self.by_time.insert((at.micros(), version));
        }
    }

    /// Moves on to `at`.
    pub(super) fn reach(&mut self, at: Timestamp) {
        self.newest = self.newest.max(Some(at));
    }

    /// Forgets what lies before the overlap, and the oldest beyond `most`.
    pub(super) fn prune(&mut self, overlap_ms: u64, most: usize) {
        let from = self.from(overlap_ms).map_or(i64::MIN, Timestamp::micros);
        while let Some((time, _)) = self.by_time.first()
            && (*time < from || self.by_time.len() > most)
        {
            if let Some((_, version)) = self.by_time.pop_first() {
                self.seen.remove(&version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn the_overlap_is_looked_at_again_and_nothing_in_it_twice() {
        let mut position = Position::default();
        assert_eq!(position.from(10_000), None);
        position.note("Device/d1/_history/1".to_owned(), Timestamp(100 * SECOND));
        position.note("Device/d2/_history/1".to_owned(), Timestamp(95 * SECOND));
        position.note("Device/d0/_history/1".to_owned(), Timestamp(80 * SECOND));
        assert_eq!(position.from(10_000), Some(Timestamp(90 * SECOND)));
        position.prune(10_000, 10);
        assert!(position.knows("Device/d1/_history/1") && position.knows("Device/d2/_history/1"));
        assert!(!position.knows("Device/d0/_history/1"));
    }

    #[test]
    fn what_is_stored_comes_back() {
        let mut position = Position::default();
        position.note("Device/d1/_history/1".to_owned(), Timestamp(1_789_000_000_123_456));
        let cursor = position.store("fhir/main", "poll/Device", Timestamp(0));
        assert_eq!(Position::restore(&cursor), Some(position));
        assert_eq!(Position::restore(&Cursor::default()), Some(Position::default()));
        assert_eq!(Position::restore(&Cursor { position: "soon".to_owned(), ..Cursor::default() }), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut position = Position::default();
        for number in 0..100 {
            position.note(format!("Device/d{number}/_history/1"), Timestamp(SECOND));
            position.prune(10_000, 5);
        }
        assert_eq!(position.by_time.len(), 5);
    }

    #[test]
    fn a_bulk_load_does_not_make_the_stored_position_grow() {
        let mut position = Position::default();
        for number in 0..5_000 {
            position.note(format!("Device/d{number}/_history/1"), Timestamp(SECOND + number));
        }
        let stored = Position::restore(&position.store("fhir/main", "poll/Device", Timestamp(0))).unwrap();
        assert_eq!(stored.by_time.len(), STORED_MAX);
        assert!(stored.knows("Device/d4999/_history/1") && !stored.knows("Device/d0/_history/1"));
    }
}
