//! The commands, one module each.

pub mod codegen;
pub mod components;
