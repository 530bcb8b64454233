//! What waits and why, and what people do about it.
//!
//! [`ExceptionsView`] follows `ops.exception.v1` and `ops.parked.v1` and answers from memory: by cause, in lists, one by one.
//! [`Decider`] does what people decide: every act is one more record about the exception and one on the audit topic.

mod act;
mod config;
mod correct;
mod crosswalk;
mod decider;
mod discards;
mod earlier;
mod feed;
mod history;
mod hours;
mod id;
mod index;
mod list;
mod masters;
mod pool;
mod proposal;
mod query;
mod records;
mod symbols;
#[cfg(test)]
mod tests;
mod told;
mod types;
mod view;
mod waiting;

pub use act::{Act, By, FieldChange, Refusal, verb};
pub use config::{DueTimes, ExceptionsConfig};
pub use correct::{CorrectError, Wish, correct};
pub use crosswalk::mapped_code;
pub(crate) use decider::WRITER;
pub use decider::{CauseRefusal, Choice, DecideError, Decider, Done, Outcome};
pub use discards::{Discards, RequestedDiscard};
pub use feed::subject_text;
pub(crate) use feed::{Feed, class_of};
pub use history::Step;
pub use masters::{Blame, MasterUsed, masters};
pub use proposal::{Proposal, ProposedField, masked_correction};
pub use records::{RecordsError, newest};
pub use types::{
    Cause, Causes, Filter, Found, Hour, Listed, Money, Oldest, Page, Row, Standing, Stopped, is_open, money_text,
};
pub use view::{ExceptionsView, ViewError};
pub use waiting::Origin;
