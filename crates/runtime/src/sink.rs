//! The sink loop: batches of a partition go to files outside Kafka, then the offset is committed.
//!
//! Each worker is a group member. It gathers decoded records per partition, writes each partition's batch, publishes the
//! dead letters of what could not be decoded, and commits. A rebalance can only happen while gathering: what was gathered
//! is then thrown away and read again by whoever owns the partitions. Any failure ends the run with nothing committed; the
//! room starts again with a back-off, is not ready meanwhile, and [`BatchSink::begin`] removes what the failed run left.
//!
//! A worker that is thrown out of the group while it writes (paused for longer than the session) leaves a file that the new
//! owner may write again. Rows carry topic, partition and offset, so a reader can tell.

use crate::clock::{Tick, now_micros, tick};
use crate::codec::WireError;
use crate::desk::Desk;
use crate::kafka::{self, ClientError, GroupContext, RebalanceEvent};
use crate::metrics::RoomMetrics;
use crate::outgoing::Outgoing;
use crate::publisher::Publisher;
use crate::record::Record;
use crate::room::{RoomContext, RoomError};
use crate::shutdown::Shutdown;
use connector::sink::{BatchBounds, BatchSink, SinkRecord};
use processor::Input;
use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// One wait for a record; also how fast a stop is seen.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for the coordinator.
const BROKER_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a sink until the stop is asked for.
pub(crate) async fn run<S: BatchSink>(name: &'static str, sink: Arc<S>, context: RoomContext) -> Result<(), RoomError> {
    let publisher = Publisher::connect(&context.config, Arc::clone(&context.codec), &[]).await?;
    let desk = Desk::new(name, &context.config, Arc::clone(&context.codec), &uuid::Uuid::new_v4().to_string());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..context.config.limits.workers {
        let consumer = kafka::group_consumer(&context.config.kafka, name);
        let mut worker = Worker {
            sink: Arc::clone(&sink),
            bounds: sink.bounds(),
            desk: desk.clone(),
            publisher: publisher.clone(),
            metrics: context.metrics.clone(),
            handle: Handle::current(),
            batch: Batch::default(),
            wanted: BTreeMap::new(),
        };
        let stop = context.shutdown.clone();
        workers.spawn_blocking(move || {
            let consumer: BaseConsumer<GroupContext> =
                BaseConsumer::from_config_and_context(&consumer, GroupContext::default()).map_err(ClientError::from)?;
            let topics: Vec<&str> = S::Input::topics().iter().map(|topic| topic.name).collect();
            consumer.subscribe(&topics).map_err(ClientError::from)?;
            let outcome = worker.serve(&consumer, &stop);
            consumer.unsubscribe();
            outcome
        });
    }
    context.health.ready();
    // The first failure ends the run; its siblings see the same trouble or are started again with it.
    while let Some(ended) = workers.join_next().await {
        ended.unwrap_or_else(|error| Err(RoomError::Worker(error.to_string())))?;
    }
    Ok(())
}

/// A partition.
type Key = (Arc<str>, i32);

/// Decoded records that wait to be written, per partition.
struct Batch<I> {
    partitions: BTreeMap<Key, Slice<I>>,
    letters: Vec<Outgoing>,
    records: usize,
    bytes: usize,
    started: Tick,
}

/// What one partition gives to a batch.
struct Slice<I> {
    records: Vec<SinkRecord<I>>,
    next: i64,
}

struct Worker<S: BatchSink> {
    sink: Arc<S>,
    bounds: BatchBounds,
    desk: Desk,
    publisher: Publisher,
    metrics: RoomMetrics,
    handle: Handle,
    batch: Batch<S::Input>,
    /// Per partition the offset from which records are wanted.
    wanted: BTreeMap<Key, i64>,
}

impl<S: BatchSink> Worker<S> {
    fn serve(&mut self, consumer: &BaseConsumer<GroupContext>, stop: &Shutdown) -> Result<(), RoomError> {
        while !stop.requested() {
            let polled = consumer.poll(self.patience());
            if consumer.context().has_event() {
                // A record of this poll belongs to the old assignment or comes again after the new one.
                self.batch = Batch::default();
                self.follow_rebalance(consumer)?;
                continue;
            }
            match polled {
                Some(Ok(message)) => self.take(&message)?,
                Some(Err(error)) => tracing::warn!(room = self.desk.room, %error, "consumer"),
                None => {}
            }
            if self.is_due() {
                self.flush(consumer)?;
            }
        }
        self.flush(consumer)
    }

    /// How long the next poll may wait.
    fn patience(&self) -> Duration {
        if self.batch.records == 0 {
            return POLL;
        }
        self.bounds.wait_max.saturating_sub(tick().since(self.batch.started)).min(POLL)
    }

    fn is_due(&self) -> bool {
        let batch = &self.batch;
        batch.records > 0
            && (batch.records >= self.bounds.records_max
                || batch.bytes >= self.bounds.bytes_max
                || tick().since(batch.started) >= self.bounds.wait_max)
    }

    /// Asks for each partition where it stands, and lets the sink remove what was never committed.
    fn follow_rebalance(&mut self, consumer: &BaseConsumer<GroupContext>) -> Result<(), RoomError> {
        while let Some(event) = consumer.context().next_event() {
            self.wanted.clear();
            let RebalanceEvent::Assigned(partitions, _) = event else { continue };
            tracing::info!(room = self.desk.room, partitions = partitions.len(), "assigned");
            let mut asked = TopicPartitionList::with_capacity(partitions.len());
            for (topic, partition) in &partitions {
                asked.add_partition(topic, *partition);
            }
            let committed = consumer.committed_offsets(asked, BROKER_TIMEOUT).map_err(ClientError::from)?;
            for element in committed.elements() {
                let next = match element.offset() {
                    Offset::Offset(offset) => offset,
                    // Nothing was ever committed: reading starts at the oldest record.
                    _ => {
                        let (oldest, _) = consumer
                            .fetch_watermarks(element.topic(), element.partition(), BROKER_TIMEOUT)
                            .map_err(ClientError::from)?;
                        oldest
                    }
                };
                let wanted = self.sink.begin(element.topic(), element.partition(), next).map_err(refused)?;
                self.wanted.insert((Arc::from(element.topic()), element.partition()), wanted);
            }
        }
        Ok(())
    }

    /// Decodes a record into the batch; what cannot be decoded becomes a dead letter of the batch.
    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), RoomError> {
        if self.batch.records == 0 {
            self.batch.started = tick();
        }
        let key: Key = (Arc::from(message.topic()), message.partition());
        let wanted = self.wanted.get(&key).copied().unwrap_or_default();
        self.batch.records += 1;
        self.batch.bytes += message.payload_len() + message.key_len();
        let slice = self.batch.partitions.entry(key).or_insert_with(|| Slice { records: Vec::new(), next: 0 });
        slice.next = message.offset() + 1;
        if message.offset() < wanted {
            // It is in a batch that was written before somebody set the offset back.
            self.metrics.duplicate.inc();
            return Ok(());
        }
        if message.payload().is_none() && schemas::topics::find(message.topic()).is_some_and(|topic| topic.compacted) {
            // A deletion of a master record is no row.
            self.metrics.dropped.inc();
            return Ok(());
        }
        match decode::<S::Input>(&self.desk, &self.handle, message.topic(), message.payload()) {
            Ok(input) => {
                slice.records.push(SinkRecord { offset: message.offset(), input });
                self.metrics.emitted.inc();
            }
            Err(error) if error.blames_record() => {
                self.metrics.dead_letter.inc();
                let record = Record::from_message(message);
                tracing::warn!(room = self.desk.room, place = %record.place, code = error.code(), "dead letter");
                let letter = self.desk.dead_letter(&record, "decode", error.code(), &error.to_string(), now_micros());
                self.batch.letters.push(letter);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Writes, buries, commits: in this order, so that a committed record is in a file or among the dead letters.
    fn flush(&mut self, consumer: &BaseConsumer<GroupContext>) -> Result<(), RoomError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.records == 0 {
            return Ok(());
        }
        let started = tick();
        let mut offsets = TopicPartitionList::with_capacity(batch.partitions.len());
        for ((topic, partition), slice) in &batch.partitions {
            if !slice.records.is_empty() {
                self.sink.write(topic, *partition, &slice.records).map_err(refused)?;
            }
            offsets.add_partition_offset(topic, *partition, Offset::Offset(slice.next)).map_err(ClientError::from)?;
        }
        if !batch.letters.is_empty() {
            self.handle.block_on(self.publisher.publish(&batch.letters))?;
        }
        match consumer.commit(&offsets, CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => return Err(ClientError::from(error).into()),
        }
        self.metrics.committed(tick().since(started));
        tracing::debug!(room = self.desk.room, records = batch.records, bytes = batch.bytes, "batch written");
        Ok(())
    }
}

impl<I> Default for Batch<I> {
    fn default() -> Self {
        Self { partitions: BTreeMap::new(), letters: Vec::new(), records: 0, bytes: 0, started: Tick::default() }
    }
}

fn decode<I: Input>(desk: &Desk, handle: &Handle, topic: &str, value: Option<&[u8]>) -> Result<I, WireError> {
    let value = value.unwrap_or_default();
    let codec = desk.codec();
    let (writer, body) = match codec.open_cached(value)? {
        Some(opened) => opened,
        None => handle.block_on(codec.open(value))?,
    };
    Ok(I::decode(topic, &writer, body)?)
}

fn refused(error: connector::sink::SinkError) -> RoomError {
    RoomError::Room(error.to_string())
}
