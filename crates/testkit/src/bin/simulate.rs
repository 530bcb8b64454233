//! Runs seeds of the simulation; see `docs/simulation.md`.

use clap::Parser;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use wardline_testkit::simulation::{Report, Simulator, Variant};

/// Most reports of failing seeds that are printed.
const FAILURES_MAX: usize = 20;

#[derive(Debug, Parser)]
#[command(about = "Runs seeds of the simulation and checks every law after each.")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Who runs: honest, or a broken variant.
    #[arg(long, default_value = "honest")]
    variant: String,
    /// Threads; all cores when not given.
    #[arg(long)]
    threads: Option<usize>,
    /// One object per failing seed and one for all, as JSON lines.
    #[arg(long)]
    json: bool,
    /// Tells what happened, line by line: for one seed.
    #[arg(long)]
    trace: bool,
}

/// What came of all runs.
#[derive(Debug, Default, serde::Serialize)]
struct Total {
    seeds: u64,
    failed: u64,
    turns: u64,
    virtual_seconds: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing can be done about a closed stderr.
            drop(writeln!(std::io::stderr(), "{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let variant = Variant::find(&arguments.variant)
        .ok_or_else(|| anyhow::anyhow!("there is no variant {}: try {}", arguments.variant, names()))?;
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let total = Mutex::new((Total::default(), Vec::new()));
    let progress = std::io::stderr().is_terminal();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|_| {
                scope.spawn(|| {
                    let simulator = Simulator::new()?;
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            return anyhow::Ok(());
                        }
                        let report = simulator.run(seed, variant, arguments.trace);
                        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                        total.0.add(&report);
                        if progress && total.0.seeds.is_multiple_of(100) {
                            drop(write!(std::io::stderr(), "\r{} seeds, {} failed", total.0.seeds, total.0.failed));
                        }
                        if (arguments.trace || !report.is_clean()) && total.1.len() < FAILURES_MAX {
                            total.1.push(report);
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of the simulation panicked")))
        })
    })?;
    if progress {
        drop(writeln!(std::io::stderr()));
    }
    let (total, mut reports) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|report| report.seed);
    let mut out = std::io::stdout().lock();
    for report in &reports {
        tell(&mut out, report, variant, arguments.json)?;
    }
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&total)?)?;
    } else {
        writeln!(
            out,
            "{} seeds of {}, {} failed; {} turns, {} virtual seconds",
            total.seeds,
            variant.name(),
            total.failed,
            total.turns,
            total.virtual_seconds
        )?;
    }
    Ok(total.failed == 0)
}

impl Total {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.failed += u64::from(!report.is_clean());
        self.turns += report.turns;
        self.virtual_seconds += report.virtual_seconds;
    }
}

fn tell(out: &mut impl std::io::Write, report: &Report, variant: Variant, json: bool) -> anyhow::Result<()> {
    let again = format!("cargo xtask simulate --from {} --seeds 1 --variant {} --trace", report.seed, variant.name());
    let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    if json {
        let value = serde_json::json!({
            "seed": report.seed,
            "hash": format!("{:016x}", report.hash),
            "violations": violations,
            "broken": report.broken,
            "again": again,
        });
        writeln!(out, "{value}")?;
        return Ok(());
    }
    for line in &report.lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "seed {} (hash {:016x})", report.seed, report.hash)?;
    for line in violations.iter().chain(&report.broken) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  again: {again}")?;
    Ok(())
}

fn names() -> String {
    let names: Vec<&str> = Variant::BROKEN.iter().map(|variant| variant.name()).collect();
    names.join(", ")
}
