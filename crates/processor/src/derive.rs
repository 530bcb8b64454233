//! What an event inherits from the event it was made of.

use schemas::{Date, Event, EventMeta, Timestamp, event_type, identity};

/// The envelope of the one event of type `T` that `room` makes from the event of `meta`.
///
/// The id depends on the input's id and the room alone, so a replay gives the same one. Business key, revision, action,
/// times and source stay: it is the same fact, known better.
#[must_use]
pub fn derived<T: Event>(meta: EventMeta, room: &str) -> EventMeta {
    let event_id = identity::event_id(room, &meta.event_id, "0", &event_type(T::topic().name, None));
    EventMeta { event_id, ..meta }
}

/// The calendar day of the fact where it happened: with the offset that was sent, else in UTC. What has a validity (a lot,
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
    use schemas::{EnrichedUsage, ValidatedUsage};

    #[test]
    fn derived_ids_repeat_and_differ_by_room_and_type() {
        let meta = EventMeta { event_id: "e1".to_owned(), revision: 2, ..EventMeta::default() };
        let once = derived::<ValidatedUsage>(meta.clone(), "validate");
        assert_eq!(once, derived::<ValidatedUsage>(meta.clone(), "validate"));
        assert_eq!(once.revision, 2);
        assert_ne!(once.event_id, derived::<ValidatedUsage>(meta.clone(), "other").event_id);
        assert_ne!(once.event_id, derived::<EnrichedUsage>(meta, "validate").event_id);
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
