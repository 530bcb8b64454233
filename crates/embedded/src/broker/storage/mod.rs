//! Where the broker keeps its data: named files that only grow, and what is built on them.
//!
//! [`Storage`] is the smallest set of operations that a log and a journal need, so that recovery is written once and runs
//! the same over a folder and over the memory of a simulation. Nothing is synced to the disk on each request: what was
//! acknowledged survives the death of the process, not a power cut.

mod batch;
mod compaction;
mod disk;
mod journal;
mod log;
mod memory;
mod producers;
mod records;
mod recovery;
mod segment;

use bytes::Bytes;

pub use batch::{BatchError, BatchHeader, HEADER_LEN, control_batch};
pub use compaction::CompactionPolicy;
pub use disk::DiskStorage;
pub use journal::Journal;
pub use log::{Log, ReadLimits};
pub use memory::MemoryStorage;
pub use producers::{ProducerState, ProducerTable, Sequence};
pub use records::{RawRecord, records};
pub use recovery::open_log;
pub use segment::{AbortedRange, IndexEntry};

/// Why something could not be kept or found again.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system, or the simulation, refused.
    #[error("WL-7095: cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Name of the file, as the broker names it.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// What is there is not what was written.
    #[error("WL-7096: {file} is damaged: {reason}")]
    Damaged {
        /// Name of the file, as the broker names it.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Named files that only grow. A name may hold one `/`; everything before it is a folder that comes and goes by itself.
///
/// A write that returned survives the death of the process. A write that failed may have left a part: whoever wrote cuts it
/// off with [`Storage::truncate`].
pub trait Storage: Send + std::fmt::Debug {
    /// Every file and its length in bytes, in the order of their names.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    fn list(&mut self) -> Result<Vec<(String, u64)>, StorageError>;

    /// Writes the parts one after the other at the end of the file, in one go; makes the file when it is not there.
    ///
    /// # Errors
    /// [`StorageError::Io`]; a part of it may have been written.
    fn append(&mut self, file: &str, parts: &[Bytes]) -> Result<(), StorageError>;

    /// Reads up to `len` bytes from `position`; less where the file ends.
    ///
    /// # Errors
    /// [`StorageError::Io`], also when there is no such file.
    fn read(&mut self, file: &str, position: u64, len: usize) -> Result<Bytes, StorageError>;

    /// Cuts the file to `len` bytes. A file that is not there is as good as cut.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    fn truncate(&mut self, file: &str, len: u64) -> Result<(), StorageError>;

    /// Gives a file another name; what had that name is gone. Either happens whole or not at all.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    fn rename(&mut self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Removes a file. One that is not there is as good as removed.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    fn remove(&mut self, file: &str) -> Result<(), StorageError>;
}

/// Writes a whole file in place of whatever has its name: either the old or the new one is there, never a part.
///
/// # Errors
/// [`StorageError::Io`].
pub fn replace(storage: &mut dyn Storage, file: &str, parts: &[Bytes]) -> Result<(), StorageError> {
    let temporary = format!("{file}.new");
    storage.remove(&temporary)?;
    storage.append(&temporary, parts)?;
    storage.rename(&temporary, file)
}

/// Length as the storage counts.
pub(crate) fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Length as memory counts.
pub(crate) fn len_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
