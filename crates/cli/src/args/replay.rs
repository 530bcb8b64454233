//! Arguments of `wardline replay`.

use super::through::Through;
use crate::actor;
use clap::{Args, Subcommand};
use operations::replay::RATE_USUAL;

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// What to do.
    #[command(subcommand)]
    pub action: ReplayAction,
}

/// What to do with replays.
#[derive(Debug, Subcommand)]
pub enum ReplayAction {
    /// Count what a replay comes to, effects and money included, and put the plan on record. Nothing is processed yet.
    Plan(Box<ReplayPlan>),
    /// Have this version of a room decide records again that the running one has decided, and show what would differ: verdicts,
    /// fields, effects, money. Nothing is written and nobody is called.
    #[command(disable_version_flag = true)]
    Shadow(Box<ReplayShadow>),
    /// Agree to a plan as the second person: needed where the topic is patient-adjacent.
    Approve(ReplayStep),
    /// Hand the records of a plan to the room, in order beside the live flow, at a bounded rate.
    Apply(ReplayApply),
    /// Stop the process that hands records over, wherever it runs.
    Pause(ReplayStep),
    /// Go on behind the last record that was handed over, after a pause or a crash.
    Resume(ReplayResume),
    /// Give the rest of a plan up.
    Abort(ReplayStep),
    /// Show one plan, how far it has got, and what of it still waits in the room.
    Status(ReplayStatus),
    /// List the plans, newest last.
    Ls(ReplayLs),
}

/// Options of `replay plan`.
#[derive(Debug, Args)]
pub struct ReplayPlan {
    /// The room that is to process the records again.
    pub room: String,
    /// Which records.
    #[command(flatten)]
    pub select: ReplaySelect,
    /// Make the events anew, as a correction, where they would come out otherwise with the master data of today.
    #[arg(long)]
    pub correct: bool,
    /// Rate for which to tell how long it takes, records in a second.
    #[arg(long, default_value_t = RATE_USUAL, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Why; goes on record. No patient data.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who plans; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
    /// The console that does it, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which records a replay is about.
#[derive(Debug, Args)]
pub struct ReplaySelect {
    /// Topic, when the room reads several.
    #[arg(long)]
    pub topic: Option<String>,
    /// Partition; all when left out. Needed with offsets.
    #[arg(long)]
    pub partition: Option<i32>,
    /// First offset.
    #[arg(long, requires = "partition", conflicts_with = "from_time")]
    pub from_offset: Option<i64>,
    /// Last offset, included.
    #[arg(long, requires = "partition", conflicts_with = "until_time")]
    pub to_offset: Option<i64>,
    /// From this time on, RFC 3339, for example 2026-03-01T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from_time: Option<String>,
    /// Before this time, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub until_time: Option<String>,
    /// Only this event; may be given several times.
    #[arg(long, value_name = "ID")]
    pub event_id: Vec<String>,
    /// Only records with this key.
    #[arg(long)]
    pub key: Option<String>,
    /// Only events of this type: in full, or how it ends, for example `discharged`.
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only events whose field has this value, for example supplierId=SUP-7; may be given several times. Fields with direct
    /// identifiers are refused.
    #[arg(long, value_name = "PATH=VALUE")]
    pub field: Vec<String>,
}

/// Options of `replay shadow`.
#[derive(Debug, Args)]
pub struct ReplayShadow {
    /// The room of this version that is to decide again: validate, enrich, erp-post or supplier-fanout.
    pub room: String,
    /// Which records.
    #[command(flatten)]
    pub select: ReplaySelect,
    /// The version that is to be asked. It is asked by its own program: one of another version refuses, and says how to run it.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// End with code 1 when anything differs, for a pipeline.
    #[arg(long)]
    pub check: bool,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `replay approve`, `pause` and `abort`.
#[derive(Debug, Args)]
pub struct ReplayStep {
    /// Id of the plan, or the start of one that is unique.
    pub id: String,
    /// Who; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
    /// What there is to say; goes on record. No patient data.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// The console that does it, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `replay apply`.
#[derive(Debug, Args)]
pub struct ReplayApply {
    /// The plan and who applies it.
    #[command(flatten)]
    pub step: ReplayStep,
    /// Most records in a second, so that the live flow is not disturbed.
    #[arg(long, default_value_t = RATE_USUAL, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Go on although a recount differs from the plan; needs --comment.
    #[arg(long, requires = "comment")]
    pub accept_changes: bool,
    /// Why events are to take effect behind newer ones of their key; needed only where the plan tells of such, and goes on record.
    #[arg(long, value_name = "REASON")]
    pub override_order: Option<String>,
}

/// Options of `replay resume`.
#[derive(Debug, Args)]
pub struct ReplayResume {
    /// The plan and who resumes it.
    #[command(flatten)]
    pub step: ReplayStep,
    /// Most records in a second; as before when left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Why events are to take effect behind newer ones of their key; needed only where such is told, and goes on record.
    #[arg(long, value_name = "REASON")]
    pub override_order: Option<String>,
}

/// Options of `replay status`.
#[derive(Debug, Args)]
pub struct ReplayStatus {
    /// Id of the plan, or the start of one that is unique.
    pub id: String,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `replay ls`.
#[derive(Debug, Args)]
pub struct ReplayLs {
    /// Also those that are done or aborted.
    #[arg(long)]
    pub all: bool,
    /// One JSON line per plan.
    #[arg(long)]
    pub json: bool,
}
