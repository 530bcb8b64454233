//! The side of a table that the runtime fills, writes down and reads back.

use super::row::Row;
use crate::Subject;
use schemas::TopicInfo;
use schemas::codec::{CodecError, WriterSchema};
use std::sync::Arc;

/// The side of a table that the runtime writes to. One thread at a time writes.
pub trait TableFeed: Send + Sync {
    /// The compacted topic behind the table.
    fn topic(&self) -> &'static TopicInfo;

    /// Applies one record; no body is a deletion. Returns every subject under which waiting events may look for it.
    ///
    /// # Errors
    /// When the key or body cannot be decoded, or the table is full.
    fn apply(&self, key: &[u8], body: Option<Body<'_>>) -> Result<Vec<Subject>, FeedError>;

    /// As [`TableFeed::apply`], while nobody waits for anything yet.
    ///
    /// # Errors
    /// As [`TableFeed::apply`].
    fn fill(&self, key: &[u8], body: Option<Body<'_>>) -> Result<(), FeedError> {
        self.apply(key, body).map(drop)
    }

    /// Number of records held.
    fn rows(&self) -> usize;

    /// The table as it can be put into a snapshot and read back; none when it holds anything but records of its topic.
    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }
}

/// A table that can be written down and read back.
pub trait Snapshots {
    /// All that is in the table now.
    fn image(&self) -> Image;

    /// The contract that records are decoded with, as JSON. Rows were looked at with this one, and with no other.
    ///
    /// # Errors
    /// When the contract that is built in does not compile.
    fn contract(&self) -> Result<&'static str, CodecError>;

    /// Empties the table, and names the schemas that the rows were written with, in the order of [`Image::writers`].
    ///
    /// # Errors
    /// When they are no schemas.
    fn begin(&self, writers: &[String]) -> Result<(), CodecError>;

    /// Puts one row back. Its bytes are those of [`Row::bytes`]; the caller vouches that they are unchanged.
    ///
    /// # Errors
    /// When they are not those of a row, or the table is full.
    fn restore(&self, row: &[u8]) -> Result<(), FeedError>;

    /// Empties the table.
    fn clear(&self);
}

/// What a table held at one moment.
#[derive(Debug)]
pub struct Image {
    /// The schemas that rows were written with, as JSON, beside the contract.
    pub writers: Vec<String>,
    /// The rows, in no order.
    pub rows: Vec<Row>,
}

/// The body of a record and the schema that it was written with.
pub type Body<'a> = (&'a Arc<WriterSchema>, &'a [u8]);

/// Why a record could not enter a table.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The key is not UTF-8.
    #[error("the key is not UTF-8")]
    Key,
    /// The body does not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The bound of the table is reached (BND-1).
    #[error("the table holds its maximum of {rows_max} records: raise limits.table_rows_max")]
    Full {
        /// The bound.
        rows_max: usize,
    },
}
