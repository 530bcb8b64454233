//! Everything that one message puts on Kafka: its events, or its exception or dead letter with the bytes, and its receipt
//! (LOSS-1, RAW-1).

use schemas::{
    Bytes, Exception, ExceptionKind, ExceptionState, Receipt, ReceiptOutcome, RecordHeader, Severity, Timestamp,
    Warning,
};

use super::room::NAME;
use crate::input::{Part, is_answered};
use crate::mapping::{MappedEvent, Outcome, Refusal};
use crate::mllp::AckCode;

/// Content type of the bytes that are kept.
pub(super) const CONTENT_TYPE: &str = "application/hl7-v2";
/// Most bytes in one record. Longer messages are kept in several dead letters.
const RAW_BYTES_MAX: usize = runtime::source_bytes::BYTES_MAX;
/// Header of a dead letter: the receipt of its message.
pub(super) const RECEIPT: &str = "wl_receipt";
/// Header of a dead letter: which part of how many it is.
pub(super) const PART: &str = "wl_part";

/// Bytes that are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLetter {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What is known about them, as Kafka headers.
    pub headers: Vec<(&'static str, String)>,
}

/// The records of one message, before encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Events.
    pub events: Vec<MappedEvent>,
    /// The exception, if a person is needed.
    pub exception: Option<Exception>,
    /// Raw bytes, each with its headers.
    pub dead_letters: Vec<RawLetter>,
    /// The message as it came, where nothing else of the batch has its bytes and they are wanted.
    pub source: Option<Vec<u8>>,
    /// What became of the message.
    pub receipt: Receipt,
}

impl Batch {
    /// The records of a message; its events are taken out of it. `origin` names the connection or file, `code` the answer that it
    /// will get.
    pub(super) fn new(
        part: &mut Part,
        name: &Name,
        origin: &str,
        code: Option<AckCode>,
        reused: bool,
        now: Timestamp,
    ) -> Self {
        let receipt = receipt(part, name, code, now);
        let mut batch = Self { events: Vec::new(), exception: None, dead_letters: Vec::new(), source: None, receipt };
        if let Outcome::Events(events) = &mut part.reading.outcome {
            batch.events = std::mem::take(events);
            batch.events.iter_mut().for_each(|event| warn(event, &part.warnings, reused));
        }
        match &part.reading.outcome {
            Outcome::Events(_) | Outcome::Dropped { .. } => {}
            Outcome::Exception(refusal) => {
                let fits = part.bytes.len() <= RAW_BYTES_MAX;
                batch.exception = Some(exception(part, refusal, origin, &name.receipt_id, fits, now));
                if !fits {
                    batch.dead_letters = dead_letters(part, refusal, origin, &name.receipt_id, now);
                }
            }
            Outcome::DeadLetter(refusal) => {
                batch.dead_letters = dead_letters(part, refusal, origin, &name.receipt_id, now);
            }
        }
        batch
    }
}

impl Batch {
    /// Has the message itself kept, unless an exception or dead letters do.
    pub(super) fn keep_source(&mut self, part: &Part) {
        if self.exception.is_none() && self.dead_letters.is_empty() {
            self.source = Some(part.bytes.clone());
        }
    }

    /// Leaves out the records that are on their topics already, so that a resend does not put them there twice.
    pub(super) fn leave_out(&mut self, published: &[String]) {
        if !published.is_empty() {
            self.events.retain(|event| !published.iter().any(|known| known == event.id()));
            self.dead_letters.retain(|letter| !published.iter().any(|known| known == letter.part()));
        }
    }
}

impl RawLetter {
    /// Which part of its message it is.
    pub(super) fn part(&self) -> &str {
        self.headers.iter().find(|(name, _)| *name == PART).map_or("", |(_, part)| part)
    }
}

/// What a message is called in receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The sender.
    pub(super) source: String,
    /// Sender, control id and content as one id.
    pub(super) receipt_id: String,
    /// The same as a number.
    pub(super) number: u128,
}

impl Name {
    /// The name of a message that was read.
    pub(super) fn of(part: &Part) -> Self {
        let identity = &part.reading.identity;
        let source = [NAME, "/", &identity.system, "|", &identity.facility].concat();
        let id = schemas::identity::event_uuid(&source, &identity.control_id, &identity.hash, "receipt");
        Self { source, receipt_id: id.to_string(), number: id.as_u128() }
    }
}

/// The kind of an outcome, as in receipts.
pub(super) fn outcome_kind(outcome: &Outcome) -> ReceiptOutcome {
    match outcome {
        Outcome::Events(_) => ReceiptOutcome::Events,
        Outcome::Dropped { .. } => ReceiptOutcome::Dropped,
        Outcome::Exception(_) => ReceiptOutcome::Exception,
        Outcome::DeadLetter(_) => ReceiptOutcome::DeadLetter,
    }
}

fn receipt(part: &Part, name: &Name, code: Option<AckCode>, now: Timestamp) -> Receipt {
    let reading = &part.reading;
    let (rule, event_ids) = match &reading.outcome {
        Outcome::Events(events) => (None, events.iter().map(|event| event.id().to_owned()).collect()),
        Outcome::Dropped { rule, .. } => (Some((*rule).to_owned()), Vec::new()),
        Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => (Some(refusal.name.to_owned()), Vec::new()),
    };
    Receipt {
        receipt_id: name.receipt_id.clone(),
        source: name.source.clone(),
        message_id: reading.identity.control_id.clone(),
        content_hash: reading.identity.hash.clone(),
        message_type: reading.identity.message_type.clone(),
        outcome: outcome_kind(&reading.outcome),
        ack_code: code.filter(|_| is_answered(reading)).map(|code| code.name().to_owned()),
        rule,
        event_ids,
        received_at: now,
    }
}

/// Adds what only the source knows: the batch around the message, and a control id that was used before.
fn warn(event: &mut MappedEvent, around: &[&'static str], reused: bool) {
    let warnings = match event {
        MappedEvent::Encounter(event) => &mut event.meta.warnings,
        MappedEvent::SupplyUsage(event) => &mut event.meta.warnings,
    };
    let mut add = |code: &str, path: &str, detail: String| {
        warnings.push(Warning { code: code.to_owned(), path: path.to_owned(), detail });
    };
    for word in around {
        add("WL-1022", "", (*word).to_owned());
    }
    if reused {
        add("WL-1019", "MSH-10", "the sender used this control id for another message as well".to_owned());
    }
}

fn exception(part: &Part, refusal: &Refusal, origin: &str, receipt_id: &str, fits: bool, now: Timestamp) -> Exception {
    let identity = &part.reading.identity;
    let header =
        |key: &str, value: &str| RecordHeader { key: key.to_owned(), value: Some(Bytes::from(value.as_bytes())) };
    Exception {
        exception_id: schemas::identity::event_id(NAME, receipt_id, "0", "exception"),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: NAME.to_owned(),
        stage: "map".to_owned(),
        code: refusal.code.to_owned(),
        severity: Severity::Error,
        retryable: false,
        message: format!("{}: {}", refusal.name, refusal.message),
        field_paths: vec![refusal.place_text()].into_iter().filter(|place| !place.is_empty()).collect(),
        suggested_fix: Some(refusal.suggested_fix.to_owned()),
        raw_value: fits.then(|| Bytes::from(part.bytes.as_slice())),
        raw_headers: vec![
            header("wl_origin", origin),
            header("wl_receipt", receipt_id),
            header("wl_message_type", &identity.message_type),
        ],
        content_type: Some(CONTENT_TYPE.to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        raised_at: now,
        at: now,
        ..Exception::default()
    }
}

/// One dead letter, or several with `wl_part` when the bytes do not fit into one record.
fn dead_letters(part: &Part, refusal: &Refusal, origin: &str, receipt_id: &str, now: Timestamp) -> Vec<RawLetter> {
    let chunks: Vec<&[u8]> = if part.bytes.is_empty() { vec![&[]] } else { part.bytes.chunks(RAW_BYTES_MAX).collect() };
    let count = chunks.len();
    let letter = |(index, chunk): (usize, &[u8])| {
        let headers = vec![
            (schemas::headers::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
            ("wl_room", NAME.to_owned()),
            ("wl_stage", "read".to_owned()),
            ("wl_code", refusal.code.to_owned()),
            ("wl_reason", refusal.message.clone()),
            ("wl_place", refusal.place_text()),
            ("wl_origin", origin.to_owned()),
            (RECEIPT, receipt_id.to_owned()),
            (PART, format!("{}/{count}", index + 1)),
            ("wl_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("wl_at", now.micros().to_string()),
        ];
        RawLetter { bytes: chunk.to_vec(), headers }
    };
    chunks.into_iter().enumerate().map(letter).collect()
}
