//! `wardline bench mllp`: the HL7 v2 room as it runs in production, and a sender in a process of its own, so that each side's
//! CPU time is its own.

use super::sender::{self, Options};
use super::usage::Conditions;
use super::{BenchMllp, BenchMllpLoad, floor, length, output, setup};
use crate::Failure;
use crate::args::Globals;
use runtime::codec::Codec;
use runtime::health::Health;
use runtime::{Config, admin, run_rooms_with, shutdown};
use schemas::topics::{
    CLINICAL_ENCOUNTER_V1, CLINICAL_SUPPLY_USAGE_V1, OPS_DEAD_LETTER_V1, OPS_EXCEPTION_V1, OPS_RECEIPT_V1,
    OPS_SOURCE_V1,
};
use schemas::{Event, SupplyUsage, TopicInfo};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;

/// Runs the benchmark and prints its JSON line.
pub fn execute(globals: &Globals, options: &BenchMllp) -> Result<(), Failure> {
    let mut config = setup(globals)?;
    let address = free_address().map_err(|error| Failure::new(error, "free a port on 127.0.0.1"))?;
    let room = json!({"listen": address, "receipts": {"window_hours": 0}});
    config.rooms.insert(hl7v2::NAME.to_owned(), room);
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(options.threads))
        .enable_all()
        .build()
        .map_err(|error| Failure::new(error, "raise the limit of threads of this user"))?;
    let config = Arc::new(config);
    let report = if options.floor {
        threads.block_on(measure_floor(&config, &address, options))
    } else {
        threads.block_on(measure(config, &address, options))
    };
    output(&report?)
}

/// Runs the sender and prints its JSON line.
pub fn load(options: &BenchMllpLoad) -> Result<(), Failure> {
    let report = crate::context::block_on(sender::run(Options {
        address: options.addr.clone(),
        connections: options.conns,
        bytes: options.size,
        warmup_s: options.warmup,
        measured_s: options.secs,
        rate: options.rate,
        server: options.pid,
    }))??;
    output(&report)
}

async fn measure(config: Arc<Config>, address: &str, options: &BenchMllp) -> Result<Value, Failure> {
    let topics = written();
    admin::ensure_topics(&config.kafka, &topics).await.map_err(Failure::kafka)?;
    let with_schema = topics.iter().filter(|topic| !topic.schema.is_empty());
    let ids: Vec<(&'static TopicInfo, u32)> = with_schema.copied().zip(1..).collect();
    let codec = Codec::fixed(&ids).map_err(|error| Failure::new(error, "report this as a defect"))?;
    let usages = SupplyUsage::topic().name;
    let before = length(&config.kafka, usages).await?;
    let (trigger, stop) = shutdown();
    let health = Health::new();
    let (running, known) = (Arc::clone(&config), health.clone());
    let room =
        tokio::spawn(async move { run_rooms_with(Arc::new(codec), running, vec![hl7v2::room()], &known, stop).await });
    health.wait_ready().await.map_err(|reason| Failure::new(reason, "see the log lines above"))?;
    let sent = send(address, options).await;
    trigger.stop();
    let ended = room.await.map_err(|error| Failure::new(error, "report this as a defect"))?;
    ended.map_err(|error| crate::run::stopped(&error))?;
    let mut report = described(sent?, "wardline", &config, options);
    // Warm-up included, so more than the acknowledgements that were counted.
    let published = length(&config.kafka, usages).await?.saturating_sub(before);
    if let Value::Object(fields) = &mut report {
        fields.insert("usage_events_published".to_owned(), json!(published));
    }
    Ok(report)
}

async fn measure_floor(config: &Config, address: &str, options: &BenchMllp) -> Result<Value, Failure> {
    let listener =
        tokio::net::TcpListener::bind(address).await.map_err(|error| Failure::new(error, "free the port"))?;
    let (trigger, stop) = shutdown();
    let own = config.clone();
    let serving = tokio::spawn(async move { floor::serve(&own, listener, stop).await });
    let sent = send(address, options).await;
    trigger.stop();
    serving.await.map_err(|error| Failure::new(error, "report this as a defect"))??;
    Ok(described(sent?, "floor", config, options))
}

/// The sender's report with what it cannot know.
fn described(mut report: Value, peer: &str, config: &Config, options: &BenchMllp) -> Value {
    if let Value::Object(fields) = &mut report {
        let number = |name: &str| fields.get(name).and_then(Value::as_f64).unwrap_or_default();
        let per_cpu_second = (number("events") / number("cpu_seconds").max(0.01)).round();
        fields.insert("peer".to_owned(), json!(peer));
        fields.insert("threads".to_owned(), json!(options.threads));
        fields.insert("events_per_cpu_second".to_owned(), json!(per_cpu_second));
        let partitions = SupplyUsage::topic().partitions;
        let conditions = Conditions::now(&config.kafka.bootstrap, partitions, "acknowledged after acks=all");
        fields.insert("conditions".to_owned(), json!(conditions));
    }
    report
}

/// Runs the sender and gives its JSON line.
async fn send(address: &str, options: &BenchMllp) -> Result<Value, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(format!("the sender failed: {error}"), "see the lines above");
    let mut command = match &options.sender {
        Some(program) => tokio::process::Command::new(program),
        None => {
            let own = std::env::current_exe().map_err(|error| failed(&error))?;
            let mut command = tokio::process::Command::new(own);
            command.args(["bench", "mllp-load", "--rate", &options.rate.to_string()]);
            command
        }
    };
    let numbers = [
        ("--conns", options.conns.to_string()),
        ("--size", options.bytes.to_string()),
        ("--warmup", options.warmup.to_string()),
        ("--secs", options.secs.to_string()),
        ("--pid", std::process::id().to_string()),
    ];
    command.args(["--addr", address]);
    for (name, value) in &numbers {
        command.args([name, value.as_str()]);
    }
    let ended = command.stderr(Stdio::inherit()).kill_on_drop(true).output().await.map_err(|error| failed(&error))?;
    let text = String::from_utf8_lossy(&ended.stdout);
    let line = text.lines().rfind(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(line).map_err(|error| failed(&error))
}

fn written() -> Vec<&'static TopicInfo> {
    vec![
        CLINICAL_ENCOUNTER_V1.info(),
        CLINICAL_SUPPLY_USAGE_V1.info(),
        OPS_EXCEPTION_V1.info(),
        OPS_RECEIPT_V1.info(),
        OPS_DEAD_LETTER_V1.info(),
        OPS_SOURCE_V1.info(),
    ]
}

fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
