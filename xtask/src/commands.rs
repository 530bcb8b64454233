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

/// The cargo that runs this task.
fn cargo_command(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// What a program is given, and whether a flag of the task itself stood among it: behind the first option for the program clap takes
/// all that follows as its own.
fn apart<'a>(options: &'a [String], flag: &str) -> (Vec<&'a str>, bool) {
    let passed_on: Vec<&str> = options.iter().map(String::as_str).filter(|option| *option != flag).collect();
    let is_there = passed_on.len() < options.len();
    (passed_on, is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_of_the_task_counts_wherever_it_stands() {
        let options = ["--minutes", "3", "--release", "--plan"].map(str::to_owned);
        assert_eq!(apart(&options, "--release"), (vec!["--minutes", "3", "--plan"], true));
        assert_eq!(apart(&options, "--dev"), (vec!["--minutes", "3", "--release", "--plan"], false));
    }
}
