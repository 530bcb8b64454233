//! Reconciliation: what was acknowledged, what became of it, what was done outside, and what the outside says.
//!
//! ```text
//! topics, ERP --collect--> facts --sorted by event, by record, by document--> compared --> findings --> report, work items
//! ```
//! The comparison is pure: [`Books`] take small facts from wherever they come and compare them in bounded memory, whatever
//! their number. [`reconcile()`] fills them from topics and an ERP; [`items::raise`] makes work items of what differs.

pub mod booked;
mod books;
mod collect;
pub mod difference;
pub mod documents;
mod exact;
pub mod fact;
pub mod items;
mod kept;
mod ledger;
mod money;
mod names;
pub mod outcomes;
mod proposal;
mod reach;
pub mod record;
pub mod report;
mod run;
pub mod sample;
mod scope;
pub mod sources;
mod spill;
mod tally;

pub use booked::AskError;
pub use books::{ABSENT_MAX, Books, Cost, record_key};
pub use collect::{CollectError, Collector, Position, Unwatched, Watch};
pub use connector::erp::Rounding;
pub use difference::{Difference, Kind, Part, Place};
pub use items::{ItemsError, Raised, raise};
pub use kept::{Kept, KeptError, ReconcileConfig, id_of as report_id};
pub use money::judge as judge_totals;
pub use proposal::Proposal;
pub use reach::Reach;
pub use run::{CostRow, Options, PostingRow, ReconcileError, Report, WaitingRow, reconcile};
pub use scope::{Accounted, Counts, Outside, SLACK_MS, Scope, Window};
pub use spill::{MEMORY_BYTES, Room, SpillError};
pub use tally::{Compared, DIFFERENCES_MAX, Findings, Money, UNKNOWN};
