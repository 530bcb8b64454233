//! `wardline bench lanes --poison N`: one record in N on hot keys is refused, so that these keys are parked with all that
//! comes behind; how long do the others take? Halves with and without take turns in one run, at a steady rate.

use super::contracts::{Done, PARTITIONS};
use super::data::{Generator, outgoing};
use super::stub::Stub;
use super::{DONE_ID, prepare, start};
use crate::Failure;
use crate::bench::usage::{Conditions, percentile, rounded};
use crate::bench::{BenchLanes, blocking};
use runtime::Config;
use runtime::clock::{now_micros, tick};
use runtime::config::KafkaConfig;
use runtime::producer::{Delivery, Producer};
use runtime::reader;
use schemas::Event;
use schemas::codec::{decode, split_frame};
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// Keys that get a tenth of the records.
const HOT_KEYS: i32 = 10;
/// How often what is due is sent.
const PACE: Duration = Duration::from_millis(1);
/// Seconds before anything is measured.
const WARM_UP_S: u64 = 5;
/// How long the watcher goes on after the last event was sent.
const TAIL_MICROS: i64 = 3_000_000;
/// Longest wait for confirmations.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

/// What was measured. Times are milliseconds, from the creation of an event to a `read_committed` reader of its output.
#[derive(Debug, Serialize)]
pub struct Report {
    peer: &'static str,
    job: String,
    /// Events of other keys than the hot ones, without bad records.
    clean: Half,
    /// The same, while hot keys are being parked.
    poisoned: Half,
    /// By so much the p99 with bad records is higher, percent.
    p99_worse_percent: f64,
    rounds: u32,
    rate: u32,
    hot_keys: i32,
    refused: u64,
    order_violations: u64,
    doubles: u64,
    call_ms: u64,
    effect: &'static str,
    conditions: Conditions,
}

/// One half, all rounds together.
#[derive(Debug, Serialize)]
struct Half {
    events: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of each round.
    p99_by_round_ms: Vec<f64>,
}

/// An output as the watcher saw it: number of the part it belongs to, and how long it took.
type Watched = Vec<(usize, f64)>;

/// Runs warm-up and halves in turn.
pub async fn measure(config: Arc<Config>, options: &BenchLanes) -> Result<Report, Failure> {
    prepare(&config).await?;
    let takes = Duration::from_millis(options.call_ms);
    let stub = Stub::new(takes, usize::try_from(options.keys).unwrap_or(1));
    let running = start(&config, &stub)?;
    running.health.wait_ready().await.map_err(|reason| Failure::new(reason, "see the log lines above"))?;
    let parts = usize::try_from(options.rounds * 2 + 1).unwrap_or(1);
    let (ready, started) = tokio::sync::oneshot::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<i64>();
    let (kafka, keys) = (config.kafka.clone(), options.keys);
    let watcher = tokio::task::spawn_blocking(move || watch(&kafka, keys, ready, &stopped));
    started.await.map_err(|_| Failure::kafka("the output cannot be read"))?;
    for part in 0..parts {
        feed(&config.kafka, options, part).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // The watcher is there as long as this sender is.
    let _ = stop.send(now_micros() + TAIL_MICROS);
    let watched = watcher.await.map_err(Failure::kafka)??;
    running.stop().await?;
    let happened = stub.seen();
    let (clean, poisoned) = (half(&watched, parts, 1), half(&watched, parts, 0));
    Ok(Report {
        peer: "wardline",
        job: format!("lanes poison 1 in {} on hot keys", options.poison),
        p99_worse_percent: rounded((poisoned.p99_ms / clean.p99_ms.max(0.001) - 1.0) * 100.0, 1),
        clean,
        poisoned,
        rounds: options.rounds,
        rate: options.rate,
        hot_keys: HOT_KEYS,
        refused: happened.refused,
        order_violations: happened.disordered,
        doubles: happened.doubled,
        call_ms: options.call_ms,
        effect: "stub in this process: a timer and a ledger, no HTTP",
        conditions: Conditions::now(&config.kafka.bootstrap, PARTITIONS, "effect once, outcome exactly once"),
    })
}

/// Part 0 warms up; after it those with an odd number are clean.
fn half(watched: &Watched, parts: usize, odd: usize) -> Half {
    let of = |wanted: &dyn Fn(usize) -> bool| {
        let mut sorted: Vec<f64> = watched.iter().filter(|(part, _)| wanted(*part)).map(|(_, took)| *took).collect();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let ours = |part: usize| part > 0 && part % 2 == odd;
    let all = of(&ours);
    let p99 = |sorted: &[f64]| rounded(percentile(sorted, 0.99), 1);
    let rounds = (1..parts).filter(|part| ours(*part)).map(|number| p99(&of(&|part| part == number)));
    Half {
        events: all.len(),
        p50_ms: rounded(percentile(&all, 0.5), 1),
        p99_ms: p99(&all),
        max_ms: rounded(percentile(&all, 1.0), 1),
        p99_by_round_ms: rounds.collect(),
    }
}

/// Sends one part at the rate: a tenth of it on the hot keys of the part.
async fn feed(kafka: &KafkaConfig, options: &BenchLanes, part: usize) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let first_key = first_key(part, options.keys);
    let others = options.keys.saturating_sub(HOT_KEYS.unsigned_abs()).max(1);
    let mut hot = Generator::new(first_key, HOT_KEYS.unsigned_abs());
    let mut cold = Generator::new(first_key + HOT_KEYS, others);
    let poisoned = part > 0 && part.is_multiple_of(2);
    let every = i64::from(options.poison.max(1));
    let bad = |number: i64| poisoned && number % every == every - 1;
    let longest = Duration::from_secs(if part == 0 { WARM_UP_S } else { options.secs });
    let (begun, mut sent, mut confirmations) = (tick(), 0_u64, Delivery::new());
    while tick().since(begun) < longest {
        let due = tick().since(begun).as_micros() * u128::from(options.rate) / 1_000_000;
        while u128::from(sent) < due {
            let now = now_micros();
            let asked = if sent.is_multiple_of(10) { hot.draw(now, bad) } else { cold.draw(now, |_| false) };
            producer.send(&outgoing(&asked)?, &confirmations).map_err(Failure::kafka)?;
            sent += 1;
            if sent.is_multiple_of(10_000) {
                let full = std::mem::replace(&mut confirmations, Delivery::new());
                full.confirmed().await.map_err(Failure::kafka)?;
            }
        }
        tokio::time::sleep(PACE).await;
    }
    blocking(move || confirmations.wait(CONFIRM_TIMEOUT, || producer.last_error())).await?.map_err(Failure::kafka)
}

/// Each part has keys of its own: what it parked stays parked.
fn first_key(part: usize, keys: u32) -> i32 {
    i32::try_from(part).unwrap_or_default().saturating_mul(i32::try_from(keys).unwrap_or(i32::MAX))
}

/// Reads outputs as they become visible, until the time that it is told.
fn watch(
    kafka: &KafkaConfig,
    keys: u32,
    ready: tokio::sync::oneshot::Sender<()>,
    stopped: &std::sync::mpsc::Receiver<i64>,
) -> Result<Watched, Failure> {
    let keys = i32::try_from(keys).unwrap_or(i32::MAX);
    let (mut watched, mut end) = (Watched::new(), None);
    let announce = || {
        // Nobody waits for it when the feeder could not start.
        let _ = ready.send(());
    };
    let followed = reader::follow(kafka, Done::topic().name, announce, |record| {
        let now = now_micros();
        if let Some(done) = record.and_then(|record| done_of(record.value.as_deref()?))
            && done.key % keys >= HOT_KEYS
        {
            let took = Duration::from_micros(u64::try_from(now - done.created).unwrap_or_default());
            watched.push((usize::try_from(done.key / keys).unwrap_or_default(), took.as_secs_f64() * 1e3));
        }
        end = end.or_else(|| stopped.try_recv().ok());
        if end.is_some_and(|end| now > end) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    followed.map_err(Failure::kafka)?;
    Ok(watched)
}

fn done_of(value: &[u8]) -> Option<Done> {
    let (id, body) = split_frame(value).ok()?;
    let writer = Done::contract().ok().filter(|_| id == DONE_ID)?;
    decode(writer, body).ok()
}
