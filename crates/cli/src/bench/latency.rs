//! `wardline bench enrich --latency`: a steady flow, and how long each event takes from its creation until a
//! `read_committed` consumer has its result.

use super::contracts::{ENRICHED_ID, Enriched, Item, Names, set_topics};
use super::data::Generator;
use super::enrich::{blocking, prepare, start};
use super::usage::{Conditions, percentile, rate, rounded};
use super::{BenchEnrich, data, output};
use crate::Failure;
use runtime::Config;
use runtime::clock::{now_micros, tick};
use runtime::producer::{Delivery, Producer};
use runtime::reader;
use schemas::Event;
use schemas::codec::{decode, split_frame};
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// How often what is due is sent.
const PACE: Duration = Duration::from_millis(1);
/// How long the watcher goes on after the last event was sent.
const TAIL_MICROS: i64 = 2_000_000;
/// Longest wait for confirmations.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

/// What was measured. Times are milliseconds.
#[derive(Debug, Serialize)]
struct Report {
    peer: &'static str,
    job: String,
    sent: u64,
    /// Events that were created in the measured window and came out.
    events: u64,
    seconds: u64,
    events_per_s: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    conditions: Conditions,
}

/// Runs the benchmark and prints its JSON line.
pub fn execute(config: Arc<Config>, options: &BenchEnrich) -> Result<(), Failure> {
    // Topics of its own for each run: the flow starts at their beginning.
    let run = now_micros();
    set_topics(Names {
        consumed: format!("bench.latency-in-{run}.v1"),
        enriched: format!("bench.latency-out-{run}.v1"),
        ..Names::default()
    });
    let report = crate::context::block_on(measure(config, options))??;
    output(&report)
}

async fn measure(config: Arc<Config>, options: &BenchEnrich) -> Result<Report, Failure> {
    prepare(&config).await?;
    let kafka = config.kafka.clone();
    blocking(move || data::load_items(&kafka)).await??;
    let running = start(&config)?;
    running.health.wait_ready().await.map_err(|reason| Failure::new(reason, "see the log lines above"))?;
    let measured_from = now_micros() + micros(options.warmup);
    let end = measured_from + micros(options.secs);
    let kafka = config.kafka.clone();
    let (ready, started) = tokio::sync::oneshot::channel();
    let watcher = tokio::task::spawn_blocking(move || {
        let mut latencies = Vec::new();
        let watched = reader::follow(
            &kafka,
            Enriched::topic().name,
            || {
                // Nobody waits for it when the feeder could not start.
                let _ = ready.send(());
            },
            |record| {
                let now = now_micros();
                if let Some(created) = record.and_then(|record| created_at(record.value.as_deref()?))
                    && (measured_from..end).contains(&created)
                {
                    latencies.push(now - created);
                }
                if now > end + TAIL_MICROS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        watched.map(|()| latencies)
    });
    started.await.map_err(|_| Failure::kafka("the output cannot be read"))?;
    let sent = feed(&config, options.rate, end).await?;
    let latencies = watcher.await.map_err(Failure::kafka)?.map_err(Failure::kafka)?;
    running.stop().await?;
    let mut sorted: Vec<f64> = latencies.iter().map(|micros| milliseconds(*micros)).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share| rounded(percentile(&sorted, share), 1);
    let events = sorted.len() as u64;
    Ok(Report {
        peer: "wardline",
        job: format!("latency {}/s exactly_once", options.rate),
        sent,
        events,
        seconds: options.secs,
        events_per_s: rate(events, Duration::from_secs(options.secs).as_secs_f64()),
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        conditions: Conditions::now(&config.kafka.bootstrap, Item::topic().partitions, "exactly once"),
    })
}

/// Sends `rate` events per second until `end` (microseconds since 1970); each carries the time of its creation.
async fn feed(config: &Config, rate: u32, end: i64) -> Result<u64, Failure> {
    let producer = Producer::new(&config.kafka, None).map_err(Failure::kafka)?;
    let mut generator = Generator::new();
    let mut part = Delivery::new();
    let (begun, mut sent) = (tick(), 0_u64);
    while now_micros() < end {
        let due = tick().since(begun).as_micros() * u128::from(rate) / 1_000_000;
        while u128::from(sent) < due {
            let mut drawn = generator.draw();
            drawn.event.occurred_at = now_micros();
            producer.send(&drawn.outgoing()?, &part).map_err(Failure::kafka)?;
            sent += 1;
            if sent.is_multiple_of(10_000) {
                let full = std::mem::replace(&mut part, Delivery::new());
                full.confirmed().await.map_err(Failure::kafka)?;
            }
        }
        tokio::time::sleep(PACE).await;
    }
    part.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)?;
    Ok(sent)
}

fn created_at(value: &[u8]) -> Option<i64> {
    let (id, body) = split_frame(value).ok()?;
    let writer = Enriched::contract().ok().filter(|_| id == ENRICHED_ID)?;
    decode::<Enriched>(writer, body).ok().map(|event| event.occurred_at)
}

fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or_default() * 1_000_000
}

fn milliseconds(micros: i64) -> f64 {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default()).as_secs_f64() * 1e3
}
