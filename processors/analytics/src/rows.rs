//! From events to the rows of a file. Pure: the same records give the same rows.

use crate::columns::{Column, Kind, Shape, Treatment};
use crate::config::AnalyticsConfig;
use crate::input::AnalyticsInput;
use crate::tokens::Tokens;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Int32Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use connector::sink::SinkRecord;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Microseconds of an hour.
const HOUR_MICROS: i64 = 3_600_000_000;
/// Microseconds of a day.
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// The rows of one batch of a partition.
///
/// # Errors
/// When a value does not have the type of its contract.
pub fn rows(
    topic: &str,
    partition: i32,
    columns: &[Column],
    records: &[SinkRecord<AnalyticsInput>],
    config: &AnalyticsConfig,
    tokens: &Tokens,
) -> Result<RecordBatch, String> {
    let events: Vec<Value> = records
        .iter()
        .map(|record| record.input.fields())
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let mut fields = vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
    ];
    let mut arrays = places(topic, partition, records);
    for column in columns {
        fields.push(Field::new(&column.name, data_type(&column.kind), true));
        arrays.push(array(column, &events, tokens).map_err(|reason| format!("{}: {reason}", column.name))?);
    }
    let about = [("wardline.topic", topic), ("wardline.purpose", config.purpose.as_str())];
    let about: HashMap<String, String> = about.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let schema = Arc::new(Schema::new_with_metadata(fields, about));
    RecordBatch::try_new(schema, arrays).map_err(|error| error.to_string())
}

fn places(topic: &str, partition: i32, records: &[SinkRecord<AnalyticsInput>]) -> Vec<ArrayRef> {
    let (mut topics, mut partitions) = (StringBuilder::new(), Int32Builder::new());
    let mut offsets = Int64Builder::new();
    for record in records {
        topics.append_value(topic);
        partitions.append_value(partition);
        offsets.append_value(record.offset);
    }
    vec![Arc::new(topics.finish()), Arc::new(partitions.finish()), Arc::new(offsets.finish())]
}

fn data_type(kind: &Kind) -> DataType {
    match kind {
        Kind::Text | Kind::List(_) => DataType::Utf8,
        Kind::Whole => DataType::Int64,
        Kind::Truth => DataType::Boolean,
        Kind::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
        Kind::Day => DataType::Date32,
        Kind::Moment => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

fn array(column: &Column, events: &[Value], tokens: &Tokens) -> Result<ArrayRef, String> {
    let values = events.iter().map(|event| value_at(event, &column.path));
    match &column.kind {
        Kind::Text => {
            let reference = column.path.last().map(String::as_str).unwrap_or_default();
            let text = |value: &Value| {
                let text = value.as_str()?;
                Some(if column.treatment == Treatment::Token { tokens.token(reference, text) } else { text.to_owned() })
            };
            fill(StringBuilder::new(), values, text, StringBuilder::append_option)
        }
        Kind::List(shape) => {
            let list = |value: &Value| value.is_array().then(|| kept_elements(value, shape).to_string());
            fill(StringBuilder::new(), values, list, StringBuilder::append_option)
        }
        Kind::Whole => fill(Int64Builder::new(), values, Value::as_i64, Int64Builder::append_option),
        Kind::Truth => fill(BooleanBuilder::new(), values, Value::as_bool, BooleanBuilder::append_option),
        Kind::Decimal { precision, scale } => {
            let builder = Decimal128Builder::new().with_precision_and_scale(*precision, *scale);
            let builder = builder.map_err(|error| error.to_string())?;
            let mantissa = |value: &Value| mantissa(value, *scale);
            fill(builder, values, mantissa, Decimal128Builder::append_option)
        }
        Kind::Day => {
            let day = |value: &Value| value.as_i64().and_then(|days| i32::try_from(days).ok());
            fill(Date32Builder::new(), values, day, Date32Builder::append_option)
        }
        Kind::Moment => {
            let builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
            let moment = |value: &Value| value.as_i64().map(|micros| cut(micros, column.treatment));
            fill(builder, values, moment, TimestampMicrosecondBuilder::append_option)
        }
    }
}

/// Appends each value as `read` understands it; null stays null, anything not understood is a mistake.
fn fill<'a, B: ArrayBuilder, T>(
    mut builder: B,
    values: impl Iterator<Item = Option<&'a Value>>,
    read: impl Fn(&Value) -> Option<T>,
    append: impl Fn(&mut B, Option<T>),
) -> Result<ArrayRef, String> {
    for value in values {
        let value = match value.filter(|value| !value.is_null()) {
            None => None,
            Some(value) => Some(read(value).ok_or("a value does not have the type of the contract")?),
        };
        append(&mut builder, value);
    }
    Ok(builder.finish())
}

fn value_at<'a>(event: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(event, |value, name| value.get(name))
}

/// A decimal as its digits at the scale of the column; never rounded.
fn mantissa(value: &Value, scale: i8) -> Option<i128> {
    let exact: Decimal = value.as_str()?.parse().ok()?;
    let mut scaled = exact;
    scaled.rescale(u32::try_from(scale).ok()?);
    (scaled == exact).then(|| scaled.mantissa())
}

fn cut(micros: i64, treatment: Treatment) -> i64 {
    let step = match treatment {
        Treatment::CutToDay => DAY_MICROS,
        Treatment::CutToHour => HOUR_MICROS,
        Treatment::Plain | Treatment::Token => return micros,
    };
    micros.saturating_sub(micros.rem_euclid(step))
}

/// The parts of a list that may be written.
fn kept_elements(value: &Value, shape: &Shape) -> Value {
    Value::Array(value.as_array().into_iter().flatten().map(|element| kept(element, shape)).collect())
}

fn kept(value: &Value, shape: &Shape) -> Value {
    match shape {
        Shape::Plain => value.clone(),
        Shape::Elements(shape) => kept_elements(value, shape),
        Shape::Fields(fields) => {
            let present = fields.iter().filter_map(|(name, shape)| {
                let field = value.get(name).filter(|field| !field.is_null())?;
                Some((name.clone(), kept(field, shape)))
            });
            Value::Object(Map::from_iter(present))
        }
    }
}
