//! Who gets in, and who does not: over the wire, with the broker that keeps the record.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{PASSWORD, Place, TOKEN, answer, encoded, exception};
use console::people::session::Session;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_or_does_anything_without_a_session() {
    let place = Place::start().await;
    for path in ["/", "/exceptions", "/exceptions/x", "/dead-letters", "/audit", "/topics"] {
        let page = place.get(path).await;
        assert_eq!(page.status, 303, "{path}");
        assert!(page.header("location").starts_with("/sign-in?then="), "{path}");
    }
    for path in ["/overview", "/exceptions", "/exceptions/x", "/dead-letters", "/audit", "/topics", "/causes"] {
        let call = place.get(&format!("/api/v1{path}")).await;
        call.refused(401, "WL-7122");
        assert_eq!(call.header("content-type"), "application/problem+json", "{path}");
        assert!(call.header("www-authenticate").starts_with("Bearer"), "{path}");
    }
    answer(place.form("/exceptions/x/retry", &[])).await.refused(401, "WL-7122");
    answer(place.form("/dead-letters/0@0/settle", &[("reason", "sent again")])).await.refused(401, "WL-7122");
    let wrong = place.request(Method::GET, "/api/v1/overview").header("authorization", "Bearer guess");
    answer(wrong).await.refused(401, "WL-7122");
    place.audited(|audit| audit.code == "WL-7122" && audit.detail.contains("GET /api/v1/overview")).await;
    place.get("/nowhere").await.refused(404, "WL-7130");
    place.get("/api/v1/nowhere").await.refused(404, "WL-7130");
    answer(place.request(Method::PUT, "/exceptions")).await.refused(405, "WL-7130");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_was_made_up_or_is_over_opens_nothing() {
    let place = Place::start().await;
    let browser = place.browser("vic").await;
    assert_eq!(browser.get("/topics").await.status, 200);
    let with = |cookie: String| answer(place.request(Method::GET, "/topics").header("cookie", cookie));
    for forged in
        [format!("{}x", browser.cookie), "wardline=x.y".to_owned(), browser.cookie.replace("wardline=", "wardline=e")]
    {
        assert_eq!(with(forged.clone()).await.status, 303, "{forged}");
    }
    place.audited(|audit| audit.detail.contains("with a cookie or token that is none")).await;

    let now_s = place.console.now_s();
    let session =
        |since_s, seen_s| Session { user: "vic".to_owned(), id: "s".to_owned(), since_s, seen_s, vouched: None };
    let config = &place.console.config;
    let (idle_s, max_s) = (i64::try_from(config.session_idle_s).unwrap(), i64::try_from(config.session_max_s).unwrap());
    assert_eq!(with(place.cookie_of(&session(now_s, now_s))).await.status, 200);
    for over in [session(now_s - idle_s - 5, now_s - idle_s - 5), session(now_s - max_s - 5, now_s)] {
        let page = with(place.cookie_of(&over)).await;
        assert_eq!(page.status, 303, "{over:?}");
        assert_eq!(page.cookie("wardline=").as_deref(), Some("wardline="), "the browser forgets it");
    }
    let unused = place.cookie_of(&session(now_s - 120, now_s - 120));
    // A page that looks again by itself says so, and is nobody who does something.
    let looked = with(unused.clone()).await;
    assert!(looked.status == 200 && looked.cookie("wardline=").is_none(), "it does not keep the session alive");
    let used = place.client.get(format!("{}/topics", place.url)).header("cookie", unused);
    assert!(answer(used).await.cookie("wardline=").is_some(), "a session that is used goes on");

    let out = browser.post("/sign-out", &[]).await;
    assert_eq!(out.status, 303);
    assert_eq!(browser.get("/topics").await.status, 303, "a copy of the cookie is worth nothing afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_do_is_refused_and_on_record() {
    let place = Place::start().await;
    place.raise(&[exception(1, "supply.usage-validated.v1")]).await;
    let id = exception(1, "t").exception_id;
    let viewer = place.browser("vic").await;
    for path in ["retry", "assign", "comment", "discard", "resolve", "original", "approve-discard"] {
        viewer
            .post(&format!("/exceptions/{id}/{path}"), &[("comment", "c"), ("reason", "curiosity")])
            .await
            .refused(403, "WL-7125");
    }
    let page = viewer.get(&format!("/exceptions/{id}")).await;
    assert!(
        !page.text.contains("/retry\"") && !page.text.contains("/original\""),
        "what one may not do is not offered"
    );
    let settle = viewer.post("/dead-letters/0@0/settle", &[("reason", "sent again")]).await;
    settle.refused(403, "WL-7125");
    let audit = place.audited(|audit| audit.code == "WL-7125").await;
    assert_eq!((audit.room.as_str(), audit.actor.as_deref()), ("console", Some("vic")));
    let operator = place.browser("olga").await;
    operator.post(&format!("/exceptions/{id}/approve-discard"), &[]).await.refused(403, "WL-7125");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_of_this_console_and_of_this_session() {
    let place = Place::start().await;
    place.raise(&[exception(1, "supply.usage-validated.v1")]).await;
    let path = format!("/exceptions/{}/comment", exception(1, "t").exception_id);
    let browser = place.browser("olga").await;
    let other = place.browser("oscar").await;
    for token in ["", "x", other.token.as_str()] {
        let sent = browser.form(&path, &[("comment", "c"), ("form_token", token)]);
        answer(sent).await.refused(403, "WL-7127");
    }
    answer(browser.form(&path, &[("comment", "c")])).await.refused(403, "WL-7127");
    let sent = |headers: &[(&str, &str)]| {
        let mut request = place
            .request(Method::POST, &path)
            .header("cookie", &browser.cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(&[("comment", "c"), ("form_token", &browser.token)]));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request)
    };
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", &place.url)],
        &[],
    ] {
        sent(headers).await.refused(403, "WL-7126");
    }
    let sign_in =
        place.form("/sign-in", &[("user", "vic"), ("password", PASSWORD)]).header("sec-fetch-site", "cross-site");
    answer(sign_in).await.refused(403, "WL-7126");
    place.audited(|audit| audit.code == "WL-7126" && audit.actor.as_deref() == Some("olga")).await;
    place.audited(|audit| audit.code == "WL-7127").await;
    assert_eq!(sent(&[("sec-fetch-site", "same-origin")]).await.status, 303, "its own form is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_too_often_waits_and_others_do_not() {
    let place = Place::start().await;
    for _ in 0..5 {
        place.sign_in("vic", "a wrong password").await.refused(401, "WL-7123");
    }
    let waiting = place.sign_in("vic", PASSWORD).await;
    waiting.refused(429, "WL-7124");
    assert!(waiting.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(place.sign_in("olga", PASSWORD).await.status, 303);
    place.sign_in("my password, typed too early", "x").await.refused(401, "WL-7123");
    place.audited(|audit| audit.code == "WL-7124" && audit.actor.as_deref() == Some("vic")).await;
    let stranger = place.audited(|audit| audit.code == "WL-7123" && audit.detail.contains("unknown")).await;
    assert!(!stranger.detail.contains("typed too early"), "{stranger:?}");
    place.audited(|audit| audit.code == "sign-in" && audit.actor.as_deref() == Some("olga")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_large_bodies_many_headers_and_wrong_forms_are_refused() {
    let place = Place::start().await;
    let browser = place.browser("olga").await;
    let large = "x".repeat(100_000);
    browser.post("/exceptions/x/comment", &[("comment", &large)]).await.refused(413, "WL-7128");
    let long = place.call(Method::POST, "/api/v1/exceptions/x/comment", Some(json!({"comment": large}))).await;
    long.refused(413, "WL-7128");
    let mut many = place.request(Method::GET, "/sign-in");
    for number in 0..100 {
        many = many.header(format!("x-{number}"), "1");
    }
    assert_eq!(answer(many).await.status, 431);
    // The rest is not read, so the connection may be cut before the answer is seen.
    let long = place.request(Method::GET, "/sign-in").header("x-long", "x".repeat(60_000)).send().await;
    assert!(long.is_err() || long.is_ok_and(|long| long.status() == 431));
    browser.get("/exceptions?nothing=1").await.refused(422, "WL-7131");
    browser.post("/exceptions/x/comment", &[]).await.refused(422, "WL-7131");
    let no_json =
        place.request(Method::POST, "/api/v1/exceptions/x/comment").header("authorization", format!("Bearer {TOKEN}"));
    answer(no_json.header("content-type", "application/json").body("{")).await.refused(422, "WL-7131");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_that_it_must_have() {
    let place = Place::start().await;
    let browser = place.browser("vic").await;
    for (answer, cached) in [
        (place.get("/sign-in").await, "no-store"),
        (place.get("/nowhere").await, "no-store"),
        (place.get("/api/v1/openapi.json").await, "no-store"),
        (browser.get("/").await, "no-store"),
        (place.get(&console::html::asset("console.css")).await, "public, max-age=31536000, immutable"),
    ] {
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cache-control"), cached);
        assert!(!answer.text.contains("style=\"") && !answer.text.contains("onclick"), "the policy forbids it");
    }
    let signed_in = place.sign_in("vic", PASSWORD).await;
    let cookie = signed_in.headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Secure"),
        "{cookie}"
    );
    let elsewhere = place.request(Method::GET, "/audit").header("sec-fetch-site", "cross-site");
    let again = answer(elsewhere).await;
    assert!(
        again.status == 200 && again.text.contains("http-equiv=\"refresh\""),
        "a link of another site is asked again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_the_cookie_is_for_this_host_and_tls_alone() {
    let place = Place::with(|config| {
        config.behind_tls = true;
        config.origin = Some("https://wardline.example".to_owned());
    })
    .await;
    let form = place.request(Method::POST, "/sign-in").header("origin", "https://wardline.example");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let signed_in = answer(form.body(encoded(&[("user", "vic"), ("password", PASSWORD)]))).await;
    assert_eq!(signed_in.status, 303, "{}", signed_in.text);
    let cookie = signed_in.headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.starts_with("__Host-wardline=") && cookie.contains("; Secure"), "{cookie}");
    assert!(signed_in.header("strict-transport-security").starts_with("max-age="));
}
