//! The transactional loop: Kafka to Kafka, exactly once (EOS-1).
//!
//! Each worker is a group member with a committer of its own. It decides about a batch while the committer puts the last one,
//! outputs, exceptions, dead letters, parked events and offsets, into one transaction. Before partitions go, the transaction
//! under way is waited for; what was decided and not handed over is thrown away and read again by whoever owns the partitions.
//! Where only some of them go (`moves.rs`), all that was decided is committed first, and the others flow on.
//! A zombie that wakes up inside a transaction fails to commit, because the group metadata it holds is of an older generation.

mod moves;
mod open;
mod step;
mod still;
mod worker;

use crate::cluster::{Changes, Cluster, Rebalances};
use crate::committer::{Committer, Flight};
use crate::config::Config;
use crate::copies::Copies;
use crate::decisions::Decisions;
use crate::desk::Desk;
use crate::group_protocol::GroupProtocol;
use crate::librdkafka::Librdkafka;
use crate::parking_store::ParkingStore;
use crate::room::{RoomContext, RoomError};
use crate::tables::Keeping;
use crate::turn::{Loop, drive};
use crate::wake::WakeInbox;
use processor::{Binder, Input, Processor, TableFeed, Tables, Wiring};
use schemas::Event;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use worker::{Member, Shared, Worker};

/// Runs a processor until the stop is asked for.
pub(crate) async fn run<P: Processor>(wiring: Arc<Wiring<P>>, context: RoomContext) -> Result<(), RoomError> {
    context.config.members()?;
    let mut topics = crate::room::ops_topics();
    topics.push(P::Output::topic());
    context.codec.prepare(&topics).await?;

    let cluster = Librdkafka::new(&context.config.kafka);
    let room = ProcessorRoom::new(wiring, &context.config);
    let keeping = Keeping::of(&context.config, room.wiring.name());
    let (feeds, codec, stop) = (room.feeds(), &context.codec, &context.shutdown);
    let mut tables = crate::tables::start(&cluster, feeds, codec, room.inboxes(), keeping.as_ref(), stop).await?;

    // A worker that fails stops its siblings: the room starts again as a whole, with its full width.
    let (failed, stop) = context.shutdown.child();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..room.inboxes().len() {
        let (room, cluster, handle) = (room.clone(), cluster.clone(), Handle::current());
        let context = RoomContext { shutdown: stop.clone(), ..context.clone() };
        workers.spawn_blocking(move || {
            let (worker, committer) = room.worker(number, &cluster, &context, handle.clone())?;
            let (stop, of_committer) = (context.shutdown.clone(), handle.clone());
            std::thread::Builder::new()
                .name(format!("commit-{number}"))
                // It tells its worker how each transaction ended, and ends with it.
                .spawn(move || drop(drive(committer, &stop, &of_committer)))
                .map_err(|error| RoomError::Worker(error.to_string()))?;
            drive(worker, &context.shutdown, &handle)
        });
    }
    context.health.ready();
    let mut outcome = Ok(());
    loop {
        let ended = tokio::select! {
            ended = workers.join_next() => match ended {
                Some(ended) => ended.unwrap_or_else(|error| Err(RoomError::Worker(error.to_string()))),
                None => break,
            },
            lost = tables.lost() => Err(lost),
        };
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

    /// Opens the worker of a number, a member of the group, and the committer beside it, which ends with the worker.
    ///
    /// # Errors
    /// When Kafka does not answer, or there is no worker of this number.
    pub fn worker<K: Cluster>(
        &self,
        number: usize,
        cluster: &K,
        context: &RoomContext,
        handle: Handle,
    ) -> Result<(impl Loop + use<P, K>, impl Loop + Send + use<P, K>), RoomError> {
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
        let id = format!("wardline.{name}.{}.{number}", config.kafka.instance);
        let timeout = Duration::from_millis(u64::from(config.kafka.transaction_timeout_ms));
        let (committer, commits) = Committer::open(cluster, &id, timeout)?;
        let desk = Desk::new(name, config, Arc::clone(&context.codec), &cluster.session());
        let store = ParkingStore::new(cluster, &desk, handle.clone())?.reading(P::Input::topics());
        let copies = Copies::new(cluster, P::Input::topics(), config.limits.copies_reach);
        let topics: Vec<&str> = P::Input::topics().iter().map(|topic| topic.name).collect();
        let drain = Arc::new(Drain {
            changes: Changes::default(),
            flight: commits.flight(),
            longest: Duration::from_millis(config.limits.drain_ms),
            in_parts: config.kafka.group_protocol.for_topics(topics.len()) != GroupProtocol::Eager,
        });
        let consumer = cluster.consumer(name, &topics, Arc::clone(&drain) as _)?;
        let worker = Worker::<P, K>::new(shared, desk, store, copies, commits, drain, handle);
        Ok((Member { consumer, worker, stop: context.shutdown.clone() }, committer))
    }
}

/// Keeps changes of the assignment for the worker, and lets the transaction under way end before partitions go.
struct Drain<M> {
    changes: Changes<M>,
    flight: Arc<Flight>,
    longest: Duration,
    in_parts: bool,
}

impl<M: Send> Rebalances<M> for Drain<M> {
    fn in_parts(&self) -> bool {
        self.in_parts
    }

    fn added(&self, partitions: Vec<(String, i32)>, membership: Option<M>) {
        self.changes.added(partitions, membership);
    }

    fn parting(&self, partitions: Vec<(String, i32)>, membership: Option<M>) {
        self.changes.parting(partitions, membership);
    }

    fn revoking(&self) {
        if !self.flight.landed(self.longest) {
            tracing::warn!("partitions go before the transaction under way has ended");
        }
    }

    fn revoked(&self) {
        self.changes.revoked();
    }

    fn assigned(&self, partitions: Vec<(String, i32)>, membership: Option<M>) {
        self.changes.assigned(partitions, membership);
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
