//! The running whole: embedded parts, rooms, health endpoint, and the signal that stops them.

use crate::console::{self, Beside};
use crate::parts::{Choice, Part, Parts, Plan};
use crate::{Failure, rooms, run, topics};
use runtime::health::{Health, HealthServer};
use runtime::{Config, Room, RoomError, Shutdown, ShutdownTrigger, shutdown};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Everything that runs in this process.
pub struct System {
    /// The configuration with the addresses of the embedded parts.
    pub config: Arc<Config>,
    /// Where each room stands.
    pub health: Health,
    /// The embedded parts.
    pub parts: Parts,
    /// The web console, unless it is left out.
    pub console: Option<Beside>,
    trigger: ShutdownTrigger,
    running: JoinHandle<Result<(), RoomError>>,
    _server: HealthServer,
}

/// SIGINT (Ctrl-C) or SIGTERM, from now on.
pub fn signal() -> Shutdown {
    let (trigger, stop) = shutdown();
    tokio::spawn(async move {
        if let Err(error) = trigger.stop_on_signal().await {
            tracing::error!(%error, "cannot listen to signals");
        }
    });
    stop
}

/// All rooms but those that are left out.
pub fn rooms_without(left_out: &[String]) -> Result<Vec<Room>, Failure> {
    let names = rooms::names();
    if let Some(unknown) = left_out.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(run::unknown_room(unknown));
    }
    Ok(rooms::all().into_iter().filter(|room| !left_out.iter().any(|name| name == room.info().name)).collect())
}

impl System {
    /// Starts the embedded parts, brings topics and schemas to the catalogue where `applies` says so, and starts the rooms.
    /// They stop with `signal`.
    pub async fn start(
        plan: &Plan<'_>,
        mut config: Config,
        rooms: Vec<Room>,
        applies: Applies,
        signal: &Shutdown,
    ) -> Result<Self, Failure> {
        let parts = plan.start(&mut config).await?;
        let config = Arc::new(config);
        applies.apply(&config, &plan.choice).await?;
        let health = Health::new();
        let server = health.serve(&config.http.listen).await.map_err(|error| {
            Failure::new(
                format!("WL-7061: cannot listen on {}: {error}", config.http.listen),
                "choose a free address with --health, or stop the process that has it",
            )
        })?;
        let (trigger, stop) = signal.child();
        let console = match console::listen(&config) {
            None => None,
            Some(listen) => Some(Beside::start(listen, &config, &health, plan.data, stop.clone()).await?),
        };
        let (run_config, run_health) = (Arc::clone(&config), health.clone());
        let running = tokio::spawn(async move { runtime::run_rooms(run_config, rooms, &run_health, stop).await });
        Ok(Self { config, health, parts, console, trigger, running, _server: server })
    }

    /// Waits until the rooms have ended: after the signal, or because one cannot go on. Then stops the parts.
    pub async fn ended(self) -> Result<(), Failure> {
        let Self { parts, console, running, trigger, _server, .. } = self;
        let ended = running.await.map_err(|error| Failure::new(error, "report this as a defect"));
        drop(trigger);
        if let Some(console) = console {
            console.ended().await;
        }
        parts.stop().await;
        ended?.map_err(|error| run::stopped(&error))
    }

    /// Asks the rooms to finish what they hold, and waits for the end.
    pub async fn stop(self) -> Result<(), Failure> {
        self.trigger.stop();
        self.ended().await
    }
}

/// Whether topics and schemas are brought to the catalogue at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// Always.
    Everywhere,
    /// Where a part is embedded; real ones are changed by `wardline topics apply` alone.
    OnEmbedded,
}

impl Applies {
    async fn apply(self, config: &Config, choice: &Choice) -> Result<(), Failure> {
        let (kafka, registry) = match self {
            Self::Everywhere => (true, true),
            Self::OnEmbedded => (choice.embeds(Part::Kafka), choice.embeds(Part::Registry)),
        };
        if kafka || registry {
            topics::apply_built_in(config, |change| if change.is_of_registry() { registry } else { kafka }).await?;
        }
        Ok(())
    }
}
