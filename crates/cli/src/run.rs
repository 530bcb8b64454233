//! `wardline up` and `wardline run ROOM`.

use crate::args::{Globals, RunOne, Up};
use crate::{Failure, context, output, rooms};
use runtime::health::Health;
use runtime::{Config, Room, RoomError, shutdown, telemetry};
use std::sync::Arc;

/// Runs all rooms in this process.
pub fn up(globals: &Globals, up: &Up) -> Result<(), Failure> {
    let names = rooms::names();
    if let Some(unknown) = up.without.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(unknown_room(unknown));
    }
    let wanted = |room: &Room| !up.without.iter().any(|left_out| left_out == room.info().name);
    run(globals, rooms::all().into_iter().filter(wanted).collect(), "wardline")
}

/// Runs one room: what a container runs.
pub fn one(globals: &Globals, one: &RunOne) -> Result<(), Failure> {
    if one.room == "help" {
        return list();
    }
    let room =
        rooms::all().into_iter().find(|room| room.info().name == one.room).ok_or_else(|| unknown_room(&one.room))?;
    let name = room.info().name;
    run(globals, vec![room], name)
}

/// A room that does not exist.
pub fn unknown_room(name: &str) -> Failure {
    Failure::usage(format!("WL-7060: there is no room {name}"), format!("choose one of {}", rooms::names().join(", ")))
}

/// What to do about a room that stopped.
pub fn stopped(error: &RoomError) -> Failure {
    match error {
        RoomError::Config(_) => Failure::usage(error, "correct the configuration of that room and start again"),
        _ => Failure::new(error, "see the log lines above; docs/errors explains the code"),
    }
}

fn list() -> Result<(), Failure> {
    let mut output = output::Output::stdout();
    for room in rooms::all() {
        let info = room.info();
        output.line(format!("{:<16} {}", info.name, info.purpose))?;
        for (title, topics) in [("reads", &info.reads), ("looks up", &info.looks_up), ("writes", &info.writes)] {
            if !topics.is_empty() {
                output.line(format!("{:<16}   {title}: {}", "", topics.join(" ")))?;
            }
        }
    }
    output.finish()
}

fn run(globals: &Globals, rooms: Vec<Room>, service: &'static str) -> Result<(), Failure> {
    let config: Arc<Config> = Arc::new(context::config(globals)?);
    context::block_on(async {
        let _telemetry = telemetry::init(&config.telemetry, service)
            .map_err(|error| Failure::usage(error, "correct the telemetry block of the configuration"))?;
        let health = Health::new();
        let _server = health.serve(&config.http.listen).await.map_err(|error| {
            Failure::new(
                format!("WL-7061: cannot listen on {}: {error}", config.http.listen),
                "set http.listen to a free address, or stop the process that has it",
            )
        })?;
        let (trigger, shutdown) = shutdown();
        tokio::spawn(async move {
            if let Err(error) = trigger.stop_on_signal().await {
                tracing::error!(%error, "cannot listen to signals");
            }
        });
        runtime::run_rooms(Arc::clone(&config), rooms, &health, shutdown).await.map_err(|error| stopped(&error))
    })?
}
