//! A session that has ended at one replica of the console is over at all of them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{PASSWORD, Place, answer};
use reqwest::{Method, StatusCode};
use runtime::clock::tick;
use serde_json::json;
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

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_the_sessions_of_somebody_everywhere() {
    let place = Place::start().await;
    let (other, _running) = place.replica().await;
    let (olga, oscar) = (place.browser("olga").await, place.browser("oscar").await);
    let (anna, adele) = (place.browser("anna").await, place.browser("adele").await);
    let end = |name: &str| format!("/people/{name}/end-sessions");
    for (path, fields) in [(end("olga"), [("reason", "she left")])] {
        anna.post(&path, &fields).await.refused(403, "WL-7125");
        olga.post(&end("oscar"), &fields).await.refused(403, "WL-7125");
        answer(adele.form(&path, &fields)).await.refused(403, "WL-7127");
    }
    place
        .call(Method::POST, &format!("/api/v1{}", end("olga")), Some(json!({"reason": "x"})))
        .await
        .refused(403, "WL-7125");
    anna.get("/people").await.refused(403, "WL-7125");
    assert!(!anna.get("/topics").await.text.contains("href=\"/people\""));
    place.audited(|audit| audit.code == "WL-7125" && audit.actor.as_deref() == Some("anna")).await;
    assert_eq!(looks(&place, &other, &olga.cookie).await, StatusCode::OK, "who may not has ended nothing");

    let page = adele.get("/people").await.text;
    assert!(page.contains("action=\"/people/olga/end-sessions\"") && page.contains("operator"), "{page}");
    adele.post(&end("olga"), &[]).await.refused(422, "reason is missing");
    adele.post(&end("nobody"), &[("reason", "x")]).await.refused(404, "WL-7130");
    let ended = adele.post(&end("olga"), &[("reason", "she left")]).await;
    assert_eq!((ended.status, ended.header("location")), (StatusCode::SEE_OTHER, "/people"), "{}", ended.text);
    assert_eq!(looks(&place, &place.url, &olga.cookie).await, StatusCode::SEE_OTHER, "here at once");
    is_over(&place, &other, &olga.cookie).await;
    for cookie in [&oscar.cookie, &anna.cookie, &adele.cookie] {
        assert_eq!(looks(&place, &other, cookie).await, StatusCode::OK, "others go on");
    }
    let audit = place.audited(|audit| audit.code == "sessions.end").await;
    assert_eq!(audit.actor.as_deref(), Some("adele"));
    assert_eq!(audit.detail, "ended the sessions of \"olga\": she left");
    // She signs in anew once the second is over in which they ended.
    let anew = until_found("a session that began later", async || {
        let cookie = place.sign_in("olga", PASSWORD).await.cookie("wardline=")?;
        (looks(&place, &place.url, &cookie).await == StatusCode::OK).then_some(cookie)
    })
    .await;
    assert_eq!(looks(&place, &other, &anew).await, StatusCode::OK);
}
