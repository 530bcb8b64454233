//! `cargo xtask simulate`: seeds of the simulation.

use super::{cargo_command, root};
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
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Who runs: honest, or a broken variant that must be caught.
    #[arg(long, default_value = "honest")]
    variant: String,
    /// Threads; all cores when not given.
    #[arg(long)]
    threads: Option<usize>,
    /// One JSON object per failing seed, and one for all.
    #[arg(long)]
    json: bool,
    /// Tell what happened in each run, line by line.
    #[arg(long)]
    trace: bool,
    /// Build without optimisation: a shorter build, a slower run.
    #[arg(long)]
    dev: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = cargo_command(&root()?);
    cargo.args(["run", "--quiet", "--package", "wardline-testkit", "--bin", "simulate"]);
    if !arguments.dev {
        cargo.arg("--release");
    }
    let (seeds, from) = (arguments.seeds.to_string(), arguments.from.to_string());
    cargo.args(["--", "--seeds", &seeds, "--from", &from, "--variant", &arguments.variant]);
    if let Some(threads) = arguments.threads {
        cargo.args(["--threads", &threads.to_string()]);
    }
    if arguments.json {
        cargo.arg("--json");
    }
    if arguments.trace {
        cargo.arg("--trace");
    }
    let status = cargo.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the simulation did not come out clean: see above");
    }
    Ok(())
}
