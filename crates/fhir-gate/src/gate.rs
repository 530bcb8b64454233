//! Whether a resource is what FHIR says it is, by the typed models of `fhir-sdk` (R4 by its R4B models).
//!
//! The models are the judge only. The mapping reads the JSON itself, because in the models decimals are `f64` (1.50 becomes
//! 1.5), a time loses how exactly it was given, and a `[x]` element with an unusable value silently becomes absent.
//!
//! R4 through R4B: the six types that are mapped are the same in both. What differs is the list of resource types, so
//! `contained` is left out here: R4 resources may contain types that R4B no longer has (`SubstanceSpecification`, for
//! example). A contained Device is judged when it is used.

use crate::json::Json;
use crate::version::Version;
use fhir_sdk::{r4b, r5};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use std::fmt;

/// What does not conform, without repeating a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Place below the resource, innermost first; see [`Mismatch::path`].
    steps: Vec<String>,
    /// What is wrong there.
    pub problem: String,
}

impl Mismatch {
    /// The place as a FHIR path below the resource, for example `location[0].status`.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.steps.iter().rev() {
            if !step.starts_with('[') && !path.is_empty() {
                path.push('.');
            }
            path.push_str(step);
        }
        path
    }
}

/// Checks a resource of one of the mapped types; every other type passes.
///
/// # Errors
/// The first place that does not conform.
pub fn check(version: Version, resource_type: &str, resource: &Json) -> Result<(), Mismatch> {
    match (version, resource_type) {
        (Version::R4, "Encounter") => conforms::<r4b::resources::Encounter>(resource),
        (Version::R4, "Procedure") => conforms::<r4b::resources::Procedure>(resource),
        (Version::R4, "Device") => conforms::<r4b::resources::Device>(resource),
        (Version::R4, "DeviceUseStatement") => conforms::<r4b::resources::DeviceUseStatement>(resource),
        (Version::R4, "SupplyDelivery") => conforms::<r4b::resources::SupplyDelivery>(resource),
        (Version::R4, "ChargeItem") => conforms::<r4b::resources::ChargeItem>(resource),
        (Version::R5, "Encounter") => conforms::<r5::resources::Encounter>(resource),
        (Version::R5, "Procedure") => conforms::<r5::resources::Procedure>(resource),
        (Version::R5, "Device") => conforms::<r5::resources::Device>(resource),
        (Version::R5, "DeviceUsage") => conforms::<r5::resources::DeviceUsage>(resource),
        (Version::R5, "SupplyDelivery") => conforms::<r5::resources::SupplyDelivery>(resource),
        (Version::R5, "ChargeItem") => conforms::<r5::resources::ChargeItem>(resource),
        _ => Ok(()),
    }
}

fn conforms<'de, T: Deserialize<'de>>(resource: &'de Json) -> Result<(), Mismatch> {
    T::deserialize(Typed { json: resource, skip: &["contained", "text"] }).map(drop)
}

/// Feeds a [`Json`] to a typed model. `serde_json` cannot: with exact numbers it breaks the models' `[x]` elements.
#[derive(Clone, Copy)]
struct Typed<'de> {
    json: &'de Json,
    skip: &'static [&'static str],
}

impl<'de> Deserializer<'de> for Typed<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.json {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Text(text) => visitor.visit_borrowed_str(text),
            Json::Number(text) => {
                if let Ok(number) = text.parse::<u64>() {
                    visitor.visit_u64(number)
                } else if let Ok(number) = text.parse::<i64>() {
                    visitor.visit_i64(number)
                } else {
                    visitor.visit_f64(text.parse().map_err(de::Error::custom)?)
                }
            }
            Json::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Json::Object(_) => visitor.visit_map(self.members()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.json.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.json {
            Json::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Json::Object(_) => visitor.visit_enum(MapAccessDeserializer::new(self.members())),
            _ => Err(de::Error::custom("a code")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> Typed<'de> {
    fn members(self) -> Members<'de> {
        let members = if let Json::Object(object) = self.json { object.members.as_slice() } else { &[] };
        Members { members: members.iter(), skip: self.skip, value: None }
    }
}

struct Members<'de> {
    members: std::slice::Iter<'de, (String, Json)>,
    skip: &'static [&'static str],
    value: Option<(&'de str, &'de Json)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let skip = self.skip;
        let Some((name, value)) = self.members.find(|(name, _)| !skip.contains(&name.as_str())) else {
            return Ok(None);
        };
        self.value = Some((name, value));
        let name: StrDeserializer<'_, Mismatch> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let (name, json) = self.value.take().ok_or_else(|| de::Error::custom("a value"))?;
        seed.deserialize(Typed { json, skip: &[] }).map_err(|mismatch| mismatch.below(name.to_owned()))
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Json>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        let Some((index, json)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Typed { json, skip: &[] }).map(Some).map_err(|mismatch| mismatch.below(format!("[{index}]")))
    }
}

impl Mismatch {
    fn below(mut self, step: String) -> Self {
        self.steps.push(step);
        self
    }

    fn new(problem: impl Into<String>) -> Self {
        Self { steps: Vec::new(), problem: problem.into() }
    }
}

impl de::Error for Mismatch {
    /// The models' own messages repeat the value, so they are not passed on.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new("the value is not allowed here")
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // The models' own names for shapes say nothing to a person.
        let expected = expected.to_string();
        let shape = match expected.split(' ').next() {
            Some("struct" | "map") => "an object",
            Some("a") if expected == "a sequence" => "an array",
            _ => &expected,
        };
        Self::new(format!("expected {shape}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::new("the code is not in the value set")
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("{field} is missing"))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path(), self.problem)
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn verdict(version: Version, resource: &str) -> String {
        let json = Json::read(resource.as_bytes()).unwrap();
        match check(version, json.text("resourceType").unwrap(), &json) {
            Ok(()) => "ok".to_owned(),
            Err(mismatch) => mismatch.to_string(),
        }
    }

    const CLASS: &str = r#""class":{"code":"IMP"}"#;

    #[test]
    fn statuses_belong_to_a_version() {
        let r4 = |status: &str| {
            verdict(Version::R4, &format!(r#"{{"resourceType":"Encounter","status":"{status}",{CLASS}}}"#))
        };
        let r5 = |status: &str| verdict(Version::R5, &format!(r#"{{"resourceType":"Encounter","status":"{status}"}}"#));
        assert_eq!((r4("triaged"), r5("discharged")), ("ok".to_owned(), "ok".to_owned()));
        assert_eq!(r4("discharged"), "status: the value is not allowed here");
        assert_eq!(r5("triaged"), "status: the value is not allowed here");
    }

    #[test]
    fn numbers_inside_choices_pass_although_the_workspace_keeps_numbers_exact() {
        let delivery = r#"{"resourceType":"SupplyDelivery","suppliedItem":{"quantity":{"value":1.50},
            "itemCodeableConcept":{"text":"x"}},"extension":[{"url":"u","valueDecimal":1.5}]}"#;
        assert_eq!(verdict(Version::R4, delivery), "ok");
    }

    #[test]
    fn an_r4_resource_may_contain_a_type_that_r4b_no_longer_has() {
        let contained = r#"[{"resourceType":"SubstanceSpecification","id":"s"}]"#;
        let text = format!(
            r#"{{"resourceType":"Procedure","status":"completed","subject":{{"reference":"Patient/1"}},"contained":{contained}}}"#
        );
        assert_eq!(verdict(Version::R4, &text), "ok");
    }

    #[test]
    fn a_mismatch_has_its_place_and_no_value() {
        let text = r#"{"resourceType":"Procedure","status":"completed","subject":{"reference":"Patient/1"},
            "focalDevice":[{"manipulated":{"reference":17}}]}"#;
        assert_eq!(verdict(Version::R4, text), "focalDevice[0].manipulated.reference: expected a string");
        assert_eq!(
            verdict(Version::R4, r#"{"resourceType":"Procedure","status":"completed"}"#),
            ": subject is missing"
        );
    }
}
