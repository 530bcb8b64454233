//! `wardline bench parking`: many events of many keys are parked, listed, and let go in order, by the loop that every processor
//! runs on; and what keys that have nothing to do with it notice.

use super::contracts::{CONSUMED_ID, Consumed, ENRICHED_ID, Enriched, ITEM_ID, Item, Names, set_topics};
use super::data::encoded;
use super::enrich::{prepare, start_again, start_with};
use super::running::Running;
use super::usage::{Conditions, Usage, percentile, rate, rounded};
use super::{BenchParking, blocking, output, setup};
use crate::args::Globals;
use crate::{Failure, status};
use processor::{Binder, Code, Processor, Reason, Subject, Table, Tables, Verdict};
use runtime::Config;
use runtime::clock::{now_micros, tick};
use runtime::config::KafkaConfig;
use runtime::producer::{Delivery, Producer};
use runtime::reader;
use schemas::catalogue::OnReject;
use schemas::codec::{decode, split_frame};
use schemas::{Event, Topic};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The article that everybody waits for.
const LATE: &str = "ITM-LATE";
/// The processor has one reason to wait.
const CODE: Code = Code::new("WL-4001");
/// Keys of the unrelated events.
const UNRELATED: u64 = 97;
/// Facilities of the unrelated events begin so, all others are parked.
const UNRELATED_PREFIX: char = 'U';
/// Records that are confirmed together.
const PART: u64 = 20_000;
/// How often the counters are looked at, and what is due is sent.
const LOOK: Duration = Duration::from_millis(1);
/// A stage that makes no headway for so long has failed.
const STUCK: Duration = Duration::from_secs(60);
/// Longest wait for confirmations.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

struct Late;

struct Items(Table<Item>);

impl Tables for Items {
    fn bind(binder: &mut Binder) -> Self {
        Self(binder.table(Topic::of_event(), &[]))
    }
}

impl Processor for Late {
    type Input = Consumed;
    type Output = Enriched;
    type Tables = Items;

    fn process(&self, used: Consumed, Items(items): &Items) -> Verdict<Enriched> {
        if used.item_id == LATE && items.get(LATE).is_none() {
            let reason = Reason::new(CODE, "item-late", "the item is not known yet");
            return Verdict::Wait(reason.until(Subject::new(Item::topic().name, LATE)));
        }
        let Consumed { event_id, facility, occurred_at, .. } = used;
        Verdict::emit(Enriched { event_id, facility, occurred_at, ..Enriched::default() })
    }
}

/// What came out so far.
#[derive(Default)]
struct Seen {
    /// Creation and latency of the unrelated events, microseconds.
    unrelated: Vec<(i64, i64)>,
    /// Number of the last event of each parked key.
    last: HashMap<String, u64>,
    let_go: u64,
    out_of_order: u64,
}

/// The flow of unrelated events, and whoever watches what comes out.
struct Beside {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Result<(), Failure>>>,
}

/// Runs the benchmark and prints its JSON line.
pub fn execute(globals: &Globals, options: &BenchParking) -> Result<(), Failure> {
    let mut config = setup(globals)?;
    let events = usize::try_from(options.events).unwrap_or(usize::MAX);
    config.limits.parked_max = config.limits.parked_max.max(events.saturating_add(1));
    let run = now_micros();
    set_topics(Names {
        consumed: format!("bench.parking-in-{run}.v1"),
        enriched: format!("bench.parking-out-{run}.v1"),
        items: format!("bench.parking-item-{run}.v1"),
        on_reject: OnReject::Park,
        ..Names::default()
    });
    let report = crate::context::block_on(measure(Arc::new(config), options))??;
    output(&report)
}

async fn measure(config: Arc<Config>, options: &BenchParking) -> Result<Value, Failure> {
    prepare(&config).await?;
    let running = start_with(&config, "bench-parking", || Late)?;
    running.health.wait_ready().await.map_err(|reason| Failure::new(reason, "see the log lines above"))?;
    let beside = Beside::start(&config, options.rate).await?;
    let quiet = beside.window(options.secs).await;
    let empty = Usage::now();

    let (begun, begun_micros) = (tick(), now_micros());
    let (kafka, events, keys) = (config.kafka.clone(), options.events, options.keys);
    let load = tokio::task::spawn_blocking(move || load(&kafka, events, keys));
    until(&running, |parked, _| parked >= events).await?;
    load.await.map_err(Failure::kafka)??;
    let park_s = tick().since(begun).as_secs_f64();
    let parking = beside.latencies(begun_micros, now_micros());
    let lanes = running.metrics.parked_lanes.get();
    let parked = beside.window(options.secs).await;
    let full = Usage::now();

    let (begun, listing) = (tick(), Arc::clone(&config));
    let listed = blocking(move || status::parked_keys(&listing)).await?.map_err(Failure::kafka)?;
    let list_s = tick().since(begun).as_secs_f64();
    let room = format!("{}|", running.name);
    let listed = listed.iter().filter(|key| key.starts_with(&room)).count() as u64;

    let (running, restart_s) = restarted(&config, running, events).await?;
    let read_back = Usage::now();
    let ready = beside.window(options.secs).await;

    let (begun, begun_micros) = (tick(), now_micros());
    let kafka = config.kafka.clone();
    blocking(move || arrive(&kafka)).await??;
    until(&running, |parked, _| parked == 0).await?;
    let unpark_s = tick().since(begun).as_secs_f64();
    let unparking = beside.latencies(begun_micros, now_micros());
    let after = beside.window(options.secs).await;
    let rss_mb = Usage::now().rss_mb;
    running.stop().await?;
    let seen = beside.stop().await?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_event = (full.rss_mb - empty.rss_mb) * 1_048_576.0 / events as f64;
    Ok(json!({
        "bench": "parking",
        "events": events,
        "keys": keys,
        "parked_lanes": lanes,
        "parked_per_s": rate(events, park_s),
        "listed": listed,
        "listed_per_s": rate(listed, list_s),
        "restart_s": rounded(restart_s, 1),
        "unparked_per_s": rate(events, unpark_s),
        "let_go": seen.let_go,
        "out_of_order": seen.out_of_order,
        "rss_mb": {
            "empty": rounded(empty.rss_mb, 1), "parked": rounded(full.rss_mb, 1), "restarted": rounded(read_back.rss_mb, 1),
            "after": rounded(rss_mb, 1), "peak": rounded(Usage::now().peak_rss_mb, 1),
        },
        "rss_bytes_per_parked_event": rounded(per_event, 0),
        "unrelated_per_s": options.rate,
        "unrelated_ms": {
            "before": quiet, "while_parking": parking, "while_parked": parked, "restarted": ready, "while_unparking": unparking,
            "after": after,
        },
        "conditions": Conditions::now(&config.kafka.bootstrap, Consumed::topic().partitions, "exactly once"),
    }))
}

/// The room is stopped and started again: how long it takes until it has all that is parked.
async fn restarted(config: &Arc<Config>, running: Running, events: u64) -> Result<(Running, f64), Failure> {
    let name = running.name;
    running.stop().await?;
    let begun = tick();
    let running = start_again(config, name, || Late)?;
    running.metrics.parked_events.set(0);
    until(&running, |parked, _| parked >= events).await?;
    Ok((running, tick().since(begun).as_secs_f64()))
}

/// Waits until the number of parked events is as wanted.
async fn until(running: &Running, reached: impl Fn(u64, u64) -> bool) -> Result<(), Failure> {
    let (mut last, mut moved) = ((u64::MAX, u64::MAX), tick());
    loop {
        let parked = u64::try_from(running.metrics.parked_events.get()).unwrap_or_default();
        let now = (parked, running.metrics.waited.get());
        if reached(now.0, now.1) {
            return Ok(());
        }
        if now != last {
            (last, moved) = (now, tick());
        } else if tick().since(moved) > STUCK {
            return Err(Failure::new(
                format!("{parked} events are parked, and it stays so"),
                "see the log lines above",
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn load(kafka: &KafkaConfig, events: u64, keys: u64) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let mut sent = 0;
    while sent < events {
        let part = Delivery::new();
        let end = (sent + PART).min(events);
        for number in sent..end {
            let event = event(format!("K{}-", number % keys), LATE, number / keys);
            producer.send(&encoded(&event, CONSUMED_ID)?, &part).map_err(Failure::kafka)?;
        }
        part.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)?;
        sent = end;
    }
    Ok(())
}

/// The article comes.
fn arrive(kafka: &KafkaConfig) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let part = Delivery::new();
    let item = Item { item_id: LATE.to_owned(), active: true, ..Item::default() };
    producer.send(&encoded(&item, ITEM_ID)?, &part).map_err(Failure::kafka)?;
    part.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)
}

/// An event whose key is its facility, for the key takes a number below 64 as well, and this one is always the same.
fn event(facility: String, item_id: &str, number: u64) -> Consumed {
    Consumed {
        event_id: format!("evt-{:012}", number * 64),
        facility,
        item_id: item_id.to_owned(),
        quantity: 1,
        occurred_at: now_micros(),
        note: "opened in sterile field by the circulating nurse, counted twice before closing, remainder wasted"
            .to_owned(),
        ..Consumed::default()
    }
}

impl Beside {
    async fn start(config: &Config, rate: u32) -> Result<Self, Failure> {
        let (seen, over) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (ready, started) = tokio::sync::oneshot::channel();
        let (kafka, noted, ended) = (config.kafka.clone(), Arc::clone(&seen), Arc::clone(&over));
        let watch = tokio::task::spawn_blocking(move || {
            let began = || {
                // Nobody waits for it when the benchmark has failed meanwhile.
                let _ = ready.send(());
            };
            let watched = reader::follow(&kafka, Enriched::topic().name, began, |record| match record {
                Some(record) => {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).note(record.value.as_deref());
                    ControlFlow::Continue(())
                }
                // Only when nothing comes any more: what has just been let go is to be seen.
                None if ended.load(Ordering::Relaxed) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            });
            watched.map_err(Failure::kafka)
        });
        started.await.map_err(|_| Failure::kafka("the output cannot be read"))?;
        let (kafka, ended) = (config.kafka.clone(), Arc::clone(&over));
        let feed = tokio::spawn(async move { feed(&kafka, rate, &ended).await });
        Ok(Self { seen, over, tasks: vec![watch, feed] })
    }

    /// Latencies of what is created in the next seconds.
    async fn window(&self, secs: u64) -> Value {
        let from = now_micros();
        tokio::time::sleep(Duration::from_secs(secs)).await;
        let until = now_micros();
        // What was created last has time to come out.
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.latencies(from, until)
    }

    fn latencies(&self, from: i64, until: i64) -> Value {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let within = seen.unrelated.iter().filter(|(created, _)| (from..until).contains(created));
        let mut sorted: Vec<f64> = within
            .map(|(_, micros)| Duration::from_micros(u64::try_from(*micros).unwrap_or_default()).as_secs_f64() * 1e3)
            .collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share| rounded(percentile(&sorted, share), 1);
        json!({"events": sorted.len(), "p50": at(0.5), "p99": at(0.99), "max": at(1.0)})
    }

    async fn stop(self) -> Result<Seen, Failure> {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.map_err(|error| Failure::new(error, "report this as a defect"))??;
        }
        Ok(std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Seen {
    fn note(&mut self, value: Option<&[u8]>) {
        let now = now_micros();
        let Some(Ok((ENRICHED_ID, body))) = value.map(split_frame) else { return };
        let Ok(event) = Enriched::contract().and_then(|writer| decode::<Enriched>(writer, body)) else { return };
        if event.facility.starts_with(UNRELATED_PREFIX) {
            self.unrelated.push((event.occurred_at, now - event.occurred_at));
            return;
        }
        let number = event.event_id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        self.let_go += 1;
        if let Some(before) = self.last.insert(event.facility, number) {
            self.out_of_order += u64::from(before >= number);
        }
    }
}

/// Sends unrelated events at a rate.
async fn feed(kafka: &KafkaConfig, rate: u32, over: &AtomicBool) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let mut part = Delivery::new();
    let (begun, mut sent) = (tick(), 0_u64);
    while !over.load(Ordering::Relaxed) {
        let due = tick().since(begun).as_micros() * u128::from(rate) / 1_000_000;
        while u128::from(sent) < due {
            let event = event(format!("{UNRELATED_PREFIX}{}-", sent % UNRELATED), "ITM-1", sent);
            producer.send(&encoded(&event, CONSUMED_ID)?, &part).map_err(Failure::kafka)?;
            sent += 1;
            if sent.is_multiple_of(PART) {
                let full = std::mem::replace(&mut part, Delivery::new());
                full.confirmed().await.map_err(Failure::kafka)?;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    let last = blocking(move || part.wait(CONFIRM_TIMEOUT, || producer.last_error())).await?;
    last.map_err(Failure::kafka)
}
