//! Encounter versions, one after the other: what of them is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use common::Ward;
use expect_test::{Expect, expect};
use std::collections::HashMap;
use wardline_fhir::{ClinicalEvent, Outcome};

fn encounter(status: &str, more: &str) -> String {
    format!(
        r#"{{"resourceType":"Encounter","id":"e4","meta":{{"versionId":"{status}{}","lastUpdated":"2026-09-14T21:10:00.123Z"}},
        "identifier":[{{"system":"urn:visits","value":"V719001"}}],"status":"{status}","class":{{"code":"IMP"}},
        "subject":{{"reference":"Patient/p71"}}{more}}}"#,
        more.len()
    )
}

fn at(place: &str) -> String {
    format!(r#","location":[{{"location":{{"reference":"Location/{place}"}}}}]"#)
}

const PERIOD: &str = r#","period":{"start":"2026-09-14T07:00:00-05:00","end":"2026-09-14T16:00:00-05:00"}"#;

#[track_caller]
fn check(versions: &[String], expected: Expect) {
    let mut ward = Ward::new();
    let lines: Vec<String> = versions.iter().map(|version| ward.tell(version)).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_stay_from_admission_to_discharge() {
    check(
        &[
            encounter("planned", ""),
            encounter("arrived", &at("ICU")),
            encounter("in-progress", &at("ICU")),
            encounter("in-progress", &at("WARD4")),
            encounter("in-progress", &format!("{},\"serviceType\":{{\"text\":\"Surgery\"}}", at("WARD4"))),
            encounter("finished", PERIOD),
        ],
        expect![[r#"
            dropped encounter.planned
            stay/admitted r0 CREATE ADMITTED class=INPATIENT in=ICU
            dropped encounter.no-news
            stay/transferred/0 r0 CREATE TRANSFERRED class=INPATIENT in=WARD4 from=ICU
            stay/updated/0 r0 CREATE UPDATED class=INPATIENT in=WARD4 service=Surgery
            stay/discharged r0 CREATE DISCHARGED class=INPATIENT admitted=2026-09-14T12:00:00Z discharged=2026-09-14T21:00:00Z"#]],
    );
}

#[test]
fn a_discharge_is_corrected_and_taken_back() {
    let disposition = r#","hospitalization":{"dischargeDisposition":{"coding":[{"code":"snf"}]}}"#;
    check(
        &[
            encounter("finished", PERIOD),
            encounter("finished", &format!("{PERIOD}{disposition}")),
            encounter("in-progress", ""),
            encounter("finished", &format!("{PERIOD}{disposition} ")),
        ],
        expect![[r#"
            stay/discharged r0 CREATE DISCHARGED class=INPATIENT admitted=2026-09-14T12:00:00Z discharged=2026-09-14T21:00:00Z
            stay/discharged r1 UPDATE DISCHARGED class=INPATIENT admitted=2026-09-14T12:00:00Z discharged=2026-09-14T21:00:00Z disposition=snf
            stay/discharged r2 CANCEL CANCELLED cancels=DISCHARGE class=INPATIENT
            stay/discharged r3 UPDATE DISCHARGED class=INPATIENT admitted=2026-09-14T12:00:00Z discharged=2026-09-14T21:00:00Z disposition=snf"#]],
    );
}

#[test]
fn what_did_not_take_place_is_cancelled_once() {
    check(
        &[
            encounter("in-progress", ""),
            encounter("entered-in-error", ""),
            encounter("cancelled", " "),
            encounter("arrived", ""),
        ],
        expect![[r#"
            stay/admitted r0 CREATE ADMITTED class=INPATIENT
            stay/admitted r1 CANCEL CANCELLED cancels=ADMIT class=INPATIENT
            dropped encounter.no-news
            stay/admitted r2 UPDATE ADMITTED class=INPATIENT"#]],
    );
}

#[test]
fn a_deleted_encounter_is_cancelled_if_it_was_told() {
    let mut ward = Ward::new();
    assert_eq!(ward.delete("Encounter/e4"), "dropped resource.deleted");
    ward.tell(&encounter("in-progress", ""));
    expect!["stay/admitted r1 CANCEL CANCELLED cancels=ADMIT class=INPATIENT"].assert_eq(&ward.delete("Encounter/e4"));
}

#[test]
fn without_an_end_the_time_of_storage_stands_for_it() {
    check(
        &[encounter("finished", "")],
        expect!["stay/discharged r0 CREATE DISCHARGED class=INPATIENT discharged=2026-09-14T21:10:00.123Z"],
    );
}

#[test]
fn r5_sends_classes_as_a_list_and_the_end_elsewhere() {
    let r5 = r#"{"resourceType":"Encounter","id":"e1","meta":{"versionId":"3","lastUpdated":"2026-09-14T16:10:00Z"},
        "identifier":[{"type":{"coding":[{"code":"VN"}]},"value":"V1"}],"status":"discharged",
        "class":[{"coding":[{"code":"x"}]},{"coding":[{"code":"EMER"}]}],
        "participant":[{"type":[{"coding":[{"code":"ATND"}]}],"actor":{"reference":"Practitioner/s1","display":"Dr X"}}],
        "actualPeriod":{"start":"2026-09-14T07:00:00-05:00","end":"2026-09-14T16:00:00-05:00"},
        "location":[{"location":{"reference":"Location/OR3"},"status":"active"},{"location":{"reference":"Location/ICU"},"status":"completed"}],
        "admission":{"dischargeDisposition":{"coding":[{"code":"home"}]}}}"#;
    check(
        &[r5.to_owned(), r5.replace("discharged", "completed")],
        expect![[r#"
        stay/discharged r0 CREATE DISCHARGED class=EMERGENCY in=OR3 from=ICU admitted=2026-09-14T12:00:00Z discharged=2026-09-14T21:00:00Z disposition=home attending=s1
        dropped encounter.no-news"#]],
    );
}

#[test]
fn key_1_an_encounter_that_gets_its_visit_number_later_is_the_same_stay() {
    let without = |version: String| version.replace(r#""identifier":[{"system":"urn:visits","value":"V719001"}],"#, "");
    let mut ward = Ward::new();
    let mut stored = HashMap::new();
    let refs = |outcome: Outcome| match outcome {
        Outcome::Events(events) => events.iter().map(ClinicalEvent::key).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let first = refs(ward.outcome(&without(encounter("in-progress", &at("ICU")))));
    assert_ne!(first, [ward.profile.pseudonyms.encounter("GENERAL", "V719001")]);
    assert_eq!(ward.tell(&encounter("in-progress", &at("ICU"))), "dropped encounter.no-news");
    ward.restart(&mut stored);
    assert_eq!(refs(ward.outcome(&encounter("in-progress", &at("WARD4")))), first);
    expect!["stay/discharged r0 CREATE DISCHARGED class=INPATIENT admitted=2026-09-14T12:00:00Z discharged=2026-09-14T21:00:00Z"]
        .assert_eq(&ward.tell(&encounter("finished", PERIOD)));
    expect!["stay/admitted r1 CANCEL CANCELLED cancels=ADMIT class=INPATIENT admitted=2026-09-14T12:00:00Z discharged=2026-09-14T21:00:00Z"]
        .assert_eq(&ward.delete("Encounter/e4"));
}

#[test]
fn a_restart_repeats_nothing() {
    let mut stored = HashMap::new();
    let mut ward = Ward::new();
    ward.tell(&encounter("in-progress", ""));
    ward.restart(&mut stored);
    assert_eq!(ward.tell(&encounter("in-progress", "")), "dropped encounter.no-news");
}
