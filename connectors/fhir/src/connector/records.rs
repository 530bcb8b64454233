//! Outcomes -> Kafka records: events, receipts, exceptions, dead letters, cursors (LOSS-1, RAW-1).

use crate::NAME;
use crate::outcome::{ClinicalEvent, Outcome, Refusal};
use crate::parse::content_hash;
use crate::seen::Changed;
use runtime::RoomContext;
use runtime::outgoing::{Headers, Lineage, Outgoing};
use runtime::publisher::{PublishError, TransactionalPublisher};
use runtime::source_bytes;
use schemas::identity::event_id;
use schemas::{
    Bytes, Cursor, Exception, ExceptionKind, ExceptionState, Receipt, ReceiptOutcome, RecordHeader, Severity, Subject,
    Timestamp, topics,
};
use std::borrow::Cow;

/// Content type of the bytes that are kept.
const CONTENT_TYPE: &str = "application/fhir+json";

/// Most bytes in one record. A longer resource is kept in several dead letters.
const RAW_BYTES_MAX: usize = source_bytes::BYTES_MAX;
/// Header of a dead letter and of an exception: the receipt of the resource.
const RECEIPT: &str = "wl_receipt";

/// A resource version that was consumed.
pub(super) struct Consumed<'a> {
    /// Name of the FHIR server.
    pub(super) system: &'a str,
    /// Resource type.
    pub(super) resource_type: &'a str,
    /// `Type/id/_history/version`.
    pub(super) message_id: &'a str,
    /// Its bytes as they came.
    pub(super) bytes: &'a [u8],
    /// When it was received.
    pub(super) at: Timestamp,
    /// Whether its bytes are kept, also where nothing of the outcome has them.
    pub(super) is_kept: bool,
}

/// Name of the owner of cursors.
pub(super) fn connector(system: &str) -> String {
    format!("{NAME}/{system}")
}

impl Consumed<'_> {
    /// All records of an outcome: the receipt, and what it is the receipt of. Where an event does not fit its topic the outcome is
    /// an exception instead, so that one resource holds up no other.
    pub(super) fn records(
        &self,
        outcome: Outcome,
        publisher: &TransactionalPublisher,
        traceparent: &str,
    ) -> Result<(Outcome, Vec<Outgoing>), PublishError> {
        let error = match self.encode(&outcome, publisher, traceparent) {
            Ok(records) => return Ok((outcome, records)),
            Err(error) => error,
        };
        let unfit = if let PublishError::Wire(error) = &error { error.unfit() } else { None };
        let Some(reason) = unfit.filter(|_| matches!(outcome, Outcome::Events(_))) else { return Err(error) };
        let fix = "correct what is so long, or the number, at the source; its next version is mapped again";
        let outcome = Outcome::Exception(Refusal::new(reason.code.as_str(), self.resource_type, reason.message, fix));
        let records = self.encode(&outcome, publisher, traceparent)?;
        Ok((outcome, records))
    }

    fn encode(
        &self,
        outcome: &Outcome,
        publisher: &TransactionalPublisher,
        traceparent: &str,
    ) -> Result<Vec<Outgoing>, PublishError> {
        let hash = content_hash(self.bytes);
        let lineage = Lineage {
            traceparent: Some(traceparent.to_owned().into()),
            correlation_id: Some(event_id(self.system, self.message_id, &hash, "message").into()),
            causation_id: None,
        };
        let mut records = Vec::new();
        match outcome {
            Outcome::Events(events) => {
                for event in events {
                    records.push(match event {
                        ClinicalEvent::Encounter(event) => publisher.event(event.as_ref(), &lineage)?,
                        ClinicalEvent::Usage(event) => publisher.event(event.as_ref(), &lineage)?,
                    });
                }
            }
            Outcome::Exception(refusal) => {
                records.push(publisher.event(&self.exception(refusal, &hash), &lineage)?);
                if !self.fits() {
                    records.extend(self.dead_letters(refusal, "map", &hash));
                }
            }
            Outcome::DeadLetter(refusal) => records.extend(self.dead_letters(refusal, "read", &hash)),
            Outcome::Dropped(_) => {}
        }
        if self.is_kept && matches!(outcome, Outcome::Events(_) | Outcome::Dropped(_)) {
            records.extend(source_bytes::records(&hash, self.bytes, CONTENT_TYPE, None));
        }
        records.push(publisher.event(&self.receipt(outcome, hash), &lineage)?);
        Ok(records)
    }

    fn receipt(&self, outcome: &Outcome, content_hash: String) -> Receipt {
        let (kind, rule, event_ids) = match outcome {
            Outcome::Events(events) => {
                (ReceiptOutcome::Events, None, events.iter().map(|event| event.id().to_owned()).collect())
            }
            Outcome::Dropped(dropped) => {
                (ReceiptOutcome::Dropped, Some(dropped.rule.to_owned()), dropped.told_by.clone())
            }
            Outcome::Exception(refusal) => (ReceiptOutcome::Exception, Some(refusal.code.to_owned()), Vec::new()),
            Outcome::DeadLetter(refusal) => (ReceiptOutcome::DeadLetter, Some(refusal.code.to_owned()), Vec::new()),
        };
        Receipt {
            receipt_id: self.receipt_id(&content_hash),
            source: connector(self.system),
            message_id: self.message_id.to_owned(),
            content_hash,
            message_type: self.resource_type.to_owned(),
            outcome: kind,
            ack_code: None,
            rule,
            event_ids,
            received_at: self.at,
        }
    }

    fn receipt_id(&self, content_hash: &str) -> String {
        event_id(self.system, self.message_id, content_hash, "receipt")
    }

    /// Whether the bytes go into one record.
    fn fits(&self) -> bool {
        self.bytes.len() <= RAW_BYTES_MAX
    }

    fn exception(&self, refusal: &Refusal, content_hash: &str) -> Exception {
        Exception {
            exception_id: event_id(self.system, self.message_id, content_hash, "exception"),
            kind: ExceptionKind::Raised,
            state: ExceptionState::Open,
            room: NAME.to_owned(),
            stage: "map".to_owned(),
            code: refusal.code.to_owned(),
            severity: Severity::Error,
            retryable: false,
            message: format!("{}: {}", refusal.path, refusal.detail),
            subject: Some(Subject { kind: self.resource_type.to_owned(), key: self.message_id.to_owned() }),
            field_paths: vec![refusal.path.clone()],
            suggested_fix: Some(refusal.suggested_fix.clone()),
            raw_value: self.fits().then(|| Bytes::from(self.bytes)),
            raw_headers: vec![RecordHeader {
                key: RECEIPT.to_owned(),
                value: Some(Bytes::from(self.receipt_id(content_hash).as_bytes())),
            }],
            content_type: Some(CONTENT_TYPE.to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            raised_at: self.at,
            at: self.at,
            ..Exception::default()
        }
    }

    /// One dead letter, or several with `wl_part` when the bytes do not fit into one record.
    fn dead_letters(&self, refusal: &Refusal, stage: &'static str, content_hash: &str) -> Vec<Outgoing> {
        let parts: Vec<&[u8]> =
            if self.bytes.is_empty() { vec![&[]] } else { self.bytes.chunks(RAW_BYTES_MAX).collect() };
        let count = parts.len();
        let letter = |(index, part): (usize, &[u8])| {
            let facts = [
                ("wl_room", NAME.to_owned()),
                ("wl_stage", stage.to_owned()),
                ("wl_code", refusal.code.to_owned()),
                ("wl_reason", format!("{}: {}", refusal.path, refusal.detail)),
                ("wl_source", connector(self.system)),
                (RECEIPT, self.receipt_id(content_hash)),
                (source_bytes::PART, format!("{}/{count}", index + 1)),
                ("wl_version", env!("CARGO_PKG_VERSION").to_owned()),
                ("wl_at", self.at.micros().to_string()),
            ];
            let headers: Headers =
                facts.into_iter().map(|(name, text)| (Cow::Borrowed(name), Some(text.into()))).collect();
            Outgoing {
                topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
                partition: None,
                key: Some(content_hash.to_owned().into()),
                value: Some(part.to_vec().into()),
                headers,
                ticket: None,
            }
        };
        parts.into_iter().enumerate().map(letter).collect()
    }
}

/// The records that store what changed in the state.
pub(super) fn state(
    changes: Vec<Changed>,
    system: &str,
    at: Timestamp,
    publisher: &TransactionalPublisher,
) -> Result<Vec<Outgoing>, PublishError> {
    let record = |change: Changed| match change.entry {
        Some(position) => {
            let cursor = Cursor { connector: connector(system), stream: change.stream, position, seen: Vec::new(), at };
            publisher.event(&cursor, &Lineage::default())
        }
        None => {
            let key = format!("{}/{}", connector(system), change.stream);
            Ok(Outgoing::tombstone(topics::OPS_CURSOR_V1.name(), None, key.into_bytes()))
        }
    };
    changes.into_iter().map(record).collect()
}

/// Counts an outcome.
pub(super) fn count(outcome: &Outcome, context: &RoomContext) {
    let metrics = &context.metrics;
    match outcome {
        Outcome::Events(events) => metrics.emitted.inc_by(events.len() as u64),
        Outcome::Dropped(dropped) if !dropped.told_by.is_empty() => metrics.duplicate.inc(),
        Outcome::Dropped(_) => metrics.dropped.inc(),
        Outcome::Exception(_) => metrics.rejected.inc(),
        Outcome::DeadLetter(_) => metrics.dead_letter.inc(),
    };
}
