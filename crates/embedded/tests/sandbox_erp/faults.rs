//! The failure switches, one after the other.

use crate::support::{Caller, SUTURE, line, posting, start};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

fn one(key: &str) -> Value {
    posting(key, vec![line("a", SUTURE, None, "1")])
}

#[tokio::test]
async fn latency() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.put("faults", json!({"latency_ms": 150})).await;
    let began = Instant::now();
    caller.posted(&one("k")).await;
    assert!(began.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_waiting_call_with_it() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.put("faults", json!({"latency_ms": 300})).await;
    let left = tokio::time::timeout(Duration::from_millis(50), caller.post(&one("left"))).await;
    assert!(left.is_err());
    // The call behind it waits as long and is done: the first would have been done before.
    caller.posted(&one("stayed")).await;
    assert_eq!(caller.moves("left").await.len(), 0);
}

#[tokio::test]
async fn errors_of_the_next_calls_and_of_a_share() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.put("faults", json!({"error_next": 2, "error_share": "0.5"})).await;
    let mut statuses = Vec::new();
    for call in 0..6 {
        statuses.push(caller.post(&one(&format!("k{call}"))).await.0.as_u16());
    }
    assert_eq!(statuses, [500, 500, 201, 500, 201, 500]);
    assert_eq!(caller.moves("k").await.len(), 2);
    assert_eq!(caller.get("faults").await["error_next"], 0);
}

#[tokio::test]
async fn too_many_requests_say_when_to_come_back() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.put("faults", json!({"throttle_next": 1, "retry_after_s": 7})).await;
    let answer = caller.send(Method::POST, "postings", one("k")).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    caller.posted(&one("k")).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_effect() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.put("faults", json!({"lose_answer_next": 1, "lose_answer_by": "close"})).await;
    let error = caller.send(Method::POST, "postings", one("close")).await.unwrap_err();
    assert!(error.status().is_none() && !error.is_connect(), "{error:?}");
    assert_eq!(caller.posted(&one("close")).await["replayed"], true);
    caller.put("faults", json!({"lose_answer_next": 1, "lose_answer_by": "silence"})).await;
    let silent = tokio::time::timeout(Duration::from_millis(300), caller.post(&one("silence"))).await;
    assert!(silent.is_err());
    assert_eq!(caller.posted(&one("silence")).await["replayed"], true);
}

#[tokio::test]
async fn an_item_that_is_rejected() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.put("faults", json!({"reject_items": [SUTURE]})).await;
    assert_eq!(caller.refused(&one("k")).await, (422, "item.rejected".to_owned(), json!(["a"])));
    caller.put("faults", json!({})).await;
    caller.posted(&one("k")).await;
}

#[tokio::test]
async fn reads_are_struck_only_when_asked_for_and_the_switches_never() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.put("faults", json!({"error_share": "1"})).await;
    caller.get("stock").await;
    caller.put("faults", json!({"error_share": "1", "calls": "all"})).await;
    assert_eq!(caller.call(Method::GET, "stock", Value::Null).await.0, 500);
    assert_eq!(caller.get("faults").await["error_share"], "1");
    let (status, answer) = caller.call(Method::PUT, "faults", json!({"error_share": "2"})).await;
    assert_eq!((status.as_u16(), answer["error"]["code"].as_str()), (400, Some("request.invalid")));
}
