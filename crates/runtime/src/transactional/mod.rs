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
use crate::codec::WireError;
use crate::config::{Config, Limits};
use crate::decisions::Decisions;
use crate::desk::Desk;
use crate::kafka::{self, ClientError, GroupContext, RebalanceEvent};
use crate::metrics::RoomMetrics;
use crate::parking::ParkingLot;
use crate::parking_store::{ParkingError, ParkingStore};
use crate::producer::{Delivery, Producer};
use crate::room::{RoomContext, RoomError};
use crate::shutdown::Shutdown;
use crate::wake::WakeInbox;
use gather::{Batch, Gathered, gather};
use processor::{Binder, Input, Processor, TableFeed, Tables, Wiring};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::topic_partition_list::Offset;
use schemas::Event;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Longest wait for Kafka when rewinding.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a processor until the stop is asked for.
pub(crate) async fn run<P: Processor>(wiring: Arc<Wiring<P>>, context: RoomContext) -> Result<(), RoomError> {
    let config = Arc::clone(&context.config);
    let mut topics = crate::room::ops_topics();
    topics.push(P::Output::topic());
    context.codec.prepare(&topics).await?;

    let mut binder = Binder::new(config.limits.table_rows_max);
    let tables = Arc::new(P::Tables::bind(&mut binder));
    let decisions = Arc::new(Decisions::new(wiring.name()));
    let mut feeds = binder.feeds();
    feeds.push(Arc::clone(&decisions) as Arc<dyn TableFeed>);
    let inboxes: Vec<WakeInbox> = (0..config.limits.workers).map(|_| WakeInbox::default()).collect();
    crate::tables::start(feeds, &config.kafka, &context.codec, &inboxes, &context.shutdown).await?;

    // A worker that fails stops its siblings: the room starts again as a whole, with its full width.
    let (failed, stop) = context.shutdown.child();
    let mut workers = tokio::task::JoinSet::new();
    for (number, inbox) in inboxes.into_iter().enumerate() {
        let shared = Shared {
            wiring: Arc::clone(&wiring),
            tables: Arc::clone(&tables),
            decisions: Arc::clone(&decisions),
            metrics: context.metrics.clone(),
            limits: config.limits.clone(),
            inbox,
        };
        let config = Arc::clone(&config);
        let context = RoomContext { shutdown: stop.clone(), ..context.clone() };
        let handle = Handle::current();
        workers.spawn_blocking(move || work(shared, &config, &context, number, handle));
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
    outcome
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

/// One worker: everything that a transaction needs.
struct Worker<P: Processor> {
    shared: Shared<P>,
    desk: Desk,
    producer: Producer,
    store: ParkingStore,
    lot: ParkingLot,
    group: Option<ConsumerGroupMetadata>,
    handle: Handle,
    transaction_timeout: Duration,
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

fn work<P: Processor>(
    shared: Shared<P>,
    config: &Config,
    context: &RoomContext,
    number: usize,
    handle: Handle,
) -> Result<(), RoomError> {
    let name = shared.wiring.name();
    let consumer: BaseConsumer<GroupContext> =
        BaseConsumer::from_config_and_context(&kafka::group_consumer(&config.kafka, name), GroupContext::default())
            .map_err(ClientError::from)?;
    let transactional_id = format!("wardline.{name}.{}.{number}", config.kafka.instance);
    let producer = Producer::new(&config.kafka, Some(&transactional_id))?;
    let transaction_timeout = Duration::from_millis(u64::from(config.kafka.transaction_timeout_ms));
    producer.init_transactions(transaction_timeout)?;
    let writer = uuid::Uuid::new_v4().to_string();
    let desk = Desk::new(name, config, Arc::clone(&context.codec), &writer);
    let store = ParkingStore::new(
        name,
        &writer,
        &config.kafka,
        Arc::clone(&context.codec),
        handle.clone(),
        config.limits.parked_max,
    )?
    .reading(P::Input::topics());
    let topics: Vec<&str> = P::Input::topics().iter().map(|topic| topic.name).collect();
    consumer.subscribe(&topics).map_err(ClientError::from)?;
    let mut worker =
        Worker { shared, desk, producer, store, lot: ParkingLot::default(), group: None, handle, transaction_timeout };
    let outcome = worker.serve(&consumer, &context.shutdown);
    consumer.unsubscribe();
    outcome
}

impl<P: Processor> Worker<P> {
    fn serve(&mut self, consumer: &BaseConsumer<GroupContext>, stop: &Shutdown) -> Result<(), RoomError> {
        let mut failures = 0_u32;
        while !stop.requested() {
            let batch = match gather(consumer, &self.shared.limits, self.patience()) {
                Gathered::Rebalanced => {
                    self.follow_rebalance(consumer)?;
                    continue;
                }
                Gathered::Batch(batch) => batch,
            };
            if self.group.is_none() {
                if batch.is_empty() {
                    continue;
                }
                // Going on would skip these records; starting again reads them from the committed offset.
                return Err(RoomError::Worker("records without proof of group membership".to_owned()));
            }
            let due = match self.due() {
                Ok(due) => due,
                Err(error) => return Err(RoomError::Worker(error.to_string())),
            };
            if batch.is_empty() && due.is_empty() {
                continue;
            }
            match self.transact(&batch, &due) {
                Ok(()) => failures = 0,
                Err(StepError::Kafka(error)) if error.fenced() => return Err(error.into()),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(room = self.desk.room, %error, failures, "transaction aborted, reading again");
                    self.rewind(consumer, &batch)?;
                    self.pause(failures, stop);
                }
            }
        }
        Ok(())
    }

    /// How long the gathering may wait for a first record.
    fn patience(&self) -> Duration {
        let longest = Duration::from_millis(100);
        self.lot.next_due().map_or(longest, |due| due.since(tick()).min(longest))
    }

    fn follow_rebalance(&mut self, consumer: &BaseConsumer<GroupContext>) -> Result<(), RoomError> {
        while let Some(event) = consumer.context().next_event() {
            match event {
                RebalanceEvent::Revoked => {
                    self.group = None;
                    self.lot.forget(|_| true);
                }
                RebalanceEvent::Assigned(partitions, group) => {
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
    fn transact(&mut self, batch: &Batch<'_>, due: &[crate::parking::Lane]) -> Result<(), StepError> {
        let started = tick();
        self.producer.begin()?;
        let delivery = Delivery::new();
        let now = now_micros();
        for message in batch.messages() {
            self.one(message, &delivery, now)?;
        }
        for lane in due {
            self.redrive(lane, &delivery, now)?;
        }
        self.producer.commit(&delivery, &batch.next_offsets(), self.group.as_ref(), self.transaction_timeout)?;
        for (ticket, _, offset) in delivery.take_tickets() {
            self.lot.placed(ticket, offset);
        }
        let metrics = &self.shared.metrics;
        metrics.committed(tick().since(started));
        metrics.parked(self.lot.lane_count(), self.lot.entry_count(), self.lot.oldest_micros(), now);
        Ok(())
    }

    /// Aborts, goes back to the first record of the batch and rebuilds the index of the parking lot.
    fn rewind(&mut self, consumer: &BaseConsumer<GroupContext>, batch: &Batch<'_>) -> Result<(), RoomError> {
        self.producer.abort(self.transaction_timeout)?;
        for (topic, partition, offset) in batch.first_offsets() {
            // A partition that was taken away meanwhile cannot be sought: its new owner reads on.
            if let Err(error) = consumer.seek(&topic, partition, Offset::Offset(offset), SEEK_TIMEOUT) {
                tracing::warn!(room = self.desk.room, topic = &*topic, partition, %error, "cannot rewind");
            }
        }
        let partitions = consumer.assignment().map_err(ClientError::from)?;
        let numbers = partitions.elements().iter().map(|element| element.partition()).collect();
        self.store.load(&mut self.lot, numbers, tick())?;
        Ok(())
    }

    /// Waits before the next try, but not past a stop.
    fn pause(&self, failures: u32, stop: &Shutdown) {
        let delay = self.shared.limits.retry_delay(failures);
        self.handle.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.wait() => {}
            }
        });
    }
}
