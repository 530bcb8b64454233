//! What must hold for any input, as plain functions over bytes: the fuzzer in `fuzz` calls them by the million, and a test of
//! this crate replays what it has found.
//!
//! Each target panics when its property does not hold. See `docs/fuzzing.md`.

mod catalogue;
mod charsets;
mod events;
mod frames;
mod identifiers;
mod messages;
mod records;
#[cfg(feature = "fhir")]
mod resources;
#[cfg(feature = "embedded")]
mod services;

pub use catalogue::topics;
pub use charsets::charset;
pub use frames::mllp;
pub use identifiers::udi;
pub use messages::hl7v2;
pub use records::{avro, avro_schema};
#[cfg(feature = "fhir")]
pub use resources::fhir;
#[cfg(feature = "embedded")]
pub use services::{registry, sandbox_erp};

/// A property: it panics when it does not hold for these bytes.
pub type Target = fn(&[u8]);

/// All targets by name, sorted.
pub const TARGETS: &[(&str, Target)] = &[
    ("avro", avro),
    ("avro_schema", avro_schema),
    ("charset", charset),
    #[cfg(feature = "fhir")]
    ("fhir", fhir),
    ("hl7v2", hl7v2),
    ("mllp", mllp),
    #[cfg(feature = "embedded")]
    ("registry", registry),
    #[cfg(feature = "embedded")]
    ("sandbox_erp", sandbox_erp),
    ("topics", topics),
    ("udi", udi),
];

/// When every input arrives: 2027-01-15T08:00Z.
const NOW: schemas::Timestamp = schemas::Timestamp::from_micros(1_800_000_000_000_000);

/// The secret of pseudonyms. There is nothing to protect.
const PSEUDONYM_KEY: &[u8] = b"synthetic-data-only";
