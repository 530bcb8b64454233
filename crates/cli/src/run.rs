//! `wardline up` and `wardline run ROOM`.

use crate::args::{Globals, RunOne, Up};
use crate::parts::{self, Choice, Part, Plan};
use crate::system::{self, Applies, System};
use crate::{Failure, context, output, rooms};
use runtime::health::Health;
use runtime::{Config, Room, RoomError, clock, telemetry};
use std::sync::Arc;

/// Runs all rooms in this process, and embeds the parts that nobody names.
pub fn up(globals: &Globals, up: &Up) -> Result<(), Failure> {
    let file = context::file(globals)?;
    let mut config = context::config(globals)?;
    rooms::settings(&config)?;
    let choice = Choice::of(globals, &file);
    // The suppliers of the sandbox exist here alone, unless the configuration knows better.
    let supplier = choice.embeds(Part::Erp) && file.pointer("/rooms/supplier-fanout/profiles").is_none();
    let plan = Plan { choice, place: &up.place, data: &up.data, supplier, without: &up.without };
    plan.prepare(&mut config, &file)?;
    let rooms = system::rooms_without(&up.without)?;
    context::block_on(async {
        let _telemetry = start_telemetry(&config, "wardline")?;
        let started = clock::tick();
        let signal = system::signal();
        let system = System::start(&plan, config, rooms, Applies::OnEmbedded, &signal).await?;
        output::note(&format!("wardline {} runs, with its data in {}:", env!("CARGO_PKG_VERSION"), up.data.display()));
        parts::announce(&plan.choice, &system.parts, &system.config, system.console.as_ref());
        let (health, config) = (system.health.clone(), Arc::clone(&system.config));
        tokio::spawn(async move {
            if health.wait_ready().await.is_ok() {
                let seconds = clock::tick().since(started).as_secs_f64();
                output::note(&format!("All rooms are ready after {seconds:.1} s. Ctrl-C stops. In another terminal:"));
                parts::try_next(&config, []);
            }
        });
        system.ended().await
    })?
}

/// Runs one room: what a container runs.
pub fn one(globals: &Globals, one: &RunOne) -> Result<(), Failure> {
    if one.room == "help" {
        return list(one.json);
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

/// Logs and traces.
pub fn start_telemetry(config: &Config, service: &'static str) -> Result<telemetry::TelemetryGuard, Failure> {
    telemetry::init(&config.telemetry, service)
        .map_err(|error| Failure::usage(error, "correct the telemetry block of the configuration"))
}

fn list(json: bool) -> Result<(), Failure> {
    let mut output = output::Output::stdout();
    for room in rooms::all() {
        let info = room.info();
        if json {
            output.json(info)?;
            continue;
        }
        output.line(format!("{:<16} {}", info.name, info.purpose))?;
        for (title, topics) in [("reads", &info.reads), ("looks up", &info.looks_up), ("writes", &info.writes)] {
            if !topics.is_empty() {
                output.line(format!("{:<16}   {title}: {}", "", topics.join(" ")))?;
            }
        }
    }
    output.finish()
}

fn run(globals: &Globals, one: Vec<Room>, service: &'static str) -> Result<(), Failure> {
    let config: Arc<Config> = Arc::new(context::config(globals)?);
    rooms::settings(&config)?;
    parts::can_serve_health(&config)?;
    context::block_on(async {
        let _telemetry = start_telemetry(&config, service)?;
        let health = Health::new();
        let _server = health.serve(&config.http.listen).await.map_err(|error| {
            Failure::new(
                format!("WL-7061: cannot listen on {}: {error}", config.http.listen),
                "set http.listen to a free address, or stop the process that has it",
            )
        })?;
        runtime::run_rooms(Arc::clone(&config), one, &health, system::signal()).await.map_err(|error| stopped(&error))
    })?
}
