//! The checks of every broker on Apache Kafka: what it does is right.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test")]

mod checks;

use anyhow::Result;
use components::{Installation, Kafka, KafkaOptions, Part, Progress};
use libtest_mimic::Arguments;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;
use wardline_testkit::conformance::Target;

/// Looks after its logs and transactions often enough for a test to see it.
const PROPERTIES: [(&str, &str); 7] = [
    ("log.flush.start.offset.checkpoint.interval.ms", "200"),
    ("log.retention.check.interval.ms", "300"),
    ("log.cleaner.backoff.ms", "100"),
    ("log.segment.delete.delay.ms", "100"),
    ("log.initial.task.delay.ms", "300"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "300"),
    ("offsets.retention.check.interval.ms", "1000"),
];

struct Real(Mutex<Kafka>);

impl Target for Real {
    fn bootstrap(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bootstrap()
    }

    fn kill_and_restart(&self) -> Result<()> {
        let mut kafka = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kafka.kill()?;
        Ok(kafka.restart()?)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        return checks::run(arguments, Nothing).exit_code();
    }
    let dir = TempDir::new().unwrap();
    let installation = Installation::ensure(&[Part::Kafka], &Progress::stderr()).unwrap();
    let properties = PROPERTIES.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = KafkaOptions { properties, short_lived: true, ..KafkaOptions::in_dir(dir.path().join("kafka")) };
    let kafka = Kafka::start(&installation, options).unwrap();
    checks::run(arguments, Real(Mutex::new(kafka))).exit_code()
}

/// Enough to list the checks.
struct Nothing;

impl Target for Nothing {
    fn bootstrap(&self) -> String {
        String::new()
    }

    fn kill_and_restart(&self) -> Result<()> {
        Ok(())
    }
}
