//! Why and since when a lane waits.

use crate::clock::Tick;
use crate::config::Limits;
use processor::{Reason, Subject};
use std::sync::Arc;
use uuid::Uuid;

/// Why and since when a lane waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Stable code of the reason.
    pub code: String,
    /// What would end the waiting.
    pub subjects: Vec<Arc<Subject>>,
    /// Wall clock when the lane was parked, microseconds since 1970.
    pub since_micros: i64,
    /// The exception raised for it, if the budget is used up or the event was rejected: a person's decision about it reaches the
    /// lane.
    pub exception_id: Option<Uuid>,
    /// Attempts made while parked.
    pub attempts: u32,
    /// Next attempt by time; none waits for a subject or a person.
    pub due: Option<Tick>,
    /// Since when the other side is asked in vain about an event that a person has given up. A restart begins anew.
    pub doubted: Option<Tick>,
}

impl Hold {
    /// Starts to wait: for the subjects of the reason and, when an exception was raised, for a person.
    pub fn first(reason: &Reason, exception_id: Option<Uuid>, now_micros: i64, due: Option<Tick>) -> Self {
        let (code, subjects) = (reason.code.as_str().to_owned(), subjects_of(reason));
        Self { code, subjects, since_micros: now_micros, exception_id, attempts: 0, due, doubted: None }
    }

    /// An exception was raised for it before, perhaps by another instance: a person's decision about it reaches the lane.
    pub fn asks(&mut self, exception_id: Uuid) {
        self.exception_id.get_or_insert(exception_id);
    }

    /// Must wait on after another attempt. A rejected event waits for a subject or a person, any other also for time.
    pub fn again(&mut self, reason: &Reason, rejected: bool, raised: Option<Uuid>, now: Tick, limits: &Limits) {
        self.attempts += 1;
        reason.code.as_str().clone_into(&mut self.code);
        self.exception_id = self.exception_id.or(raised);
        self.subjects = subjects_of(reason);
        self.due = (!rejected).then(|| now.after(limits.retry_delay(self.attempts)));
    }
}

fn subjects_of(reason: &Reason) -> Vec<Arc<Subject>> {
    reason.subjects.iter().cloned().map(Arc::new).collect()
}
