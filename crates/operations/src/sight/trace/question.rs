//! What may be asked, and where and when an answer may be.

use schemas::{TopicInfo, topics};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How a time before now is written, for whoever wrote it otherwise.
pub const SINCE_FORM: &str = "write minutes (90m), hours (12h), days (30d) or an RFC 3339 time (2026-03-01T08:00:00Z)";
/// How much earlier than an id says its first record is looked for: clocks differ.
pub(super) const CLOCKS_MS: i64 = 5 * MINUTE_MS;

/// What the id of a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdKind {
    /// Id of an event, of what it belongs to, or of a trace.
    Event,
    /// Id that the sender gave a message.
    Message,
    /// Id of an exception.
    Exception,
    /// Kafka key, for example the pseudonym of a visit.
    Key,
    /// Number of an order.
    Order,
    /// Lot.
    Lot,
    /// Serial number.
    Serial,
    /// UDI as scanned, or its device identifier.
    Udi,
    /// Number or id of a document in the ERP, or of a notice to a supplier.
    Document,
    /// Business key of a fact, or the key of an effect.
    BusinessKey,
}

/// A duration before now, or a time, as milliseconds since 1970; none when it is neither.
#[must_use]
pub fn since_ms(text: &str, now_ms: i64) -> Option<i64> {
    let units = [("m", MINUTE_MS), ("h", HOUR_MS), ("d", DAY_MS)];
    let ago = units.into_iter().find_map(|(unit, unit_ms)| {
        let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number > 0)?;
        now_ms.checked_sub(number.checked_mul(unit_ms)?)
    });
    ago.or_else(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond))
}

/// All kinds, in the order in which a match is named.
const KINDS: [IdKind; 10] = [
    IdKind::Event,
    IdKind::Message,
    IdKind::Exception,
    IdKind::Key,
    IdKind::Order,
    IdKind::Lot,
    IdKind::Serial,
    IdKind::Udi,
    IdKind::Document,
    IdKind::BusinessKey,
];

impl IdKind {
    /// The kind that is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.as_str() == name)
    }

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Message => "message",
            Self::Exception => "exception",
            Self::Key => "key",
            Self::Order => "order",
            Self::Lot => "lot",
            Self::Serial => "serial",
            Self::Udi => "udi",
            Self::Document => "document",
            Self::BusinessKey => "business-key",
        }
    }

    /// Fields of a record that may hold it; `*` stands for every entry of a list.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Event => &["meta/eventId", "originEventId", "eventId", "eventIds/*", "receiptId"],
            Self::Message => &["messageId", "meta/source/messageId"],
            Self::Exception => &["exceptionId"],
            Self::Key => &["encounterRef", "key"],
            Self::Order => &["poNumber", "orderRefs/*"],
            Self::Lot => &["lot"],
            Self::Serial => &["serial"],
            Self::Udi => &["udi/raw", "udi/di"],
            Self::Document => &["documents/*/number", "documents/*/id", "documentKey", "noticeId", "receiptId"],
            Self::BusinessKey => &["businessKey", "meta/businessKey", "effectKey"],
        }
    }

    /// Whether many facts may have it, over days: then the first one found is not the answer.
    fn is_of_many(self) -> bool {
        matches!(self, Self::Key | Self::Order | Self::Lot | Self::Serial | Self::Udi | Self::BusinessKey)
    }

    /// Whether the values of a topic must be looked into; headers and keys always are.
    pub(super) fn is_in_values_of(kind: Option<Self>, topic: &TopicInfo) -> bool {
        let has = |kind: Self| {
            kind.fields().iter().any(|path| {
                let first = path.split('/').next().unwrap_or_default();
                topic.schema.contains(&format!("\"name\":\"{first}\""))
            })
        };
        match kind {
            None => KINDS.into_iter().any(has),
            Some(kind) => has(kind),
        }
    }

    /// As what a decoded record has this id.
    pub(super) fn of(id: &str, wanted: Option<Self>, value: &Value) -> Option<Self> {
        KINDS
            .into_iter()
            .filter(|kind| wanted.is_none_or(|wanted| wanted == *kind))
            .find(|kind| kind.fields().iter().any(|path| holds(value, path, id)))
    }
}

fn holds(value: &Value, path: &str, id: &str) -> bool {
    let (first, rest) = path.split_once('/').map_or((path, ""), |(first, rest)| (first, rest));
    let inner = |value: &Value| if rest.is_empty() { value.as_str() == Some(id) } else { holds(value, rest, id) };
    match first {
        "*" => value.as_array().into_iter().flatten().any(inner),
        name => value.get(name).is_some_and(inner),
    }
}

/// A span of time, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// None is from the beginning.
    pub from_ms: Option<i64>,
    /// None is up to now.
    pub until_ms: Option<i64>,
    /// When something was found up to here, what is older need not be looked at.
    pub may_end: bool,
}

/// Where to look, newest first, so that a question about today reads little.
pub(super) fn windows(id: &str, kind: Option<IdKind>, since_ms: Option<i64>, now_ms: i64) -> Vec<Window> {
    let from = |from_ms| vec![Window { from_ms: Some(from_ms), until_ms: None, may_end: true }];
    if let Some(since_ms) = since_ms {
        return from(since_ms);
    }
    if let Some(made_ms) = made_at(id) {
        return from(made_ms.saturating_sub(CLOCKS_MS));
    }
    // What is of many facts is looked for in a week before the search may end.
    let is_of_one = kind.is_some_and(|kind| !kind.is_of_many()) || (kind.is_none() && Uuid::parse_str(id).is_ok());
    let mut windows = Vec::new();
    let mut until_ms = None;
    for (age_ms, is_week) in [(HOUR_MS, false), (DAY_MS, false), (7 * DAY_MS, true)] {
        let from_ms = Some(now_ms.saturating_sub(age_ms));
        windows.push(Window { from_ms, until_ms, may_end: is_of_one || is_week });
        until_ms = from_ms;
    }
    windows.push(Window { from_ms: None, until_ms, may_end: true });
    windows
}

/// When an id was made, when it says so (UUID versions 1, 6 and 7), milliseconds since 1970.
fn made_at(id: &str) -> Option<i64> {
    let (seconds, nanos) = Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1_000)?.checked_add(i64::from(nanos / 1_000_000))
}

/// Topics that may hold steps: all but master data and cursors.
pub(super) fn searched_topics() -> impl Iterator<Item = &'static TopicInfo> {
    let is_other = |name: &str| name.starts_with("master.") || name == topics::OPS_CURSOR_V1.name();
    topics::ALL.iter().copied().filter(move |topic| !is_other(topic.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_is_found_in_the_fields_of_its_kind_alone() {
        let value = json!({
            "meta": {"eventId": "e1", "businessKey": "b1", "source": {"messageId": "m1"}},
            "lot": "L1", "serial": "S1", "udi": {"raw": "(01)1", "di": "1"}, "orderRefs": ["P0", "P1"],
            "documents": [{"number": "D1", "id": "17"}], "phi": {"patientId": "secret"}, "quantity": "5",
        });
        let of = |id: &str, wanted| IdKind::of(id, wanted, &value);
        assert_eq!(of("e1", None), Some(IdKind::Event));
        assert_eq!(of("m1", None), Some(IdKind::Message));
        assert_eq!(of("b1", None), Some(IdKind::BusinessKey));
        assert_eq!(of("L1", None), Some(IdKind::Lot));
        assert_eq!(of("S1", None), Some(IdKind::Serial));
        assert_eq!(of("(01)1", None), Some(IdKind::Udi));
        assert_eq!(of("P1", None), Some(IdKind::Order));
        assert_eq!(of("D1", None), Some(IdKind::Document));
        assert_eq!(of("L1", Some(IdKind::Serial)), None);
        // What identifies a patient directly is nothing to ask by.
        assert_eq!(of("secret", None), None);
        assert_eq!(of("5", None), None);
    }

    #[test]
    fn values_are_looked_into_only_where_the_field_is() {
        let in_values = |kind, topic: &TopicInfo| IdKind::is_in_values_of(Some(kind), topic);
        assert!(in_values(IdKind::Lot, topics::CLINICAL_SUPPLY_USAGE_V1.info()));
        assert!(!in_values(IdKind::Lot, topics::OPS_AUDIT_V1.info()));
        assert!(in_values(IdKind::Document, topics::ERP_POSTING_V1.info()));
        assert!(in_values(IdKind::Order, topics::SUPPLY_PURCHASE_ORDER_V1.info()));
        assert!(!IdKind::is_in_values_of(None, topics::OPS_DEAD_LETTER_V1.info()));
    }

    #[test]
    fn windows_grow_from_now_back_and_leave_nothing_out() {
        let now = 100 * DAY_MS;
        let windows = |id: &str, kind, since| windows(id, kind, since, now);
        let event = windows("0f0e0d0c-0000-5000-8000-000000000001", None, None);
        assert_eq!(event.len(), 4);
        assert!(event.windows(2).all(|pair| pair[1].until_ms == pair[0].from_ms));
        assert_eq!((event[0].until_ms, event[3].from_ms), (None, None));
        assert!(event.iter().all(|window| window.may_end));
        let lot = windows("L1", Some(IdKind::Lot), None);
        assert_eq!(lot.iter().map(|window| window.may_end).collect::<Vec<_>>(), [false, false, true, true]);
        assert_eq!(windows("L1", None, Some(5)), [Window { from_ms: Some(5), until_ms: None, may_end: true }]);
        // Version 7: 2023-11-14T22:13:20Z.
        let made = windows("018bcfe5-6800-7000-8000-000000000000", None, None);
        assert_eq!(made, [Window { from_ms: Some(1_700_000_000_000 - CLOCKS_MS), until_ms: None, may_end: true }]);
    }
}
