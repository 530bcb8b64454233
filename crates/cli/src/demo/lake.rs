//! Counts the rows of the Parquet files.

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Rows in all Parquet files below a directory; 0 when it does not exist.
pub fn rows(directory: &Path) -> io::Result<u64> {
    if !directory.exists() {
        return Ok(0);
    }
    let mut rows = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            rows += self::rows(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            let reader = SerializedFileReader::new(File::open(&path)?).map_err(io::Error::other)?;
            rows += u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
        }
    }
    Ok(rows)
}
