//! `wardline bench replay`: `enrich` and `analytics` of production read millions of events from the beginning of a topic, as they
//! do after an incident when their positions are set back.

use super::running::{check_committed, uncommitted};
use super::usage::{Conditions, Usage, rate, rounded};
use super::{BenchReplay, blocking, data, output, setup};
use crate::Failure;
use crate::args::Globals;
use runtime::clock::{now_micros, tick};
use runtime::codec::Codec;
use runtime::config::KafkaConfig;
use runtime::health::Health;
use runtime::metrics::RoomMetrics;
use runtime::producer::{Delivery, Producer};
use runtime::reader::{self, Range};
use runtime::{Config, Room, admin, run_rooms_with, shutdown};
use schemas::{
    EnrichedUsage, Event, MasterCostCenter, MasterEmployee, MasterItem, MasterLocation, MasterSupplier, TopicInfo,
    ValidatedUsage, examples, topics,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Keys of the events: stays of patients.
const KEYS: u64 = 100_000;
/// Events of a busy day of a hospital group.
const DAY: f64 = 20_000_000.0;
/// Longest wait for the confirmation of one part of the load.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);
/// Records that are confirmed together.
const PART: u64 = 50_000;
/// How often the counters are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Runs the benchmark and prints its JSON line.
pub fn execute(globals: &Globals, options: &BenchReplay) -> Result<(), Failure> {
    let mut config = setup(globals)?;
    let lake = std::env::temp_dir().join(format!("wardline-bench-replay-{}", now_micros()));
    config.rooms.insert(analytics::NAME.to_owned(), json!({"directory": lake}));
    let report = crate::context::block_on(measure(Arc::new(config), options));
    // What could not be written need not be removed.
    drop(std::fs::remove_dir_all(&lake));
    output(&report??)
}

async fn measure(config: Arc<Config>, options: &BenchReplay) -> Result<Value, Failure> {
    let all: Vec<&'static TopicInfo> = topics::ALL.to_vec();
    admin::ensure_topics(&config.kafka, &all).await.map_err(Failure::kafka)?;
    if count::<ValidatedUsage>(&config).await? == 0 {
        let (kafka, events) = (config.kafka.clone(), options.events);
        blocking(move || load(&kafka, events)).await??;
    }
    let events = count::<ValidatedUsage>(&config).await?;
    let enriched = pass(&config, enrich::NAME, enrich::room(), ValidatedUsage::topic().name, events).await?;
    let events = count::<EnrichedUsage>(&config).await?;
    let written = pass(&config, analytics::NAME, analytics::room(), EnrichedUsage::topic().name, events).await?;
    Ok(json!({
        "bench": "replay",
        "keys": KEYS,
        "enrich": enriched,
        "analytics": written,
        "conditions": Conditions::now(&config.kafka.bootstrap, ValidatedUsage::topic().partitions, "exactly once"),
    }))
}

/// Lets a room read a topic from the beginning to its end.
async fn pass(
    config: &Arc<Config>,
    name: &'static str,
    room: Room,
    topic: &'static str,
    events: u64,
) -> Result<Value, Failure> {
    let codec = Codec::fixed(&with_ids()).map_err(|error| Failure::new(error, "report this as a defect"))?;
    let (before, metrics, health) = (Usage::now(), RoomMetrics::new(name), Health::new());
    let (trigger, stop) = shutdown();
    let (running, known) = (Arc::clone(config), health.clone());
    let task = tokio::spawn(async move { run_rooms_with(Arc::new(codec), running, vec![room], &known, stop).await });
    let progress = crate::output::spinner(&format!("events through {name}"));
    let mut first = None;
    // A record that is waited for is out of the way as well: the check of the positions tells what is not.
    let seen = || metrics.emitted.get() + metrics.rejected.get() + metrics.waited.get() + metrics.dead_letter.get();
    while seen() < events && !task.is_finished() {
        tokio::time::sleep(LOOK).await;
        progress.set_position(seen());
        if first.is_none() && seen() > 0 {
            first = Some(tick());
        }
    }
    // Some rooms read further topics, whose records count as well.
    while uncommitted(config, name, topic).await? > 0 && !task.is_finished() {
        tokio::time::sleep(LOOK).await;
    }
    let seconds = first.map_or(0.0, |first| tick().since(first).as_secs_f64());
    progress.finish_and_clear();
    trigger.stop();
    let ended = task.await.map_err(|error| Failure::new(error, "report this as a defect"))?;
    ended.map_err(|error| crate::run::stopped(&error))?;
    let after = Usage::now();
    check_committed(config, name, topic, events).await?;
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    let per_second = rate(metrics.emitted.get(), seconds);
    Ok(json!({
        "events": events,
        "emitted": metrics.emitted.get(),
        "seconds": rounded(seconds, 2),
        "events_per_s": per_second,
        "cpu_seconds": rounded(cpu_seconds, 2),
        "events_per_cpu_second": rate(events, cpu_seconds),
        "minutes_for_20_million": rounded(DAY / per_second.max(1.0) / 60.0, 1),
        "peak_rss_mb": rounded(after.peak_rss_mb, 1),
    }))
}

async fn count<T: Event>(config: &Config) -> Result<u64, Failure> {
    let (kafka, topic) = (config.kafka.clone(), T::topic().name);
    let records =
        blocking(move || reader::read_range(&kafka, &Range::all(topic), |_| std::ops::ControlFlow::Continue(())));
    records.await?.map_err(Failure::kafka)
}

/// Loads the master data of the examples, and usages that it fits.
fn load(kafka: &KafkaConfig, events: u64) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let part = Delivery::new();
    masters::<MasterItem>(&producer, &part)?;
    masters::<MasterLocation>(&producer, &part)?;
    masters::<MasterCostCenter>(&producer, &part)?;
    masters::<MasterSupplier>(&producer, &part)?;
    masters::<MasterEmployee>(&producer, &part)?;
    part.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)?;
    let no_example = || Failure::new("there is no example of a usage", "report this as a defect");
    let example = examples::<ValidatedUsage>().into_iter().next().ok_or_else(no_example)?;
    let progress = crate::output::spinner("events loaded");
    let mut loaded = 0;
    while loaded < events {
        let until = events.min(loaded + PART);
        let delivery = Delivery::new();
        for number in loaded..until {
            let record = data::encoded(&usage(&example, number), id_of::<ValidatedUsage>())?;
            producer.send(&record, &delivery).map_err(Failure::kafka)?;
        }
        delivery.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)?;
        loaded = until;
        progress.set_position(loaded);
    }
    progress.finish_and_clear();
    Ok(())
}

fn masters<T: Event>(producer: &Producer, part: &Arc<Delivery>) -> Result<(), Failure> {
    for record in examples::<T>() {
        producer.send(&data::encoded(&record, id_of::<T>())?, part).map_err(Failure::kafka)?;
    }
    Ok(())
}

/// All topics with a schema, and an id for each.
fn with_ids() -> Vec<(&'static TopicInfo, u32)> {
    topics::ALL.iter().copied().filter(|topic| !topic.schema.is_empty()).zip(1..).collect()
}

fn id_of<T: Event>() -> u32 {
    with_ids().into_iter().find(|(topic, _)| topic.name == T::topic().name).map_or(0, |(_, id)| id)
}

/// One use of its own of the example's article.
fn usage(example: &ValidatedUsage, number: u64) -> ValidatedUsage {
    let mut usage = example.clone();
    usage.meta.event_id = format!("00000000-0000-5000-8000-{number:012x}");
    usage.meta.business_key = format!("bench/{number}");
    usage.encounter_ref = format!("enc_{:032}", number % KEYS);
    usage
}
