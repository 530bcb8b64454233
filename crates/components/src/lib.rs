//! The real systems Wardline is shown and tested against: Apache Kafka, the Apicurio schema registry, the Tryton ERP with
//! a small hospital in it, and the HAPI FHIR server. This crate fetches them once into a per-user cache, starts any number
//! of them side by side on free ports, breaks them on request (kill, pause, restart) and cleans up after itself.
//!
//! ```no_run
//! use wardline_components::{Installation, Kafka, KafkaOptions, Part, Progress};
//!
//! # fn main() -> Result<(), wardline_components::Error> {
//! let progress = Progress::stderr();
//! let installation = Installation::ensure(&[Part::Kafka], &progress)?;
//! let mut kafka = Kafka::start(&installation, KafkaOptions::in_dir("/tmp/kafka"))?;
//! kafka.kill()?; // SIGKILL, as a crash would
//! kafka.restart()?; // same ports, same data
//! # Ok(()) }
//! ```
//!
//! What is started dies with the value that stands for it, and also when the process that holds it is killed; only
//! [`Server::detach`] leaves it running.

mod browser;
mod cache;
mod chart_tools;
mod error;
mod hapi;
mod hospital;
mod install;
mod kafka;
mod kubernetes_schemas;
mod ports;
mod probe;
mod progress;
mod registry;
mod server;
mod tools;
mod tryton;

pub use browser::Browser;
pub use chart_tools::{ChartTools, KUBERNETES_VERSION};
pub use error::{DEBIAN_LINE, Error, Result};
pub use hapi::{FhirVersion, Hapi, HapiOptions};
pub use hospital::{
    CostCenter, Employee, HOSPITAL_JSON, Hospital, Item, Location, Lot, OpeningStock, Pack, PurchaseOrder,
    PurchaseOrderLine, Supplier, Unit,
};
pub use install::{Installation, Part};
pub use kafka::{Kafka, KafkaCluster, KafkaOptions};
pub use ports::free_port;
pub use progress::{Progress, Step};
pub use registry::{Registry, RegistryOptions};
pub use server::{Server, Status};
pub use tryton::{ERP_DATABASE, ERP_KEY, Tryton, TrytonOptions};
