//! Every message of the corpus: no field of it is without a name, except where the standard has none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use operations::original::{Original, Source};
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
