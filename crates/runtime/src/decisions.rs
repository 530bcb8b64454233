//! What people decided about exceptions, for the rooms that must act on it.

use processor::{FeedError, Subject, TableFeed};
use schemas::codec::WriterSchema;
use schemas::{Event, TopicInfo};
use schemas::{Exception, ExceptionKind, ExceptionState};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Most decisions that wait to be acted on.
const DECISIONS_MAX: usize = 1_000_000;

/// A decision that a room has not acted on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Process the event again.
    Retry,
    /// Leave the event out, on record.
    Discard,
}

/// Open decisions for one room, read from the exception topic.
#[derive(Debug)]
pub struct Decisions {
    room: &'static str,
    open: Mutex<HashMap<String, (Decision, Option<String>)>>,
}

impl Decisions {
    /// No decision yet.
    pub fn new(room: &'static str) -> Self {
        Self { room, open: Mutex::default() }
    }

    /// Takes the decision about an exception and who made it.
    pub fn take(&self, exception_id: &str) -> Option<(Decision, Option<String>)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(exception_id)
    }
}

impl TableFeed for Decisions {
    fn topic(&self) -> &'static TopicInfo {
        Exception::topic()
    }

    fn apply(&self, key: &[u8], body: Option<(&WriterSchema, &[u8])>) -> Result<Vec<Subject>, FeedError> {
        let id = std::str::from_utf8(key).map_err(|_| FeedError::Key)?;
        let Some((writer, bytes)) = body else { return Ok(Vec::new()) };
        let exception: Exception = schemas::codec::decode(writer, bytes)?;
        if exception.room != self.room {
            return Ok(Vec::new());
        }
        let decision = match (exception.kind, exception.state) {
            (ExceptionKind::RetryRequested, ExceptionState::Retrying) => Some(Decision::Retry),
            (ExceptionKind::Discarded, _) => Some(Decision::Discard),
            _ => None,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(decision) = decision else {
            open.remove(id);
            return Ok(Vec::new());
        };
        if open.len() >= DECISIONS_MAX {
            return Err(FeedError::Full { rows_max: DECISIONS_MAX });
        }
        open.insert(id.to_owned(), (decision, exception.actor));
        Ok(vec![Subject::new(Exception::topic().name, id)])
    }

    fn rows(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
