//! The commands, one module each.

pub mod bench;
pub mod chaos;
pub mod chart;
pub mod codegen;
pub mod components;
pub mod demo;
pub mod fuzz;
mod harnesses;
pub mod new_room;
pub mod simulate;
pub mod test;
pub mod tidy;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// The top of the repository.
fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace folder")?;
    Ok(root.to_owned())
}

/// Now, to tell a person how long something took.
#[allow(clippy::disallowed_methods, reason = "developer tasks do not take part in the flow, and are not simulated")]
fn now() -> Instant {
    Instant::now()
}

/// Runs cargo in the workspace; an exit code other than 0 is an error.
fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut cargo = cargo_command(root);
    let status = cargo.args(arguments).envs(environment.iter().copied()).status().context("start cargo")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// The cargo that runs this task, in the workspace.
fn cargo_command(root: &Path) -> Command {
    let mut cargo = cargo_here();
    cargo.current_dir(root);
    cargo
}

/// The cargo that runs this task, as a shell would start it: it has told this process of which package it is, and a package whose
/// build script looks at that (`ring` does) would be built anew for each of the two, with all that stands on it.
fn cargo_here() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OF_THIS_PACKAGE.iter().any(|prefix| name.starts_with(prefix))) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// How the variables begin that cargo sets for a program that it runs.
const OF_THIS_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// What a program is given, and whether a flag of the task itself stood among it: behind the first option for the program clap takes
/// all that follows as its own.
fn apart<'a>(options: &'a [String], flag: &str) -> (Vec<&'a str>, bool) {
    let passed_on: Vec<&str> = options.iter().map(String::as_str).filter(|option| *option != flag).collect();
    let is_there = passed_on.len() < options.len();
    (passed_on, is_there)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_of_the_package_that_runs_it() {
        let cargo = cargo_here();
        let untold: Vec<_> = cargo.get_envs().map(|(name, value)| (name.to_str().unwrap(), value)).collect();
        assert!(untold.contains(&("CARGO_MANIFEST_DIR", None)), "{untold:?}");
        let set = std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_"));
        set.for_each(|(name, _)| assert!(untold.contains(&(name.as_str(), None)), "{name}"));
    }

    #[test]
    fn a_flag_of_the_task_counts_wherever_it_stands() {
        let options = ["--minutes", "3", "--release", "--plan"].map(str::to_owned);
        assert_eq!(apart(&options, "--release"), (vec!["--minutes", "3", "--plan"], true));
        assert_eq!(apart(&options, "--dev"), (vec!["--minutes", "3", "--release", "--plan"], false));
    }
}
