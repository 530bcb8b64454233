//! Files in memory, shared by whoever reopens them: for tests and the simulation.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::{Storage, StorageError, len_usize, len64};

/// Files in memory. A clone sees the same files, so a broker that is dropped as if it had been killed can be opened again.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<String, File>,
    /// How many bytes all files may hold together.
    capacity: Option<u64>,
    /// How many more bytes are written before the process is dead.
    writes_left: Option<u64>,
    dead: bool,
}

/// A file as the pieces it was written in, each with its start.
#[derive(Debug, Default)]
struct File {
    pieces: Vec<(u64, Bytes)>,
    len: u64,
}

impl MemoryStorage {
    /// No file yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk of this many bytes: a write beyond it is refused after the part that fits. None is endless.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// Kills the process in the middle of a write: after this many more bytes, nothing is written or read any more until
    /// [`MemoryStorage::revive`]. Making, renaming, cutting and removing a file count as one byte each.
    pub fn kill_after(&self, bytes: u64) {
        self.disk().writes_left = Some(bytes);
    }

    /// The next process finds what the killed one had written.
    pub fn revive(&self) {
        let mut disk = self.disk();
        disk.writes_left = None;
        disk.dead = false;
    }

    /// How many more bytes are written until [`MemoryStorage::kill_after`] strikes.
    #[must_use]
    pub fn writes_left(&self) -> Option<u64> {
        self.disk().writes_left
    }

    /// Whether [`MemoryStorage::kill_after`] has struck.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.disk().dead
    }

    /// Bytes in all files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.disk().used()
    }

    /// A copy that shares nothing with this one: for tests that try several ends of one story.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = self.disk();
        let files =
            disk.files.iter().map(|(name, file)| (name.clone(), File { pieces: file.pieces.clone(), len: file.len }));
        let copy = Disk { files: files.collect(), ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(copy)) }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self, action: &'static str, file: &str) -> Result<MutexGuard<'_, Disk>, StorageError> {
        let disk = self.disk();
        if disk.dead { Err(refused(action, file, ErrorKind::BrokenPipe)) } else { Ok(disk) }
    }

    fn step(&self, action: &'static str, file: &str) -> Result<MutexGuard<'_, Disk>, StorageError> {
        let mut disk = self.living(action, file)?;
        if disk.spend(1) == 0 {
            return Err(refused(action, file, ErrorKind::BrokenPipe));
        }
        Ok(disk)
    }
}

impl Storage for MemoryStorage {
    fn list(&mut self) -> Result<Vec<(String, u64)>, StorageError> {
        let disk = self.living("list", "the files")?;
        Ok(disk.files.iter().map(|(name, file)| (name.clone(), file.len)).collect())
    }

    fn append(&mut self, file: &str, parts: &[Bytes]) -> Result<(), StorageError> {
        let mut disk = self.living("write", file)?;
        disk.files.entry(file.to_owned()).or_default();
        for part in parts {
            let wanted = len64(part.len());
            let room = disk.capacity.map_or(wanted, |capacity| wanted.min(capacity.saturating_sub(disk.used())));
            let written = disk.spend(room);
            if let Some(target) = disk.files.get_mut(file) {
                target.append(part.slice(..len_usize(written)));
            }
            if written < wanted {
                let kind = if disk.dead { ErrorKind::BrokenPipe } else { ErrorKind::StorageFull };
                return Err(refused("write", file, kind));
            }
        }
        Ok(())
    }

    fn read(&mut self, file: &str, position: u64, len: usize) -> Result<Bytes, StorageError> {
        let disk = self.living("read", file)?;
        let found = disk.files.get(file).ok_or_else(|| refused("read", file, ErrorKind::NotFound))?;
        Ok(found.read(position, len))
    }

    fn truncate(&mut self, file: &str, len: u64) -> Result<(), StorageError> {
        let mut disk = self.step("cut", file)?;
        if let Some(target) = disk.files.get_mut(file) {
            target.truncate(len);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StorageError> {
        let mut disk = self.step("rename", from)?;
        let moved = disk.files.remove(from).ok_or_else(|| refused("rename", from, ErrorKind::NotFound))?;
        disk.files.insert(to.to_owned(), moved);
        Ok(())
    }

    fn remove(&mut self, file: &str) -> Result<(), StorageError> {
        let mut disk = self.step("remove", file)?;
        disk.files.remove(file);
        Ok(())
    }
}

impl Disk {
    fn used(&self) -> u64 {
        self.files.values().map(|file| file.len).sum()
    }

    /// How much of `wanted` is still written before the process dies.
    fn spend(&mut self, wanted: u64) -> u64 {
        let Some(left) = self.writes_left.as_mut() else { return wanted };
        let spent = wanted.min(*left);
        *left -= spent;
        self.dead = spent < wanted;
        spent
    }
}

impl File {
    fn append(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            let start = self.len;
            self.len += len64(piece.len());
            self.pieces.push((start, piece));
        }
    }

    fn read(&self, position: u64, len: usize) -> Bytes {
        let end = position.saturating_add(len64(len)).min(self.len);
        if position >= end {
            return Bytes::new();
        }
        let first = self.pieces.partition_point(|(start, _)| *start <= position).saturating_sub(1);
        let mut found = BytesMut::new();
        for (start, piece) in self.pieces.iter().skip(first).take_while(|(start, _)| *start < end) {
            let from = len_usize(position.saturating_sub(*start)).min(piece.len());
            let to = len_usize(end - start).min(piece.len());
            if *start <= position && to - from == len_usize(end - position) {
                return piece.slice(from..to);
            }
            if found.is_empty() {
                found.reserve(len_usize(end - position));
            }
            found.extend_from_slice(&piece[from..to]);
        }
        found.freeze()
    }

    fn truncate(&mut self, len: u64) {
        let kept = self.pieces.partition_point(|(start, _)| *start < len);
        self.pieces.truncate(kept);
        if let Some((start, piece)) = self.pieces.last_mut() {
            piece.truncate(len_usize(len - *start));
        }
        self.len = self.len.min(len);
    }
}

fn refused(action: &'static str, file: &str, kind: ErrorKind) -> StorageError {
    StorageError::Io { action, file: file.to_owned(), source: Error::from(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(texts: &[&'static str]) -> Vec<Bytes> {
        texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
    }

    #[test]
    fn reads_across_pieces_and_after_a_cut() {
        let mut storage = MemoryStorage::new();
        storage.append("a", &parts(&["abc", "", "defg"])).unwrap();
        assert_eq!(storage.read("a", 1, 4).unwrap(), "bcde");
        assert_eq!(storage.read("a", 4, 2).unwrap(), "ef");
        storage.truncate("a", 5).unwrap();
        storage.append("a", &parts(&["X"])).unwrap();
        assert_eq!(storage.read("a", 0, 99).unwrap(), "abcdeX");
        assert_eq!(storage.read("a", 6, 1).unwrap(), "");
    }

    #[test]
    fn a_full_disk_keeps_what_fitted_and_a_dead_process_does_nothing() {
        let mut storage = MemoryStorage::new();
        storage.set_capacity(Some(4));
        storage.append("a", &parts(&["abc", "def"])).unwrap_err();
        assert_eq!(storage.read("a", 0, 9).unwrap(), "abcd");
        storage.set_capacity(None);
        storage.kill_after(1);
        storage.append("a", &parts(&["xy"])).unwrap_err();
        storage.read("a", 0, 9).unwrap_err();
        storage.revive();
        assert_eq!(storage.read("a", 0, 9).unwrap(), "abcdx");
    }
}
