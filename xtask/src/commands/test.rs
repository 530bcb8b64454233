//! `cargo xtask test`: everything that must hold, in one command.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use components::{Browser, Installation, Part, Progress, Registry, RegistryOptions};
use tempfile::TempDir;

use super::harnesses::{self, Order, Tally};

/// Run everything that must hold, and stop at the first step that fails with what to do next.
///
/// Format, lints, rules of the repository, documentation, the chart, tests of every crate and of the whole path on embedded
/// parts, the console in Chromium, and then on real Kafka, registry, ERP and FHIR server. What is missing is fetched into a
/// cache of yours ($WARDLINE_CACHE, else ~/.cache/wardline/components). Wanted for the real parts: JDK 17, Maven, Python 3.11;
/// for the browser: JDK 17, Maven and Chromium, which is installed on Debian when root runs this.
///
/// Some tests read a corpus of messages in the folder named by WARDLINE_CORPUS. Without it they are left out; where CI is
/// set, that is an error. The last line sums up the tests: `N passed, N failed`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only these steps, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Step>,
    /// Say what the steps are, and run none.
    #[arg(long)]
    list: bool,
}

/// Test targets that run on parts of the testkit, embedded or real.
const ON_PARTS: [&str; 2] = ["--test", "parts*"];

/// Test targets that read the corpus, and those that make sense on real systems alone. Their manifests keep them out of every
/// selection that does not name them.
const ON_CORPUS: [&str; 2] = ["--test", "corpus*"];
const REAL_ONLY: [&str; 2] = ["--test", "real*"];

/// Test targets that sit at the console with a browser; kept out of other selections in the same way.
const IN_BROWSER: [&str; 2] = ["--test", "browser*"];

/// Harnesses that take longest.
const FIRST: [&str; 5] =
    ["simulation", "real_conformance", "parts_reconcile", "real_larger_parts", "parts_first_light"];

/// Harnesses that measure, or that load every core themselves.
const ALONE: [&str; 8] = [
    "browser",
    "parts_cause_many",
    "parts_incident",
    "parts_pacing",
    "parts_rebalance",
    "parts_recovery",
    "real_storm",
    "speed",
];

/// Seeds of the simulation, in place of the few of a plain `cargo test`.
const SEEDS: (&str, &str) = ("WARDLINE_SIMULATION_SEEDS", "2000");

/// A part of the whole, in the order in which they run: what is quick to say no comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Fmt,
    Tidy,
    Clippy,
    Docs,
    Chart,
    Tests,
    Browser,
    Real,
}

impl Step {
    /// What it checks.
    fn purpose(self) -> &'static str {
        match self {
            Self::Fmt => "the code is formatted",
            Self::Tidy => "layering, sizes, links, error pages, licences and the other rules of the repository",
            Self::Clippy => "no warning of the compiler or of clippy, in any target",
            Self::Docs => "the documentation of every crate builds without a warning",
            Self::Chart => "the Helm chart, against strict schemas of Kubernetes",
            Self::Tests => "every crate and room, 2,000 seeds of the simulation, and the whole path, on embedded parts",
            Self::Browser => {
                "the console in Chromium: every act, every page by axe-core, and attacks that must not run"
            }
            Self::Real => {
                "what runs on parts once more, on real Kafka, registry, ERP and FHIR server, and what only they show"
            }
        }
    }

    /// What to do when it fails.
    fn next(self) -> &'static str {
        match self {
            Self::Fmt => "run `cargo fmt --all`",
            Self::Tidy => "mend what is listed above; `cargo xtask tidy` runs these rules alone",
            Self::Clippy => "mend the first warning above",
            Self::Docs => "mend the first warning above",
            Self::Chart => "mend what is said above; `cargo xtask chart` checks the chart alone",
            Self::Tests => "run the failed test alone: `cargo test -p PACKAGE --test FILE NAME`",
            Self::Browser => "run the failed test alone: `cargo test -p wardline-tests --test browser NAME`",
            Self::Real => {
                "run the failed test alone: `WARDLINE_TEST_PARTS=real cargo test -p PACKAGE --test FILE NAME`"
            }
        }
    }

    /// Whether it needs what is fetched: real systems, or a browser.
    fn needs_parts(self) -> bool {
        matches!(self, Self::Browser | Self::Real)
    }

    fn run(self, root: &Path, tally: &mut Tally) -> Result<()> {
        const STRICT: [&str; 2] = ["--locked", "--workspace"];
        match self {
            Self::Fmt => super::cargo(root, &["fmt", "--all", "--", "--check"], &[]),
            Self::Tidy => super::tidy::run(&super::tidy::Arguments::default()),
            Self::Clippy => {
                let clippy = |targets: &[&str]| {
                    let arguments = [&["clippy"], &STRICT[..], targets, &["--", "--deny", "warnings"]].concat();
                    super::cargo(root, &arguments, &[])
                };
                clippy(&["--all-targets"])?;
                clippy(&[ON_CORPUS, REAL_ONLY, IN_BROWSER].concat())
            }
            Self::Docs => super::cargo(
                root,
                &["doc", "--locked", "--workspace", "--no-deps"],
                &[("RUSTDOCFLAGS", "--deny warnings")],
            ),
            Self::Chart => super::chart::run(&super::chart::Arguments {}),
            // One selection for all: another one would unify features differently and build the largest crates again.
            Self::Tests => {
                tests(root, &["--workspace"], &[SEEDS], tally)?;
                harnesses::run_examples(root, tally)?;
                if has_corpus() {
                    return tests(root, &[&["--workspace"], &ON_CORPUS[..]].concat(), &[], tally);
                }
                say("WARDLINE_CORPUS is not set: the tests of the corpus are left out")
            }
            Self::Browser => tests(root, &[&["--workspace"], &IN_BROWSER[..]].concat(), &[], tally),
            Self::Real => {
                let selection = [&["--workspace"], &ON_PARTS[..], &REAL_ONLY].concat();
                let shared = SharedRegistry::start()?;
                tests(root, &selection, &[("WARDLINE_TEST_PARTS", "real"), (SHARED_REGISTRY, &shared.dir)], tally)
            }
        }
    }
}

/// Names to the tests the folder of the registry that they share, and of what they keep beside it.
const SHARED_REGISTRY: &str = "WARDLINE_TEST_REGISTRY";

/// One real registry for all tests that only register our schemas: each with its own would spend most of its time on starting one.
struct SharedRegistry {
    dir: String,
    _registry: Registry,
    _folder: TempDir,
}

impl SharedRegistry {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the registry")?;
        let installation = Installation::ensure(&[Part::Registry], &Progress::stderr())?;
        let registry = Registry::start(&installation, RegistryOptions::in_dir(folder.path()))?;
        std::fs::write(folder.path().join("url"), registry.url()).context("write down where the registry is")?;
        let dir = folder.path().to_str().context("a folder whose name is text")?.to_owned();
        Ok(Self { dir, _registry: registry, _folder: folder })
    }
}

/// Runs the steps.
pub fn run(arguments: &Arguments) -> Result<()> {
    let steps: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| arguments.only.is_empty() || arguments.only.contains(step))
        .collect();
    if arguments.list {
        for step in steps {
            writeln!(std::io::stdout(), "{:7} {}", name(step), step.purpose())?;
        }
        return Ok(());
    }
    let root = super::root()?;
    needs_corpus()?;
    let mut fetching = fetch_ahead(&steps);
    let mut tally = Tally::default();
    let mut times = Vec::new();
    for (number, step) in (1..).zip(&steps) {
        say(&format!("\n[{number}/{}] {}: {}", steps.len(), name(*step), step.purpose()))?;
        let start = super::now();
        if step.needs_parts() {
            // It failed, or it did not: whatever is still missing is fetched by the test that needs it, which says what is wrong.
            fetching.take().map(std::thread::JoinHandle::join);
        }
        let outcome = step.run(&root, &mut tally);
        let seconds = start.elapsed().as_secs();
        times.push(format!("{:7} {:>3} min {:>2} s", name(*step), seconds / 60, seconds % 60));
        if let Err(error) = outcome {
            say(&format!("\n{}\n{error:#}", times.join("\n")))?;
            writeln!(std::io::stdout(), "{} passed, {} failed", tally.passed, tally.failed.max(1))?;
            bail!("the step {} failed: {}", name(*step), step.next());
        }
    }
    say(&format!("\n{}", times.join("\n")))?;
    writeln!(std::io::stdout(), "{} passed, {} failed", tally.passed, tally.failed)?;
    Ok(())
}

/// Fetches what later steps need while earlier ones compile.
fn fetch_ahead(steps: &[Step]) -> Option<std::thread::JoinHandle<()>> {
    steps.iter().any(|step| step.needs_parts()).then(|| {
        std::thread::spawn(|| {
            let _browser = Browser::ensure(&Progress::silent());
            let _installed = Installation::ensure(&Part::ALL, &Progress::silent());
        })
    })
}

/// On a build machine no test may be left out because its input is not there.
fn needs_corpus() -> Result<()> {
    if is_set("CI") && !has_corpus() {
        bail!(
            "CI is set and WARDLINE_CORPUS is not: name the folder with the corpus of messages, so that no test is left out"
        );
    }
    Ok(())
}

fn has_corpus() -> bool {
    is_set("WARDLINE_CORPUS")
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Runs tests, shows their output and counts them. A test that is ignored is a failure: nothing is skipped.
fn tests(root: &Path, selection: &[&str], environment: &[(&str, &str)], tally: &mut Tally) -> Result<()> {
    let ignored_before = tally.ignored;
    harnesses::run(root, selection, Order { first: &FIRST, alone: &ALONE }, environment, tally)?;
    if tally.ignored > ignored_before {
        bail!("{} tests are ignored: nothing is skipped", tally.ignored - ignored_before);
    }
    Ok(())
}

fn name(step: Step) -> String {
    step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn say(text: &str) -> Result<()> {
    writeln!(std::io::stderr(), "{text}").context("write to stderr")
}
