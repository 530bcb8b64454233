//! The ports of the loops on librdkafka.

use crate::ask::ask;
use crate::clock::tick;
use crate::cluster::{
    Cluster, GroupConsumer, PartitionReader, Polled, Positions, Rebalances, RecordProducer, RecordView,
};
use crate::config::KafkaConfig;
use crate::group_context::{GroupContext, shut_out};
use crate::group_protocol::GroupProtocol;
use crate::kafka::{self, ClientError, GroupProof};
use crate::outgoing::Outgoing;
use crate::parking_store::SETTLED_WITHIN;
use crate::producer::{Delivery, Producer};
use crate::reader::{From, PartitionLag, Range, ReadError, group_lag, read_range, spans};
use crate::record::Record;
use crate::room::RoomError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// One wait for the cluster.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
/// One wait for positions of a group.
const POSITIONS_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause before it is looked again whether a transaction has ended.
const SETTLE_PAUSE: Duration = Duration::from_millis(20);

/// A Kafka cluster behind librdkafka.
#[derive(Clone, Debug)]
pub struct Librdkafka {
    config: Arc<KafkaConfig>,
    /// Members of groups fetch little at once from many partitions.
    evenly: bool,
}

impl Librdkafka {
    /// The cluster of a configuration. Connects to nothing yet.
    pub fn new(config: &KafkaConfig) -> Self {
        Self { config: Arc::new(config.clone()), evenly: false }
    }

    /// Members of groups fetch little at once from each partition, so that what a room holds is of all of them: a megabyte of
    /// one partition would leave the lanes of the others without work.
    #[must_use]
    pub fn fetching_evenly(self) -> Self {
        Self { evenly: true, ..self }
    }
}

/// Why it is not known whether all transactions on a topic have ended.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Nobody says which partitions the topic has.
    #[error(transparent)]
    Partitions(#[from] ReadError),
    /// One is still open after the longest wait, or the cluster does not answer.
    #[error(transparent)]
    Open(#[from] ClientError),
}

/// Waits until every transaction that has written to a topic by now has ended. What was committed behind one that is open, of whoever
/// writes there too, cannot be read before. Blocks, up to `longest` and what the cluster takes to answer. Whoever reads only some
/// partitions waits for these alone with [`Cluster::settled`].
///
/// # Errors
/// See [`SettleError`].
pub fn settle_within(config: &KafkaConfig, topic: &str, longest: Duration) -> Result<(), SettleError> {
    let partitions: BTreeSet<i32> = spans(config, &Range::all(topic))?.into_keys().collect();
    Librdkafka::new(config).settled(topic, &partitions, longest)?;
    Ok(())
}

/// As [`settle_within`], off the async threads, with a bound within which brokers end every transaction.
///
/// # Errors
/// When one is still open after that, or the cluster does not answer.
pub async fn settle(config: &KafkaConfig, topic: &'static str) -> Result<(), RoomError> {
    let config = config.clone();
    let settling = tokio::task::spawn_blocking(move || settle_within(&config, topic, SETTLED_WITHIN));
    let settled = settling.await.map_err(|error| RoomError::Worker(error.to_string()))?;
    settled.map_err(|error| match error {
        SettleError::Partitions(error) => RoomError::Worker(error.to_string()),
        SettleError::Open(error) => error.into(),
    })
}

impl Cluster for Librdkafka {
    type Consumer = BaseConsumer<GroupContext>;
    type Producer = Producer;
    type Reader = kafka::Reader;

    fn consumer(
        &self,
        group: &str,
        topics: &[&str],
        told: Arc<dyn Rebalances<GroupProof>>,
    ) -> Result<Self::Consumer, ClientError> {
        let protocol = if told.in_parts() { self.config.group_protocol } else { GroupProtocol::Eager };
        let mut settings = kafka::group_member(&self.config, group, protocol);
        if self.evenly {
            for (name, value) in [("fetch.message.max.bytes", "65536"), ("queued.min.messages", "2000")] {
                if !self.config.properties.contains_key(name) {
                    settings.set(name, value);
                }
            }
        }
        let consumer: Self::Consumer =
            BaseConsumer::from_config_and_context(&settings, GroupContext::new(told, protocol))?;
        consumer.subscribe(topics)?;
        Ok(consumer)
    }

    fn producer(&self, transactional_id: Option<&str>) -> Result<Producer, ClientError> {
        Producer::new(&self.config, transactional_id)
    }

    fn reader(&self, ahead: usize, wait: Duration) -> Result<Self::Reader, ClientError> {
        let mut settings = kafka::reader(&self.config);
        settings
            .set("enable.partition.eof", "true")
            .set("queued.min.messages", ahead.to_string())
            // A process has one of these readers per table.
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.wait.max.ms", wait.as_millis().to_string());
        Ok(kafka::open_reader(&settings)?)
    }

    fn read_range(&self, range: &Range, visit: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<u64, ReadError> {
        read_range(&self.config, range, visit)
    }

    fn settled(&self, topic: &str, partitions: &BTreeSet<i32>, longest: Duration) -> Result<(), ClientError> {
        let decided = kafka::open_reader(&kafka::reader(&self.config))?;
        let written = kafka::open_reader(kafka::reader(&self.config).set("isolation.level", "read_uncommitted"))?;
        let mut open = BTreeMap::new();
        for partition in partitions {
            open.insert(*partition, end_of(&written, topic, *partition, longest)?);
        }
        let started = tick();
        while let Some((partition, end)) = open.first_key_value() {
            if end_of(&decided, topic, *partition, longest)? >= *end {
                open.pop_first();
            } else if tick().since(started) > longest {
                let reason = format!("a transaction on {topic}-{partition} is open for longer than {longest:?}");
                return Err(ClientError::Undecided(reason));
            } else {
                // Nothing is assigned, so this is a pause.
                drop(BaseConsumer::poll(&decided, kafka::whole_wait(SETTLE_PAUSE)));
            }
        }
        Ok(())
    }

    fn decided(&self, group: &str, topics: &[&str], longest: Duration) -> Result<Positions, ClientError> {
        let member = kafka::open_reader(&kafka::group_consumer(&self.config, group))?;
        let mut open = Vec::new();
        for topic in topics {
            open.extend(member.partitions(topic)?.into_iter().map(|partition| (*topic, partition)));
        }
        if let Some(positions) = decided_positions(&member, &open) {
            return Ok(positions);
        }
        // One by one: others may be at work in the other partitions all the time.
        let (mut positions, started) = (Positions::new(), tick());
        while let Some(place) = open.last() {
            if let Some(decided) = decided_positions(&member, std::slice::from_ref(place)) {
                positions.extend(decided);
                open.pop();
            } else if tick().since(started) > longest {
                let (topic, partition) = place;
                let reason = format!("the position of {group} in {topic}-{partition} is undecided after {longest:?}");
                return Err(ClientError::Undecided(reason));
            } else {
                // Nothing is assigned, so this is a pause.
                drop(BaseConsumer::poll(&member, kafka::whole_wait(SETTLE_PAUSE)));
            }
        }
        Ok(positions)
    }

    fn is_late(&self, group: &str, topic: &str, before_ms: i64) -> Result<bool, ReadError> {
        let lags = group_lag(&self.config, group, &[topic])?;
        let is_there = lags.iter().any(|lag| lag.committed.is_some());
        if !is_there || lags.iter().all(|lag| lag.lag == 0) {
            return Ok(false);
        }
        // From there on everything is young enough.
        let young = spans(&self.config, &Range { from: From::TimeMs(before_ms), ..Range::all(topic) })?;
        let starts = |lag: &PartitionLag| young.get(&lag.partition).map_or(lag.end, |span| span.start);
        Ok(lags.iter().any(|lag| lag.lag > 0 && lag.committed.unwrap_or_default() < starts(lag)))
    }

    fn session(&self) -> String {
        uuid::Uuid::new_v4().to_string()
    }
}

/// Offset after the last record that a reader may see.
fn end_of(reader: &kafka::Reader, topic: &str, partition: i32, longest: Duration) -> Result<i64, KafkaError> {
    ask(longest, || reader.fetch_watermarks(topic, partition, METADATA_TIMEOUT)).map(|(_, end)| end)
}

/// The positions of a group, when they are there to be read: `read_committed` clients get none that is part of an open
/// transaction (KIP-447).
fn decided_positions(member: &kafka::Reader, places: &[(&str, i32)]) -> Option<Positions> {
    let mut asked = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        asked.add_partition(topic, *partition);
    }
    let told = member.committed_offsets(asked, POSITIONS_TIMEOUT).ok()?;
    let position = |place: TopicPartitionListElem<'_>| {
        place.error().ok()?;
        let offset = if let Offset::Offset(offset) = place.offset() { offset } else { 0 };
        Some(((place.topic().to_owned(), place.partition()), offset))
    };
    told.elements().into_iter().map(position).collect()
}

impl GroupConsumer for BaseConsumer<GroupContext> {
    type Membership = GroupProof;
    type Message<'a> = BorrowedMessage<'a>;

    fn poll(&self, patience: Duration) -> Polled<BorrowedMessage<'_>> {
        match polled(BaseConsumer::poll(self, kafka::whole_wait(patience))) {
            record @ Polled::Record(_) => record,
            other => shut_out(self).map_or(other, Polled::Failed),
        }
    }

    fn assignment(&self) -> Result<Vec<(String, i32)>, ClientError> {
        let list = Consumer::assignment(self)?;
        Ok(list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect())
    }

    fn seek(&self, topic: &str, partition: i32, offset: i64, longest: Duration) -> Result<(), ClientError> {
        Ok(Consumer::seek(self, topic, partition, Offset::Offset(offset), longest)?)
    }

    fn pause(&self, paused: bool) -> Result<(), ClientError> {
        let list = Consumer::assignment(self)?;
        if paused {
            Consumer::pause(self, &list)?;
        } else {
            Consumer::resume(self, &list)?;
        }
        Ok(())
    }

    fn pause_topics(&self, topics: &[&str], paused: bool) -> Result<(), ClientError> {
        let assigned = Consumer::assignment(self)?;
        let mut list = TopicPartitionList::new();
        for element in assigned.elements().iter().filter(|element| topics.contains(&element.topic())) {
            list.add_partition(element.topic(), element.partition());
        }
        if paused {
            Consumer::pause(self, &list)?;
        } else {
            Consumer::resume(self, &list)?;
        }
        Ok(())
    }

    fn let_go(&self, partitions: &[(String, i32)]) -> Result<(), ClientError> {
        tracing::debug!(partitions = partitions.len(), "let go");
        Ok(self.context().let_go(self)?)
    }

    fn membership(&self) -> Option<GroupProof> {
        self.context().renews_unsaid().then(|| self.group_metadata().map(Arc::new)).flatten()
    }

    fn leave(&self) {
        if let Err(error) = self.context().leave(self) {
            tracing::warn!(%error, "cannot let go before leaving");
        }
        self.unsubscribe();
    }
}

impl RecordProducer for Producer {
    type Membership = GroupProof;

    fn send(&self, record: &Outgoing, delivery: &Arc<Delivery>) -> Result<(), ClientError> {
        Self::send(self, record, delivery)
    }

    fn init_transactions(&self, longest: Duration) -> Result<(), ClientError> {
        Self::init_transactions(self, longest)
    }

    fn begin(&self) -> Result<(), ClientError> {
        Self::begin(self)
    }

    fn commit(
        &self,
        delivery: &Delivery,
        next: &[(Arc<str>, i32, i64)],
        group: Option<&GroupProof>,
        longest: Duration,
    ) -> Result<(), ClientError> {
        Self::commit(self, delivery, next, group, longest)
    }

    fn abort(&self, longest: Duration) -> Result<(), ClientError> {
        Self::abort(self, longest)
    }
}

impl PartitionReader for kafka::Reader {
    type Message<'a> = BorrowedMessage<'a>;

    fn partitions(&self, topic: &str) -> Result<Vec<i32>, ClientError> {
        let metadata = ask(METADATA_TIMEOUT, || self.fetch_metadata(Some(topic), METADATA_TIMEOUT))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions: Vec<i32> =
            found.map(|found| found.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
        if partitions.is_empty() {
            let hint = format!("topic {topic} does not exist: run `wardline topics apply`");
            return Err(ClientError::Delivery(hint));
        }
        Ok(partitions)
    }

    fn assign(&self, topic: &str, partitions: &[(i32, Option<i64>)]) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (partition, from) in partitions {
            list.add_partition_offset(topic, *partition, from.map_or(Offset::Beginning, Offset::Offset))?;
        }
        Ok(Consumer::assign(&**self, &list)?)
    }

    fn poll(&self, patience: Duration) -> Polled<BorrowedMessage<'_>> {
        polled(BaseConsumer::poll(self, kafka::whole_wait(patience)))
    }
}

impl RecordView for BorrowedMessage<'_> {
    fn topic(&self) -> &str {
        Message::topic(self)
    }

    fn partition(&self) -> i32 {
        Message::partition(self)
    }

    fn offset(&self) -> i64 {
        Message::offset(self)
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp().to_millis()
    }

    fn key(&self) -> Option<&[u8]> {
        Message::key(self)
    }

    fn value(&self) -> Option<&[u8]> {
        self.payload()
    }

    fn visit_headers(&self, mut visit: impl FnMut(&str, Option<&[u8]>)) {
        for header in self.headers().into_iter().flat_map(|headers| headers.iter()) {
            visit(header.key, header.value);
        }
    }
}

fn polled<M>(polled: Option<Result<M, KafkaError>>) -> Polled<M> {
    match polled {
        Some(Ok(message)) => Polled::Record(message),
        None => Polled::Nothing,
        Some(Err(KafkaError::PartitionEOF(partition))) => Polled::End(partition),
        Some(Err(error)) => Polled::Failed(error.into()),
    }
}
