//! What the Kafka client reaches for the same records with nothing else to do: an intention per event in transactions of one
//! producer, then its effect record and its output in transactions of another one, at the same time.

use super::contracts::{PARTITIONS, run_topics as topics};
use crate::Failure;
use crate::bench::blocking;
use crate::bench::usage::{Usage, rate, rounded};
use runtime::clock::{now_micros, tick};
use runtime::config::KafkaConfig;
use runtime::outgoing::{Headers, Outgoing};
use runtime::producer::{Delivery, Producer};
use runtime::{Config, admin};
use serde::Serialize;
use std::borrow::Cow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Events in one transaction.
const TOGETHER: u64 = 1_000;
/// Longest wait for one transaction.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of the value of an intention, an effect record and an output of the benchmark, as its room writes them.
const INTENTION_BYTES: usize = 190;
const EFFECT_BYTES: usize = 330;
const OUTPUT_BYTES: usize = 90;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Ceiling {
    what: &'static str,
    events_per_s: f64,
    cpu_seconds: f64,
    events_per_cpu_second: f64,
}

/// Writes the records of so many events.
pub async fn measure(config: &Config, events: u64) -> Result<Ceiling, Failure> {
    let topics = topics();
    admin::ensure_topics(&config.kafka, &[&topics.effects, &topics.outputs]).await.map_err(Failure::kafka)?;
    let before = Usage::now();
    let started = tick();
    let (told, asked) = sync_channel(4);
    let run = now_micros();
    let (kafka, other) = (config.kafka.clone(), config.kafka.clone());
    let intentions = blocking(move || intend(&kafka, run, events, &told));
    let outcomes = blocking(move || settle(&other, run, &asked));
    let (intended, settled) = tokio::join!(intentions, outcomes);
    intended??;
    settled??;
    let seconds = tick().since(started).as_secs_f64();
    let cpu_seconds = Usage::now().cpu_seconds - before.cpu_seconds;
    Ok(Ceiling {
        what: "the raw client: one producer writes intentions, another effect records and outputs, 1,000 events per transaction",
        events_per_s: rate(events, seconds),
        cpu_seconds: rounded(cpu_seconds, 2),
        events_per_cpu_second: rate(events, cpu_seconds),
    })
}

fn intend(kafka: &KafkaConfig, run: i64, events: u64, told: &SyncSender<u64>) -> Result<(), Failure> {
    let producer = open(kafka, &format!("bench-ceiling-intend-{run}"))?;
    let mut written = 0;
    while written < events {
        let part = TOGETHER.min(events - written);
        transact(&producer, part, |number| vec![effect(written + number, INTENTION_BYTES)])?;
        written += part;
        if told.send(part).is_err() {
            break;
        }
    }
    Ok(())
}

fn settle(kafka: &KafkaConfig, run: i64, asked: &Receiver<u64>) -> Result<(), Failure> {
    let producer = open(kafka, &format!("bench-ceiling-settle-{run}"))?;
    let mut written = 0;
    for part in asked {
        transact(&producer, part, |number| vec![effect(written + number, EFFECT_BYTES), done(written + number)])?;
        written += part;
    }
    Ok(())
}

fn open(kafka: &KafkaConfig, id: &str) -> Result<Producer, Failure> {
    let producer = Producer::new(kafka, Some(id)).map_err(Failure::kafka)?;
    producer.init_transactions(TIMEOUT).map_err(Failure::kafka)?;
    Ok(producer)
}

fn transact(producer: &Producer, events: u64, records: impl Fn(u64) -> Vec<Outgoing>) -> Result<(), Failure> {
    producer.begin().map_err(Failure::kafka)?;
    let delivery = Delivery::new();
    for number in 0..events {
        for record in records(number) {
            producer.send(&record, &delivery).map_err(Failure::kafka)?;
        }
    }
    producer.commit(&delivery, &[], None, TIMEOUT).map_err(Failure::kafka)
}

/// A record of the size of an effect record, with as many headers.
fn effect(number: u64, bytes: usize) -> Outgoing {
    let partition = i32::try_from(number % u64::from(PARTITIONS)).ok();
    let key = format!("ceiling/{}/{}", number % 1_000, number / 1_000);
    Outgoing {
        topic: Cow::Borrowed(topics().effects.name),
        partition,
        key: Some(key.into()),
        value: Some(filled(number, bytes).into()),
        headers: headers("org.wardline.ops.effect.v1"),
        ticket: None,
    }
}

fn done(number: u64) -> Outgoing {
    let key = super::contracts::key_text(i32::try_from(number % 1_000).unwrap_or_default());
    Outgoing {
        topic: Cow::Borrowed(topics().outputs.name),
        partition: None,
        key: Some(key.into()),
        value: Some(filled(number, OUTPUT_BYTES).into()),
        headers: headers("org.wardline.bench.done.v1"),
        ticket: None,
    }
}

/// Not all the same: a broker and a compression that see one byte again and again would have it too easy.
fn filled(number: u64, bytes: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let byte = |place: usize| {
        // Half of it is text that repeats, as in the records of the room.
        if place.is_multiple_of(2) {
            return b'a';
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..bytes).map(byte).collect()
}

fn headers(kind: &str) -> Headers {
    let header = |name, value: &str| (Cow::Borrowed(name), Some(value.to_owned().into()));
    vec![
        header(schemas::headers::CONTENT_TYPE, schemas::headers::AVRO),
        header(schemas::headers::TYPE, kind),
        header(schemas::headers::PHI, "indirect"),
        header(schemas::headers::TENANT, "hospital"),
    ]
}
