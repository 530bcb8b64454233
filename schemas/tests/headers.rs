//! CloudEvents headers: complete, and without a direct identifier (PHI-1).

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::collections::BTreeMap;

use expect_test::expect;
use wardline_schemas::headers::{CLOUD_EVENT_HEADERS_MAX, HeaderText, cloud_event_headers};
use wardline_schemas::{Encounter, Event, Parked, event_type, examples, for_each_event, topics};

fn headers_of<T: Event>(event: &T) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    cloud_event_headers(event, &event.key(), |name, text| {
        let (HeaderText::Fixed(text) | HeaderText::Own(text)) = text;
        headers.push((name, text.to_owned()));
    });
    headers
}

#[test]
fn an_event_carries_its_identity() {
    let shown: Vec<String> =
        headers_of(&examples::<Encounter>()[2]).iter().map(|(name, value)| format!("{name}: {value}")).collect();
    expect![[r#"
        content-type: application/avro
        ce_type: org.wardline.clinical.encounter.discharged.v1
        ce_phi: direct
        ce_specversion: 1.0
        ce_id: f9a88e11-002a-5df7-ad11-ce4778358d77
        ce_source: /wardline/HL7V2/ADT1/GENERAL
        ce_time: 2026-11-25T16:40:00Z
        ce_subject: enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe
        ce_dataschema: urn:wardline:schema:clinical.encounter.v1-value
        ce_partitionkey: enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn operational_records_have_no_envelope() {
    let headers: BTreeMap<_, _> = headers_of(&examples::<Parked>()[0]).into_iter().collect();
    assert_eq!(headers.len(), 3);
    assert_eq!(headers["ce_type"], "org.wardline.ops.parked.v1");
}

#[test]
fn event_types_follow_topic_and_kind() {
    assert_eq!(
        event_type("supply.purchase-order.v1", Some("APPROVED")),
        "org.wardline.supply.purchase-order.approved.v1"
    );
    assert_eq!(event_type("erp.posting.v1", Some("NONE_NEEDED")), "org.wardline.erp.posting.none-needed.v1");
    assert_eq!(event_type("clinical.supply-usage.v1", None), "org.wardline.clinical.supply-usage.v1");
}

#[test]
fn names_are_cloud_event_names_and_values_are_short_text() {
    fn check<T: Event>() {
        for record in examples::<T>() {
            let headers = headers_of(&record);
            assert!(headers.len() <= CLOUD_EVENT_HEADERS_MAX);
            for (name, value) in headers {
                let attribute = name.strip_prefix("ce_").unwrap_or("contenttype");
                assert!(
                    attribute.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit()),
                    "{name}"
                );
                assert!(!value.is_empty() && value.len() < 256 && value.is_ascii(), "{name}: {value}");
            }
        }
    }
    for_each_event!(check);
}

#[test]
fn handles_know_their_topic() {
    assert_eq!(topics::MASTER_ITEM_V1.name(), "master.item.v1");
    assert_eq!(topics::find("master.item.v1"), Some(topics::MASTER_ITEM_V1.info()));
    assert_eq!(topics::find("master.item.v2"), None);
    assert!(topics::MASTER_ITEM_V1.info().compacted && topics::MASTER_ITEM_V1.info().retention_ms().is_none());
    assert!(topics::OPS_DEAD_LETTER_V1.info().schema.is_empty());
    assert_eq!(topics::ALL.len(), 23);
}
