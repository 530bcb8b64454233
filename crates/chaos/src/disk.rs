//! A disk of its own for what a room keeps locally, small enough to be filled.

use anyhow::{Context, Result, bail};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Its size; the lake of a long run takes a small part of it.
const SIZE_MB: u32 = 128;
const BLOCK: usize = 64 * 1_024;

/// A file system in memory over a folder. Goes when this is dropped, or when the harness ends however it ends.
pub struct Disk {
    folder: PathBuf,
    guard: Child,
}

impl Disk {
    /// Mounts it over a folder that is there.
    ///
    /// # Errors
    /// When this user may not mount.
    pub fn mount(folder: &Path) -> Result<Self> {
        let options = format!("size={SIZE_MB}m,mode=0755");
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "wardline-chaos"]).arg(folder).output()?;
        if !output.status.success() {
            bail!(
                "a disk that can be filled needs the right to mount one ({}): run as root, or leave it out with `--without \
                 fill-disk`",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let mut guard = Command::new("sh");
        guard.args(["-c", "cat; umount -l -- \"$1\"", "guard"]).arg(folder).stdin(Stdio::piped());
        let guard = guard.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { folder: folder.to_owned(), guard })
    }

    /// Fills it to the last byte; tells by how much.
    ///
    /// # Errors
    /// When it fails for another reason than that it is full.
    pub fn fill(&self) -> Result<u64> {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.ballast())?;
        let mut filled = 0;
        let mut size = BLOCK;
        while size > 0 {
            match ballast.write(vec![0; BLOCK].get(..size).unwrap_or_default()) {
                Ok(0) => size /= 2,
                Ok(written) => filled += u64::try_from(written)?,
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => return Err(error).context("fill the disk"),
            }
        }
        Ok(filled)
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When what fills it cannot be removed.
    pub fn free(&self) -> Result<()> {
        match std::fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("free the disk"),
            _ => Ok(()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join(".ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The end of its input makes the guard unmount.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
