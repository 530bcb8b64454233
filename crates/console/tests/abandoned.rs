//! Who hangs up before the answer comes has tried all the same: it is bounded, counted and on record.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{PASSWORD, Place, answer, between, encoded};
use console::people::oidc::OidcConfig;
use reqwest::Method;
use runtime::clock;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::PoisonError;
use std::time::Duration;
use testkit::until_found;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Sends a request and reads nothing.
async fn sent(place: &Place, head: &str, body: &str) -> TcpStream {
    let address = place.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("{head}\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_a_sign_in_that_nobody_waits_for_keeps_its_turn_and_is_counted() {
    let place = Place::with(|config| {
        config.attempts.at_once = 1;
        config.attempts.per_name_and_address = 2;
    })
    .await;
    let hashing = &place.console.hashing;
    let waits = || {
        let throttle = place.console.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.wait("vic", true, HERE, clock::tick()).is_some()
    };
    let head =
        format!("POST /sign-in HTTP/1.1\r\norigin: {}\r\ncontent-type: application/x-www-form-urlencoded", place.url);
    let body = encoded(&[("user", "vic"), ("password", "a wrong password")]);
    for _ in 0..2 {
        assert!(!waits(), "none too many until now");
        let stream = sent(&place, &head, &body).await;
        // Its password is being checked, unless that is over already.
        let mut is_begun = tokio::time::interval(Duration::from_micros(200));
        let begun = async {
            while hashing.available_permits() == 1 && !waits() {
                is_begun.tick().await;
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(2), begun).await);
        drop(stream);
        // The turn is given back when the check is over, and not when the other side has gone.
        let turn = tokio::time::timeout(Duration::from_secs(60), hashing.acquire()).await.unwrap().unwrap();
        drop(turn);
    }
    assert!(waits(), "each that was begun is counted");
    place.sign_in("vic", PASSWORD).await.refused(429, "WL-7124");
    let on_record = until_found("both are on record", async || {
        let all = place.stack.events::<schemas::Audit>().await;
        let found = all.iter().filter(|audit| audit.code == "WL-7123" && audit.actor.as_deref() == Some("vic")).count();
        (found >= 2).then_some(found)
    })
    .await;
    assert_eq!(on_record, 2);
}

/// A provider that says where it is, and then nothing about any code.
async fn silent_provider() -> (String, TcpListener) {
    let (metadata, tokens) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let issuer = format!("http://{}", metadata.local_addr().unwrap());
    let said = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("http://{}/token", tokens.local_addr().unwrap()),
        "jwks_uri": format!("{issuer}/keys"),
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
    })
    .to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = metadata.accept().await {
            let mut request = [0; 4_096];
            drop(stream.read(&mut request).await);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                said.len()
            );
            drop(stream.write_all(format!("{head}{said}").as_bytes()).await);
        }
    });
    (issuer, tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_provider_that_nobody_waits_for_is_followed_up_and_counted() {
    let (issuer, tokens) = silent_provider().await;
    let block = json!({"issuer": issuer, "client_id": "wardline", "roles": {"wl-view": "viewer"}});
    let oidc: OidcConfig = serde_json::from_value(block).unwrap();
    let place = Place::with_provider(oidc, |config| config.attempts.per_address = 1).await;
    let begun = answer(place.request(Method::GET, "/sign-in/oidc")).await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    let state = between(&format!("{}&", begun.header("location")), "state=", "&");
    let cookie = begun.cookie("wardline-oidc=").unwrap();
    let head = format!("GET /sign-in/oidc/answer?code=c&state={state} HTTP/1.1\r\ncookie: {cookie}");
    let stream = sent(&place, &head, "").await;
    let (mut asked, _) = tokio::time::timeout(Duration::from_secs(60), tokens.accept()).await.unwrap().unwrap();
    drop(stream);
    // The console goes on waiting for the provider: it does not hang up itself.
    let ends = async {
        let mut bytes = [0; 4_096];
        while asked.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    assert!(tokio::time::timeout(Duration::from_millis(500), ends).await.is_err(), "it was given up");
    drop(asked);
    place.audited(|audit| audit.code == "WL-7220" && audit.detail.contains("identity provider")).await;
    place.get("/sign-in/oidc").await.refused(429, "WL-7124");
}
