//! Any Avro record as readable JSON, for tools.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{NamesRef, ResolvedSchema};
use apache_avro::types::Value;
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json};

use super::walk::walk;
use super::{CodecError, WriterSchema};
use crate::{Bytes, Date, Event, Timestamp};

/// A body as JSON: times as RFC 3339, decimals as text with their scale, bytes as base64. Our types read it back.
///
/// # Errors
/// [`CodecError`] when the body is not exactly one record of the writer's schema.
pub fn to_json(writer: &WriterSchema, mut body: &[u8]) -> Result<Json, CodecError> {
    let decode = |error: apache_avro::Error| CodecError::Decode(error.to_string());
    let schema = writer.generic()?;
    walk(writer, body)?;
    let value =
        GenericDatumReader::builder(schema).build().and_then(|reader| reader.read_value(&mut body)).map_err(decode)?;
    if !body.is_empty() {
        return Err(CodecError::Trailing(body.len()));
    }
    let resolved = ResolvedSchema::new(schema).map_err(decode)?;
    json(value, schema, resolved.get_names())
}

/// An event from JSON as [`to_json`] gives it; what is missing gets the default of the contract.
///
/// # Errors
/// [`CodecError::Decode`] when a value does not have the type of its field. The values are not repeated.
pub fn from_json<T: Event>(event: Json) -> Result<T, CodecError> {
    serde_json::from_value(event).map_err(|error| CodecError::Decode(error.to_string()))
}

fn json(value: Value, schema: &Schema, names: &NamesRef<'_>) -> Result<Json, CodecError> {
    let schema = match schema {
        Schema::Ref { name } => names.get(name).copied().unwrap_or(schema),
        other => other,
    };
    Ok(match (value, schema) {
        (Value::Union(index, inner), Schema::Union(union)) => {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let variant = union.variants().get(index).ok_or_else(|| unexpected(schema))?;
            json(*inner, variant, names)?
        }
        (Value::Record(values), Schema::Record(record)) => {
            let mut object = Map::new();
            for ((name, value), field) in values.into_iter().zip(&record.fields) {
                object.insert(name, json(value, &field.schema, names)?);
            }
            Json::Object(object)
        }
        (Value::Array(items), Schema::Array(array)) => {
            let items: Result<Vec<_>, _> = items.into_iter().map(|item| json(item, &array.items, names)).collect();
            Json::Array(items?)
        }
        (Value::Map(entries), Schema::Map(map)) => {
            let mut object = Map::new();
            for (name, value) in entries {
                object.insert(name, json(value, &map.types, names)?);
            }
            Json::Object(object)
        }
        (Value::Decimal(decimal), Schema::Decimal(shape)) => {
            let bytes = Vec::<u8>::try_from(decimal).map_err(|error| CodecError::Decode(error.to_string()))?;
            Json::from(decimal_text(&bytes, shape.scale)?)
        }
        (value, schema) => scalar(value).ok_or_else(|| unexpected(schema))?,
    })
}

fn scalar(value: Value) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Boolean(boolean) => Json::from(boolean),
        Value::Int(number) | Value::TimeMillis(number) => Json::from(number),
        Value::Long(number)
        | Value::TimeMicros(number)
        | Value::TimestampNanos(number)
        | Value::LocalTimestampMillis(number)
        | Value::LocalTimestampMicros(number)
        | Value::LocalTimestampNanos(number) => Json::from(number),
        Value::Float(number) => Json::from(number),
        Value::Double(number) => Json::from(number),
        Value::String(text) | Value::Enum(_, text) => Json::from(text),
        Value::Uuid(uuid) => Json::from(uuid.to_string()),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => Json::from(Bytes::from(bytes).to_base64()),
        Value::Date(days) => Json::from(Date(days).to_string()),
        Value::TimestampMillis(millis) => Json::from(Timestamp::from_millis(millis).to_string()),
        Value::TimestampMicros(micros) => Json::from(Timestamp(micros).to_string()),
        _ => return None,
    })
}

fn unexpected(schema: &Schema) -> CodecError {
    CodecError::Decode(format!("no JSON form for a value of {:?}", apache_avro::schema::SchemaKind::from(schema)))
}

/// Two's complement, big-endian, as a decimal.
fn decimal_text(bytes: &[u8], scale: usize) -> Result<String, CodecError> {
    let too_large = || CodecError::Decode("a decimal is too large".to_owned());
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut wide = if negative { [0xFF; 16] } else { [0; 16] };
    let start = wide.len().checked_sub(bytes.len()).ok_or_else(too_large)?;
    wide[start..].copy_from_slice(bytes);
    let scale = u32::try_from(scale).map_err(|_| too_large())?;
    Decimal::try_from_i128_with_scale(i128::from_be_bytes(wide), scale)
        .map(|decimal| decimal.to_string())
        .map_err(|_| too_large())
}
