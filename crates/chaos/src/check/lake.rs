//! Reads the lake: the rows that analytics wrote, with a reader of its own.

use anyhow::{Context, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use std::path::Path;

/// A row, by the record that it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeRow {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Everything in it, as text.
    pub text: String,
}

/// All rows of all files below a folder.
///
/// # Errors
/// When a file cannot be read: a file with that ending is complete.
pub fn rows(folder: &Path) -> Result<Vec<LakeRow>> {
    let mut rows = Vec::new();
    visit(folder, &mut rows)?;
    Ok(rows)
}

fn visit(folder: &Path, rows: &mut Vec<LakeRow>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, rows)?;
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            let named = || path.display().to_string();
            // A take-over may remove a file between the look and the reading; then its rows are in another one.
            let file = match std::fs::File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(named),
            };
            let reader = SerializedFileReader::new(file).with_context(named)?;
            for row in reader.get_row_iter(None).with_context(named)? {
                rows.extend(lake_row(&row.with_context(named)?));
            }
        }
    }
    Ok(())
}

fn lake_row(row: &Row) -> Option<LakeRow> {
    let field = |wanted: &str| row.get_column_iter().find(|(name, _)| *name == wanted).map(|(_, field)| field);
    match (field("topic")?, field("partition")?, field("offset")?) {
        (Field::Str(topic), Field::Int(partition), Field::Long(offset)) => {
            Some(LakeRow { topic: topic.clone(), partition: *partition, offset: *offset, text: row.to_string() })
        }
        _ => None,
    }
}
