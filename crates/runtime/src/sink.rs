//! The sink loop: batches of a partition go to files outside Kafka, then the offset is committed.
//!
//! Each worker is a group member with a producer of its own. It gathers decoded records per partition, writes each
//! partition's batch, and puts the dead letters of what could not be decoded and the offsets into one transaction (EOS-1).
//! A rebalance can only happen while gathering: what was gathered is then thrown away and read again by whoever owns the
//! partitions. Any failure ends the run with nothing committed; the room starts again with a back-off, is not ready
//! meanwhile, and [`BatchSink::begin`] removes what the failed run left.
//!
//! A worker that is thrown out of the group while it writes (paused for longer than the session) cannot commit, but leaves
//! a file whose records the new owner writes again. Rows carry topic, partition and offset, so a reader can tell.
//!
//! What a replay has a room write again is a record of its own, under an id that was there before, and is written as well: by
//! the master data of then it may say something else. Only what a sender has said again is a copy and left out.

use crate::ask::ask;
use crate::clock::{Tick, now_micros, tick};
use crate::cluster::{Change, Changes, RecordView as _};
use crate::codec::WireError;
use crate::copies::Copies;
use crate::desk::Desk;
use crate::group_context::{GroupContext, shut_out};
use crate::group_protocol::GroupProtocol;
use crate::kafka::{self, ClientError, GroupProof};
use crate::librdkafka::Librdkafka;
use crate::metrics::RoomMetrics;
use crate::outgoing::Outgoing;
use crate::producer::{Delivery, Producer};
use crate::room::{RoomContext, RoomError};
use crate::shutdown::Shutdown;
use connector::sink::{BatchBounds, BatchSink, SinkRecord};
use processor::Input;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// One wait for a record; also how fast a stop is seen.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for the coordinator.
const BROKER_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a sink until the stop is asked for.
pub(crate) async fn run<S: BatchSink>(name: &'static str, sink: Arc<S>, context: RoomContext) -> Result<(), RoomError> {
    let members = context.config.members()?;
    // What is left out because it was said before is noted there.
    context.codec.prepare(&[schemas::topics::OPS_AUDIT_V1.info()]).await?;
    let desk = Desk::new(name, &context.config, Arc::clone(&context.codec), &uuid::Uuid::new_v4().to_string());
    let failed = Arc::new(AtomicBool::new(false));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..members {
        let (sink, desk, failed, context) = (Arc::clone(&sink), desk.clone(), Arc::clone(&failed), context.clone());
        let handle = Handle::current();
        workers.spawn_blocking(move || {
            let outcome = work(sink, desk, number, handle, &context, &failed);
            failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            outcome
        });
    }
    context.health.ready();
    let mut outcome = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|error| {
            failed.store(true, Ordering::Relaxed);
            Err(RoomError::Worker(error.to_string()))
        });
        // The first failure is the cause; its siblings stop because of it.
        outcome = outcome.and(ended);
    }
    outcome
}

fn work<S: BatchSink>(
    sink: Arc<S>,
    desk: Desk,
    number: usize,
    handle: Handle,
    context: &RoomContext,
    failed: &AtomicBool,
) -> Result<(), RoomError> {
    let kafka = &context.config.kafka;
    let changes = Arc::new(Changes::default());
    let told = GroupContext::new(Arc::clone(&changes) as _, GroupProtocol::Eager);
    let consumer: BaseConsumer<GroupContext> =
        BaseConsumer::from_config_and_context(&kafka::group_consumer(kafka, desk.room), told)
            .map_err(ClientError::from)?;
    let producer = Producer::new(kafka, Some(&format!("wardline.{}.{}.{number}", desk.room, kafka.instance)))?;
    let transaction_timeout = Duration::from_millis(u64::from(kafka.transaction_timeout_ms));
    producer.init_transactions(transaction_timeout)?;
    let topics: Vec<&str> = S::Input::topics().iter().map(|topic| topic.name).collect();
    consumer.subscribe(&topics).map_err(ClientError::from)?;
    let mut worker = Worker {
        bounds: sink.bounds(),
        sink,
        desk,
        producer,
        transaction_timeout,
        metrics: context.metrics.clone(),
        handle,
        changes,
        group: None,
        batch: Batch::default(),
        copies: Copies::new(&Librdkafka::new(kafka), S::Input::topics(), context.config.limits.copies_reach),
        wanted: BTreeMap::new(),
    };
    let outcome = worker.serve(&consumer, &context.shutdown, failed);
    // Whatever has failed then, has most likely failed for this.
    let outcome = outcome.map_err(|error| match shut_out(&consumer) {
        Some(why) => {
            tracing::warn!(room = worker.desk.room, %error, "failed while it was shut out of its group");
            RoomError::from(why)
        }
        None => error,
    });
    if let Err(error) = consumer.context().leave(&consumer) {
        tracing::warn!(%error, "cannot let go before leaving");
    }
    consumer.unsubscribe();
    outcome
}

/// A partition.
type Key = (Arc<str>, i32);

/// Decoded records that wait to be written, per partition.
struct Batch<I> {
    partitions: BTreeMap<Key, Slice<I>>,
    /// Dead letters, and notes of what was said before.
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
    producer: Producer,
    transaction_timeout: Duration,
    metrics: RoomMetrics,
    handle: Handle,
    changes: Arc<Changes<GroupProof>>,
    /// Proves for a transaction that the partitions are ours.
    group: Option<GroupProof>,
    batch: Batch<S::Input>,
    /// Recognises what a sender has said again.
    copies: Copies<Librdkafka>,
    /// Per partition the offset from which records are wanted.
    wanted: BTreeMap<Key, i64>,
}

impl<S: BatchSink> Worker<S> {
    fn serve(
        &mut self,
        consumer: &BaseConsumer<GroupContext>,
        stop: &Shutdown,
        failed: &AtomicBool,
    ) -> Result<(), RoomError> {
        while !stop.requested() && !failed.load(Ordering::Relaxed) {
            let polled = consumer.poll(kafka::whole_wait(self.patience()));
            if !self.changes.is_empty() {
                // A record of this poll belongs to the old assignment or comes again after the new one.
                self.batch = Batch::default();
                self.follow_rebalance(consumer)?;
                continue;
            }
            match polled {
                Some(Ok(message)) => self.take(&message)?,
                nothing => {
                    if let Some(error) = shut_out(consumer) {
                        return Err(error.into());
                    }
                    if let Some(Err(error)) = nothing {
                        tracing::warn!(room = self.desk.room, %error, "consumer");
                    }
                }
            }
            if self.is_due() {
                self.flush()?;
            }
        }
        self.flush()
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
        while let Some(change) = self.changes.next() {
            self.copies.unsure();
            self.wanted.clear();
            self.group = None;
            let Change::Assigned(partitions, group) = change else { continue };
            tracing::info!(room = self.desk.room, partitions = partitions.len(), "assigned");
            let mut asked = TopicPartitionList::with_capacity(partitions.len());
            for (topic, partition) in &partitions {
                asked.add_partition(topic, *partition);
            }
            let committed = ask(BROKER_TIMEOUT, || consumer.committed_offsets(asked.clone(), BROKER_TIMEOUT));
            let committed = committed.map_err(ClientError::from)?;
            for element in committed.elements() {
                let (topic, partition) = (element.topic(), element.partition());
                let oldest = ask(BROKER_TIMEOUT, || consumer.fetch_watermarks(topic, partition, BROKER_TIMEOUT))
                    .map_err(ClientError::from)?
                    .0;
                let next = match element.offset() {
                    // What Kafka has no longer cannot be written anew, so nothing of it is removed.
                    Offset::Offset(offset) => offset.max(oldest),
                    // Nothing was ever committed: reading starts at the oldest record.
                    _ => oldest,
                };
                let wanted = self.sink.begin(topic, partition, next).map_err(refused)?;
                self.wanted.insert((Arc::from(topic), partition), wanted);
            }
            self.group = group;
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
        self.batch.bytes += message.value().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
        let slice = self.batch.partitions.entry(key).or_insert_with(|| Slice { records: Vec::new(), next: 0 });
        slice.next = message.offset() + 1;
        let first = self.copies.first_of(message).map_err(|error| RoomError::Worker(error.to_string()))?;
        if message.offset() < wanted {
            // It is in a batch that was written before somebody set the offset back.
            self.metrics.duplicate.inc();
            return Ok(());
        }
        if let Some(first) = first {
            self.metrics.duplicate.inc();
            self.batch.letters.push(self.desk.copy(&message.to_record(), first, now_micros())?);
            return Ok(());
        }
        if message.value().is_none() && schemas::topics::find(message.topic()).is_some_and(|topic| topic.compacted) {
            // A deletion of a master record is no row.
            self.metrics.dropped.inc();
            return Ok(());
        }
        match decode::<S::Input>(&self.desk, &self.handle, message.topic(), message.value()) {
            Ok(input) => slice.records.push(SinkRecord { offset: message.offset(), input }),
            Err(error) if error.blames_record() => {
                let record = message.to_record();
                tracing::warn!(room = self.desk.room, place = %record.place, code = error.code(), "dead letter");
                let letter = self.desk.dead_letter(&record, "decode", error.code(), &error.to_string(), now_micros());
                self.batch.letters.push(letter);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Writes, then buries and commits: a committed record is in a file or among the dead letters.
    fn flush(&mut self) -> Result<(), RoomError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.records == 0 {
            return Ok(());
        }
        let started = tick();
        let mut next = Vec::with_capacity(batch.partitions.len());
        let mut rows = 0;
        for ((topic, partition), slice) in &batch.partitions {
            if !slice.records.is_empty() {
                self.sink.write(topic, *partition, &slice.records).map_err(refused)?;
                rows += slice.records.len() as u64;
            }
            next.push((Arc::clone(topic), *partition, slice.next));
        }
        self.producer.begin()?;
        let delivery = Delivery::new();
        let sent = batch.letters.iter().try_for_each(|letter| self.producer.send(letter, &delivery));
        let Some(group) = self.group.as_ref() else {
            return Err(RoomError::Worker("records came without an assignment".to_owned()));
        };
        if let Err(error) =
            sent.and_then(|()| self.producer.commit(&delivery, &next, Some(group), self.transaction_timeout))
        {
            if !error.fenced() {
                self.producer.abort(self.transaction_timeout)?;
            }
            return Err(error.into());
        }
        self.metrics.emitted.inc_by(rows);
        self.metrics.dead_letter.inc_by(batch.letters.len() as u64);
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
    let (writer, body) = desk.codec().open_on(handle, value)?;
    Ok(I::decode(topic, &writer, body)?)
}

fn refused(error: connector::sink::SinkError) -> RoomError {
    RoomError::Room(error.to_string())
}
