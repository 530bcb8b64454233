//! What the Kafka client reaches for the same records with nothing else to do: an intention per event in transactions of one
//! producer, then its effect record and its output in transactions of another one, at the same time. Once with nothing but
//! writing, and once with an intention for each event that is read from the topic that the room reads.

use super::contracts::{Asked, PARTITIONS, run_topics as topics};
use crate::Failure;
use crate::bench::blocking;
use crate::bench::usage::{Usage, rate, rounded};
use runtime::clock::{now_micros, tick};
use runtime::config::KafkaConfig;
use runtime::outgoing::{Headers, Outgoing};
use runtime::producer::{Delivery, Producer};
use runtime::reader::{self, Range};
use runtime::scan::{self, Glance};
use runtime::{Config, admin};
use schemas::Event as _;
use serde::Serialize;
use std::borrow::Cow;
use std::ops::ControlFlow;
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

/// Whether the client reads the events or only writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It writes.
    Writes,
    /// It reads each event and writes.
    ReadsAndWrites,
}

/// Writes the records of so many events.
pub async fn measure(config: &Config, events: u64, work: Work) -> Result<Ceiling, Failure> {
    let topics = topics();
    admin::ensure_topics(&config.kafka, &[&topics.effects, &topics.outputs]).await.map_err(Failure::kafka)?;
    let before = Usage::now();
    let started = tick();
    let (told, asked) = sync_channel(4);
    let run = now_micros();
    let (kafka, other) = (config.kafka.clone(), config.kafka.clone());
    let intentions = blocking(move || match work {
        Work::Writes => Intentions::open(&kafka, run, events, told)?.make_up(),
        Work::ReadsAndWrites => Intentions::open(&kafka, run, events, told)?.read(&kafka),
    });
    let outcomes = blocking(move || settle(&other, run, &asked));
    let (intended, settled) = tokio::join!(intentions, outcomes);
    intended??;
    settled??;
    let seconds = tick().since(started).as_secs_f64();
    let cpu_seconds = Usage::now().cpu_seconds - before.cpu_seconds;
    Ok(Ceiling {
        what: match work {
            Work::Writes => {
                "the raw client: one producer writes intentions, another effect records and outputs, 1,000 events per transaction"
            }
            Work::ReadsAndWrites => "the same, with an intention for each event that is read",
        },
        events_per_s: rate(events, seconds),
        cpu_seconds: rounded(cpu_seconds, 2),
        events_per_cpu_second: rate(events, cpu_seconds),
    })
}

/// Writes intentions, and tells of each transaction how many.
struct Intentions {
    producer: Producer,
    events: u64,
    written: u64,
    told: SyncSender<u64>,
}

impl Intentions {
    fn open(kafka: &KafkaConfig, run: i64, events: u64, told: SyncSender<u64>) -> Result<Self, Failure> {
        let producer = open(kafka, &format!("bench-ceiling-intend-{run}"))?;
        Ok(Self { producer, events, written: 0, told })
    }

    fn make_up(mut self) -> Result<(), Failure> {
        while self.left() > 0 && self.write(TOGETHER.min(self.left()))? {}
        Ok(())
    }

    fn read(mut self, kafka: &KafkaConfig) -> Result<(), Failure> {
        let topic = Asked::topic().name;
        let spans = reader::spans(kafka, &Range::all(topic)).map_err(Failure::kafka)?;
        let (mut gathered, mut wrote) = (0, Ok(true));
        let take = |glance: Option<&Glance<'_>>| {
            gathered += u64::from(glance.is_some());
            if gathered < TOGETHER.min(self.left()) {
                return ControlFlow::Continue(());
            }
            wrote = self.write(std::mem::take(&mut gathered));
            if matches!(wrote, Ok(true)) && self.left() > 0 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        scan::scan(kafka, topic, &spans, take).map_err(Failure::kafka)?;
        match self.left() {
            // Who listened has failed, and says why.
            _ if !wrote? => Ok(()),
            0 => Ok(()),
            left => Err(Failure::new(format!("{topic} holds {left} events too few"), "run the benchmark again")),
        }
    }

    fn left(&self) -> u64 {
        self.events - self.written
    }

    /// False when nobody listens any more.
    fn write(&mut self, part: u64) -> Result<bool, Failure> {
        let written = self.written;
        transact(&self.producer, part, |number| vec![effect(written + number, INTENTION_BYTES)])?;
        self.written += part;
        Ok(self.told.send(part).is_ok())
    }
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
