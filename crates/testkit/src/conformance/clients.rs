//! Clients of a check: an administrator, a producer that keeps what became of each record, a reader of whole partitions.

use super::Target;
use super::clock::{Stopwatch, until};
use super::closing::Closing;
use anyhow::{Context, Result, anyhow, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest wait for anything. Far longer than what works takes, so that a busy machine fails no check.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// What a consumer polls for at a time.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// Settings beside those that every client of the checks has.
pub(super) type Settings<'a> = &'a [(&'a str, &'a str)];

/// Reads what is committed only.
pub(super) const COMMITTED: Settings<'static> = &[("isolation.level", "read_committed")];
/// Reads everything.
pub(super) const UNCOMMITTED: Settings<'static> = &[("isolation.level", "read_uncommitted")];

/// A name that nothing had before.
pub(super) fn fresh(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A client's configuration.
pub(super) fn config(bootstrap: &str, settings: Settings<'_>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", "conformance");
    config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "200").set("retry.backoff.ms", "20");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

/// Waits for an answer of an administrator.
pub(super) fn wait<T>(answer: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?.block_on(answer))
}

/// An administrator.
pub(super) fn admin(target: &dyn Target) -> Result<Closing<AdminClient<DefaultClientContext>>> {
    Ok(Closing::new(config(&target.bootstrap(), &[]).create()?))
}

/// How an administrator asks.
pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// The single result of a request for a single thing.
pub(super) fn one<T, E: std::fmt::Debug>(
    results: Vec<std::result::Result<T, (E, RDKafkaErrorCode)>>,
) -> Result<T, RDKafkaErrorCode> {
    match results.into_iter().next() {
        Some(Ok(result)) => Ok(result),
        Some(Err((_, code))) => Err(code),
        None => Err(RDKafkaErrorCode::NoOffset),
    }
}

/// Creates a topic that nothing had before and waits until it can be used.
pub(super) fn topic(target: &dyn Target, partitions: i32, settings: Settings<'_>) -> Result<String> {
    let name = fresh("topic");
    create(target, &name, partitions, settings)?;
    Ok(name)
}

/// Creates a topic of this name and waits until it can be used.
pub(super) fn create(target: &dyn Target, name: &str, partitions: i32, settings: Settings<'_>) -> Result<()> {
    let admin = admin(target)?;
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let created = wait(admin.create_topics([&topic], &options()))??;
    one(created).map_err(|code| anyhow!("create {name}: {code}"))?;
    has_partitions(&admin, name, partitions)
}

/// Waits until every partition of a topic has a leader.
pub(super) fn has_partitions(admin: &AdminClient<DefaultClientContext>, name: &str, partitions: i32) -> Result<()> {
    until("the topic has all its partitions", || {
        let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE)?;
        let topic = metadata.topics().first().context("no topic in the answer")?;
        let led = topic.partitions().iter().filter(|part| part.error().is_none() && part.leader() >= 0).count();
        Ok(topic.error().is_none() && led == usize::try_from(partitions)?)
    })
}

/// Deletes a topic and waits until nobody knows it.
pub(super) fn delete(target: &dyn Target, name: &str) -> Result<()> {
    let admin = admin(target)?;
    one(wait(admin.delete_topics(&[name], &options()))??).map_err(|code| anyhow!("delete {name}: {code}"))?;
    until("the topic is gone", || {
        let metadata = admin.inner().fetch_metadata(None, PATIENCE)?;
        Ok(metadata.topics().iter().all(|topic| topic.name() != name))
    })
}

/// What became of a record: its partition and offset, or why it was refused.
pub(super) type Delivery = std::result::Result<(i32, i64), RDKafkaErrorCode>;

/// Keeps what became of each record.
#[derive(Default)]
pub(super) struct Deliveries(Mutex<BTreeMap<usize, Delivery>>);

impl ClientContext for Deliveries {
    fn log(&self, _level: rdkafka::config::RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let outcome = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        lock(&self.0).insert(number, outcome);
    }
}

/// A producer.
pub(super) struct Sender {
    inner: Closing<ThreadedProducer<Deliveries>>,
    sent: AtomicUsize,
}

/// A record on its way. What is not said is absent.
#[derive(Clone, Default)]
pub(super) struct Outgoing<'a> {
    pub(super) partition: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Option<OwnedHeaders>,
    pub(super) timestamp: Option<i64>,
}

impl<'a> Outgoing<'a> {
    /// A value in a partition.
    pub(super) fn new(partition: i32, value: &'a str) -> Self {
        Self { partition, value: Some(value.as_bytes()), ..Self::default() }
    }

    /// A key and a value in partition 0.
    pub(super) fn keyed(key: &'a str, value: &'a str) -> Self {
        Self { key: Some(key.as_bytes()), ..Self::new(0, value) }
    }

    /// The same with the client's time, milliseconds since 1970.
    pub(super) fn at(self, timestamp: i64) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }
}

impl Sender {
    /// A producer of this target.
    pub(super) fn new(target: &dyn Target, settings: Settings<'_>) -> Result<Self> {
        Self::through(&target.bootstrap(), settings)
    }

    /// A producer that begins at this address.
    pub(super) fn through(bootstrap: &str, settings: Settings<'_>) -> Result<Self> {
        let mut config = config(bootstrap, &[("linger.ms", "0"), ("queue.buffering.max.messages", "1000000")]);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let inner = config.create_with_context(Deliveries::default())?;
        Ok(Self { inner: Closing::new(inner), sent: AtomicUsize::new(0) })
    }

    /// A producer that may begin transactions under this id.
    pub(super) fn transactional(target: &dyn Target, id: &str) -> Result<Self> {
        let sender = Self::new(target, &[("transactional.id", id)])?;
        sender.inner.init_transactions(PATIENCE)?;
        Ok(sender)
    }

    /// Hands a record over.
    pub(super) fn send(&self, topic: &str, record: &Outgoing<'_>) -> Result<()> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let mut outgoing = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, number).partition(record.partition);
        outgoing.key = record.key;
        outgoing.payload = record.value;
        outgoing.headers.clone_from(&record.headers);
        outgoing.timestamp = record.timestamp;
        self.inner.send(outgoing).map_err(|(error, _)| anyhow!("send to {topic}: {error}"))
    }

    /// Waits until it is known what became of every record so far, and gives that in the order of sending.
    pub(super) fn outcomes(&self) -> Result<Vec<Delivery>> {
        let sent = self.sent.load(Ordering::Relaxed);
        let results = &self.inner.context().0;
        let done = until("every record is acknowledged", || Ok(lock(results).len() >= sent));
        done.with_context(|| format!("{} of {sent} are", lock(results).len()))?;
        Ok(lock(results).values().copied().collect())
    }

    /// Waits until every record so far is kept, and gives their offsets in the order of sending.
    pub(super) fn offsets(&self) -> Result<Vec<i64>> {
        let outcomes = self.outcomes()?.into_iter();
        outcomes.map(|outcome| outcome.map(|(_, offset)| offset).context("a record was refused")).collect()
    }

    /// Sends values to a partition and waits until they are kept.
    pub(super) fn put(&self, topic: &str, partition: i32, values: &[&str]) -> Result<()> {
        for value in values {
            self.send(topic, &Outgoing::new(partition, value))?;
        }
        self.offsets().map(drop)
    }

    pub(super) fn begin(&self) -> Result<()> {
        Ok(self.inner.begin_transaction()?)
    }

    pub(super) fn commit(&self) -> Result<()> {
        Ok(self.inner.commit_transaction(PATIENCE)?)
    }

    pub(super) fn abort(&self) -> Result<()> {
        Ok(self.inner.abort_transaction(PATIENCE)?)
    }

    /// The client itself.
    pub(super) fn client(&self) -> &ThreadedProducer<Deliveries> {
        &self.inner
    }
}

/// Sends values to a partition with a producer of their own and waits until they are kept.
pub(super) fn put(target: &dyn Target, topic: &str, partition: i32, values: &[&str]) -> Result<()> {
    Sender::new(target, &[])?.put(topic, partition, values)
}

/// A consumer without a group.
pub(super) fn consumer(target: &dyn Target, settings: Settings<'_>) -> Result<Closing<BaseConsumer>> {
    let group = fresh("reader");
    let mut config = config(&target.bootstrap(), &[("group.id", &group), ("enable.auto.commit", "false")]);
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "20").set("fetch.error.backoff.ms", "20");
    config.set("auto.offset.reset", "error");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    Ok(Closing::new(config.create()?))
}

/// Everything in a partition from an offset to the end that such a consumer sees.
pub(super) fn read_from(
    target: &dyn Target,
    topic: &str,
    partition: i32,
    offset: Offset,
    settings: Settings<'_>,
) -> Result<Vec<OwnedMessage>> {
    let consumer = consumer(target, settings)?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, offset)?;
    consumer.assign(&assignment)?;
    let watch = Stopwatch::start();
    let mut records = Vec::new();
    while watch.elapsed() < PATIENCE {
        match consumer.poll(POLL) {
            Some(Ok(message)) => records.push(message.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(records),
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => bail!("read {topic}: {error}"),
            None => {}
        }
    }
    bail!("no end of {topic} [{partition}] within {} s; {} records", PATIENCE.as_secs(), records.len())
}

/// Everything in a partition that such a consumer sees.
pub(super) fn read(
    target: &dyn Target,
    topic: &str,
    partition: i32,
    settings: Settings<'_>,
) -> Result<Vec<OwnedMessage>> {
    read_from(target, topic, partition, Offset::Beginning, settings)
}

/// The committed values of partition 0 of a topic.
pub(super) fn committed(target: &dyn Target, topic: &str) -> Result<Vec<String>> {
    Ok(read(target, topic, 0, COMMITTED)?.iter().map(text).collect())
}

/// All values of partition 0 of a topic.
pub(super) fn uncommitted(target: &dyn Target, topic: &str) -> Result<Vec<String>> {
    Ok(read(target, topic, 0, UNCOMMITTED)?.iter().map(text).collect())
}

/// A value as text; a tombstone is a dash.
pub(super) fn text(message: &OwnedMessage) -> String {
    message.payload().map_or_else(|| "-".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
}

/// Lowest and next offset of partition 0.
pub(super) fn watermarks(target: &dyn Target, topic: &str) -> Result<(i64, i64)> {
    Ok(consumer(target, &[])?.fetch_watermarks(topic, 0, PATIENCE)?)
}

/// Whether an error goes away by itself: a client says it on the way to the right broker.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, NotLeaderForPartition, Resolve, UnknownPartition, UnknownTopic,
        UnknownTopicOrPartition,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            AllBrokersDown
                | BrokerTransportFailure
                | NotLeaderForPartition
                | Resolve
                | UnknownPartition
                | UnknownTopic
                | UnknownTopicOrPartition
        )
    )
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
