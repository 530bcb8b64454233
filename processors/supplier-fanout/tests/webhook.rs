//! The client against a real receiver over HTTP, and against receivers that misbehave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use connector::Secret;
use connector::effect::{CallError, EffectClient};
use std::time::Duration;
use testkit::supplier::{Fault, SECRET, Supplier};
use wardline_supplier_fanout::{FanoutConfig, Notice, WebhookClient};

/// 2026-11-23T10:00:00Z.
fn now() -> i64 {
    1_795_428_000_000_000
}

fn client(suppliers: &[(&str, String)], timeout_ms: u64) -> WebhookClient {
    let mut config = FanoutConfig { timeout_ms, ..FanoutConfig::default() };
    for (name, url) in suppliers {
        let profile = serde_json::json!({"url": url, "secret": SECRET});
        config.profiles.insert((*name).to_owned(), serde_json::from_value(profile).unwrap());
    }
    config.validate().unwrap();
    WebhookClient::new(&config, now).unwrap()
}

fn notice(profile: &str) -> [Notice; 1] {
    [Notice {
        profile: profile.to_owned(),
        body: r#"{"type":"receipt"}"#.to_owned(),
        told: schemas::SupplierNotice::default(),
    }]
}

fn code(error: CallError) -> String {
    match error {
        CallError::Refused { reason, .. } => reason.code.as_str().to_owned(),
        CallError::Transient { retry_after, .. } => format!("transient {:?}", retry_after.map(|wait| wait.as_secs())),
        CallError::InDoubt { .. } => "in doubt".to_owned(),
    }
}

#[tokio::test]
async fn fx_1_a_notice_is_signed_taken_once_and_found_again() {
    let supplier = Supplier::start().await.unwrap();
    let client = client(&[("V-300", supplier.url())], 5_000);
    assert_eq!(client.look_up("wl-1", &notice("V-300"), true).await.unwrap(), None);
    assert_eq!(client.call("wl-1", &notice("V-300")).await.unwrap()[0].status, 201);
    assert_eq!(client.call("wl-1", &notice("V-300")).await.unwrap()[0].status, 200);
    assert_eq!(client.look_up("wl-1", &notice("V-300"), true).await.unwrap().unwrap()[0].key, "wl-1");
    let taken = supplier.notices();
    assert_eq!((taken.len(), taken[0].key.as_str(), supplier.forged()), (1, "wl-1", 0));
}

#[tokio::test]
async fn every_answer_has_its_meaning_and_other_suppliers_are_not_affected() {
    let (first, second) = (Supplier::start().await.unwrap(), Supplier::start().await.unwrap());
    let client = client(&[("V-300", first.url()), ("V-310", second.url())], 5_000);
    for (status, meaning) in [
        (410, "WL-5102"),
        (403, "WL-5103"),
        (422, "WL-5101"),
        (302, "WL-5101"),
        (429, "transient None"),
        (503, "transient None"),
        (500, "transient None"),
        (502, "in doubt"),
    ] {
        first.fail_next(Fault::Status(status));
        assert_eq!(code(client.call("wl-1", &notice("V-300")).await.unwrap_err()), meaning, "{status}");
        assert!(client.call(&format!("wl-{status}"), &notice("V-310")).await.is_ok());
    }
    first.fail_next(Fault::Status(409));
    assert_eq!(client.call("wl-1", &notice("V-300")).await.unwrap()[0].status, 409);
    assert_eq!((first.notices().len(), second.notices().len()), (0, 8));
}

#[tokio::test]
async fn fx_1_a_late_answer_is_in_doubt_and_the_look_up_settles_it() {
    let supplier = Supplier::start().await.unwrap();
    let client = client(&[("V-300", supplier.url())], 300);
    supplier.fail_next(Fault::LateAnswer(Duration::from_secs(3)));
    assert_eq!(code(client.call("wl-1", &notice("V-300")).await.unwrap_err()), "in doubt");
    assert!(client.look_up("wl-1", &notice("V-300"), true).await.unwrap().is_some());
    assert_eq!(supplier.notices().len(), 1);
}

#[tokio::test]
async fn a_supplier_that_cannot_be_reached_is_tried_again() {
    // The port was free a moment ago and nobody listens on it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = client(&[("V-300", format!("http://127.0.0.1:{port}/notices"))], 1_000);
    assert_eq!(code(client.call("wl-1", &notice("V-300")).await.unwrap_err()), "transient None");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_by_the_supplier() {
    let supplier = Supplier::start().await.unwrap();
    let mut config = FanoutConfig::default();
    let profile = serde_json::json!({"url": supplier.url(), "secret": "another-secret-of-ours"});
    config.profiles.insert("V-300".to_owned(), serde_json::from_value(profile).unwrap());
    let client = WebhookClient::new(&config, now).unwrap();
    assert_eq!(code(client.call("wl-1", &notice("V-300")).await.unwrap_err()), "WL-5103");
    assert!(!format!("{config:?}").contains("another-secret"));
    assert_eq!(Secret::new(SECRET).to_string(), "***");
}
