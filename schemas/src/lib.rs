//! The contracts of Wardline: event types, topics, the registry of topics, the codec, ids and headers.
//!
//! The types come from `schemas/avro`, the topics from `topics.yaml`; `cargo xtask codegen` makes the Rust code.

pub mod approval;
pub mod catalogue;
pub mod codec;
pub mod headers;
pub mod identity;
pub mod types;

mod examples;
mod generated;
mod topic;

pub use catalogue::{Compatibility, Criticality, MeasuredFrom, OnReject, Phi};
pub use examples::{examples, examples_of};
pub use generated::*;
pub use rust_decimal::Decimal;
pub use topic::{Event, RawBytes, ServiceLevel, Topic, TopicInfo, event_type};
pub use types::{Bytes, Date, Timestamp};
