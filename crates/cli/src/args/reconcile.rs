//! What can be typed after `wardline reconcile`.

use crate::actor;
use clap::Args;
use jiff::SignedDuration;
use std::path::PathBuf;

/// Options of `reconcile`.
#[derive(Clone, Debug, Args)]
pub struct Reconcile {
    /// From this time on, RFC 3339, for example 2026-03-01T08:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "last")]
    pub from_time: Option<String>,
    /// Before this time, RFC 3339; until now when left out.
    #[arg(long, value_name = "TIME", requires = "from_time")]
    pub until_time: Option<String>,
    /// The last so much time, for example 24h or 90m [default: 24h].
    #[arg(long, value_name = "DURATION")]
    pub last: Option<SignedDuration>,
    /// Go on for ever: compare the last so much time (--last) again after so long, raise what differs, resolve what does not any
    /// more, and serve metrics at http.listen. SIGTERM stops it.
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["from_time", "report", "json"])]
    pub every: Option<SignedDuration>,
    /// Make a work item of each difference, and resolve the items that are not found any more.
    #[arg(long)]
    pub raise: bool,
    /// Write the report to this file, .html or .md.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Do not ask the ERP: compare the topics alone.
    #[arg(long)]
    pub without_erp: bool,
    /// Folder for what does not fit into memory [default: that for temporary files].
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Who runs it; goes on record.
    #[arg(long, value_name = "NAME", default_value_t = actor::os_user(), value_parser = actor::parser())]
    pub actor: String,
    /// The report as JSON.
    #[arg(long)]
    pub json: bool,
}
