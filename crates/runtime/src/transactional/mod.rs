//! The transactional loop: Kafka to Kafka, exactly once (EOS-1).
//!
//! Each worker is a group member with a producer of its own. It gathers a batch, processes it without touching the
//! consumer, and puts outputs, exceptions, dead letters, parked events and offsets into one transaction. A rebalance can
//! only happen while gathering, when no transaction is open: what was gathered is then thrown away and read again by
//! whoever owns the partitions. A zombie that wakes up inside a transaction fails to commit, because the group metadata
//! it holds is of an older generation.

mod gather;
mod step;

use crate::clock::{now_micros, tick};
use crate::cluster::{Change, Changes, Cluster, GroupConsumer as _, Membership, RecordProducer as _, RecordView};
use crate::codec::WireError;
use crate::config::{Config, Limits};
use crate::decisions::Decisions;
use crate::desk::Desk;
use crate::kafka::ClientError;
use crate::librdkafka::Librdkafka;
use crate::metrics::RoomMetrics;
use crate::parking::ParkingLot;
use crate::parking_store::{ParkingError, ParkingStore};
use crate::producer::Delivery;
use crate::room::{RoomContext, RoomError};
use crate::shutdown::Shutdown;
use crate::tables::Keeping;
use crate::turn::{Loop, Next, PATIENCE, drive};
use crate::wake::WakeInbox;
use gather::{Batch, Gathered, gather};
use processor::{Binder, Input, Processor, TableFeed, Tables, Wiring};
use schemas::Event;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Longest wait for Kafka when rewinding.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time that parked events take of one transaction.
const REDRIVE: Duration = Duration::from_millis(25);

/// Runs a processor until the stop is asked for.
pub(crate) async fn run<P: Processor>(wiring: Arc<Wiring<P>>, context: RoomContext) -> Result<(), RoomError> {
    let mut topics = crate::room::ops_topics();
    topics.push(P::Output::topic());
    context.codec.prepare(&topics).await?;

    let cluster = Librdkafka::new(&context.config.kafka);
    let room = ProcessorRoom::new(wiring, &context.config);
    let keeping = Keeping::of(&context.config, room.wiring.name());
    let (feeds, codec, stop) = (room.feeds(), &context.codec, &context.shutdown);
    let tables = crate::tables::start(&cluster, feeds, codec, room.inboxes(), keeping.as_ref(), stop).await?;

    // A worker that fails stops its siblings: the room starts again as a whole, with its full width.
    let (failed, stop) = context.shutdown.child();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..room.inboxes().len() {
        let (room, cluster, handle) = (room.clone(), cluster.clone(), Handle::current());
        let context = RoomContext { shutdown: stop.clone(), ..context.clone() };
        workers.spawn_blocking(move || {
            let worker = room.worker(number, &cluster, &context, handle.clone())?;
            drive(worker, &context.shutdown, &handle)
        });
    }
    context.health.ready();
    let mut outcome = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(RoomError::Worker(error.to_string())));
        if ended.is_err() && outcome.is_ok() {
            outcome = ended;
            failed.stop();
        }
    }
    if outcome.is_ok() {
        tables.ended().await;
    }
    outcome
}

/// A processor with its tables, before its workers start.
pub struct ProcessorRoom<P: Processor> {
    wiring: Arc<Wiring<P>>,
    tables: Arc<P::Tables>,
    decisions: Arc<Decisions>,
    feeds: Vec<Arc<dyn TableFeed>>,
    inboxes: Vec<WakeInbox>,
}

impl<P: Processor> ProcessorRoom<P> {
    /// Binds the tables; they are empty yet.
    pub fn new(wiring: Arc<Wiring<P>>, config: &Config) -> Self {
        let mut binder = Binder::new(config.limits.table_rows_max);
        let tables = Arc::new(P::Tables::bind(&mut binder));
        let decisions = Arc::new(Decisions::new(wiring.name()));
        let mut feeds = binder.feeds();
        feeds.push(Arc::clone(&decisions) as Arc<dyn TableFeed>);
        let inboxes = (0..config.limits.workers).map(|_| WakeInbox::default()).collect();
        Self { wiring, tables, decisions, feeds, inboxes }
    }

    /// What must be filled before the first worker starts, and kept up to date.
    pub fn feeds(&self) -> &[Arc<dyn TableFeed>] {
        &self.feeds
    }

    /// Who is told of arrivals: one per worker.
    pub fn inboxes(&self) -> &[WakeInbox] {
        &self.inboxes
    }

    /// Opens the worker of a number: a member of the group with a producer of its own.
    ///
    /// # Errors
    /// When Kafka does not answer, or there is no worker of this number.
    pub fn worker<K: Cluster>(
        &self,
        number: usize,
        cluster: &K,
        context: &RoomContext,
        handle: Handle,
    ) -> Result<impl Loop + use<P, K>, RoomError> {
        let config = &context.config;
        let name = self.wiring.name();
        let no_worker = || RoomError::Worker(format!("there is no worker {number}"));
        let shared = Shared {
            wiring: Arc::clone(&self.wiring),
            tables: Arc::clone(&self.tables),
            decisions: Arc::clone(&self.decisions),
            metrics: context.metrics.clone(),
            limits: config.limits.clone(),
            inbox: self.inboxes.get(number).cloned().ok_or_else(no_worker)?,
        };
        let producer = cluster.producer(Some(&format!("wardline.{name}.{}.{number}", config.kafka.instance)))?;
        let transaction_timeout = Duration::from_millis(u64::from(config.kafka.transaction_timeout_ms));
        producer.init_transactions(transaction_timeout)?;
        let desk = Desk::new(name, config, Arc::clone(&context.codec), &cluster.session());
        let store =
            ParkingStore::new(cluster, &desk, handle.clone(), config.limits.parked_max)?.reading(P::Input::topics());
        let topics: Vec<&str> = P::Input::topics().iter().map(|topic| topic.name).collect();
        let changes = Arc::new(Changes::default());
        let consumer = cluster.consumer(name, &topics, Arc::clone(&changes) as _)?;
        let worker = Worker::<P, K> {
            shared,
            desk,
            producer,
            store,
            lot: ParkingLot::default(),
            changes,
            group: None,
            handle,
            transaction_timeout,
            failures: 0,
        };
        Ok(Member { consumer, worker, stop: context.shutdown.clone() })
    }
}

impl<P: Processor> Clone for ProcessorRoom<P> {
    fn clone(&self) -> Self {
        Self {
            wiring: Arc::clone(&self.wiring),
            tables: Arc::clone(&self.tables),
            decisions: Arc::clone(&self.decisions),
            feeds: self.feeds.clone(),
            inboxes: self.inboxes.clone(),
        }
    }
}

/// What a worker shares with its siblings, and its inbox.
struct Shared<P: Processor> {
    wiring: Arc<Wiring<P>>,
    tables: Arc<P::Tables>,
    decisions: Arc<Decisions>,
    metrics: RoomMetrics,
    limits: Limits,
    inbox: WakeInbox,
}

/// A worker with its place in the group. Records are borrowed from the consumer while the worker works on them.
struct Member<P: Processor, K: Cluster> {
    consumer: K::Consumer,
    worker: Worker<P, K>,
    stop: Shutdown,
}

impl<P: Processor, K: Cluster> Loop for Member<P, K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        if self.stop.requested() {
            return Ok(Next::Ended);
        }
        self.worker.turn(&self.consumer, patience)
    }

    fn leave(&mut self) {
        self.consumer.leave();
    }
}

/// One worker: everything that a transaction needs.
struct Worker<P: Processor, K: Cluster> {
    shared: Shared<P>,
    desk: Desk,
    producer: K::Producer,
    store: ParkingStore<K>,
    lot: ParkingLot,
    changes: Arc<Changes<Membership<K>>>,
    group: Option<Membership<K>>,
    handle: Handle,
    transaction_timeout: Duration,
    /// Transactions given up in a row.
    failures: u32,
}

/// Why a transaction was given up.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Kafka(#[from] ClientError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Parking(#[from] ParkingError),
}

impl<P: Processor, K: Cluster> Worker<P, K> {
    /// Gathers a batch and puts it, with what is due in the parking lot, into one transaction.
    fn turn(&mut self, consumer: &K::Consumer, patience: Duration) -> Result<Next, RoomError> {
        let again = Ok(Next::Within(PATIENCE));
        let patience = patience.min(self.patience());
        let batch = match gather(consumer, &self.changes, &self.shared.limits, patience) {
            Gathered::Rebalanced => {
                self.follow_rebalance()?;
                return again;
            }
            Gathered::Batch(batch) => batch,
        };
        if self.group.is_none() {
            if batch.is_empty() {
                return again;
            }
            // Going on would skip these records; starting again reads them from the committed offset.
            return Err(RoomError::Worker("records without proof of group membership".to_owned()));
        }
        let due = self.due().map_err(|error| RoomError::Worker(error.to_string()))?;
        if batch.is_empty() && due.is_empty() {
            return Ok(Next::Within(self.patience()));
        }
        match self.transact(&batch, &due) {
            Ok(()) => self.failures = 0,
            Err(StepError::Kafka(error)) if error.fenced() => return Err(error.into()),
            Err(error) => {
                self.failures += 1;
                let failures = self.failures;
                tracing::warn!(room = self.desk.room, %error, failures, "transaction aborted, reading again");
                self.rewind(consumer, &batch)?;
                return Ok(Next::After(self.shared.limits.retry_delay(failures)));
            }
        }
        again
    }

    /// How long the gathering may wait for a first record.
    fn patience(&self) -> Duration {
        self.lot.next_due().map_or(PATIENCE, |due| due.since(tick()).min(PATIENCE))
    }

    fn follow_rebalance(&mut self) -> Result<(), RoomError> {
        while let Some(change) = self.changes.next() {
            match change {
                Change::Revoked => {
                    self.group = None;
                    self.lot.forget(|_| true);
                }
                Change::Assigned(partitions, group) => {
                    let numbers: BTreeSet<i32> = partitions.iter().map(|(_, partition)| *partition).collect();
                    tracing::info!(room = self.desk.room, partitions = partitions.len(), "assigned");
                    self.store.load(&mut self.lot, numbers, tick())?;
                    self.group = group;
                }
            }
        }
        Ok(())
    }

    /// One transaction: everything or nothing.
    fn transact(&mut self, batch: &Batch<impl RecordView>, due: &[crate::parking::Lane]) -> Result<(), StepError> {
        let started = tick();
        self.producer.begin()?;
        let delivery = Delivery::new();
        let now = now_micros();
        for message in batch.messages() {
            self.one(message, &delivery, now)?;
        }
        // Live events wait behind what is redriven, and the transaction must not outlast its time-out.
        let until = tick().after(REDRIVE.min(self.transaction_timeout / 4));
        for lane in due {
            self.redrive(lane, until, &delivery, now)?;
        }
        let mut positions = batch.next_offsets();
        if positions.is_empty() {
            positions.extend(self.store.position());
        }
        self.producer.commit(&delivery, &positions, self.group.as_ref(), self.transaction_timeout)?;
        for (ticket, _, offset) in delivery.take_tickets() {
            self.lot.placed(ticket, offset);
        }
        let metrics = &self.shared.metrics;
        metrics.committed(tick().since(started));
        metrics.parked(self.lot.lane_count(), self.lot.entry_count(), self.lot.oldest_micros(), now);
        Ok(())
    }

    /// Aborts, goes back to the first record of the batch and rebuilds the index of the parking lot.
    fn rewind(&mut self, consumer: &K::Consumer, batch: &Batch<impl RecordView>) -> Result<(), RoomError> {
        self.producer.abort(self.transaction_timeout)?;
        for (topic, partition, offset) in batch.first_offsets() {
            // A partition that was taken away meanwhile cannot be sought: its new owner reads on.
            if let Err(error) = consumer.seek(&topic, partition, offset, SEEK_TIMEOUT) {
                tracing::warn!(room = self.desk.room, topic = &*topic, partition, %error, "cannot rewind");
            }
        }
        let numbers = consumer.assignment()?.into_iter().map(|(_, partition)| partition).collect();
        self.store.load(&mut self.lot, numbers, tick())?;
        Ok(())
    }
}
