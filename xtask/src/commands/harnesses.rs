//! Builds test harnesses with cargo, runs two at a time and counts what they say.
//!
//! `cargo test` runs one harness after another. Most of ours wait for brokers and not for a processor, so that two beside each
//! other take little longer than one; those that measure, or that load every core themselves, run alone.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

/// How many run beside each other.
const BESIDE: usize = 2;

/// What test harnesses counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that held.
    pub passed: u64,
    /// Tests that did not.
    pub failed: u64,
    /// Tests that were not run.
    pub ignored: u64,
}

impl Tally {
    /// Adds what a line of output says, when it is the last line of a harness.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else { return };
        for count in counts.1.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// In which order harnesses run, by their names.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Those that take longest: they begin first, so that none of them is what all others have long been waiting for.
    pub first: &'a [&'a str],
    /// Those that run one at a time, behind all others.
    pub alone: &'a [&'a str],
}

/// Builds the tests that `selection` names, as `cargo test` would, and runs them: two harnesses at a time, and then those that
/// run alone. Every harness runs, whatever another one said; its output is shown when it has ended.
///
/// # Errors
///
/// The build failed, or harnesses did, which are named.
pub fn run(
    root: &Path,
    selection: &[&str],
    order: Order<'_>,
    environment: &[(&str, &str)],
    tally: &mut Tally,
) -> Result<()> {
    let (single, beside) = order.of(build(root, selection)?);
    let mut failed = run_all(beside, BESIDE, environment, tally)?;
    failed.extend(run_all(single, 1, environment, tally)?);
    if failed.is_empty() { Ok(()) } else { bail!("these failed: {}", failed.join(", ")) }
}

/// Runs the examples in the documentation of every crate.
///
/// # Errors
///
/// One does not hold.
pub fn run_examples(root: &Path, tally: &mut Tally) -> Result<()> {
    let mut cargo = super::cargo_command(root);
    let mut child = cargo
        .args(["test", "--locked", "--no-fail-fast", "--workspace", "--doc"])
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo test --doc")?;
    let output = child.stdout.take().ok_or_else(|| anyhow!("cargo test has no output"))?;
    for line in BufReader::new(output).lines() {
        let line = line.context("read the output of cargo test")?;
        tally.add(&line);
        writeln!(std::io::stdout(), "{line}")?;
    }
    let status = child.wait().context("wait for cargo test")?;
    if status.success() { Ok(()) } else { bail!("cargo test --doc ended with {status}") }
}

impl Order<'_> {
    /// Those that run alone, and the others as they begin.
    fn of(self, harnesses: Vec<Harness>) -> (Vec<Harness>, Vec<Harness>) {
        let place = |names: &[&str], harness: &Harness| names.iter().position(|name| *name == harness.name);
        let (single, mut beside): (Vec<_>, Vec<_>) =
            harnesses.into_iter().partition(|harness| place(self.alone, harness).is_some());
        beside.sort_by_key(|harness| place(self.first, harness).unwrap_or(self.first.len()));
        (single, beside)
    }
}

/// One program of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Harness {
    /// The target's name, and the folder of its package, in which its tests run.
    name: String,
    folder: PathBuf,
    program: PathBuf,
}

/// What cargo says of something it built (the Cargo book, "External tools", "JSON messages").
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Message {
    /// The harness, when it is one that was built.
    fn harness(self) -> Option<Harness> {
        let is_test = self.reason == "compiler-artifact" && self.profile.is_some_and(|profile| profile.test);
        let folder = self.manifest_path?.parent()?.to_owned();
        let harness = Harness { name: self.target?.name, folder, program: self.executable? };
        is_test.then_some(harness)
    }
}

/// Builds, and says what was built, in an order that does not depend on which was ready first.
fn build(root: &Path, selection: &[&str]) -> Result<Vec<Harness>> {
    let mut cargo = super::cargo_command(root);
    let mut child = cargo
        .args(["test", "--locked", "--no-run", "--message-format", "json-render-diagnostics"])
        .args(selection)
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo test --no-run")?;
    let output = child.stdout.take().ok_or_else(|| anyhow!("cargo test has no output"))?;
    let mut harnesses = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("read what cargo built")?;
        let message: Message = serde_json::from_str(&line).context("read a message of cargo")?;
        harnesses.extend(message.harness());
    }
    let status = child.wait().context("wait for cargo test --no-run")?;
    if !status.success() {
        bail!("the tests do not build: cargo ended with {status}");
    }
    harnesses.sort_by(|one, other| (&one.folder, &one.name).cmp(&(&other.folder, &other.name)));
    Ok(harnesses)
}

/// Runs `harnesses`, so many at a time, and names those that failed.
fn run_all(
    harnesses: Vec<Harness>,
    beside: usize,
    environment: &[(&str, &str)],
    tally: &mut Tally,
) -> Result<Vec<String>> {
    let waiting = Mutex::new(VecDeque::from(harnesses));
    let ended = Mutex::new((tally, Vec::new()));
    let work = || -> Result<()> {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(harness) = next else { return Ok(()) };
            let (output, held) = harness.run(environment)?;
            let (tally, failed) = &mut *ended.lock().unwrap_or_else(PoisonError::into_inner);
            show(&harness.name, &output, tally)?;
            if !held {
                failed.push(harness.name);
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..beside).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker ended in a panic"))?)
    })?;
    Ok(ended.into_inner().unwrap_or_else(PoisonError::into_inner).1)
}

impl Harness {
    /// Runs it to its end. Returns all it printed, in its order, and whether it held.
    fn run(&self, environment: &[(&str, &str)]) -> Result<(String, bool)> {
        // A file and not a pipe: what a test left running could keep a pipe open for ever.
        let mut output = tempfile::tempfile().context("a file for what a test prints")?;
        let status = Command::new(&self.program)
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("a file for what a test prints")?)
            .stderr(output.try_clone().context("a file for what a test prints")?)
            .status()
            .with_context(|| format!("start {}", self.program.display()))?;
        let mut bytes = Vec::new();
        output.rewind().and_then(|()| output.read_to_end(&mut bytes)).context("read what a test printed")?;
        Ok((String::from_utf8_lossy(&bytes).into_owned(), status.success()))
    }
}

/// Shows what a harness printed, and counts it.
fn show(name: &str, output: &str, tally: &mut Tally) -> Result<()> {
    output.lines().for_each(|line| tally.add(line));
    writeln!(std::io::stdout(), "\n     {name}\n{output}").context("write to stdout")
}

#[cfg(test)]
mod tests_of_harnesses {
    use super::{Harness, Message, Order, Tally, run_all};

    #[test]
    fn only_the_last_line_of_a_harness_counts() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 26 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "my own test result: ok. 100 passed; 0 failed",
        ] {
            tally.add(line);
        }
        assert_eq!(tally, Tally { passed: 28, failed: 3, ignored: 1 });
    }

    #[test]
    fn only_programs_of_tests_are_harnesses() {
        let harness = |text: &str| serde_json::from_str::<Message>(text).unwrap().harness();
        let built = r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml","target":{"name":"calls"},
            "profile":{"test":true},"executable":"/t/calls-1"}"#;
        let expected = Harness { name: "calls".to_owned(), folder: "/w/tests".into(), program: "/t/calls-1".into() };
        assert_eq!(harness(built), Some(expected));
        assert_eq!(harness(&built.replace("true", "false")), None, "a program that is no test");
        assert_eq!(harness(&built.replace("\"/t/calls-1\"", "null")), None, "a library");
        assert_eq!(harness(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[test]
    fn what_takes_longest_begins_first_and_what_measures_is_alone() {
        let harness = |name: &str| Harness { name: name.to_owned(), folder: "/".into(), program: "/".into() };
        let all = ["a", "speed", "b", "storm", "long"].map(harness).to_vec();
        let (alone, beside) = Order { first: &["long", "b"], alone: &["storm", "speed"] }.of(all);
        let names = |harnesses: Vec<Harness>| harnesses.into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(
            (names(alone), names(beside)),
            (names(["speed", "storm"].map(harness).to_vec()), names(["long", "b", "a"].map(harness).to_vec()))
        );
    }

    #[test]
    fn every_harness_runs_and_the_ones_that_fail_are_named() {
        let program =
            |name: &str| Harness { name: name.to_owned(), folder: "/".into(), program: format!("/bin/{name}").into() };
        let mut tally = Tally::default();
        let all = ["false", "true", "false", "true"].map(program).to_vec();
        assert_eq!(run_all(all, 2, &[], &mut tally).unwrap(), ["false", "false"]);
    }
}
