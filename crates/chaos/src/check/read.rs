//! Reads what lies on the topics: `read_committed`, from the first record to the last, with a client of its own.

use crate::clock;
use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::Event;
use schemas::codec::{WriterSchema, decode, split_frame};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(20);
/// How long a leader may be on its way.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(500);
/// A topic that brings nothing for so many polls is given up.
const EMPTY_POLLS_MAX: u32 = 120;

/// A record as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// When the broker took it, milliseconds since 1970.
    pub at_ms: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; none is a deletion.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// The text of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(present, _)| present == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// The key as text.
    #[must_use]
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }
}

/// Asks again while leaders move, as they also do in calm; the last answer counts.
fn patiently<T>(ask: impl Fn() -> Result<T>) -> Result<T> {
    let mut answer = ask();
    clock::until(PATIENCE, POLL, || {
        if answer.is_err() {
            answer = ask();
        }
        answer.is_ok()
    });
    answer
}

/// Offset after the last record of every partition of these topics.
///
/// # Errors
/// When the brokers do not answer.
pub fn ends(bootstrap: &str, topics: &[&'static str]) -> Result<BTreeMap<(&'static str, i32), i64>> {
    patiently(|| ends_now(bootstrap, topics))
}

/// All committed records of a topic, in order within each partition.
///
/// # Errors
/// When the topic cannot be read to its end.
pub fn topic(bootstrap: &str, topic: &str) -> Result<Vec<Record>> {
    patiently(|| topic_now(bootstrap, topic))
}

fn ends_now(bootstrap: &str, topics: &[&'static str]) -> Result<BTreeMap<(&'static str, i32), i64>> {
    let consumer = consumer(bootstrap)?;
    let mut ends = BTreeMap::new();
    for topic in topics {
        for partition in partitions(&consumer, topic)? {
            ends.insert((*topic, partition), consumer.fetch_watermarks(topic, partition, ANSWER)?.1);
        }
    }
    Ok(ends)
}

fn topic_now(bootstrap: &str, topic: &str) -> Result<Vec<Record>> {
    let consumer = consumer(bootstrap)?;
    let mut open: BTreeSet<i32> = partitions(&consumer, topic)?.into_iter().collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &open {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut records = Vec::new();
    let mut empty = 0;
    while !open.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                empty = 0;
                let Timestamp::LogAppendTime(at_ms) = message.timestamp() else {
                    bail!("the times on {topic} are not the broker's: waits cannot be measured by clocks that jump");
                };
                let headers = message.headers().map_or(Vec::new(), |headers| {
                    let owned = |header: rdkafka::message::Header<'_, &[u8]>| {
                        (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
                    };
                    headers.iter().map(owned).collect()
                });
                records.push(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    at_ms,
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers,
                });
            }
            // The end of what is committed: an open transaction ends a partition, too.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(_)) | None => {
                empty += 1;
                if empty > EMPTY_POLLS_MAX {
                    bail!("nothing comes from {topic}");
                }
            }
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

fn consumer(bootstrap: &str) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "chaos-checker");
    config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "20").set("auto.offset.reset", "earliest");
    Ok(config.create()?)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata.topics().first().with_context(|| format!("there is no topic {topic}"))?;
    Ok(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

/// Reads events with the schemas that the registry holds.
pub struct Decoder {
    http: reqwest::blocking::Client,
    registry: String,
    writers: BTreeMap<u32, WriterSchema>,
}

impl Decoder {
    /// With the registry at this address.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(registry: &str) -> Result<Self> {
        let http = reqwest::blocking::Client::builder().no_proxy().timeout(ANSWER).build()?;
        Ok(Self { http, registry: registry.to_owned(), writers: BTreeMap::new() })
    }

    /// The event in a value; `None` when it is none.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub fn event<T: Event>(&mut self, value: &[u8]) -> Result<Option<T>> {
        let Ok((id, body)) = split_frame(value) else { return Ok(None) };
        if !self.writers.contains_key(&id) {
            let answer = self.http.get(format!("{}/schemas/ids/{id}", self.registry)).send()?;
            if !answer.status().is_success() {
                return Ok(None);
            }
            let answer: serde_json::Value = serde_json::from_str(&answer.text()?)?;
            let text = answer.get("schema").and_then(serde_json::Value::as_str).context("a schema")?;
            self.writers.insert(id, WriterSchema::parse(text)?);
        }
        Ok(self.writers.get(&id).and_then(|writer| decode(writer, body).ok()))
    }
}
