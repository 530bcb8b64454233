//! The demo on embedded parts, as a newcomer meets it: nothing is installed, nothing runs.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Place, json};
use serde_json::Value;

fn day(place: &Place, report: &str) -> Value {
    let path = place.path(report);
    let ports = ["--ports", "0", "--mllp", &place.mllp, "--health", &place.health];
    let arguments = ["demo", "--day", "2026-03-02", "--exit", "--report", path.to_str().unwrap()];
    let mut demo = place.start(report, &[&arguments[..], &ports[..]].concat());
    let ended = demo.wait();
    assert!(ended.success(), "{ended}\n{}", demo.log());
    json(&path)
}

/// LOSS-1, FX-1: a day on embedded parts loses nothing, and the same day on the same data posts nothing new.
#[test]
fn a_day_on_embedded_parts_accounts_for_everything_and_posts_once() {
    let place = Place::new();
    let first = day(&place, "first.json");
    assert_eq!(first["unaccounted"], 0, "{first:#}");
    assert_eq!(first["erp_difference"], 0, "{first:#}");
    assert!(first["new_postings"].as_u64().unwrap() > 20, "{first:#}");
    assert!(first["notices"].as_u64().unwrap() > 0 && first["analytics_rows"].as_u64().unwrap() > 0, "{first:#}");
    assert_eq!(first["dead_letters"], 2, "{first:#}");

    let again = day(&place, "again.json");
    assert_eq!(again["unaccounted"], 0, "{again:#}");
    assert_eq!(again["erp_difference"], 0, "{again:#}");
    assert_eq!(again["new_postings"], 0, "{again:#}");
    assert_eq!(again["postings"], first["postings"], "{again:#}");
    assert!(place.path("wardline-data/demo/kafka").is_dir());
}
