//! A session that has ended at one replica of the console is over at all of them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Place, answer};
use reqwest::StatusCode;
use runtime::clock::tick;
use std::time::Duration;
use testkit::until_found;

/// Within so long every replica knows it.
const SECONDS: Duration = Duration::from_secs(10);

/// How a replica answers somebody with this cookie.
async fn looks(place: &Place, url: &str, cookie: &str) -> StatusCode {
    answer(place.client.get(format!("{url}/topics")).header("cookie", cookie)).await.status
}

/// Waits until a replica sends somebody to sign in.
async fn is_over(place: &Place, url: &str, cookie: &str) {
    let started = tick();
    until_found("the session is over", async || {
        (looks(place, url, cookie).await == StatusCode::SEE_OTHER).then_some(())
    })
    .await;
    assert!(tick().since(started) < SECONDS, "{:?}", tick().since(started));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_at_one_replica_is_signed_out_at_all() {
    let place = Place::start().await;
    let (other, _running) = place.replica().await;
    let (olga, again) = (place.browser("olga").await, place.browser("olga").await);
    for cookie in [&olga.cookie, &again.cookie] {
        assert_eq!(looks(&place, &other, cookie).await, StatusCode::OK, "one key: a session is good at both");
    }
    assert_eq!(olga.post("/sign-out", &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(looks(&place, &place.url, &olga.cookie).await, StatusCode::SEE_OTHER, "here at once");
    is_over(&place, &other, &olga.cookie).await;
    assert_eq!(looks(&place, &other, &again.cookie).await, StatusCode::OK, "another session of hers goes on");

    // It is on record without what a session could be made of.
    let audit = place.audited(|audit| audit.code == "sign-out").await;
    assert_eq!(audit.actor.as_deref(), Some("olga"));
    assert!(audit.detail.contains("from 127.0.0.1"), "{audit:?}");
    let mark = audit.detail.split_whitespace().nth(4).unwrap().trim_end_matches(',');
    assert!(mark.len() == 32 && !olga.cookie.contains(mark), "{audit:?}");
    // A replica that starts later reads it, too.
    let (late, _later) = place.replica().await;
    is_over(&place, &late, &olga.cookie).await;
}
