//! What can be typed after `dead-letters`.

use super::audit::Unmask;
use crate::actor;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Options of `dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLetters {
    /// What to do.
    #[command(subcommand)]
    pub action: DeadLettersAction,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersAction {
    /// List those that are not settled, newest last.
    Ls(DeadLettersLs),
    /// Show one: where it came from, why nobody could read it, and with a reason its headers and its original bytes.
    Show(DeadLettersShow),
    /// Say that one is settled: it was processed again or sent again, or needs nothing.
    Settle(DeadLettersSettle),
}

/// Options of `dead-letters ls`.
#[derive(Debug, Default, Args)]
pub struct DeadLettersLs {
    /// Only this code.
    #[arg(long)]
    pub code: Option<String>,
    /// Only this room.
    #[arg(long)]
    pub room: Option<String>,
    /// Only records that came from this topic.
    #[arg(long)]
    pub topic: Option<String>,
    /// Also those that are settled.
    #[arg(long)]
    pub all: bool,
    /// One JSON line per dead letter, without the original bytes.
    #[arg(long)]
    pub json: bool,
}

/// Options of `dead-letters settle`.
#[derive(Debug, Args)]
pub struct DeadLettersSettle {
    /// Id as `dead-letters ls` prints it: partition and offset, for example 2@17.
    pub id: String,
    /// What was done about it; goes on record. No patient data.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
}

/// Options of `dead-letters show`.
#[derive(Debug, Args)]
pub struct DeadLettersShow {
    /// Id as `dead-letters ls` prints it: partition and offset, for example 2@17.
    pub id: String,
    /// Also show its key, all of its headers and its original bytes, which may identify a patient.
    #[arg(long, requires = "reason")]
    pub with_phi: bool,
    /// Who is shown them, and why.
    #[command(flatten)]
    pub unmask: Unmask,
    /// Write the original value bytes to this file and print nothing; `-` is stdout.
    #[arg(long, value_name = "FILE", requires = "with_phi")]
    pub bytes: Option<PathBuf>,
    /// JSON, with `--with-phi` all of the original bytes.
    #[arg(long, conflicts_with = "bytes")]
    pub json: bool,
}
