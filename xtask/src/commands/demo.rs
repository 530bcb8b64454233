//! `cargo xtask demo`: the main job on real parts, in one command.

use super::components;
use ::components::Part;
use anyhow::{Context, Result, bail};
use clap::Args;

const AFTER_HELP: &str = "\
What happens: the real Apache Kafka, Apicurio schema registry, Tryton ERP with a hospital database and HAPI FHIR server are
fetched (first run only) and started; Wardline is built; all its connectors and processors start; a hospital day of HL7 v2
messages over MLLP and of FHIR resources flows through; a report accounts for every one of them and compares what was posted
with Tryton's own stock movements. Run it again: the same day posts nothing new. Interrupt it at any time and run it again.

The last line says where the data is. `cargo xtask components down` stops the parts, `--stop` does so at the end.
Anything after `--` goes to `wardline demo`, for example: cargo xtask demo -- --stays 100 --day 2026-03-01";

/// Stream a hospital day through Wardline on real parts and show that nothing was lost.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Also write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<String>,
    /// Stop the parts at the end; their data is kept.
    #[arg(long)]
    stop: bool,
    /// Build with optimisation: a longer build, a faster day.
    #[arg(long)]
    release: bool,
    /// Further arguments for `wardline demo`.
    #[arg(last = true, value_name = "ARGUMENT")]
    more: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut build = super::cargo_here();
    build.args(["build", "--package", "wardline-cli", "--bin", "wardline"]);
    let mut play = super::cargo_here();
    play.args(["run", "--quiet", "--package", "wardline-cli", "--bin", "wardline"]);
    if arguments.release {
        build.arg("--release");
        play.arg("--release");
    }
    // Both take minutes on a first run, so one goes on while the other does.
    let started = std::thread::scope(|scope| {
        let parts = scope.spawn(|| components::up(&Part::ALL));
        let built = build.status().context("cannot run cargo");
        let started = parts.join().unwrap_or_else(|_| bail!("starting the parts ended in a panic"));
        if !built?.success() {
            bail!("Wardline does not build: see the messages of cargo above");
        }
        started
    });
    started?;
    play.args(["--", "demo", "--real"]);
    if let Some(report) = &arguments.report {
        play.args(["--report", report]);
    }
    play.args(&arguments.more).envs(components::environment(&Part::ALL));
    let played = play.status().context("cannot run cargo")?;
    if arguments.stop {
        components::down(&Part::ALL, false)?;
    }
    if !played.success() {
        bail!("the demo did not come out as it must: see its report above");
    }
    Ok(())
}
