//! Tryton's typed JSON: `{"__class__": "Decimal", "decimal": "2.35"}` and the like. Numbers are read from their text.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_json::{Number, Value, json};

/// Follows a dotted path through nested records; `Null` when it ends early.
pub(crate) fn at<'a>(record: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(record, |value, name| &value[name])
}

/// A text field that is there and not empty.
#[must_use]
pub fn text<'a>(record: &'a Value, path: &str) -> Option<&'a str> {
    at(record, path).as_str().filter(|text| !text.is_empty())
}

/// A decimal or a float, from its text, so that nothing is rounded on the way.
#[must_use]
pub fn decimal(record: &Value, path: &str) -> Option<Decimal> {
    match at(record, path) {
        Value::Number(number) => {
            let text = number.to_string();
            Decimal::from_str(&text).or_else(|_| Decimal::from_scientific(&text)).ok().map(|value| value.normalize())
        }
        typed => {
            let text = typed["decimal"].as_str()?;
            Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok()
        }
    }
}

/// A boolean, which SQLite databases give as 0 or 1.
#[must_use]
pub fn boolean(record: &Value, path: &str) -> Option<bool> {
    let value = at(record, path);
    value.as_bool().or_else(|| value.as_i64().map(|number| number != 0))
}

/// A date.
#[must_use]
pub fn date(record: &Value, path: &str) -> Option<Date> {
    let value = at(record, path);
    Date::new(part(value, "year")?, part(value, "month")?, part(value, "day")?).ok()
}

/// A date and time, which Tryton gives in UTC.
#[must_use]
pub fn timestamp(record: &Value, path: &str) -> Option<Timestamp> {
    let value = at(record, path);
    let date = date(record, path)?;
    let microsecond: i32 = part(value, "microsecond")?;
    let time = DateTime::new(
        date.year(),
        date.month(),
        date.day(),
        part(value, "hour")?,
        part(value, "minute")?,
        part(value, "second")?,
        microsecond * 1_000,
    );
    TimeZone::UTC.to_timestamp(time.ok()?).ok()
}

/// The newest of all stamps in a record and in what belongs to it.
#[must_use]
pub fn newest(record: &Value) -> Option<Timestamp> {
    match record {
        Value::Object(fields) => {
            let own = ["write_date", "create_date"].into_iter().filter_map(|stamp| timestamp(record, stamp));
            own.chain(fields.values().filter_map(newest)).max()
        }
        Value::Array(records) => records.iter().filter_map(newest).max(),
        _ => None,
    }
}

/// An internal id: a number, or the `id` of a nested record.
pub(crate) fn id(record: &Value, path: &str) -> Option<i64> {
    let value = at(record, path);
    value.as_i64().or_else(|| value["id"].as_i64())
}

/// The nested records of a list.
pub(crate) fn list<'a>(record: &'a Value, path: &str) -> &'a [Value] {
    at(record, path).as_array().map_or(&[], Vec::as_slice)
}

/// A float field: Tryton wants quantities as plain numbers; the digits are kept.
pub(crate) fn number(value: Decimal) -> Value {
    let text = value.normalize().to_string();
    Number::from_str(&text).map_or(Value::Null, Value::Number)
}

/// A numeric field.
pub(crate) fn typed_decimal(value: Decimal) -> Value {
    json!({"__class__": "Decimal", "decimal": value.to_string()})
}

/// A date field.
pub(crate) fn typed_date(date: Date) -> Value {
    json!({"__class__": "date", "year": date.year(), "month": date.month(), "day": date.day()})
}

/// A date-and-time field, in UTC.
pub(crate) fn typed_timestamp(timestamp: Timestamp) -> Value {
    let time = TimeZone::UTC.to_datetime(timestamp);
    json!({
        "__class__": "datetime", "year": time.year(), "month": time.month(), "day": time.day(),
        "hour": time.hour(), "minute": time.minute(), "second": time.second(),
        "microsecond": i32::from(time.millisecond()) * 1_000 + i32::from(time.microsecond()),
    })
}

fn part<T: TryFrom<i64>>(value: &Value, name: &str) -> Option<T> {
    value[name].as_i64().and_then(|number| T::try_from(number).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{boolean, date, decimal, number, text, timestamp, typed_date, typed_decimal, typed_timestamp};
    use jiff::Timestamp;
    use rust_decimal::Decimal;
    use serde_json::{Value, json};

    #[test]
    fn numbers_keep_their_digits() {
        let record: Value = serde_json::from_str(
            r#"{"a": 48.0, "b": 0.1, "c": {"__class__": "Decimal", "decimal": "2.3500"}, "d": 1e2, "e": null,
                "f": 0.30000000000000004}"#,
        )
        .unwrap();
        let shown = |path| decimal(&record, path).map(|value| value.to_string());
        assert_eq!(shown("a").unwrap(), "48");
        assert_eq!(shown("b").unwrap(), "0.1");
        assert_eq!(shown("c").unwrap(), "2.3500");
        assert_eq!(shown("d").unwrap(), "100");
        assert_eq!(shown("e"), None);
        assert_eq!(shown("f").unwrap(), "0.30000000000000004");
        assert_eq!(number(Decimal::new(150, 2)).to_string(), "1.5");
        assert_eq!(typed_decimal(Decimal::new(150, 2))["decimal"], "1.50");
    }

    #[test]
    fn times_are_utc_and_come_back_as_they_went() {
        let moment: Timestamp = "2026-02-03T04:05:06.789012Z".parse().unwrap();
        let record = json!({"t": typed_timestamp(moment), "d": typed_date(jiff::civil::date(2026, 2, 3))});
        assert_eq!(timestamp(&record, "t"), Some(moment));
        assert_eq!(date(&record, "d"), Some(jiff::civil::date(2026, 2, 3)));
        assert_eq!(timestamp(&record, "d"), None);
    }

    #[test]
    fn what_is_not_there_is_none() {
        let record = json!({"party": null, "active": 1, "code": ""});
        assert_eq!(text(&record, "party.code"), None);
        assert_eq!(text(&record, "code"), None);
        assert_eq!(boolean(&record, "active"), Some(true));
        assert_eq!(boolean(&record, "gone"), None);
    }
}
