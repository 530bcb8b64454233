//! Measures a broker with the clients' eyes and prints JSON: `cargo run --release --example measure -- BROKER`, which is
//! `embedded` or `kafka` to start one, or the `HOST:PORT` of one that runs. `--rate` and `--seconds` change the load.

use anyhow::{Context, Result, bail};
use components::{Installation, Kafka, KafkaOptions, Part, Progress};
use serde_json::json;
use std::io::Write;
use tempfile::TempDir;
use wardline_testkit::conformance::Target;
use wardline_testkit::conformance::measure::{Load, measure};
use wardline_testkit::served::{Served, served_instead};

/// A broker that somebody else runs.
struct Running(String);

impl Target for Running {
    fn bootstrap(&self) -> String {
        self.0.clone()
    }

    fn kill_and_restart(&self) -> Result<()> {
        bail!("not ours to kill")
    }
}

fn main() -> Result<()> {
    if served_instead()? {
        return Ok(());
    }
    let mut arguments = std::env::args().skip(1);
    let broker = arguments.next().context("say which broker: embedded, kafka or HOST:PORT")?;
    let mut high = Load::HIGH;
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a number"))?.parse()?;
        match name.as_str() {
            "--rate" => high.rate = value,
            "--seconds" => high.seconds = value,
            _ => bail!("{name} is unknown: --rate or --seconds"),
        }
    }
    let dir = TempDir::new()?;
    let embedded = if broker == "embedded" { Some(Served::start()?) } else { None };
    let mut kafka = None;
    let address = if broker == "kafka" {
        let installation = Installation::ensure(&[Part::Kafka], &Progress::stderr())?;
        kafka.insert(Kafka::start(&installation, KafkaOptions::in_dir(dir.path().join("kafka")))?).bootstrap()
    } else {
        broker.clone()
    };
    let target: Box<dyn Target> = match embedded {
        Some(served) => Box::new(served),
        None => Box::new(Running(address)),
    };
    let report = json!({ "broker": broker, "low": measure(&*target, Load::LOW)?, "high": measure(&*target, high)? });
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    Ok(())
}
