//! FHIR JSON: the reader, the verdict on conformance, the mapping.

use std::sync::OnceLock;

use fhir::json::{Json, JsonErrorKind};
use fhir::{ClinicalEvent, Context, EmptyShelf, Outcome, Parsed, Profile, Seen, parse};
use schemas::identity::Pseudonymizer;
use serde_json::Value;

use crate::{NOW, PSEUDONYM_KEY, events};

/// The reader agrees with `serde_json` on what JSON is and says; every resource ends in one outcome, always the same, at a
/// place in the input; and its events can be written.
pub fn fhir(input: &[u8]) {
    check_json(input);
    let Some(profile) = profile() else { return };
    let context = Context { profile, version: None, shelf: &EmptyShelf, received_at: NOW };
    let parsed = parse(input, &context, &mut Seen::default());
    assert!(!parsed.is_empty(), "an input without an outcome");
    for one in &parsed {
        check_outcome(one, input);
    }
    assert_eq!(parse(input, &context, &mut Seen::default()), parsed, "the same bytes, another outcome");
}

fn check_json(input: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input));
    match Json::read(input) {
        Ok(ours) => {
            assert!(theirs.is_ok(), "{theirs:?}");
            assert!(theirs.is_ok_and(|theirs| is_same(&ours, &theirs)), "another value: {ours:?}");
            check_places(&ours, input);
        }
        Err(error) => {
            assert!(error.offset <= input.len() && error.line >= 1 && error.column >= 1, "{error:?}");
            // We are stricter in these alone.
            let stricter =
                matches!(error.kind, JsonErrorKind::DuplicateKey | JsonErrorKind::TooDeep | JsonErrorKind::TooWide);
            assert!(stricter || theirs.is_err(), "{error} in what is JSON");
        }
    }
}

fn is_same(ours: &Json, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(ours), Value::Bool(theirs)) => ours == theirs,
        (Json::Number(ours), Value::Number(theirs)) => is_same_number(ours, &theirs.to_string()),
        (Json::Text(ours), Value::String(theirs)) => ours == theirs,
        (Json::List(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Json::Object(ours), Value::Object(theirs)) => {
            ours.members.len() == theirs.len()
                && ours.members.iter().all(|(name, ours)| theirs.get(name).is_some_and(|theirs| is_same(ours, theirs)))
        }
        _ => false,
    }
}

/// `serde_json` writes an exponent in its own way.
fn is_same_number(ours: &str, theirs: &str) -> bool {
    let plain = |text: &str| text.to_ascii_lowercase().replace('+', "");
    plain(ours) == plain(theirs)
}

/// An object stands where it says.
fn check_places(json: &Json, input: &[u8]) {
    match json {
        Json::Object(object) => {
            let own = input.get(object.bytes.clone()).unwrap_or_default();
            assert!(own.starts_with(b"{") && own.ends_with(b"}"), "{:?}", object.bytes);
            for (_, value) in &object.members {
                check_places(value, input);
            }
        }
        Json::List(items) => items.iter().for_each(|item| check_places(item, input)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
    }
}

fn check_outcome(one: &Parsed, input: &[u8]) {
    assert!(one.bytes.start <= one.bytes.end && one.bytes.end <= input.len(), "{:?}", one.bytes);
    match &one.outcome {
        Outcome::Events(found) => {
            assert!(!found.is_empty(), "events without an event");
            for event in found {
                match event {
                    ClinicalEvent::Encounter(encounter) => events::check(encounter.as_ref()),
                    ClinicalEvent::Usage(usage) => events::check(usage.as_ref()),
                }
            }
        }
        Outcome::Dropped(rule) => assert!(!rule.rule.is_empty()),
        Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => {
            assert!(refusal.code.starts_with("WL-20") && !refusal.path.is_empty() && !refusal.suggested_fix.is_empty());
        }
    }
    let shown = one.to_json();
    assert_eq!(shown.get("outcome").and_then(Value::as_str), Some(one.outcome.name()));
}

fn profile() -> Option<&'static Profile> {
    static PROFILE: OnceLock<Option<Profile>> = OnceLock::new();
    let made = PROFILE.get_or_init(|| {
        Some(Profile {
            base_url: "http://fhir.example.org/r4".to_owned(),
            system: "fuzz".to_owned(),
            facility: "GENERAL".to_owned(),
            pseudonyms: Pseudonymizer::new(PSEUDONYM_KEY).ok()?,
            visit_number_systems: Vec::new(),
            patient_number_systems: Vec::new(),
            understood_modifiers: Vec::new(),
        })
    });
    assert!(made.is_some(), "the key of pseudonyms is refused");
    made.as_ref()
}
