//! The runtime: the only production crate that knows Kafka.
//!
//! Rooms hand it pure functions; it owns decoding, transactions, offsets, lanes, retry, parking, dead letters, tables,
//! health, metrics, traces and drain. Entry points: [`Room`] and [`run_rooms`] to run, [`publisher`] for sources,
//! [`reader`] and [`admin`] for tools.

pub mod admin;
mod allocator;
mod ask;
mod bounded;
pub mod bursts;
pub mod clock;
pub mod cluster;
pub mod codec;
mod committer;
pub mod config;
mod config_refs;
mod copies;
pub mod correction;
mod decisions;
pub mod desk;
mod effects;
pub mod following;
mod group_context;
pub mod group_protocol;
pub mod groups;
pub mod health;
pub mod kafka;
pub mod kept_log;
mod launch;
mod level_metrics;
pub mod librdkafka;
mod loop_metrics;
pub mod metrics;
mod near;
pub mod outgoing;
mod parked_reader;
pub mod parking;
pub mod parking_store;
mod pieces;
pub mod producer;
pub mod publisher;
pub mod reader;
pub mod readers;
pub mod record;
pub mod registry;
mod room;
pub mod scan;
pub mod secrets;
pub mod shadow;
pub mod shutdown;
mod sink;
pub mod source_bytes;
mod stall;
mod tables;
pub mod tail;
pub mod telemetry;
mod transactional;
mod turn;
pub mod wake;

pub use config::{Config, ConfigError};
pub use effects::{EffectLoops, EffectRoom};
pub use launch::run_one;
pub use near::near;
pub use room::{Foresee, Room, RoomContext, RoomError, RoomInfo, RoomKind, run_rooms, run_rooms_with};
pub use shutdown::{Shutdown, ShutdownTrigger, shutdown};
pub use tables::TableReader;
pub use transactional::ProcessorRoom;
pub use turn::{Loop, Next};

/// A table that is asked for each event. Its order means nothing, and its seed is another one in each process.
type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
