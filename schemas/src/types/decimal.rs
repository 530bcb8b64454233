//! Exact decimals in Avro `decimal` fields.
//!
//! The Avro writer would round a value with more digits than the schema has. These modules refuse it instead, and bytes or a text with
//! more digits when they are read: a quantity or an amount is never changed silently, and what was read can be written.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

/// Makes the serde module of one precision and scale.
macro_rules! decimal_module {
    ($(#[$doc:meta])* $name:ident, $precision:literal, $scale:literal) => {
        $(#[$doc])*
        pub mod $name {
            use super::{Decimal, Deserializer, Exact, Serializer, read_exact, serialize_exact};
            use serde::Deserialize;

            /// Writes the decimal; an error when it does not fit without rounding.
            ///
            /// # Errors
            /// More digits than the schema has.
            pub fn serialize<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_exact(value, $precision, $scale, serializer)
            }

            /// Reads the decimal.
            ///
            /// # Errors
            /// Not a decimal, or one with more digits than the schema has.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
                read_exact(Exact::deserialize(deserializer)?, $precision, $scale)
            }

            /// The same for an optional field.
            pub mod option {
                use super::super::{Decimal, Deserializer, Exact, Serializer, read_exact, serialize_exact};
                use serde::Deserialize;

                /// Writes the decimal or null; an error when it does not fit without rounding.
                ///
                /// # Errors
                /// More digits than the schema has.
                pub fn serialize<S: Serializer>(
                    value: &Option<Decimal>,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    match value {
                        Some(value) => serialize_exact(value, $precision, $scale, serializer),
                        None => serializer.serialize_none(),
                    }
                }

                /// Reads the decimal or null.
                ///
                /// # Errors
                /// Neither null nor a decimal, or one with more digits than the schema has.
                pub fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Option<Decimal>, D::Error> {
                    let exact = Option::<Exact>::deserialize(deserializer)?;
                    exact.map(|exact| read_exact(exact, $precision, $scale)).transpose()
                }
            }
        }
    };
}

decimal_module!(
    /// `decimal(18,4)`: money.
    decimal18_4, 18, 4
);
decimal_module!(
    /// `decimal(18,6)`: quantities.
    decimal18_6, 18, 6
);

struct Exact(Decimal);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DecimalVisitor;

        impl<'de> Visitor<'de> for DecimalVisitor {
            type Value = Exact;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a decimal as text, for example \"1.5\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Exact, E> {
                Decimal::from_str(text).map(Exact).map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Exact, E> {
                Ok(Exact(Decimal::from(number)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Exact, E> {
                Ok(Exact(Decimal::from(number)))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Exact, A::Error> {
                // A JSON number arrives as a map, because JSON numbers keep their text in this workspace.
                let number = serde_json::Number::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Decimal::from_str(&number.to_string()).map(Exact).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(DecimalVisitor)
    }
}

fn serialize_exact<S: Serializer>(
    value: &Decimal,
    precision: u32,
    scale: u32,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let exact = fitting(value, precision, scale).map_err(serde::ser::Error::custom)?;
    serializer.collect_str(&exact)
}

fn read_exact<E: Error>(Exact(value): Exact, precision: u32, scale: u32) -> Result<Decimal, E> {
    fitting(&value, precision, scale).map(|_| value).map_err(E::custom)
}

/// The same value with so many decimal places, or why it has none.
fn fitting(value: &Decimal, precision: u32, scale: u32) -> Result<Decimal, String> {
    let mut exact = *value;
    exact.rescale(scale);
    if exact != *value || exact.scale() != scale {
        return Err(format!("a decimal has more than {scale} decimal places or too many digits"));
    }
    if exact.mantissa().unsigned_abs() >= 10_u128.pow(precision) {
        return Err(format!("a decimal has more than {precision} digits"));
    }
    Ok(exact)
}
