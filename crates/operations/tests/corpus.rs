//! Every message of the corpus: no field of it is without a name, except where the standard has none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use operations::original::{MASK, Original, Source};
use std::collections::BTreeSet;
use std::path::Path;

/// What senders put where the standard has no field any more, or no such segment: from which field on.
const BEYOND: [(&str, usize); 3] = [("DST", 1), ("EVN", 8), ("OBR", 56)];

fn read(folder: &Path, messages: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { read(&path, messages) } else { messages.push(std::fs::read(path).unwrap()) }
    }
}

#[test]
fn no_field_of_the_corpus_is_without_a_name() {
    let mut files = Vec::new();
    read(&testkit::corpus().join("hl7v2"), &mut files);
    let (mut named, mut nameless) = (0, BTreeSet::new());
    for file in &files {
        let Original::Hl7v2 { segments } = Source::of(file).original else { continue };
        // A line that is no segment stands in a file where a sender broke a field.
        let of_standard = |name: &str| name.len() == 3 && !name.starts_with('Z') && name == name.to_uppercase();
        for segment in segments.iter().filter(|segment| of_standard(&segment.name)) {
            for field in &segment.fields {
                match field.name {
                    "" => drop(nameless.insert((segment.name.clone(), field.number))),
                    _ => named += 1,
                }
            }
        }
    }
    assert!(named > 10_000, "only {named} fields were read");
    let known =
        |(segment, number): &(String, usize)| BEYOND.iter().any(|(beyond, first)| segment == beyond && number >= first);
    nameless.retain(|field| !known(field));
    assert!(nameless.is_empty(), "without a name: {nameless:?}");
}

/// Segments about people: of whom the message tells, who is near them, who pays.
const OF_PEOPLE: [&str; 9] = ["PID", "PD1", "NK1", "GT1", "IN1", "IN2", "IN3", "MRG", "ACC"];
/// Shorter values of people are found anywhere, a sex or a yes for example.
const TELLING: usize = 5;

/// PHI-1: over every message of the corpus nothing of a person is shown without a reason, neither in its own place nor elsewhere.
#[test]
fn phi_1_no_value_of_a_person_is_shown_of_a_masked_message() {
    let mut files = Vec::new();
    read(&testkit::corpus().join("hl7v2"), &mut files);
    let (mut hidden, mut shown) = (0, 0);
    for file in &files {
        let source = Source::of(file);
        let Original::Hl7v2 { segments } = &source.original else { continue };
        let is_of_people = |name: &str| OF_PEOPLE.contains(&name);
        let own = segments.iter().filter(|segment| is_of_people(&segment.name)).flat_map(|segment| &segment.fields);
        let parts = own.flat_map(|field| field.text.split(['^', '~', '&']));
        let telling: BTreeSet<String> = parts.filter(|part| part.len() >= TELLING).map(str::to_lowercase).collect();
        let masked = source.masked();
        let Original::Hl7v2 { segments } = &masked.original else { panic!("it is a message still") };
        for segment in segments {
            for field in segment.fields.iter().filter(|field| field.text != MASK) {
                let place = format!("{}-{}", segment.name, field.number);
                assert!(!is_of_people(&segment.name), "{place} is shown: {}", field.text);
                shown += 1;
                // When a message was made may be the day on which a person came; a version of the standard is in a line that a sender broke.
                if ["MSH-7", "MSH-12"].contains(&place.as_str()) {
                    continue;
                }
                for part in field.text.split(['^', '~', '&']).map(str::to_lowercase) {
                    assert!(!telling.contains(&part), "{place} shows {part}, which stands in a segment about a person");
                }
            }
        }
        hidden += telling.len();
    }
    assert!(hidden > 1_000 && shown > 1_000, "{hidden} values of people, {shown} fields shown");
}
