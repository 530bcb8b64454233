//! `wardline bench restart`: `wardline up` on embedded parts, filled with data, killed, and started again.
//!
//! Measured are a process of its own and its folder, as whoever types `wardline up` has them.

use super::contracts::Consumed;
use super::measured::{failed, must_be_new, own, usage, wait_ready};
use super::usage::{Conditions, rate, rounded};
use super::{BenchRestart, blocking, data, length, output};
use crate::Failure;
use runtime::admin;
use runtime::clock::{Tick, tick};
use runtime::config::KafkaConfig;
use schemas::Event;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::process::Child;

/// Ports of the measured process: beside those of a system that runs.
const PORTS: u16 = 16_000;
/// Port of its broker.
const BROKER: &str = "127.0.0.1:16092";
/// Its health endpoint.
const HEALTH: &str = "127.0.0.1:16064";
/// Its MLLP listener.
const MLLP: &str = "127.0.0.1:16075";

/// What was seen of one start.
#[derive(Debug, Serialize)]
struct Start {
    /// Until every room was ready, seconds.
    ready_s: f64,
    /// Resident memory after the idle time, MB.
    idle_rss_mb: f64,
    /// Highest resident memory, MB.
    peak_rss_mb: f64,
    /// Share of one core used while idle.
    idle_cpu: f64,
}

/// Runs the benchmark and prints its JSON line.
pub fn execute(options: &BenchRestart) -> Result<(), Failure> {
    must_be_new(&options.data)?;
    let report = crate::context::block_on(measure(options))??;
    output(&report)
}

async fn measure(options: &BenchRestart) -> Result<Value, Failure> {
    let (mut process, started) = start(&options.data)?;
    let empty = settle(&process, started, options).await?;
    let filling = tick();
    let records = fill(options).await?;
    let fill_s = tick().since(filling).as_secs_f64();
    let filled = usage(&process);
    process.kill().await.map_err(failed)?;

    let (mut process, started) = start(&options.data)?;
    let again = settle(&process, started, options).await?;
    let found = length(&kafka(), Consumed::topic().name).await?;
    process.kill().await.map_err(failed)?;
    let stored = folder_bytes(&options.data);
    Ok(json!({
        "bench": "restart",
        "stored_mb": stored / 1_048_576,
        "records": records,
        "records_found": found,
        "fill_records_per_s": rate(records, fill_s),
        "filled_peak_rss_mb": rounded(filled.peak_rss_mb, 0),
        "empty": empty,
        "after_kill": again,
        "conditions": Conditions::now(BROKER, Consumed::topic().partitions, "acks=all, idempotent"),
    }))
}

fn start(data: &Path) -> Result<(Child, Tick), Failure> {
    let mut command = own()?;
    command.args(["up", "--ports", &PORTS.to_string(), "--health", HEALTH, "--mllp", MLLP, "--data"]).arg(data);
    let started = tick();
    Ok((command.spawn().map_err(failed)?, started))
}

/// Waits until all rooms are ready, then looks at the process at rest.
async fn settle(process: &Child, started: Tick, options: &BenchRestart) -> Result<Start, Failure> {
    let ready_s = wait_ready(HEALTH, started).await?.as_secs_f64();
    let (before, since) = (usage(process), tick());
    tokio::time::sleep(Duration::from_secs(options.idle)).await;
    let after = usage(process);
    let idle_s = tick().since(since).as_secs_f64().max(0.001);
    Ok(Start {
        ready_s: rounded(ready_s, 2),
        idle_rss_mb: rounded(after.rss_mb, 0),
        peak_rss_mb: rounded(after.peak_rss_mb, 0),
        idle_cpu: rounded((after.cpu_seconds - before.cpu_seconds) / idle_s, 3),
    })
}

/// Loads events until the broker's folder is as large as it is to be.
async fn fill(options: &BenchRestart) -> Result<u64, Failure> {
    let kafka = kafka();
    admin::ensure_topics(&kafka, &[Consumed::topic()]).await.map_err(Failure::kafka)?;
    let (folder, wanted) = (options.data.clone(), options.mb * 1_048_576);
    let goes_on = move |_| if folder_bytes(&folder) < wanted { u64::MAX } else { 0 };
    blocking(move || data::load_while(&kafka, goes_on)).await?
}

fn kafka() -> KafkaConfig {
    KafkaConfig { bootstrap: BROKER.to_owned(), ..KafkaConfig::default() }
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        // Files come and go while one looks.
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
