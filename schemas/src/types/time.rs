//! Points in time and calendar days.

use std::fmt;
use std::str::FromStr;

use jiff::civil;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text or a number that is no time Wardline can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: {0}")]
pub struct InvalidTime(String);

/// A point in time: microseconds since 1970-01-01T00:00:00Z (`timestamp-micros`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// From microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since 1970-01-01T00:00:00Z, as Kafka counts; saturates.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Rounded down to the full hour: what a supplier may know of a time of use.
    #[must_use]
    pub const fn hour(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(3_600_000_000)))
    }

    /// The day in UTC.
    #[must_use]
    pub fn date(self) -> Date {
        let days = self.0.div_euclid(86_400_000_000);
        Date(i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }))
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(formatter, "{timestamp}"),
            Err(_) => write!(formatter, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    /// Reads RFC 3339 with an offset, and what is written of a time beyond the years that it has.
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        if let Some(micros) = text.strip_suffix("us").and_then(|number| number.parse().ok()) {
            return Ok(Self(micros));
        }
        text.parse::<jiff::Timestamp>().map(Self::from).map_err(|error| InvalidTime(error.to_string()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer)
    }
}

/// A calendar day: days since 1970-01-01 (`date`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Date(pub i32);

impl Date {
    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The day with these numbers; `None` when there is no such day.
    #[must_use]
    pub fn from_ymd(year: i16, month: i8, day: i8) -> Option<Self> {
        civil::Date::new(year, month, day).ok().map(Self::from)
    }

    /// As a calendar date; `None` outside the years -9999 to 9999.
    #[must_use]
    pub fn to_civil(self) -> Option<civil::Date> {
        civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(self.0).ok()?).ok()
    }
}

impl From<civil::Date> for Date {
    fn from(date: civil::Date) -> Self {
        let days = civil::date(1970, 1, 1).duration_until(date).as_hours().div_euclid(24);
        Self(i32::try_from(days).unwrap_or_default())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_civil() {
            Some(date) => write!(formatter, "{date}"),
            None => write!(formatter, "{}d", self.0),
        }
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Date {
    type Err = InvalidTime;

    /// Reads `YYYY-MM-DD`, and what is written of a day beyond the years that it has.
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        if let Some(days) = text.strip_suffix('d').and_then(|number| number.parse().ok()) {
            return Ok(Self(days));
        }
        text.parse::<civil::Date>().map(Self::from).map_err(|error| InvalidTime(error.to_string()))
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.0)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer)
    }
}

/// A time that is a number in Avro and may be text in JSON.
trait Time: FromStr<Err = InvalidTime> {
    fn from_number(number: i64) -> Option<Self>;
}

impl Time for Timestamp {
    fn from_number(number: i64) -> Option<Self> {
        Some(Self(number))
    }
}

impl Time for Date {
    fn from_number(number: i64) -> Option<Self> {
        i32::try_from(number).ok().map(Self)
    }
}

fn number_or_text<'de, T: Time, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct TimeVisitor<T>(std::marker::PhantomData<T>);

    impl<'de, T: Time> Visitor<'de> for TimeVisitor<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a time as a number or as RFC 3339 text")
        }

        fn visit_i32<E: Error>(self, number: i32) -> Result<T, E> {
            self.visit_i64(i64::from(number))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            T::from_number(number).ok_or_else(|| E::custom("time out of range"))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
            let number = i64::try_from(number).map_err(E::custom)?;
            self.visit_i64(number)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            // A JSON number arrives as a map, because JSON numbers keep their text in this workspace.
            let number = serde_json::Number::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
            let number = number.as_i64().ok_or_else(|| A::Error::custom("not a whole number"))?;
            self.visit_i64(number)
        }
    }

    deserializer.deserialize_any(TimeVisitor(std::marker::PhantomData))
}
