//! The folder in which the embedded parts keep their data: used by one process at a time.

use crate::Failure;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// The file that is locked while the folder is in use. The lock ends with the process, however it ends.
const LOCK: &str = "lock";

/// A folder that this process has to itself until this is dropped.
#[derive(Debug)]
pub struct Folder {
    _lock: File,
}

impl Folder {
    /// Makes the folder when it is not there, and takes it.
    pub fn take(path: &Path) -> Result<Self, Failure> {
        let refused = |error: std::io::Error| {
            Failure::new(
                format!("WL-7062: cannot use the folder {}: {error}", path.display()),
                "name a folder that can be written with --data",
            )
        };
        std::fs::create_dir_all(path).map_err(refused)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK)).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                format!("WL-7055: another process works in the folder {}", path.display()),
                "stop it, or name another folder with --data",
            )),
            Err(TryLockError::Error(error)) => Err(refused(error)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once() {
        let path = std::env::temp_dir().join(format!("wardline-folder-{}", std::process::id()));
        let first = Folder::take(&path).unwrap();
        assert!(Folder::take(&path).unwrap_err().to_string().contains("WL-7055"));
        drop(first);
        drop(Folder::take(&path).unwrap());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
