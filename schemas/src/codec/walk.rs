//! Whether a body can be read at all, found out without keeping any of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{CodecError, WriterSchema, decode_part};

/// Reads a body from its first to its last byte. The library for tools has no bound of its own for values within values, which a
/// schema that names itself allows: a body of some kilobytes would use up the stack. The one that reads here has (64).
///
/// # Errors
/// As [`decode_part`].
pub(super) fn walk(writer: &WriterSchema, body: &[u8]) -> Result<(), CodecError> {
    decode_part::<Walked>(writer, body).map(drop)
}

/// Any value. Not `IgnoredAny`: for that, blocks that tell their length are passed over, with whatever is in them.
struct Walked;

impl<'de> Deserialize<'de> for Walked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walker)
    }
}

struct Walker;

macro_rules! scalars {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, _: $type) -> Result<Walked, E> {
            Ok(Walked)
        })*
    };
}

impl<'de> Visitor<'de> for Walker {
    type Value = Walked;

    scalars!(
        visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_str: &str,
        visit_bytes: &[u8]
    );

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Walked, E> {
        Ok(Walked)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Walked, E> {
        Ok(Walked)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Walked, D::Error> {
        Walked::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Walked, D::Error> {
        Walked::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Walked, A::Error> {
        while items.next_element::<Walked>()?.is_some() {}
        Ok(Walked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Walked, A::Error> {
        while entries.next_entry::<Walked, Walked>()?.is_some() {}
        Ok(Walked)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<Walked, A::Error> {
        let (Walked, value) = variant.variant()?;
        value.newtype_variant()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::super::to_json;
    use super::*;

    const OF_ITSELF: &str =
        r#"{"type":"record","name":"R","fields":[{"name":"q","type":{"type":"array","items":"R"}}]}"#;

    /// Records within records: each is a list of one, in a block that tells its length or not, and the last one is empty.
    fn nested(depth: usize, with_length: bool) -> Vec<u8> {
        let mut body = vec![0];
        for _ in 0..depth {
            let mut outer = if with_length { vec![1] } else { vec![2] };
            if with_length {
                let mut length = body.len() * 2;
                while length > 0x7F {
                    outer.push(u8::try_from(length & 0x7F).unwrap() | 0x80);
                    length >>= 7;
                }
                outer.push(u8::try_from(length).unwrap());
            }
            outer.append(&mut body);
            outer.push(0);
            body = outer;
        }
        body
    }

    #[test]
    fn bnd_1_values_within_values_are_bounded_for_tools_too() {
        let writer = WriterSchema::parse(OF_ITSELF).unwrap();
        for with_length in [false, true] {
            let shown = to_json(&writer, &nested(20, with_length)).unwrap().to_string();
            assert_eq!(shown.matches("\"q\"").count(), 21, "{shown}");
            let refused = to_json(&writer, &nested(4_000, with_length)).unwrap_err();
            assert_eq!(refused.code(), "WL-6004", "{refused}");
        }
    }
}
