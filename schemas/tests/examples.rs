//! The example events: complete, readable, and the same after every way there and back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;
use wardline_schemas::catalogue::Phi;
use wardline_schemas::codec::{decode, encode, split_frame, to_json};
use wardline_schemas::{
    Event, SupplierNotice, SupplyUsage, ValidatedUsage, examples, examples_of, for_each_event, topics,
};

#[test]
fn every_topic_with_a_contract_has_a_type() {
    thread_local!(static SEEN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) });
    fn add<T: Event>() {
        SEEN.with_borrow_mut(|seen| seen.insert(T::topic().name));
    }
    for_each_event!(add);
    let expected: BTreeSet<_> =
        topics::ALL.iter().filter(|topic| !topic.schema.is_empty()).map(|topic| topic.name).collect();
    assert_eq!(SEEN.take(), expected);
}

#[test]
fn examples_survive_avro_and_json() {
    fn check<T: Event>() {
        let topic = T::topic().name;
        let files = examples_of(topic);
        let records = examples::<T>();
        assert!(files.len() >= 2, "{topic} has {} examples", files.len());
        assert_eq!(files.len(), records.len(), "an example of {topic} does not fit its contract");
        for ((file, text), record) in files.iter().zip(&records) {
            let mut bytes = Vec::new();
            encode(record, 7, &mut bytes).unwrap_or_else(|error| panic!("{topic}/{file}: {error}"));
            let (id, body) = split_frame(&bytes).unwrap();
            assert_eq!(id, 7);
            assert_eq!(decode::<T>(T::contract().unwrap(), body).as_ref(), Ok(record), "{topic}/{file}");
            let json = to_json(T::contract().unwrap(), body).unwrap();
            assert_contains(&json, text, &format!("{topic}/{file}"));
            assert_eq!(serde_json::from_value::<T>(json).unwrap(), *record, "{topic}/{file}");
            let plain = serde_json::to_string(record).unwrap();
            assert_eq!(serde_json::from_str::<T>(&plain).unwrap(), *record, "{topic}/{file}");
        }
    }
    for_each_event!(check);
}

#[test]
fn examples_have_keys_kinds_and_unique_ids() {
    fn check<T: Event>() {
        let records = examples::<T>();
        let topic = T::topic();
        let mut ids = BTreeSet::new();
        for record in &records {
            assert!(!record.key().is_empty(), "{} has an example without a key", topic.name);
            assert_ne!(record.kind(), Some("UNKNOWN"), "{} has an example of no kind", topic.name);
            if let Some(id) = record.event_id() {
                assert!(ids.insert(id), "{id} of {} stands twice", topic.name);
            }
        }
    }
    for_each_event!(check);
}

#[test]
fn examples_follow_one_implant() {
    let lot = "LOT-STENT-DES-30-A";
    let used = &examples::<SupplyUsage>()[0];
    let validated = &examples::<ValidatedUsage>()[0];
    let notice = &examples::<SupplierNotice>()[0];
    assert_eq!(used.lot.as_deref(), Some(lot));
    assert_eq!(validated.lot.as_deref(), Some(lot));
    assert_eq!(notice.lot.as_deref(), Some(lot));
    assert_eq!(validated.encounter_ref, used.encounter_ref);
    assert_eq!(validated.meta.business_key, used.meta.business_key);
    assert_eq!(ValidatedUsage::from(used.clone()).udi, validated.udi);
}

#[test]
fn examples_hold_no_clear_identifiers() {
    for topic in topics::ALL.iter().filter(|topic| topic.phi == Phi::Direct) {
        for (file, text) in examples_of(topic.name) {
            assert!(text.get("phi").is_none_or(Value::is_null), "{}/{file}", topic.name);
        }
    }
}

#[test]
fn debug_output_hides_direct_identifiers() {
    let employee = &examples::<wardline_schemas::MasterEmployee>()[0];
    let shown = format!("{employee:?}");
    assert!(shown.contains("display_name: ***") && !shown.contains("Synthetic"), "{shown}");
    let parked = &examples::<wardline_schemas::Parked>()[0];
    assert!(format!("{parked:?}").contains("value: Some(Bytes("));
}

/// Every member of the example is in the record: a misspelt field would otherwise vanish.
#[track_caller]
fn assert_contains(json: &Value, example: &Value, place: &str) {
    match (json, example) {
        (Value::Object(json), Value::Object(example)) => {
            for (name, member) in example {
                let found = json.get(name).unwrap_or_else(|| panic!("{place}: no field {name}"));
                assert_contains(found, member, &format!("{place}.{name}"));
            }
        }
        (Value::Array(json), Value::Array(example)) => {
            assert_eq!(json.len(), example.len(), "{place}");
            for (index, (json, example)) in json.iter().zip(example).enumerate() {
                assert_contains(json, example, &format!("{place}[{index}]"));
            }
        }
        _ => assert_eq!(json, example, "{place}"),
    }
}
