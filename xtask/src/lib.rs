//! Developer tasks of Wardline, as a library so that tests can use them.

pub mod codegen;
pub mod tidy;
