//! The rules of the mapping, one message at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use hl7v2::config::{MappingConfig, ZSegment};
use hl7v2::mapping::{MappedEvent, Mapper, Outcome};
use schemas::{Action, Cancels, Encounter, EncounterKind, Precision, SupplyUsage, Timestamp, UsageKind};

const PATIENT: &str =
    "PID|1||7^^^NORTH^MR~9^^^NAT^NI||Doe^Jan||19500607\rPV1|1|I|OR^3^A^NORTH||||||||||||||||V7^^^NORTH^VN\r";

fn outcome_with(config: MappingConfig, kind: &str, segments: &str) -> Outcome {
    let message = format!("MSH|^~\\&|EHR|NORTH|ESB|HUB|20260914094900-0500||{kind}|C1|P|2.5.1\r{segments}");
    let mapper = Mapper::new(config, b"synthetic-data-only").unwrap();
    mapper.read(message.as_bytes(), Timestamp::from_micros(1_800_000_000_000_000)).outcome
}

fn outcome(kind: &str, segments: &str) -> Outcome {
    outcome_with(MappingConfig::default(), kind, segments)
}

#[track_caller]
fn usages_with(config: MappingConfig, kind: &str, segments: &str) -> Vec<SupplyUsage> {
    match outcome_with(config, kind, &format!("{PATIENT}{segments}")) {
        Outcome::Events(events) => events
            .into_iter()
            .map(|event| match event {
                MappedEvent::SupplyUsage(usage) => *usage,
                MappedEvent::Encounter(_) => panic!("an encounter"),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn charges(segments: &str) -> Vec<SupplyUsage> {
    usages_with(MappingConfig::default(), "DFT^P03", segments)
}

#[track_caller]
fn stays(event: &str, segments: &str) -> Vec<Encounter> {
    match outcome(&format!("ADT^{event}"), segments) {
        Outcome::Events(events) => events
            .into_iter()
            .map(|event| match event {
                MappedEvent::Encounter(event) => *event,
                MappedEvent::SupplyUsage(_) => panic!("a usage"),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// The code and place of an exception, or the rule of a dropped message.
fn refused(outcome: Outcome) -> String {
    match outcome {
        Outcome::Exception(refusal) => format!("{} {}", refusal.code, refusal.place_text()),
        Outcome::Dropped { rule, .. } => rule.to_owned(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_quantity(kind: &str, sent: &str, expected: &str, usage: UsageKind) {
    let found = charges(&format!("FT1|1|T1||20260914||{kind}|A1^Gauze^L|||{sent}\r")).remove(0);
    assert_eq!((found.quantity.to_string().as_str(), found.usage), (expected, usage), "{kind} {sent}");
}

#[test]
fn the_sign_comes_from_type_and_quantity_once() {
    check_quantity("CG", "4", "4", UsageKind::Used);
    check_quantity("CG", "-4", "-4", UsageKind::Returned);
    check_quantity("CD", "4", "-4", UsageKind::Returned);
    check_quantity("CD", "-4", "-4", UsageKind::Returned);
    check_quantity("CG", "0.50", "0.5", UsageKind::Used);
}

/// Amounts as FT1-11 and FT1-12 of a charge of four; what the event says, and the warnings.
#[track_caller]
fn check_amount(config: &MappingConfig, kind: &str, amounts: &str, expected: &str) {
    let segments = format!("FT1|1|T1||20260914||{kind}|A1^Gauze^L|||4|{amounts}\r");
    let found = usages_with(config.clone(), "DFT^P03", &segments).remove(0);
    assert_eq!(found.quantity.abs(), 4.into(), "the use is taken: {kind} {amounts}");
    let money = found.stated_amount.map(|money| format!("{} {}", money.amount, money.currency));
    let warnings = found.meta.warnings.iter().map(|warning| format!("{} {}", warning.code, warning.path));
    assert_eq!(money.into_iter().chain(warnings).collect::<Vec<_>>().join(", "), expected, "{kind} {amounts}");
}

#[test]
fn the_amount_is_that_of_all_of_it_with_its_currency() {
    let check = |kind: &str, amounts: &str, expected: &str| {
        check_amount(&MappingConfig::default(), kind, amounts, expected);
    };
    check("CG", "", "");
    check("CG", "\"\"|\"\"", "");
    check("CG", "850.00&EUR", "850 EUR");
    check("CG", "850&usd^UP|1&EUR", "850 USD");
    check("CG", "|212.50&EUR", "850 EUR");
    check("CG", "|0.00125&EUR", "0.005 EUR");
    check("CG", "|0.0000125&EUR", "0.0001 EUR");
    check("CD", "850&EUR", "-850 EUR");
    check("CD", "-850&EUR", "-850 EUR");
    check("CD", "|212.5&EUR", "-850 EUR");
    check("CG", "-850&EUR", "-850 EUR");
}

#[test]
fn loss_1_an_amount_that_cannot_be_used_is_a_finding_and_the_use_is_taken() {
    let check = |amounts: &str, expected: &str| check_amount(&MappingConfig::default(), "CG", amounts, expected);
    check("850", "WL-1441 FT1-11");
    check("|212.5", "WL-1441 FT1-12");
    check("850|212.5&EUR", "850 EUR, WL-1441 FT1-11");
    check("much&EUR|more", "WL-1441 FT1-11, WL-1441 FT1-12");
    check("1,850.00&EUR", "WL-1441 FT1-11");
    check("850&EURO", "WL-1441 FT1-11");
    check("850&E U", "WL-1441 FT1-11");
    check("99999999999999.9999&EUR", "99999999999999.9999 EUR");
    check("99999999999999.99999&EUR", "WL-1441 FT1-11");
    check("|99999999999999&EUR", "WL-1441 FT1-12");
    check("|79228162514264337593543950335&EUR", "WL-1441 FT1-12");
}

#[test]
fn a_site_says_in_which_currency_amounts_without_one_are() {
    let config = MappingConfig { currency: Some("chf".to_owned()), ..MappingConfig::default() };
    check_amount(&config, "CG", "850", "850 CHF");
    check_amount(&config, "CG", "850&EUR", "850 EUR");
    let wrong = MappingConfig { currency: Some("francs".to_owned()), ..MappingConfig::default() };
    let refused = Mapper::new(wrong, b"synthetic-data-only").unwrap_err().to_string();
    assert!(refused.starts_with("WL-1050: currency francs"), "{refused}");
}

#[test]
fn charges_without_stock_are_dropped_by_rule() {
    for charge in ["PY|A1^Gauze^L|||1", "AJ|A1^Gauze^L|||1", "CG|A1^Gauze^L|||0", "CG|99213^Visit^C4|||1"] {
        let segments = format!("{PATIENT}FT1|1|T1||20260914||{charge}\r");
        assert_eq!(refused(outcome("DFT^P03", &segments)), "charge.no-stock-movement", "{charge}");
    }
}

#[test]
fn charges_that_cannot_be_used_say_where() {
    let charge = |fields: &str| refused(outcome("DFT^P03", &format!("{PATIENT}FT1|1|T1||{fields}\r")));
    assert_eq!(charge("20260914||CG|A1^Gauze^L|||"), "WL-1013 FT1-10");
    assert_eq!(charge("20260914||CG|A1^Gauze^L|||many"), "WL-1013 FT1-10");
    assert_eq!(charge("20260914||CG|A1^Gauze^L|||1.1234567"), "WL-1013 FT1-10");
    assert_eq!(charge("20260230||CG|A1^Gauze^L|||1"), "WL-1012 FT1-4");
    assert_eq!(charge("20260914||XX|A1^Gauze^L|||1"), "WL-1017 FT1-6");
    assert_eq!(charge("20260914||CG||||1"), "WL-1015 FT1-7");
    assert_eq!(refused(outcome("DFT^P03", PATIENT)), "WL-1011 FT1");
    assert_eq!(refused(outcome("DFT^P03", "FT1|1|T1||20260914||CG|A1|||1\r")), "WL-1014 PID-3");
}

#[test]
fn a_message_is_taken_whole_or_not_at_all() {
    let segments = format!("{PATIENT}FT1|1|T1||20260914||CG|A1|||1\rFT1|2|T2||20260230||CG|A1|||1\r");
    assert_eq!(refused(outcome("DFT^P03", &segments)), "WL-1012 FT1[2]-4");
}

#[test]
fn an_empty_quantity_is_one_where_the_site_says_so() {
    let config = MappingConfig { empty_quantity_is_one: true, ..MappingConfig::default() };
    let usage = usages_with(config, "DFT^P03", "FT1|1|T1||20260914||CG|A1^Gauze^L\r").remove(0);
    assert_eq!(usage.quantity.to_string(), "1");
}

#[test]
fn a_z_segment_belongs_to_the_charge_before_it() {
    let segments = "FT1|1|T1||202609141030||CG|C1^Stem^L|||1|||SURG^Surgery|||OR^3||||1001^Adams\r\
        ZSC|1|71-1|EA|1|00844588003288|LOT1|0SN1|20281100|Y|\r\
        FT1|2|T2||202609141031||CG|C2^Glove^L|||2\r";
    let found = charges(segments);
    let stem = &found[0];
    let codes: Vec<_> = stem.item_ref.iter().chain(&stem.item_refs).map(|code| code.code.as_str()).collect();
    assert_eq!(codes, ["71-1", "C1", "00844588003288"]);
    assert_eq!((stem.lot.as_deref(), stem.serial.as_deref()), (Some("LOT1"), Some("0SN1")));
    assert_eq!((stem.expiry.unwrap().to_string().as_str(), stem.expiry_precision), ("2028-11-30", Precision::Month));
    assert_eq!(stem.usage, UsageKind::Wasted);
    assert_eq!(stem.department.as_deref(), Some("SURG"));
    assert_eq!(stem.performer_ref.as_deref(), Some("1001"));
    // The offset of MSH-7 holds for times without one.
    assert_eq!(stem.meta.occurred_at.unwrap().to_string(), "2026-09-14T15:30:00Z");
    assert_eq!(stem.meta.occurred_offset_minutes, Some(-300));
    assert_eq!(found[1].lot, None);
    assert_eq!(found[1].location.as_ref().unwrap().unit.as_deref(), Some("OR"));
}

#[test]
fn a_site_maps_its_own_z_segment() {
    let own = ZSegment { name: "ZIM".to_owned(), item: 1, lot: 2, udi: 3, uom: 0, quantity: 0, ..ZSegment::default() };
    let own = ZSegment { device_identifier: 0, serial: 0, expiry: 0, wasted: 0, ..own };
    let config = MappingConfig { z_segments: vec![own], ..MappingConfig::default() };
    let segments = "FT1|1|T1||20260914||CG|C1|||1\rZIM|I-9|L9|(01)00844588003288(17)281130(10)L9(21)S9\r";
    let usage = usages_with(config, "DFT^P03", segments).remove(0);
    assert_eq!(usage.item_ref.unwrap().code, "I-9");
    assert_eq!((usage.lot.as_deref(), usage.serial.as_deref()), (Some("L9"), Some("S9")));
}

#[test]
fn fields_decide_where_a_udi_without_separators_ends() {
    let segments = "FT1|1|T1||20260914||CG|C1|||1\r\
        ZSC|1|I1|EA|1||LOT123|456|||010084458800328810LOT12321456\r";
    let usage = charges(segments).remove(0);
    assert!(usage.meta.warnings.iter().any(|warning| warning.code == "WL-1506"));
    assert!(!usage.meta.warnings.iter().any(|warning| warning.code == "WL-1018"));
}

#[test]
fn a_serial_number_is_one_fact_per_visit_whatever_tells_of_it() {
    let charge = charges("FT1|1|T1||20260914||CG|C1|||1\rZSC|1|I1|EA|1|00844588003288|L1|S1\r").remove(0);
    let observed = usages_with(
        MappingConfig::default(),
        "ORU^R01",
        "OBR|1|O1|F1|X\rOBX|1|ST|74711-3^UDI^LN||010084458800328810L1\\X1D\\21S1||||||F|||202609141010\r",
    )
    .remove(0);
    assert_eq!(charge.meta.business_key, observed.meta.business_key);
    assert_eq!(observed.usage, UsageKind::Implanted);
}

#[test]
fn a_deleted_observation_takes_its_fact_back() {
    let observe = |status: &str| {
        let segments = format!("OBR|1|O1|F1|X\rOBX|1|ST|74711-3^UDI^LN||(01)00844588003288(21)S1||||||{status}\r");
        usages_with(MappingConfig::default(), "ORU^R01", &segments).remove(0).meta
    };
    let (stated, deleted) = (observe("F"), observe("D"));
    assert_eq!(stated.business_key, deleted.business_key);
    assert_eq!((stated.revision, deleted.revision), (0, 1));
    assert_eq!((stated.action, deleted.action), (Action::Create, Action::Retract));
}

#[test]
fn stays_follow_the_discharge_states() {
    let discharge = "PV1|1|I|W||||||||||||||||V7|||||||||||||||||01|||||||||202609141600-0500\r";
    let left = stays("A03", discharge).remove(0);
    assert_eq!(left.discharged_at.unwrap().to_string(), "2026-09-14T21:00:00Z");
    assert_eq!(left.disposition.unwrap().code, "01");
    let reopened = stays("A13", "EVN|A13|202609141630\rPV1|1|I|W||||||||||||||||V7\r").remove(0);
    assert_eq!((reopened.kind, reopened.cancels), (EncounterKind::Cancelled, Cancels::Discharge));
    assert_eq!(reopened.meta.business_key, left.meta.business_key);
    let corrected = stays("A08", discharge);
    assert_eq!(corrected.len(), 2);
    assert_eq!((corrected[1].kind, corrected[1].meta.revision), (EncounterKind::Discharged, 1));
    assert_eq!(corrected[1].meta.business_key, left.meta.business_key);
}

#[test]
fn the_visit_is_the_visit_number_else_the_account() {
    let by_account = stays("A01", "PID|1||7^^^NORTH^MR|||||||||||||||A7\rPV1|1|I\r").remove(0);
    assert!(by_account.encounter_ref.starts_with("enc_"));
    assert_eq!(refused(outcome("ADT^A01", "PID|1||7^^^NORTH^MR\rPV1|1|I\r")), "WL-1010 PV1-19");
}

#[test]
fn null_and_empty_stay_apart() {
    let event = stays("A08", "PID|1||7||||\"\"\rPV1|1|I|\"\"||||||||||||||||V7\r").remove(0);
    assert_eq!(event.meta.nulled_fields, ["location", "phi.birthDate"]);
    assert_eq!((event.location, event.service), (None, None));
}

#[test]
fn a_merge_names_every_prior_identifier() {
    let merged = stays("A40", "PID|1||7^^^N^MR\rMRG|8^^^N^MR~9^^^N^MR\rPID|2||10^^^N^MR\rMRG|11^^^N^MR\r");
    let survivors: Vec<_> = merged.iter().map(|event| event.merge.as_ref().unwrap().to_ref.clone()).collect();
    assert_eq!(merged.len(), 3);
    assert!(survivors[0] == survivors[1] && survivors[1] != survivors[2]);
    assert_eq!(refused(outcome("ADT^A40", "PID|1||7^^^N^MR\r")), "WL-1016 MRG-1");
}

#[test]
fn no_event_holds_a_clear_identifier_unless_the_site_wants_it() {
    let text = |config| {
        let usage = usages_with(config, "DFT^P03", "FT1|1|T1||20260914||CG|A1|||1\r").remove(0);
        format!("{usage:?}{}", serde_json::to_string(&usage).unwrap())
    };
    let closed = text(MappingConfig::default());
    assert!(!closed.contains("Doe") && !closed.contains("V7") && !closed.contains("1950"), "{closed}");
    let open = text(MappingConfig { direct_identifiers: true, ..MappingConfig::default() });
    assert!(open.contains("Doe") && open.contains("V7"), "{open}");
}

#[test]
fn what_is_not_meant_for_us_is_dropped_by_rule() {
    assert_eq!(refused(outcome("SIU^S12", PATIENT)), "message-type.not-consumed");
    assert_eq!(refused(outcome("ORU^R01", "OBX|1|NM|2160-0^Crea^LN||1.3\r")), "observation.no-device");
    assert_eq!(refused(outcome("ACK^A01^ACK", "MSA|AA|1\r")), "message-type.acknowledgement");
}
