//! `cargo xtask tidy`: the rules that no compiler checks.

use std::io::Write;

use anyhow::bail;
use wardline_xtask::tidy;

/// Layering, sizes, words, links, error pages, furniture of the rooms, licences and duplicates of third-party code.
#[derive(clap::Args)]
pub struct Arguments {}

/// Runs every rule and prints what is broken.
pub fn run(_arguments: &Arguments) -> anyhow::Result<()> {
    let findings = tidy::check(&super::root()?)?;
    for finding in &findings {
        writeln!(std::io::stdout(), "{finding}")?;
    }
    if !findings.is_empty() {
        bail!("{} findings: mend the lines above", findings.len());
    }
    Ok(())
}
