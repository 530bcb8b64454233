//! What people decided about exceptions, for the rooms that must act on it.

use crate::desk::Raised;
use processor::{Body, FeedError, Subject, TableFeed};
use schemas::{Event, TopicInfo};
use schemas::{Exception, ExceptionKind, ExceptionState, Timestamp};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most exceptions of a room that are kept in mind.
const OPEN_MAX: usize = 1_000_000;

/// A decision that a room has not acted on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Process the event again.
    Retry,
    /// Leave the event out, on record.
    Discard,
}

/// The open exceptions of one room, and what people decided about them, read from the exception topic.
#[derive(Debug)]
pub struct Decisions {
    room: &'static str,
    open: Mutex<HashMap<String, Open>>,
}

/// A decision, who made it, and what they said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What is to be done.
    pub decision: Decision,
    /// Who decided.
    pub actor: Option<String>,
    /// What they said.
    pub comment: Option<String>,
}

/// What is read of an exception first.
#[derive(Deserialize)]
struct Heading<'a> {
    room: &'a str,
}

/// What is read of an exception of this room: not the original bytes, which are most of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Word {
    kind: ExceptionKind,
    state: ExceptionState,
    code: String,
    message: String,
    subject: Option<schemas::Subject>,
    field_paths: Vec<String>,
    suggested_fix: Option<String>,
    raised_at: Timestamp,
    actor: Option<String>,
    comment: Option<String>,
}

#[derive(Debug)]
struct Open {
    raised: Raised,
    decided: Option<Decided>,
}

impl Decisions {
    /// No exception yet.
    pub fn new(room: &'static str) -> Self {
        Self { room, open: Mutex::default() }
    }

    /// The decision about an exception. It stands until the topic says what came of it: what is done about it now may be
    /// aborted, and done again.
    pub fn about(&self, exception_id: &str) -> Option<Decided> {
        self.open().get(exception_id).and_then(|open| open.decided.clone())
    }

    /// What was said when an exception was raised that is open.
    pub fn raised(&self, exception_id: &str) -> Option<Raised> {
        self.open().get(exception_id).map(|open| open.raised.clone())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TableFeed for Decisions {
    fn topic(&self) -> &'static TopicInfo {
        Exception::topic()
    }

    fn apply(&self, key: &[u8], body: Option<Body<'_>>) -> Result<Vec<Subject>, FeedError> {
        let id = std::str::from_utf8(key).map_err(|_| FeedError::Key)?;
        let Some((writer, bytes)) = body else { return Ok(Vec::new()) };
        // Most are of other rooms: of those no more is read than whose they are.
        let heading: Heading<'_> = schemas::codec::decode_part(writer, bytes)?;
        if heading.room != self.room {
            return Ok(Vec::new());
        }
        let word: Word = schemas::codec::decode_part(writer, bytes)?;
        let decision = match (word.kind, word.state) {
            (ExceptionKind::RetryRequested, ExceptionState::Retrying) => Some(Decision::Retry),
            (ExceptionKind::Discarded, _) => Some(Decision::Discard),
            _ => None,
        };
        let is_over = matches!(word.state, ExceptionState::Resolved | ExceptionState::Discarded);
        let mut open = self.open();
        if decision.is_none() && is_over {
            open.remove(id);
            return Ok(Vec::new());
        }
        if open.len() >= OPEN_MAX && !open.contains_key(id) {
            return Err(FeedError::Full { rows_max: OPEN_MAX });
        }
        let told = decision.map(|_| Subject::new(Exception::topic().name, id));
        open.insert(id.to_owned(), Open::of(word, decision));
        Ok(told.into_iter().collect())
    }

    fn rows(&self) -> usize {
        self.open().len()
    }
}

impl Open {
    fn of(word: Word, decision: Option<Decision>) -> Self {
        let Word { code, message, subject, field_paths, suggested_fix, raised_at, actor, comment, .. } = word;
        let raised = Raised { code, message, subject, field_paths, suggested_fix, at: raised_at };
        Self { raised, decided: decision.map(|decision| Decided { decision, actor, comment }) }
    }
}
