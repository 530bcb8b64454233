//! The lane loop: Kafka to the outside, one lane per key.
//!
//! Lanes run concurrently, each in order. One thread owns all state and works through events: records, answers, commits,
//! rebalances, timers. Calls run on the async runtime; commits run on a thread of their own. What was settled goes into
//! one transaction with its effect records and the watermark offset, so a crash repeats only what was in flight, and
//! that is looked up on the other side before it is tried again (FX-1).

mod calls;
mod engine;
mod index;
mod intake;
mod lanes;
mod load;
mod redrive;
mod settler;
mod verdicts;
mod watermark;

use crate::clock::tick;
use crate::config::Config;
use crate::decisions::Decisions;
use crate::desk::Desk;
use crate::kafka::ClientError;
use crate::metrics::RoomMetrics;
use crate::parking_store::ParkingStore;
use crate::producer::{Producer, TicketOffset};
use crate::record::Record;
use crate::room::{RoomContext, RoomError};
use crate::wake::WakeInbox;
use connector::effect::{CallError, Effect, EffectClient};
use processor::{Binder, Input, TableFeed, Tables};
use rdkafka::consumer::ConsumerGroupMetadata;
use schemas::Event as _;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;

/// What the loop is told.
pub(crate) enum Event {
    /// A record from the consumer.
    Record(Box<Record>),
    /// Partitions are ours.
    Assigned(Vec<(String, i32)>, Option<ConsumerGroupMetadata>),
    /// Partitions will go when the sender is told or dropped.
    Revoking(Sender<()>),
    /// A call has ended.
    Called(Box<Called>),
    /// A transaction has ended, after so long.
    Committed(Result<Vec<TicketOffset>, ClientError>, Duration),
    /// The consumer has left the group.
    Stopped,
}

/// How a call ended; `number` finds what it was about, `Err` is told apart by what is known of the outcome.
pub(crate) struct Called {
    /// Number of the call.
    number: u64,
    /// One answer per request as the room's response type, hidden from the event by the mailbox.
    outcome: Outcome,
}

/// Outcome of a call; the answers themselves wait in the engine's mailbox.
pub(crate) enum Outcome {
    /// The answers are in the mailbox.
    Answered,
    /// A look-up found nothing: it did not happen.
    NotFound,
    /// It did not answer.
    Failed(CallError),
    /// The effect record could not be written, so nothing was called.
    NotIntended(String),
}

/// Answers on their way from the calls to the loop, by number of the call.
type Mailbox<A> = Arc<Mutex<std::collections::HashMap<u64, Vec<A>>>>;

/// Everything that the loop of one room shares with its calls.
pub(crate) struct Parts<E: Effect> {
    effect: Arc<E>,
    client: Arc<dyn EffectClient<E::Request, E::Response>>,
    tables: Arc<E::Tables>,
    decisions: Arc<Decisions>,
    desk: Desk,
    intents: Arc<Producer>,
    config: Arc<Config>,
    metrics: RoomMetrics,
    inbox: WakeInbox,
    mailbox: Mailbox<E::Response>,
    events: Sender<Event>,
    commits: Sender<settler::Commit>,
    in_flight: intake::InFlight,
    handle: Handle,
}

/// Runs an effect room until the stop is asked for.
pub(crate) async fn run<E: Effect>(
    room: &'static str,
    effect: Arc<E>,
    client: Arc<dyn EffectClient<E::Request, E::Response>>,
    context: RoomContext,
) -> Result<(), RoomError> {
    let config = Arc::clone(&context.config);
    let mut topics = crate::room::ops_topics();
    topics.push(E::Output::topic());
    context.codec.prepare(&topics).await?;

    let mut binder = Binder::new(config.limits.table_rows_max);
    let tables = Arc::new(E::Tables::bind(&mut binder));
    let decisions = Arc::new(Decisions::new(room));
    let mut feeds = binder.feeds();
    feeds.push(Arc::clone(&decisions) as Arc<dyn TableFeed>);
    let inbox = WakeInbox::default();
    crate::tables::start(feeds, &config.kafka, &context.codec, std::slice::from_ref(&inbox), &context.shutdown).await?;

    let handle = Handle::current();
    let engine_context = context.clone();
    let engine = tokio::task::spawn_blocking(move || {
        serve(room, effect, client, (tables, decisions, inbox), &engine_context, handle)
    });
    context.health.ready();
    engine.await.unwrap_or_else(|error| Err(RoomError::Worker(error.to_string())))
}

fn serve<E: Effect>(
    room: &'static str,
    effect: Arc<E>,
    client: Arc<dyn EffectClient<E::Request, E::Response>>,
    (tables, decisions, inbox): (Arc<E::Tables>, Arc<Decisions>, WakeInbox),
    context: &RoomContext,
    handle: Handle,
) -> Result<(), RoomError> {
    let config = Arc::clone(&context.config);
    let transaction_timeout = Duration::from_millis(u64::from(config.kafka.transaction_timeout_ms));
    let transactional = Producer::new(&config.kafka, Some(&format!("wardline.{room}.{}", config.kafka.instance)))?;
    transactional.init_transactions(transaction_timeout)?;
    let (events, told) = channel();
    let commits = settler::start(room, transactional, transaction_timeout, events.clone())?;
    let in_flight = Arc::new(AtomicUsize::new(0));
    let names: Vec<&str> = E::Input::topics().iter().map(|topic| topic.name).collect();
    let drain = Duration::from_millis(config.limits.drain_ms);
    let bound = (Arc::clone(&in_flight), config.limits.records_in_flight_max);
    intake::start(room, &names, &config.kafka, events.clone(), bound, drain, context.shutdown.clone())?;

    let writer = uuid::Uuid::new_v4().to_string();
    let desk = Desk::new(room, &config, Arc::clone(&context.codec), &writer);
    let codec = Arc::clone(&context.codec);
    let store = ParkingStore::new(room, &writer, &config.kafka, codec, handle.clone(), config.limits.parked_max)?
        .reading(E::Input::topics());
    let parts = Parts {
        effect,
        client,
        tables,
        decisions,
        desk,
        intents: Arc::new(Producer::new(&config.kafka, None)?),
        config,
        metrics: context.metrics.clone(),
        inbox,
        mailbox: Mailbox::default(),
        events,
        commits,
        in_flight,
        handle,
    };
    engine::Engine::new(parts, store).serve(&told, tick())
}
