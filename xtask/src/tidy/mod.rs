//! Rules that hold the repository together and that no compiler checks. `cargo xtask tidy` and a test run them all.
//!
//! Each rule is a function from the texts of the repository to findings, so each is tested on a bad sample.

mod chart;
pub mod codes;
mod deny;
mod furniture;
mod layers;
mod links;
mod spdx;
mod targets;
mod tree;
mod words;

use std::fmt;
use std::path::Path;

pub use tree::Tree;

/// One broken rule, with the place to look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File, by its path from the top of the repository.
    pub path: String,
    /// Line, from 1; 0 when it is about the whole file.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(formatter, "{}: {}", self.path, self.message)
        } else {
            write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
        }
    }
}

/// Runs every rule on the repository at `root`.
///
/// # Errors
/// When a file cannot be read or `cargo metadata` fails; a broken rule is a finding.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    for rule in
        [layers::check, furniture::check, words::check, links::check, codes::check, chart::check, targets::check]
    {
        findings.extend(rule(&tree));
    }
    findings.extend(deny::check(root, &tree)?);
    findings.extend(drift(root)?);
    findings.sort();
    Ok(findings)
}

/// Generated code that no longer fits the contracts.
fn drift(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let stale = crate::codegen::drift(root)?;
    Ok(stale
        .iter()
        .map(|path| {
            Finding::new(
                &format!("schemas/src/generated/{}", path.display()),
                0,
                "out of date: run `cargo xtask codegen`",
            )
        })
        .collect())
}
