//! The `main` of a room's own binary: read the configuration, run, drain, say how it ended.

use crate::config::Config;
use crate::health::Health;
use crate::room::{Room, run_rooms};
use crate::shutdown::shutdown;
use crate::telemetry;
use clap::Parser;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Exit code of a refused configuration (EX_CONFIG of sysexits).
const EXIT_CONFIG: u8 = 78;

/// Longest wait for threads that go on after the rooms have ended.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

#[derive(Debug, Parser)]
#[command(version, about = "One Wardline room: reads its configuration, runs until SIGTERM, drains and exits.")]
struct Arguments {
    /// Configuration file (YAML); the defaults fit a first run on one machine.
    #[arg(long, env = "WARDLINE_CONFIG")]
    config: Option<PathBuf>,
    /// Kafka bootstrap servers; overrides the file.
    #[arg(long, env = "WARDLINE_KAFKA")]
    kafka: Option<String>,
    /// URL of the schema registry; overrides the file.
    #[arg(long, env = "WARDLINE_REGISTRY")]
    registry: Option<String>,
    /// Print the configuration in force, secrets as stars, and exit.
    #[arg(long)]
    print_config: bool,
}

/// Runs one room as a process of its own.
pub fn run_one(room: fn() -> Room) -> ExitCode {
    let arguments = Arguments::parse();
    let config = match configuration(&arguments) {
        Ok(config) => config,
        Err(reason) => return end(&reason, EXIT_CONFIG),
    };
    let settings = match room().settings(&config) {
        Ok(settings) => settings,
        Err(error) => return end(&error.to_string(), EXIT_CONFIG),
    };
    if arguments.print_config {
        // As the room reads it, since only so its secrets are known to be some; blocks of other rooms do not matter here.
        let rooms = BTreeMap::from([(room().info().name.to_owned(), settings)]);
        let text = serde_json::to_string_pretty(&config.shown(rooms)).unwrap_or_default();
        // A closed pipe is the reader's choice.
        drop(writeln!(std::io::stdout(), "{text}"));
        return ExitCode::SUCCESS;
    }
    let _telemetry = match telemetry::init(&config.telemetry, room().info().name) {
        Ok(guard) => guard,
        Err(error) => return end(&error.to_string(), EXIT_CONFIG),
    };
    let threads = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(threads) => threads,
        Err(error) => return end(&format!("WL-7004: cannot start threads: {error}"), 1),
    };
    let ended = threads.block_on(serve(config, room()));
    // What hangs in a client must not keep the process.
    threads.shutdown_timeout(LEFT_BEHIND);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => end(&reason, 1),
    }
}

fn configuration(arguments: &Arguments) -> Result<Config, String> {
    let mut config = match &arguments.config {
        Some(path) => Config::load(path).map_err(|error| error.to_string())?,
        None => Config::default(),
    };
    if let Some(kafka) = &arguments.kafka {
        config.kafka.bootstrap.clone_from(kafka);
    }
    if let Some(registry) = &arguments.registry {
        config.registry.url.clone_from(registry);
    }
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

async fn serve(config: Config, room: Room) -> Result<(), String> {
    let health = Health::new();
    let server = health.serve(&config.http.listen).await;
    let _server = server.map_err(|error| format!("WL-7005: cannot listen on {}: {error}", config.http.listen))?;
    let (trigger, stop) = shutdown();
    tokio::spawn(trigger.stop_on_signal());
    run_rooms(Arc::new(config), vec![room], &health, stop).await.map_err(|error| error.to_string())
}

fn end(reason: &str, code: u8) -> ExitCode {
    // Nothing can be done about a closed stderr.
    drop(writeln!(std::io::stderr(), "{reason}"));
    ExitCode::from(code)
}
