//! The closed set of outcomes of a processor.

use crate::Reason;

/// What becomes of one input event. Nothing is skipped silently: each variant is visible and keeps its offset (LOSS-1).
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<O> {
    /// Zero to many output events, in order.
    Emit(Vec<O>),
    /// Left out by a named rule; recorded on the audit topic.
    Drop(Reason),
    /// Cannot be decided yet: the key is parked and tried again when a subject of the reason arrives or time passes.
    Wait(Reason),
    /// Cannot be right: an exception is raised for a person, the event is kept.
    Reject(Reason),
}

impl<O> Verdict<O> {
    /// Emits exactly one event.
    pub fn emit(output: O) -> Self {
        Self::Emit(vec![output])
    }

    /// Name for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Emit(_) => "emit",
            Self::Drop(_) => "drop",
            Self::Wait(_) => "wait",
            Self::Reject(_) => "reject",
        }
    }
}
