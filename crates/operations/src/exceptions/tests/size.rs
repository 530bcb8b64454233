//! A million parked events: counted bytes and time.

use super::super::index::{Bounds, Index};
use super::super::told::{Told, ToldOrigin};
use super::super::waiting::Origin;
use super::{USAGE, causes, due};
use runtime::clock::tick;
use schemas::{Criticality, ExceptionKind, ExceptionState};
use std::time::Duration;

const EVENTS: i64 = 1_000_000;
const KEYS: i64 = 50_000;
/// Bytes for a parked event: 24 in a table that may be half empty, and its share of what its key and its exception take.
const BYTES_MAX: usize = 64;
/// Bytes for an exception with a key of its own, its event included.
const EXCEPTION_BYTES_MAX: usize = 600;

fn key(number: i64) -> String {
    // As long as the pseudonyms that are keys.
    format!("enc_k5u2y6nhq4c7w3zmd2rfx6jtn5vao4b{number:06}")
}

fn origin(offset: i64) -> Origin<'static> {
    Origin { room: "validate", topic: USAGE, partition: i32::try_from(offset % 6).unwrap(), offset }
}

fn told(number: i64, state: ExceptionState) -> Told {
    Told {
        id: uuid::Uuid::from_u128(u128::try_from(number).unwrap() << 64).to_string(),
        partition: 0,
        offset: number,
        kind: ExceptionKind::Raised,
        state,
        room: "validate".to_owned(),
        code: "WL-4010".to_owned(),
        subject: Some("master.item.v1/4711".to_owned()),
        message: "item 4711 is not known".to_owned(),
        suggested_fix: Some("add it to the item master".to_owned()),
        class: Criticality::PatientAdjacent,
        origin: Some(ToldOrigin { topic: USAGE.to_owned(), partition: 0, offset: number, key: key(number) }),
        raised_at: number,
        at: number,
        assignee: None,
        discard_requested_by: None,
        discard_mark: None,
        correction: None,
        parked_key: true,
    }
}

#[test]
fn bnd_1_a_million_events_of_one_cause_take_tens_of_bytes_each_and_no_time_to_list() {
    let mut index = Index::new(Bounds { exceptions_max: 1_000_000, parked_max: 2_000_000 });
    for number in 0..EVENTS {
        index.park(&origin(number), &key(number % KEYS), None);
    }
    let parked = index.bytes();
    assert!(parked / 1_000_000 < BYTES_MAX, "{parked} bytes");
    (0..KEYS).for_each(|number| index.tell(told(number, ExceptionState::Open)));
    let all = index.bytes();
    assert!(all / 1_000_000 < BYTES_MAX, "{all} bytes");
    let grown = (all - parked) / usize::try_from(KEYS).unwrap();
    assert!(grown < EXCEPTION_BYTES_MAX, "{grown} bytes");

    let started = tick();
    let listed = causes(&index, 1_000);
    let took = tick().since(started);
    assert!(listed.contains("exceptions=50000 keys=50000 events=1000000 "), "{listed}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(index.causes(&due(), 0).len(), 1);

    // What is redriven gives its memory back.
    for number in 0..EVENTS {
        index.unpark(&origin(number));
    }
    (0..KEYS).for_each(|number| index.tell(told(number, ExceptionState::Resolved)));
    let left = index.bytes();
    assert!(left < parked / 2, "{left} of {parked} bytes");
    assert_eq!(causes(&index, 1_000), "");
}

#[test]
fn bnd_1_an_exception_for_every_event_is_bounded_too() {
    const MANY: i64 = 100_000;
    let mut index = Index::new(Bounds { exceptions_max: 1_000_000, parked_max: 2_000_000 });
    for number in 0..MANY {
        index.park(&origin(number), &key(number), None);
        index.tell(told(number, ExceptionState::Open));
    }
    let each = index.bytes() / usize::try_from(MANY).unwrap();
    assert!(each < EXCEPTION_BYTES_MAX, "{each} bytes");
}
