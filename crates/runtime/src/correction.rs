//! What corrections make of an event before it is decided again. Its bytes stay as they came (RAW-1).
//!
//! ```text
//! bytes + {lot: "A17"} by a person             -> the same event with lot A17 and the warning WL-7230
//! bytes + wl_correction of a correcting replay -> the same revision, made anew: another id, a higher correction, WL-7231
//! ```
//! What is made of a corrected event inherits its envelope, so everything behind it says that it was corrected.

use crate::codec::{Codec, WireError};
use crate::record::Record;
use processor::Input;
use schemas::codec::CodecError;
use schemas::{Correction, identity};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Header of a record that a correcting replay has handed over: the number of the correction, `;`, and the id of the replay.
pub const CORRECTION_HEADER: &str = "wl_correction";
/// Warning of an event that a person has corrected.
pub const BY_PERSON: &str = "WL-7230";
/// Warning of an event that a replay has made anew with other master data.
pub const BY_REPLAY: &str = "WL-7231";

/// A field cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} cannot be set: {why}")]
pub struct NoSuchField {
    /// Path that was asked for.
    pub path: String,
    /// Why, in a few words.
    pub why: &'static str,
}

/// A field of an event, as JSON; nothing when there is no such place.
pub fn field<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(event, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(entries) => entries.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Sets a field of an event. `path` names fields, parted by dots; a number is a place in a list.
///
/// # Errors
/// When the event has no such place.
pub fn set(event: &mut Value, path: &str, value: Value) -> Result<(), NoSuchField> {
    let refused = |why| NoSuchField { path: path.to_owned(), why };
    let mut place = event;
    for name in path.split('.') {
        place = match place {
            Value::Object(fields) => fields.get_mut(name).ok_or_else(|| refused("there is no such field"))?,
            Value::Array(entries) => {
                let entry = name.parse::<usize>().ok().and_then(|number| entries.get_mut(number));
                entry.ok_or_else(|| refused("the list has no such entry"))?
            }
            Value::Null => return Err(refused("what holds it is not there; set that as a whole")),
            _ => return Err(refused("what holds it has no fields")),
        };
    }
    *place = value;
    Ok(())
}

/// Sets the fields of a person's correction, and says so in the envelope.
///
/// # Errors
/// When the event has no such place, or a value is no JSON.
pub fn correct(event: &mut Value, correction: &Correction) -> Result<(), NoSuchField> {
    for field in &correction.fields {
        let refused = |_| NoSuchField { path: field.path.clone(), why: "the value is no JSON" };
        set(event, &field.path, serde_json::from_str(&field.after).map_err(refused)?)?;
        warn(event, BY_PERSON, &field.path, "corrected by a person");
    }
    Ok(())
}

/// The id of an event that a correcting replay of this number has made anew.
#[must_use]
pub fn renewed_id(event_id: &str, number: i32) -> String {
    identity::event_id("correction", event_id, &number.to_string(), "")
}

/// Makes a revision anew: another event, ordered behind what the source said of this revision and before its next one.
fn renew(event: &mut Value, number: i32, replay: &str) {
    if let Some(meta) = event.get_mut("meta").and_then(Value::as_object_mut) {
        let id = renewed_id(meta.get("eventId").and_then(Value::as_str).unwrap_or_default(), number);
        meta.insert("eventId".to_owned(), json!(id));
        meta.insert("correction".to_owned(), json!(number));
    }
    warn(event, BY_REPLAY, "", &format!("made anew by replay {replay}"));
}

fn warn(event: &mut Value, code: &str, path: &str, detail: &str) {
    if let Some(warnings) = event.pointer_mut("/meta/warnings").and_then(Value::as_array_mut) {
        warnings.push(json!({"code": code, "path": path, "detail": detail}));
    }
}

/// The number and the replay of a record that a correcting replay has handed over.
fn of_replay(record: &Record) -> Option<(i32, &str)> {
    let (number, replay) = record.header(CORRECTION_HEADER)?.split_once(';')?;
    Some((number.parse().ok()?, replay))
}

/// The id of the replay that such a header names.
#[must_use]
pub fn replay_of(header: &str) -> Option<&str> {
    Some(header.split_once(';')?.1)
}

/// The header of a record that a correcting replay hands over.
pub fn header(number: i32, replay: &str) -> String {
    format!("{number};{replay}")
}

/// The event of a record as its corrections make it.
///
/// # Errors
/// When it cannot be decoded, or cannot be corrected so.
pub(crate) fn decode<I: Input>(
    codec: &Codec,
    handle: &Handle,
    record: &Record,
    correction: Option<&Correction>,
) -> Result<I, WireError> {
    let value = record.value.as_deref().unwrap_or_default();
    let (writer, body) = codec.open_on(handle, value)?;
    let replay = of_replay(record);
    let sent = I::decode(&record.place.topic, &writer, body)?;
    if replay.is_none() && correction.is_none() {
        return Ok(sent);
    }
    let mut event = sent.to_json()?;
    if let Some(correction) = correction {
        correct(&mut event, correction).map_err(|refused| CodecError::Decode(refused.to_string()))?;
    }
    if let Some((number, replay)) = replay {
        renew(&mut event, number, replay);
    }
    Ok(I::from_json(&record.place.topic, event)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::{CorrectedField, SupplyUsage};

    fn usage() -> Value {
        json!({"meta": {"eventId": "e1", "revision": 2, "warnings": []}, "lot": null, "itemRef": {"code": "a"},
            "itemRefs": [{"code": "b"}], "udi": null})
    }

    #[test]
    fn only_what_is_there_can_be_set() {
        let table = [
            ("lot", None),
            ("itemRef.code", None),
            ("itemRefs.0.code", None),
            ("itemRefs.1.code", Some("the list has no such entry")),
            ("batch", Some("there is no such field")),
            ("udi.di", Some("what holds it is not there; set that as a whole")),
            ("itemRef.code.x", Some("what holds it has no fields")),
        ];
        for (path, refused) in table {
            let mut event = usage();
            let said = set(&mut event, path, json!("x"));
            assert_eq!(said.as_ref().err().map(|refused| refused.why), refused, "{path}");
            let expected = if refused.is_none() { Some(&json!("x")) } else { field(&event, path) };
            assert_eq!(field(&event, path), expected, "{path}");
        }
    }

    #[test]
    fn fx_1_a_correcting_replay_gives_another_event_of_the_same_revision_and_the_same_each_time() {
        let (mut once, mut again, mut next) = (usage(), usage(), usage());
        renew(&mut once, 3, "r1");
        renew(&mut again, 3, "r1");
        renew(&mut next, 4, "r2");
        assert_eq!(once, again);
        assert_ne!(once["meta"]["eventId"], next["meta"]["eventId"]);
        assert_ne!(once["meta"]["eventId"], "e1");
        assert_eq!((&once["meta"]["revision"], &once["meta"]["correction"]), (&json!(2), &json!(3)));
        assert_eq!(once["meta"]["warnings"][0]["code"], BY_REPLAY);
    }

    #[test]
    fn a_corrected_event_says_so_and_is_one_of_the_contract() {
        let mut event = serde_json::to_value(SupplyUsage::default()).unwrap();
        let field = |path: &str, after: &str| CorrectedField {
            path: path.to_owned(),
            after: after.to_owned(),
            ..CorrectedField::default()
        };
        let correction = Correction { fields: vec![field("lot", "\"A17\"")], ..Correction::default() };
        correct(&mut event, &correction).unwrap();
        let usage = SupplyUsage::from_json("", event.clone()).unwrap();
        assert_eq!((usage.lot.as_deref(), usage.meta.warnings[0].path.as_str()), (Some("A17"), "lot"));
        let wrong = Correction { fields: vec![field("lot", "17")], ..Correction::default() };
        correct(&mut event, &wrong).unwrap();
        assert!(SupplyUsage::from_json("", event).is_err(), "a number is no lot");
    }
}
