//! What tests are made of: driving a processor without a broker, the parts that rooms run on, a proxy that breaks calls, a
//! supplier that takes notices, an identity provider, the check that an API answers as it promises, and the checks that every
//! broker must pass.

pub mod conformance;
mod corpus;
pub mod drive;
pub mod fault_proxy;
pub mod held;
pub mod identity;
pub mod openapi;
pub mod parts;
pub mod served;
pub mod simulation;
pub mod stack;
pub mod supplier;
mod until;

pub use corpus::corpus;
pub use drive::{drive, drive_examples};
pub use until::{until, until_found};
