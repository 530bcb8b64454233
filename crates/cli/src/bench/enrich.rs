//! `wardline bench enrich`: the join of the rivals' harness on the transactional loop that every processor runs on.

use super::contracts::{CONSUMED_ID, Consumed, ENRICHED_ID, Enriched, ITEM_ID, Item, Names, set_topics};
use super::data;
use super::running::{Running, check_committed, ops, uncommitted};
use super::usage::{Conditions, Usage, rate, rounded};
use super::{BenchEnrich, blocking, length, output, setup};
use crate::Failure;
use crate::args::Globals;
use processor::{Binder, Code, Processor, Reason, Table, Tables, Verdict, Wiring};
use runtime::clock::tick;
use runtime::reader::{self, Range};
use runtime::{Config, Room, RoomInfo, admin};
use schemas::{Event, Topic, TopicInfo};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Facilities of the data; each has its part of the keys.
pub const FACILITIES: u64 = 8;
/// How often the counters are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Reasons of the benchmark have one code; the rule names the case.
const CODE: Code = Code::new("WL-4001");

struct Enrich;

struct Items {
    items: Table<Item>,
}

impl Tables for Items {
    fn bind(binder: &mut Binder) -> Self {
        Self { items: binder.table(Topic::of_event(), &[]) }
    }
}

impl Processor for Enrich {
    type Input = Consumed;
    type Output = Enriched;
    type Tables = Items;

    fn process(&self, used: Consumed, tables: &Items) -> Verdict<Enriched> {
        let rejected = |rule, message: &str| Verdict::Reject(Reason::new(CODE, rule, message));
        if used.quantity <= 0 {
            return rejected("quantity", "the quantity is not positive");
        }
        if used.facility.is_empty() {
            return rejected("facility", "the facility is empty");
        }
        let Some(item) = tables.items.get(&used.item_id) else {
            return rejected("item-unknown", "the item is not known");
        };
        if !item.active {
            return rejected("item-inactive", "the item is not active");
        }
        Verdict::emit(Enriched {
            extended_cost_micros: i64::from(used.quantity) * item.unit_cost_micros,
            event_id: used.event_id,
            facility: used.facility,
            department: used.department,
            item_id: used.item_id,
            quantity: used.quantity,
            uom: used.uom,
            encounter_id: used.encounter_id,
            occurred_at: used.occurred_at,
            udi: used.udi,
            lot: used.lot,
            expiry: used.expiry,
            serial: used.serial,
            performer: used.performer,
            procedure_code: used.procedure_code,
            location: used.location,
            note: used.note,
            gtin: item.gtin.clone(),
            description: item.description.clone(),
            supplier_id: item.supplier_id.clone(),
        })
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    peer: &'static str,
    job: &'static str,
    /// Input records, each with a committed outcome.
    events: u64,
    /// From the first record to the end of the room: everything committed, clients closed.
    seconds: f64,
    events_per_s: f64,
    /// Of the whole process without loading: start of the room, tables, drain.
    cpu_seconds: f64,
    events_per_cpu_second: f64,
    peak_rss_mb: f64,
    emitted: u64,
    /// Each with an exception and a parked copy, both with the original bytes.
    rejected: u64,
    dead_letters: u64,
    transactions: u64,
    transactions_aborted: u64,
    value_bytes_mean: u64,
    conditions: Conditions,
}

/// Runs the benchmark and prints its JSON line.
pub fn execute(globals: &Globals, options: &BenchEnrich) -> Result<(), Failure> {
    let mut config = setup(globals)?;
    config.limits.workers = options.members.unwrap_or(config.limits.workers);
    let config = Arc::new(config);
    if options.latency {
        return super::latency::execute(config, options);
    }
    set_topics(names(options));
    let report = crate::context::block_on(measure(config, options))??;
    output(&report)
}

/// The topics of the rivals, or topics of their own for data of another shape.
fn names(options: &BenchEnrich) -> Names {
    let plain = Names::default();
    let (partitions, keys) = (options.partitions, options.keys);
    if (partitions, keys, options.bytes) == (plain.partitions, plain.keys_per_facility * FACILITIES, data::PLAIN_BYTES)
    {
        return plain;
    }
    let shape = format!("p{partitions}-k{keys}-b{}", options.bytes);
    Names {
        consumed: format!("bench.consumed-{shape}.v1"),
        enriched: format!("bench.enriched-{shape}.v1"),
        partitions,
        keys_per_facility: keys / FACILITIES,
        ..plain
    }
}

async fn measure(config: Arc<Config>, options: &BenchEnrich) -> Result<Report, Failure> {
    prepare(&config).await?;
    if length(&config.kafka, Consumed::topic().name).await? == 0 {
        if options.peers {
            return Err(Failure::usage(
                format!("topic {} is empty", Consumed::topic().name),
                "load it with the harness of the rivals, or leave --job away",
            ));
        }
        let (kafka, events) = (config.kafka.clone(), options.events);
        let generator = data::Generator::of_bytes(options.bytes);
        blocking(move || data::load(&kafka, events, generator)).await??;
    }
    let expected = length(&config.kafka, Consumed::topic().name).await?;
    let value_bytes_mean = mean_value_bytes(&config).await?;
    let before = Usage::now();
    let running = start(&config)?;
    let metrics = running.metrics.clone();
    let seen = || metrics.emitted.get() + metrics.rejected.get() + metrics.dead_letter.get();
    let mut first = None;
    while seen() < expected && !running.has_ended() {
        tokio::time::sleep(LOOK).await;
        if first.is_none() && seen() > 0 {
            first = Some(tick());
        }
    }
    let name = running.name;
    // Several members join one after the other: what was decided when partitions went is counted, and decided again.
    while config.limits.workers > 1 && uncommitted(&config, name, Consumed::topic().name).await? > 0 {
        tokio::time::sleep(LOOK).await;
    }
    running.stop().await?;
    let seconds = first.map_or(0.0, |first| tick().since(first).as_secs_f64());
    let after = Usage::now();
    check_committed(&config, name, Consumed::topic().name, expected).await?;
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    Ok(Report {
        peer: "wardline",
        job: "enrich exactly_once",
        events: expected,
        seconds: rounded(seconds, 3),
        events_per_s: rate(expected, seconds),
        cpu_seconds: rounded(cpu_seconds, 2),
        events_per_cpu_second: rate(expected, cpu_seconds),
        peak_rss_mb: rounded(after.peak_rss_mb, 1),
        emitted: metrics.emitted.get(),
        rejected: metrics.rejected.get(),
        dead_letters: metrics.dead_letter.get(),
        transactions: metrics.transactions_committed.get(),
        transactions_aborted: metrics.transactions_aborted.get(),
        value_bytes_mean,
        conditions: Conditions::now(&config.kafka.bootstrap, Consumed::topic().partitions, "exactly once"),
    })
}

/// Creates the topics that are missing.
pub async fn prepare(config: &Config) -> Result<(), Failure> {
    let mut topics = topics();
    topics.push(schemas::topics::OPS_DEAD_LETTER_V1.info());
    admin::ensure_topics(&config.kafka, &topics).await.map_err(Failure::kafka)?;
    // An event is parked in the partition that it came from.
    let (parked, partitions) = (schemas::topics::OPS_PARKED_V1.name(), Consumed::topic().partitions);
    admin::ensure_partitions(&config.kafka, parked, partitions).await.map_err(Failure::kafka)
}

/// Starts the room.
pub fn start(config: &Arc<Config>) -> Result<Running, Failure> {
    start_with(config, "bench-enrich", || Enrich)
}

/// Starts a room with a processor over the topics of the benchmark.
pub fn start_with<P: Processor>(
    config: &Arc<Config>,
    what: &str,
    processor: impl Fn() -> P + Send + Sync + 'static,
) -> Result<Running, Failure> {
    Running::start(config, what, &ids(), |name| room_of(name, processor))
}

/// Starts such a room once more, under the name that it had.
pub fn start_again<P: Processor>(
    config: &Arc<Config>,
    name: &'static str,
    processor: impl Fn() -> P + Send + Sync + 'static,
) -> Result<Running, Failure> {
    Running::start_as(config, name, &ids(), |name| room_of(name, processor))
}

fn ids() -> [(&'static TopicInfo, u32); 3] {
    [(Consumed::topic(), CONSUMED_ID), (Item::topic(), ITEM_ID), (Enriched::topic(), ENRICHED_ID)]
}

fn room_of<P: Processor>(name: &'static str, processor: impl Fn() -> P + Send + Sync + 'static) -> Room {
    let wiring = move || Wiring::new(name, "benchmark", processor(), Topic::of_event());
    Room::processor(RoomInfo::of_processor(&wiring()), move |_| Ok(wiring()))
}

/// Mean size of the first thousands of values of the input.
async fn mean_value_bytes(config: &Config) -> Result<u64, Failure> {
    let kafka = config.kafka.clone();
    let (mut bytes, mut records) = (0_u64, 0_u64);
    let read = blocking(move || {
        reader::read_range(&kafka, &Range::all(Consumed::topic().name).partitions([0]), |record| {
            bytes += record.value.map_or(0, |value| value.len() as u64);
            records += 1;
            if records < 5_000 { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })
        .map(|_| bytes / records.max(1))
    });
    read.await?.map_err(Failure::kafka)
}

fn topics() -> Vec<&'static TopicInfo> {
    let mut topics = vec![Consumed::topic(), Item::topic(), Enriched::topic()];
    topics.extend(ops());
    topics
}
