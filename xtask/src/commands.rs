//! The commands, one module each.

pub mod chart;
pub mod codegen;
pub mod components;
pub mod new_room;
pub mod test;
pub mod tidy;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;

/// The top of the repository.
fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace folder")?;
    Ok(root.to_owned())
}

/// Now, to tell a person how long something took.
#[allow(clippy::disallowed_methods, reason = "developer tasks do not take part in the flow, and are not simulated")]
fn now() -> Instant {
    Instant::now()
}
