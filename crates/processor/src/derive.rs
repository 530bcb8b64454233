//! What an event inherits from the event it was made of.

use schemas::{Date, Event, EventMeta, Source, SourceFormat, Timestamp, event_type, identity};

/// The envelope of the one event of type `T` that `room` makes from `input`; no envelope gives an empty one.
///
/// The id depends on the input's id and the room alone, so a replay gives the same one. Business key, revision, action
/// and times stay: it is the same fact, known better. The source becomes the room and the event it read.
#[must_use]
pub fn derived<T: Event>(input: &impl Event, room: &str) -> EventMeta {
    let Some(meta) = input.meta() else { return EventMeta::default() };
    let source = Source {
        system: room.to_owned(),
        format: SourceFormat::Wardline,
        message_type: input.event_type().into_owned(),
        message_id: meta.event_id.clone(),
        position: 0,
        ..meta.source.clone()
    };
    let event_id = identity::event_id(room, &meta.event_id, "0", &event_type(T::topic().name, None));
    EventMeta { event_id, source, ..meta.clone() }
}

/// Which statement about its fact an event makes, for the keys of effects: the revision, and behind a dot the number of the
/// correction when Wardline made it anew. What the source said keeps the key that it had before there were corrections.
///
/// ```
/// use wardline_processor::{is_newer, statement};
/// use schemas::EventMeta;
/// let first = EventMeta::default();
/// let corrected = EventMeta { correction: 3, ..EventMeta::default() };
/// let second = EventMeta { revision: 1, ..EventMeta::default() };
/// assert_eq!((statement(&first), statement(&corrected), statement(&second)), ("0".into(), "0.3".into(), "1".into()));
/// assert!(is_newer(&corrected, &first) && is_newer(&second, &corrected) && !is_newer(&first, &first));
/// ```
#[must_use]
pub fn statement(meta: &EventMeta) -> String {
    match meta.correction {
        0 => meta.revision.to_string(),
        correction => format!("{}.{correction}", meta.revision),
    }
}

/// Whether an event says more than another of the same fact: a later revision, or the same revision corrected again.
#[must_use]
pub fn is_newer(one: &EventMeta, other: &EventMeta) -> bool {
    (one.revision, one.correction) > (other.revision, other.correction)
}

/// The calendar day of the fact where it happened: with the offset of its place, else in UTC. What has a validity (a lot,
/// a cost centre) is judged by this day, never by the day of processing.
#[must_use]
pub fn day_of(meta: &EventMeta) -> Date {
    let at = meta.occurred_at.unwrap_or(meta.recorded_at);
    let offset_micros = i64::from(meta.occurred_offset_minutes.unwrap_or(0)) * 60_000_000;
    Timestamp(at.0.saturating_add(offset_micros)).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::{EnrichedUsage, SupplyUsage, ValidatedUsage};

    #[test]
    fn derived_ids_repeat_and_differ_by_room_and_type() {
        let meta = EventMeta { event_id: "e1".to_owned(), revision: 2, ..EventMeta::default() };
        let usage = SupplyUsage { meta, ..SupplyUsage::default() };
        let once = derived::<ValidatedUsage>(&usage, "validate");
        assert_eq!(once, derived::<ValidatedUsage>(&usage, "validate"));
        assert_eq!((once.revision, once.source.message_id.as_str()), (2, "e1"));
        assert_ne!(once.event_id, derived::<ValidatedUsage>(&usage, "other").event_id);
        assert_ne!(once.event_id, derived::<EnrichedUsage>(&usage, "validate").event_id);
    }

    #[test]
    fn the_day_is_that_of_the_place() {
        // 2026-03-01T23:30:00Z is the next day at +01:00.
        let micros = 1_772_407_800_000_000;
        let meta = EventMeta { occurred_at: Some(Timestamp(micros)), ..EventMeta::default() };
        assert_eq!(day_of(&meta).to_string(), "2026-03-01");
        let meta = EventMeta { occurred_offset_minutes: Some(60), ..meta };
        assert_eq!(day_of(&meta).to_string(), "2026-03-02");
    }
}
