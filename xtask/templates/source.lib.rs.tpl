//! Brings `@writes@` in: one event per line of the files in a folder.
//!
//! ```text
//! a line   ->   @Output@ {meta: {eventId: the same for the same line}}
//! ```
//! A file is renamed only after Kafka confirmed its events (LOSS-1). After a crash in between its events are published
//! again under the same ids.

mod config;
mod poll;

pub use config::@Type@Config;

use runtime::{Room, RoomInfo, RoomKind};
use schemas::{@imports@, EventMeta, Source, SourceFormat, identity, topics};

/// Name of the room.
pub const NAME: &str = "@room@";

/// What one line of a file means.
#[must_use]
pub fn event(file: &str, line: &str) -> @Output@ {
    let source = Source {
        system: NAME.to_owned(),
        format: SourceFormat::Wardline,
        message_id: file.to_owned(),
        ..Source::default()
    };
    let meta = EventMeta {
        event_id: identity::event_id(NAME, line, "0", "@writes@"),
        business_key: line.to_owned(),
        source,
        ..EventMeta::default()
    };
    @Output@ { meta, ..@Output@::default() }
}

/// The room, for a process.
#[must_use]
pub fn room() -> Room {
    let info = RoomInfo {
        name: NAME,
        purpose: "Brings @writes@ in.",
        kind: RoomKind::Source,
        reads: Vec::new(),
        looks_up: Vec::new(),
        writes: vec![topics::@WRITES@.name()],
    };
    Room::source(info, poll::run).configured(|_: &@Type@Config, _| Ok(()))
}
