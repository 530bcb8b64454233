//! `cargo xtask bench`: Wardline and its rivals in turn, on one broker, with one sender.

mod plot;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{cargo, root};

/// Topics that Wardline's runs write and that the next round must not read: the harness makes its own anew.
const OWN_TOPICS: &str = r"(ops|clinical)\..*";
/// Seconds before the MLLP sender counts.
const MLLP_WARMUP_S: u64 = 10;
/// How often the list of topics is looked at after a deletion.
const DELETION_LOOKS: u32 = 60;

const AFTER_HELP: &str = "DIR is the harness of the rivals, which is not in this repository: run.sh builds them, starts a \
    broker, loads and measures. What it builds and writes goes to $PEERS_WORK, else ~/.cache/wardline/peers-work. Needed: a \
    JDK (17 or newer), Maven, Python 3. Take a quiet machine: the load that others put on it is in the report.";

/// Measure Wardline beside its rivals, in turn.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The harness of the rivals.
    #[arg(long, value_name = "DIR", required_unless_present = "replot")]
    peers: Option<PathBuf>,
    /// Measure nothing, and draw the plots of this report again, beside it.
    #[arg(long, value_name = "FILE")]
    replot: Option<PathBuf>,
    /// Rounds that count; one more is run first and dropped.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Events per run of the join.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Measured seconds per run of MLLP.
    #[arg(long, default_value_t = 30)]
    mllp_secs: u64,
    /// Sizes of the messages over MLLP, bytes.
    #[arg(long, default_value = "600", value_delimiter = ',')]
    mllp_bytes: Vec<u32>,
    /// Connections over MLLP.
    #[arg(long, default_value_t = 8)]
    mllp_conns: u32,
    /// Only the jobs whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Also copy the input in transactions without any work: the ceiling of the client library.
    #[arg(long)]
    ceiling: bool,
    /// Port of the broker.
    #[arg(long, default_value_t = 29_092)]
    port: u16,
    /// Use this `wardline` instead of building one in release.
    #[arg(long, value_name = "PROGRAM")]
    wardline: Option<PathBuf>,
    /// Write the JSON report here, and the plots beside it.
    #[arg(long, value_name = "FILE", default_value = "target/wardline-bench.json")]
    report: PathBuf,
    /// Fail when Wardline is below a rival in events per CPU-second.
    #[arg(long)]
    require: bool,
}

/// One thing that is measured, and against what.
struct Job {
    name: String,
    /// Jobs of one contest do the same work.
    contest: Option<String>,
    command: Vec<String>,
    ours: bool,
}

/// The machinery of one run.
struct Bench<'a> {
    arguments: &'a Arguments,
    peers: &'a Path,
    root: PathBuf,
    work: PathBuf,
    wardline: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(report) = &arguments.replot {
        return draw(report, &serde_json::from_str(&std::fs::read_to_string(report)?)?);
    }
    let peers = arguments.peers.as_deref().context("--peers is missing")?;
    let root = root()?;
    let work = work_dir()?;
    let wardline = match &arguments.wardline {
        Some(program) => std::path::absolute(program)?,
        None => {
            note("building wardline in release");
            cargo(&root, &["build", "--release", "-p", "wardline-cli"], &[])?;
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
            target.join("release/wardline")
        }
    };
    let bench = Bench { arguments, peers, root, work, wardline };
    note("building the rivals and fetching the broker");
    bench.harness(&["build"])?;
    // Loading adds to what is there, so the broker starts empty.
    bench.harness(&["down"])?;
    bench.harness(&["up"])?;
    let outcome = bench.measure();
    // The first error is the one that matters.
    let stopped = bench.harness(&["down"]);
    let runs = outcome?;
    stopped?;
    bench.finish(&runs)
}

impl Bench<'_> {
    fn measure(&self) -> Result<BTreeMap<String, Vec<Value>>> {
        note("loading");
        self.harness(&["load", &self.arguments.events.to_string()])?;
        let mut jobs = self.jobs();
        if let Some(only) = &self.arguments.only {
            jobs.retain(|job| job.name.contains(only.as_str()));
        }
        let mut runs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for round in 0..=self.arguments.rounds {
            for job in &jobs {
                let result = self.job(job).with_context(|| job.name.clone())?;
                let kept = if round == 0 { "warm-up, dropped" } else { "kept" };
                note(&format!("round {round} ({kept}), {}: {:.0} per CPU-second", job.name, per_cpu_second(&result)));
                if round > 0 {
                    runs.entry(job.name.clone()).or_default().push(result);
                }
            }
            // Whoever was first is last in the next round.
            jobs.reverse();
            self.forget()?;
        }
        Ok(runs)
    }

    fn jobs(&self) -> Vec<Job> {
        let text = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        let contest = Some("enrich exactly once".to_owned());
        let mut jobs = vec![
            Job {
                name: "enrich wardline".to_owned(),
                contest: contest.clone(),
                command: text(&["bench", "enrich", "--peers"]),
                ours: true,
            },
            Job {
                name: "enrich kafka-streams".to_owned(),
                contest,
                command: text(&["kstreams", "exactly_once_v2"]),
                ours: false,
            },
        ];
        if self.arguments.ceiling {
            let name = "copy raw librdkafka, transactions".to_owned();
            jobs.push(Job { name, contest: None, command: text(&["raw", "txn"]), ours: false });
        }
        let (conns, secs) = (self.arguments.mllp_conns.to_string(), self.arguments.mllp_secs.to_string());
        let sender = self.work.join("target/release/mllpload");
        for bytes in &self.arguments.mllp_bytes {
            let bytes = bytes.to_string();
            let contest = Some(format!("mllp {bytes} B"));
            let mut command = text(&["bench", "mllp", "--conns", &conns, "--bytes", &bytes, "--secs", &secs]);
            command.extend(text(&["--warmup", &MLLP_WARMUP_S.to_string(), "--sender", &sender.to_string_lossy()]));
            if self.arguments.ceiling {
                let (name, mut command) = (format!("mllp {bytes} B floor"), command.clone());
                command.push("--floor".to_owned());
                jobs.push(Job { name, contest: None, command, ours: true });
            }
            let name = format!("mllp {bytes} B wardline");
            jobs.push(Job { name, contest: contest.clone(), command, ours: true });
            let name = format!("mllp {bytes} B camel");
            jobs.push(Job { name, contest, command: text(&["camel", &conns, &bytes]), ours: false });
        }
        jobs
    }

    fn job(&self, job: &Job) -> Result<Value> {
        let output = if job.ours {
            let mut command = Command::new(&self.wardline);
            command.args(["--kafka", &self.brokers()]).args(&job.command).current_dir(&self.root);
            captured(command.stderr(Stdio::inherit()))?
        } else {
            // The rivals log much; it is kept for when one of them fails.
            let log = std::fs::File::options().create(true).append(true).open(self.work.join("rivals.log"))?;
            captured(self.harness_command().args(&job.command).stderr(log))?
        };
        let line = output.lines().rfind(|line| line.starts_with('{')).context("no JSON line was printed")?;
        let value: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let wrong = ["refused", "broken", "bad_msa1", "bad_msa2", "io_errors", "transactions_aborted"];
        if let Some(name) = wrong.into_iter().find(|name| number(&value, name) > 0.0) {
            bail!("{name} is not 0: {line}");
        }
        Ok(value)
    }

    /// Removes what a round of Wardline left beside its output, as the rivals' state is removed: a room reads its parking
    /// lot, the exceptions and the receipts at the start.
    fn forget(&self) -> Result<()> {
        captured(&mut self.topic_tool(&["--delete", "--if-exists", "--topic", OWN_TOPICS]))?;
        for _ in 0..DELETION_LOOKS {
            // Each look starts a Java process, which is pause enough.
            let topics = captured(&mut self.topic_tool(&["--list"]))?;
            if !topics.lines().any(|topic| topic.starts_with("ops.") || topic.starts_with("clinical.")) {
                return Ok(());
            }
        }
        bail!("the topics of the last round are still there")
    }

    fn topic_tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.arg("-Xmx128m").arg("-cp").arg(self.work.join("kafka-libs/*"));
        command
            .arg("org.apache.kafka.tools.TopicCommand")
            .args(["--bootstrap-server", &self.brokers()])
            .args(arguments);
        command
    }

    fn harness_command(&self) -> Command {
        let mut command = Command::new(self.peers.join("run.sh"));
        command.env("PEERS_WORK", &self.work).env("BROKERS", self.brokers());
        command.env("PORT", self.arguments.port.to_string()).env("WIPE", "1");
        command.env("EXPECT", self.arguments.events.to_string());
        command.env("SECS", self.arguments.mllp_secs.to_string()).env("WARMUP", MLLP_WARMUP_S.to_string());
        command
    }

    fn harness(&self, arguments: &[&str]) -> Result<()> {
        let status = self.harness_command().args(arguments).stdout(Stdio::null()).status().context("start run.sh")?;
        if !status.success() {
            bail!("run.sh {} ended with {status}", arguments.join(" "));
        }
        Ok(())
    }

    fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.arguments.port)
    }

    fn finish(&self, runs: &BTreeMap<String, Vec<Value>>) -> Result<()> {
        let mut out = std::io::stdout();
        write!(out, "{}", table(runs))?;
        let ratios = self.ratios(runs);
        for (contest, ratio) in &ratios {
            writeln!(out, "{contest}: {ratio:.2} times the rival's events per CPU-second")?;
        }
        let medians: BTreeMap<_, _> = runs.iter().map(|(job, results)| (job, summary(results))).collect();
        let report = json!({
            "rounds": self.arguments.rounds,
            "events": self.arguments.events,
            "jobs": medians,
            "ratios": ratios,
            "runs": runs,
        });
        if let Some(folder) = self.arguments.report.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&self.arguments.report, serde_json::to_string_pretty(&report)?)?;
        writeln!(out, "all runs: {}", self.arguments.report.display())?;
        draw(&self.arguments.report, &report)?;
        if self.arguments.require && ratios.values().any(|ratio| *ratio < 1.0) {
            bail!("Wardline is below a rival in events per CPU-second");
        }
        Ok(())
    }

    /// Wardline's median events per CPU-second over the rival's, by contest.
    fn ratios(&self, runs: &BTreeMap<String, Vec<Value>>) -> BTreeMap<String, f64> {
        let jobs = self.jobs();
        let mut ratios = BTreeMap::new();
        for ours in jobs.iter().filter(|job| job.ours) {
            let rival = jobs.iter().find(|job| !job.ours && job.contest == ours.contest);
            let rate = |job: &Job| runs.get(&job.name).map(|results| spread(results, per_cpu_second).1);
            if let (Some(contest), Some(own), Some(other)) = (&ours.contest, rate(ours), rival.and_then(rate)) {
                ratios.insert(contest.clone(), own / other.max(1.0));
            }
        }
        ratios
    }
}

/// What is drawn of a report: name of the measure in it, title.
const PLOTS: [(&str, &str); 4] = [
    ("events_per_cpu_second", "Events per CPU-second of the process (more is better)"),
    ("events_per_s", "Events per second (more is better)"),
    ("peak_rss_mb", "Peak memory, MB (less is better)"),
    ("ack_p99_ms", "99 of 100 acknowledged within, ms (less is better)"),
];

/// Draws the plots of a report beside it: one file for each measure that a job of it has.
fn draw(file: &Path, report: &Value) -> Result<()> {
    let jobs = report.get("jobs").and_then(Value::as_object).context("the report has no jobs")?;
    let note = format!("Median of {} rounds, line from least to most", number(report, "rounds"));
    for (measure, title) in PLOTS {
        let bars: Vec<plot::Bar> = jobs
            .iter()
            .filter_map(|(job, summary)| {
                let of = summary.get(measure)?;
                Some(plot::Bar {
                    name: job.clone(),
                    least: number(of, "min"),
                    median: number(of, "median"),
                    most: number(of, "max"),
                    ours: job.contains("wardline"),
                })
            })
            .collect();
        if !bars.is_empty() {
            let plot = file.with_extension(format!("{}.svg", measure.replace('_', "-")));
            std::fs::write(&plot, plot::svg(title, &note, &bars))?;
            writeln!(std::io::stdout(), "plot: {}", plot.display())?;
        }
    }
    Ok(())
}

fn table(runs: &BTreeMap<String, Vec<Value>>) -> String {
    let mut text =
        format!("{:34} {:>28} {:>10} {:>26} {:>9}\n", "job", "events/s", "CPU s", "events per CPU-s", "RSS MB");
    for (job, results) in runs {
        let cell = |of: &dyn Fn(&Value) -> f64| {
            let (least, median, most) = spread(results, of);
            format!("{median:.0} ({least:.0}-{most:.0})")
        };
        let median = |name: &str| spread(results, |result| number(result, name)).1;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{job:34} {:>28} {:>10.2} {:>26} {:>9.0}",
            cell(&|result| number(result, "events_per_s")),
            median("cpu_seconds"),
            cell(&per_cpu_second),
            median("peak_rss_mb"),
        );
        if results.iter().any(|result| result.get("ack_p50_ms").is_some()) {
            let (half, most) = (median("ack_p50_ms"), median("ack_p99_ms"));
            let _ = writeln!(text, "{:34} acknowledged in {half:.2} ms (median), {most:.2} ms (99 of 100)", "");
        }
    }
    text
}

fn summary(results: &[Value]) -> Value {
    let three = |of: &dyn Fn(&Value) -> f64| {
        let (least, median, most) = spread(results, of);
        json!({"min": least, "median": median, "max": most})
    };
    let mut summary = json!({"events_per_cpu_second": three(&per_cpu_second)});
    for name in ["events_per_s", "cpu_seconds", "peak_rss_mb", "ack_p50_ms", "ack_p99_ms"] {
        if results.iter().any(|result| result.get(name).is_some()) {
            summary[name] = three(&|result| number(result, name));
        }
    }
    summary
}

/// Least, median and most of a value.
fn spread(results: &[Value], of: impl Fn(&Value) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = results.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}

fn per_cpu_second(result: &Value) -> f64 {
    number(result, "events") / number(result, "cpu_seconds").max(0.01)
}

fn number(result: &Value, name: &str) -> f64 {
    result.get(name).and_then(Value::as_f64).unwrap_or_default()
}

/// Standard output of a command that must end well.
fn captured(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        bail!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn work_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("PEERS_WORK") {
        return Ok(PathBuf::from(dir));
    }
    let home = std::env::var_os("HOME").context("HOME is not set: set PEERS_WORK")?;
    Ok(Path::new(&home).join(".cache/wardline/peers-work"))
}

fn note(text: &str) {
    // When stderr is gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_three_rounds_counts() {
        let run = |events: u64, cpu: f64| json!({"events": events, "cpu_seconds": cpu});
        let results = [run(100, 2.0), run(100, 1.0), run(100, 4.0)];
        assert_eq!(spread(&results, per_cpu_second), (25.0, 50.0, 100.0));
        assert_eq!(summary(&results)["cpu_seconds"]["median"], 2.0);
    }
}
