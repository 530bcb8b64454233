//! HL7 v2 source.

pub mod mllp;
pub mod parser;
