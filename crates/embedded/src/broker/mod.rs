//! A Kafka-protocol broker in one process.
//!
//! [`wire`] names what goes in and out; the core is a state machine without sockets, clock or threads; the server puts it
//! behind TCP; the storage keeps it on disk. The same core runs under the seeded simulation.

pub mod core;
pub mod groups;
pub mod server;
pub mod storage;
pub mod wire;

pub use server::{Broker, BrokerError, BrokerOptions, LocalClient, LocalError, TopicLog};
