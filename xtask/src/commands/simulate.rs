//! `cargo xtask simulate`: seeds of the simulation.

use super::{apart, cargo_command, root};
use anyhow::{Context, Result, bail};
use clap::Args;

const AFTER_HELP: &str = "\
Each seed is a run of its own: the runtime's loops, the embedded broker's core and an ERP on one thread in virtual time, with
crashes, rebalances and lost answers, and every law checked at the end. A failing seed prints the command that runs it again.
See docs/simulation.md.

  cargo xtask simulate --seeds 10000
  cargo xtask simulate --from 4711 --seeds 1 --trace
  cargo xtask simulate --variant no-look-up";

/// Run seeds of the simulation and check every law after each.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Build without optimisation: a shorter build, a slower run.
    #[arg(long)]
    dev: bool,
    /// `--seeds N` (1,000 when not given), `--from N`, `--variant NAME`, `--threads N`, `--json`, `--trace`.
    #[arg(value_name = "WHAT TO RUN", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (options, is_dev) = apart(&arguments.options, "--dev");
    let mut cargo = cargo_command(&root()?);
    cargo.args(["run", "--quiet", "--package", "wardline-testkit", "--bin", "simulate"]);
    if !arguments.dev && !is_dev {
        cargo.arg("--release");
    }
    let status = cargo.arg("--").args(&options).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the simulation did not come out clean: see above");
    }
    Ok(())
}
