//! What can be typed.

mod audit;
mod catalogue;
mod console;
mod corrections;
mod dead_letters;
mod exceptions;
mod groups;
mod reconcile;
mod replay;
mod running;
mod sight;
mod through;

pub use audit::{AuditAction, AuditLs, AuditOptions, Unmask};
pub use catalogue::{Explain, Topics, TopicsAction, TopicsCheck, TopicsLs, TopicsPlan, TopicsShow};
pub use console::{ConsoleAction, ConsoleOptions, EndSessions};
pub use corrections::{Crosswalk, CrosswalkAction, CrosswalkLs, CrosswalkStep, ExceptionsCorrect, ExceptionsMap};
pub use dead_letters::{DeadLetters, DeadLettersAction, DeadLettersLs, DeadLettersSettle, DeadLettersShow};
pub use exceptions::{
    Decide, Discard, Exceptions, ExceptionsAction, ExceptionsCauses, ExceptionsHistory, ExceptionsLs, ExceptionsShow,
};
pub use groups::{Groups, GroupsAction, GroupsApprove, GroupsReset, GroupsShow};
pub use reconcile::Reconcile;
pub use replay::{
    Replay, ReplayAction, ReplayApply, ReplayLs, ReplayPlan, ReplayResume, ReplaySelect, ReplayShadow, ReplayStep,
};
pub use running::{Demo, Part, Place, RegistryAlone, RunOne, SandboxErpAlone, Up};
pub use sight::{Activity, Message, Sla, Trace};
pub use through::Through;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
New here? `wardline demo` streams a hospital day through everything, in this process, and says what to look at next.
Without flags the commands that look at a running system find the one that `wardline up` or `wardline demo` has started on
this machine. `wardline COMMAND --help` tells more about each.";

/// Event streaming for hospitals: from the bedside to the ERP.
#[derive(Debug, Parser)]
#[command(name = "wardline", version, propagate_version = true, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Arguments {
    /// Where things are.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where things are. A flag or variable here wins over the configuration file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Real parts (`up` and `demo` embed what is not named; other commands look there)")]
pub struct Globals {
    /// Configuration file (YAML).
    #[arg(long, env = "WARDLINE_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kafka, comma-separated host:port [without it: 127.0.0.1:17092, the embedded one].
    #[arg(long, env = "WARDLINE_KAFKA", global = true, value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// Schema registry, base URL of its Confluent-compatible API [without it: http://127.0.0.1:17081].
    #[arg(long, env = "WARDLINE_REGISTRY", global = true, value_name = "URL")]
    pub registry: Option<String>,
    /// ERP base URL.
    #[arg(long, env = "WARDLINE_ERP", global = true, value_name = "URL")]
    pub erp: Option<String>,
    /// What the ERP is [default: what the configuration says, else tryton].
    #[arg(long, env = "WARDLINE_ERP_SYSTEM", global = true, value_name = "SYSTEM")]
    pub erp_system: Option<ErpSystem>,
    /// Key of the ERP (Tryton: of its user application). Prefer the variable: flags are visible to other users.
    #[arg(long, env = "WARDLINE_ERP_KEY", hide_env_values = true, global = true, value_name = "KEY")]
    pub erp_key: Option<String>,
    /// FHIR server base URL [without it: http://127.0.0.1:17090/fhir].
    #[arg(long, env = "WARDLINE_FHIR", global = true, value_name = "URL")]
    pub fhir: Option<String>,
}

/// The ERPs that can be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ErpSystem {
    /// Tryton 8.0.
    Tryton,
    /// The sandbox ERP of `wardline sandbox-erp`, `up` and `demo`.
    Sandbox,
}

impl From<ErpSystem> for erp_systems::System {
    fn from(system: ErpSystem) -> Self {
        match system {
            ErpSystem::Tryton => Self::Tryton,
            ErpSystem::Sandbox => Self::Sandbox,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See the main job: a hospital day streams through, and a report proves that nothing was lost.
    Demo(Demo),
    /// Run all connectors and processors in this process, on embedded parts or on real ones.
    Up(Up),
    /// Run one connector or processor: what a container runs.
    Run(RunOne),
    /// Show rooms, lag, parked keys and open exceptions.
    Status(Status),
    /// Follow one event from the source message to the ERP document and the supplier's answer.
    Trace(Trace),
    /// Show a received message as it came, beside the event that was made of it.
    Message(Message),
    /// Show how well the promises of topics.yaml are kept today, and what is about to break.
    Sla(Sla),
    /// Show what each domain did, hour by hour: in, done, waiting, exceptions, durations.
    Activity(Activity),
    /// Look at work items for people, and decide them.
    Exceptions(Exceptions),
    /// Say what codes of source systems mean here: items and places.
    Crosswalk(Crosswalk),
    /// Look at records that could not be read: place, code, headers and original bytes; have them processed again, or settle them.
    DeadLetters(DeadLetters),
    /// Process records again: plan, preview, approve, apply. In order beside the live flow; effects that happened are suppressed.
    Replay(Replay),
    /// Show where rooms stand, and set where one goes on: previewed, agreed to, on record.
    Groups(Groups),
    /// Compare receipts, events, effect records, the ERP and the suppliers' answers, and say what differs.
    Reconcile(Reconcile),
    /// Send messages as a real sender does and print the acknowledgements.
    Send(Send),
    /// Show what Wardline makes of an input, with no broker at all.
    Parse(Parse),
    /// Serve the web console over a running installation, or make a hash or a token for its configuration.
    Console(ConsoleOptions),
    /// Look at what people did, were shown and were denied, and at what Wardline left out.
    Audit(AuditOptions),
    /// Look at the catalogue of topics; compare topics.yaml with the cluster and the registry, or bring them to it.
    Topics(Topics),
    /// Say what an error code means and what to do about it.
    Explain(Explain),
    /// Show the configuration in force: file, variables, flags and defaults.
    Config(ConfigOptions),
    /// Run the embedded Kafka broker alone, for any Kafka client. For development and tests, never for production.
    Broker(Part),
    /// Run the embedded schema registry alone, over the topic _schemas of a Kafka or in a folder.
    Registry(RegistryAlone),
    /// Run the sandbox ERP alone: a small ledger with a hospital in it.
    SandboxErp(SandboxErpAlone),
    /// Run the embedded FHIR store alone.
    FhirStore(Part),
    /// Measure how fast the real loops are on this machine.
    Bench(crate::bench::Bench),
}

/// Options of `config`.
#[derive(Debug, Args)]
pub struct ConfigOptions {
    /// What to do with the configuration.
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigAction {
    /// Check it as `up` and `run` do, and print it as JSON, with the blocks of all rooms, secrets as stars. `up` and `demo`
    /// lay the addresses of their embedded parts over it.
    Show,
}

/// Kind of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputKind {
    /// HL7 v2 messages: one, several, a batch, or an MLLP capture.
    Hl7v2,
    /// FHIR resources or bundles, JSON.
    Fhir,
    /// UDI strings, one per line.
    Udi,
}

/// Options of `parse`.
#[derive(Debug, Args)]
pub struct Parse {
    /// What the input is.
    pub kind: InputKind,
    /// Files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// One JSON line per message, resource or UDI.
    #[arg(long)]
    pub json: bool,
}

/// What can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SendKind {
    /// HL7 v2 over MLLP.
    Hl7v2,
    /// FHIR resources with PUT (or POST when they have no id) to the FHIR server.
    Fhir,
}

/// Options of `send`.
#[derive(Debug, Args)]
pub struct Send {
    /// What the files are.
    pub kind: SendKind,
    /// Files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// MLLP listener for hl7v2; the FHIR server is --fhir.
    #[arg(long, env = "WARDLINE_MLLP", default_value = "127.0.0.1:2575", value_name = "HOST:PORT")]
    pub to: String,
    /// Longest wait for one answer, milliseconds.
    #[arg(long, default_value_t = 30_000)]
    pub timeout_ms: u64,
    /// One JSON line per answer.
    #[arg(long)]
    pub json: bool,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Health endpoint of a running `wardline up` or `demo`.
    #[arg(long, env = "WARDLINE_HEALTH", default_value = "http://127.0.0.1:9464", value_name = "URL")]
    pub health: String,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}
