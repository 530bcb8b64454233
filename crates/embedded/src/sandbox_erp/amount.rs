//! Exact quantities and amounts of money: whole millionths, so that SQLite adds them up exactly.

use std::fmt;
use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Decimal places that are kept.
const PLACES: u32 = 6;
/// Millionths of the first number that is too large, in either direction.
const MILLIONTHS_END: i64 = 1_000_000_000_000_000_000;

/// A number with at most six decimal places and twelve digits before the point. In JSON a text, `"2.5"`, never a number,
/// because many readers of JSON make binary fractions of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(1_000_000);

    /// The exact number, or `None` when it has more than six decimal places or is too large.
    #[must_use]
    pub fn exact(value: Decimal) -> Option<Self> {
        let rounded = value.round_dp(PLACES);
        (rounded == value).then_some(())?;
        let millionths = rounded.checked_mul(Decimal::from(Self::ONE.0))?.to_i64()?;
        Self(millionths).bounded()
    }

    /// The number for arithmetic.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        Decimal::new(self.0, PLACES).normalize()
    }

    /// The sum, or `None` when it is too large.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        Self(self.0.checked_add(other.0)?).bounded()
    }

    /// The difference, or `None` when it is too large.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        Self(self.0.checked_sub(other.0)?).bounded()
    }

    /// The product, or `None` when it has more than six decimal places or is too large.
    #[must_use]
    pub fn times(self, factor: Self) -> Option<Self> {
        Self::exact(self.decimal().checked_mul(factor.decimal())?)
    }

    fn bounded(self) -> Option<Self> {
        (-MILLIONTHS_END < self.0 && self.0 < MILLIONTHS_END).then_some(self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decimal().fmt(formatter)
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = Decimal::from_str_exact(text).ok().and_then(Self::exact);
        value.ok_or_else(|| format!("`{text}` is no decimal with at most 12 digits before and 6 behind the point"))
    }
}

impl From<u32> for Amount {
    fn from(units: u32) -> Self {
        Self(i64::from(units) * Self::ONE.0)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl ToSql for Amount {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for Amount {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::Amount;

    #[test]
    fn digits_are_kept_and_what_cannot_be_kept_is_refused() {
        let amount = |text: &str| text.parse::<Amount>();
        assert_eq!(amount("2.50").unwrap().to_string(), "2.5");
        assert_eq!(amount("-0.000001").unwrap().to_string(), "-0.000001");
        assert_eq!(amount("0.1").unwrap().plus(amount("0.2").unwrap()), Some(amount("0.3").unwrap()));
        assert_eq!(amount("0.0745").unwrap().times(Amount::from(100)), Some(amount("7.45").unwrap()));
        for refused in
            ["0.0000001", "1000000000000", "-1000000000000", "1e3", "two", "", "79228162514264337593543950335"]
        {
            assert!(amount(refused).is_err(), "{refused}");
        }
        assert_eq!(amount("999999999999.999999").unwrap().plus(amount("0.000001").unwrap()), None);
    }

    #[test]
    fn json_is_text() {
        assert_eq!(serde_json::to_string(&Amount::from(3)).unwrap(), "\"3\"");
        assert_eq!(serde_json::from_str::<Amount>("\"3.0\"").unwrap(), Amount::from(3));
        assert!(serde_json::from_str::<Amount>("3.0").is_err());
    }
}
