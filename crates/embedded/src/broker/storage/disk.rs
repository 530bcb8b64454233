//! Files in a folder.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Storage, StorageError, len64};

/// Files that are kept open. Far below the limit of a process, and enough for what is written at one time.
const OPEN_MAX: usize = 256;

/// Says that a process uses the folder; held locked as long as the storage lives.
const LOCK: &str = "lock";

/// Files in a folder, which belongs to this process as long as the storage lives.
#[derive(Debug)]
pub struct DiskStorage {
    folder: PathBuf,
    open: HashMap<String, Open>,
    /// Counts uses, to close the file that was used least lately.
    uses: u64,
    _lock: File,
}

#[derive(Debug)]
struct Open {
    file: File,
    used: u64,
}

impl DiskStorage {
    /// Opens a folder, and makes it when it is not there.
    ///
    /// # Errors
    /// [`StorageError::Io`], also when another process uses the folder.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        let failed = |action, source| StorageError::Io { action, file: folder.display().to_string(), source };
        fs::create_dir_all(folder).map_err(|source| failed("make the folder", source))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(LOCK));
        let lock = lock.map_err(|source| failed("lock the folder", source))?;
        lock.try_lock().map_err(|error| failed("lock the folder", error.into()))?;
        Ok(Self { folder: folder.to_owned(), open: HashMap::new(), uses: 0, _lock: lock })
    }

    fn file(&mut self, name: &str, make: bool) -> std::io::Result<&mut File> {
        self.uses += 1;
        if !self.open.contains_key(name) {
            if self.open.len() >= OPEN_MAX {
                let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(name, _)| name.clone());
                self.open.remove(&oldest.unwrap_or_default());
            }
            let path = self.folder.join(name);
            let file = open(&path, make)?;
            self.open.insert(name.to_owned(), Open { file, used: 0 });
        }
        let open = self.open.get_mut(name).ok_or(ErrorKind::NotFound)?;
        open.used = self.uses;
        Ok(&mut open.file)
    }

    /// The folder of a partition goes with its last file.
    fn remove_folder_of(&self, name: &str) {
        if let Some((folder, _)) = name.split_once('/') {
            // Refused while there is a file in it.
            let _ = fs::remove_dir(self.folder.join(folder));
        }
    }
}

impl Storage for DiskStorage {
    fn list(&mut self) -> Result<Vec<(String, u64)>, StorageError> {
        let mut files = Vec::new();
        list(&self.folder, "", &mut files).map_err(|source| io("list", "the files", source))?;
        files.retain(|(name, _)| name != LOCK);
        files.sort_unstable();
        Ok(files)
    }

    fn append(&mut self, name: &str, parts: &[Bytes]) -> Result<(), StorageError> {
        let written = self.file(name, true).and_then(|file| write_all(file, parts));
        written.map_err(|source| io("write", name, source))
    }

    fn read(&mut self, name: &str, position: u64, len: usize) -> Result<Bytes, StorageError> {
        let read = self.file(name, false).and_then(|file| read_at(file, position, len));
        read.map_err(|source| io("read", name, source))
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StorageError> {
        let cut = self.file(name, false).and_then(|file| {
            // Never longer: that would fill the file with zeros.
            if file.metadata()?.len() > len { file.set_len(len) } else { Ok(()) }
        });
        absent_is_fine(cut).map_err(|source| io("cut", name, source))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StorageError> {
        self.open.remove(from);
        self.open.remove(to);
        fs::rename(self.folder.join(from), self.folder.join(to)).map_err(|source| io("rename", from, source))
    }

    fn remove(&mut self, name: &str) -> Result<(), StorageError> {
        self.open.remove(name);
        absent_is_fine(fs::remove_file(self.folder.join(name))).map_err(|source| io("remove", name, source))?;
        self.remove_folder_of(name);
        Ok(())
    }
}

fn open(path: &Path, make: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(make);
    match options.open(path) {
        Err(error) if make && error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            options.open(path)
        }
        other => other,
    }
}

/// Writes all parts; in one call as long as the system takes them.
fn write_all(file: &mut File, parts: &[Bytes]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_at(file: &mut File, position: u64, len: usize) -> std::io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(len);
    file.seek(SeekFrom::Start(position))?;
    file.take(len64(len)).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, u64)>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            files.push((format!("{prefix}{name}"), metadata.len()));
        } else if prefix.is_empty() {
            list(&entry.path(), &format!("{name}/"), files)?;
        }
    }
    Ok(())
}

fn absent_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn io(action: &'static str, file: &str, source: std::io::Error) -> StorageError {
    StorageError::Io { action, file: file.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStorage;
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Append(u8, Vec<Vec<u8>>),
        Read(u8, u64, usize),
        Truncate(u8, u64),
        Rename(u8, u8),
        Remove(u8),
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        let file = 0..4_u8;
        prop_oneof![
            4 => (file.clone(), proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..5))
                .prop_map(|(file, parts)| Step::Append(file, parts)),
            3 => (file.clone(), 0..200_u64, 0..200_usize).prop_map(|(file, at, len)| Step::Read(file, at, len)),
            1 => (file.clone(), 0..200_u64).prop_map(|(file, len)| Step::Truncate(file, len)),
            1 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
            1 => file.prop_map(Step::Remove),
            1 => Just(Step::Reopen),
        ]
    }

    fn name(file: u8) -> String {
        if file.is_multiple_of(2) { format!("folder-{}/file", file) } else { format!("file-{file}") }
    }

    fn apply(storage: &mut dyn Storage, step: &Step) -> (Option<Bytes>, bool, Vec<(String, u64)>) {
        let (read, fine) = match step {
            Step::Append(file, parts) => {
                let parts: Vec<Bytes> = parts.iter().cloned().map(Bytes::from).collect();
                (None, storage.append(&name(*file), &parts).is_ok())
            }
            Step::Read(file, at, len) => match storage.read(&name(*file), *at, *len) {
                Ok(bytes) => (Some(bytes), true),
                Err(_) => (None, false),
            },
            Step::Truncate(file, len) => (None, storage.truncate(&name(*file), *len).is_ok()),
            Step::Rename(from, to) if from % 2 == to % 2 && from != to && from % 2 == 1 => {
                (None, storage.rename(&name(*from), &name(*to)).is_ok())
            }
            Step::Rename(..) | Step::Reopen => (None, true),
            Step::Remove(file) => (None, storage.remove(&name(*file)).is_ok()),
        };
        (read, fine, storage.list().unwrap())
    }

    proptest! {
        #[test]
        fn a_folder_does_as_memory_does(steps in proptest::collection::vec(step(), 1..60)) {
            let folder = tempfile::tempdir().unwrap();
            let mut memory = MemoryStorage::new();
            let mut disk = DiskStorage::open(folder.path()).unwrap();
            for step in &steps {
                if matches!(step, Step::Reopen) {
                    drop(disk);
                    disk = DiskStorage::open(folder.path()).unwrap();
                }
                prop_assert_eq!(apply(&mut disk, step), apply(&mut memory, step), "{:?}", step);
            }
        }
    }

    #[test]
    fn a_folder_belongs_to_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DiskStorage::open(folder.path()).unwrap();
        DiskStorage::open(folder.path()).unwrap_err();
        drop(first);
        DiskStorage::open(folder.path()).unwrap();
    }

    #[test]
    fn more_files_than_are_kept_open() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = DiskStorage::open(folder.path()).unwrap();
        for round in 0..2_u8 {
            for n in 0..OPEN_MAX + 10 {
                disk.append(&format!("f{n}"), &[Bytes::from(vec![round])]).unwrap();
            }
        }
        assert_eq!(disk.read("f0", 0, 9).unwrap(), &[0, 1][..]);
        assert!(disk.open.len() <= OPEN_MAX);
    }
}
