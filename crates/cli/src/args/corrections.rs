//! What can be typed after `exceptions correct`, `exceptions map` and `crosswalk`.

use super::through::Through;
use crate::actor;
use clap::{Args, Subcommand};
use operations::crosswalk::MappingKind;
use operations::exceptions::Wish;

/// Options of `exceptions correct`.
#[derive(Debug, Args)]
pub struct ExceptionsCorrect {
    /// Exception id, or the start of one that is unique.
    pub id: String,
    /// A field of the event and what it is to be: lot=A17, itemRef.code=71-100234, udi=null. May be given several times.
    #[arg(long = "set", value_name = "FIELD=VALUE", required_unless_present = "approve")]
    pub set: Vec<Wish>,
    /// Why; goes on record. No patient data.
    #[arg(long, value_name = "TEXT", required_unless_present = "approve")]
    pub reason: Option<String>,
    /// Agree to what somebody else has corrected.
    #[arg(long, conflicts_with = "set")]
    pub approve: bool,
    /// The mark of what you saw, as `exceptions show` tells it. Without it you are shown what waits, and asked.
    #[arg(long, value_name = "MARK", requires = "approve")]
    pub seen: Option<String>,
    /// Who corrects; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
    /// The console that does it, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// One JSON line.
    #[arg(long)]
    pub json: bool,
}

/// Options of `exceptions map`.
#[derive(Debug, Args)]
pub struct ExceptionsMap {
    /// Exception id, or the start of one that is unique.
    pub id: String,
    /// Item id or location id of the ERP that the code means.
    #[arg(long, value_name = "TARGET", required_unless_present = "approve")]
    pub to: Option<String>,
    /// What the code names, where the exception does not say: item or location.
    #[arg(long)]
    pub kind: Option<MappingKind>,
    /// The code as sent, where another one than the first is meant.
    #[arg(long)]
    pub code: Option<String>,
    /// Why; goes on record. No patient data.
    #[arg(long, value_name = "TEXT", required_unless_present = "approve")]
    pub reason: Option<String>,
    /// Agree to what somebody else has proposed.
    #[arg(long, conflicts_with = "to")]
    pub approve: bool,
    /// The mark of what you saw, as `crosswalk ls` tells it. Without it you are shown what waits, and asked.
    #[arg(long, value_name = "MARK", requires = "approve")]
    pub seen: Option<String>,
    /// Who maps; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
    /// The console that does it, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// The mapping as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `crosswalk`.
#[derive(Debug, Args)]
pub struct Crosswalk {
    /// What to do.
    #[command(subcommand)]
    pub action: CrosswalkAction,
}

/// What to do with mappings.
#[derive(Debug, Subcommand)]
pub enum CrosswalkAction {
    /// List the mappings and what is proposed.
    Ls(CrosswalkLs),
    /// Map a code of a source system to an item or a place. Two people decide it.
    Set(CrosswalkSet),
    /// Agree to a mapping that somebody else has proposed.
    Approve(CrosswalkApprove),
    /// Withdraw a mapping: what names the code waits instead of going wrong. Two people decide it.
    Withdraw(CrosswalkStep),
}

/// Options of `crosswalk ls`.
#[derive(Debug, Args)]
pub struct CrosswalkLs {
    /// Only what waits for a second person.
    #[arg(long)]
    pub proposed: bool,
    /// One JSON line per mapping.
    #[arg(long)]
    pub json: bool,
}

/// Options of `crosswalk set`.
#[derive(Debug, Args)]
pub struct CrosswalkSet {
    /// Which code, who and why.
    #[command(flatten)]
    pub step: CrosswalkStep,
    /// Item id or location id of the ERP that the code means.
    #[arg(long, value_name = "TARGET")]
    pub to: String,
}

/// Options of `crosswalk approve`.
#[derive(Debug, Args)]
pub struct CrosswalkApprove {
    /// Which code, who and why.
    #[command(flatten)]
    pub step: CrosswalkStep,
    /// The mark of what you saw, as `crosswalk ls` tells it. Without it you are shown what waits, and asked.
    #[arg(long, value_name = "MARK")]
    pub seen: Option<String>,
}

/// Which code a step is about, who takes it and why.
#[derive(Debug, Args)]
pub struct CrosswalkStep {
    /// What the code names: item or location.
    pub kind: MappingKind,
    /// Source system whose code it is, as its events name it.
    pub source: String,
    /// The code as sent; of a location unit^room^bed^facility.
    pub code: String,
    /// Why; goes on record. No patient data.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
    /// The console that does it, when one is named.
    #[command(flatten)]
    pub through: Through,
    /// The mapping as JSON.
    #[arg(long)]
    pub json: bool,
}
