//! Writes the records by which every outcome is visible: exceptions, dead letters, parked events, audit (LOSS-1, RAW-1).

use crate::codec::{Codec, WireError};
use crate::config::Config;
use crate::outgoing::{Headers, Lineage, Outgoing};
use crate::parking::Lane;
use crate::pieces;
use crate::record::{Place, Record};
use bytes::Bytes;
use processor::{Reason, Subject};
use schemas::{
    Audit, AuditKind, Correction, DiscardRequest, Document, Effect, EffectState, Event, Exception, ExceptionKind,
    ExceptionState, Parked, RecordHeader, Severity, Timestamp, topics,
};
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use uuid::Uuid;

/// Header of a parked record: the session that wrote it, so that a session does not read its own records back.
pub(crate) const WRITER_HEADER: &str = "wl_writer";
/// Header of the mark that a record has left: the key that it was ordered by.
pub(crate) const LANE_HEADER: &str = "wl_key";

thread_local! {
    /// Two effect records are written for each call: their texts are written into those of the last one.
    static DRAFT: RefCell<Effect> = RefCell::default();
}

/// The desk of one room.
#[derive(Clone)]
pub struct Desk {
    /// Name of the room.
    pub room: &'static str,
    codec: Arc<Codec>,
    tenant: &'static str,
    writer: Arc<str>,
}

/// What is said about an exception.
pub struct Statement<'a> {
    /// Where in the room.
    pub stage: &'static str,
    /// What happened.
    pub kind: ExceptionKind,
    /// Where it stands now.
    pub state: ExceptionState,
    /// Why.
    pub reason: &'a Reason,
    /// Code under which the exception was raised, when this is a later word on it.
    pub code: Option<&'a str>,
    /// All that was said then, where it is known.
    pub raised: Option<Raised>,
    /// Whether trying again may help without a person.
    pub retryable: bool,
    /// Whether the key waits behind it.
    pub parked: bool,
    /// Who decided; none for Wardline itself.
    pub actor: Option<String>,
    /// What they said.
    pub comment: Option<String>,
    /// When, microseconds since 1970.
    pub at: i64,
}

/// What was said when an exception was raised.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// Code.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What it is about.
    pub subject: Option<schemas::Subject>,
    /// Fields it is about.
    pub field_paths: Vec<String>,
    /// What would make it go away.
    pub suggested_fix: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Who has it by now.
    pub assignee: Option<String>,
    /// Who asked to discard it since.
    pub discard_request: Option<DiscardRequest>,
    /// What a person has corrected in its event since.
    pub correction: Option<Correction>,
}

/// What an effect record says.
#[derive(Clone, Debug)]
pub struct EffectFacts<'a> {
    /// Identity of the effect.
    pub effect_key: &'a str,
    /// Endpoint.
    pub target: &'a str,
    /// Where it stands.
    pub state: EffectState,
    /// Idempotency key carried to the other side.
    pub document_key: &'a str,
    /// Documents on the other side.
    pub documents: Vec<Document>,
    /// Business key under which a later correction finds the output; empty when there is none.
    pub business_key: String,
    /// The output in its framed Avro encoding.
    pub output: Option<Bytes>,
    /// Code of a refusal.
    pub code: Option<String>,
    /// Calls made.
    pub attempts: u32,
    /// The effect in front of it, when this is written ahead of its turn.
    pub after: Option<&'a str>,
    /// When, microseconds since 1970.
    pub at: i64,
}

impl Default for EffectFacts<'_> {
    fn default() -> Self {
        Self {
            effect_key: "",
            target: "",
            state: EffectState::Unknown,
            document_key: "",
            documents: Vec::new(),
            business_key: String::new(),
            output: None,
            code: None,
            attempts: 0,
            after: None,
            at: 0,
        }
    }
}

impl Desk {
    /// A desk for `room`; `writer` names this session of it.
    pub fn new(room: &'static str, config: &Config, codec: Arc<Codec>, writer: &str) -> Self {
        Self { room, codec, tenant: pieces::kept(&config.identity.tenant), writer: Arc::from(writer) }
    }

    /// An output event.
    ///
    /// # Errors
    /// When a value does not fit the schema.
    pub fn event<T: Event>(&self, event: &T, lineage: &Lineage) -> Result<Outgoing, WireError> {
        Ok(Outgoing::event(event, self.codec.encode(event)?, lineage, self.tenant))
    }

    /// An output event in the encoding that it was given before.
    pub(crate) fn encoded<T: Event>(&self, event: &T, value: Bytes, lineage: &Lineage) -> Outgoing {
        Outgoing::event(event, value, lineage, self.tenant)
    }

    /// The id of the exception about a record: the same after a restart or a replay.
    pub fn exception_id(&self, place: &Place) -> Uuid {
        schemas::identity::event_uuid(self.room, &place.to_string(), "0", "exception")
    }

    /// An exception record; it carries the whole item, so the newest one per id is enough. A last word on it keeps what was
    /// said when it was raised, and comments it.
    ///
    /// # Errors
    /// When a value does not fit the schema.
    pub fn exception(&self, record: &Record, statement: &Statement<'_>) -> Result<Outgoing, WireError> {
        let mut exception = self.statement(record, statement);
        if let Some(raised) = &statement.raised {
            exception.raised_at = raised.at;
            exception.assignee.clone_from(&raised.assignee);
            exception.discard_request.clone_from(&raised.discard_request);
            exception.correction.clone_from(&raised.correction);
        }
        if statement.kind == ExceptionKind::Resolved
            && let Some(raised) = statement.raised.clone()
        {
            exception.comment = exception.comment.or(Some(exception.message));
            exception.code = raised.code;
            exception.message = raised.message;
            exception.subject = raised.subject;
            exception.field_paths = raised.field_paths;
            exception.suggested_fix = raised.suggested_fix;
        }
        self.event(&exception, &Lineage::of(&record.headers))
    }

    fn statement(&self, record: &Record, statement: &Statement<'_>) -> Exception {
        let reason = statement.reason;
        Exception {
            exception_id: self.exception_id(&record.place).to_string(),
            kind: statement.kind,
            state: statement.state,
            room: self.room.to_owned(),
            stage: statement.stage.to_owned(),
            code: statement.code.unwrap_or(reason.code.as_str()).to_owned(),
            severity: Severity::Error,
            retryable: statement.retryable,
            message: reason.message.clone(),
            subject: reason.subjects.first().map(contract_subject),
            origin_topic: Some(record.place.topic.to_string()),
            origin_partition: Some(record.place.partition),
            origin_offset: Some(record.place.offset),
            origin_key: record.key.clone().map(Into::into),
            origin_event_id: record.header(schemas::headers::ID).map(str::to_owned),
            field_paths: reason.field_paths.clone(),
            suggested_fix: reason.suggested_fix.clone(),
            raw_value: record.value.clone().map(Into::into),
            raw_key: record.key.clone().map(Into::into),
            raw_headers: contract_headers(&record.headers),
            content_type: record.header(schemas::headers::CONTENT_TYPE).map(str::to_owned),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            raised_at: Timestamp(statement.at),
            at: Timestamp(statement.at),
            actor: statement.actor.clone(),
            comment: statement.comment.clone(),
            parked_key: statement.parked,
            ..Exception::default()
        }
    }

    /// A dead letter: the record as it came, with headers that say where, at which stage and why.
    pub fn dead_letter(&self, record: &Record, stage: &str, code: &str, reason: &str, at: i64) -> Outgoing {
        let mut headers = record.headers.clone();
        let facts = [
            ("wl_room", self.room.to_owned()),
            ("wl_stage", stage.to_owned()),
            ("wl_code", code.to_owned()),
            ("wl_reason", reason.to_owned()),
            ("wl_topic", record.place.topic.to_string()),
            ("wl_partition", record.place.partition.to_string()),
            ("wl_offset", record.place.offset.to_string()),
            ("wl_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("wl_at", at.to_string()),
        ];
        headers.extend(facts.map(|(name, text)| (Cow::Borrowed(name), Some(text.into()))));
        Outgoing {
            topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
            partition: None,
            key: record.key.clone(),
            value: record.value.clone(),
            headers,
            ticket: None,
        }
    }

    /// A visible note that a record was left out, was a duplicate or was suppressed.
    ///
    /// # Errors
    /// When a value does not fit the schema.
    pub fn audit(
        &self,
        record: &Record,
        kind: AuditKind,
        rule: &str,
        detail: &str,
        at: i64,
    ) -> Result<Outgoing, WireError> {
        let audit = Audit {
            room: self.room.to_owned(),
            kind,
            code: rule.to_owned(),
            origin_topic: Some(record.place.topic.to_string()),
            origin_partition: Some(record.place.partition),
            origin_offset: Some(record.place.offset),
            event_id: record.header(schemas::headers::ID).map(str::to_owned),
            detail: detail.to_owned(),
            at: Timestamp(at),
            ..Audit::default()
        };
        self.event(&audit, &Lineage::of(&record.headers))
    }

    /// A visible note that a record repeats the event at an earlier offset of its partition and was left out.
    ///
    /// # Errors
    /// When a value does not fit the schema.
    pub fn copy(&self, record: &Record, first: i64, at: i64) -> Result<Outgoing, WireError> {
        let detail = format!("the same event lies at offset {first}; its sender has said it again");
        self.audit(record, AuditKind::Duplicate, crate::copies::RULE, &detail, at)
    }

    /// A record for the parking lot, in the partition with the number of its origin.
    ///
    /// # Errors
    /// When a value does not fit the schema.
    pub fn park(
        &self,
        record: &Record,
        reason: &Reason,
        exception_id: Option<Uuid>,
        ticket: u64,
        at: i64,
    ) -> Result<Outgoing, WireError> {
        let parked = Parked {
            room: self.room.to_owned(),
            key: record.key_text().into_owned(),
            topic: record.place.topic.to_string(),
            partition: record.place.partition,
            offset: record.place.offset,
            timestamp_ms: record.timestamp_ms.unwrap_or_default(),
            value: record.value.clone().map(Into::into),
            key_bytes: record.key.clone().map(Into::into),
            headers: contract_headers(&record.headers),
            reason_code: reason.code.as_str().to_owned(),
            reason: reason.message.clone(),
            subject: reason.subjects.first().map(contract_subject),
            exception_id: exception_id.map(|id| id.to_string()),
            parked_at: Timestamp(at),
        };
        let mut outgoing = self.event(&parked, &Lineage::of(&record.headers))?;
        outgoing.partition = Some(record.place.partition);
        outgoing.key =
            Some(parking_key(self.room, &record.place.topic, record.place.partition, record.place.offset).into());
        outgoing.headers.push((Cow::Borrowed(WRITER_HEADER), Some(pieces::cut(&self.writer))));
        outgoing.ticket = Some(ticket);
        Ok(outgoing)
    }

    /// The mark that a parked record has left the lot.
    pub fn unpark(&self, lane: &Lane, origin_offset: i64) -> Outgoing {
        let key = parking_key(self.room, &lane.topic, lane.partition, origin_offset);
        let mut mark = Outgoing::tombstone(topics::OPS_PARKED_V1.name(), Some(lane.partition), key);
        mark.headers.push((Cow::Borrowed(WRITER_HEADER), Some(pieces::cut(&self.writer))));
        mark.headers.push((Cow::Borrowed(LANE_HEADER), Some(pieces::cut_bytes(&lane.key))));
        mark
    }

    /// A durable effect record, in the partition with the number of its origin.
    ///
    /// # Errors
    /// When a value does not fit the schema.
    pub fn effect(&self, record: &Record, facts: EffectFacts<'_>) -> Result<Outgoing, WireError> {
        let outgoing = DRAFT.with_borrow_mut(|draft| {
            write(&mut draft.effect_key, facts.effect_key);
            write(&mut draft.room, self.room);
            write(&mut draft.target, facts.target);
            write(&mut draft.document_key, facts.document_key);
            write(draft.origin_topic.get_or_insert_default(), &record.place.topic);
            match facts.after {
                Some(after) => write(draft.after.get_or_insert_default(), after),
                None => draft.after = None,
            }
            draft.state = facts.state;
            draft.documents = facts.documents;
            draft.business_key = facts.business_key;
            draft.output = facts.output.map(Into::into);
            draft.origin_partition = Some(record.place.partition);
            draft.origin_offset = Some(record.place.offset);
            draft.attempts = i32::try_from(facts.attempts).unwrap_or(i32::MAX);
            draft.code = facts.code;
            draft.at = Timestamp(facts.at);
            let outgoing = self.event(draft, &Lineage::of(&record.headers));
            // It is as large as an event, and is counted where the record is.
            draft.output = None;
            outgoing
        });
        let mut outgoing = outgoing?;
        outgoing.partition = Some(record.place.partition);
        Ok(outgoing)
    }

    /// The name of this session.
    pub(crate) fn writer(&self) -> &str {
        &self.writer
    }

    /// The codec.
    pub fn codec(&self) -> &Arc<Codec> {
        &self.codec
    }
}

fn write(kept: &mut String, text: &str) {
    kept.clear();
    kept.push_str(text);
}

/// Key of a parked record: room, topic, partition and offset of the origin.
pub(crate) fn parking_key(room: &str, topic: &str, partition: i32, offset: i64) -> Vec<u8> {
    format!("{room}|{topic}|{partition}|{offset}").into_bytes()
}

/// The parked record as it first came.
pub(crate) fn unpack(parked: Parked) -> Record {
    let headers = parked.headers.into_iter().map(|header| (Cow::Owned(header.key), header.value.map(Into::into)));
    Record {
        place: Place { topic: Arc::from(parked.topic), partition: parked.partition, offset: parked.offset },
        timestamp_ms: Some(parked.timestamp_ms),
        key: parked.key_bytes.map(Into::into),
        value: parked.value.map(Into::into),
        headers: headers.collect(),
    }
}

pub(crate) fn contract_subject(subject: &Subject) -> schemas::Subject {
    schemas::Subject { kind: subject.kind.clone(), key: subject.key.clone() }
}

fn contract_headers(headers: &Headers) -> Vec<RecordHeader> {
    headers
        .iter()
        .map(|(key, value)| RecordHeader { key: key.to_string(), value: value.clone().map(Into::into) })
        .collect()
}
