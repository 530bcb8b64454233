//! What can be typed after the commands that look.

use super::audit::{Raw, Unmask};
use clap::{Args, ValueEnum};
use operations::sight::trace::IdKind;

/// What the id of a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AskedAs {
    /// Event, correlation or trace id.
    Event,
    /// Id that the sender gave a message (MSH-10, FHIR id and version).
    Message,
    /// Exception id.
    Exception,
    /// Kafka key.
    Key,
    /// Order number.
    Order,
    /// Lot.
    Lot,
    /// Serial number.
    Serial,
    /// UDI as scanned, or its device identifier.
    Udi,
    /// Number or id of an ERP document, or of a notice to a supplier.
    Document,
    /// Business key of a fact, or the key of an effect.
    BusinessKey,
}

impl From<AskedAs> for IdKind {
    fn from(asked: AskedAs) -> Self {
        match asked {
            AskedAs::Event => Self::Event,
            AskedAs::Message => Self::Message,
            AskedAs::Exception => Self::Exception,
            AskedAs::Key => Self::Key,
            AskedAs::Order => Self::Order,
            AskedAs::Lot => Self::Lot,
            AskedAs::Serial => Self::Serial,
            AskedAs::Udi => Self::Udi,
            AskedAs::Document => Self::Document,
            AskedAs::BusinessKey => Self::BusinessKey,
        }
    }
}

const TRACE_HELP: &str = "\
The topics themselves are read, newest first: the last hour, then the last day, the last week, and all there is; it ends where
the beginning of the way is found. An id that says when it was made (UUID version 7) is looked for from then on. A key, an order,
a lot, a serial number, a UDI and a business key are of many facts: they are looked for in the last week at least.";

/// Options of `trace`.
#[derive(Debug, Args)]
#[command(after_help = TRACE_HELP)]
pub struct Trace {
    /// Event id, message control id, exception id (or the start of one that is unique), Kafka key, trace id, order number, lot,
    /// serial number, UDI, number of an ERP document, or business key.
    pub id: String,
    /// What it is; makes the search faster.
    #[arg(long = "as", value_name = "KIND")]
    pub asked_as: Option<AskedAs>,
    /// Look no further back: a duration (90m, 12h, 30d) or a time, RFC 3339.
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Also show directly identifying data.
    #[arg(long, requires = "reason")]
    pub with_phi: bool,
    /// Who is shown it, and why.
    #[command(flatten)]
    pub unmask: Unmask,
    /// One JSON line per step.
    #[arg(long)]
    pub json: bool,
}

/// Options of `sla`.
#[derive(Debug, Args)]
pub struct Sla {
    /// Go on, and print again every few seconds, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// Also serve the numbers as metrics at this address, under /metrics.
    #[arg(long, requires = "watch", value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// One JSON line per moment.
    #[arg(long)]
    pub json: bool,
}

/// Options of `activity`.
#[derive(Debug, Args)]
pub struct Activity {
    /// Hours to show, up to now.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=24))]
    pub hours: u8,
    /// One JSON line per domain.
    #[arg(long)]
    pub json: bool,
}

/// Options of `message`.
#[derive(Debug, Args)]
#[command(
    after_help = "Of its values those of HL7 v2 fields that identify nobody are shown; all of them with --with-phi or --raw and a --reason, which goes on record first."
)]
pub struct Message {
    /// The message, as `trace` and `exceptions show` print it: DIGEST@SECONDS.
    pub id: String,
    /// Show all values. They may identify a patient.
    #[arg(long, requires = "reason", conflicts_with = "raw")]
    pub with_phi: bool,
    /// The bytes alone, and for whom.
    #[command(flatten)]
    pub bytes: Raw,
    /// JSON.
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
}
