//! `wardline bench idle`: each room in a process of its own, as a container runs it, with nothing to do.
//!
//! The parts they need are those that `wardline up` embeds, in a process of their own that is not measured.

use super::measured::{failed, must_be_new, own, usage, wait_ready};
use super::output;
use super::usage::{Conditions, rounded};
use crate::Failure;
use clap::Args;
use runtime::clock::tick;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::process::Child;

/// First port of the parts: beside those of a system that runs.
const PORTS: u16 = 16_000;
/// Their broker.
const BROKER: &str = "127.0.0.1:16092";
/// Health endpoint of the process of the parts.
const PARTS_HEALTH: &str = "127.0.0.1:16064";
/// Health endpoint of the measured room.
const ROOM_HEALTH: &str = "127.0.0.1:16065";
/// MLLP listener of the measured room.
const MLLP: &str = "127.0.0.1:16075";

/// Options of `bench idle`.
#[derive(Debug, Args)]
pub struct BenchIdle {
    /// Seconds without work after which memory and CPU of a room are looked at.
    #[arg(long, default_value_t = 20)]
    pub secs: u64,
    /// A new folder for data and configurations; it is left there.
    #[arg(long, default_value = "wardline-data/bench-idle", value_name = "DIR")]
    pub data: std::path::PathBuf,
}

/// What was seen of one room.
#[derive(Debug, Serialize)]
struct Room {
    room: &'static str,
    /// From the start of the process until it has its partitions and its tables and polls, seconds.
    ready_s: f64,
    /// CPU time until then, seconds.
    ready_cpu_s: f64,
    /// Resident memory after the idle time, MB.
    idle_rss_mb: f64,
    /// Highest resident memory, MB.
    peak_rss_mb: f64,
    /// Share of one core used while idle.
    idle_cpu: f64,
}

/// Runs the benchmark and prints its JSON line.
pub fn execute(options: &BenchIdle) -> Result<(), Failure> {
    must_be_new(&options.data)?;
    let report = crate::context::block_on(measure(options))??;
    output(&report)
}

async fn measure(options: &BenchIdle) -> Result<Value, Failure> {
    let _parts = start_parts(&options.data).await?;
    let mut rooms = Vec::new();
    for room in crate::rooms::names() {
        crate::output::note(&format!("{room}: start, and {} s with nothing to do", options.secs));
        rooms.push(measure_room(room, options).await?);
    }
    Ok(json!({
        "bench": "idle",
        "rooms": rooms,
        "conditions": Conditions::now(BROKER, 0, "a process for each room, one after the other; parts embedded in another"),
    }))
}

/// `wardline up` without a room: topics, schemas and the parts.
async fn start_parts(folder: &Path) -> Result<Child, Failure> {
    let mut command = own()?;
    command.args(["up", "--ports", &PORTS.to_string(), "--health", PARTS_HEALTH, "--mllp", MLLP, "--console", ""]);
    for room in crate::rooms::names() {
        command.args(["--without", room]);
    }
    command.arg("--data").arg(folder.join("parts"));
    let parts = command.spawn().map_err(failed)?;
    wait_ready(PARTS_HEALTH, tick()).await?;
    Ok(parts)
}

async fn measure_room(room: &'static str, options: &BenchIdle) -> Result<Room, Failure> {
    let file = options.data.join(format!("{room}.yaml"));
    std::fs::write(&file, settings(&options.data).to_string()).map_err(failed)?;
    let mut command = own()?;
    command.args(["run", room, "--kafka", BROKER, "--erp-system", "sandbox", "--erp-key", "sandbox"]);
    for (flag, port, path) in [("--registry", 81, ""), ("--erp", 69, ""), ("--fhir", 90, "/fhir")] {
        command.args([flag, &format!("http://127.0.0.1:{}{path}", PORTS + port)]);
    }
    command.arg("--config").arg(&file);
    let started = tick();
    let mut process = command.spawn().map_err(failed)?;
    let ready_s = wait_ready(ROOM_HEALTH, started).await?.as_secs_f64();
    let (ready, since) = (usage(&process), tick());
    tokio::time::sleep(Duration::from_secs(options.secs)).await;
    let (idle, idle_s) = (usage(&process), tick().since(since).as_secs_f64().max(0.001));
    process.kill().await.map_err(failed)?;
    Ok(Room {
        room,
        ready_s: rounded(ready_s, 2),
        ready_cpu_s: rounded(ready.cpu_seconds, 2),
        idle_rss_mb: rounded(idle.rss_mb, 0),
        peak_rss_mb: rounded(idle.peak_rss_mb, 0),
        idle_cpu: rounded((idle.cpu_seconds - ready.cpu_seconds) / idle_s, 3),
    })
}

fn settings(folder: &Path) -> Value {
    json!({
        "http": {"listen": ROOM_HEALTH},
        "rooms": {"hl7v2": {"listen": MLLP}, "analytics": {"directory": folder.join("lake")}},
    })
}
