//! `cargo xtask new-room`.

/// Start a room.
#[derive(clap::Args)]
pub struct Arguments {}

/// Writes it.
pub fn run(_arguments: &Arguments) -> anyhow::Result<()> {
    Ok(())
}
