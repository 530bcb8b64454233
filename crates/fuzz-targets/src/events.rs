//! What every event that a source makes must be.

use schemas::Event;
use schemas::codec::{decode, encode, to_json};

/// An event can be written by its contract, read back the same, and read by tools; it has an id and a key.
pub(crate) fn check<T: Event + PartialEq + std::fmt::Debug>(event: &T) {
    let mut bytes = Vec::new();
    let written = encode(event, 1, &mut bytes);
    assert!(written.is_ok(), "{written:?}: {event:?}");
    let contract = T::contract();
    assert!(contract.is_ok());
    let Ok(contract) = contract else { return };
    let body = &bytes[schemas::codec::FRAME_LENGTH..];
    assert_eq!(decode::<T>(contract, body).as_ref(), Ok(event));
    let shown = to_json(contract, body);
    assert!(shown.is_ok(), "{shown:?}");
    assert!(!event.key().is_empty(), "an event without a key: {event:?}");
    assert!(event.event_id().is_some_and(|id| !id.is_empty()), "an event without an id: {event:?}");
}
