//! FHIR source: polls a FHIR server (R4 or R5) and tells what happened as events.
//!
//! Encounter -> `clinical.encounter.v1`; Procedure, DeviceUseStatement/DeviceUsage, SupplyDelivery and ChargeItem, with the
//! Devices they refer to, -> `clinical.supply-usage.v1`. Everything else is dropped by a named rule.
//!
//! Three layers, of which only the last does I/O:
//! - [`mapping`]: what a resource states (pure, no state);
//! - [`seen`]: what of that is new (pure, explicit state);
//! - [`connector`]: HTTP, cursors and one Kafka transaction per page.

pub mod config;
pub mod connector;
pub mod mapping;
pub mod node;
pub mod outcome;
pub mod parse;
pub mod seen;
pub mod time;

pub use config::FhirConfig;
pub use connector::room;
pub use fhir_gate::{Version, json};
pub use mapping::{EmptyShelf, Found, Profile, Shelf};
pub use outcome::{ClinicalEvent, Dropped, Outcome, Refusal};
pub use parse::{Context, Parsed, map, parse, parse_to_json};
pub use seen::Seen;

/// Name of the room.
pub const NAME: &str = "fhir";
