//! Writes de-identified Parquet files.
//!
//! ```text
//! enriched usage {encounterRef: enc_k5u2, occurredAt: 2026-11-23T09:48:30Z, itemId: STENT, serial: S1, amount: 850}
//!     -> supply.usage-enriched.v1/p3/…00041-…00057.parquet
//!        {topic, partition, offset, event_id: tok_41d0…, encounter_ref: tok_9f2c…, meta_occurred_at: 2026-11-23, item_id: STENT, amount: 850}
//! ```
//! What may be in a row is not a list in this room but the `phi` attribute of each field of the contract: `none` is written,
//! times of patients are cut to the day or hour, named references and the ids of events become tokens, everything else stays
//! out (PHI-1).
//!
//! Kafka cannot make writing a file exactly once: the file is renamed into place before the offset is committed, and files
//! that reach beyond the committed offset are removed when a partition is taken over. A re-load is idempotent.

mod columns;
mod config;
mod files;
mod input;
mod rows;
mod tokens;

pub use columns::{Column, columns};
pub use config::{AnalyticsConfig, PatientTimes};
pub use input::AnalyticsInput;
pub use rows::rows;

use connector::sink::{BatchBounds, BatchSink, SinkError, SinkRecord};
use runtime::{Config, ConfigError, Room, RoomError, RoomInfo};
use std::collections::HashMap;
use std::time::Duration;
use tokens::Tokens;

/// Name of the room.
pub const NAME: &str = "analytics";

/// The sink.
pub struct Analytics {
    config: AnalyticsConfig,
    tokens: Tokens,
    columns: HashMap<&'static str, Vec<Column>>,
}

impl Analytics {
    /// The sink with its directory and policies.
    ///
    /// # Errors
    /// When the key of the tokens is too short, or a value is outside its range.
    pub fn new(config: AnalyticsConfig) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::Room { room: NAME.to_owned(), reason };
        config.validate().map_err(refused)?;
        let tokens = Tokens::new(&config.token_key, &config.purpose).map_err(refused)?;
        let columns = input::topics().into_iter().map(|topic| (topic.name, columns(topic, &config))).collect();
        Ok(Self { config, tokens, columns })
    }
}

impl BatchSink for Analytics {
    type Input = AnalyticsInput;

    fn bounds(&self) -> BatchBounds {
        BatchBounds {
            records_max: self.config.file_records_max,
            bytes_max: self.config.file_bytes_max,
            wait_max: Duration::from_millis(self.config.file_wait_ms),
        }
    }

    fn begin(&self, topic: &str, partition: i32, next_offset: i64) -> Result<i64, SinkError> {
        files::take_over(&self.config.directory, topic, partition, next_offset)
    }

    fn write(&self, topic: &str, partition: i32, records: &[SinkRecord<AnalyticsInput>]) -> Result<(), SinkError> {
        let columns = self.columns.get(topic).map(Vec::as_slice).unwrap_or_default();
        let encode = |reason: String| SinkError::Encode { place: format!("{topic} p{partition}"), reason };
        let batch = rows(topic, partition, columns, records, &self.config, &self.tokens).map_err(encode)?;
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        files::write(&self.config.directory, topic, partition, (first.offset, last.offset), &batch)
    }
}

/// The room, for a process.
#[must_use]
pub fn room() -> Room {
    let purpose = "Writes de-identified rows of usage, posting and supply events to Parquet files.";
    Room::sink(RoomInfo::of_sink::<Analytics>(NAME, purpose), make).configured(|own: &AnalyticsConfig, _| {
        own.validate()?;
        Tokens::new(&own.token_key, &own.purpose).map(drop)
    })
}

fn make(config: &Config) -> Result<Analytics, RoomError> {
    let own: AnalyticsConfig = config.room(NAME)?;
    own.check_key(config)?;
    Ok(Analytics::new(own)?)
}

/// Every topic whose events become rows, for documents and tests.
#[must_use]
pub fn row_topics() -> Vec<&'static str> {
    input::topics().into_iter().map(|topic| topic.name).collect()
}

/// The token of a reference, as a row would hold it: for whoever has the key and must find the rows of one visit.
///
/// # Errors
/// When the key is too short.
pub fn token(config: &AnalyticsConfig, reference: &str, value: &str) -> Result<String, String> {
    Ok(Tokens::new(&config.token_key, &config.purpose)?.token(reference, value))
}
