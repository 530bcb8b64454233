//! Tells a loop which waiting events may go on.

use processor::Subject;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Beyond so many subjects the loop is told to look at everything instead (BND-1).
const SUBJECTS_MAX: usize = 50_000;

/// Subjects that have arrived since the loop last looked. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct WakeInbox {
    shared: Arc<Shared>,
}

/// What has arrived.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// The subjects, in order of arrival.
    pub subjects: Vec<Subject>,
    /// Too many arrived to name them.
    pub all: bool,
}

impl WakeInbox {
    /// Adds subjects.
    pub fn push(&self, subjects: &[Subject]) {
        let mut woken = self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if woken.subjects.len() + subjects.len() > SUBJECTS_MAX {
            woken.subjects.clear();
            woken.all = true;
        } else if !woken.all {
            woken.subjects.extend_from_slice(subjects);
        }
        drop(woken);
        self.shared.arrived.notify_one();
    }

    /// Tells that anything may have arrived.
    pub fn push_all(&self) {
        let mut woken = self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.subjects.clear();
        woken.all = true;
        drop(woken);
        self.shared.arrived.notify_one();
    }

    /// Takes what has arrived.
    pub fn take(&self) -> Woken {
        std::mem::take(&mut *self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something has arrived.
    pub async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }
}

#[derive(Debug, Default)]
struct Shared {
    woken: Mutex<Woken>,
    arrived: Notify,
}
