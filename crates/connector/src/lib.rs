//! The vocabulary of what lies outside Kafka: how to talk to an ERP, how to read an HTTP answer, how to hold a secret.
//!
//! Nothing in this crate knows Kafka or a particular product. Adapters implement [`erp::Erp`]; rooms use it.

pub mod effect;
pub mod erp;
pub mod http;
pub mod pacing;
pub mod secret;
pub mod sink;

pub use secret::Secret;
