//! Received messages as they came, found again by the digest of their bytes: what an event was made of.

use runtime::reader::{From, Range, ReadError, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use runtime::source_bytes::PART;
use schemas::{headers, topics};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// So much earlier than an event says a message may lie on the topic, milliseconds: two clocks.
const BEFORE_MS: i64 = 10_000;
/// So much later: a source that was not confirmed at once.
const AFTER_MS: i64 = 300_000;
/// Most records that are looked through for one message.
const RECORDS_MAX: usize = 500_000;

/// Where a message is looked for: the digest of its bytes, and about when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId {
    /// SHA-256 of its bytes, lower-case hex, as `meta.source.contentHash` of events has it.
    pub content_hash: String,
    /// About when it was received, milliseconds since 1970.
    pub at_ms: i64,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the source said of their type.
    pub content_type: Option<String>,
    /// Where its first part lies.
    pub place: (i32, i64),
}

impl MessageId {
    /// The message of an event that says this of its source.
    pub fn of(content_hash: &str, received_at_micros: i64) -> Option<Self> {
        let is_hash = content_hash.len() == 64 && content_hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Self { content_hash: content_hash.to_owned(), at_ms: received_at_micros / 1_000 })
    }

    /// The message of an event as JSON.
    pub fn of_event(event: &Value) -> Option<Self> {
        Self::of(event.pointer("/meta/source/contentHash")?.as_str()?, micros(event.pointer("/meta/publishedAt")?)?)
    }

    /// The message behind an event of a topic that clinical sources or their followers write; what comes from the ERP has none.
    pub fn behind(topic: Option<&str>, event: Option<&Value>) -> Option<Self> {
        let of_messages = |topic: &&str| topic.starts_with("clinical.") || topic.starts_with("supply.usage-");
        topic.filter(of_messages).and(event).and_then(Self::of_event)
    }

    /// The message of a receipt as JSON, when it is kept: what became an exception or a dead letter is there.
    pub fn of_receipt(receipt: &Value) -> Option<Self> {
        let text = |name: &str| receipt.get(name).and_then(Value::as_str);
        let is_kept = matches!(text("outcome"), Some("EVENTS" | "DROPPED"));
        let is_message =
            text("source").is_some_and(|source| source.starts_with("hl7v2/") || source.starts_with("fhir/"));
        let micros = micros(receipt.get("receivedAt")?)?;
        (is_kept && is_message).then(|| Self::of(text("contentHash")?, micros)).flatten()
    }

    /// Reads what [`std::fmt::Display`] has written: `DIGEST@SECONDS`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hash, seconds) = text.split_once('@')?;
        let seconds: i64 = seconds.parse().ok().filter(|seconds| (0..=99_999_999_999).contains(seconds))?;
        Self::of(hash, seconds * 1_000_000)
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(text, "{}@{}", self.content_hash, self.at_ms / 1_000)
    }
}

/// A time as JSON has it, as a number or as a text.
fn micros(time: &Value) -> Option<i64> {
    let text = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
    time.as_i64().or_else(|| time.as_str().and_then(text))
}

/// Looks a message up; none when it is not kept (any more). It blocks.
///
/// # Errors
/// See [`ReadError`].
pub fn find(readers: &Readers, id: &MessageId) -> Result<Option<Message>, ReadError> {
    let range = Range {
        from: From::TimeMs(id.at_ms.saturating_sub(BEFORE_MS)),
        until: Until::TimeMs(id.at_ms.saturating_add(AFTER_MS)),
        ..Range::all(topics::OPS_SOURCE_V1.name())
    };
    let (mut found, mut looked) = (Found::default(), 0);
    readers.read_range(&range, |record| {
        looked += 1;
        if record.key.as_deref() == Some(id.content_hash.as_bytes()) {
            found.take(record);
        }
        if found.is_whole() || looked >= RECORDS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found.message())
}

/// Parts of a message. Each time it came they are the same, so it does not matter of which time each is.
#[derive(Default)]
struct Found {
    parts: BTreeMap<usize, Record>,
    count: usize,
}

impl Found {
    fn take(&mut self, record: Record) {
        let part = record.header(PART).and_then(|part| part.split_once('/'));
        let numbers = part.and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
        let (number, count) = numbers.unwrap_or((1, 1));
        self.count = count;
        self.parts.entry(number).or_insert(record);
    }

    fn is_whole(&self) -> bool {
        self.count > 0 && (1..=self.count).all(|number| self.parts.contains_key(&number))
    }

    fn message(self) -> Option<Message> {
        let first = self.parts.get(&1).filter(|_| self.is_whole())?;
        let (content_type, place) = (first.header(headers::CONTENT_TYPE).map(str::to_owned), &first.place);
        let place = (place.partition, place.offset);
        let bytes = self.parts.values().flat_map(|part| part.value.iter().flatten().copied()).collect();
        Some(Message { bytes, content_type, place })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use runtime::record::Place;
    use std::sync::Arc;

    fn part(text: &str, part: Option<&str>, offset: i64) -> Record {
        let place = Place { topic: Arc::from("t"), partition: 2, offset };
        let headers = part.into_iter().map(|part| (PART.into(), Some(part.as_bytes().to_vec().into()))).collect();
        Record { place, timestamp_ms: None, key: None, value: Some(text.as_bytes().to_vec().into()), headers }
    }

    #[test]
    fn an_id_reads_as_it_was_written() {
        let id = MessageId::of(&"a1".repeat(32), 1_700_000_000_123_456).unwrap();
        assert_eq!(MessageId::parse(&id.to_string()).unwrap().at_ms, 1_700_000_000_000);
        for wrong in ["", "a1", "a1@5", &format!("{}@-1", "a1".repeat(32)), &format!("{}@x", "a1".repeat(32))] {
            assert_eq!(MessageId::parse(wrong), None, "{wrong}");
        }
        assert_eq!(MessageId::of("", 5), None, "an event that has no message");
        for published_at in
            [serde_json::json!(1_700_000_000_123_456_i64), serde_json::json!("2023-11-14T22:13:20.123456Z")]
        {
            let source = serde_json::json!({"contentHash": "a1".repeat(32)});
            let event = serde_json::json!({"meta": {"publishedAt": published_at, "source": source}});
            assert_eq!(MessageId::of_event(&event).unwrap().at_ms, 1_700_000_000_123);
        }
    }

    #[test]
    fn a_receipt_names_the_message_that_is_kept() {
        let receipt = |source: &str, outcome: &str| serde_json::json!({"source": source, "outcome": outcome, "contentHash": "a1".repeat(32), "receivedAt": 7_000_000});
        let found = |source: &str, outcome: &str| MessageId::of_receipt(&receipt(source, outcome)).map(|id| id.at_ms);
        assert_eq!(found("hl7v2/EHR|N", "EVENTS"), Some(7_000));
        assert_eq!(found("fhir/clinic", "DROPPED"), Some(7_000));
        assert_eq!((found("erp/tryton", "EVENTS"), found("hl7v2/EHR|N", "EXCEPTION")), (None, None));
    }

    #[test]
    fn raw_1_parts_make_a_message_in_their_order_and_only_all_of_them() {
        let mut found = Found::default();
        found.take(part("b", Some("2/2"), 8));
        assert!(!found.is_whole());
        found.take(part("b", Some("2/2"), 9));
        found.take(part("a", Some("1/2"), 7));
        let message = found.message().unwrap();
        assert_eq!((message.bytes.as_slice(), message.place), (b"ab".as_ref(), (2, 7)));
    }
}
