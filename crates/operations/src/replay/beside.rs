//! Which replays may not run beside each other.

use super::acts::{Replays, handed};
use super::store::{blocking, settle, visit_readable};
use super::{Plan, ReplayError, ReplayState};
use runtime::codec::WireError;
use runtime::correction::{CORRECTION_HEADER, replay_of};
use runtime::reader::Range;
use schemas::{Parked, ReplaySpan, topics};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Whether another plan is handing over records of the same places.
pub(super) fn overlaps(own: &Plan, other: &Plan) -> bool {
    let same_places = |one: &ReplaySpan, two: &ReplaySpan| {
        one.partition == two.partition && one.next.max(two.next) < one.end.min(two.end)
    };
    other.replay_id != own.replay_id
        && other.state == ReplayState::Running
        && (&other.room, &other.topic) == (&own.room, &own.topic)
        && own.spans.iter().any(|one| other.spans.iter().any(|two| same_places(one, two)))
}

/// Whether another correcting replay hands over or has handed over what is ordered behind the events of this one, or has the same
/// number. Of whichever room: numbers order the events of all rooms, and those behind would be taken for older ones. One that has
/// begun and was paused before its first record has corrected nothing.
pub(super) fn supersedes(other: &Plan, own: &Plan) -> bool {
    own.correction > 0
        && other.replay_id != own.replay_id
        && other.correction >= own.correction
        && (other.state == ReplayState::Running || handed(other) > 0)
}

/// Whether another correcting replay is not done with its records: it hands them over still, or copies of it wait. Of whichever room
/// and number: what a lower number has not written yet would come behind what a higher one writes now, and be dropped as older.
pub(super) fn is_under_way(other: &Plan, own: &Plan, waiting: &HashSet<String>) -> bool {
    own.correction > 0
        && other.correction > 0
        && other.replay_id != own.replay_id
        && (other.state == ReplayState::Running || waiting.contains(&other.replay_id))
}

/// Correcting replays of which copies wait in some room.
///
/// # Errors
/// When Kafka or the registry does not answer, or more copies wait than may be held.
pub(super) async fn corrections_waiting(replays: &Arc<Replays>) -> Result<HashSet<String>, ReplayError> {
    let (of, handle, most) = (Arc::clone(replays), Handle::current(), replays.own.parked_max);
    blocking(move || {
        // Rooms park within their transactions: a copy behind one that is open cannot be read before it has ended.
        settle(&of, topics::OPS_PARKED_V1.name())?;
        let mut copies: HashMap<Vec<u8>, String> = HashMap::new();
        visit_readable(&of.config.kafka, &Range::all(topics::OPS_PARKED_V1.name()), |record| {
            let key = record.key.as_deref().unwrap_or_default();
            // The newest word on a place counts.
            copies.remove(key);
            let Some(value) = record.value.as_deref() else { return Ok(()) };
            let (writer, body) = handle.block_on(of.codec.open(value))?;
            let parked: Parked = schemas::codec::decode(&writer, body).map_err(WireError::from)?;
            let told = parked.headers.iter().find(|header| header.key == CORRECTION_HEADER);
            let told = told.and_then(|header| header.value.as_ref());
            if let Some(replay) = told.and_then(|value| replay_of(std::str::from_utf8(value.as_ref()).ok()?)) {
                copies.insert(key.to_vec(), replay.to_owned());
            }
            if copies.len() > most {
                return Err(ReplayError::TooMuch { what: "parked records", key: "parked_max", most });
            }
            Ok(())
        })?;
        Ok(copies.into_values().collect())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Timestamp;

    fn plan(id: &str, room: &str, correction: i32, state: ReplayState) -> Plan {
        let spans = vec![ReplaySpan { end: 10, ..ReplaySpan::default() }];
        let started_at = Some(Timestamp(1));
        Plan {
            replay_id: id.to_owned(),
            room: room.to_owned(),
            correction,
            state,
            spans,
            started_at,
            ..Plan::default()
        }
    }

    #[test]
    fn rpl_1_two_replays_of_the_same_places_do_not_run_at_once() {
        let own = plan("own", "enrich", 0, ReplayState::Running);
        assert!(overlaps(&own, &plan("other", "enrich", 0, ReplayState::Running)));
        for other in [
            plan("own", "enrich", 0, ReplayState::Running),
            plan("other", "validate", 0, ReplayState::Running),
            plan("other", "enrich", 0, ReplayState::Paused),
        ] {
            assert!(!overlaps(&own, &other), "{other:?}");
        }
    }

    #[test]
    fn fx_1_a_correction_waits_for_another_whatever_its_room_and_number() {
        let own = plan("own", "enrich", 6, ReplayState::Running);
        let copies = |id: &str| HashSet::from([id.to_owned()]);
        let none = HashSet::new();
        for number in [5, 7] {
            let of = |state| plan("other", "validate", number, state);
            assert!(is_under_way(&of(ReplayState::Running), &own, &none), "it hands over still");
            for state in [ReplayState::Done, ReplayState::Paused, ReplayState::Aborted] {
                assert!(is_under_way(&of(state), &own, &copies("other")), "its copies wait: {state:?}");
                assert!(!is_under_way(&of(state), &own, &none), "{state:?}");
            }
        }
        assert!(!is_under_way(&own, &own, &copies("own")), "its own copies");
        let plain = plan("plain", "enrich", 0, ReplayState::Running);
        assert!(!is_under_way(&plain, &own, &none) && !is_under_way(&own, &plain, &none));
    }

    #[test]
    fn fx_1_what_a_later_correction_has_handed_over_supersedes_an_earlier_one() {
        use ReplayState::{Aborted, Done, Paused, Planned, Running};
        let own = plan("own", "enrich", 5, Running);
        for (number, state, handed, expected) in [
            (6, Running, 0, true),
            (6, Running, 3, true),
            (6, Paused, 3, true),
            (6, Aborted, 3, true),
            (6, Done, 3, true),
            (5, Done, 3, true),
            (6, Planned, 0, false),
            (6, Paused, 0, false),
            (6, Aborted, 0, false),
            (4, Running, 0, false),
            (4, Done, 3, false),
        ] {
            let mut other = plan("other", "validate", number, state);
            other.spans.iter_mut().for_each(|span| span.handed = handed);
            assert_eq!(supersedes(&other, &own), expected, "{number} {state:?}, {handed} handed over");
            assert!(!supersedes(&other, &Plan { correction: 0, ..own.clone() }), "a plain one corrects nothing");
        }
        assert!(!supersedes(&plan("own", "enrich", 5, Running), &own), "itself");
    }
}
