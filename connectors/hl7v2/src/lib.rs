//! HL7 v2 source: MLLP or files in, encounter and supply usage events out.

pub mod config;
pub mod input;
pub mod mapping;
pub mod mllp;
pub mod parser;

pub use input::parse_to_json;
