//! `wardline bench tables`: how soon a room has its master data, in how much memory, and how fast it looks things up.
//!
//! Each start is a process of its own, so that its memory is that of one start.

use super::master::{self, Held};
use super::usage::{Conditions, Usage, rate, rounded};
use super::{BenchTables, BenchTablesStart, blocking, output, setup};
use crate::Failure;
use crate::args::Globals;
use processor::Wiring;
use runtime::clock::{now_micros, tick};
use runtime::codec::Codec;
use runtime::config::KafkaConfig;
use runtime::health::Health;
use runtime::producer::{Delivery, Producer};
use runtime::{Config, Room, RoomInfo, admin, run_rooms_with, shutdown};
use schemas::{Event, MasterItem, TopicInfo};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// First schema id of the topics that every room writes.
const OPS_ID: u32 = 101;
/// Updates per second while lookups are counted.
const UPDATES_PER_S: u32 = 2_000;
/// One part of the updates of a second.
const UPDATES_PART: u32 = 50;

/// Runs the benchmark and prints its JSON line.
pub fn execute(globals: &Globals, options: &BenchTables) -> Result<(), Failure> {
    let config = Arc::new(setup(globals)?);
    let report = crate::context::block_on(measure(config, options))??;
    output(&report)
}

/// One start, in this process: prints what it took.
pub fn start(globals: &Globals, options: &BenchTablesStart) -> Result<(), Failure> {
    let mut config = setup(globals)?;
    let rows = usize::try_from(options.rows).unwrap_or(usize::MAX);
    config.limits.table_rows_max = config.limits.table_rows_max.max(rows);
    config.tables.snapshot_dir.clone_from(&options.snapshots);
    let report = crate::context::block_on(started(Arc::new(config), options))??;
    output(&report)
}

async fn measure(config: Arc<Config>, options: &BenchTables) -> Result<Value, Failure> {
    admin::ensure_topics(&config.kafka, &topics()).await.map_err(Failure::kafka)?;
    let (kafka, rows) = (config.kafka.clone(), options.rows);
    let value_bytes_mean = blocking(move || master::load(&kafka, rows)).await??;
    let from_topic = child(&config, options, None, options.secs).await?;
    let dir = std::env::temp_dir().join(format!("wardline-bench-tables-{}", now_micros()));
    std::fs::create_dir_all(&dir).map_err(failed)?;
    // The first start finds no snapshot and leaves one behind when it stops.
    let leaves = child(&config, options, Some(&dir), 0).await?;
    let (kafka, tail) = (config.kafka.clone(), rows / 100);
    blocking(move || master::update(&kafka, rows, tail)).await??;
    let from_snapshot = child(&config, options, Some(&dir), 0).await?;
    let snapshot_mb = folder_mb(&dir);
    std::fs::remove_dir_all(&dir).map_err(failed)?;
    Ok(json!({
        "bench": "tables",
        "rows": rows,
        "tail": tail,
        "indexed": options.indexed,
        "value_bytes_mean": value_bytes_mean,
        "updates_per_s": UPDATES_PER_S,
        "from_topic": from_topic,
        "from_topic_leaving_a_snapshot": leaves,
        "from_snapshot_and_tail": from_snapshot,
        "snapshot_mb": rounded(snapshot_mb, 1),
        "conditions": Conditions::now(&config.kafka.bootstrap, MasterItem::topic().partitions, "read_committed"),
    }))
}

async fn child(config: &Config, options: &BenchTables, snapshots: Option<&Path>, secs: u64) -> Result<Value, Failure> {
    let mut command = tokio::process::Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["bench", "tables-start", "--kafka", &config.kafka.bootstrap]);
    command.args(["--rows", &options.rows.to_string(), "--secs", &secs.to_string()]);
    if options.indexed {
        command.arg("--indexed");
    }
    if let Some(dir) = snapshots {
        command.arg("--snapshots").arg(dir);
    }
    let ended = command.stderr(Stdio::inherit()).kill_on_drop(true).output().await.map_err(failed)?;
    let text = String::from_utf8_lossy(&ended.stdout);
    let line = text.lines().rfind(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(line).map_err(failed)
}

async fn started(config: Arc<Config>, options: &BenchTablesStart) -> Result<Value, Failure> {
    let before = Usage::now();
    let ids: Vec<(&'static TopicInfo, u32)> = topics().into_iter().zip(OPS_ID..).collect();
    let codec = Codec::fixed(&ids).map_err(|error| Failure::new(error, "report this as a defect"))?;
    let held = Held::new(options.indexed);
    let wiring =
        move || Wiring::new("bench-tables", "benchmark", held.clone(), schemas::topics::SUPPLY_USAGE_ENRICHED_V1);
    let room = Room::processor(RoomInfo::of_processor(&wiring()), move |_| Ok(wiring()));
    let (trigger, stop) = shutdown();
    let (health, running) = (Health::new(), Arc::clone(&config));
    let known = health.clone();
    let begun = tick();
    let room = tokio::spawn(async move { run_rooms_with(Arc::new(codec), running, vec![room], &known, stop).await });
    health.wait_ready().await.map_err(|reason| Failure::new(reason, "see the log lines above"))?;
    let ready_s = tick().since(begun).as_secs_f64();
    let ready = Usage::now();
    let (one, two) = lookups(&config, options).await?;
    let stopping = tick();
    trigger.stop();
    let ended = room.await.map_err(|error| Failure::new(error, "report this as a defect"))?;
    ended.map_err(|error| crate::run::stopped(&error))?;
    let bytes = (ready.rss_mb - before.rss_mb) * 1_048_576.0;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rows = options.rows.max(1) as f64;
    Ok(json!({
        "ready_s": rounded(ready_s, 2),
        "cpu_s": rounded(ready.cpu_seconds - before.cpu_seconds, 2),
        "rss_mb_before": rounded(before.rss_mb, 1),
        "rss_mb": rounded(ready.rss_mb, 1),
        "peak_rss_mb": rounded(ready.peak_rss_mb, 1),
        "bytes_per_record": rounded(bytes / rows, 0),
        "lookups_per_s_1_thread": one,
        "lookups_per_s_2_threads": two,
        "stop_s": rounded(tick().since(stopping).as_secs_f64(), 2),
    }))
}

/// Lookups per second of one thread and of two together, while records change.
async fn lookups(config: &Arc<Config>, options: &BenchTablesStart) -> Result<(Value, Value), Failure> {
    if options.secs == 0 {
        return Ok((Value::Null, Value::Null));
    }
    let (kafka, rows, secs) = (config.kafka.clone(), options.rows, options.secs);
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let updates = tokio::spawn(async move { update_until(&kafka, rows, &until).await });
    let mut rates = Vec::new();
    for threads in [1, 2] {
        let begun = tick();
        let tasks: Vec<_> =
            (0..threads).map(|n| tokio::task::spawn_blocking(move || master::look_up(rows, secs, n))).collect();
        let mut found = 0;
        for task in tasks {
            found += task.await.map_err(failed)?;
        }
        rates.push(json!(rate(found, tick().since(begun).as_secs_f64())));
    }
    over.store(true, Ordering::Relaxed);
    updates.await.map_err(failed)??;
    let two = rates.pop().unwrap_or_default();
    Ok((rates.pop().unwrap_or_default(), two))
}

/// Changes records at a steady rate until it is over.
async fn update_until(kafka: &KafkaConfig, rows: u64, over: &AtomicBool) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let part = Delivery::new();
        for _ in 0..UPDATES_PART {
            number += 7_919;
            producer.send(&master::outgoing(number % rows, number)?, &part).map_err(Failure::kafka)?;
        }
        part.confirmed().await.map_err(Failure::kafka)?;
        tokio::time::sleep(Duration::from_secs(1) * UPDATES_PART / UPDATES_PER_S).await;
    }
    Ok(())
}

fn topics() -> Vec<&'static TopicInfo> {
    use schemas::topics::{OPS_AUDIT_V1, OPS_EFFECT_V1, OPS_EXCEPTION_V1, OPS_PARKED_V1};
    use schemas::topics::{SUPPLY_USAGE_ENRICHED_V1, SUPPLY_USAGE_VALIDATED_V1};
    let mut topics = vec![MasterItem::topic(), OPS_EXCEPTION_V1.info(), OPS_PARKED_V1.info(), OPS_AUDIT_V1.info()];
    topics.extend([OPS_EFFECT_V1.info(), SUPPLY_USAGE_VALIDATED_V1.info(), SUPPLY_USAGE_ENRICHED_V1.info()]);
    topics
}

fn folder_mb(folder: &Path) -> f64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0.0 };
    let bytes: u64 = entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum();
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = bytes as f64;
    bytes / 1_048_576.0
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the measured process: {error}"), "see the lines above")
}
