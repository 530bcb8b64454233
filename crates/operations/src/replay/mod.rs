//! Replays: planned, previewed, agreed to, run beside the live flow, and on record (RPL-1).
//!
//! ```text
//! plan -> PLANNED -> APPROVED -> RUNNING <-> PAUSED
//!                \-------------/    |           |
//!                                  DONE      ABORTED
//! ```
//! A plan is a record on `ops.replay.v1`, and whoever takes a step on it takes over the transactional id of the plan first:
//! that fences whoever held it before, so that steps come one after the other and one process at a time hands records over.
//! A record handed over and the progress of the plan are one transaction: after a crash no record is handed over twice.

mod acts;
mod beside;
mod config;
mod corrected;
mod count;
mod differences;
mod error;
mod known;
mod needed;
mod next;
mod order;
mod plan;
mod reading;
pub mod reset;
mod runner;
mod select;
pub mod shadow;
mod steps;
mod store;

pub use acts::{Replays, Status, Words};
pub use config::ReplayConfig;
pub use differences::{Difference, differences};
pub use error::ReplayError;
pub use order::{Overtaken, OvertakenKey};
pub use plan::{Preview, Request, events_mean};
pub use runner::{Apply, Outcome, Resume, Runner};
pub use schemas::{Replay as Plan, ReplayField, ReplaySelection, ReplayState};
pub use select::field_condition;
pub use shadow::{ShadowReport, ShadowRequest};
pub use steps::needs_approval;

use runtime::shadow::MakeShadow;
use runtime::{Foresee, Room, RoomInfo};

/// Code on the audit topic of the step from which on records are handed over.
pub const STARTED: &str = "replay.started";

/// Records in a second when nothing is said.
pub const RATE_USUAL: u32 = 100;

/// Clocks of hosts differ: what became of a record is looked for so much earlier than the record, milliseconds.
const CLOCK_SLACK_MS: i64 = 300_000;

/// A room as a replay must know it.
#[derive(Clone)]
pub struct ReplayRoom {
    /// What it reads and how it works.
    pub info: RoomInfo,
    /// What tells the effects of its events beforehand.
    pub foresee: Option<Foresee>,
    /// What makes it as it decides and does nothing.
    pub shadow: Option<MakeShadow>,
}

impl std::fmt::Debug for ReplayRoom {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("ReplayRoom").field(&self.info.name).finish()
    }
}

impl From<&Room> for ReplayRoom {
    fn from(room: &Room) -> Self {
        Self { info: room.info().clone(), foresee: room.foresee(), shadow: room.make_shadow() }
    }
}
