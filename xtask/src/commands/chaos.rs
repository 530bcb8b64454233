//! `cargo xtask chaos`: a storm over a whole installation.

use super::{apart, cargo_command, root};
use anyhow::{Context, Result, bail};
use clap::Args;

const AFTER_HELP: &str = "\
Three real brokers, a registry, the sandbox ERP and a supplier behind proxies that break calls, and two processes of every room
take a load of known content while they are killed, frozen, restarted and cut off. Then everything heals, and every law is
decided from the topics, the ERP's books and what the supplier took. See docs/chaos.md. Wanted: JDK 17, Maven.

  cargo xtask chaos --minutes 3 --seed 1
  cargo xtask chaos --minutes 10 --seed 7 --report chaos-reports/seven
  cargo xtask chaos --minutes 10 --seed 7 --plan";

/// Break a whole installation on real brokers, heal it, and decide every law from outside.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Build with optimisation: a longer build.
    #[arg(long)]
    release: bool,
    /// `--minutes N` (3 when not given), `--seed N`, `--report DIR`, `--json`, `--plan`, `--only KINDS`,
    /// `--without KINDS`, `--rate N`, `--encounters N`, `--wardline FILE`.
    #[arg(value_name = "WHAT TO RUN", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let root = root()?;
    let (options, is_release) = apart(&arguments.options, "--release");
    let built = |command: &mut std::process::Command| {
        if arguments.release || is_release {
            command.arg("--release");
        }
    };
    // A plan, or an explanation, needs no program to break.
    if !options.iter().any(|option| ["--plan", "--help", "-h"].contains(option)) {
        let mut wardline = cargo_command(&root);
        wardline.args(["build", "--package", "wardline-cli", "--bin", "wardline"]);
        built(&mut wardline);
        if !wardline.status().context("cannot run cargo")?.success() {
            bail!("`wardline` does not build: see above");
        }
    }
    let mut chaos = cargo_command(&root);
    chaos.args(["run", "--quiet", "--package", "wardline-chaos", "--bin", "chaos"]);
    built(&mut chaos);
    let status = chaos.arg("--").args(&options).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the storm did not come out clean: see above");
    }
    Ok(())
}
