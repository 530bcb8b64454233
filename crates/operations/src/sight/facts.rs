//! What a record says about the way of events: only what counts, with ids of 16 bytes instead of texts.

use runtime::codec::{Codec, WireError};
use runtime::scan::Glance;
use schemas::{AuditKind, ExceptionState, ReceiptOutcome, ServiceLevel, Timestamp, headers, topics};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::chain::{Fact, How};

/// Header of a dead letter that names the room that gave it up.
const LETTER_ROOM: &str = "wl_room";

/// One thing that a record says. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An event is on its topic.
    Event { topic: &'static str, id: u128, cause: Option<u128>, at_ms: i64, recorded_ms: Option<i64> },
    /// A room said what became of an event that it gave no further event for.
    Note { room: String, cause: u128, at_ms: i64, how: How },
    /// An exception was raised.
    Raised { room: String, exception: u128, at_ms: i64 },
    /// A message was received, and all that it became is on its topics.
    Received { received_ms: i64, at_ms: i64, how: How },
}

/// A way of events: which topics it starts on, leads over and ends on, and which rooms are on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub from: Vec<&'static str>,
    pub through: Vec<&'static str>,
    pub to: &'static str,
    pub rooms: Vec<&'static str>,
    /// Whether time starts when the source recorded the fact.
    pub is_from_recorded: bool,
}

/// The id of an event as a number; other texts are digested.
pub(super) fn event_id(text: &str) -> u128 {
    Uuid::parse_str(text).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())).as_u128()
}

impl Route {
    /// The way of a service level.
    pub fn of(level: &ServiceLevel) -> Self {
        Self {
            from: vec![level.from.name],
            through: level.through.iter().map(|topic| topic.name).collect(),
            to: level.to.name,
            rooms: level.rooms.to_vec(),
            is_from_recorded: level.measured_from == schemas::MeasuredFrom::Recorded,
        }
    }

    /// What this way has to do with it.
    pub fn fact(&self, seen: &Seen) -> Option<Fact> {
        match seen {
            Seen::Event { topic, cause, at_ms, .. } if *topic == self.to => {
                Some(Fact::Ended { cause: (*cause)?, at_ms: *at_ms, how: How::Done })
            }
            Seen::Event { topic, id, at_ms, recorded_ms, .. } if self.from.contains(topic) => {
                let recorded = recorded_ms.filter(|_| self.is_from_recorded);
                Some(Fact::Started { id: *id, at_ms: recorded.unwrap_or(*at_ms) })
            }
            Seen::Event { topic, id, cause, .. } if self.through.contains(topic) => {
                Some(Fact::Stepped { id: *id, cause: (*cause)? })
            }
            Seen::Note { room, cause, at_ms, how } if self.rooms.contains(&room.as_str()) => {
                Some(Fact::Ended { cause: *cause, at_ms: *at_ms, how: *how })
            }
            _ => None,
        }
    }
}

/// Reads what records say.
pub(super) struct Reading<'a> {
    pub codec: &'a Codec,
    pub handle: &'a Handle,
    /// Topics of which the time of the source is needed.
    pub recorded: &'a [&'static str],
}

impl Reading<'_> {
    /// Tells `each` what a record of this topic says. A value that cannot be read says nothing here: it is a dead letter of
    /// whoever had to read it.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub fn read(&self, topic: &'static str, glance: &Glance<'_>, mut each: impl FnMut(Seen)) -> Result<(), WireError> {
        let at_ms = glance.timestamp_ms().unwrap_or_default();
        let header_id = |name: &str| glance.header(name).map(event_id);
        if topic == topics::OPS_AUDIT_V1.name() {
            let Some(cause) = header_id(headers::CAUSATION_ID) else { return Ok(()) };
            let Some(audit) = self.part::<AuditPart>(glance)? else { return Ok(()) };
            // Of a copy of an event nothing is told here: what becomes of the event is told of the first.
            if matches!(audit.kind, AuditKind::Dropped | AuditKind::Suppressed) {
                each(Seen::Note { room: audit.room, cause, at_ms, how: How::LeftOut });
            }
        } else if topic == topics::OPS_DEAD_LETTER_V1.name() {
            if let (Some(cause), Some(room)) = (header_id(headers::ID), glance.header(LETTER_ROOM)) {
                each(Seen::Note { room: room.to_owned(), cause, at_ms, how: How::Lost });
            }
        } else if topic == topics::OPS_EXCEPTION_V1.name() {
            let Some(exception) = self.part::<ExceptionPart>(glance)? else { return Ok(()) };
            let id = event_id(&exception.exception_id);
            let raised_ms = exception.raised_at.millis();
            each(Seen::Raised { room: exception.room.clone(), exception: id, at_ms: raised_ms });
            // A room says that it is resolved where the event was processed: then its outputs tell what became of it, or the
            // audit that it was dropped. That a person has settled it elsewhere nothing else tells.
            let is_left_out = match exception.state {
                ExceptionState::Discarded => true,
                ExceptionState::Resolved => exception.actor.is_some(),
                _ => false,
            };
            if let (true, Some(origin)) = (is_left_out, exception.origin_event_id) {
                each(Seen::Note { room: exception.room, cause: event_id(&origin), at_ms, how: How::LeftOut });
            }
        } else if topic == topics::OPS_RECEIPT_V1.name() {
            let Some(receipt) = self.part::<ReceiptPart>(glance)? else { return Ok(()) };
            let how = match receipt.outcome {
                ReceiptOutcome::Events => How::Done,
                ReceiptOutcome::Dropped | ReceiptOutcome::Unknown => How::LeftOut,
                ReceiptOutcome::Exception | ReceiptOutcome::DeadLetter => How::Lost,
            };
            each(Seen::Received { received_ms: receipt.received_at.millis(), at_ms, how });
        } else if let Some(id) = header_id(headers::ID) {
            let recorded_ms = match self.recorded.contains(&topic) {
                true => self.part::<EventPart>(glance)?.map(|event| event.meta.recorded_at.millis()),
                false => None,
            };
            each(Seen::Event { topic, id, cause: header_id(headers::CAUSATION_ID), at_ms, recorded_ms });
        }
        Ok(())
    }

    fn part<T: DeserializeOwned>(&self, glance: &Glance<'_>) -> Result<Option<T>, WireError> {
        let Some(value) = glance.value() else { return Ok(None) };
        let opened = match self.codec.open_cached(value) {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => self.handle.block_on(self.codec.open(value)),
            Err(error) => Err(error),
        };
        match opened.and_then(|(writer, body)| Ok(schemas::codec::decode_part(&writer, body)?)) {
            Ok(part) => Ok(Some(part)),
            Err(error) if error.blames_record() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct AuditPart {
    room: String,
    #[serde(default)]
    kind: AuditKind,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExceptionPart {
    exception_id: String,
    #[serde(default)]
    state: ExceptionState,
    #[serde(default)]
    room: String,
    #[serde(default)]
    origin_event_id: Option<String>,
    #[serde(default)]
    actor: Option<String>,
    #[serde(default)]
    raised_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptPart {
    #[serde(default)]
    outcome: ReceiptOutcome,
    #[serde(default)]
    received_at: Timestamp,
}

#[derive(Deserialize)]
struct EventPart {
    meta: MetaPart,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaPart {
    recorded_at: Timestamp,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_and_other_texts_have_one_too() {
        assert_eq!(event_id("00000000-0000-0000-0000-00000000002a"), 42);
        assert_eq!(event_id("MSG1"), event_id("MSG1"));
        assert_ne!(event_id("MSG1"), event_id("MSG2"));
    }

    #[test]
    fn a_way_takes_what_is_on_it_and_nothing_else() {
        let level = topics::SERVICE_LEVELS.iter().find(|level| level.name == "usage-posted").unwrap();
        let route = Route::of(level);
        let event = |topic, cause| Seen::Event { topic, id: 2, cause, at_ms: 10, recorded_ms: Some(3) };
        assert_eq!(route.fact(&event("clinical.supply-usage.v1", None)), Some(Fact::Started { id: 2, at_ms: 10 }));
        assert_eq!(route.fact(&event("supply.usage-enriched.v1", Some(1))), Some(Fact::Stepped { id: 2, cause: 1 }));
        let done = Fact::Ended { cause: 1, at_ms: 10, how: How::Done };
        assert_eq!(route.fact(&event("erp.posting.v1", Some(1))), Some(done));
        assert_eq!(route.fact(&event("partner.supplier-notice.v1", Some(1))), None);
        let note = |room: &str| Seen::Note { room: room.to_owned(), cause: 1, at_ms: 10, how: How::LeftOut };
        assert_eq!(route.fact(&note("validate")), Some(Fact::Ended { cause: 1, at_ms: 10, how: How::LeftOut }));
        // That a supplier is not told about a usage says nothing about its posting.
        assert_eq!(route.fact(&note("supplier-fanout")), None);
        let recorded = Route { is_from_recorded: true, ..route };
        assert_eq!(recorded.fact(&event("clinical.supply-usage.v1", None)), Some(Fact::Started { id: 2, at_ms: 3 }));
    }
}
