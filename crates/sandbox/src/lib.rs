//! The adapter of the sandbox ERP behind the ERP contract, over its REST interface.
//!
//! ```text
//! post      POST /api/v1/postings            one call: all lines, the cost and the key are one transaction
//! find      GET  /api/v1/postings/{key}
//! changes   GET  /api/v1/changes             the cursor is the ledger's name and a place in its sequence
//! ```
//! Nothing is ever half done, so resuming is looking up.

mod config;
mod erp;
pub mod records;
mod rest;
mod wire;

pub use config::{ClosedDay, SandboxConfig};
pub use erp::Sandbox;
