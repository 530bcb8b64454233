//! Where a room goes on reading, set by people: previewed, agreed to, on record (RPL-1).
//!
//! ```text
//! --to offset|time|earliest|latest -> records again / skipped -> [second person] -> position set
//! ```
//! A replay processes records again beside the live flow and is the first choice. A reset is for what a replay cannot do: load
//! the files of `analytics` again, or pass over what must never be processed. The room stands still meanwhile.

mod act;
mod error;
mod plan;
mod requested;

pub use act::ResetOutcome;
pub use error::ResetError;
pub use plan::{Move, ResetPlan, Target, TopicAgain, told};
pub use requested::Requested;

/// Code on the audit topic of a reset that waits for a second person.
pub const REQUESTED: &str = "group.reset.requested";
/// Code on the audit topic of a reset that begins.
pub const STARTED: &str = "group.reset.started";
/// Code on the audit topic of a reset that is done.
pub const DONE: &str = "group.reset.done";
/// Code on the audit topic of a reset that Kafka has refused.
pub const FAILED: &str = "group.reset.failed";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ResetRequest {
    /// The room.
    pub room: String,
    /// Topic; all that the room reads when left out.
    pub topic: Option<String>,
    /// Partitions; all when empty.
    pub partitions: Vec<i32>,
    /// Where it is to go on.
    pub to: Target,
    /// Why; goes on record.
    pub reason: String,
    /// Who asks; goes on record.
    pub actor: String,
    /// Records may be passed over.
    pub force: bool,
    /// The id of the preview that was looked at: nothing else is done than what it showed. None where nobody looked first.
    pub previewed: Option<String>,
}
