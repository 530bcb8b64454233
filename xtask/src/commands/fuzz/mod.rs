//! `cargo xtask fuzz`: the fuzzer, target by target.

mod output;
mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use components::Progress;
use output::{Tally, used_by_ended};

const AFTER_HELP: &str = "\
Needed: a nightly compiler (`rustup toolchain install nightly`) and `cargo install cargo-fuzz`. Seeds are what stands in
fuzz/seeds, what follows from the contracts, and the corpus in the folder that WARDLINE_CORPUS names (else ../shared/corpus,
when it is there). What a run learns stays in .wardline/fuzz. What it finds is kept in fuzz/regressions, where a test replays
it: `cargo test -p wardline-fuzz-targets`. See docs/fuzzing.md.

  cargo xtask fuzz
  cargo xtask fuzz mllp hl7v2 --seconds 600";

/// Fuzz what takes foreign bytes, one target after the other.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Targets; all when none is named.
    targets: Vec<String>,
    /// How long each target runs, seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Sanitizer of cargo-fuzz (`address`, `memory`, `none`). The workspace has no unsafe code, and runs twice as fast without.
    #[arg(long, default_value = "none")]
    sanitizer: String,
}

/// Targets that need what takes long to build, and the feature that has it.
const HEAVY: [(&str, &str); 3] = [("fhir", "fhir"), ("registry", "embedded"), ("sandbox_erp", "embedded")];

/// One input that needs more than this, seconds, is found.
const INPUT_SECONDS_MAX: u32 = 10;

/// Largest input, bytes.
const INPUT_BYTES_MAX: usize = 16 * 1024;

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let root = super::root()?;
    let known = targets(&root)?;
    if let Some(stranger) = arguments.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {stranger}; there are: {}", known.join(", "));
    }
    let wanted = if arguments.targets.is_empty() { &known } else { &arguments.targets };
    let progress = Progress::stderr();
    let prepared = progress.step("prepare the seeds");
    prepared.done(&seeds::prepare(&root, &work(&root), &known)?);
    let needed = HEAVY.iter().filter(|(target, _)| wanted.iter().any(|name| name == target));
    let fuzzer = Fuzzer { root: &root, arguments, features: needed.map(|(_, feature)| *feature).collect() };
    fuzzer.build()?;
    let mut found = 0;
    for (number, target) in (1..).zip(wanted) {
        let step = progress.step(format!("[{number}/{}] {target}, {} s", wanted.len(), arguments.seconds));
        let tally = fuzzer.fuzz(target, |said| {
            if std::io::stderr().is_terminal() {
                step.says(said);
            }
        })?;
        step.done(&tally.coverage());
        found += tally.findings.len();
        writeln!(std::io::stdout(), "{target:11} {}", tally.summary())?;
        for (file, reason) in &tally.findings {
            writeln!(std::io::stdout(), "  {}: {reason}", file.strip_prefix(&root).unwrap_or(file).display())?;
        }
    }
    if found > 0 {
        bail!("{found} found: mend them, and keep the files; `cargo test -p wardline-fuzz-targets` replays them");
    }
    Ok(())
}

/// Names of all targets, sorted.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Where runs keep what they learn.
fn work(root: &Path) -> PathBuf {
    root.join(".wardline/fuzz")
}

/// How targets are built and run.
struct Fuzzer<'a> {
    root: &'a Path,
    arguments: &'a Arguments,
    /// What the wanted targets need. The same for all of them, so that nothing is built twice.
    features: BTreeSet<&'static str>,
}

impl Fuzzer<'_> {
    /// cargo-fuzz with the nightly compiler, whatever compiler runs this task.
    fn cargo_fuzz(&self, action: &str) -> Command {
        let mut command = Command::new("rustup");
        command.current_dir(self.root).args(["run", "nightly", "cargo", "fuzz", action, "--fuzz-dir", "fuzz"]);
        command.args(["--sanitizer", &self.arguments.sanitizer]);
        command.arg("--no-default-features");
        if !self.features.is_empty() {
            command.args(["--features", &Vec::from_iter(self.features.iter().copied()).join(",")]);
        }
        command
    }

    fn build(&self) -> Result<()> {
        let status = self.cargo_fuzz("build").status().context("start rustup")?;
        if !status.success() {
            bail!(
                "the targets were not built: see above. Is there a nightly compiler (`rustup toolchain install nightly`), \
                 and cargo-fuzz (`cargo install cargo-fuzz`)?"
            );
        }
        Ok(())
    }

    fn command(&self, target: &str, learned: &Path, kept: &Path) -> Command {
        let mut command = self.cargo_fuzz("run");
        command.arg(target).arg(learned);
        command.args([work(self.root).join("seeds").join(target), self.root.join("fuzz/seeds").join(target)]);
        command.arg(kept).arg("--").args([
            format!("-max_total_time={}", self.arguments.seconds),
            format!("-timeout={INPUT_SECONDS_MAX}"),
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-artifact_prefix={}/", kept.display()),
            "-print_final_stats=1".to_owned(),
        ]);
        let dictionary = self.root.join("fuzz/dictionaries").join(format!("{target}.dict"));
        if dictionary.is_file() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        command
    }

    fn fuzz(&self, target: &str, says: impl Fn(&str)) -> Result<Tally> {
        let learned = work(self.root).join("corpus").join(target);
        let kept = self.root.join("fuzz/regressions").join(target);
        for folder in [&learned, &kept] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let mut command = self.command(target, &learned, &kept);
        let used = used_by_ended();
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().context("start cargo-fuzz")?;
        let stderr = child.stderr.take().ok_or_else(|| anyhow!("the fuzzer has no output"))?;
        let mut tally = Tally::default();
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        // By bytes: a broken input that a panic quotes need not be UTF-8.
        while lines.read_until(b'\n', &mut line).context("read what the fuzzer says")? > 0 {
            tally.add(String::from_utf8_lossy(&line).trim_end());
            says(&tally.coverage());
            line.clear();
        }
        let status = child.wait().context("wait for the fuzzer")?;
        tally.used_since(used);
        remove_when_empty(&kept)?;
        // Without a finding the fuzzer ends well.
        if !status.success() && tally.findings.is_empty() {
            bail!("the fuzzer of {target} ended with {status}:\n{}", tally.last_words());
        }
        Ok(tally)
    }
}

/// A folder without a finding is noise.
fn remove_when_empty(folder: &Path) -> Result<()> {
    if fs::read_dir(folder)?.next().is_none() {
        fs::remove_dir(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}
