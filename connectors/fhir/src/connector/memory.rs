//! Reads back what earlier sessions stored: positions and what was told.

use super::position::Position;
use super::records::connector;
use crate::config::FhirConfig;
use crate::seen::Seen;
use runtime::librdkafka::settle;
use runtime::reader::{Range, ReadError, read_range};
use runtime::record::Record;
use runtime::{RoomContext, RoomError};
use schemas::{Cursor, topics};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Where the room stands.
pub(super) struct Memory {
    /// Positions by stream.
    pub(super) positions: HashMap<String, Position>,
    /// What was told.
    pub(super) seen: Seen,
}

/// Reads everything back; the topic is compacted, so this is about as much as is remembered.
pub(super) async fn recall(context: &RoomContext, config: &FhirConfig) -> Result<Memory, RoomError> {
    let owner = connector(&config.system);
    // All connectors write to the topic: one that is behind somebody else's open transaction would be forgotten, and what it has told.
    settle(&context.config.kafka, topics::OPS_CURSOR_V1.name()).await?;
    let (kafka, prefix, most) = (context.config.kafka.clone(), format!("{owner}/"), bound(config));
    let read = tokio::task::spawn_blocking(move || latest(&kafka, &prefix, most)).await;
    let records = read.map_err(|error| RoomError::Worker(error.to_string()))?;
    let records = records.map_err(|error| RoomError::Room(error.to_string()))?;
    let mut memory = Memory { positions: HashMap::new(), seen: Seen::new(config.remembered_max) };
    for record in records.into_values() {
        let value = record.value.unwrap_or_default();
        let (writer, body) = context.codec.open(&value).await?;
        let stored: Cursor =
            schemas::codec::decode(&writer, body).map_err(|error| RoomError::Room(error.to_string()))?;
        if stored.connector != owner {
            continue;
        }
        if stored.stream.starts_with(super::POLL) || stored.stream.starts_with(super::DELETIONS) {
            let position = Position::restore(&stored).ok_or_else(|| {
                RoomError::Room(format!("WL-2025: the stored position of {} cannot be read", stored.stream))
            })?;
            memory.positions.insert(stored.stream, position);
        } else {
            let restored = memory.seen.restore(&stored.stream, &stored.position);
            restored.map_err(|error| RoomError::Room(error.to_string()))?;
        }
    }
    // What was just read is stored already.
    memory.seen.changes();
    Ok(memory)
}

/// Most entries that this room keeps: usages, stays, positions.
fn bound(config: &FhirConfig) -> usize {
    config.remembered_max.saturating_mul(2).saturating_add(100)
}

/// The newest record of each key of this owner. Other connectors' entries are passed over and do not count.
fn latest(
    kafka: &runtime::config::KafkaConfig,
    prefix: &str,
    most: usize,
) -> Result<HashMap<Vec<u8>, Record>, ReadError> {
    let topic = topics::OPS_CURSOR_V1.name();
    let mut latest: HashMap<Vec<u8>, Record> = HashMap::new();
    let mut overflow = false;
    read_range(kafka, &Range::all(topic), |record| {
        let key = record.key.as_deref().unwrap_or_default().to_vec();
        if !key.starts_with(prefix.as_bytes()) {
            return ControlFlow::Continue(());
        }
        if record.value.is_none() {
            latest.remove(&key);
        } else {
            latest.insert(key, record);
        }
        overflow = latest.len() > most;
        if overflow { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if overflow { Err(ReadError::TooManyKeys { topic: topic.to_owned(), most }) } else { Ok(latest) }
}
