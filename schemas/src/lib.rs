//! The contracts of Wardline: event types, topics, the registry of topics and the codec.
//!
//! The types come from `schemas/avro`, the topics from `topics.yaml`; `cargo xtask codegen` makes the Rust code.

pub mod catalogue;
mod generated;
mod topic;
pub mod types;

pub use generated::*;
pub use rust_decimal::Decimal;
pub use topic::{Event, RawBytes, Topic, TopicInfo, event_type};
pub use types::{Bytes, Date, Timestamp};
