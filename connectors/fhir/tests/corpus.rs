//! Every FHIR resource of the corpus ends in a visible outcome (LOSS-1): mapped, dropped by a named rule, or refused with a
//! reason. The corpus lies outside the repository; `WARDLINE_CORPUS` names its folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test")]

use schemas::Timestamp;
use schemas::identity::Pseudonymizer;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wardline_fhir::{self as fhir, Context, EmptyShelf, Outcome, Profile, Seen};

fn profile() -> Profile {
    Profile {
        base_url: String::new(),
        system: "test".to_owned(),
        facility: "GENERAL".to_owned(),
        pseudonyms: Pseudonymizer::new(b"0123456789abcdef").unwrap(),
        visit_number_systems: Vec::new(),
        patient_number_systems: Vec::new(),
        understood_modifiers: Vec::new(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_resource_of_the_corpus_ends_in_a_visible_outcome() {
    let corpus = testkit::corpus();
    let files = files(&corpus.join("fhir"));
    assert!(files.len() >= 100, "only {} files", files.len());
    let profile = profile();
    let context =
        Context { profile: &profile, version: None, shelf: &EmptyShelf, received_at: Timestamp(1_789_000_000_000_000) };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let parsed = fhir::parse(&bytes, &context, &mut Seen::default());
        assert!(!parsed.is_empty(), "{}: no outcome", file.display());
        for one in &parsed {
            let name = format!("{} {}", file.file_name().unwrap().to_string_lossy(), one.resource);
            let label = match &one.outcome {
                Outcome::Events(events) => {
                    assert!(!events.is_empty(), "{name}: events without an event");
                    for event in events {
                        // What cannot be encoded is no event.
                        event.topic();
                        assert!(!event.id().is_empty() && !event.key().is_empty(), "{name}");
                    }
                    format!("events {}", events[0].event_type())
                }
                Outcome::Dropped(rule) => format!("dropped {}", rule.rule),
                Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => {
                    assert!(!refusal.path.is_empty() && !refusal.suggested_fix.is_empty(), "{name}");
                    eprintln!("{name}: {refusal}");
                    format!("{} {}", one.outcome.name(), refusal.code)
                }
            };
            *counts.entry(label).or_default() += 1;
        }
    }
    eprintln!("{counts:#?}");
    let events: usize = counts.iter().filter(|(label, _)| label.starts_with("events")).map(|(_, count)| count).sum();
    assert!(events >= 15, "only {events} resources gave events");
}
