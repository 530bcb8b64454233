//! `wardline bench lanes`: the lane loop, which every room with effects runs on, against a system that takes its time.

mod ceiling;
mod contracts;
mod data;
mod poison;
mod stub;

use super::running::{Running, check_committed, ops};
use super::usage::{Conditions, Usage, percentile, rate, rounded};
use super::{BenchLanes, blocking, output, setup};
use crate::Failure;
use crate::args::Globals;
use ceiling::Work;
use contracts::{Asked, Done, PARTITIONS};
use data::ASKED_ID;
use runtime::clock::{now_micros, tick};
use runtime::reader;
use runtime::{Config, Room, RoomInfo, admin};
use schemas::{Event, TopicInfo};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use stub::Stub;

/// Schema id of [`Done`].
const DONE_ID: u32 = 2;
/// How often the counters are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Longest wait for the first call: a room that cannot read what lies on the topics starts again and again.
const FIRST_CALL: Duration = Duration::from_secs(60);

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
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling_with_reading: Option<ceiling::Ceiling>,
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
    let started = tick();
    while !stub.is_called() && !running.has_ended() {
        if tick().since(started) > FIRST_CALL {
            let why = "nothing was called for a minute; see the log lines above";
            return Err(Failure::new(why, "give the benchmark a broker of its own, without topics of another version"));
        }
        tokio::time::sleep(LOOK).await;
    }
    let before = Usage::now();
    while seen() < events && !running.has_ended() {
        tokio::time::sleep(LOOK).await;
    }
    let name = running.name;
    running.stop().await?;
    let ended = tick();
    let after = Usage::now();
    check_committed(&config, name, Asked::topic().name, events).await?;
    let (mut ceiling, mut ceiling_with_reading) = (None, None);
    if options.ceiling {
        ceiling = Some(ceiling::measure(&config, events, Work::Writes).await?);
        ceiling_with_reading = Some(ceiling::measure(&config, events, Work::ReadsAndWrites).await?);
    }
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
        ceiling_with_reading,
        conditions: Conditions::now(&config.kafka.bootstrap, PARTITIONS, "effect once, outcome exactly once"),
    })
}

/// Starts the room.
fn start(config: &Arc<Config>, stub: &Arc<Stub>) -> Result<Running, Failure> {
    let client = Arc::clone(stub);
    Running::start(config, "bench-lanes", &[(Asked::topic(), ASKED_ID), (Done::topic(), DONE_ID)], |name| {
        Room::effect(RoomInfo::of_effect::<stub::Room>(name, "benchmark"), move |_| {
            Ok((stub::Room, Arc::clone(&client) as Arc<_>))
        })
    })
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
