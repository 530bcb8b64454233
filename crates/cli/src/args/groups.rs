//! Arguments of `wardline groups`.

use super::through::Through;
use crate::actor;
use clap::{Args, Subcommand};

/// Options of `groups`.
#[derive(Debug, Args)]
pub struct Groups {
    /// What to do.
    #[command(subcommand)]
    pub action: GroupsAction,
}

/// What to do with where rooms stand.
#[derive(Debug, Subcommand)]
pub enum GroupsAction {
    /// Show where each room stands, who reads for it, and which resets wait for a second person.
    Ls(GroupsLs),
    /// Show where one room stands, by partition, who reads for it, and which of its resets wait for a second person. NEXT is the offset
    /// of the record that it handles next, END the one that the next record written will get, BEHIND the records between the two.
    Show(GroupsShow),
    /// Set where a room goes on, while it stands still: shows what that comes to, and does it with --apply. A replay is the
    /// first choice; this is for loading files again, and for passing over what must never be processed.
    Reset(GroupsReset),
    /// Agree to a reset as the second person, and carry it out.
    Approve(GroupsApprove),
}

/// Options of `groups ls`.
#[derive(Debug, Args)]
pub struct GroupsLs {
    /// The console that is asked, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// One JSON line per partition, and one per reset that waits (`requestedReset`).
    #[arg(long)]
    pub json: bool,
}

/// Options of `groups show`.
#[derive(Debug, Args)]
pub struct GroupsShow {
    /// The room.
    pub room: String,
    /// The console that is asked, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `groups reset`.
#[derive(Debug, Args)]
pub struct GroupsReset {
    /// The room.
    pub room: String,
    /// Where to go on: an offset (with --topic and --partition), a time like 2026-03-01T08:00:00Z, `earliest` or `latest`.
    #[arg(long, value_name = "PLACE")]
    pub to: String,
    /// Topic; all that the room reads when left out.
    #[arg(long)]
    pub topic: Option<String>,
    /// Partition, may be given several times; all when left out.
    #[arg(long)]
    pub partition: Vec<i32>,
    /// Stand for records that would be passed over; a second person has to agree.
    #[arg(long)]
    pub force: bool,
    /// Do it, or ask for it where a second person has to agree; without this nothing is changed.
    #[arg(long)]
    pub apply: bool,
    /// Why; goes on record. No patient data.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Who; goes on record. Taken at its word.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
    /// The console that does it, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `groups approve`.
#[derive(Debug, Args)]
pub struct GroupsApprove {
    /// Id of the reset, as it was printed, or its start.
    pub id: String,
    /// Who agrees; goes on record. Taken at its word.
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
