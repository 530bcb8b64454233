//! What can be typed after the commands that run something.

use clap::Args;
use std::path::PathBuf;

/// Where the embedded parts listen and keep their data.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Embedded parts")]
pub struct Place {
    /// First of the loopback ports of the embedded parts: Kafka is 92 above, the registry 81, the ERP 69, the FHIR store 90,
    /// the supplier 70, the web console 80. 0 takes free ones.
    #[arg(
        long,
        env = "WARDLINE_PORTS",
        default_value_t = 17_000,
        value_name = "PORT",
        value_parser = clap::value_parser!(u16).range(..=65_400)
    )]
    pub ports: u16,
    /// Address of the MLLP listener; the configuration file, else 127.0.0.1:2575, when left out.
    #[arg(long, value_name = "HOST:PORT")]
    pub mllp: Option<String>,
    /// Address of health and metrics; the configuration file, else 127.0.0.1:9464, when left out.
    #[arg(long, value_name = "HOST:PORT")]
    pub health: Option<String>,
    /// Address of the web console; the configuration file, else 80 above the first port, when left out. An empty text leaves
    /// it out.
    #[arg(long, value_name = "HOST:PORT")]
    pub console: Option<String>,
}

const UP_HELP: &str = "\
Kafka, schema registry, ERP (with a supplier) and FHIR server run inside this process, each as long as no flag, variable or
configuration file names a real one: give --kafka, --registry, --erp or --fhir to swap them one by one. Topics and schemas
are brought to topics.yaml on what is embedded; on a real Kafka `wardline topics apply` does so. The data is found again
after any end of the process, also after kill -9. Embedded parts listen on the loopback interface only and are for
development and demos, never for production.";

/// Options of `up`.
#[derive(Debug, Args)]
#[command(after_help = UP_HELP)]
pub struct Up {
    /// Leave these rooms out.
    #[arg(long, value_name = "ROOM", value_delimiter = ',')]
    pub without: Vec<String>,
    /// Folder for the data of the embedded parts.
    #[arg(long, env = "WARDLINE_DATA", default_value = "wardline-data/up", value_name = "DIR")]
    pub data: PathBuf,
    /// Where the embedded parts are.
    #[command(flatten)]
    pub place: Place,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunOne {
    /// Name of the room; `wardline run help` lists them.
    pub room: String,
    /// With `help`: one JSON line per room.
    #[arg(long)]
    pub json: bool,
}

const DEMO_HELP: &str = "\
What happens: broker, schema registry, sandbox ERP, FHIR store, a supplier and all connectors and processors start in this
process; a hospital day of HL7 v2 messages over MLLP and of FHIR resources flows through; a report accounts for every one of
them and compares what was posted with the ERP's own stock movements. Then the system goes on until Ctrl-C, so that you can
look at it with the other commands from another terminal. Nothing but this program is needed.

Run it again: the same day on the same data posts nothing new. Delete the data folder to start afresh.
--kafka, --registry, --erp and --fhir play the day on real parts, one by one; --real plays it on the four that
`cargo xtask components up` starts.";

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(after_help = DEMO_HELP)]
pub struct Demo {
    /// The day, YYYY-MM-DD; yesterday when left out. The same day has the same messages.
    #[arg(long)]
    pub day: Option<String>,
    /// Stays told over HL7 v2.
    #[arg(long, default_value_t = 24)]
    pub stays: usize,
    /// Stays told through the FHIR server.
    #[arg(long, default_value_t = 4)]
    pub fhir_stays: usize,
    /// MLLP connections that send at the same time.
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// End after the report. A day on real parts alone ends by itself.
    #[arg(long)]
    pub exit: bool,
    /// Embed nothing: what is not named is expected where `cargo xtask components up` starts it.
    #[arg(long)]
    pub real: bool,
    /// Folder for the data of the embedded parts and for the Parquet files.
    #[arg(long, env = "WARDLINE_DATA", default_value = "wardline-data/demo", value_name = "DIR")]
    pub data: PathBuf,
    /// Where the embedded parts are.
    #[command(flatten)]
    pub place: Place,
    /// Rooms that run elsewhere.
    #[arg(long, value_name = "ROOM", value_delimiter = ',')]
    pub without: Vec<String>,
    /// Longest wait until all is processed, seconds.
    #[arg(long, default_value_t = 900)]
    pub wait_s: u64,
    /// Filter of the log lines on stderr.
    #[arg(long, default_value = "warn")]
    pub log: String,
    /// Also write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print the report as one JSON line.
    #[arg(long)]
    pub json: bool,
}

const ALONE_HELP: &str = "\
It listens on the loopback interface only, and is for development, demos and tests, never for production. Once it listens it
prints its address, and it runs until SIGINT (Ctrl-C) or SIGTERM.";

/// Options of an embedded part that runs alone.
#[derive(Debug, Args)]
#[command(after_help = ALONE_HELP)]
pub struct Part {
    /// Address on the loopback interface; port 0 takes a free one. Without it the port that `wardline up` uses.
    #[arg(long, value_name = "127.0.0.1:PORT")]
    pub listen: Option<String>,
    /// Folder for its data. Without it everything is in memory and gone at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print the address as a JSON line.
    #[arg(long)]
    pub json: bool,
}

/// Options of `registry`.
#[derive(Debug, Args)]
#[command(
    after_help = "The schemas are in the topic _schemas of the Kafka named with --kafka (which may be `wardline broker` \
    or a real one); without --kafka they are in the folder --data, and without that in memory."
)]
pub struct RegistryAlone {
    /// As of every part.
    #[command(flatten)]
    pub part: Part,
}

const SANDBOX_HELP: &str = "\
Callers show the key `sandbox`, or the one named with --erp-key. It listens on the loopback interface only, and is for
development, demos and tests, never for production. Once it listens it prints its address, and it runs until SIGINT (Ctrl-C)
or SIGTERM.";

/// Options of `sandbox-erp`.
#[derive(Debug, Args)]
#[command(after_help = SANDBOX_HELP)]
pub struct SandboxErpAlone {
    /// As of every part.
    #[command(flatten)]
    pub part: Part,
    /// Leave the books empty. Otherwise a new ledger begins with the hospital of the demo.
    #[arg(long)]
    pub empty: bool,
}
