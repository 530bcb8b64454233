//! Avro records as they come from a topic.

use std::fmt::Debug;

use schemas::codec::{FRAME_LENGTH, FrameError, WriterSchema, decode, encode, split_frame, to_json};
use schemas::{Event, for_each_event};

/// Ends the schema in the input of [`avro_schema`].
const END_OF_SCHEMA: u8 = 0;

/// The input is a framed value whose schema id is the place of an event type in the list of all. What is read can be written,
/// is then read as the same, and is the same for tools, which read with another library.
pub fn avro(value: &[u8]) {
    match split_frame(value) {
        Ok((id, body)) => {
            let mut place = 0;
            for_each_event!(check_if, &mut place, id, body);
        }
        Err(FrameError::TooShort(length)) => assert!(length == value.len() && length < FRAME_LENGTH),
        Err(FrameError::Magic(first)) => assert!(first != 0 && value.first() == Some(&first)),
    }
}

fn check_if<T: Event + PartialEq + Debug>(place: &mut u32, id: u32, body: &[u8]) {
    if *place == id {
        check::<T>(body);
    }
    *place += 1;
}

fn check<T: Event + PartialEq + Debug>(body: &[u8]) {
    let Ok(contract) = T::contract() else { return };
    let shown = to_json(contract, body);
    let Ok(record) = decode::<T>(contract, body) else { return };
    let mut written = Vec::new();
    let outcome = encode(&record, 1, &mut written);
    assert!(outcome.is_ok(), "{outcome:?}: {record:?}");
    assert_eq!(decode::<T>(contract, &written[FRAME_LENGTH..]).as_ref(), Ok(&record));
    // The libraries differ in what of a broken body they refuse; what both read must be the same.
    if let (Ok(shown), true) = (shown, has_plain_id(&record)) {
        let text = shown.to_string();
        let again = serde_json::from_str::<T>(&text);
        assert!(again.is_ok(), "{again:?}: {text}");
        assert_eq!(again.ok().as_ref(), Some(&record));
    }
}

/// Tools write every spelling of a UUID in the one way, so only a record with that spelling can be compared.
fn has_plain_id<T: Event>(record: &T) -> bool {
    let is_plain = |place: usize, byte: u8| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    record
        .event_id()
        .is_none_or(|id| id.len() == 36 && id.bytes().enumerate().all(|(place, byte)| is_plain(place, byte)))
}

/// The input is a schema as a registry may hold it, a zero byte, and a body. A schema that compiles reads any body, with our
/// types and for tools, as a record or an error.
pub fn avro_schema(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == END_OF_SCHEMA).unwrap_or(input.len());
    let Ok(text) = std::str::from_utf8(&input[..end]) else { return };
    let Ok(writer) = WriterSchema::parse(text) else { return };
    assert_eq!(writer.json(), text);
    let body = input.get(end + 1..).unwrap_or_default();
    let _readable = to_json(&writer, body);
    let _usage = decode::<schemas::SupplyUsage>(&writer, body);
}
