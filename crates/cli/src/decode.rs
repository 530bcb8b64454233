//! Any record of any topic as JSON, for people.

use runtime::codec::{Codec, WireError};
use runtime::record::Record;
use schemas::{Event, topics};
use serde_json::{Value, json};

/// Decodes the value of a record. Bytes without a schema are told by their size alone.
pub async fn to_json(codec: &Codec, record: &Record) -> Result<Value, WireError> {
    let Some(value) = record.value.as_deref() else { return Ok(Value::Null) };
    if &*record.place.topic == topics::OPS_DEAD_LETTER_V1.name() {
        return Ok(json!({"bytes": value.len()}));
    }
    let (writer, body) = codec.open(value).await?;
    Ok(schemas::codec::to_json(&writer, body)?)
}

/// Decodes one known record type; `None` for a tombstone.
pub async fn typed<T: Event>(codec: &Codec, record: &Record) -> Result<Option<T>, WireError> {
    let Some(value) = record.value.as_deref() else { return Ok(None) };
    let (writer, body) = codec.open(value).await?;
    Ok(Some(schemas::codec::decode(&writer, body)?))
}

/// Takes out what identifies a patient directly: every sub-record named `phi`, and the bytes of messages.
pub fn without_phi(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["phi", "rawValue", "value"] {
                let hidden = match (name, fields.get(name)) {
                    (_, None | Some(Value::Null)) => false,
                    // Headers of parked records also have a `value`; theirs and the record's are bytes, so text here.
                    ("value", Some(field)) => field.is_string(),
                    _ => true,
                };
                if hidden {
                    fields.insert(name.to_owned(), Value::String("***".to_owned()));
                }
            }
            fields.values_mut().for_each(without_phi);
        }
        Value::Array(entries) => entries.iter_mut().for_each(without_phi),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phi_1_what_identifies_a_patient_is_hidden_wherever_it_is() {
        let mut event = json!({"a": 1, "phi": {"patientId": "7"}, "list": [{"rawValue": "TVNI", "phi": null}]});
        without_phi(&mut event);
        assert_eq!(event, json!({"a": 1, "phi": "***", "list": [{"rawValue": "***", "phi": null}]}));
    }
}
