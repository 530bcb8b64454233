//! Records that the thread that decides asks for, and the thread that sends writes.
//!
//! To encode records is a large part of the work on an event, and nothing that is decided next depends on it.

use crate::codec::WireError;
use crate::desk::{Desk, EffectFacts};
use crate::outgoing::Outgoing;
use crate::record::Record;
use schemas::EffectState;
use std::sync::Arc;

/// An effect record that says what is about to be done, or that it will not be.
pub(super) struct EffectLine {
    /// The record of the event.
    pub record: Arc<Record>,
    /// Identity of the effect.
    pub effect_key: Arc<str>,
    /// Endpoint.
    pub target: Arc<str>,
    /// Where it stands.
    pub state: EffectState,
    /// Idempotency key carried to the other side.
    pub document_key: Arc<str>,
    /// Calls made, this one with them.
    pub attempts: u32,
    /// The effect in front of it, when this is written ahead of its turn.
    pub after: Option<Arc<str>>,
    /// When it was decided, microseconds since 1970.
    pub at: i64,
}

impl EffectLine {
    /// The record for the topic of effects.
    ///
    /// # Errors
    /// When a value does not fit the schema.
    pub fn write(&self, desk: &Desk) -> Result<Outgoing, WireError> {
        let facts = EffectFacts {
            effect_key: &self.effect_key,
            target: &self.target,
            state: self.state,
            document_key: &self.document_key,
            attempts: self.attempts,
            after: self.after.as_deref(),
            at: self.at,
            ..EffectFacts::default()
        };
        desk.effect(&self.record, facts)
    }
}

/// Writes records, in their order.
type Write = Box<dyn FnOnce(&Desk, &mut Vec<Outgoing>) -> Result<(), WireError> + Send>;

/// Records of an event that wait for their commit.
pub(super) enum Draft {
    /// One that is written.
    Written(Outgoing),
    /// Some that are not yet.
    Later {
        /// How many.
        records: usize,
        /// Writes them.
        write: Write,
    },
}

impl Draft {
    /// So many records, which `write` will write.
    pub fn later(
        records: usize,
        write: impl FnOnce(&Desk, &mut Vec<Outgoing>) -> Result<(), WireError> + Send + 'static,
    ) -> Self {
        Self::Later { records, write: Box::new(write) }
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        match self {
            Self::Written(_) => 1,
            Self::Later { records, .. } => *records,
        }
    }
}

/// Writes all records of `drafts`, in their order.
///
/// # Errors
/// When a value does not fit its schema.
pub(super) fn write_all(drafts: Vec<Draft>, desk: &Desk) -> Result<Vec<Outgoing>, WireError> {
    let mut written = Vec::with_capacity(drafts.iter().map(Draft::records).sum());
    for draft in drafts {
        match draft {
            Draft::Written(record) => written.push(record),
            Draft::Later { write, .. } => write(desk, &mut written)?,
        }
    }
    Ok(written)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::config::Config;
    use crate::record::Place;
    use schemas::{Effect, Event as _};

    fn desk(topics: &[(&'static schemas::TopicInfo, u32)]) -> Desk {
        Desk::new("room", &Config::default(), Arc::new(Codec::fixed(topics).unwrap()), "session")
    }

    fn line(after: Option<&str>) -> EffectLine {
        let place = Place { topic: Arc::from("t"), partition: 3, offset: 7 };
        EffectLine {
            record: Arc::new(Record { place, timestamp_ms: None, key: None, value: None, headers: Vec::new() }),
            effect_key: Arc::from("effect"),
            target: Arc::from("erp"),
            state: EffectState::Intended,
            document_key: Arc::from("document"),
            attempts: 2,
            after: after.map(Arc::from),
            at: 1_000,
        }
    }

    #[test]
    fn fx_1_a_line_says_what_was_decided_whoever_writes_it() {
        let written = line(Some("one in front")).write(&desk(&[(Effect::topic(), 1)])).unwrap();
        let (_, body) = schemas::codec::split_frame(written.value.as_deref().unwrap()).unwrap();
        let effect: Effect = schemas::codec::decode(Effect::contract().unwrap(), body).unwrap();
        let expected = Effect {
            effect_key: "effect".to_owned(),
            room: "room".to_owned(),
            target: "erp".to_owned(),
            state: EffectState::Intended,
            document_key: "document".to_owned(),
            origin_topic: Some("t".to_owned()),
            origin_partition: Some(3),
            origin_offset: Some(7),
            attempts: 2,
            after: Some("one in front".to_owned()),
            at: schemas::Timestamp(1_000),
            ..Effect::default()
        };
        assert_eq!((written.partition, effect), (Some(3), expected));
    }

    #[test]
    fn ord_1_drafts_are_written_in_the_order_in_which_they_were_asked_for() {
        let record = |key: &'static str| Outgoing::tombstone("t", None, key);
        let later = Draft::later(2, move |_, written| {
            written.extend([record("2"), record("3")]);
            Ok(())
        });
        let drafts = vec![Draft::Written(record("1")), later, Draft::Written(record("4"))];
        assert_eq!(write_all(drafts, &desk(&[])).unwrap(), ["1", "2", "3", "4"].map(record));
    }

    #[test]
    fn loss_1_what_cannot_be_written_is_an_error_of_all() {
        let line = line(None);
        let later = Draft::later(1, move |desk, written| line.write(desk).map(|line| written.push(line)));
        let outcome = write_all(vec![later], &desk(&[]));
        assert!(matches!(outcome, Err(WireError::Unprepared(_))), "{outcome:?}");
    }
}
