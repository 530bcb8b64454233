//! `wardline bench lanes`: the lane loop, which every room with effects runs on, against a system that takes its time.

mod ceiling;
mod contracts;
mod data;
mod poison;
mod stub;

use super::usage::{Conditions, Usage, percentile, rate, rounded};
use super::{BenchLanes, blocking, output, setup};
use crate::Failure;
use crate::args::Globals;
use contracts::{Asked, Done, PARTITIONS};
use data::ASKED_ID;
use runtime::clock::{now_micros, tick};
use runtime::codec::Codec;
use runtime::health::Health;
use runtime::metrics::RoomMetrics;
use runtime::reader;
use runtime::{Config, Room, RoomInfo, admin, run_rooms_with, shutdown};
use schemas::{Event, TopicInfo};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use stub::Stub;

/// Schema id of [`Done`].
const DONE_ID: u32 = 2;
/// First schema id of the topics that every room writes.
const OPS_ID: u32 = 101;
/// How often the counters are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    peer: &'static str,
    job: String,
    /// Input records, each with a committed outcome.
    events: u64,
    /// From the first call to the end of the room: everything committed, clients closed.
    seconds: f64,
    events_per_s: f64,
    /// Of the whole process from the first call on: room, stub, drain.
    cpu_seconds: f64,
    events_per_cpu_second: f64,
    peak_rss_mb: f64,
    /// Between the end of a call and the begin of the next one of the same key: what the lane adds to the call.
    between_calls_p50_ms: f64,
    between_calls_p99_ms: f64,
    order_violations: u64,
    doubles: u64,
    transactions: u64,
    transactions_aborted: u64,
    keys: u32,
    call_ms: u64,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<ceiling::Ceiling>,
    conditions: Conditions,
}

/// Runs the benchmark and prints its JSON line.
pub fn execute(globals: &Globals, options: &BenchLanes) -> Result<(), Failure> {
    let config = Arc::new(setup(globals)?);
    contracts::set_run(now_micros());
    if options.poison > 0 {
        let report = crate::context::block_on(poison::measure(config, options))??;
        return output(&report);
    }
    let report = crate::context::block_on(measure(config, options))??;
    output(&report)
}

async fn measure(config: Arc<Config>, options: &BenchLanes) -> Result<Report, Failure> {
    prepare(&config).await?;
    let (kafka, events, keys) = (config.kafka.clone(), options.events, options.keys);
    blocking(move || data::load(&kafka, events, keys)).await??;
    let stub = Stub::new(Duration::from_millis(options.call_ms), usize::try_from(options.keys).unwrap_or(1));
    let running = start(&config, &stub)?;
    let metrics = running.metrics.clone();
    let seen = || metrics.emitted.get() + metrics.rejected.get() + metrics.dead_letter.get();
    while !stub.is_called() && !running.task.is_finished() {
        tokio::time::sleep(LOOK).await;
    }
    let before = Usage::now();
    while seen() < events && !running.task.is_finished() {
        tokio::time::sleep(LOOK).await;
    }
    let name = running.name;
    running.stop().await?;
    let ended = tick();
    let after = Usage::now();
    check_committed(&config, name, events).await?;
    let ceiling = if options.ceiling { Some(ceiling::measure(&config, events).await?) } else { None };
    let happened = stub.seen();
    let seconds = happened.first.map_or(0.0, |first| ended.since(first).as_secs_f64());
    let pauses: Vec<f64> = happened.pauses.iter().map(|micros| f64::from(*micros) / 1e3).collect();
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    Ok(Report {
        peer: "wardline",
        job: format!("lanes call {} ms", options.call_ms),
        events: happened.calls,
        seconds: rounded(seconds, 3),
        events_per_s: rate(happened.calls, seconds),
        cpu_seconds: rounded(cpu_seconds, 2),
        events_per_cpu_second: rate(happened.calls, cpu_seconds),
        peak_rss_mb: rounded(after.peak_rss_mb, 1),
        between_calls_p50_ms: rounded(percentile(&pauses, 0.5), 2),
        between_calls_p99_ms: rounded(percentile(&pauses, 0.99), 2),
        order_violations: happened.disordered,
        doubles: happened.doubled,
        transactions: metrics.transactions_committed.get(),
        transactions_aborted: metrics.transactions_aborted.get(),
        keys: options.keys,
        call_ms: options.call_ms,
        effect: "stub in this process: a timer and a ledger, no HTTP",
        ceiling,
        conditions: Conditions::now(&config.kafka.bootstrap, PARTITIONS, "effect once, outcome exactly once"),
    })
}

/// The room of the benchmark while it runs.
struct Running {
    /// Room and consumer group: new for each run, so that it starts at the beginning.
    name: &'static str,
    metrics: RoomMetrics,
    health: Health,
    task: tokio::task::JoinHandle<Result<(), runtime::RoomError>>,
    trigger: runtime::ShutdownTrigger,
}

/// Starts the room.
fn start(config: &Arc<Config>, stub: &Arc<Stub>) -> Result<Running, Failure> {
    let own = [(Asked::topic(), ASKED_ID), (Done::topic(), DONE_ID)];
    let known: Vec<(&'static TopicInfo, u32)> = own.into_iter().chain(ops().into_iter().zip(OPS_ID..)).collect();
    let codec = Codec::fixed(&known).map_err(|error| Failure::new(error, "report this as a defect"))?;
    let name: &'static str = Box::leak(format!("bench-lanes-{}", now_micros()).into_boxed_str());
    let client = Arc::clone(stub);
    let room = Room::effect(RoomInfo::of_effect::<stub::Room>(name, "benchmark"), move |_| {
        Ok((stub::Room, Arc::clone(&client) as Arc<_>))
    });
    let (trigger, stop) = shutdown();
    let health = Health::new();
    let (config, known_health) = (Arc::clone(config), health.clone());
    let task =
        tokio::spawn(async move { run_rooms_with(Arc::new(codec), config, vec![room], &known_health, stop).await });
    Ok(Running { name, metrics: RoomMetrics::new(name), health, task, trigger })
}

impl Running {
    /// Drains and waits for the end.
    async fn stop(self) -> Result<(), Failure> {
        self.trigger.stop();
        match self.task.await {
            Ok(ended) => ended.map_err(|error| crate::run::stopped(&error)),
            Err(error) => Err(Failure::new(error, "report this as a defect")),
        }
    }
}

/// Creates the topics that are missing. An effect record lies in the partition with the number of its origin, so the topics of
/// all rooms need as many partitions.
async fn prepare(config: &Config) -> Result<(), Failure> {
    let wide = |topic: &'static TopicInfo| -> &'static TopicInfo {
        // A handful of topics, once per process.
        Box::leak(Box::new(TopicInfo { partitions: PARTITIONS, ..*topic }))
    };
    let mut topics = vec![Asked::topic(), Done::topic(), wide(schemas::topics::OPS_DEAD_LETTER_V1.info())];
    topics.extend(ops().into_iter().map(wide));
    admin::ensure_topics(&config.kafka, &topics).await.map_err(Failure::kafka)?;
    let kafka = config.kafka.clone();
    let present = blocking(move || reader::topics(&kafka)).await?.map_err(Failure::kafka)?;
    let narrow = topics.iter().find(|topic| present.get(topic.name).is_some_and(|now| *now < usize::from(PARTITIONS)));
    narrow.map_or(Ok(()), |topic| {
        let what = format!("topic {} has fewer than {PARTITIONS} partitions", topic.name);
        Err(Failure::usage(what, "give the benchmark a broker of its own"))
    })
}

/// Every input record must be behind the committed position of the group: what counts is what was committed.
async fn check_committed(config: &Config, group: &'static str, expected: u64) -> Result<(), Failure> {
    let kafka = config.kafka.clone();
    let lags = blocking(move || reader::group_lag(&kafka, group, &[Asked::topic().name])).await?;
    let lag: i64 = lags.map_err(Failure::kafka)?.iter().map(|partition| partition.lag).sum();
    if lag == 0 {
        return Ok(());
    }
    let what = format!("{lag} of {expected} records are not committed");
    Err(Failure::new(what, "run it again; if it stays, the room's log lines on stderr say why"))
}

fn ops() -> Vec<&'static TopicInfo> {
    use schemas::topics::{OPS_AUDIT_V1, OPS_EFFECT_V1, OPS_EXCEPTION_V1, OPS_PARKED_V1};
    vec![OPS_EXCEPTION_V1.info(), OPS_PARKED_V1.info(), OPS_AUDIT_V1.info(), OPS_EFFECT_V1.info()]
}
