#![allow(clippy::unwrap_used, reason = "test")]

use super::*;
use runtime::record::Place;
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;

/// A record: time, topic, event id, cause, key; `-` for none. All belong to the chain `c`.
fn record(line: &str) -> Record {
    let words: Vec<&str> = line.split(' ').collect();
    let named = [(headers::ID, words[2]), (headers::CAUSATION_ID, words[3]), (headers::CORRELATION_ID, "c")];
    let headers = named
        .into_iter()
        .filter(|(_, text)| *text != "-")
        .map(|(name, text)| (Cow::Borrowed(name), Some(text.to_owned().into())));
    Record {
        place: Place { topic: Arc::from(words[1]), partition: 0, offset: words[0].parse().unwrap() },
        timestamp_ms: words[0].parse().ok(),
        key: Some(words[4].to_owned().into()),
        value: Some("x".into()),
        headers: headers.collect(),
    }
}

fn said(lines: &[(&str, Value)], now_ms: i64) -> (Vec<Step>, Vec<String>) {
    let steps = lines.iter().map(|(line, value)| step(&record(line), value.clone())).collect();
    let (steps, gaps) = tell(steps, now_ms);
    let said = |gap: &Gap| {
        let open = if gap.is_open { " open" } else { "" };
        format!("after {} for {} ms{open}: {}", gap.after_step, gap.duration_ms, gap.reason)
    };
    let gaps = gaps.iter().map(said).collect();
    (steps, gaps)
}

const USAGE: &str = "1000 clinical.supply-usage.v1 u - enc_1";
const VALIDATED: &str = "1100 supply.usage-validated.v1 v u enc_1";
const ENRICHED: &str = "1200 supply.usage-enriched.v1 n v enc_1";
const POSTED: &str = "4200 erp.posting.v1 p n enc_1";
const LEFT_OUT: &str = "1300 ops.audit.v1 - n room";

fn audit() -> Value {
    json!({"room": "supplier-fanout", "kind": "DROPPED", "code": "usage.not-consigned"})
}

#[test]
fn a_whole_way_is_in_order_with_the_time_between_and_nothing_open() {
    let way = [
        (POSTED, json!({"documents": [{"number": "D1"}]})),
        (USAGE, json!({"lot": "L"})),
        (VALIDATED, json!({})),
        (ENRICHED, json!({})),
        (LEFT_OUT, audit()),
    ];
    let (steps, gaps) = said(&way, 9_000);
    let kinds: Vec<StepKind> = steps.iter().map(|step| step.kind).collect();
    assert_eq!(kinds, [StepKind::Event, StepKind::Event, StepKind::Event, StepKind::Audit, StepKind::Posted]);
    let between: Vec<_> = steps.iter().map(|step| step.since_before_ms).collect();
    assert_eq!(between, [None, Some(100), Some(100), Some(100), Some(2_900)]);
    assert_eq!(gaps, ["after 3 for 2900 ms: erp-post had not written yet"]);
    assert_eq!(steps[4].summary, "document D1");
}

#[test]
fn what_a_room_has_not_said_is_waited_for() {
    let (_, gaps) =
        said(&[(USAGE, json!({})), (VALIDATED, json!({})), (ENRICHED, json!({})), (LEFT_OUT, audit())], 61_200);
    assert_eq!(gaps, ["after 2 for 60000 ms open: waits: erp-post has not said what became of it"]);
}

#[test]
fn what_is_parked_is_named_with_the_exception_it_waits_behind() {
    let parked = json!({"room": "validate", "reasonCode": "WL-3001", "exceptionId": "x-1", "value": "***"});
    let lines = [(USAGE, json!({})), ("1100 ops.parked.v1 - u validate|clinical.supply-usage.v1|0|7", parked)];
    let (_, gaps) = said(&lines, 11_100);
    assert_eq!(
        gaps,
        ["after 1 for 10000 ms open: waits: parked by validate since 1970-01-01T00:00:01.100Z behind exception x-1 \
             (WL-3001)"]
    );
}

#[test]
fn an_exception_is_open_until_its_newest_word_says_otherwise() {
    let key = "ops.exception.v1 - u x-1";
    let raised =
        (format!("1100 {key}"), json!({"room": "validate", "exceptionId": "x-1", "code": "WL-3002", "state": "OPEN"}));
    let closed = (
        format!("5000 {key}"),
        json!({"room": "validate", "exceptionId": "x-1", "code": "WL-3002", "state": "DISCARDED"}),
    );
    let lines = |all: &[&(String, Value)]| -> Vec<String> {
        let mut lines = vec![(USAGE, json!({}))];
        lines.extend(all.iter().map(|(line, value)| (line.as_str(), value.clone())));
        said(&lines, 2_100).1
    };
    assert_eq!(lines(&[&raised]), ["after 1 for 1000 ms open: waits: exception x-1 (WL-3002) is open"]);
    assert_eq!(lines(&[&raised, &closed]), ["after 1 for 3900 ms: exception x-1 stood"]);
}

#[test]
fn a_way_is_whole_when_the_first_event_of_each_chain_is_there() {
    let whole = |lines: &[&str]| {
        let records: Vec<Record> = lines.iter().map(|line| record(line)).collect();
        has_beginnings(records.iter())
    };
    assert!(whole(&[USAGE, VALIDATED]));
    assert!(!whole(&[VALIDATED, ENRICHED]));
    assert!(whole(&[VALIDATED, "900 ops.receipt.v1 - - c"]));
    assert!(!whole(&[]));
}
