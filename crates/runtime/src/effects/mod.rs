//! The lane loop: Kafka to the outside, one lane per key.
//!
//! Lanes run concurrently, each in order. One thread owns all state and works through events: records, answers, commits,
//! rebalances, timers. Calls run on the async runtime; commits run on a thread of their own. What was settled goes into
//! one transaction with its effect records and the watermark offset, so a crash repeats only what was in flight, and
//! that is looked up on the other side before it is tried again (FX-1).

mod ahead;
mod beside;
mod calls;
mod crew;
mod drafts;
mod engine;
mod in_flight;
mod index;
mod intake;
mod intents;
mod key_id;
mod lanes;
mod load;
mod pending;
mod placing;
mod recall;
mod redrive;
mod settled;
mod settler;
mod stale;
mod starts;
mod stated;
mod targets;
mod turns;
mod verdicts;
mod watermark;

use crate::Map;
use crate::cluster::{Cluster, Membership};
use crate::committer::InTurn;
use crate::config::Config;
use crate::decisions::Decisions;
use crate::desk::Desk;
use crate::kafka::ClientError;
use crate::librdkafka::Librdkafka;
use crate::metrics::RoomMetrics;
use crate::parking_store::ParkingStore;
use crate::producer::TicketOffset;
use crate::record::Record;
use crate::room::{RoomContext, RoomError};
use crate::shutdown::Shutdown;
use crate::tables::Keeping;
use crate::turn::{Loop, drive, turns};
use crate::wake::WakeInbox;
use connector::effect::{BoxFuture, CallError, Effect, EffectClient};
use processor::{Binder, Input, TableFeed, Tables};
use schemas::Event as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;

/// What the loop is told.
pub(crate) enum Event<M> {
    /// A record from the consumer.
    Record(Box<Record>),
    /// Partitions are ours.
    Assigned(Vec<(String, i32)>, Option<M>),
    /// Partitions will go when the sender is told or dropped.
    Revoking(Sender<()>),
    /// A call has ended.
    Called(Box<Called>),
    /// An earlier effect was read back, or cannot be yet.
    Recalled(Box<recall::Recalled>),
    /// A transaction has ended, after so long.
    Committed(Result<Vec<TicketOffset>, ClientError>, Duration),
    /// A thread cannot go on: nothing can be written any more, or what should be does not fit its contract. The room must start again.
    Lost(RoomError),
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
type Mailbox<A> = Arc<Mutex<Map<u64, Vec<A>>>>;

/// Starts a call beside the loop.
type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// Everything that the loop of one room shares with its calls.
pub(crate) struct Parts<E: Effect, K: Cluster> {
    effect: Arc<E>,
    client: Arc<dyn EffectClient<E::Request, E::Response>>,
    tables: Arc<E::Tables>,
    decisions: Arc<Decisions>,
    desk: Desk,
    cluster: K,
    intents: Sender<intents::Intent<Membership<K>>>,
    recalls: Sender<recall::Asked>,
    config: Arc<Config>,
    metrics: RoomMetrics,
    inbox: WakeInbox,
    mailbox: Mailbox<E::Response>,
    events: Sender<Event<Membership<K>>>,
    commits: Sender<crate::committer::Commit<Membership<K>, drafts::Draft>>,
    in_flight: in_flight::InFlight,
    beside: Arc<beside::Beside>,
    spawn: Spawn,
    handle: Handle,
}

impl<E: Effect, K: Cluster> Parts<E, K> {
    /// Whether what is in memory is half of what may be: what cannot go on for long must not stay there then.
    fn is_crowded(&self) -> bool {
        let limits = &self.config.limits;
        let most = in_flight::Amount::most(limits.records_in_flight_max, limits.records_in_flight_bytes_max);
        self.in_flight.now().fills(most.half())
    }

    /// How long an effect record that is about to be written says whose the partitions are.
    fn intent_valid(&self) -> Duration {
        Duration::from_millis(u64::from(self.config.kafka.session_timeout_ms) / 2)
    }

    /// How long after an effect record was made the call behind it may still take effect: the record is written first.
    fn certain_after(&self) -> Duration {
        self.intent_valid().saturating_add(self.client.certain_after())
    }
}

/// Runs an effect room until the stop is asked for.
pub(crate) async fn run<E: Effect>(
    name: &'static str,
    effect: Arc<E>,
    client: Arc<dyn EffectClient<E::Request, E::Response>>,
    context: RoomContext,
) -> Result<(), RoomError> {
    let mut topics = crate::room::ops_topics();
    topics.push(E::Output::topic());
    context.codec.prepare(&topics).await?;

    let cluster = Librdkafka::new(&context.config.kafka).fetching_evenly();
    let room = EffectRoom::new(name, effect, client, &context.config);
    let keeping = Keeping::of(&context.config, name);
    let (feeds, codec, stop) = (room.feeds(), &context.codec, &context.shutdown);
    let mut tables = crate::tables::start(&cluster, feeds, codec, room.inboxes(), keeping.as_ref(), stop).await?;

    let handle = Handle::current();
    let (failed, stop) = context.shutdown.child();
    let engine_context = RoomContext { shutdown: stop, ..context.clone() };
    let mut engine = tokio::task::spawn_blocking(move || serve(&room, &cluster, &engine_context, &handle));
    context.health.ready();
    let ended = tokio::select! {
        ended = &mut engine => ended,
        lost = tables.lost() => {
            failed.stop();
            drop(engine.await);
            return Err(lost);
        }
    };
    let outcome = ended.unwrap_or_else(|error| Err(RoomError::Worker(error.to_string())));
    if outcome.is_ok() {
        tables.ended().await;
    }
    outcome
}

/// Gives the intake, the intents, the settler and the recall a thread each, and this one to the loop itself.
fn serve<E: Effect>(
    room: &EffectRoom<E>,
    cluster: &Librdkafka,
    context: &RoomContext,
    handle: &Handle,
) -> Result<(), RoomError> {
    let crew = crew::Crew::new(handle.clone());
    let spawn: Spawn = Arc::new(move |call| crew.make(call));
    let loops = room.open(cluster, context, spawn, handle.clone())?;
    let events = loops.engine.parts.events.clone();
    let (stop, told) = (&context.shutdown, &events);
    thread(format!("intake-{}", room.name), loops.intake, told, stop, handle)?;
    thread(format!("intend-{}", room.name), loops.intents, told, stop, handle)?;
    thread(format!("settle-{}", room.name), loops.settler, told, stop, handle)?;
    thread(format!("recall-{}", room.name), loops.recall, told, stop, handle)?;
    let (beside, metrics) = (Arc::clone(&room.beside), context.metrics.clone());
    let watch = beside::Watch { cluster: cluster.clone(), beside, metrics, stop: stop.clone() };
    thread(format!("beside-{}", room.name), watch, told, stop, handle)?;
    drive(loops.engine, stop, handle)
}

/// Gives a loop a thread of its own. When it ends because it cannot go on, or panics, the room is told, which starts again as a whole.
///
/// It is told before the loop leaves. The engine takes a consumer that has left its group for one that was asked to stop, and ends well:
/// nobody would hear any more what the matter was, and the room would wait for a stop that nobody asks for.
fn thread<M: Send + Sync + 'static>(
    name: String,
    mut one: impl Loop + Send + 'static,
    events: &Sender<Event<M>>,
    stop: &Shutdown,
    handle: &Handle,
) -> Result<(), ClientError> {
    let (named, events, stop, handle) = (name.clone(), events.clone(), stop.clone(), handle.clone());
    let body = move || {
        let tell = |lost| {
            // Nobody listens when the room has ended before it.
            let _ = events.send(Event::Lost(lost));
        };
        let panicked = || RoomError::Worker(format!("the thread {named} has panicked"));
        match catch_unwind(AssertUnwindSafe(|| turns(&mut one, &stop, &handle))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tell(error),
            // Nothing is known of its state, so it is asked for nothing more.
            Err(_) => return tell(panicked()),
        }
        if catch_unwind(AssertUnwindSafe(move || one.leave())).is_err() {
            tell(panicked());
        }
    };
    let started = std::thread::Builder::new().name(name).spawn(body);
    started.map(drop).map_err(|error| ClientError::Delivery(error.to_string()))
}

/// An effect room with its tables, before its loops start.
pub struct EffectRoom<E: Effect> {
    name: &'static str,
    effect: Arc<E>,
    client: Arc<dyn EffectClient<E::Request, E::Response>>,
    tables: Arc<E::Tables>,
    decisions: Arc<Decisions>,
    feeds: Vec<Arc<dyn TableFeed>>,
    inbox: WakeInbox,
    /// Rooms to which targets of this one yield.
    beside: Arc<beside::Beside>,
}

impl<E: Effect> EffectRoom<E> {
    /// Binds the tables; they are empty yet.
    pub fn new(
        name: &'static str,
        effect: Arc<E>,
        client: Arc<dyn EffectClient<E::Request, E::Response>>,
        config: &Config,
    ) -> Self {
        let mut binder = Binder::new(config.limits.table_rows_max);
        let tables = Arc::new(E::Tables::bind(&mut binder));
        let decisions = Arc::new(Decisions::new(name));
        let mut feeds = binder.feeds();
        feeds.push(Arc::clone(&decisions) as Arc<dyn TableFeed>);
        let (inbox, beside) = (WakeInbox::default(), Arc::default());
        Self { name, effect, client, tables, decisions, feeds, inbox, beside }
    }

    /// What must be filled before the loops start, and kept up to date.
    pub fn feeds(&self) -> &[Arc<dyn TableFeed>] {
        &self.feeds
    }

    /// Who is told of arrivals.
    pub fn inboxes(&self) -> &[WakeInbox] {
        std::slice::from_ref(&self.inbox)
    }

    /// Opens the loops of the room. `spawn` starts the calls to the outside.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn open<K: Cluster>(
        &self,
        cluster: &K,
        context: &RoomContext,
        spawn: Spawn,
        handle: Handle,
    ) -> Result<EffectLoops<E, K>, RoomError> {
        let config = Arc::clone(&context.config);
        let timeout = Duration::from_millis(u64::from(config.kafka.transaction_timeout_ms));
        let producers = |suffix: &str| {
            let id = format!("wardline.{}.{}{suffix}", self.name, config.kafka.instance);
            InTurn::open(cluster, &id, timeout)
        };
        let desk = Desk::new(self.name, &config, Arc::clone(&context.codec), &cluster.session());
        let (events, told) = channel();
        let (commits, asked) = channel();
        let settler = settler::Settler::<K> {
            producers: producers("")?,
            timeout,
            desk: desk.clone(),
            commits: asked,
            events: events.clone(),
        };
        let (intend, asked) = channel();
        let intents = intents::Intents::<K> {
            producers: producers(".intents")?,
            timeout,
            desk: desk.clone(),
            asked,
            events: events.clone(),
            gathered: intents::Gathered::new(),
        };
        let (recalls, asked) = channel();
        let recall = recall::Recall {
            cluster: cluster.clone(),
            key_of: load::key_of(desk.clone(), handle.clone()),
            reader: None,
            asked,
            events: events.clone(),
        };

        let in_flight = in_flight::InFlight::default();
        let bounds = intake::Bounds {
            in_flight: in_flight.clone(),
            most: in_flight::Amount::most(
                config.limits.records_in_flight_max,
                config.limits.records_in_flight_bytes_max,
            ),
            topics: turns::by_class(&E::Input::topics()),
            drain: Duration::from_millis(config.limits.drain_ms),
        };
        let topics: Vec<&str> = E::Input::topics().iter().map(|topic| topic.name).collect();
        let intake =
            intake::Intake::open(cluster, self.name, &topics, events.clone(), bounds, context.shutdown.clone())?;

        let store = ParkingStore::new(cluster, &desk, handle.clone())?.reading(E::Input::topics()).keeping();
        let parts = Parts {
            effect: Arc::clone(&self.effect),
            client: Arc::clone(&self.client),
            tables: Arc::clone(&self.tables),
            decisions: Arc::clone(&self.decisions),
            desk,
            cluster: cluster.clone(),
            intents: intend,
            recalls,
            config: Arc::clone(&config),
            metrics: context.metrics.clone(),
            inbox: self.inbox.clone(),
            mailbox: Mailbox::default(),
            events,
            commits,
            in_flight,
            beside: Arc::clone(&self.beside),
            spawn,
            handle,
        };
        let engine = engine::Engine::new(parts, store, told);
        Ok(EffectLoops { engine, intake, intents, settler, recall })
    }
}

/// The loops of an effect room.
pub struct EffectLoops<E: Effect, K: Cluster> {
    /// Owns all state.
    engine: engine::Engine<E, K>,
    /// Takes records in.
    intake: intake::Intake<K>,
    /// Writes down what is about to be done.
    intents: intents::Intents<K>,
    /// Commits what was settled.
    settler: settler::Settler<K>,
    /// Reads back what was done before.
    recall: recall::Recall<K>,
}

impl<E: Effect, K: Cluster> EffectLoops<E, K> {
    /// Engine, intake, intents, settler and recall, for whoever gives them their turns.
    pub fn split(self) -> (impl Loop, impl Loop, impl Loop, impl Loop, impl Loop) {
        (self.engine, self.intake, self.intents, self.settler, self.recall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::shutdown;

    /// Panics or gives up in its first turn.
    struct Ends(bool);

    impl Loop for Ends {
        fn turn(&mut self, _patience: Duration) -> Result<crate::turn::Next, RoomError> {
            assert!(!self.0, "as the test wants it");
            Err(RoomError::Worker("given up".to_owned()))
        }
    }

    /// Gives up in its first turn, and tells as the intake does that it has left.
    struct Leaves(Sender<Event<()>>);

    impl Loop for Leaves {
        fn turn(&mut self, _patience: Duration) -> Result<crate::turn::Next, RoomError> {
            Err(RoomError::Worker("given up".to_owned()))
        }

        fn leave(&mut self) {
            let _ = self.0.send(Event::Stopped);
        }
    }

    /// Else the engine would end well before it hears why, and the room would wait for ever.
    #[tokio::test]
    async fn bnd_1_a_room_learns_why_a_thread_of_it_has_ended_before_that_has_left() {
        let (_trigger, stop) = shutdown();
        let (events, told) = channel::<Event<()>>();
        assert!(thread("one".to_owned(), Leaves(events.clone()), &events, &stop, &Handle::current()).is_ok());
        let next = || crate::clock::receive(&told, Duration::from_secs(60));
        assert!(matches!(next(), Ok(Event::Lost(_))));
        assert!(matches!(next(), Ok(Event::Stopped)));
    }

    #[tokio::test]
    async fn bnd_1_a_room_learns_that_a_thread_of_it_has_ended_however_it_did() {
        let (_trigger, stop) = shutdown();
        let (events, told) = channel::<Event<()>>();
        for (panics, expected) in [(true, "WL-6050: the thread one has panicked"), (false, "WL-6050: given up")] {
            assert!(thread("one".to_owned(), Ends(panics), &events, &stop, &Handle::current()).is_ok());
            let lost = crate::clock::receive(&told, Duration::from_secs(60));
            assert!(matches!(&lost, Ok(Event::Lost(error)) if error.to_string() == expected), "{panics}");
        }
    }
}
