//! `wardline bench`: how fast the real loops are on this machine. One JSON line per benchmark.

mod contracts;
mod data;
mod enrich;
mod floor;
mod idle;
mod lanes;
mod latency;
mod master;
mod measured;
mod mllp;
mod parking;
mod random;
mod reconcile;
mod replay;
mod restart;
mod running;
mod scale;
mod sender;
mod tables;
mod trace;
mod usage;

use crate::args::Globals;
use crate::{Failure, context};
use clap::{Args, Subcommand};
use runtime::config::KafkaConfig;
use runtime::reader::{self, Range};
use runtime::{Config, telemetry};
use serde::Serialize;

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Kafka to Kafka, exactly once: join events with a table of items. Needs a broker of its own, no registry.
    Enrich(BenchEnrich),
    /// Kafka to the outside: lanes of one key each, against a system in this process that takes its time. Needs a broker of
    /// its own, no registry.
    Lanes(BenchLanes),
    /// MLLP to Kafka: parse, map, encode, confirmed by Kafka, then acknowledged. Needs a broker of its own, no registry.
    Mllp(BenchMllp),
    /// `wardline up` on embedded parts with much data: memory, and how soon it is ready again after kill -9. Starts its own.
    Restart(BenchRestart),
    /// Each room in a process of its own with nothing to do: how soon it is ready, and in how much memory. Starts its own.
    Idle(idle::BenchIdle),
    /// How the cost of `enrich` grows with partitions and members, keys, and the size of messages. Needs a broker of its own, no
    /// registry.
    Scale(BenchScale),
    /// `enrich` and `analytics` read a topic from its beginning, as after an incident. Needs a broker of its own, no registry.
    Replay(BenchReplay),
    /// Events of many keys that wait: parked, listed and let go in order, and what other keys notice. Needs a broker of its
    /// own, no registry.
    Parking(BenchParking),
    /// Questions about single events when a topic holds a million, and service levels of a day. Needs a broker and a registry of
    /// its own.
    Trace(BenchTrace),
    /// The comparison of `wardline reconcile` over a made-up day with differences planted in it. Needs nothing; with --topics a
    /// broker and a registry of its own.
    Reconcile(reconcile::BenchReconcile),
    /// Master data: how soon a room has it, from the topic and from a snapshot, in how much memory, and lookups per second.
    /// Needs a broker of its own, no registry.
    Tables(BenchTables),
    /// One start of `bench tables`, in a process of its own.
    #[command(hide = true)]
    TablesStart(BenchTablesStart),
    /// The sender of `bench mllp`, in a process of its own.
    #[command(hide = true)]
    MllpLoad(BenchMllpLoad),
}

/// Options of `bench enrich`.
#[derive(Debug, Args)]
pub struct BenchEnrich {
    /// Events to load when the input topic is empty.
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u64,
    /// Partitions of the topics.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub partitions: u16,
    /// Members of the group, each with a thread that decides and one that commits; `limits.workers` when not given.
    #[arg(long)]
    pub members: Option<usize>,
    /// Keys of the events.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(8..))]
    pub keys: u64,
    /// About the size of an event, bytes.
    #[arg(long, default_value_t = data::PLAIN_BYTES)]
    pub bytes: usize,
    /// The data must be there already, loaded by the harness of the rivals.
    #[arg(long)]
    pub peers: bool,
    /// Measure the time from creation to a read_committed consumer at a steady rate.
    #[arg(long)]
    pub latency: bool,
    /// Events per second of --latency.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Seconds before --latency measures.
    #[arg(long, default_value_t = 15)]
    pub warmup: u64,
    /// Seconds that --latency measures.
    #[arg(long, default_value_t = 40)]
    pub secs: u64,
}

/// Options of `bench trace`.
#[derive(Debug, Args)]
pub struct BenchTrace {
    /// Events to load when the topic is empty.
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u64,
}

/// Options of `bench lanes`.
#[derive(Debug, Args)]
pub struct BenchLanes {
    /// Events to load and post.
    #[arg(long, default_value_t = 400_000)]
    pub events: u64,
    /// Keys; each comes once in every so many events.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub keys: u32,
    /// How long the outside takes for a call, milliseconds.
    #[arg(long, default_value_t = 50)]
    pub call_ms: u64,
    /// Afterwards, write the same records with the Kafka client alone, once without and once with reading the events.
    #[arg(long)]
    pub ceiling: bool,
    /// At a steady rate, with and without bad records in turn: one in so many on hot keys is refused. 0 measures throughput.
    #[arg(long, default_value_t = 0)]
    pub poison: u32,
    /// Events per second of --poison.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Seconds of each half of --poison.
    #[arg(long, default_value_t = 10)]
    pub secs: u64,
    /// Rounds of --poison, each with both halves.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
}

/// Options of `bench mllp`.
#[derive(Debug, Args)]
pub struct BenchMllp {
    /// Connections that send at the same time, each waiting for its acknowledgement before the next message.
    #[arg(long, default_value_t = 8)]
    pub conns: usize,
    /// Size of a message, bytes.
    #[arg(long, default_value_t = 600)]
    pub bytes: usize,
    /// Seconds before measuring.
    #[arg(long, default_value_t = 20)]
    pub warmup: u64,
    /// Seconds measured.
    #[arg(long, default_value_t = 60)]
    pub secs: u64,
    /// Threads that take messages in. The Kafka client has two more. Each further one costs wake-ups per message and is worth
    /// them when one core is not enough.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// Instead of the room, the least that could stand there: each message is one record as it came. What that reaches bounds what
    /// the room can reach.
    #[arg(long)]
    pub floor: bool,
    /// Messages per second of all connections together, each sent at its time and timed from it; 0: as fast as they are
    /// acknowledged.
    #[arg(long, default_value_t = 0, conflicts_with = "sender")]
    pub rate: u32,
    /// Send with this program (mllpload of the rivals' harness) and print its JSON line.
    #[arg(long, value_name = "PROGRAM")]
    pub sender: Option<std::path::PathBuf>,
}

/// Options of `bench restart`.
#[derive(Debug, Args)]
pub struct BenchRestart {
    /// Megabytes that the broker's folder is to have before the kill.
    #[arg(long, default_value_t = 2_048)]
    pub mb: u64,
    /// A new folder for the data; it is left there.
    #[arg(long, default_value = "wardline-data/bench-restart", value_name = "DIR")]
    pub data: std::path::PathBuf,
    /// Seconds without work after which memory and CPU are looked at.
    #[arg(long, default_value_t = 20)]
    pub idle: u64,
}

/// Options of `bench scale`.
#[derive(Debug, Args)]
pub struct BenchScale {
    /// Events of each measurement; more where there are more keys, fewer where they are large.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub events: u64,
    /// Most keys: the last measurements are left out where they have more.
    #[arg(long, default_value_t = 10_000_000)]
    pub keys_max: u64,
}

/// Options of `bench replay`.
#[derive(Debug, Args)]
pub struct BenchReplay {
    /// Events to load when the input topic is empty.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
}

/// Options of `bench parking`.
#[derive(Debug, Args)]
pub struct BenchParking {
    /// Events that wait.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// Keys that they belong to.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub keys: u64,
    /// Events per second of other keys.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Seconds that their latency is measured before, while all are parked, and after.
    #[arg(long, default_value_t = 10)]
    pub secs: u64,
}

/// Options of `bench tables`.
#[derive(Debug, Args)]
pub struct BenchTables {
    /// Records of the table.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub rows: u64,
    /// Give the table the indexes that `validate` has; without it none, as in `enrich`.
    #[arg(long)]
    pub indexed: bool,
    /// Seconds that lookups are counted with one thread, and with two.
    #[arg(long, default_value_t = 5)]
    pub secs: u64,
}

/// Options of `bench tables-start`.
#[derive(Debug, Args)]
pub struct BenchTablesStart {
    /// As in `bench tables`.
    #[arg(long)]
    pub rows: u64,
    /// As in `bench tables`.
    #[arg(long)]
    pub indexed: bool,
    /// As in `bench tables`; 0 counts nothing.
    #[arg(long)]
    pub secs: u64,
    /// Folder of the snapshots; none are kept without it.
    #[arg(long, value_name = "DIR")]
    pub snapshots: Option<std::path::PathBuf>,
}

/// Options of `bench mllp-load`.
#[derive(Debug, Args)]
pub struct BenchMllpLoad {
    /// MLLP listener.
    #[arg(long)]
    pub addr: String,
    /// As in `bench mllp`.
    #[arg(long)]
    pub conns: usize,
    /// As in `bench mllp`.
    #[arg(long)]
    pub size: usize,
    /// As in `bench mllp`.
    #[arg(long)]
    pub warmup: u64,
    /// As in `bench mllp`.
    #[arg(long)]
    pub secs: u64,
    /// As in `bench mllp`.
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// Process whose CPU time is told.
    #[arg(long)]
    pub pid: u32,
}

/// Runs a benchmark.
pub fn execute(globals: &Globals, bench: &Bench) -> Result<(), Failure> {
    match &bench.what {
        What::Enrich(options) => enrich::execute(globals, options),
        What::Lanes(options) => lanes::execute(globals, options),
        What::Mllp(options) => mllp::execute(globals, options),
        What::Restart(options) => restart::execute(options),
        What::Idle(options) => idle::execute(options),
        What::Scale(options) => scale::execute(globals, options),
        What::Replay(options) => replay::execute(globals, options),
        What::Parking(options) => parking::execute(globals, options),
        What::Trace(options) => trace::execute(globals, options),
        What::Reconcile(options) => reconcile::execute(globals, options),
        What::Tables(options) => tables::execute(globals, options),
        What::TablesStart(options) => tables::start(globals, options),
        What::MllpLoad(options) => mllp::load(options),
    }
}

/// The configuration of a benchmark. Of the log lines only errors are shown: a benchmark with thousands of bad records
/// would measure the terminal.
fn setup(globals: &Globals) -> Result<Config, Failure> {
    let mut config = context::config(globals)?;
    if config.telemetry.log_filter == "info" {
        config.telemetry.log_filter = "error".to_owned();
    }
    let guard = telemetry::init(&config.telemetry, "wardline-bench");
    // Nothing is exported without an endpoint, so nothing is lost when the guard goes.
    drop(guard.map_err(|error| Failure::usage(error, "correct the telemetry block of the configuration"))?);
    Ok(config)
}

/// Runs a blocking call off the async threads.
pub async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(call).await;
    ended.map_err(|error| Failure::new(error, "report this as a defect"))
}

/// Number of places on a topic between its first record and its end.
async fn length(kafka: &KafkaConfig, topic: &'static str) -> Result<u64, Failure> {
    let kafka = kafka.clone();
    let spans = blocking(move || reader::spans(&kafka, &Range::all(topic))).await?.map_err(Failure::kafka)?;
    let places = spans.values().map(|span| span.end - span.start).sum::<i64>();
    Ok(u64::try_from(places).unwrap_or_default())
}

fn output(report: &impl Serialize) -> Result<(), Failure> {
    let mut output = crate::output::Output::stdout();
    output.json(report)?;
    output.finish()
}
