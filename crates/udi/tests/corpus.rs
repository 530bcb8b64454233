//! Every case of the corpus, with the folder given from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use serde_json::{Map, Value};

/// The fields that a case may state; one that it does not state must be absent.
const FIELDS: [&str; 12] = [
    "issuer",
    "kind",
    "device_identifier",
    "labeler",
    "unit_of_measure",
    "lot",
    "serial",
    "expiry",
    "expiry_precision",
    "manufactured",
    "quantity",
    "errors",
];

#[test]
fn reads_every_case_as_expected() {
    let folder = testkit::corpus();
    let path = folder.join("udi/udi-cases.jsonl");
    let cases = std::fs::read_to_string(&path).unwrap();
    let mut count = 0;
    for line in cases.lines().filter(|line| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap();
        let got = serde_json::to_value(udi::parse(case["raw"].as_str().unwrap(), 2026)).unwrap();
        let shown = |object: &Map<String, Value>| -> Vec<(String, Value)> {
            FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), object.get(*field)?.clone()))).collect()
        };
        assert_eq!(shown(got.as_object().unwrap()), shown(case["expect"].as_object().unwrap()), "case {}", case["id"]);
        assert_eq!(got.get("warnings"), None, "case {}", case["id"]);
        count += 1;
    }
    assert!(count >= 35, "only {count} cases");
}
