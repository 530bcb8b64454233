//! Exact decimals in Avro `decimal` fields.
//!
//! The Avro writer would round a value with more digits than the schema has. These modules refuse it instead: a quantity
//! or an amount is never changed silently.

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
            use super::{Decimal, Deserializer, Exact, Serializer, serialize_exact};
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
            /// Not a decimal.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
                Exact::deserialize(deserializer).map(|exact| exact.0)
            }

            /// The same for an optional field.
            pub mod option {
                use super::super::{Decimal, Deserializer, Exact, Serializer, serialize_exact};
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
                /// Neither null nor a decimal.
                pub fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Option<Decimal>, D::Error> {
                    Ok(Option::<Exact>::deserialize(deserializer)?.map(|exact| exact.0))
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
    use serde::ser::Error as _;
    let mut exact = *value;
    exact.rescale(scale);
    if exact != *value || exact.scale() != scale {
        return Err(S::Error::custom(format_args!(
            "a decimal has more than {scale} decimal places or too many digits"
        )));
    }
    if exact.mantissa().unsigned_abs() >= 10_u128.pow(precision) {
        return Err(S::Error::custom(format_args!("a decimal has more than {precision} digits")));
    }
    serializer.collect_str(&exact)
}
