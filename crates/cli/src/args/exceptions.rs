//! What can be typed after `exceptions`.

use super::audit::Raw;
use super::corrections::{ExceptionsCorrect, ExceptionsMap};
use super::through::Through;
use crate::actor;
use clap::{Args, Subcommand};

/// Options of `exceptions`.
#[derive(Debug, Args)]
pub struct Exceptions {
    /// What to do.
    #[command(subcommand)]
    pub action: ExceptionsAction,
}

/// What to do with exceptions.
#[derive(Debug, Subcommand)]
pub enum ExceptionsAction {
    /// One line per cause: how many exceptions, keys and events wait because of it, since when, and what they are worth.
    Causes(ExceptionsCauses),
    /// List them, newest last.
    Ls(ExceptionsLs),
    /// Show one: verdict, master records, source by the names of its fields, history, and what to type next.
    Show(ExceptionsShow),
    /// Everything that happened to one: who, when, what.
    History(ExceptionsHistory),
    /// Give one to somebody.
    Assign(Assign),
    /// Say something about one.
    Comment(Decide),
    /// Ask the room to process the event again, after the cause was removed.
    Retry(Decide),
    /// Process the event again with fields set otherwise; the original stays. Next to the patient a second person has to approve it.
    Correct(ExceptionsCorrect),
    /// Say which item or place the code means that the exception is about; whoever waits for it goes on by itself.
    Map(ExceptionsMap),
    /// Give the event up: later events of the key go on without it. Next to the patient a second person has to approve it.
    Discard(Discard),
    /// Mark as settled outside Wardline.
    Resolve(Decide),
}

/// Options of `exceptions causes`.
#[derive(Debug, Args)]
pub struct ExceptionsCauses {
    /// One JSON line per cause.
    #[arg(long)]
    pub json: bool,
}

/// Options of `exceptions ls`.
#[derive(Debug, Default, Args)]
pub struct ExceptionsLs {
    /// Also those that are resolved or discarded.
    #[arg(long)]
    pub all: bool,
    /// Only this code.
    #[arg(long)]
    pub code: Option<String>,
    /// Only this room.
    #[arg(long)]
    pub room: Option<String>,
    /// Only what is about this subject, as `exceptions causes` names it; `-` for nothing.
    #[arg(long, value_name = "KIND/KEY")]
    pub subject: Option<String>,
    /// Only what this person has; `-` for nobody.
    #[arg(long, value_name = "NAME")]
    pub assignee: Option<String>,
    /// At most so many, the newest ones; all when left out.
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    /// Only what should have been settled by now.
    #[arg(long)]
    pub overdue: bool,
    /// Only what waits for a second person: discards, corrections, and the mappings that are proposed.
    #[arg(long)]
    pub to_approve: bool,
    /// One JSON line per exception, without the original bytes.
    #[arg(long)]
    pub json: bool,
}

/// Options of `exceptions show`.
#[derive(Debug, Args)]
pub struct ExceptionsShow {
    /// Exception id, or the start of one that is unique.
    pub id: String,
    /// The original value bytes alone, and for whom.
    #[command(flatten)]
    pub bytes: Raw,
    /// JSON.
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
}

/// Options of `exceptions history`.
#[derive(Debug, Args)]
pub struct ExceptionsHistory {
    /// Exception id, or the start of one that is unique.
    pub id: String,
    /// One JSON line per step.
    #[arg(long)]
    pub json: bool,
}

/// Options of `exceptions comment`, `retry` and `resolve`.
#[derive(Debug, Args)]
pub struct Decide {
    /// Exception ids, or starts of ids that are unique.
    #[arg(required_unless_present = "code", value_name = "ID")]
    pub ids: Vec<String>,
    /// All open ones with this code.
    #[arg(long, conflicts_with = "ids")]
    pub code: Option<String>,
    /// Of these only the ones of this room.
    #[arg(long, requires = "code")]
    pub room: Option<String>,
    /// Of these only the ones about this subject, as `exceptions causes` names it; `-` for nothing.
    #[arg(long, requires = "code", value_name = "KIND/KEY")]
    pub subject: Option<String>,
    /// Of these only the ones that this person has; `-` for nobody.
    #[arg(long, requires = "code", value_name = "NAME")]
    pub assignee: Option<String>,
    /// Why; goes on record. `discard` and `resolve` need it.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Who decides; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
    /// The console that does it, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// One JSON line per decision.
    #[arg(long)]
    pub json: bool,
}

/// Options of `exceptions assign`.
#[derive(Debug, Args)]
pub struct Assign {
    /// Which, who and why.
    #[command(flatten)]
    pub decide: Decide,
    /// Who has it from now on.
    #[arg(long, value_name = "NAME", required_unless_present = "nobody")]
    pub to: Option<String>,
    /// Nobody has it any more.
    #[arg(long, conflicts_with = "to")]
    pub nobody: bool,
}

/// Options of `exceptions discard`.
#[derive(Debug, Args)]
pub struct Discard {
    /// Which, who and why.
    #[command(flatten)]
    pub decide: Decide,
    /// Agree to what somebody else has asked for.
    #[arg(long)]
    pub approve: bool,
    /// The mark of what you saw of a whole cause; without it that is shown, and you are asked.
    #[arg(long, value_name = "MARK", requires = "approve", requires = "code")]
    pub seen: Option<String>,
}
