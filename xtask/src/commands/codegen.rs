//! `cargo xtask codegen`: contracts to Rust code.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use wardline_xtask::codegen;

/// Make the generated Rust code from the contracts and topics.yaml.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only say what is out of date; exit code 1 when something is.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the generated code.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace folder")?;
    let touched = if arguments.check { codegen::drift(root)? } else { codegen::write(root)? };
    for path in &touched {
        writeln!(std::io::stdout(), "schemas/src/generated/{}", path.display())?;
    }
    if arguments.check && !touched.is_empty() {
        bail!("{} generated files are out of date: run `cargo xtask codegen`", touched.len());
    }
    Ok(())
}
