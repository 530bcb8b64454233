//! How a command fails: what happened, and one sentence of what to do next.

use crate::output;
use std::fmt::Display;

/// A failure of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    what: String,
    next: String,
    exit_code: u8,
}

impl Failure {
    /// What happened and what to do next.
    pub fn new(what: impl Display, next: impl Into<String>) -> Self {
        Self { what: what.to_string(), next: next.into(), exit_code: 1 }
    }

    /// The input or the arguments are at fault (exit code 2, as for a wrong flag).
    pub fn usage(what: impl Display, next: impl Into<String>) -> Self {
        Self { exit_code: 2, ..Self::new(what, next) }
    }

    /// Kafka is not there or refuses.
    pub fn kafka(error: impl Display) -> Self {
        Self::new(
            error,
            "check that --kafka names a running broker (`wardline up` starts one) and that it has the topics (`wardline topics apply`)",
        )
    }

    /// The registry is not there or refuses.
    pub fn registry(error: impl Display) -> Self {
        Self::new(
            error,
            "check that --registry names the Confluent-compatible API of a running schema registry (`wardline up` starts one)",
        )
    }

    /// Writing the answer failed, usually because the reader has gone.
    pub fn output(error: &std::io::Error) -> Self {
        Self::new(format!("cannot write to stdout: {error}"), "give the output a reader that stays open")
    }

    /// Exit code of the process.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Prints to stderr.
    pub fn print(&self) {
        output::note(&format!("wardline: {}\n  next: {}", self.what, self.next));
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}; next: {}", self.what, self.next)
    }
}

impl std::error::Error for Failure {}
