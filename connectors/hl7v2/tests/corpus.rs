//! Every file of the corpus, without a socket: parsed without loss, and each message ends in one named outcome.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hl7v2::config::MappingConfig;
use hl7v2::input::{Part, read_file};
use hl7v2::mapping::{MappedEvent, Mapper, Outcome};
use hl7v2::mllp::MAX_FRAME_BYTES;
use hl7v2::parser::{Message, ParseOptions, PieceKind, split};
use schemas::{Action, EncounterKind, SupplyUsage, Timestamp, UsageKind};

fn files(below: &str) -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { collect(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    collect(&testkit::corpus().join(below), &mut found);
    found.sort();
    found
}

fn mapper() -> Mapper {
    Mapper::new(MappingConfig::default(), b"synthetic-data-only").unwrap()
}

fn read(bytes: &[u8]) -> Vec<Part> {
    read_file(bytes, &mapper(), MAX_FRAME_BYTES, Timestamp::from_micros(1_800_000_000_000_000))
}

fn authored(corpus: &Path, name: &str) -> Vec<Part> {
    read(&std::fs::read(corpus.join("hl7v2/authored").join(name)).unwrap())
}

fn usages(corpus: &Path, name: &str) -> Vec<SupplyUsage> {
    let Outcome::Events(events) = authored(corpus, name).remove(0).reading.outcome else {
        panic!("{name} gave no events")
    };
    let usage = |event| match event {
        MappedEvent::SupplyUsage(usage) => *usage,
        MappedEvent::Encounter(_) => panic!("{name} gave an encounter"),
    };
    events.into_iter().map(usage).collect()
}

/// The outcome in one line.
fn line(part: &Part) -> String {
    let reading = &part.reading;
    let what = match &reading.outcome {
        Outcome::Events(events) => format!("events {}", events.len()),
        Outcome::Dropped { rule, .. } => format!("dropped {rule}"),
        Outcome::Exception(refusal) => format!("exception {} {} {}", refusal.code, refusal.name, refusal.place_text()),
        Outcome::DeadLetter(refusal) => format!("dead-letter {} {}", refusal.code, refusal.place_text()),
    };
    format!("{} {what}", reading.identity.message_type)
}

#[test]
fn every_message_of_the_corpus_parses_without_loss() {
    let options = ParseOptions { fallback_charset: None };
    let (mut messages, mut refused) = (0, Vec::new());
    for path in files("hl7v2").into_iter().chain(files("mllp")) {
        let bytes = std::fs::read(&path).unwrap();
        for piece in split(&bytes, MAX_FRAME_BYTES).iter().filter(|piece| piece.kind == PieceKind::Message) {
            match Message::parse_with(&piece.bytes, options) {
                Ok(message) => {
                    messages += 1;
                    assert_eq!(message.rebuild(), message.text(), "{}", path.display());
                    assert_eq!(message.print(), piece.bytes.as_ref(), "{}", path.display());
                }
                Err(error) => {
                    refused.push(format!("{} {}", path.file_name().unwrap().to_string_lossy(), error.kind.code()))
                }
            }
        }
    }
    assert!(messages >= 330, "only {messages} messages");
    assert_eq!(
        refused,
        [
            "nasty-declared-utf8-but-latin1.hl7 WL-1005",
            "batch_malformed-mid-batch.hl7 WL-1002",
            "malformed_msh-too-short.hl7 WL-1002"
        ]
    );
}

#[test]
fn every_file_of_the_corpus_ends_in_named_outcomes() {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for path in files("hl7v2").into_iter().chain(files("mllp")) {
        let bytes = std::fs::read(&path).unwrap();
        let parts = read(&bytes);
        assert!(!parts.is_empty(), "{} has no outcome", path.display());
        for part in &parts {
            let line = line(part);
            if let Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) = &part.reading.outcome {
                assert!(
                    !part.bytes.is_empty() && !refusal.message.is_empty() && !refusal.suggested_fix.is_empty(),
                    "{line}"
                );
            }
            *outcomes.entry(line.split_once(' ').unwrap().1.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
        // The same bytes give the same events, ids included.
        let ids = |parts: &[Part]| parts.iter().flat_map(ids_of).collect::<Vec<_>>();
        assert_eq!(ids(&parts), ids(&read(&bytes)), "{}", path.display());
    }
    assert!(outcomes["events"] >= 50, "{outcomes:?}");
    assert!(outcomes["dropped"] >= 100, "{outcomes:?}");
}

fn ids_of(part: &Part) -> Vec<String> {
    match &part.reading.outcome {
        Outcome::Events(events) => events.iter().map(|event| event.id().to_owned()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn event_ids_are_unique_across_the_authored_corpus() {
    let mut seen = std::collections::BTreeSet::new();
    for path in files("hl7v2/authored") {
        for id in read(&std::fs::read(&path).unwrap()).iter().flat_map(ids_of) {
            assert!(seen.insert(id), "{}", path.display());
        }
    }
}

#[test]
fn charges_become_usages_with_their_signs_and_devices() {
    let corpus = testkit::corpus();
    let usages = usages(&corpus, "scenario71-07-dft-p03-consumption.hl7");
    let quantities: Vec<_> = usages.iter().map(|usage| usage.quantity.to_string()).collect();
    assert_eq!(quantities, ["1", "12", "-1"]);
    let stem = &usages[0];
    assert_eq!(stem.item_ref.as_ref().unwrap().code, "71-100234");
    assert_eq!(stem.udi.as_ref().unwrap().di.as_deref(), Some("00844588003288"));
    assert_eq!((stem.lot.as_deref(), stem.serial.as_deref()), (Some("LOT71A"), Some("SN710001")));
    assert_eq!(stem.expiry.unwrap().to_string(), "2028-11-30");
    assert_eq!(stem.department.as_deref(), Some("SURG"));
    assert_eq!(stem.meta.occurred_at.unwrap().to_string(), "2026-09-14T15:30:00Z");
    assert_eq!(stem.meta.occurred_offset_minutes, Some(-300));
    assert_eq!(usages[2].usage, UsageKind::Wasted);
    let actions: Vec<_> = usages.iter().map(|usage| usage.meta.action).collect();
    assert_eq!(actions, [Action::Create, Action::Create, Action::Retract], "the last one credits a serial number");
    assert!(usages.iter().all(|usage| usage.encounter_ref.starts_with("enc_") && usage.phi.is_none()));
}

#[test]
fn observations_of_devices_become_implants_once_each() {
    let corpus = testkit::corpus();
    let usages = usages(&corpus, "scenario71-10-oru-r01-udi.hl7");
    let serials: Vec<_> = usages.iter().filter_map(|usage| usage.serial.as_deref()).collect();
    assert_eq!(serials, ["SN710001", "SN710002"]);
    assert!(usages.iter().all(|usage| usage.usage == UsageKind::Implanted));
    // The charge and the observation of the same implant are one fact.
    let charge = &self::usages(&corpus, "scenario71-07-dft-p03-consumption.hl7")[0];
    assert_eq!(usages[0].meta.business_key, charge.meta.business_key);
    assert_ne!(usages[0].meta.event_id, charge.meta.event_id);
}

#[test]
fn a_stay_is_admitted_moved_discharged_reopened_and_merged() {
    let corpus = testkit::corpus();
    let kinds = |name: &str| match &authored(&corpus, name)[0].reading.outcome {
        Outcome::Events(events) => events
            .iter()
            .map(|event| match event {
                MappedEvent::Encounter(event) => (event.kind, event.meta.action),
                MappedEvent::SupplyUsage(_) => panic!("{name} gave a usage"),
            })
            .collect::<Vec<_>>(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(kinds("scenario71-05-adt-a01.hl7"), [(EncounterKind::Admitted, Action::Create)]);
    assert_eq!(kinds("scenario71-06-adt-a02.hl7"), [(EncounterKind::Transferred, Action::Create)]);
    assert_eq!(kinds("scenario71-11-adt-a03.hl7"), [(EncounterKind::Discharged, Action::Create)]);
    assert_eq!(kinds("scenario71-12-adt-a13.hl7"), [(EncounterKind::Cancelled, Action::Cancel)]);
    assert_eq!(kinds("scenario71-13-adt-a08.hl7"), [(EncounterKind::Updated, Action::Update)]);
    assert_eq!(kinds("scenario71-15-adt-a40.hl7"), [(EncounterKind::Merged, Action::Create); 3]);
}

#[test]
fn hard_cases_end_where_they_should() {
    let corpus = testkit::corpus();
    let lines = |name: &str| authored(&corpus, name).iter().map(line).collect::<Vec<_>>();
    assert_eq!(lines("nasty-no-msh10.hl7"), ["ADT^A03 exception WL-1003 control-id.missing MSH-10"]);
    assert_eq!(lines("nasty-declared-utf8-but-latin1.hl7"), ["ADT^A08 exception WL-1005 charset.unreadable MSH-18"]);
    assert_eq!(lines("nasty-date-precisions.hl7"), ["DFT^P03 exception WL-1012 time.impossible FT1[9]-4"]);
    assert_eq!(lines("nasty-custom-delims.hl7"), ["ADT^A03 events 1"]);
    assert_eq!(lines("nasty-latin1-8859-1.hl7"), ["ADT^A03 events 1"]);
    assert_eq!(lines("nasty-batch-fhs-bhs.hl7"), ["DFT^P03 events 1"; 3]);
    assert_eq!(lines("nasty-duplicate-control-id-a.hl7"), ["DFT^P03 events 1"]);
    assert_eq!(lines("scenario71-08-rds-o13.hl7"), ["RDS^O13 dropped message-type.not-consumed"]);
    assert_eq!(lines("ack-aa.hl7"), ["ACK^A03 dropped message-type.acknowledgement"]);
}
