//! A directory as a source: a file is read when it has stopped growing, published, and moved when Kafka has confirmed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use runtime::Shutdown;
use schemas::Timestamp;

use super::intake::Intake;
use super::listener::SourceError;
use super::siblings::Wait;
use crate::config::DirectoryConfig;
use crate::input::{Part, read_file};
use crate::mapping::{Refusal, read_stray};

/// Size and time of change: a file that has both unchanged since the last look is complete.
type Stamp = (u64, Option<SystemTime>);

/// Watches a directory.
pub struct Directory {
    config: DirectoryConfig,
    intake: Arc<Intake>,
    max_frame_bytes: usize,
    seen: HashMap<PathBuf, Stamp>,
}

impl Directory {
    /// Creates `done/` and `failed/` below it.
    pub fn open(config: DirectoryConfig, intake: Arc<Intake>, max_frame_bytes: usize) -> Result<Self, SourceError> {
        for name in ["done", "failed"] {
            let path = config.path.join(name);
            std::fs::create_dir_all(&path).map_err(|source| SourceError::Directory { path, source })?;
        }
        Ok(Self { config, intake, max_frame_bytes, seen: HashMap::new() })
    }

    /// Works until the stop is asked for; finishes the file at hand.
    pub async fn run(mut self, shutdown: Shutdown) {
        while !shutdown.requested() {
            for path in self.complete_files() {
                if shutdown.requested() {
                    return;
                }
                self.publish(&path).await;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(self.config.poll_ms.max(10))) => {}
                () = shutdown.wait() => {}
            }
        }
    }

    /// Files that did not change since the last look, in the order of their names.
    fn complete_files(&mut self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.config.path) else {
            tracing::warn!(path = %self.config.path.display(), "the directory cannot be read");
            return Vec::new();
        };
        let mut stamps = HashMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(metadata) = entry.metadata() else { continue };
            let passing = name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part");
            if metadata.is_file() && !passing {
                stamps.insert(entry.path(), (metadata.len(), metadata.modified().ok()));
            }
        }
        let before = std::mem::replace(&mut self.seen, stamps);
        let mut complete: Vec<PathBuf> = self
            .seen
            .iter()
            .filter(|(path, stamp)| before.get(*path) == Some(stamp))
            .map(|(path, _)| path.clone())
            .collect();
        complete.sort();
        complete
    }

    /// Publishes a file. It stays where it is, for the next look, if Kafka does not confirm all of it.
    async fn publish(&mut self, path: &Path) {
        let now = Timestamp::from_micros(runtime::clock::now_micros());
        let origin: Arc<str> = format!("file {}", path.file_name().unwrap_or_default().to_string_lossy()).into();
        let parts = match self.read(path, now).await {
            Ok(parts) => parts,
            Err(error) => {
                tracing::warn!(origin = &*origin, %error, "the file cannot be read; it is tried again");
                return;
            }
        };
        // Places are taken in the order of the file before the first is awaited.
        let take = |part| self.intake.take(part, &origin, now, Wait::nothing());
        let settling: Vec<_> = parts.into_iter().map(take).collect();
        let origin = &*origin;
        let (mut confirmed, mut needs_person) = (true, false);
        let count = settling.len();
        for one in settling {
            let taken = one.await;
            confirmed &= taken.confirmed;
            needs_person |= taken.needs_person;
        }
        if !confirmed {
            tracing::warn!(origin, "not all of the file was confirmed; it is published again, known messages left out");
            return;
        }
        let folder = if needs_person { "failed" } else { "done" };
        match move_into(path, &self.config.path.join(folder)) {
            Ok(()) => tracing::info!(origin, messages = count, folder, "file published"),
            // It is read again at the next look; its messages are known then and nothing is published twice.
            Err(error) => tracing::warn!(origin, %error, "the file cannot be moved"),
        }
        self.seen.remove(path);
    }

    async fn read(&self, path: &Path, now: Timestamp) -> std::io::Result<Vec<Part>> {
        let size = tokio::fs::metadata(path).await?.len();
        if size > self.config.max_file_bytes {
            let bytes = format!("file of {size} bytes").into_bytes();
            let reading = read_stray(
                &bytes,
                Refusal::oversize_frame(usize::try_from(self.config.max_file_bytes).unwrap_or(usize::MAX)),
            );
            return Ok(vec![Part { bytes, reading, warnings: Vec::new() }]);
        }
        let bytes = tokio::fs::read(path).await?;
        Ok(read_file(&bytes, &self.intake.mapper, self.max_frame_bytes, now))
    }
}

/// Moves a file, under another name if the folder has one of that name already.
fn move_into(path: &Path, folder: &Path) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = |number: u32| folder.join(if number == 0 { name.clone() } else { format!("{name}.{number}") });
    let target = (0..u32::MAX).map(free).find(|target| !target.exists());
    std::fs::rename(path, target.unwrap_or_else(|| folder.join(&name)))
}
