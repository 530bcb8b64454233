//! How fast a broker is, seen by its clients: records through produce and consume at a steady rate, and their latency.
//!
//! Nothing is asserted about speed, only that every record arrives once and in order.

use super::clients::{PATIENCE, config, create, fresh, lock};
use super::clock::Stopwatch;
use super::{Target, clock};
use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Records per second; they are sent in this rhythm, not in bursts.
    pub rate: u32,
    /// For how long, in seconds.
    pub seconds: u32,
    /// Bytes of a value, at least 16.
    pub bytes: usize,
    /// Partitions of the topic.
    pub partitions: u32,
    /// How long the producer gathers a batch, in milliseconds.
    pub linger_ms: u32,
}

impl Load {
    /// What the embedded broker is meant for: 100,000 records of 500 bytes in a second.
    pub const HIGH: Self = Self { rate: 100_000, seconds: 10, bytes: 500, partitions: 4, linger_ms: 5 };
    /// So few that each record is alone.
    pub const LOW: Self = Self { rate: 200, seconds: 5, bytes: 500, partitions: 1, linger_ms: 0 };
}

/// Sends and reads such a load, checks that it arrives once and in order, and gives the numbers with their conditions.
///
/// # Errors
/// When a record is refused, lost, doubled or out of order.
pub fn measure(target: &dyn Target, load: Load) -> Result<Value> {
    let topic = fresh("measure");
    create(target, &topic, i32::try_from(load.partitions)?, &[])?;
    let (watch, arrived) = (Stopwatch::start(), AtomicU64::new(0));
    let (sent, received) = std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(target, &topic, load, (&watch, &arrived)));
        let sent = send(target, &topic, load, (&watch, &arrived));
        let received = receiving.join().map_err(|_| anyhow!("the reader stopped"))?;
        Ok::<_, anyhow::Error>((sent?, received?))
    })?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Ok(json!({
        "conditions": {
            "rate_per_s": load.rate, "seconds": load.seconds, "value_bytes": load.bytes, "partitions": load.partitions,
            "linger_ms": load.linger_ms, "acks": "all", "idempotence": true, "cores": cores,
            "clients": "librdkafka, producer and consumer in one process",
        },
        "records": u64::from(load.rate) * u64::from(load.seconds),
        "produced_per_s": rate(load, sent.took),
        "consumed_per_s": rate(load, received.took),
        "acknowledged_ms": percentiles(sent.latencies),
        "end_to_end_ms": percentiles(received.latencies),
    }))
}

/// What one side saw.
struct Seen {
    /// From the first record to the last.
    took: Duration,
    /// Microseconds.
    latencies: Vec<u64>,
}

/// Takes the time of each acknowledgement.
struct Acknowledged {
    latencies: Mutex<Vec<u64>>,
    refused: Mutex<Option<RDKafkaErrorCode>>,
    watch: Stopwatch,
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent_us: usize) {
        match result {
            Ok(_) => {
                let now = u64::try_from(self.watch.elapsed().as_micros()).unwrap_or(u64::MAX);
                lock(&self.latencies).push(now.saturating_sub(sent_us as u64));
            }
            Err((error, _)) => *lock(&self.refused) = error.rdkafka_error_code(),
        }
    }
}

/// Sends a record to each partition and waits until all have arrived, so that nobody connects any more; then the load.
fn send(target: &dyn Target, topic: &str, load: Load, (since, arrived): (&Stopwatch, &AtomicU64)) -> Result<Seen> {
    let context = Acknowledged { latencies: Mutex::default(), refused: Mutex::default(), watch: Stopwatch::start() };
    let mut settings = config(&target.bootstrap(), &[("enable.idempotence", "true"), ("batch.size", "200000")]);
    settings.set("linger.ms", load.linger_ms.to_string()).set("queue.buffering.max.messages", "2000000");
    settings.set("queue.buffering.max.kbytes", "1000000");
    let producer: ThreadedProducer<Acknowledged> = settings.create_with_context(context)?;
    let mut value = vec![b'x'; load.bytes.max(16)];
    let first = u64::from(load.partitions);
    let total = first + u64::from(load.rate) * u64::from(load.seconds);
    let mut begin = since.elapsed();
    for number in 0..total {
        if number == first {
            clock::until("the first records arrive", || Ok(arrived.load(Ordering::SeqCst) == first))?;
            begin = since.elapsed();
        }
        let due = begin + Duration::from_micros(number.saturating_sub(first) * 1_000_000 / u64::from(load.rate));
        let early = due.saturating_sub(since.elapsed());
        if early > Duration::from_millis(1) {
            clock::pause(early);
        }
        value[..8].copy_from_slice(&number.to_be_bytes());
        let now = u64::try_from(since.elapsed().as_micros())?;
        value[8..16].copy_from_slice(&now.to_be_bytes());
        let partition = i32::try_from(number % u64::from(load.partitions))?;
        let sent_us = usize::try_from(producer.context().watch.elapsed().as_micros())?;
        let record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, sent_us).partition(partition).payload(&value);
        producer.send(record).map_err(|(error, _)| anyhow!("send: {error}"))?;
    }
    let acknowledged = &producer.context().latencies;
    clock::until("every record is acknowledged", || {
        ensure!(lock(&producer.context().refused).is_none(), "refused: {:?}", lock(&producer.context().refused));
        Ok(lock(acknowledged).len() as u64 >= total)
    })?;
    let latencies = lock(acknowledged).split_off(usize::try_from(first)?);
    Ok(Seen { took: since.elapsed() - begin, latencies })
}

fn receive(target: &dyn Target, topic: &str, load: Load, (since, arrived): (&Stopwatch, &AtomicU64)) -> Result<Seen> {
    let group = fresh("measure");
    let mut settings = config(&target.bootstrap(), &[("group.id", &group), ("enable.auto.commit", "false")]);
    settings.set("fetch.queue.backoff.ms", "10").set("queued.max.messages.kbytes", "65536");
    let consumer: BaseConsumer = settings.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..load.partitions {
        assignment.add_partition_offset(topic, i32::try_from(partition)?, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let total = u64::from(load.rate) * u64::from(load.seconds);
    let mut next: Vec<u64> = (0..u64::from(load.partitions)).collect();
    let mut latencies = Vec::with_capacity(usize::try_from(total)?);
    let (mut first, mut last) = (None, Duration::ZERO);
    let longest = Duration::from_secs(u64::from(load.seconds)) + PATIENCE;
    while (latencies.len() as u64) < total {
        ensure!(since.elapsed() < longest, "{} of {total} records arrived", latencies.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        last = since.elapsed();
        let value = message.payload().context("no value")?;
        let number = u64::from_be_bytes(*value.first_chunk().context("short")?);
        let sent = u64::from_be_bytes(*value[8..].first_chunk().context("short")?);
        let expected = &mut next[usize::try_from(message.partition())?];
        ensure!(number == *expected, "partition {}: {number} instead of {expected}", message.partition());
        *expected += u64::from(load.partitions);
        if arrived.fetch_add(1, Ordering::SeqCst) >= u64::from(load.partitions) {
            first.get_or_insert(last);
            latencies.push(u64::try_from(last.as_micros())?.saturating_sub(sent));
        }
    }
    Ok(Seen { took: last - first.unwrap_or_default(), latencies })
}

fn rate(load: Load, took: Duration) -> u64 {
    let records = u128::from(load.rate) * u128::from(load.seconds);
    u64::try_from(records * 1_000_000 / took.as_micros().max(1)).unwrap_or(u64::MAX)
}

/// Median and tail of microseconds, in milliseconds.
fn percentiles(mut latencies: Vec<u64>) -> Value {
    latencies.sort_unstable();
    let at = |per_mille: usize| {
        let index = (latencies.len() * per_mille / 1_000).min(latencies.len().saturating_sub(1));
        let micros = latencies.get(index).copied().unwrap_or_default();
        (Duration::from_micros(micros).as_secs_f64() * 1_000_000.0).round() / 1_000.0
    };
    json!({ "p50": at(500), "p99": at(990), "p999": at(999), "max": at(1_000) })
}
