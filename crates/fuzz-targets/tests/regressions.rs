//! Replays on the stable compiler what the fuzzer starts from and what it has found, so that no build machine needs a fuzzer.

#![cfg(all(feature = "fhir", feature = "embedded"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz_targets::{TARGETS, Target};
use schemas::codec::encode;
use schemas::{Event, examples, for_each_event};

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Names in a folder, sorted; none when it is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Runs every file below `kind`; returns how many there were.
fn replay(kind: &str) -> usize {
    let (mut count, mut broken) = (0, Vec::new());
    for &(name, target) in TARGETS {
        let folder = fuzz_folder().join(kind).join(name);
        for file in names(&folder) {
            let input = std::fs::read(folder.join(&file)).unwrap();
            count += 1;
            if catch_unwind(|| target(&input)).is_err() {
                broken.push(format!("{kind}/{name}/{file}"));
            }
        }
    }
    assert!(broken.is_empty(), "the property does not hold for {broken:?}; see above");
    count
}

#[test]
fn what_was_found_once_holds() {
    replay("regressions");
}

#[test]
fn every_target_holds_for_its_seeds() {
    assert!(replay("seeds") >= TARGETS.len(), "a target has a seed at least");
}

#[test]
fn records_that_were_written_are_read() {
    fn check<T: Event>(place: &mut u32, target: Target) {
        for event in examples::<T>() {
            let mut value = Vec::new();
            encode(&event, *place, &mut value).unwrap();
            target(&value);
        }
        *place += 1;
    }
    for_each_event!(check, &mut 0, fuzz_targets::avro);
}

/// A target that stands in one list and not in the other would never run.
#[test]
fn the_fuzzer_and_this_test_know_the_same_targets() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let entries: BTreeSet<String> = names(&fuzz_folder().join("fuzz_targets"))
        .iter()
        .map(|file| file.strip_suffix(".rs").expect("a Rust file").to_owned())
        .collect();
    assert_eq!(entries, known, "fuzz/fuzz_targets");
    let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for name in &known {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "fuzz/Cargo.toml lacks {name}");
    }
    for kind in ["seeds", "regressions", "dictionaries"] {
        let strangers: Vec<_> = names(&fuzz_folder().join(kind))
            .into_iter()
            .filter(|name| !known.contains(name.trim_end_matches(".dict")))
            .collect();
        assert!(strangers.is_empty(), "fuzz/{kind} holds {strangers:?}, which is no target");
    }
}
