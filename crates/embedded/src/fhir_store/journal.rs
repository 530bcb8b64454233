//! The file that the store is: a line for each commit, written through to the disk before it is acknowledged.
//!
//! A kill in the middle of a write leaves a last line without its end, which was never acknowledged: it is cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Name of the file in the data folder.
const FILE: &str = "fhir.jsonl";

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Bytes up to the end of the last whole line.
    length: u64,
    /// A write failed and could not be taken back.
    broken: bool,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct JournalError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, one sentence.
    pub reason: String,
}

impl Journal {
    /// Opens the file in a folder, which is made when it is missing, and gives every whole line to `read`.
    pub(super) fn open(folder: &Path, mut read: impl FnMut(&str) -> Result<(), String>) -> Result<Self, JournalError> {
        let path = folder.join(FILE);
        let failed = |reason: String| JournalError { path: path.clone(), reason };
        let io = |error: std::io::Error| failed(error.to_string());
        std::fs::create_dir_all(folder).map_err(io)?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(io)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => failed("another process uses it".to_owned()),
            TryLockError::Error(error) => io(error),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for (number, line) in (1..).zip(bytes.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n')) {
            let line = std::str::from_utf8(line).map_err(|error| error.to_string());
            line.and_then(|line| read(line.trim_end())).map_err(|reason| failed(format!("line {number}: {reason}")))?;
        }
        let length = u64::try_from(whole).unwrap_or(u64::MAX);
        if whole < bytes.len() {
            tracing::warn!(cut = bytes.len() - whole, "the last write was not finished and is cut off");
            file.set_len(length).map_err(io)?;
        }
        file.seek(SeekFrom::Start(length)).map_err(io)?;
        Ok(Self { file, length, broken: false })
    }

    /// Writes a line, and returns when it is on the disk. After an error nothing of it is there.
    pub(super) fn append(&mut self, line: &str) -> Result<(), String> {
        if self.broken {
            return Err("an earlier write failed and could not be taken back".to_owned());
        }
        let written = self.file.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            let undone = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            self.broken = undone.is_err();
            return Err(error.to_string());
        }
        self.length = self.length.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX)).saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(folder: &Path) -> Result<(Journal, Vec<String>), JournalError> {
        let mut lines = Vec::new();
        let journal = Journal::open(folder, |line| {
            lines.push(line.to_owned());
            if line == "bad" { Err("no good".to_owned()) } else { Ok(()) }
        })?;
        Ok((journal, lines))
    }

    #[test]
    fn what_was_written_is_there_after_a_kill_at_any_byte() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = lines(folder.path()).unwrap();
        journal.append("one").unwrap();
        journal.append("two").unwrap();
        drop(journal);
        let bytes = std::fs::read(folder.path().join(FILE)).unwrap();
        for cut in 0..=bytes.len() {
            std::fs::write(folder.path().join(FILE), &bytes[..cut]).unwrap();
            let (mut journal, before) = lines(folder.path()).unwrap();
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(before, &["one", "two"][..whole]);
            journal.append("three").unwrap();
            drop(journal);
            assert_eq!(lines(folder.path()).unwrap().1.last().unwrap(), "three");
        }
    }

    #[test]
    fn a_bad_line_stops_the_start_and_a_second_process_too() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = lines(folder.path()).unwrap();
        assert!(lines(folder.path()).unwrap_err().to_string().contains("another process"));
        journal.append("bad").unwrap();
        drop(journal);
        assert!(lines(folder.path()).unwrap_err().to_string().contains("line 1: no good"));
    }
}
