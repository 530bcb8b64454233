//! EOS-1: several listeners that share their receipts. A sender that loses its connection sends again at once, to another one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use std::collections::BTreeSet;

use common::charge;
use hl7v2::mllp::{Ack, AckCode, ClientOptions, MllpClient, encode};
use schemas::{Receipt, SupplyUsage};
use serde_json::json;
use testkit::stack::{PATIENCE, Running, Stack};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Messages that are sent to two listeners each.
const MESSAGES: usize = 40;

/// Starts a listener beside those that run; gives its address.
async fn listener(stack: &mut Stack, catch_up_ms: u64) -> (String, Running) {
    let address = format!("127.0.0.1:{}", testkit::parts::free_port());
    let receipts = json!({"shared": true, "catch_up_ms": catch_up_ms});
    stack.configure("hl7v2", json!({"listen": address, "receipts": receipts}));
    let running = stack.run(vec![hl7v2::room()]).await;
    (address, running)
}

/// Sends a message and loses the connection as the answer comes: the listener has taken the message, its sender does not know.
async fn lose(address: &str, message: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&encode(message)).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, stream.peek(&mut [0; 1])).await.expect("an answer in time");
    assert_eq!(answer.unwrap(), 1, "the listener closed the connection without an answer");
}

async fn send(address: &str, message: &[u8]) -> Ack {
    let options = ClientOptions { timeout: PATIENCE, ..ClientOptions::default() };
    MllpClient::connect(address, options).await.unwrap().send(message).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_listener_has_taken_a_moment_ago_is_answered_from_its_receipt() {
    let mut stack = Stack::start().await;
    let (one, first) = listener(&mut stack, 30_000).await;
    let (other, second) = listener(&mut stack, 30_000).await;
    for number in 0..MESSAGES {
        let message = charge(&number.to_string(), &format!("p{number}"));
        let (taker, next) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        lose(taker, &message).await;
        assert_eq!(send(next, &message).await.code, Some(AckCode::Aa));
    }
    let ids: Vec<String> = stack.events::<SupplyUsage>().await.into_iter().map(|usage| usage.meta.event_id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), MESSAGES, "a message was lost");
    assert_eq!(ids.len(), MESSAGES, "a message is twice on its topic");
    assert_eq!(stack.events::<Receipt>().await.len(), MESSAGES);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_that_arrive_together_are_all_recognised() {
    let mut stack = Stack::start().await;
    let (one, first) = listener(&mut stack, 30_000).await;
    let (other, second) = listener(&mut stack, 30_000).await;
    let messages: Vec<Vec<u8>> = (0..MESSAGES).map(|id| charge(&id.to_string(), &format!("p{id}"))).collect();
    for message in &messages {
        lose(&one, message).await;
    }
    let again = messages.iter().map(|message| send(&other, message));
    for answer in futures::future::join_all(again).await {
        assert_eq!(answer.code, Some(AckCode::Aa));
    }
    assert_eq!(stack.events::<SupplyUsage>().await.len(), MESSAGES);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_of_kafka_a_newcomer_is_told_to_repeat() {
    let mut stack = Stack::start().await;
    let (address, running) = listener(&mut stack, 500).await;
    assert_eq!(send(&address, &charge("1", "p")).await.code, Some(AckCode::Aa));
    stack.kafka.kill();
    let refused = send(&address, &charge("2", "p")).await;
    assert_eq!(refused.code, Some(AckCode::Ae));
    let error = refused.error.unwrap();
    assert!(error.contains("WL-2028") && error.contains("207"), "{error}");
    stack.kafka.restart();
    let mut code = None;
    for _ in 0..120 {
        code = send(&address, &charge("2", "p")).await.code;
        if code == Some(AckCode::Aa) {
            break;
        }
    }
    assert_eq!(code, Some(AckCode::Aa));
    assert_eq!(stack.events::<SupplyUsage>().await.len(), 2);
    running.stop().await;
}
