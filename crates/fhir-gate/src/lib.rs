//! Reads FHIR JSON exactly, and judges whether a resource is what its FHIR version says.
//!
//! A crate of its own because fhir-sdk's models of R4B and R5 take minutes and gigabytes to compile: they are compiled here,
//! once, and not again when the room that uses them changes. Bytes in, verdict out; it knows nothing of the workspace.

mod gate;
pub mod json;
mod version;

pub use gate::{Mismatch, check};
pub use version::Version;
