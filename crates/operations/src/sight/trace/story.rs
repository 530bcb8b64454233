//! Records as steps in time, and what happened between them.

use runtime::record::Record;
use schemas::{TopicInfo, headers, topics};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::messages::MessageId;
use crate::sight::time_text;

/// A shorter time between two steps needs no name, milliseconds.
const GAP_MS: i64 = 1_000;
/// Rooms that write files and no record about an event, so nothing of theirs is waited for.
const SILENT_ROOMS: [&str; 2] = ["analytics", "cli"];

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// A message was received.
    Received,
    /// An event.
    Event,
    /// An event waits, in order behind another.
    Parked,
    /// It waits no more.
    Unparked,
    /// Something a person may have to decide, and what became of it.
    Exception,
    /// A call to the outside: intended, applied, refused, in doubt.
    Effect,
    /// What became of it in the ERP.
    Posted,
    /// What a supplier was told and answered.
    Noticed,
    /// Left out, a duplicate, suppressed, or what a person did.
    Audit,
    /// Could not be read.
    DeadLetter,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// When its record was written, RFC 3339.
    pub time: String,
    /// The same, milliseconds since 1970.
    pub time_ms: i64,
    /// Since the step before, milliseconds; none for the first one.
    pub since_before_ms: Option<i64>,
    /// Topic, partition and offset.
    pub place: String,
    /// Topic.
    pub topic: String,
    /// What it is.
    pub kind: StepKind,
    /// Room that wrote it, when it is known.
    pub room: Option<String>,
    /// The message as it came, by the id that [`MessageId`] reads; none where none is kept.
    pub message: Option<String>,
    /// CloudEvents type.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Event id.
    pub event_id: Option<String>,
    /// The event it follows from.
    pub causation_id: Option<String>,
    /// What it belongs to.
    pub correlation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The few fields that tell a person what happened.
    pub summary: String,
    /// The record, with what identifies a patient directly hidden.
    pub value: Value,
    /// Kafka key.
    #[serde(skip)]
    pub(super) key: String,
}

/// Time that passed, or passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Number of the step after which it begins, from 0.
    pub after_step: usize,
    /// From when, milliseconds since 1970.
    pub from_ms: i64,
    /// How long, milliseconds; up to now when it is open.
    pub duration_ms: i64,
    /// Whether it is still going on.
    pub is_open: bool,
    /// What was or is waited for, one sentence.
    pub reason: String,
}

/// Whether the first event of every chain, or the receipt of its message, is among the records.
pub(super) fn has_beginnings<'a>(records: impl Iterator<Item = &'a Record>) -> bool {
    let (mut needed, mut have) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        let correlation = record.header(headers::CORRELATION_ID);
        needed.extend(correlation.map(str::to_owned));
        let is_first = record.header(headers::ID).is_some() && record.header(headers::CAUSATION_ID).is_none();
        have.extend(correlation.filter(|_| is_first).map(str::to_owned));
        have.extend(is_first.then(|| record.header(headers::ID).map(str::to_owned)).flatten());
        if &*record.place.topic == topics::OPS_RECEIPT_V1.name() {
            have.insert(record.key_text().into_owned());
        }
    }
    !have.is_empty() && needed.is_subset(&have)
}

/// Ids of the events that follow from no other.
pub(super) fn first_events(records: &[Record]) -> impl Iterator<Item = String> {
    let is_first = |record: &&Record| record.header(headers::CAUSATION_ID).is_none();
    records.iter().filter(is_first).filter_map(|record| record.header(headers::ID).map(str::to_owned))
}

/// When the first one of them that follows from no other was written; what belongs to it came later.
pub(super) fn first_event_ms(records: &[Record]) -> Option<i64> {
    let is_first =
        |record: &&Record| record.header(headers::ID).is_some() && record.header(headers::CAUSATION_ID).is_none();
    records.iter().filter(is_first).filter_map(|record| record.timestamp_ms).min()
}

/// A record as a step; what is between steps is added by [`tell`].
pub(super) fn step(record: &Record, value: Value) -> Step {
    let text = |name: &str| record.header(name).map(str::to_owned);
    let topic = record.place.topic.to_string();
    let time_ms = record.timestamp_ms.unwrap_or_default();
    Step {
        time: time_text(time_ms),
        time_ms,
        since_before_ms: None,
        place: record.place.to_string(),
        kind: kind(&topic, record.value.is_none()),
        room: room(&topic, record, &value),
        message: (topic == topics::OPS_RECEIPT_V1.name())
            .then(|| MessageId::of_receipt(&value))
            .flatten()
            .map(|id| id.to_string()),
        event_type: text(headers::TYPE),
        event_id: text(headers::ID),
        causation_id: text(headers::CAUSATION_ID),
        correlation_id: text(headers::CORRELATION_ID),
        traceparent: text(headers::TRACEPARENT),
        summary: summary(&value),
        value,
        key: record.key_text().into_owned(),
        topic,
    }
}

/// Puts steps in order and says what happened between them.
pub(super) fn tell(mut steps: Vec<Step>, now_ms: i64) -> (Vec<Step>, Vec<Gap>) {
    // Of the same millisecond, what follows from something comes after it.
    steps.sort_by(|one, other| (one.time_ms, rank(one), &one.place).cmp(&(other.time_ms, rank(other), &other.place)));
    let mut last = None;
    for step in &mut steps {
        step.since_before_ms = last.map(|last| step.time_ms - last);
        last = Some(step.time_ms);
    }
    let mut gaps = between(&steps);
    gaps.extend(open(&steps, now_ms));
    gaps.sort_by_key(|gap| (gap.is_open, gap.from_ms, gap.after_step));
    (steps, gaps)
}

/// Gaps between steps of one chain.
fn between(steps: &[Step]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        let Some(chain) = step.correlation_id.as_deref().or(step.event_id.as_deref()) else { continue };
        let before = last.insert(chain, index).and_then(|before| Some((before, steps.get(before)?)));
        let Some((after_step, before)) = before else { continue };
        let duration_ms = step.time_ms - before.time_ms;
        if duration_ms < GAP_MS {
            continue;
        }
        let (from_ms, reason) = (before.time_ms, reason(before, step));
        gaps.push(Gap { after_step, from_ms, duration_ms, is_open: false, reason });
    }
    gaps
}

fn reason(before: &Step, after: &Step) -> String {
    let room = after.room.as_deref().unwrap_or("a room");
    match before.kind {
        StepKind::Parked => parked(before),
        StepKind::Exception => format!("exception {} stood", text(&before.value, "/exceptionId")),
        StepKind::Effect => format!("{room} waited for {}", text(&before.value, "/target")),
        _ => format!("{room} had not written yet"),
    }
}

/// What is still waited for at the end.
fn open(steps: &[Step], now_ms: i64) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let gap = |(after_step, step): (usize, &Step), reason| Gap {
        after_step,
        from_ms: step.time_ms,
        duration_ms: (now_ms - step.time_ms).max(0),
        is_open: true,
        reason,
    };
    // The newest word of each key counts.
    let mut newest: BTreeMap<(&str, &str), (usize, &Step)> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        newest.insert((&step.topic, &step.key), (index, step));
    }
    for (index, step) in newest.values().copied() {
        let state = text(&step.value, "/state");
        match step.kind {
            StepKind::Parked => gaps.push(gap((index, step), format!("waits: {}", parked(step)))),
            StepKind::Exception if matches!(state.as_str(), "OPEN" | "RETRYING") => {
                let id = text(&step.value, "/exceptionId");
                let code = text(&step.value, "/code");
                gaps.push(gap((index, step), format!("waits: exception {id} ({code}) is {}", state.to_lowercase())));
            }
            StepKind::Effect if matches!(state.as_str(), "INTENDED" | "IN_DOUBT") => {
                let target = text(&step.value, "/target");
                // What is intended ahead of its turn is called for behind another event of its key.
                let is_ahead = step.value.pointer("/after").is_some_and(Value::is_string);
                let what = if is_ahead { "its turn at" } else { "the answer of" };
                gaps.push(gap((index, step), format!("waits: for {what} {target}")));
            }
            _ => {}
        }
    }
    for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.kind == StepKind::Event) {
        let Some(topic) = topics::find(&step.topic) else { continue };
        for room in not_taken(step, topic, steps) {
            gaps.push(gap((index, step), format!("waits: {room} has not said what became of it")));
        }
    }
    gaps
}

/// Rooms that read the event's topic and wrote nothing that follows from the event.
fn not_taken<'a>(event: &'a Step, topic: &'a TopicInfo, steps: &'a [Step]) -> impl Iterator<Item = &'a str> {
    let rooms = topic.consumers.iter().map(|(room, _)| *room).filter(|room| !SILENT_ROOMS.contains(room));
    rooms.filter(move |room| {
        event.event_id.is_some()
            && !steps.iter().any(|step| step.causation_id == event.event_id && step.room.as_deref() == Some(*room))
    })
}

fn parked(step: &Step) -> String {
    let since = &step.time;
    let exception = text(&step.value, "/exceptionId");
    let subject = text(&step.value, "/subject/key");
    let behind = match (exception.as_str(), subject.as_str()) {
        ("-", "-") => String::new(),
        ("-", subject) => format!(" for {} {subject}", text(&step.value, "/subject/kind")),
        (exception, _) => format!(" behind exception {exception}"),
    };
    let room = step.room.as_deref().unwrap_or("a room");
    format!("parked by {room} since {since}{behind} ({})", text(&step.value, "/reasonCode"))
}

fn kind(topic: &str, is_tombstone: bool) -> StepKind {
    let of = |known: &TopicInfo| known.name == topic;
    match () {
        () if of(topics::OPS_RECEIPT_V1.info()) => StepKind::Received,
        () if of(topics::OPS_PARKED_V1.info()) && is_tombstone => StepKind::Unparked,
        () if of(topics::OPS_PARKED_V1.info()) => StepKind::Parked,
        () if of(topics::OPS_EXCEPTION_V1.info()) => StepKind::Exception,
        () if of(topics::OPS_EFFECT_V1.info()) => StepKind::Effect,
        () if of(topics::ERP_POSTING_V1.info()) => StepKind::Posted,
        () if of(topics::PARTNER_SUPPLIER_NOTICE_V1.info()) => StepKind::Noticed,
        () if of(topics::OPS_DEAD_LETTER_V1.info()) => StepKind::DeadLetter,
        () if topic.starts_with("ops.") => StepKind::Audit,
        () => StepKind::Event,
    }
}

/// Who wrote it: it says so, or only one room writes this topic.
fn room(topic: &str, record: &Record, value: &Value) -> Option<String> {
    let said = value.get("room").and_then(Value::as_str).or_else(|| record.header("wl_room"));
    let parked_key = || {
        let is_parked = topic == topics::OPS_PARKED_V1.name();
        record.key_text().split('|').next().filter(|_| is_parked).map(str::to_owned)
    };
    let only = || match topics::find(topic).map(|topic| topic.producers) {
        Some([room]) => Some((*room).to_owned()),
        _ => None,
    };
    said.map(str::to_owned).or_else(parked_key).or_else(only)
}

/// Causes before consequences.
fn rank(step: &Step) -> usize {
    let order = [
        topics::CLINICAL_ENCOUNTER_V1.name(),
        topics::CLINICAL_SUPPLY_USAGE_V1.name(),
        topics::OPS_RECEIPT_V1.name(),
        topics::SUPPLY_PURCHASE_ORDER_V1.name(),
        topics::SUPPLY_GOODS_RECEIPT_V1.name(),
        topics::SUPPLY_USAGE_VALIDATED_V1.name(),
        topics::SUPPLY_USAGE_ENRICHED_V1.name(),
        topics::OPS_EXCEPTION_V1.name(),
        topics::OPS_PARKED_V1.name(),
        topics::OPS_EFFECT_V1.name(),
        topics::ERP_POSTING_V1.name(),
        topics::PARTNER_SUPPLIER_NOTICE_V1.name(),
    ];
    order.iter().position(|topic| *topic == step.topic).unwrap_or(order.len())
}

fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or("-").to_owned()
}

/// The few fields that tell a person what happened.
fn summary(value: &Value) -> String {
    let paths = [
        ("/outcome", ""),
        ("/ackCode", "ack "),
        ("/messageType", ""),
        ("/kind", ""),
        ("/state", ""),
        ("/code", ""),
        ("/itemId", "item "),
        ("/lot", "lot "),
        ("/quantity", "quantity "),
        ("/poNumber", "order "),
        ("/documents/0/number", "document "),
        ("/documents/0/id", "id "),
        ("/responseStatus", "answer "),
        ("/reasonCode", ""),
        ("/message", ""),
        ("/detail", ""),
    ];
    let parts = paths.iter().filter_map(|(path, title)| {
        let text = match value.pointer(path)? {
            Value::String(text) if !text.is_empty() => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some(format!("{title}{text}"))
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "story_tests.rs"]
mod tests;
