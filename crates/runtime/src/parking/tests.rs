//! The index against what lies on a topic.

use super::*;
use std::time::Duration;

fn lane(key: &str) -> Lane {
    Lane { topic: Arc::from("t"), partition: 0, key: Arc::from(key.as_bytes()), alone: None }
}

/// The keys of the lanes that are tried, when the topic is read up to a place.
fn tried(lot: &mut ParkingLot, until: i64) -> Vec<String> {
    lot.rouse(Tick::default(), 10);
    let mut tried = Vec::new();
    while let Some((partition, offset)) = lot.aim().filter(|(_, offset)| *offset <= until) {
        if let Passed::Head(lane) = lot.pass(partition, offset) {
            tried.push(String::from_utf8_lossy(&lane.key).into_owned());
        }
    }
    tried
}

fn entry(offset: i64) -> Entry {
    Entry { origin_offset: offset, parked_at: Some(offset), ticket: None, replay: false }
}

fn hold(subject: &str) -> Hold {
    Hold {
        code: "WL-0".to_owned(),
        subjects: vec![Arc::new(Subject::new("items", subject))],
        since_micros: 0,
        exception_id: None,
        attempts: 0,
        due: Some(Tick::at(Duration::from_secs(9))),
        doubted: None,
    }
}

#[test]
fn ord_1_a_lane_gives_its_events_back_in_order_and_once() {
    let mut lot = ParkingLot::default();
    for offset in [3, 5, 5, 8] {
        lot.park(&lane("a"), entry(offset), || hold("4711"));
    }
    assert_eq!(lot.entry_count(), 3);
    let order: Vec<_> = std::iter::from_fn(|| lot.release(&lane("a"))).map(|entry| entry.origin_offset).collect();
    assert_eq!(order, [3, 5, 8]);
    assert!(lot.is_empty());
}

#[test]
fn a_subject_wakes_who_waits_for_it_and_nobody_else() {
    let mut lot = ParkingLot::default();
    lot.park(&lane("a"), entry(1), || hold("4711"));
    lot.park(&lane("b"), entry(2), || hold("4712"));
    lot.wake(&Subject::new("items", "4711"), Tick::default());
    assert_eq!(tried(&mut lot, 9), ["a"]);
    assert!(tried(&mut lot, 9).is_empty());
    assert_eq!(lot.next_due(), Some(Tick::at(Duration::from_secs(9))));
}

#[test]
fn a_decision_about_an_exception_wakes_its_lane_as_long_as_it_waits() {
    let mut lot = ParkingLot::default();
    let id = Uuid::from_u128(7);
    lot.park(&lane("a"), entry(1), || Hold { exception_id: Some(id), due: None, ..hold("4711") });
    lot.park(&lane("b"), entry(2), || Hold { due: None, ..hold("4711") });
    let decided = Subject::new(schemas::topics::OPS_EXCEPTION_V1.name(), id.to_string());
    lot.wake(&decided, Tick::default());
    assert_eq!(tried(&mut lot, 9), ["a"]);
    lot.release(&lane("a"));
    lot.wake(&decided, Tick::default());
    assert!(tried(&mut lot, 9).is_empty());
    assert!(lot.by_exception.is_empty());
}

#[test]
fn a_confirmed_entry_knows_its_place() {
    let mut lot = ParkingLot::default();
    let ticket = lot.ticket();
    lot.park(&lane("a"), Entry { parked_at: None, ticket: Some(ticket), ..entry(1) }, || hold("x"));
    lot.placed(ticket, 42);
    assert_eq!(lot.head(&lane("a")).unwrap().parked_at, Some(42));
}

#[test]
fn a_lost_partition_is_forgotten_with_its_timers() {
    let mut lot = ParkingLot::default();
    lot.park(&lane("a"), entry(1), || hold("x"));
    lot.forget(|lane| lane.partition == 0);
    assert_eq!((lot.lane_count(), lot.entry_count(), lot.next_due()), (0, 0, None));
    assert!(lot.by_since.is_empty() && lot.by_subject.is_empty());
}

#[test]
fn what_another_session_released_goes_from_wherever_it_stands() {
    let mut lot = ParkingLot::default();
    for offset in [3, 5, 8] {
        lot.park(&lane("a"), entry(offset), || hold("4711"));
    }
    for (offset, left) in [(5, 2), (5, 2), (3, 1), (9, 1), (8, 0)] {
        assert!(lot.remove_entry(&lane("a"), offset));
        assert_eq!(lot.entry_count(), left, "{offset}");
    }
    assert!(lot.is_empty() && !lot.is_awake() && lot.next_due().is_none());
}

#[test]
fn the_oldest_start_of_waiting_is_that_of_who_still_waits() {
    let mut lot = ParkingLot::default();
    let since = |since_micros| move || Hold { since_micros, ..hold("x") };
    lot.park(&lane("a"), entry(1), since(10));
    lot.park(&lane("b"), entry(2), since(20));
    lot.park(&lane("b"), entry(3), since(5));
    assert_eq!(lot.oldest_micros(), Some(10));
    lot.release(&lane("a"));
    assert_eq!(lot.oldest_micros(), Some(20));
    lot.release(&lane("b"));
    assert_eq!(lot.oldest_micros(), Some(20), "its second event waits since its key does");
    lot.release(&lane("b"));
    assert_eq!(lot.oldest_micros(), None);
}

#[test]
fn key_1_how_long_an_event_is_in_doubt_is_counted_over_all_its_tries_and_for_itself_alone() {
    let mut lot = ParkingLot::default();
    for offset in [1, 2] {
        lot.park(&lane("a"), entry(offset), || hold("4711"));
    }
    let since = Tick::at(Duration::from_secs(3));
    lot.rehold(&lane("a"), |hold| (hold.doubted, hold.due) = (Some(since), Some(Tick::default())));
    assert_eq!(tried(&mut lot, 9), ["a"]);
    assert_eq!(lot.hold(&lane("a")).unwrap().doubted, Some(since));
    lot.release(&lane("a"));
    assert_eq!(lot.hold(&lane("a")).unwrap().doubted, None);
}
