//! The room on a broker and a registry: what is answered is there, a restart forgets no resend, an outage loses nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use common::charge;
use hl7v2::mllp::{Ack, AckCode, ClientOptions, MllpClient};
use schemas::{Encounter, Exception, Receipt, ReceiptOutcome, SupplyUsage, headers, topics};
use serde_json::json;
use testkit::stack::{PATIENCE, Running, Stack};

async fn run(stack: &Stack) -> Running {
    stack.run(vec![hl7v2::room()]).await
}

async fn send(address: &str, message: &[u8]) -> Ack {
    let options = ClientOptions { timeout: PATIENCE, ..ClientOptions::default() };
    MllpClient::connect(address, options).await.unwrap().send(message).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_on_kafka_once_and_survives_restart_and_outage() {
    let mut stack = Stack::start().await;
    let address = format!("127.0.0.1:{}", testkit::parts::free_port());
    stack.configure("hl7v2", json!({"listen": address, "limits": {"confirm_ms": 4_000}}));
    let running = run(&stack).await;

    let admit = b"MSH|^~\\&|EHR|NORTH|||20260914||ADT^A01|a1|P|2.5.1|||AL|NE\rEVN|A01|20260914\rPID|1||7^^^N^MR\rPV1|1|I|W||||||||||||||||V7\r";
    assert_eq!(send(&address, admit).await.code, Some(AckCode::Ca));
    let first = send(&address, &charge("1", "p")).await;
    assert_eq!(first.code, Some(AckCode::Aa));
    let unusable = b"MSH|^~\\&|EHR|NORTH|||20260914||ADT^A01|a2|P|2.5.1\rPID|1||7\rPV1|1|I\r";
    assert_eq!(send(&address, unusable).await.code, Some(AckCode::Ae));
    assert_eq!(stack.events::<Encounter>().await.len(), 1);
    let usages = stack.events::<SupplyUsage>().await;
    assert_eq!(usages.len(), 1);
    let exceptions = stack.events::<Exception>().await;
    assert_eq!(exceptions[0].raw_value.as_ref().unwrap().as_slice(), unusable);
    let receipts = stack.events::<Receipt>().await;
    let outcome = |id: &str| receipts.iter().find(|receipt| receipt.message_id == id).map(|receipt| receipt.outcome);
    assert_eq!(outcome("a1"), Some(ReceiptOutcome::Events));
    assert_eq!(outcome("a2"), Some(ReceiptOutcome::Exception));
    // RAW-1: what was made an event of is kept as it came, under the digest that the event names; an exception has its own.
    let kept = stack.records(topics::OPS_SOURCE_V1.name()).await;
    let of = |hash: &str| kept.iter().find(|record| record.key.as_deref() == Some(hash.as_bytes()));
    let message = of(&usages[0].meta.source.content_hash).unwrap();
    assert_eq!(message.value.as_deref(), Some(charge("1", "p").as_slice()));
    assert_eq!(message.header(headers::CONTENT_TYPE), Some("application/hl7-v2"));
    assert_eq!(kept.len(), 2, "two messages became events");
    running.stop().await;

    // The memory of resends is on Kafka.
    let running = run(&stack).await;
    assert_eq!(send(&address, &charge("1", "p")).await.raw, first.raw);
    assert_eq!(stack.events::<SupplyUsage>().await.len(), 1);

    // LOSS-1: without Kafka there is no positive answer, and the repeated message arrives.
    stack.kafka.kill();
    let refused = send(&address, &charge("2", "p")).await;
    assert_eq!(refused.code, Some(AckCode::Ae));
    assert!(refused.error.unwrap().contains("207"));
    stack.kafka.restart();
    let mut answer = send(&address, &charge("2", "p")).await;
    for _ in 0..10 {
        if answer.code == Some(AckCode::Aa) {
            break;
        }
        answer = send(&address, &charge("2", "p")).await;
    }
    assert_eq!(answer.code, Some(AckCode::Aa));
    let mut ids: Vec<String> =
        stack.events::<SupplyUsage>().await.into_iter().map(|usage| usage.meta.event_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2, "a message was lost or got a second identity");
    running.stop().await;
}

/// RAW-1, KEY-1: what no topic takes waits for a person with all its bytes, and neither its sender nor its patient stands still.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_event_is_too_large_waits_for_a_person_and_its_sender_goes_on() {
    let mut stack = Stack::start().await;
    let address = format!("127.0.0.1:{}", testkit::parts::free_port());
    stack.configure("hl7v2", json!({"listen": address}));
    let running = run(&stack).await;
    let message = String::from_utf8(charge("1", "p")).unwrap();
    let long = message.replace("A1^Gauze", &"A".repeat(1_100_000)).into_bytes();
    let answer = send(&address, &long).await;
    assert_eq!(answer.code, Some(AckCode::Ae), "{:?}", answer.error);
    let told = answer.error.clone().unwrap();
    assert!(told.contains("WL-6008") && !told.contains("207"), "it is stored, nothing has to be repeated: {told}");
    assert_eq!(send(&address, &charge("2", "p")).await.code, Some(AckCode::Aa), "the same patient");
    assert_eq!(send(&address, &long).await.raw, answer.raw, "a resend gets the same answer");
    let exceptions = stack.events::<Exception>().await;
    let codes: Vec<&str> = exceptions.iter().map(|exception| exception.code.as_str()).collect();
    assert_eq!(codes, ["WL-6008"], "and is no second exception");
    let letters = stack.records(topics::OPS_DEAD_LETTER_V1.name()).await;
    let kept: Vec<u8> = letters.iter().flat_map(|letter| letter.value.clone().unwrap().to_vec()).collect();
    assert!(kept == long, "all bytes are kept");
    let receipts = stack.events::<Receipt>().await;
    let outcomes: Vec<ReceiptOutcome> = receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(outcomes, [ReceiptOutcome::Exception, ReceiptOutcome::Events]);
    running.stop().await;
}
