//! Breaks a whole installation and decides every law afterwards; see `docs/chaos.md`.

use clap::Parser;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use wardline_chaos::{Plan, Wanted, clock, run};

#[derive(Debug, Parser)]
#[command(about = "Breaks a whole installation over three real brokers, heals it, and decides every law from outside.")]
struct Arguments {
    /// Minutes of storm.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=240))]
    minutes: u64,
    /// Decides load and faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the report, with data and logs below it; a new one for each run.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Print what would be broken when, and do nothing.
    #[arg(long)]
    plan: bool,
    /// Messages a second.
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Stays, each with a key of its own.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=999))]
    encounters: u32,
    /// Only these kinds of faults, for example `kill-broker,rolling-brokers,reset`; `--plan --json` shows the names.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out these kinds: `fill-disk` needs root, `jump-clock` needs a C compiler (`cc`).
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    without: Vec<String>,
    /// The program to break; the one beside this program when not given.
    #[arg(long, value_name = "FILE")]
    wardline: Option<PathBuf>,
}

fn main() -> ExitCode {
    match execute(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing can be done about a closed stderr.
            drop(writeln!(std::io::stderr(), "{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn execute(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut out = std::io::stdout();
    let plan = Plan::draw(arguments.seed, arguments.minutes).only(&arguments.only).without(&arguments.without);
    if arguments.plan {
        tell(&mut out, &plan, arguments.json)?;
        return Ok(true);
    }
    let beside = std::env::current_exe()?.with_file_name("wardline");
    let dir = arguments.report.clone().unwrap_or_else(|| {
        PathBuf::from(format!("chaos-reports/seed-{}-{}", arguments.seed, clock::unix_ms() / 1_000))
    });
    let wanted = Wanted {
        seed: arguments.seed,
        minutes: arguments.minutes,
        rate: arguments.rate,
        encounters: arguments.encounters,
        only: arguments.only.clone(),
        without: arguments.without.clone(),
        dir,
        wardline: arguments.wardline.clone().unwrap_or(beside),
    };
    let started = clock::now();
    let say = |text: &str| {
        drop(writeln!(std::io::stderr(), "[{:>4} s] {text}", started.elapsed().as_secs()));
    };
    if !arguments.json {
        tell(&mut std::io::stderr(), &plan, false)?;
    }
    let outcome = run(&wanted, &say)?;
    if arguments.json {
        writeln!(out, "{}", outcome.json)?;
    } else {
        writeln!(out, "{}", outcome.markdown)?;
    }
    say(&format!("the report is in {}", wanted.dir.display()));
    Ok(outcome.clean)
}

fn tell(out: &mut impl std::io::Write, plan: &Plan, json: bool) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string(plan)?)?;
        return Ok(());
    }
    for (at_ms, what) in plan.lines() {
        writeln!(out, "{:>5}.{} s  {what}", at_ms / 1_000, at_ms % 1_000 / 100)?;
    }
    Ok(())
}
