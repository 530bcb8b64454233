//! The journal: small entries, each with a checksum, read back in their order; written anew when it has grown.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::segment::{damaged, frame, unframe};
use super::{Storage, StorageError, len_usize, len64, replace};

const FILE: &str = "journal";

/// A journal smaller than this is not worth being written anew.
const SMALL: u64 = 1024 * 1024;

/// How many times its size after the last time the journal may reach before it is written anew.
const GROWTH: u64 = 4;

/// Entries in their order.
#[derive(Debug)]
pub struct Journal {
    len: u64,
    len_when_new: u64,
    /// A failed write could not be cut off yet.
    torn: bool,
}

impl Journal {
    /// Opens the journal and hands every entry to `each`. A torn end is cut off: nothing in it was acknowledged.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn open<T: DeserializeOwned>(storage: &mut dyn Storage, mut each: impl FnMut(T)) -> Result<Self, StorageError> {
        let found = storage.list()?.into_iter().find(|(name, _)| name == FILE);
        let len = found.map_or(0, |(_, len)| len);
        let mut rest = if len == 0 { Bytes::new() } else { storage.read(FILE, 0, len_usize(len))? };
        while let Some((payload, after)) = unframe(&rest) {
            each(serde_json::from_slice(&payload).map_err(|error| damaged(FILE, &error.to_string()))?);
            rest = after;
        }
        let whole = len - len64(rest.len());
        if whole < len {
            storage.truncate(FILE, whole)?;
        }
        Ok(Self { len: whole, len_when_new: whole, torn: false })
    }

    /// Writes an entry; when this returns, it survives the process.
    ///
    /// # Errors
    /// [`StorageError`]: then the entry is not in the journal.
    pub fn append<T: Serialize>(&mut self, storage: &mut dyn Storage, entry: &T) -> Result<(), StorageError> {
        if self.torn {
            storage.truncate(FILE, self.len)?;
            self.torn = false;
        }
        let framed = frame(FILE, entry)?;
        let grown = self.len + len64(framed.len());
        if let Err(error) = storage.append(FILE, &[framed]) {
            self.torn = storage.truncate(FILE, self.len).is_err();
            return Err(error);
        }
        self.len = grown;
        Ok(())
    }

    /// Whether it has grown enough to be written anew.
    #[must_use]
    pub fn is_overgrown(&self) -> bool {
        self.len > SMALL.max(self.len_when_new.saturating_mul(GROWTH))
    }

    /// Puts these entries in place of all there are.
    ///
    /// # Errors
    /// [`StorageError`]: then the old entries are still there.
    pub fn rewrite<T: Serialize>(&mut self, storage: &mut dyn Storage, entries: &[T]) -> Result<(), StorageError> {
        let frames = entries.iter().map(|entry| frame(FILE, entry)).collect::<Result<Vec<_>, _>>()?;
        // Until it works, do not try again before the journal has grown as much once more.
        self.len_when_new = self.len;
        replace(storage, FILE, &frames)?;
        self.len = frames.iter().map(|frame| len64(frame.len())).sum();
        self.len_when_new = self.len;
        self.torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStorage;
    use super::*;

    fn entries(storage: &MemoryStorage) -> Vec<String> {
        let mut found = Vec::new();
        Journal::open(&mut storage.clone(), |entry: String| found.push(entry)).unwrap();
        found
    }

    #[test]
    fn an_end_torn_at_any_byte_loses_only_what_was_not_acknowledged() {
        let mut storage = MemoryStorage::new();
        let mut journal = Journal::open(&mut storage, |_: String| ()).unwrap();
        journal.append(&mut storage, &"first").unwrap();
        let whole = storage.used();
        journal.append(&mut storage, &"second").unwrap();
        for len in whole..storage.used() {
            let mut torn = storage.copy();
            torn.truncate(FILE, len).unwrap();
            assert_eq!(entries(&torn), ["first"], "cut at {len}");
            let mut again = Journal::open(&mut torn, |_: String| ()).unwrap();
            again.append(&mut torn, &"third").unwrap();
            assert_eq!(entries(&torn), ["first", "third"]);
        }
    }

    #[test]
    fn a_full_disk_leaves_no_half_entry() {
        let mut storage = MemoryStorage::new();
        let mut journal = Journal::open(&mut storage, |_: String| ()).unwrap();
        journal.append(&mut storage, &"first").unwrap();
        storage.set_capacity(Some(storage.used() + 3));
        journal.append(&mut storage, &"second").unwrap_err();
        storage.set_capacity(None);
        journal.append(&mut storage, &"third").unwrap();
        assert_eq!(entries(&storage), ["first", "third"]);
    }

    #[test]
    fn a_rewrite_killed_at_any_byte_leaves_the_old_or_the_new() {
        let mut storage = MemoryStorage::new();
        let mut journal = Journal::open(&mut storage, |_: String| ()).unwrap();
        for entry in ["a", "b", "c"] {
            journal.append(&mut storage, &entry).unwrap();
        }
        for bytes in 0..40 {
            let mut killed = storage.copy();
            let mut journal = Journal::open(&mut killed, |_: String| ()).unwrap();
            killed.kill_after(bytes);
            let done = journal.rewrite(&mut killed, &["abc"]).is_ok();
            killed.revive();
            let found = entries(&killed);
            assert!(found == ["abc"] || (!done && found == ["a", "b", "c"]), "{bytes}: {found:?}");
        }
    }
}
