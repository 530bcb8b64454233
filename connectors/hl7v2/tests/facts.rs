//! Which statements are about one fact, and on which day it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use hl7v2::config::MappingConfig;
use hl7v2::mapping::{MappedEvent, Mapper, Outcome};
use schemas::{Action, SupplyUsage, Timestamp, UsageKind};

const SENT: &str = "20260914094900-0500";
const UDI: &str = "(01)00844588003288(10)L1";

/// The usages of a message: when it was sent (MSH-7), type, control id, visit and segments.
#[track_caller]
fn read(config: &MappingConfig, sent: &str, head: (&str, &str, &str), segments: &str) -> Vec<SupplyUsage> {
    let (kind, control_id, visit) = head;
    let message = format!(
        "MSH|^~\\&|EHR|NORTH|ESB|HUB|{sent}||{kind}|{control_id}|P|2.9\r\
         PID|1||7^^^NORTH^MR||Doe^Jan||19500101\rPV1|1|I|OR||||||||||||||||{visit}^^^NORTH^VN\r{segments}"
    );
    let mapper = Mapper::new(config.clone(), b"synthetic-data-only").unwrap();
    let usage = |event| match event {
        MappedEvent::SupplyUsage(usage) => *usage,
        MappedEvent::Encounter(_) => panic!("an encounter"),
    };
    match mapper.read(message.as_bytes(), Timestamp::from_micros(1_800_000_000_000_000)).outcome {
        Outcome::Events(events) => events.into_iter().map(usage).collect(),
        other => panic!("{other:?}"),
    }
}

fn observed(control_id: &str, segments: &str) -> Vec<SupplyUsage> {
    read(&MappingConfig::default(), SENT, ("ORU^R01", control_id, "V7"), segments)
}

fn charged(visit: &str, segments: &str) -> SupplyUsage {
    read(&MappingConfig::default(), SENT, ("DFT^P03", "C1", visit), segments).remove(0)
}

/// OBX of the screw that all have, with OBX-4 and OBX-11.
fn observation(sub_id: &str, status: &str) -> String {
    format!("OBX|1|ST|74711-3^UDI^LN|{sub_id}|{UDI}||||||{status}\r")
}

fn participant(serial: &str) -> String {
    format!("PRT|1|AD||EQUIP||||||{UDI}^^2.16.840.1.113883.3.3719^ISO|||||||||L1|{serial}\r")
}

fn key(usage: &SupplyUsage) -> &str {
    &usage.meta.business_key
}

fn keys(usages: &[SupplyUsage]) -> Vec<&str> {
    usages.iter().map(key).collect()
}

/// When a charge of that FT1-4 was, in UTC and with the minutes from it.
#[track_caller]
fn check_time(zone: &str, sent: &str, charged: &str, instant: &str, offset_minutes: i32) {
    let config = MappingConfig { time_zone: zone.to_owned(), ..MappingConfig::default() };
    let segments = format!("FT1|1|T1||{charged}||CG|A1^Gauze^L|||1\r");
    let meta = read(&config, sent, ("DFT^P03", "C1", "V7"), &segments).remove(0).meta;
    let found = (meta.occurred_at.unwrap().to_string(), meta.occurred_offset_minutes);
    assert_eq!(found, (instant.to_owned(), Some(offset_minutes)), "{zone} {sent} {charged}");
}

#[test]
fn a_time_without_an_offset_has_that_of_its_zone_on_its_day() {
    // Midnight of the day that was written: +120 minutes make 31 March, 22:00 UTC the first of April.
    check_time("Europe/Berlin", "20260401120000", "20260401", "2026-03-31T22:00:00Z", 120);
    check_time("Europe/Berlin", "20260401120000", "20260115", "2026-01-14T23:00:00Z", 60);
    check_time("America/New_York", "20260401120000", "202604012330", "2026-04-02T03:30:00Z", -240);
    // The offset of MSH-7 is the zone of the message.
    check_time("Europe/Berlin", "20260401120000-0500", "20260401", "2026-04-01T05:00:00Z", -300);
    check_time("UTC", "20260401120000", "20260401", "2026-04-01T00:00:00Z", 0);
    // What a value says itself counts.
    check_time("Europe/Berlin", "20260401120000", "202604012330+0000", "2026-04-01T23:30:00Z", 0);
    check_time("Europe/Berlin", "", "202604012330Z", "2026-04-01T23:30:00Z", 0);
}

#[test]
fn a_birth_date_is_the_day_as_written() {
    for zone in ["Asia/Tokyo", "Europe/Berlin", "UTC", "America/New_York"] {
        let config = MappingConfig { time_zone: zone.to_owned(), direct_identifiers: true, ..MappingConfig::default() };
        let usage = read(&config, "20260401", ("DFT^P03", "C1", "V7"), "FT1|1|T1||20260401||CG|A1|||1\r").remove(0);
        assert_eq!(usage.phi.unwrap().birth_date.unwrap().to_string(), "1950-01-01", "{zone}");
    }
}

/// How many devices the segments are.
#[track_caller]
fn check_devices(segments: &[&str], expected: usize) {
    let found = observed("C1", &format!("OBR|1|O1|F1|X\r{}", segments.concat()));
    assert_eq!(found.len(), expected, "{segments:?}");
    let distinct: std::collections::BTreeSet<_> = found.iter().map(key).collect();
    assert_eq!(distinct.len(), expected, "one key each: {segments:?}");
}

#[test]
fn loss_1_two_alike_without_serial_number_are_two() {
    let (observation, participant) = (&*observation("", "F"), &*participant(""));
    let device = "DEV|1||||||||00844588003288|L1\r";
    check_devices(&[participant, participant], 2);
    check_devices(&[device, device], 2);
    check_devices(&[observation, observation], 2);
    check_devices(&[observation, participant, observation, participant], 2);
    check_devices(&[observation, observation, participant, participant], 2);
    check_devices(&[observation, participant, participant], 2);
    check_devices(&[participant, device, observation], 1);
}

#[test]
fn fx_1_one_serial_number_is_one_device_however_often_it_is_named() {
    let (one, other) = (&*participant("S1"), &*participant("S2"));
    check_devices(&[one, one, other], 2);
}

#[test]
fn fx_1_an_observation_is_one_fact_from_preliminary_to_deleted() {
    let order = "OBR|1|O1|F1|X\r";
    let preliminary = observed("M1", &format!("{order}{}{}", observation("1", "P"), observation("2", "P")));
    let told = keys(&preliminary);
    assert_ne!(told[0], told[1]);
    let last = observed("M2", &format!("{order}{}{}", observation("1", "F"), observation("2", "C")));
    assert_eq!(keys(&last), told);
    // A deletion often comes alone.
    let deleted = observed("M3", &format!("{order}{}", observation("2", "D"))).remove(0);
    assert_eq!(key(&deleted), told[1]);
    assert_eq!((deleted.meta.action, deleted.meta.revision), (Action::Retract, 1));
    assert_eq!(deleted.quantity, preliminary[1].quantity);
}

#[test]
fn fx_1_other_devices_of_the_message_change_no_fact() {
    let order = "OBR|1|O1|F1|X\r";
    let other = "OBX|1|ST|74711-3^UDI^LN||(01)00844588003288(10)L2||||||F\r";
    let both = observed("M1", &format!("{order}{other}{}", observation("", "F")));
    let alone = observed("M2", &format!("{order}{}", observation("", "D")));
    assert_eq!(key(&both[1]), key(&alone[0]));
}

#[test]
fn the_order_of_an_observation_is_that_of_the_filler_else_of_the_placer_else_the_message() {
    let fact = |control_id: &str, order: &str| {
        key(&observed(control_id, &format!("{order}{}", observation("1", "F"))).remove(0)).to_owned()
    };
    let filler = fact("M1", "OBR|1|O1^EHR|F1^EHR|X\r");
    assert_eq!(filler, fact("M2", "OBR|1|O2|F1|X\r"));
    assert_eq!(filler, fact("M2", "ORC|RE|O1|F1\rOBR|1|||X\r"));
    assert_ne!(filler, fact("M1", "OBR|1|O1|F2|X\r"));
    assert_eq!(fact("M1", "OBR|1|O1||X\r"), fact("M2", "OBR|1|O1||X\r"));
    assert_ne!(fact("M1", ""), fact("M2", ""));
    // The ORC before an earlier OBR says nothing of a later one.
    let later = |control_id: &str| fact(control_id, "ORC|RE|O1|F1\rOBR|1|||X\rOBR|2|||X\r");
    assert_ne!(later("M1"), later("M2"));
}

/// A charge of a device with a serial number: type, quantity and FT1-11.
fn of_serial(kind: &str, quantity: &str) -> SupplyUsage {
    charged(
        "V7",
        &format!(
            "FT1|1|{kind}{quantity}||20260914||{kind}|C1|||{quantity}|850&EUR\rZSC|1|I1|EA|1|00844588003288|L1|S1\r"
        ),
    )
}

#[test]
fn fx_1_a_credit_of_a_serial_number_takes_its_charge_back() {
    let charge = of_serial("CG", "1");
    assert_eq!((charge.meta.action, charge.meta.revision), (Action::Create, 0));
    for credit in [of_serial("CD", "1"), of_serial("CD", "-1"), of_serial("CG", "-1")] {
        assert_eq!(key(&credit), key(&charge));
        assert_eq!((credit.meta.action, credit.meta.revision), (Action::Retract, 1));
        // The rest is as sent: a retraction posts the opposite of what was posted, whatever it says.
        assert_eq!((credit.quantity, credit.usage), (-charge.quantity, UsageKind::Returned));
        assert_eq!(credit.stated_amount.unwrap().amount, -charge.stated_amount.as_ref().unwrap().amount);
    }
}

#[test]
fn fx_1_a_serial_number_in_the_label_alone_is_taken_back_too() {
    let label =
        |kind: &str| charged("V7", &format!("FT1|1|{kind}||20260914||{kind}|C1|||1\rZSC|1|I1|EA|1||||||{UDI}(21)S1\r"));
    let (charge, credit) = (label("CG"), label("CD"));
    assert_eq!((key(&credit), credit.meta.action), (key(&charge), Action::Retract));
}

#[test]
fn a_credit_without_serial_number_is_a_fact_of_its_own() {
    let of = |kind: &str| charged("V7", &format!("FT1|1|T1||20260914||{kind}|A1^Gauze^L|||4\r"));
    let (charge, credit) = (of("CG"), of("CD"));
    assert_ne!(key(&charge), key(&credit));
    assert_eq!((credit.meta.action, credit.meta.revision), (Action::Create, 0));
    assert_eq!((credit.quantity, credit.usage), (-charge.quantity, UsageKind::Returned));
}

#[test]
fn loss_1_a_transaction_number_is_that_of_its_visit() {
    let of = |visit: &str| charged(visit, "FT1|1|1||20260914||CG|A1^Gauze^L|||1\r");
    assert_eq!(key(&of("V7")), key(&of("V7")));
    assert_ne!(key(&of("V7")), key(&of("V8")));
}
