//! `cargo xtask components`: the real systems on fixed ports, to develop against.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use components::{
    ERP_KEY, FhirVersion, Hapi, HapiOptions, Installation, Kafka, KafkaOptions, Part, Progress, Registry,
    RegistryOptions, Server, Tryton, TrytonOptions,
};
use std::io::Write;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "They listen on 127.0.0.1 only, keep their data in .wardline/components of the workspace, and \
    are fetched on first use into $WARDLINE_CACHE, else ~/.cache/wardline/components (0.6 GB). Needed: a JDK (17 or newer), \
    Maven, Python (3.11 or newer).";

/// Start and stop the real Kafka, schema registry, ERP and FHIR server.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Only these, separated by commas: kafka, registry, erp, fhir.
    #[arg(long, global = true, value_delimiter = ',')]
    only: Vec<Part>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Fetch and start what does not run yet, and leave it running.
    Up,
    /// Stop what runs. Data is kept.
    Down,
    /// Show process, port and health of each.
    Status,
    /// Print the addresses as shell exports: eval "$(cargo xtask components env)".
    Env,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let parts: Vec<Part> = if arguments.only.is_empty() { Part::ALL.to_vec() } else { arguments.only.clone() };
    match arguments.action {
        Action::Up => {
            up(&parts)?;
            status(&parts, arguments.json)
        }
        Action::Down => down(&parts, arguments.json),
        Action::Status => status(&parts, arguments.json),
        Action::Env => env(&parts, arguments.json),
    }
}

/// Starts what does not run yet, and leaves it running.
pub fn up(parts: &[Part]) -> Result<()> {
    let progress = Progress::stderr();
    let missing: Vec<Part> = parts.iter().copied().filter(|part| Server::find_in(&dir(*part)).is_none()).collect();
    let installation = Installation::ensure(&missing, &progress)?;
    let failures: Vec<String> = std::thread::scope(|scope| {
        let starts: Vec<_> = missing
            .iter()
            .map(|part| {
                let step = progress.step(format!("start {part}"));
                let installation = &installation;
                scope.spawn(move || start(*part, installation).map(|()| step.done("started")))
            })
            .collect();
        let ended = starts.into_iter().map(std::thread::ScopedJoinHandle::join);
        let failed = ended.filter_map(|result| match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("a start ended in a panic".to_owned()),
        });
        failed.collect()
    });
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

fn start(part: Part, installation: &Installation) -> Result<(), components::Error> {
    let (dir, port) = (dir(part), Some(part.port()));
    match part {
        Part::Kafka => Kafka::start(installation, KafkaOptions { port, ..KafkaOptions::in_dir(dir) })?.detach(),
        Part::Registry => {
            Registry::start(installation, RegistryOptions { port, ..RegistryOptions::in_dir(dir) })?.detach()
        }
        Part::Erp => Tryton::start(installation, TrytonOptions { port, ..TrytonOptions::in_dir(dir) })?.detach(),
        Part::Fhir => {
            let options = HapiOptions { port, version: FhirVersion::R4, ..HapiOptions::in_dir(dir) };
            Hapi::start(installation, options)?.detach();
        }
    }
    Ok(())
}

/// Stops what runs; data is kept.
pub fn down(parts: &[Part], json: bool) -> Result<()> {
    let mut stopped = Vec::new();
    for part in parts {
        if Server::stop_in(&dir(*part))? {
            stopped.push(part.name());
        }
    }
    let text = match (json, stopped.is_empty()) {
        (true, _) => serde_json::json!({ "stopped": stopped }).to_string(),
        (false, true) => "nothing was running".to_owned(),
        (false, false) => format!("stopped {}", stopped.join(", ")),
    };
    print(&text)
}

fn status(parts: &[Part], json: bool) -> Result<()> {
    let mut objects = Vec::new();
    let mut lines = Vec::new();
    for part in parts {
        let found = Server::find_in(&dir(*part));
        let health = match &found {
            None => "stopped",
            Some(status) if status.answers() => "healthy",
            Some(_) => "not answering",
        };
        let (name, url) = (part.name(), part.url());
        let pid = found.as_ref().map(|found| found.pid);
        let port = found.as_ref().map_or(part.port(), |found| found.port);
        let shown = pid.map_or("-".to_owned(), |pid| pid.to_string());
        lines.push(format!("{name:9} {health:13} pid {shown:>7}  port {port:5}  {url}"));
        objects.push(serde_json::json!({
            "component": name, "health": health, "pid": pid, "port": port, "url": url, "directory": dir(*part),
        }));
    }
    if json { print(&serde_json::Value::Array(objects).to_string()) } else { print(&lines.join("\n")) }
}

/// The addresses as environment variables.
pub fn environment(parts: &[Part]) -> Vec<(&'static str, String)> {
    let mut values = Vec::new();
    for part in parts {
        match part {
            Part::Kafka => values.push(("WARDLINE_KAFKA", part.url())),
            Part::Registry => values.push(("WARDLINE_REGISTRY", part.url())),
            Part::Erp => values.extend([("WARDLINE_ERP", part.url()), ("WARDLINE_ERP_KEY", ERP_KEY.to_owned())]),
            Part::Fhir => values.push(("WARDLINE_FHIR", part.url())),
        }
    }
    values
}

fn env(parts: &[Part], json: bool) -> Result<()> {
    let values = environment(parts);
    if json {
        let object: serde_json::Map<_, _> =
            values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        return print(&serde_json::Value::Object(object).to_string());
    }
    let lines: Vec<String> = values.iter().map(|(name, value)| format!("export {name}='{value}'")).collect();
    print(&lines.join("\n"))
}

fn dir(part: Part) -> PathBuf {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member).join(".wardline/components").join(part.name())
}

fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write to stdout")
}
