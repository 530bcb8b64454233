//! Decimals in facts: every digit, and small.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Writes mantissa and scale.
pub fn serialize<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    (value.mantissa(), value.scale()).serialize(serializer)
}

/// Reads mantissa and scale.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let (mantissa, scale) = <(i128, u32)>::deserialize(deserializer)?;
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(D::Error::custom)
}

/// The same where there may be none.
pub mod optional {
    use super::{Decimal, Deserialize, Deserializer, Serialize, Serializer};
    use serde::de::Error as _;

    /// Writes mantissa and scale, or none.
    pub fn serialize<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| (value.mantissa(), value.scale())).serialize(serializer)
    }

    /// Reads mantissa and scale, or none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
        let read = Option::<(i128, u32)>::deserialize(deserializer)?;
        let exact = read.map(|(mantissa, scale)| Decimal::try_from_i128_with_scale(mantissa, scale));
        exact.transpose().map_err(D::Error::custom)
    }
}
