//! Effect records that the thread that decides asks for, and the thread that sends writes.
//!
//! To encode them is a large part of the work on an event, and nothing that is decided next depends on it.

use crate::codec::WireError;
use crate::desk::{Desk, EffectFacts};
use crate::outgoing::Outgoing;
use crate::record::{Place, Record};
use bytes::Bytes;
use schemas::{Document, EffectState};
use std::sync::Arc;

/// What an effect record says.
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
    /// What came of it, when it is done.
    pub done: Option<Done>,
    /// When it was decided, microseconds since 1970.
    pub at: i64,
}

/// What came of an effect.
pub(super) struct Done {
    /// Documents on the other side.
    pub documents: Vec<Document>,
    /// Business key under which a later correction finds the output; empty when there is none.
    pub business_key: String,
    /// The output in its framed Avro encoding.
    pub output: Option<Bytes>,
    /// By what the place of the record is told when it is committed.
    pub ticket: Option<u64>,
}

impl EffectLine {
    /// The record for the topic of effects.
    ///
    /// # Errors
    /// When a value does not fit the schema.
    pub fn write(self, desk: &Desk) -> Result<Outgoing, WireError> {
        let mut facts = EffectFacts {
            effect_key: &self.effect_key,
            target: &self.target,
            state: self.state,
            document_key: &self.document_key,
            attempts: self.attempts,
            after: self.after.as_deref(),
            at: self.at,
            ..EffectFacts::default()
        };
        let mut ticket = None;
        if let Some(done) = self.done {
            (facts.documents, facts.business_key, facts.output) = (done.documents, done.business_key, done.output);
            ticket = done.ticket;
        }
        Ok(Outgoing { ticket, ..desk.effect(&self.record, facts)? })
    }
}

/// A record that waits for its commit.
pub(super) enum Draft {
    /// It is written.
    Written(Outgoing),
    /// It is not yet.
    Effect(Box<EffectLine>),
    /// It says that the event at this place has its outcome, which nobody asks once the position of the partition is above it.
    Passed(Place, Outgoing),
}

/// Writes all of `drafts`, in their order.
///
/// # Errors
/// When a value does not fit its schema.
pub(super) fn write_all(drafts: Vec<Draft>, desk: &Desk) -> Result<Vec<Outgoing>, WireError> {
    let write = |draft| match draft {
        Draft::Written(record) | Draft::Passed(_, record) => Ok(record),
        Draft::Effect(line) => line.write(desk),
    };
    drafts.into_iter().map(write).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::config::Config;
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
            done: None,
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
    fn fx_1_a_line_about_what_is_done_says_what_came_of_it() {
        let (output, ticket) = (Some(Bytes::from_static(b"output")), Some(5));
        let done = Done { documents: Vec::new(), business_key: "business".to_owned(), output, ticket };
        let line = EffectLine { done: Some(done), state: EffectState::Applied, ..line(None) };
        let written = line.write(&desk(&[(Effect::topic(), 1)])).unwrap();
        let (_, body) = schemas::codec::split_frame(written.value.as_deref().unwrap()).unwrap();
        let effect: Effect = schemas::codec::decode(Effect::contract().unwrap(), body).unwrap();
        assert_eq!(
            (written.ticket, effect.state, effect.business_key.as_str()),
            (ticket, EffectState::Applied, "business")
        );
        assert_eq!(effect.output.map(|output| output.as_ref().to_vec()), Some(b"output".to_vec()));
    }

    #[test]
    fn ord_1_drafts_are_written_in_the_order_in_which_they_were_asked_for() {
        let record = |key: &'static str| Outgoing::tombstone("t", None, key);
        let drafts =
            vec![Draft::Written(record("1")), Draft::Effect(Box::new(line(None))), Draft::Written(record("3"))];
        let desk = desk(&[(Effect::topic(), 1)]);
        let expected = [record("1"), line(None).write(&desk).unwrap(), record("3")];
        assert_eq!(write_all(drafts, &desk).unwrap(), expected);
    }

    #[test]
    fn loss_1_what_cannot_be_written_is_an_error_of_all() {
        let drafts = vec![Draft::Written(Outgoing::tombstone("t", None, "1")), Draft::Effect(Box::new(line(None)))];
        let outcome = write_all(drafts, &desk(&[]));
        assert!(matches!(outcome, Err(WireError::Unprepared(_))), "{outcome:?}");
    }
}
