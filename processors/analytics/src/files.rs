//! Files of a partition: written beside, made durable, then renamed, so that a reader sees a whole file or none.

use arrow_array::{Array as _, Int64Array, RecordBatch};
use connector::sink::SinkError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Start of the name of a file that is being written.
const UNFINISHED: &str = ".unfinished-";
/// Column with the offset of a row's record.
const OFFSET: &str = "offset";
/// End of the name of a finished file.
const FINISHED: &str = ".parquet";

/// Removes what was never committed, and what is to be written anew because somebody has set the offset back: afterwards each
/// offset before `next_offset` is in one file at most, and none from there on is in any. Returns the offset from which records
/// are wanted.
pub(crate) fn take_over(directory: &Path, topic: &str, partition: i32, next_offset: i64) -> Result<i64, SinkError> {
    let place = partition_directory(directory, topic, partition);
    let failed = |source: io::Error| SinkError::Io { place: place.display().to_string(), source };
    fs::create_dir_all(&place).map_err(failed)?;
    let mut finished = Vec::new();
    for entry in fs::read_dir(&place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match offsets_of(&name) {
            Some((first, last)) if first < next_offset => finished.push((first, last, entry.path())),
            None if !name.starts_with(UNFINISHED) => {} // Files of other people are left alone.
            _ => {
                tracing::info!(topic, partition, file = &*name, "removed a file that was never committed");
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
    }
    // A member that was thrown out of the group while it wrote has left a file whose records its successor wrote again.
    finished.sort_by_key(|(first, last, _)| (*first, std::cmp::Reverse(*last)));
    let (mut free, mut cuts) = (i64::MIN, Vec::new());
    for (first, last, path) in finished {
        let wanted = first.max(free)..(last + 1).min(next_offset);
        free = free.max(wanted.end);
        if wanted.is_empty() {
            tracing::info!(topic, partition, first, last, "removed a file whose rows are in another one");
            fs::remove_file(&path).map_err(failed)?;
        } else if wanted != (first..last + 1) {
            cuts.push((path, wanted));
        }
    }
    // Afterwards, because what is left of a file may have the name of one that was removed.
    for (path, wanted) in cuts {
        tracing::info!(topic, partition, from = wanted.start, until = wanted.end, "rows are written anew: cut a file");
        cut(&place, &path, wanted)?;
    }
    sync(&place).map_err(failed)?;
    Ok(next_offset)
}

/// Writes one file with these rows, from the first to the last offset.
pub(crate) fn write(
    directory: &Path,
    topic: &str,
    partition: i32,
    offsets: (i64, i64),
    rows: &RecordBatch,
) -> Result<(), SinkError> {
    let place = partition_directory(directory, topic, partition);
    put(&place, offsets, std::slice::from_ref(rows))
}

/// Writes a file, or none when there are no rows.
fn put(place: &Path, (first, last): (i64, i64), rows: &[RecordBatch]) -> Result<(), SinkError> {
    let Some(schema) = rows.first().map(RecordBatch::schema) else { return Ok(()) };
    let name = format!("{first:020}-{last:020}{FINISHED}");
    let failed = |source: io::Error| SinkError::Io { place: place.join(&name).display().to_string(), source };
    fs::create_dir_all(place).map_err(failed)?;
    let unfinished = place.join(format!("{UNFINISHED}{name}"));
    let file = File::create(&unfinished).map_err(failed)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let written = ArrowWriter::try_new(&file, schema, Some(properties)).and_then(|mut writer| {
        rows.iter().try_for_each(|rows| writer.write(rows))?;
        writer.close().map(drop)
    });
    written.map_err(|error| match error {
        ParquetError::External(source) => failed(io::Error::other(source)),
        error => SinkError::Encode { place: name.clone(), reason: error.to_string() },
    })?;
    file.sync_all().map_err(failed)?;
    fs::rename(&unfinished, place.join(&name)).map_err(failed)?;
    sync(place).map_err(failed)
}

/// Leaves in a file only the rows with these offsets. The rest stands in a file of its own before the whole one goes: after a
/// crash between the two, the next takeover cuts again.
fn cut(place: &Path, path: &Path, wanted: Range<i64>) -> Result<(), SinkError> {
    let failed = |source: io::Error| SinkError::Io { place: path.display().to_string(), source };
    let unreadable = |reason: String| SinkError::Encode { place: path.display().to_string(), reason };
    let file = File::open(path).map_err(failed)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
    let (mut kept, mut ends) = (Vec::new(), None);
    for rows in reader.map_err(|error| unreadable(error.to_string()))? {
        let rows = rows.map_err(|error| unreadable(error.to_string()))?;
        let offsets = rows.column_by_name(OFFSET).and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let offsets = offsets.ok_or_else(|| unreadable("it has no offsets".to_owned()))?.values();
        // Rows stand in the order of their offsets.
        let from = offsets.partition_point(|offset| *offset < wanted.start);
        let until = offsets.partition_point(|offset| *offset < wanted.end);
        if let Some([first, ..]) = offsets.get(from..until)
            && let Some(last) = until.checked_sub(1).and_then(|place| offsets.get(place))
        {
            ends = Some((ends.map_or(*first, |(first, _)| first), *last));
            kept.push(rows.slice(from, until - from));
        }
    }
    if let Some(ends) = ends {
        put(place, ends, &kept)?;
    }
    fs::remove_file(path).map_err(failed)
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
