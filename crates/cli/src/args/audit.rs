//! What can be typed after `audit`, and what is said by whoever is shown what may identify a patient.

use crate::actor;
use clap::{Args, Subcommand, ValueEnum};
use operations::{Offsets, audit};
use schemas::AuditKind;

/// Options of `audit`.
#[derive(Debug, Args)]
pub struct AuditOptions {
    /// What to do.
    #[command(subcommand)]
    pub action: AuditAction,
}

/// What to do with the record of what was done.
#[derive(Debug, Subcommand)]
pub enum AuditAction {
    /// List what people did and what Wardline left out, newest first.
    Ls(AuditLs),
}

/// What is put on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditAbout {
    /// What a person did, was shown or was denied.
    Action,
    /// A replay or a room that was set elsewhere.
    Replay,
    /// Left out by a rule.
    Dropped,
    /// A copy of what was done already.
    Duplicate,
    /// An effect that had happened already.
    Suppressed,
}

impl From<AuditAbout> for AuditKind {
    fn from(about: AuditAbout) -> Self {
        match about {
            AuditAbout::Action => Self::Action,
            AuditAbout::Replay => Self::Replay,
            AuditAbout::Dropped => Self::Dropped,
            AuditAbout::Duplicate => Self::Duplicate,
            AuditAbout::Suppressed => Self::Suppressed,
        }
    }
}

const LS_HELP: &str = "\
The topic ops.audit.v1 is read backwards until enough is found; the last line says how far back that was, and how to go on from
there. A moment is a duration before now (90m, 12h, 30d), a day (2026-03-01), a day with a time of day in UTC (2026-03-01T08:00)
or a time by RFC 3339.";

/// Options of `audit ls`.
#[derive(Debug, Args)]
#[command(after_help = LS_HELP)]
pub struct AuditLs {
    /// Only these kinds; several with commas between them.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<AuditAbout>,
    /// Only what this person did, or somebody who worked as this user; upper case makes nobody else.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    /// Only what is about this exception: its id or the start of it.
    #[arg(long, value_name = "ID")]
    pub exception: Option<String>,
    /// Only this room or command, for example cli or console.
    #[arg(long)]
    pub room: Option<String>,
    /// Only codes with this text in them, for example exception.retry, show-original or WL-4001.
    #[arg(long, value_name = "TEXT")]
    pub code: Option<String>,
    /// Not before this moment.
    #[arg(long, value_name = "WHEN")]
    pub from: Option<String>,
    /// Not after this moment; a day is meant to its end.
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Most records.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Go on from where an earlier list ended, as it said.
    #[arg(long, value_name = "PLACE", value_parser = audit::older)]
    pub older: Option<Offsets>,
    /// One JSON line per record, then one that says how far back was looked.
    #[arg(long)]
    pub json: bool,
}

/// Who is shown what may identify a patient, and why.
#[derive(Clone, Debug, Args)]
pub struct Unmask {
    /// Why you must see patient data, without patient data; goes on record before anything is shown.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who is shown it; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
}

/// Bytes as they came and nothing else, and for whom.
#[derive(Debug, Args)]
pub struct Raw {
    /// Write the bytes as they came to stdout and nothing else. They may identify a patient.
    #[arg(long, requires = "reason")]
    pub raw: bool,
    /// Who is shown them, and why.
    #[command(flatten)]
    pub unmask: Unmask,
}
