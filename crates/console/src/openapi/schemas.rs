//! The schemas of what calls answer with, by name. They are written down rather than made, so that a change of an answer is a
//! change of the contract that somebody sees; the tests of the console compare every answer with them.

use serde_json::{Map, Value};

/// The schemas by what they are about. Every object says all its fields, and that it has no others.
pub const FILES: &[(&str, &str)] = &[
    ("common", include_str!("common.json")),
    ("exceptions", include_str!("exceptions.json")),
    ("groups", include_str!("groups.json")),
    ("people", include_str!("people.json")),
    ("reconciliation", include_str!("reconciliation.json")),
    ("records", include_str!("records.json")),
    ("replay", include_str!("replay.json")),
    ("shadow", include_str!("shadow.json")),
    ("sight", include_str!("sight.json")),
];

/// All of them.
#[must_use]
pub fn all() -> Map<String, Value> {
    // That each file can be read is what a test holds.
    FILES.iter().flat_map(|(_, text)| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default()).collect()
}

/// Where the schema with this name stands in the document.
#[must_use]
pub fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::openapi::document;
    use crate::routes::ROUTES;
    use std::collections::BTreeSet;

    /// What is named by `$ref` and by discriminators.
    fn named(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => found.extend(text.strip_prefix("#/components/schemas/").map(str::to_owned)),
            Value::Array(entries) => entries.iter().for_each(|entry| named(entry, found)),
            Value::Object(fields) => fields.values().for_each(|field| named(field, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn every_schema_is_written_once_and_there_is_one_for_every_call() {
        let all = all();
        let each = FILES.iter().map(|(name, text)| {
            serde_json::from_str::<Map<String, Value>>(text)
                .unwrap_or_else(|error| panic!("{name}.json: {error}"))
                .len()
        });
        assert_eq!(each.sum::<usize>(), all.len(), "a name stands twice");
        for route in ROUTES {
            assert_eq!(route.api.is_some(), !route.answer.is_empty(), "{:?} {:?}", route.page, route.api);
            assert!(route.answer.is_empty() || all.contains_key(route.answer), "there is no schema {}", route.answer);
        }
    }

    #[test]
    fn every_reference_resolves_and_every_schema_is_used() {
        let all: BTreeSet<String> = all().into_iter().map(|(name, _)| name).collect();
        let mut found = BTreeSet::new();
        named(&document(), &mut found);
        let missing: Vec<_> = found.difference(&all).collect();
        let unused: Vec<_> = all.difference(&found).collect();
        assert!(missing.is_empty() && unused.is_empty(), "missing: {missing:?}, unused: {unused:?}");
    }

    #[test]
    fn every_object_says_what_it_holds_and_what_that_means() {
        for (name, schema) in all() {
            assert!(schema["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
            let Some(properties) = schema["properties"].as_object() else { continue };
            // The document of the API is what OpenAPI says, so its parts are not written down again.
            assert_eq!(schema["additionalProperties"], false, "{name}");
            for (field, schema) in properties {
                let is_tag = schema["const"].is_string();
                assert!(is_tag || schema["description"].is_string(), "{name}.{field} does not say what it is");
            }
            for required in schema["required"].as_array().unwrap() {
                assert!(properties.contains_key(required.as_str().unwrap()), "{name}.{required}");
            }
        }
    }
}
