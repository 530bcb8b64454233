//! The message that an event was made of: masked, shown once for a reason, and gone when it is not kept.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::Place;
use operations::messages::{MessageId, find};
use runtime::clock::now_micros;
use runtime::readers::Readers;
use runtime::source_bytes;

const MESSAGE: &[u8] = b"MSH|^~\\&|EHR|NORTH|||20260914||DFT^P03|7|P|2.5.1\rPID|1||7^^^N^MR||Abel^Ada\r";

fn id(digit: &str) -> MessageId {
    MessageId::of(&digit.repeat(64), now_micros()).unwrap()
}

async fn keep(place: &Place, id: &MessageId, bytes: &[u8]) {
    let records: Vec<_> = source_bytes::records(&id.content_hash, bytes, "application/hl7-v2", None).collect();
    place.stack.publish_raw(&records).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_shown_without_its_patient_and_whole_for_a_reason() {
    let place = Place::start().await;
    let (known, unknown) = (id("a"), id("b"));
    keep(&place, &id("c"), b"another").await;
    keep(&place, &known, MESSAGE).await;
    let browser = place.browser("olga").await;
    let path = format!("/messages/{known}");
    let masked = browser.get(&path).await.text;
    assert!(masked.contains("PID-5") && !masked.contains("Abel"), "{masked}");
    let refused = browser.post(&format!("{path}/original"), &[("reason", "")]).await;
    assert!(refused.status.is_client_error(), "{}", refused.text);
    let whole = browser.post(&format!("{path}/original"), &[("reason", "the ward asks")]).await.text;
    assert!(whole.contains("Abel^Ada"), "{whole}");
    let audit = place.audited(|audit| audit.code == "show-original" && audit.detail.contains("the ward asks")).await;
    assert_eq!(audit.origin_topic.as_deref(), Some("ops.source.v1"));
    browser.get(&format!("/messages/{unknown}")).await.refused(404, "WL-7130");
    browser.get("/messages/nonsense").await.refused(404, "WL-7130");
    let viewer = place.browser("vic").await;
    assert!(viewer.get(&path).await.text.contains("PID-5"));
    assert_eq!(viewer.post(&format!("{path}/original"), &[("reason", "curious")]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_1_a_message_of_many_parts_is_found_whole() {
    let place = Place::start().await;
    let long: Vec<u8> = (0..2_000_001_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let (known, earlier) = (id("d"), MessageId { at_ms: 0, ..id("d") });
    keep(&place, &known, &long).await;
    let readers = Readers::new(&place.stack.config.kafka);
    let found = tokio::task::spawn_blocking(move || {
        let found = find(&readers, &known).unwrap().unwrap();
        (found, find(&readers, &earlier).unwrap())
    });
    let (found, none) = found.await.unwrap();
    assert!(found.bytes == long && none.is_none(), "{} bytes", found.bytes.len());
}
