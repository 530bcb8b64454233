//! Procedure, device use, supply delivery and charge: what of it becomes a usage, and that one implant is one usage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use common::Ward;
use expect_test::{Expect, expect};
use std::collections::HashMap;
use wardline_fhir::{ClinicalEvent, Outcome, Version};

const DEVICE: &str = r#"{"resourceType":"Device","id":"d1","udiCarrier":[{"deviceIdentifier":"00844588003288",
    "carrierHRF":"(01)00844588003288(17)281130(10)LOT71A(21)SN710001"}],
    "expirationDate":"2028-11-30","lotNumber":"LOT71A","serialNumber":"SN710001","partNumber":"HS-9"}"#;
const SCANNED: &str = r#"{"resourceType":"Device","id":"d4",
    "udiCarrier":[{"carrierAIDC":"XWQyMDEwMDg0NDU4ODAwMzI4ODE3MjgxMTMwMTBMT1Q3MUEdMjFTTjcxMDAwMQ=="}]}"#;
const ENCOUNTER: &str = r#"{"resourceType":"Encounter","id":"e4","status":"in-progress","class":{"code":"IMP"},
    "location":[{"location":{"reference":"Location/WARD4"}}]}"#;
const CHARGE: &str = r#"{"resourceType":"ChargeItem","id":"ci1","meta":{"versionId":"1"},"status":"billable",
    "code":{"coding":[{"code":"CHG4410"}]},"subject":{"reference":"Patient/p1"},"context":{"reference":"Encounter/e4"},
    "quantity":{"value":1},"productReference":{"reference":"Device/d1"},"costCenter":{"identifier":{"value":"CC-4100"}}}"#;
const USE: &str = r#"{"resourceType":"DeviceUseStatement","id":"du1","meta":{"versionId":"1"},"status":"active",
    "subject":{"reference":"Patient/p1"},"device":{"reference":"Device/d1"}}"#;

fn procedure(version: u32, status: &str, articles: &str) -> String {
    format!(
        r#"{{"resourceType":"Procedure","id":"pr1","meta":{{"versionId":"{version}","lastUpdated":"2026-09-14T12:00:00Z"}},
        "status":"{status}","code":{{"coding":[{{"code":"52734007"}}]}},"subject":{{"reference":"Patient/p1"}},
        "encounter":{{"reference":"Encounter/e4"}},"performedDateTime":"2026-09-14T10:00:00-05:00",
        "performer":[{{"actor":{{"reference":"Practitioner/s1"}}}}],"location":{{"reference":"Location/OR1"}},{articles}}}"#
    )
}

fn implant(version: u32, status: &str) -> String {
    procedure(
        version,
        status,
        r#""focalDevice":[{"action":{"coding":[{"code":"implanted"}]},"manipulated":{"reference":"Device/d1"}}]"#,
    )
}

fn ward() -> Ward {
    let mut ward = Ward::asked();
    for resource in [DEVICE, SCANNED, ENCOUNTER] {
        ward.store(resource);
    }
    ward
}

/// Tells the resources in order, one ward.
#[track_caller]
fn check(resources: &[&str], expected: Expect) {
    let mut ward = ward();
    let lines: Vec<String> = resources.iter().map(|resource| ward.tell(resource)).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn an_implant_seen_in_procedure_device_charge_and_device_use_is_one_usage() {
    check(
        &[&implant(1, "completed"), DEVICE, CHARGE, USE],
        expect![[r#"
        usage#1 r0 CREATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        dropped device.no-news
        dropped usage.already-told
        dropped usage.already-told"#]],
    );
    check(
        &[CHARGE, USE, DEVICE, &implant(1, "completed")],
        expect![[r#"
            usage#1 r0 CREATE USED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=WARD4 department=CC-4100
            dropped usage.already-told
            dropped device.no-news
            usage#1 r1 UPDATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 department=CC-4100 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z"#]],
    );
    check(
        &[USE, &implant(1, "completed"), CHARGE],
        expect![[r#"
        usage#1 r0 CREATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 warnings=WL-2009
        usage#1 r1 UPDATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        dropped usage.already-told"#]],
    );
}

#[test]
fn the_same_device_under_two_ids_and_twice_in_one_procedure_is_one_usage() {
    let articles = r#""focalDevice":[{"manipulated":{"reference":"Device/d1"}}],
        "usedReference":[{"reference":"Device/d4"},{"reference":"Medication/m1"}],
        "usedCode":[{"coding":[{"code":"71-100777","display":"Exam glove"}]}]"#;
    check(
        &[&procedure(1, "completed", articles)],
        expect![[r#"
        usage#1 r0 CREATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#2 r0 CREATE USED 1 item=71-100777 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z"#]],
    );
}

#[test]
fn pieces_of_one_lot_are_counted_one_by_one() {
    let lot = |id: &str| format!(r#"{{"resourceType":"Device","id":"{id}","lotNumber":"L1","partNumber":"SCREW-4"}}"#);
    let mut ward = ward();
    ward.store(&lot("s1"));
    ward.store(&lot("s2"));
    let articles = r#""usedReference":[{"reference":"Device/s1"},{"reference":"Device/s2"},{"reference":"Device/s1"}]"#;
    expect![[r#"
        usage#1 r0 CREATE USED 1 item=SCREW-4 lot=L1 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#2 r0 CREATE USED 1 item=SCREW-4 lot=L1 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z"#]]
    .assert_eq(&ward.tell(&procedure(1, "completed", articles)));
    expect!["dropped usage.already-told"].assert_eq(&ward.tell(&procedure(2, "completed", articles)));
}

#[test]
fn two_charges_for_gloves_are_two_usages_and_that_of_the_procedure_is_told_once() {
    let charge = |id: &str, service: &str| {
        format!(
            r#"{{"resourceType":"ChargeItem","id":"{id}","status":"billable","code":{{"text":"x"}},"subject":{{"reference":"Patient/p1"}},
            "context":{{"reference":"Encounter/e4"}},"quantity":{{"value":2.50,"unit":"PK10"}},{service}
            "productCodeableConcept":{{"coding":[{{"code":"71-100777"}},{{"system":"https://www.gs1.org/gtin","code":"10614141000415"}}]}}}}"#
        )
    };
    let glove = r#""usedCode":[{"coding":[{"code":"71-100777"}]}]"#;
    let of_procedure = charge("c3", r#""service":[{"reference":"Procedure/pr1"}],"#);
    check(
        &[&charge("c1", ""), &charge("c2", ""), &procedure(1, "completed", glove), &of_procedure],
        expect![[r#"
        usage#1 r0 CREATE USED 2.50 uom=PK10 di=10614141000415 item=71-100777 in=WARD4
        usage#2 r0 CREATE USED 2.50 uom=PK10 di=10614141000415 item=71-100777 in=WARD4
        usage#3 r0 CREATE USED 1 item=71-100777 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#3 r1 UPDATE USED 2.50 uom=PK10 di=10614141000415 item=71-100777 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z"#]],
    );
}

const GLOVES: &str = r#"{"resourceType":"ChargeItem","id":"g1","meta":{"versionId":"1"},"status":"billable",
    "code":{"text":"x"},"subject":{"reference":"Patient/p1"},"context":{"reference":"Encounter/e4"},"quantity":{"value":4},
    "priceOverride":{"value":850.50,"currency":"EUR"},"productCodeableConcept":{"coding":[{"code":"71-100777"}]}}"#;

#[test]
fn loss_1_a_charge_says_what_it_comes_to_or_a_finding_why_not() {
    let says = |price: &str| {
        let mut ward = ward();
        let line = ward.tell(&GLOVES.replace(r#"{"value":850.50,"currency":"EUR"}"#, price));
        line.strip_prefix("usage#1 r0 CREATE USED 4 item=71-100777 in=WARD4")
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned()
    };
    assert_eq!(says(r#"{"value":850.50,"currency":"EUR"}"#), " amount=850.5EUR");
    assert_eq!(says(r#"{"value":-850.50,"currency":"EUR"}"#), " amount=-850.5EUR");
    assert_eq!(says(r#"{"currency":"EUR"}"#), "");
    assert_eq!(says(r#"{"value":850.50}"#), " warnings=WL-1441");
    assert_eq!(says(r#"{"value":0.0000001,"currency":"EUR"}"#), " warnings=WL-1441");
    assert_eq!(says(r#"{"value":12345678901234567,"currency":"EUR"}"#), " warnings=WL-1441");
}

#[test]
fn r5_says_a_total_or_what_one_comes_to() {
    let charge = |components: &str, products: &str| {
        let mut ward = ward();
        ward.version = Some(Version::R5);
        ward.tell(&format!(
            r#"{{"resourceType":"ChargeItem","id":"c1","status":"billable","code":{{"text":"x"}},
            "subject":{{"reference":"Patient/p1"}},"encounter":{{"reference":"Encounter/e4"}},"quantity":{{"value":3}},
            {components}"product":[{products}]}}"#
        ))
    };
    let glove = r#"{"concept":{"coding":[{"code":"71-100777"}]}}"#;
    let priced = |element: &str, kind: &str, value: &str| {
        format!(r#""{element}":{{"type":"{kind}","amount":{{"value":{value},"currency":"EUR"}}}},"#)
    };
    let (total, unit) = ("totalPriceComponent", "unitPriceComponent");
    let all = priced(total, "base", "60") + &priced(unit, "base", "21");
    expect!["usage#1 r0 CREATE USED 3 item=71-100777 in=WARD4 amount=60EUR"].assert_eq(&charge(&all, glove));
    expect!["usage#1 r0 CREATE USED 3 item=71-100777 in=WARD4 amount=63EUR"]
        .assert_eq(&charge(&priced(unit, "base", "21"), glove));
    expect!["usage#1 r0 CREATE USED 3 item=71-100777 in=WARD4"].assert_eq(&charge(&priced(total, "tax", "9"), glove));
    let two = format!(r#"{glove},{{"concept":{{"coding":[{{"code":"71-100778"}}]}}}}"#);
    expect![[r#"
        usage#1 r0 CREATE USED 3 item=71-100777 in=WARD4
        usage#2 r0 CREATE USED 3 item=71-100778 in=WARD4"#]]
    .assert_eq(&charge(&all, &two));
}

#[test]
fn what_a_charge_comes_to_goes_along_with_what_the_procedure_says() {
    let priced = CHARGE.replace(r#""quantity""#, r#""priceOverride":{"value":850.5,"currency":"EUR"},"quantity""#);
    let dearer = priced.replace("850.5", "900").replace(r#""versionId":"1""#, r#""versionId":"2""#);
    // A changed amount alone moves no stock, so it waits for the next revision.
    check(
        &[&priced, &dearer, &implant(1, "completed")],
        expect![[r#"
            usage#1 r0 CREATE USED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=WARD4 department=CC-4100 amount=850.5EUR
            dropped usage.already-told
            usage#1 r1 UPDATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 department=CC-4100 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z amount=900EUR"#]],
    );
    let gone = priced.replace("billable", "entered-in-error");
    check(
        &[&implant(1, "completed"), &priced, &implant(2, "entered-in-error"), &gone],
        expect![[r#"
            usage#1 r0 CREATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
            dropped usage.already-told
            dropped usage.still-stated
            usage#1 r1 RETRACT IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z amount=850.5EUR"#]],
    );
}

#[test]
fn what_is_entered_in_error_is_retracted_when_nobody_states_it_any_more() {
    check(
        &[&implant(1, "completed"), &implant(2, "entered-in-error")],
        expect![[r#"
        usage#1 r0 CREATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#1 r1 RETRACT IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z"#]],
    );
    check(
        &[&implant(1, "completed"), CHARGE, &implant(2, "entered-in-error")],
        expect![[r#"
        usage#1 r0 CREATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        dropped usage.already-told
        dropped usage.still-stated"#]],
    );
    check(&[&implant(1, "entered-in-error")], expect!["dropped procedure.entered-in-error"]);
    check(
        &[&implant(1, "completed"), &implant(2, "entered-in-error"), &implant(3, "completed")],
        expect![[r#"
        usage#1 r0 CREATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#1 r1 RETRACT IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#1 r2 UPDATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z"#]],
    );
    let both = procedure(1, "completed", r#""usedReference":[{"reference":"Device/d1"}],"usedCode":[{"text":"swab"}]"#);
    let one = procedure(2, "completed", r#""usedReference":[{"reference":"Device/d1"}]"#);
    check(
        &[&both, &one],
        expect![[r#"
        usage#1 r0 CREATE USED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#2 r0 CREATE USED 1 item=swab in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#2 r1 RETRACT USED 1 item=swab in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z"#]],
    );
}

#[test]
fn key_1_an_encounter_that_gets_its_visit_number_later_does_not_double_its_usages() {
    let numbered =
        ENCOUNTER.replace("\"status\"", "\"identifier\":[{\"system\":\"urn:visits\",\"value\":\"V1\"}],\"status\"");
    let refs = |outcome: Outcome| match outcome {
        Outcome::Events(events) => events.iter().map(ClinicalEvent::key).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let mut ward = ward();
    let mut stored = HashMap::new();
    let of_usage = refs(ward.outcome(&implant(1, "completed")));
    ward.store(&numbered);
    assert_eq!(ward.tell(CHARGE), "dropped usage.already-told");
    ward.restart(&mut stored);
    assert_eq!(
        ward.tell(&USE.replace("\"subject\"", "\"derivedFrom\":[{\"reference\":\"Procedure/pr1\"}],\"subject\"")),
        "dropped usage.already-told"
    );
    assert_eq!(refs(ward.outcome(&numbered)), of_usage, "the stay is that of its usages");
    // The other way round: the stay was told first.
    let mut ward = self::ward();
    let of_stay = refs(ward.outcome(ENCOUNTER));
    ward.store(&numbered);
    assert_eq!(refs(ward.outcome(&implant(1, "completed"))), of_stay);
}

/// A contained resource has its id only inside of the one that holds it.
#[test]
fn key_1_contained_encounters_and_patients_of_two_resources_are_not_one() {
    let charge = |id: &str, number: &str| {
        let identifier = if number.is_empty() {
            String::new()
        } else {
            format!(r#","identifier":[{{"type":{{"coding":[{{"code":"VN"}}]}},"value":"{number}"}}]"#)
        };
        let contained = format!(
            r##""contained":[{{"resourceType":"Patient","id":"p"}},
            {{"resourceType":"Encounter","id":"e","status":"in-progress","class":{{"code":"IMP"}}{identifier}}}],"subject":{{"reference":"#p"}}"##
        );
        CHARGE
            .replace("ci1", id)
            .replace("Encounter/e4", "#e")
            .replace(r#""subject":{"reference":"Patient/p1"}"#, &contained)
    };
    let mut ward = ward();
    let mut tell = |id: &str, number: &str| match ward.outcome(&charge(id, number)) {
        Outcome::Events(events) => match &events[0] {
            ClinicalEvent::Usage(usage) => (usage.encounter_ref.clone(), usage.patient_ref.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let (one, other) = (tell("ci1", ""), tell("ci2", ""));
    assert!(one.0 != other.0 && one.1 != other.1, "{one:?}");
    assert_eq!(tell("ci3", "V1").0, common::profile().pseudonyms.encounter("GENERAL", "V1"));
}

#[test]
fn a_deletion_takes_back_what_the_resource_told() {
    let mut ward = ward();
    ward.tell(&implant(1, "completed"));
    expect!["usage#1 r1 RETRACT IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z"].assert_eq(&ward.delete("Procedure/pr1"));
    expect!["dropped resource.deleted"].assert_eq(&ward.delete("Procedure/pr1"));
}

#[test]
fn facts_that_come_later_are_a_revision() {
    let bare = r#"{"resourceType":"Device","id":"d1","partNumber":"HS-9"}"#;
    let mut ward = ward();
    ward.store(bare);
    let lines = [ward.tell(&implant(1, "completed")), ward.tell(DEVICE), ward.tell(DEVICE), ward.tell(CHARGE)];
    expect![[r#"
        usage#1 r0 CREATE IMPLANTED 1 item=HS-9 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        usage#1 r1 UPDATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=OR1 procedure=52734007 by=s1 at=2026-09-14T15:00:00Z
        dropped device.no-news
        dropped usage.already-told"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn a_restart_repeats_nothing_and_forgets_nothing() {
    let mut stored = HashMap::new();
    let mut ward = ward();
    ward.tell(&implant(1, "completed"));
    ward.restart(&mut stored);
    assert_eq!(ward.tell(CHARGE), "dropped usage.already-told");
    ward.restart(&mut stored);
    assert_eq!(ward.tell(&implant(2, "entered-in-error")), "dropped usage.still-stated");
    ward.restart(&mut stored);
    let last = CHARGE.replace("billable", "entered-in-error").replace("\"1\"}", "\"2\"}");
    assert!(ward.tell(&last).starts_with("usage#1 r1 RETRACT"), "the last word takes it back");
}

#[test]
fn supplies_for_a_patient_are_used_and_others_are_moved() {
    let delivery = |more: &str| {
        format!(
            r#"{{"resourceType":"SupplyDelivery","id":"sd1","identifier":[{{"value":"SD-1"}}],"status":"completed",{more}
            "suppliedItem":{{"quantity":{{"value":12,"unit":"EA","code":"{{each}}"}},"itemCodeableConcept":{{"coding":[{{"code":"71-100777"}}]}}}},
            "occurrenceDateTime":"2026-09-14","destination":{{"reference":"Location/OR1"}}}}"#
        )
    };
    check(
        &[&delivery(r#""patient":{"reference":"Patient/p1"},"#)],
        expect!["usage#1 r0 CREATE USED 12 uom=EA item=71-100777 in=OR1 at=2026-09-14T00:00:00Z warnings=WL-2009"],
    );
    check(&[&delivery("")], expect!["dropped supply-delivery.no-patient"]);
    check(&[&delivery("").replace("completed", "in-progress")], expect!["dropped supply-delivery.not-ended"]);
}

#[test]
fn r5_says_the_same_with_other_elements() {
    let mut ward = ward();
    ward.version = Some(Version::R5);
    // In R5 the issuer of a device identifier is not optional.
    let issued = "\"udiCarrier\":[{\"issuer\":\"http://hl7.org/fhir/NamingSystem/gs1-di\",\"deviceIdentifier\":\"00844588003288\",";
    ward.store(&SCANNED.replace("\"udiCarrier\":[{", issued));
    ward.store(&DEVICE.replace("\"udiCarrier\":[{\"deviceIdentifier\":\"00844588003288\",", issued));
    let procedure = r#"{"resourceType":"Procedure","id":"pr1","status":"completed","subject":{"reference":"Patient/p1"},
        "encounter":{"reference":"Encounter/e4"},"occurrencePeriod":{"start":"2026-09-14T10:00:00Z"},
        "focalDevice":[{"manipulated":{"reference":"Device/d1"}}],
        "used":[{"concept":{"coding":[{"code":"71-100777"}]}},{"reference":{"reference":"Device/d4"}}]}"#;
    let device_use = r#"{"resourceType":"DeviceUsage","id":"du1","status":"active","patient":{"reference":"Patient/p1"},
        "context":{"reference":"Encounter/e4"},"device":{"reference":{"reference":"Device/d1"}}}"#;
    let charge = r#"{"resourceType":"ChargeItem","id":"c1","status":"billable","code":{"text":"x"},"subject":{"reference":"Patient/p1"},
        "encounter":{"reference":"Encounter/e4"},"quantity":{"value":1},"service":[{"reference":{"reference":"Procedure/pr1"}}],
        "product":[{"reference":{"reference":"Device/d1"}}]}"#;
    let delivery = r#"{"resourceType":"SupplyDelivery","id":"s1","status":"completed","patient":{"reference":"Patient/p1"},
        "suppliedItem":[{"quantity":{"value":1},"itemCodeableConcept":{"coding":[{"code":"A"}]}},
                        {"quantity":{"value":0},"itemCodeableConcept":{"coding":[{"code":"B"}]}}]}"#;
    let lines = [procedure, device_use, charge, delivery].map(|resource| ward.tell(resource));
    expect![[r#"
        usage#1 r0 CREATE IMPLANTED 1 di=00844588003288 item=HS-9 lot=LOT71A serial=SN710001 expiry=2028-11-30 in=WARD4 at=2026-09-14T10:00:00Z
        usage#2 r0 CREATE USED 1 item=71-100777 in=WARD4 at=2026-09-14T10:00:00Z
        dropped usage.already-told
        dropped usage.already-told
        usage#3 r0 CREATE USED 1 item=A warnings=WL-2009"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn what_uses_nothing_is_dropped_by_a_named_rule() {
    check(&[&implant(1, "in-progress")], expect!["dropped procedure.not-ended"]);
    check(&[&implant(1, "not-done")], expect!["dropped procedure.not-done"]);
    let explanted =
        r#""focalDevice":[{"action":{"coding":[{"code":"explanted"}]},"manipulated":{"reference":"Device/d1"}}]"#;
    check(&[&procedure(1, "completed", explanted)], expect!["dropped procedure.no-article"]);
    check(&[DEVICE], expect!["dropped device.no-usage"]);
    check(&[&CHARGE.replace("productReference", "_productReference")], expect!["dropped charge-item.no-product"]);
    check(&[&CHARGE.replace("billable", "planned")], expect!["dropped charge-item.not-ended"]);
    check(&[r#"{"resourceType":"Patient","id":"p1"}"#], expect!["dropped type.not-mapped"]);
    let chair = r#"{"resourceType":"Device","id":"d1","type":{"text":"wheelchair"}}"#;
    let mut ward = ward();
    ward.store(chair);
    expect!["dropped device-use.no-implant"].assert_eq(&ward.tell(USE));
}
