//! What tests are made of: driving a processor without a broker.

pub mod drive;
pub mod supplier;

pub use drive::{drive, drive_examples};
