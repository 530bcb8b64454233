//! `wardline bench trace`: how long a question takes when a topic holds a million events, and how long service levels take to
//! read a day.

use super::usage::{Conditions, Usage, rounded};
use super::{BenchTrace, blocking, length, output, setup};
use crate::Failure;
use crate::args::Globals;
use operations::sight::levels;
use operations::sight::trace::{IdKind, Question, trace};
use runtime::clock::{now_micros, tick};
use runtime::codec::Codec;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::producer::{Delivery, Producer};
use runtime::readers::Readers;
use runtime::{Config, admin};
use schemas::{ErpPosting, Event, SupplyUsage, TopicInfo, examples, topics};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Keys of the events: stays of patients.
const KEYS: u64 = 100_000;
/// Every so many events one is posted, so that there are whole ways to find.
const POSTED: u64 = 100;
/// Longest wait for the confirmation of one part of the load.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);
/// Records that are confirmed together.
const PART: u64 = 50_000;

/// Runs the benchmark and prints its JSON line.
pub fn execute(globals: &Globals, options: &BenchTrace) -> Result<(), Failure> {
    let config = setup(globals)?;
    let report = crate::context::block_on(measure(Arc::new(config), options));
    output(&report??)
}

async fn measure(config: Arc<Config>, options: &BenchTrace) -> Result<Value, Failure> {
    let all: Vec<&'static TopicInfo> = topics::ALL.to_vec();
    admin::ensure_topics(&config.kafka, &all).await.map_err(Failure::kafka)?;
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    codec.prepare(&[SupplyUsage::topic(), ErpPosting::topic()]).await.map_err(Failure::registry)?;
    let usages = SupplyUsage::topic().name;
    if length(&config.kafka, usages).await? == 0 {
        let (running, events) = (Arc::clone(&config), options.events);
        blocking(move || load(&running, &codec, events)).await??;
    }
    let events = length(&config.kafka, usages).await?;
    // One of the posted ones in the middle.
    let number = events / 2 / POSTED * POSTED;
    let just_now_ms = now_micros() / 1_000;
    let asked = [
        ("event id", usage_id(number), None, None),
        ("event id, --as event", usage_id(number), Some(IdKind::Event), None),
        ("ERP document, --as document", document(number), Some(IdKind::Document), None),
        ("lot, --as lot", lot(number), Some(IdKind::Lot), None),
        ("nothing has it", "no-such-id".to_owned(), None, None),
        ("event id of the last minute, --since", usage_id(number), None, Some(just_now_ms - 60_000)),
    ];
    let readers = Readers::new(&config.kafka);
    let mut questions = Vec::new();
    for (what, id, kind, since_ms) in asked {
        let (before, started) = (Usage::now(), tick());
        let question = Question { id, kind, since_ms, with_phi: false };
        let answer = trace(&config, &readers, question, |_| {}).await.map_err(crate::sight::failure)?;
        questions.push(json!({
            "asked": what,
            "steps": answer.steps.len(),
            "records": answer.searched.records,
            "seconds": rounded(tick().since(started).as_secs_f64(), 2),
            "cpu_seconds": rounded(Usage::now().cpu_seconds - before.cpu_seconds, 2),
        }));
    }
    let started = tick();
    let (snapshot, _) = levels::today(Arc::clone(&config)).await.map_err(crate::sight::failure)?;
    let posted = snapshot.levels.iter().find(|level| level.name == "usage-posted").map_or(0, |level| level.in_time);
    Ok(json!({
        "bench": "trace",
        "events": events,
        "questions": questions,
        "service_levels_seconds": rounded(tick().since(started).as_secs_f64(), 2),
        "service_levels_in_time": posted,
        "peak_rss_mb": rounded(Usage::now().peak_rss_mb, 1),
        "conditions": Conditions::now(&config.kafka.bootstrap, SupplyUsage::topic().partitions, "read committed"),
    }))
}

fn load(config: &Config, codec: &Codec, events: u64) -> Result<(), Failure> {
    let producer = Producer::new(&config.kafka, None).map_err(Failure::kafka)?;
    let no_example = || Failure::new("there is no example of a usage or a posting", "report this as a defect");
    let usage = examples::<SupplyUsage>().into_iter().next().ok_or_else(no_example)?;
    let posting = examples::<ErpPosting>().into_iter().next().ok_or_else(no_example)?;
    let progress = crate::output::spinner("events loaded");
    let mut loaded = 0;
    while loaded < events {
        let until = events.min(loaded + PART);
        let delivery = Delivery::new();
        for number in loaded..until {
            let cause = usage_id(number);
            let lineage = Lineage { correlation_id: Some(format!("message-{number}").into()), ..Lineage::default() };
            send(codec, &producer, &usage_of(&usage, number), &lineage, &delivery)?;
            if number % POSTED == 0 {
                let lineage = Lineage { causation_id: Some(cause.into()), ..lineage };
                send(codec, &producer, &posting_of(&posting, number), &lineage, &delivery)?;
            }
        }
        delivery.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)?;
        loaded = until;
        progress.set_position(loaded);
    }
    progress.finish_and_clear();
    Ok(())
}

fn send<T: Event>(
    codec: &Codec,
    producer: &Producer,
    event: &T,
    lineage: &Lineage,
    delivery: &Arc<Delivery>,
) -> Result<(), Failure> {
    let value = codec.encode(event).map_err(Failure::registry)?;
    producer.send(&Outgoing::event(event, value, lineage, "bench"), delivery).map_err(Failure::kafka)
}

fn usage_of(example: &SupplyUsage, number: u64) -> SupplyUsage {
    let mut usage = example.clone();
    usage.meta.event_id = usage_id(number);
    usage.meta.business_key = format!("bench/{number}");
    usage.encounter_ref = format!("enc_{:032}", number % KEYS);
    usage.lot = Some(lot(number));
    usage
}

fn posting_of(example: &ErpPosting, number: u64) -> ErpPosting {
    let mut posting = example.clone();
    posting.meta.event_id = format!("00000000-0000-5000-9000-{number:012x}");
    posting.encounter_ref = format!("enc_{:032}", number % KEYS);
    if let Some(first) = posting.documents.first_mut() {
        first.number = Some(document(number));
    }
    posting
}

fn usage_id(number: u64) -> String {
    format!("00000000-0000-5000-8000-{number:012x}")
}

fn document(number: u64) -> String {
    format!("BENCH-{number}")
}

/// Ten events have the same lot.
fn lot(number: u64) -> String {
    format!("LOT-{}", number / 10)
}
