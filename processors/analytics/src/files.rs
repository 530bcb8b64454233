//! Files of a partition: written beside, made durable, then renamed, so that a reader sees a whole file or none.

use arrow_array::RecordBatch;
use connector::sink::SinkError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Start of the name of a file that is being written.
const UNFINISHED: &str = ".unfinished-";
/// End of the name of a finished file.
const FINISHED: &str = ".parquet";

/// Removes what was never committed. Returns the offset from which records are wanted.
pub(crate) fn take_over(directory: &Path, topic: &str, partition: i32, next_offset: i64) -> Result<i64, SinkError> {
    let place = partition_directory(directory, topic, partition);
    let failed = |source: io::Error| SinkError::Io { place: place.display().to_string(), source };
    fs::create_dir_all(&place).map_err(failed)?;
    let mut wanted = next_offset;
    for entry in fs::read_dir(&place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let leftover = name.starts_with(UNFINISHED)
            || match offsets_of(&name) {
                Some((first, _)) if first >= next_offset => true,
                Some((_, last)) => {
                    wanted = wanted.max(last + 1);
                    false
                }
                // Files of other people are left alone.
                None => false,
            };
        if leftover {
            tracing::info!(topic, partition, file = &*name, "removed a file that was never committed");
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    sync(&place).map_err(failed)?;
    Ok(wanted)
}

/// Writes one file with these rows, from the first to the last offset.
pub(crate) fn write(
    directory: &Path,
    topic: &str,
    partition: i32,
    (first, last): (i64, i64),
    rows: &RecordBatch,
) -> Result<(), SinkError> {
    let place = partition_directory(directory, topic, partition);
    let name = format!("{first:020}-{last:020}{FINISHED}");
    let failed = |source: io::Error| SinkError::Io { place: place.join(&name).display().to_string(), source };
    fs::create_dir_all(&place).map_err(failed)?;
    let unfinished = place.join(format!("{UNFINISHED}{name}"));
    let file = File::create(&unfinished).map_err(failed)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let written = ArrowWriter::try_new(&file, rows.schema(), Some(properties)).and_then(|mut writer| {
        writer.write(rows)?;
        writer.close().map(drop)
    });
    written.map_err(|error| match error {
        parquet::errors::ParquetError::External(source) => failed(io::Error::other(source)),
        error => SinkError::Encode { place: name.clone(), reason: error.to_string() },
    })?;
    file.sync_all().map_err(failed)?;
    fs::rename(&unfinished, place.join(&name)).map_err(failed)?;
    sync(&place).map_err(failed)
}

fn partition_directory(directory: &Path, topic: &str, partition: i32) -> PathBuf {
    directory.join(topic).join(format!("p{partition}"))
}

/// First and last offset of a finished file.
fn offsets_of(name: &str) -> Option<(i64, i64)> {
    let (first, last) = name.strip_suffix(FINISHED)?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// A rename is durable only when its directory is.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
