//! `cargo xtask tidy`: the rules that no compiler checks.

use std::io::Write;

use anyhow::{Context, bail};
use wardline_xtask::tidy;

/// Check the rules of the repository that no compiler checks.
///
/// Layering, sizes, words, links, error pages, furniture of the rooms, generated code, and licences and duplicates of
/// third-party code.
#[derive(Default, clap::Args)]
pub struct Arguments {
    /// First write what can be written: the list of error pages.
    #[arg(long)]
    fix: bool,
}

/// Runs every rule and prints what is broken.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = super::root()?;
    if arguments.fix {
        let list = tidy::codes::index(&tidy::Tree::read(&root)?);
        std::fs::write(root.join(tidy::codes::INDEX), list).context("write the list of error pages")?;
    }
    let findings = tidy::check(&root)?;
    for finding in &findings {
        writeln!(std::io::stdout(), "{finding}")?;
    }
    if !findings.is_empty() {
        bail!("{} findings: mend the lines above", findings.len());
    }
    Ok(())
}
