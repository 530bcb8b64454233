//! Writing batches of events to a place outside Kafka that takes whole files: a lake, an archive.
//!
//! ```text
//! assigned partition -> begin(offset) -> [gather -> write -> commit offset] ...
//! ```
//! A batch is written before its offset is committed, so a crash between the two leaves a file whose records will be read
//! again. `begin` removes such leftovers: what is there afterwards is exactly what lies before the returned offset, and a
//! re-load writes every record once (FX-1).

use processor::Input;
use std::time::Duration;

/// A place that takes batches of events of one partition.
pub trait BatchSink: Send + Sync + 'static {
    /// What it takes.
    type Input: Input;

    /// How much is gathered before a write.
    fn bounds(&self) -> BatchBounds;

    /// Takes over a partition. `next_offset` is the committed offset: what was written from there on was never committed
    /// and is removed. Returns the offset from which records are wanted; it is larger than `next_offset` when an earlier
    /// batch reaches beyond it (somebody has set the offset back).
    ///
    /// # Errors
    /// When the place cannot be read or changed.
    fn begin(&self, topic: &str, partition: i32, next_offset: i64) -> Result<i64, SinkError>;

    /// Makes the records durable, all or none. They are of one partition, in offset order, and not empty.
    ///
    /// # Errors
    /// When the place cannot take them; nothing of them is visible then.
    fn write(&self, topic: &str, partition: i32, records: &[SinkRecord<Self::Input>]) -> Result<(), SinkError>;
}

/// How much is gathered before a write. Whichever bound is reached first ends the gathering (BND-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchBounds {
    /// Most records of all partitions together.
    pub records_max: usize,
    /// Most encoded bytes of all partitions together.
    pub bytes_max: usize,
    /// Longest time since the first record of the batch.
    pub wait_max: Duration,
}

/// One event with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkRecord<I> {
    /// Offset in its partition.
    pub offset: i64,
    /// The event.
    pub input: I,
}

/// Why a batch was not taken. Every reason may pass: the batch is read again and tried with a back-off.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The place does not take files: full, gone, not permitted.
    #[error("WL-5201: {place}: {source}")]
    Io {
        /// What was read or written, without data of events.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The rows cannot be encoded.
    #[error("WL-5202: {place}: {reason}")]
    Encode {
        /// What was written.
        place: String,
        /// Why.
        reason: String,
    },
}
