//! What `analytics` has written.

use parquet::file::reader::SerializedFileReader;
use parquet::record::RowAccessor;
use parquet::record::reader::RowIter;
use std::path::Path;

/// The topic of the rows that are read.
const TOPIC: &str = "supply.usage-enriched.v1";

/// Event ids of all rows of the usages, one for each row.
pub fn rows(lake: &Path) -> Vec<String> {
    let inside = |folder: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let files = inside(&lake.join(TOPIC)).into_iter().flat_map(|partition| inside(&partition));
    let finished = files.filter(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    // A file of the room may be renamed between the listing and the reading.
    let readable = finished.filter_map(|path| SerializedFileReader::try_from(path.as_path()).ok());
    let ids = |file| RowIter::from_file_into(Box::new(file)).map(|row| row.unwrap().get_string(3).unwrap().clone());
    readable.flat_map(ids).collect()
}
