//! What a laptop has instead of a cluster, in this process: a Kafka-protocol broker, a schema registry, a sandbox ERP and a
//! FHIR store. Everything listens on the loopback interface only and is for development, demos and tests, never production.

pub mod broker;
mod clock;
pub mod fhir_store;
mod loopback;
pub mod registry;
pub mod sandbox_erp;

pub use loopback::ListenError;
