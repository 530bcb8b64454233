//! The message that an event was made of: masked, shown once for a reason, and gone when it is not kept.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Place, exception};
use operations::messages::{MessageId, find};
use runtime::clock::now_micros;
use runtime::readers::Readers;
use runtime::source_bytes;
use schemas::{Exception, SupplyUsage, Timestamp};

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

/// An exception about an event that was made of this message.
fn about(place: &Place, number: usize, message: &MessageId) -> Exception {
    let mut usage = SupplyUsage::default();
    usage.meta.event_id = exception(number, "").exception_id;
    usage.meta.source.content_hash = message.content_hash.clone();
    usage.meta.published_at = Timestamp(message.at_ms * 1_000);
    let value = place.stack.codec.encode(&usage).unwrap();
    Exception {
        raw_value: Some(value.into()),
        content_type: Some("application/avro".to_owned()),
        ..exception(number, "clinical.supply-usage.v1")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_shows_the_message_of_its_event_or_says_that_it_is_gone() {
    let place = Place::start().await;
    place.stack.publish(&[SupplyUsage::default()]).await;
    let (known, gone) = (id("e"), id("f"));
    keep(&place, &known, MESSAGE).await;
    let (one, other) = (about(&place, 1, &known), about(&place, 2, &gone));
    place.raise(&[one.clone(), other.clone()]).await;
    let browser = place.browser("olga").await;
    let page = browser.whole(&format!("/exceptions/{}", one.exception_id)).await.text;
    assert!(page.contains("PID-5") && !page.contains("Abel"), "{page}");
    assert!(page.contains(&format!("/messages/{known}")), "{page}");
    let page = browser.whole(&format!("/exceptions/{}", other.exception_id)).await.text;
    assert!(page.contains("Not shown: it is not kept any more"), "{page}");
}
