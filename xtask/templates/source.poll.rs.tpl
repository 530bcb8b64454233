//! The loop: a file, its events, their confirmation, the next file.

use runtime::outgoing::Lineage;
use runtime::publisher::Publisher;
use runtime::{RoomContext, RoomError};
use schemas::topics;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{NAME, @Type@Config};

/// Runs until the stop is asked for.
pub(crate) async fn run(context: RoomContext) -> Result<(), RoomError> {
    let config: @Type@Config = context.config.room(NAME)?;
    let publisher =
        Publisher::connect(&context.config, context.codec.clone(), &[topics::@WRITES@.info()]).await?;
    context.health.ready();
    while !context.shutdown.requested() {
        for file in waiting(&config.folder).await {
            publish(&publisher, &file).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(config.poll_ms)) => {}
            () = context.shutdown.wait() => {}
        }
    }
    Ok(())
}

/// Files that end with `.txt`, in the order of their names. A folder that is not there yet has none.
async fn waiting(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if let Ok(mut entries) = tokio::fs::read_dir(folder).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            files.extend(Some(entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "txt")));
        }
    }
    files.sort();
    files
}

async fn publish(publisher: &Publisher, file: &Path) -> Result<(), RoomError> {
    let unusable = |error: std::io::Error| RoomError::Room(format!("{}: {error}", file.display()));
    let text = tokio::fs::read_to_string(file).await.map_err(unusable)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut records = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        records.push(publisher.event(&crate::event(&name, line), &Lineage::default())?);
    }
    publisher.publish(&records).await?;
    tokio::fs::rename(file, file.with_extension("done")).await.map_err(unusable)
}
