//! What cannot be mapped is refused with code, place and suggested fix, and never repeats a value.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use common::Ward;
use expect_test::{Expect, expect};
use wardline_fhir::{Context, EmptyShelf, Seen, Version};

#[track_caller]
fn check(resource: &str, expected: Expect) {
    expected.assert_eq(&Ward::asked().tell(resource));
}

#[test]
fn bytes_that_are_no_resource_are_dead_letters() {
    check(
        "{\"resourceType\":\"Procedure\",",
        expect!["dead-letter WL-2001: line 1, column 29 (byte 28): expected a string"],
    );
    check("[]", expect!["dead-letter WL-2003: resourceType: this names no FHIR resource type"]);
    check(
        "{\"resourceType\":\"procedure\"}",
        expect!["dead-letter WL-2003: resourceType: this names no FHIR resource type"],
    );
    check(
        "{\"resourceType\":\"Procedure\",\n\"status\":\"completed\",\"status\":\"stopped\"}",
        expect!["dead-letter WL-2002: line 2, column 22 (byte 50): a name stands twice in one object"],
    );
}

#[test]
fn what_does_not_conform_is_refused_at_its_place() {
    let procedure = |more: &str| {
        format!(
            r#"{{"resourceType":"Procedure","id":"p","status":"completed","subject":{{"reference":"Patient/1"}},{more}}}"#
        )
    };
    check(
        &procedure(r#""focalDevice":[{"manipulated":"Device/d1"}]"#),
        expect!["exception WL-2004: Procedure.focalDevice[0].manipulated: expected an object"],
    );
    check(
        &procedure(r#""usedReference":[{"reference":"Device/none"}]"#),
        expect!["exception WL-2008: Procedure.usedReference[0]: the server has no Device with this id"],
    );
    check(
        &procedure(r#""performedDateTime":"14.9.2026","usedCode":[{"text":"x"}]"#),
        expect!["exception WL-2006: Procedure.performedDateTime: this is no FHIR date or time"],
    );
    check(
        &procedure(r#""performer":[{"modifierExtension":[{"url":"http://x"}]}]"#),
        expect![
            "exception WL-2005: Procedure.performer[0].modifierExtension[0]: a modifier extension is not understood"
        ],
    );
    check(
        r#"{"resourceType":"Procedure","id":"p","status":"done"}"#,
        expect!["exception WL-2004: Procedure.status: the value is not allowed here"],
    );
    check(
        r#"{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"IMP"}}"#,
        expect!["exception WL-2007: Encounter.period.end: the event needs it and it is missing"],
    );
    let nobody = r#"{"resourceType":"Procedure","id":"p","status":"completed","subject":{"display":"x"},"usedCode":[{"text":"x"}]}"#;
    check(nobody, expect!["exception WL-2007: Procedure.subject: the event needs it and it is missing"]);
}

#[test]
fn quantities_are_exact_or_refused() {
    let charge = |value: &str| {
        format!(
            r#"{{"resourceType":"ChargeItem","id":"c","status":"billable","code":{{"text":"x"}},"subject":{{"reference":"Patient/1"}},
            "quantity":{{"value":{value}}},"priceOverride":{{"value":12345678901234567.890,"currency":"EUR"}},
            "productCodeableConcept":{{"text":"x"}}}}"#
        )
    };
    check(&charge("1.50"), expect!["usage#1 r0 CREATE USED 1.50 item=x warnings=WL-2009,WL-1441"]);
    check(
        &charge("0.1234567"),
        expect![
            "exception WL-2006: ChargeItem.quantity.value: the number does not fit 12 digits before and 6 after the point"
        ],
    );
    check(
        &charge("12345678901234567.890"),
        expect![
            "exception WL-2006: ChargeItem.quantity.value: the number does not fit 12 digits before and 6 after the point"
        ],
    );
    check(
        &charge("-1"),
        expect!["exception WL-2006: ChargeItem.quantity.value: a negative quantity has no meaning in FHIR"],
    );
    check(&charge("0"), expect!["dropped charge-item.no-article"]);
}

/// R4 through the R4B models of fhir-sdk: what differs, or what the models get wrong, and what Wardline makes of it.
#[test]
fn r4_payloads_pass_the_r4b_models_where_they_should() {
    let mut ward = Ward::new();
    ward.version = Some(Version::R4);
    // R4 has resource types that R4B dropped; they may be contained.
    let contained = r##"{"resourceType":"Procedure","id":"p","status":"completed","subject":{"reference":"Patient/1"},
        "contained":[{"resourceType":"SubstanceSpecification","id":"s"},{"resourceType":"Device","id":"d","lotNumber":"L"}],
        "usedReference":[{"reference":"#d"}]}"##;
    expect!["usage#1 r0 CREATE USED 1 lot=L warnings=WL-2009"].assert_eq(&ward.tell(contained));
    // A wrong value of a choice is silently none for the models.
    let wrong = contained.replace("\"contained\"", "\"performedDateTime\":\"soon\",\"contained\"");
    expect!["exception WL-2006: Procedure.performedDateTime: this is no FHIR date or time"]
        .assert_eq(&ward.tell(&wrong));
    // A primitive that has only an extension is absent, not wrong.
    let absent = contained.replace(
        "\"contained\"",
        "\"_performedDateTime\":{\"extension\":[{\"url\":\"http://hl7.org/fhir/StructureDefinition/data-absent-reason\",\"valueCode\":\"unknown\"}]},\"contained\"",
    );
    expect!["dropped usage.already-told"].assert_eq(&ward.tell(&absent));
    // R5 statuses are not R4.
    let encounter = r#"{"resourceType":"Encounter","id":"e","status":"discharged","class":{"code":"IMP"}}"#;
    expect!["exception WL-2004: Encounter.status: the value is not allowed here"].assert_eq(&ward.tell(encounter));
}

#[test]
fn the_command_line_gets_one_object_per_resource_with_its_place_in_the_bytes() {
    let bundle = "\u{feff}{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[
        {\"fullUrl\":\"urn:uuid:1\",\"resource\":{\"resourceType\":\"Device\",\"id\":\"d\",\"lotNumber\":\"L\"}},
        {\"resource\":{\"resourceType\":\"Procedure\",\"id\":\"p\",\"status\":\"completed\",\"subject\":{\"reference\":\"Patient/1\"},
          \"usedReference\":[{\"reference\":\"urn:uuid:1\"}]}},
        {\"resource\":{\"resourceType\":\"Procedure\",\"id\":\"q\",\"status\":\"completed\",\"subject\":{\"reference\":\"Patient/1\"},
          \"focalDevice\":[{\"manipulated\":{\"reference\":17}}]}},
        {\"request\":{\"method\":\"DELETE\",\"url\":\"SupplyDelivery/s\"}}]}";
    let profile = common::profile();
    let context = Context { profile: &profile, version: None, shelf: &EmptyShelf, received_at: common::NOW };
    let found = wardline_fhir::parse_to_json(bundle.as_bytes(), &context, &mut Seen::default());
    let outcomes: Vec<_> = found.iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["dropped", "events", "exception", "dropped"]);
    assert_eq!(found[1]["events"][0]["event"]["lot"], "L");
    assert_eq!(found[2]["code"], "WL-2004");
    assert_eq!(found[2]["place"], "Procedure.focalDevice[0].manipulated.reference");
    let at = |name: &str| usize::try_from(found[2][name].as_u64().unwrap()).unwrap();
    assert_eq!(&bundle[at("byte_start")..at("byte_end")], "{\"reference\":17}");
}
