//! A room: one connector or processor, as the runtime runs it.

use crate::codec::{Codec, WireError};
use crate::config::{Config, ConfigError};
use crate::effects;
use crate::health::{Health, RoomHealth};
use crate::kafka::ClientError;
use crate::metrics::RoomMetrics;
use crate::parking_store::ParkingError;
use crate::publisher::PublishError;
use crate::shadow::{self, MakeShadow, Shadow};
use crate::shutdown::Shutdown;
use crate::sink;
use crate::transactional;
use connector::effect::{Effect, EffectClient, Foreseen};
use connector::sink::BatchSink;
use processor::{Input, Processor, Wiring};
use schemas::codec::{CodecError, WriterSchema};
use schemas::{Event, TopicInfo, topics};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How a room works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoomKind {
    /// Brings events in.
    Source,
    /// Kafka to Kafka.
    Processor,
    /// Acts outside Kafka.
    Effect,
    /// Writes batches to files.
    Sink,
}

/// A room as data, for the command line, the catalogue, the chart and the tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomInfo {
    /// Name; also consumer group, workload and metrics label.
    pub name: &'static str,
    /// One sentence for people.
    pub purpose: &'static str,
    /// How it works.
    pub kind: RoomKind,
    /// Topics it reads.
    pub reads: Vec<&'static str>,
    /// Compacted topics it looks things up in.
    pub looks_up: Vec<&'static str>,
    /// Topics it writes.
    pub writes: Vec<&'static str>,
}

/// What a running room is given.
#[derive(Clone)]
pub struct RoomContext {
    /// The configuration.
    pub config: Arc<Config>,
    /// Avro and the registry.
    pub codec: Arc<Codec>,
    /// Asks the room to drain and stop.
    pub shutdown: Shutdown,
    /// Where the room says how it is.
    pub health: RoomHealth,
    /// Its counters.
    pub metrics: RoomMetrics,
}

/// Why a room stopped. Most reasons pass: the runtime starts the room again with a back-off.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// Asked to stop, rooms went on.
    #[error("WL-6051: {rooms} did not end within {waited_ms} ms of the stop; what is not committed is done again")]
    Overdue {
        /// Their names.
        rooms: String,
        /// How long was waited.
        waited_ms: u128,
    },
    /// The configuration is at fault; starting again does not help.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] ClientError),
    /// Registry or contracts.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Parking topic.
    #[error(transparent)]
    Parking(#[from] ParkingError),
    /// Publishing.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A worker ended unexpectedly.
    #[error("WL-6050: {0}")]
    Worker(String),
    /// A member of a group is behind the group.
    #[error("WL-6081: {0}")]
    Unrenewed(String),
    /// Something of the room's own, with its code in the text.
    #[error("{0}")]
    Room(String),
}

/// A future that runs until the stop is asked for.
type Running = Pin<Box<dyn Future<Output = Result<(), RoomError>> + Send>>;
/// Starts the room; called again after a failure.
type Start = Box<dyn Fn(RoomContext) -> Running + Send + Sync>;

/// Reads the block of the room, checks it and gives it back with its secrets as stars.
type Settings = Box<dyn Fn(&Config) -> Result<Value, ConfigError> + Send + Sync>;

/// What an event of a topic says of its effect in a room, by itself; fails when the body is none of the room's events.
pub type Foresee = fn(&str, &WriterSchema, &[u8]) -> Result<Option<Foreseen>, CodecError>;

/// One connector or processor, ready to run.
pub struct Room {
    info: RoomInfo,
    start: Start,
    settings: Settings,
    foresee: Option<Foresee>,
    shadow: Option<MakeShadow>,
}

impl Room {
    /// A room that brings events in: `run` works until `context.shutdown` asks it to stop.
    pub fn source<F>(info: RoomInfo, run: impl Fn(RoomContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), RoomError>> + Send + 'static,
    {
        Self::new(info, Box::new(move |context| Box::pin(run(context))))
    }

    /// A processor: `wiring` is made from the configuration at each start.
    pub fn processor<P: Processor>(
        info: RoomInfo,
        wiring: impl Fn(&Config) -> Result<Wiring<P>, RoomError> + Send + Sync + 'static,
    ) -> Self {
        let wiring = Arc::new(wiring);
        let rehearsed = Arc::clone(&wiring);
        let shadow: MakeShadow = Arc::new(move |config| Ok(shadow::of_processor(rehearsed(config)?, config)));
        let start = move |context: RoomContext| -> Running {
            match wiring(&context.config) {
                Ok(wiring) => Box::pin(transactional::run(Arc::new(wiring), context)),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        };
        Self { shadow: Some(shadow), ..Self::new(info, Box::new(start)) }
    }

    /// A room that acts outside Kafka: its two pure functions, and the client of the other side.
    pub fn effect<E: Effect>(
        info: RoomInfo,
        make: impl Fn(&Config) -> Result<(E, Arc<dyn EffectClient<E::Request, E::Response>>), RoomError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let name = info.name;
        let make = Arc::new(make);
        let rehearsed = Arc::clone(&make);
        // The client is dropped unused: a shadow plans and calls nobody.
        let shadow: MakeShadow = Arc::new(move |config| Ok(shadow::of_effect(rehearsed(config)?.0, config)));
        let start = move |context: RoomContext| -> Running {
            match make(&context.config) {
                Ok((effect, client)) => Box::pin(effects::run(name, Arc::new(effect), client, context)),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        };
        Self { foresee: Some(foresee::<E>), shadow: Some(shadow), ..Self::new(info, Box::new(start)) }
    }

    /// A room that writes batches of events to files outside Kafka.
    pub fn sink<S: BatchSink>(
        info: RoomInfo,
        make: impl Fn(&Config) -> Result<S, RoomError> + Send + Sync + 'static,
    ) -> Self {
        let name = info.name;
        let start = move |context: RoomContext| -> Running {
            match make(&context.config) {
                Ok(made) => Box::pin(sink::run(name, Arc::new(made), context)),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        };
        Self::new(info, Box::new(start))
    }

    /// Says what the block of the room is and how it is checked beyond its types, so that it can be refused before anything
    /// starts, and shown with its secrets as stars.
    #[must_use]
    pub fn configured<C>(mut self, check: impl Fn(&C, &Config) -> Result<(), String> + Send + Sync + 'static) -> Self
    where
        C: Default + Serialize + DeserializeOwned + 'static,
    {
        let name = self.info.name;
        self.settings = Box::new(move |config| {
            let refused = |reason: String| ConfigError::Room { room: name.to_owned(), reason };
            let block: C = config.room(name)?;
            check(&block, config).map_err(refused)?;
            serde_json::to_value(&block).map_err(|error| refused(error.to_string()))
        });
        self
    }

    /// The block of the room as it is in force, with its secrets as stars.
    ///
    /// # Errors
    /// When it has an unknown key or a value that the room cannot use.
    pub fn settings(&self, config: &Config) -> Result<Value, ConfigError> {
        (self.settings)(config)
    }

    /// The room as data.
    pub fn info(&self) -> &RoomInfo {
        &self.info
    }

    /// What tells the effects of its events beforehand; nothing for a room without effects.
    pub fn foresee(&self) -> Option<Foresee> {
        self.foresee
    }

    /// The room as it decides and does nothing; none for a room that decides nothing about events.
    ///
    /// # Errors
    /// When its configuration cannot be used.
    pub fn shadow(&self, config: &Config) -> Option<Result<Box<dyn Shadow>, RoomError>> {
        self.shadow.as_ref().map(|make| make(config))
    }

    /// What makes the room as it decides and does nothing; none for a room that decides nothing about events.
    pub fn make_shadow(&self) -> Option<MakeShadow> {
        self.shadow.clone()
    }

    fn new(info: RoomInfo, start: Start) -> Self {
        Self { info, start, settings: Box::new(|_| Ok(Value::Null)), foresee: None, shadow: None }
    }
}

impl RoomInfo {
    /// Describes a processor from its wiring.
    pub fn of_processor<P: Processor>(wiring: &Wiring<P>) -> Self {
        let info = wiring.info();
        Self {
            name: info.name,
            purpose: info.purpose,
            kind: RoomKind::Processor,
            reads: info.reads,
            looks_up: info.looks_up,
            writes: info.writes,
        }
    }

    /// Describes a sink from its types. Its files are no topic.
    pub fn of_sink<S: BatchSink>(name: &'static str, purpose: &'static str) -> Self {
        Self {
            name,
            purpose,
            kind: RoomKind::Sink,
            reads: S::Input::topics().iter().map(|topic| topic.name).collect(),
            looks_up: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// Describes an effect room from its types.
    pub fn of_effect<E: Effect>(name: &'static str, purpose: &'static str) -> Self {
        Self {
            name,
            purpose,
            kind: RoomKind::Effect,
            reads: E::Input::topics().iter().map(|topic| topic.name).collect(),
            looks_up: processor::table_topics::<E::Tables>(),
            writes: vec![E::Output::topic().name],
        }
    }
}

/// Runs rooms until the stop is asked for, and for twice `limits.drain_ms` after that. A room that fails is started again
/// with a back-off; one whose configuration is at fault stops everything.
///
/// # Errors
/// The first error that starting again cannot mend, or that rooms did not end in time.
pub async fn run_rooms(
    config: Arc<Config>,
    rooms: Vec<Room>,
    health: &Health,
    shutdown: Shutdown,
) -> Result<(), RoomError> {
    let codec = Arc::new(Codec::new(&config.registry)?);
    run_rooms_with(codec, config, rooms, health, shutdown).await
}

/// As [`run_rooms`], with a codec of the caller: benchmarks run without a registry.
///
/// # Errors
/// The first error that starting again cannot mend.
pub async fn run_rooms_with(
    codec: Arc<Codec>,
    config: Arc<Config>,
    rooms: Vec<Room>,
    health: &Health,
    shutdown: Shutdown,
) -> Result<(), RoomError> {
    if rooms.is_empty() {
        // A process without rooms is there for what runs beside them: embedded parts, the console.
        health.without_rooms();
        shutdown.wait().await;
        return Ok(());
    }
    let mut running = tokio::task::JoinSet::new();
    let mut left: BTreeSet<&'static str> = rooms.iter().map(|room| room.info.name).collect();
    let longest = Duration::from_millis(config.limits.drain_ms).saturating_mul(2);
    let overdue = shutdown.clone();
    let overdue = async move {
        overdue.wait().await;
        tokio::time::sleep(longest).await;
    };
    for room in rooms {
        let context = RoomContext {
            config: Arc::clone(&config),
            codec: Arc::clone(&codec),
            shutdown: shutdown.clone(),
            health: health.room(room.info.name),
            metrics: RoomMetrics::new(room.info.name),
        };
        let name = room.info.name;
        running.spawn(async move { (name, supervise(room, context).await) });
    }
    let all = async {
        let mut outcome = Ok(());
        while let Some(ended) = running.join_next().await {
            let ended = ended.map_err(|error| RoomError::Worker(error.to_string())).and_then(|(name, ended)| {
                left.remove(name);
                ended
            });
            if ended.is_err() && outcome.is_ok() {
                outcome = ended;
                running.abort_all();
            }
        }
        outcome
    };
    tokio::select! {
        outcome = all => outcome,
        // A client that hangs must not keep the process: what was not committed is done again by whoever takes over.
        () = overdue => {
            let rooms = left.into_iter().collect::<Vec<_>>().join(", ");
            Err(RoomError::Overdue { rooms, waited_ms: longest.as_millis() })
        }
    }
}

fn foresee<E: Effect>(topic: &str, writer: &WriterSchema, body: &[u8]) -> Result<Option<Foreseen>, CodecError> {
    Ok(E::foresee(&E::Input::decode(topic, writer, body)?))
}

/// Topics that any room may write.
pub(crate) fn ops_topics() -> Vec<&'static TopicInfo> {
    vec![
        topics::OPS_EXCEPTION_V1.info(),
        topics::OPS_PARKED_V1.info(),
        topics::OPS_AUDIT_V1.info(),
        topics::OPS_EFFECT_V1.info(),
    ]
}

async fn supervise(room: Room, context: RoomContext) -> Result<(), RoomError> {
    let mut failures = 0;
    while !context.shutdown.requested() {
        let started = crate::clock::tick();
        // Whatever the room has started (readers, a group member) ends with it, so that the next start finds no zombie.
        let (ended, stop) = context.shutdown.child();
        let outcome = (room.start)(RoomContext { shutdown: stop, ..context.clone() }).await;
        ended.stop();
        match outcome {
            Ok(()) => break,
            Err(error @ RoomError::Config(_)) => {
                context.health.failed(error.to_string());
                return Err(error);
            }
            Err(error) => {
                // A room that ran well for a while starts its back-off anew.
                let ran_well = crate::clock::tick().since(started) > Duration::from_secs(60);
                failures = if ran_well { 1 } else { failures + 1 };
                let delay = context.config.limits.retry_delay(failures);
                tracing::error!(room = room.info.name, %error, failures, ?delay, "room stopped, starting it again");
                context.health.set(crate::health::RoomState::Starting);
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = context.shutdown.wait() => {}
                }
            }
        }
    }
    context.health.draining();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::shutdown;

    fn source<F>(name: &'static str, run: impl Fn(RoomContext) -> F + Send + Sync + 'static) -> Room
    where
        F: Future<Output = Result<(), RoomError>> + Send + 'static,
    {
        let (purpose, kind) = ("for the test", RoomKind::Source);
        let info = RoomInfo { name, purpose, kind, reads: Vec::new(), looks_up: Vec::new(), writes: Vec::new() };
        Room::source(info, run)
    }

    #[tokio::test]
    async fn bnd_1_a_room_that_does_not_end_keeps_nobody() {
        let mut config = Config::default();
        config.limits.drain_ms = 20;
        let (trigger, stop) = shutdown();
        let trigger = Arc::new(trigger);
        let hears = source("hears", |context| async move {
            context.shutdown.wait().await;
            Ok(())
        });
        let deaf = source("deaf", move |_| {
            trigger.stop();
            std::future::pending()
        });
        let ended = run_rooms(Arc::new(config), vec![hears, deaf], &Health::new(), stop).await;
        let told = ended.map_err(|error| error.to_string());
        assert!(told.as_ref().is_err_and(|told| told.contains("WL-6051") && told.contains("deaf")), "{told:?}");
    }
}
