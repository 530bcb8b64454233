//! Sign-in with an identity provider that signs real tokens, and what happens when it breaks, lies or is imitated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Answer, PASSWORD, Place, answer, between};
use console::people::oidc::OidcConfig;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::identity::{Algorithm, CLIENT, CLIENT_SECRET, Fault, IdentityProvider};
use testkit::until_found;

/// A console whose people the provider knows: of the approvers, of no group, with a name of a local user, with a strange one.
async fn start() -> (IdentityProvider, Place) {
    start_with(json!({}), 100_000).await
}

async fn start_with(change: Value, attempts: u32) -> (IdentityProvider, Place) {
    let provider = IdentityProvider::start([
        ("ada.lovelace@hospital.example", json!({"groups": ["staff", "wl-approve", "wl-view"]})),
        // The same person, who has chosen another name.
        ("countess", json!({"groups": ["wl-approve"], "sub": "id-of-ada.lovelace@hospital.example"})),
        ("viola", json!({"groups": "wl-view"})),
        ("nobody", json!({"groups": ["staff"]})),
        ("olga", json!({"groups": ["wl-admin"]})),
        ("strange", json!({"groups": ["wl-admin"], "preferred_username": "<script>alert(1)</script>"})),
    ])
    .await
    .unwrap();
    let mut block = json!({
        "issuer": provider.issuer(),
        "client_id": CLIENT,
        "client_secret": CLIENT_SECRET,
        "cached_s": 1,
        "roles": {"wl-view": "viewer", "wl-approve": "approver", "wl-admin": "administrator"},
    });
    for (key, value) in change.as_object().unwrap() {
        block[key] = value.clone();
    }
    let oidc: OidcConfig = serde_json::from_value(block).unwrap();
    let place = Place::with_provider(oidc, |config| config.attempts.per_address = attempts).await;
    (provider, place)
}

/// Somebody on their way.
struct Visit {
    cookie: String,
    /// Where the provider has sent them back to.
    back: String,
}

/// Goes to the provider and says who one is.
async fn visit(place: &Place, user: &str, then: &str) -> Visit {
    let begun = place.get(&format!("/sign-in/oidc?then={then}")).await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    let cookie = begun.cookie("wardline-oidc=").unwrap();
    let address = begun.header("location").replace("/authorize?", &format!("/authorize/as?user={user}&"));
    let sent = answer(place.client.get(address)).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
    let back = sent.header("location").strip_prefix(&place.url).expect("back to the console").to_owned();
    Visit { cookie, back }
}

async fn come_back(place: &Place, visit: &Visit) -> Answer {
    answer(place.request(Method::GET, &visit.back).header("cookie", &visit.cookie)).await
}

async fn sign_in(place: &Place, user: &str) -> Answer {
    come_back(place, &visit(place, user, "%2Faudit").await).await
}

async fn look(place: &Place, cookie: &str, path: &str) -> Answer {
    answer(place.request(Method::GET, path).header("cookie", cookie)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_with_the_role_of_their_groups_and_out_at_both_places() {
    let (provider, place) = start().await;
    let form = place.get("/sign-in?then=%2Faudit").await.text;
    assert!(form.contains("/sign-in/oidc?then=%2Faudit") && form.contains("name=\"password\""), "{form}");

    let ada = sign_in(&place, "ada.lovelace@hospital.example").await;
    assert_eq!(ada.status, 200, "{}", ada.text);
    assert!(
        ada.text.contains("content=\"0;url=/audit\""),
        "a strict cookie goes with what is asked from here: {}",
        ada.text
    );
    let set: Vec<_> = ada.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(set.iter().any(|one| one.starts_with("wardline=") && one.contains("HttpOnly; SameSite=Strict")), "{set:?}");
    assert!(set.iter().any(|one| one.starts_with("wardline-oidc=;") && one.contains("Max-Age=0")), "{set:?}");
    let cookie = ada.cookie("wardline=").unwrap();
    let page = look(&place, &cookie, "/topics").await;
    assert!(page.text.contains("ada.lovelace@hospital.example") && page.text.contains("(approver)"), "{}", page.text);
    let audit = place.audited(|audit| audit.code == "sign-in").await;
    let actor = audit.actor.as_deref().unwrap();
    assert!(actor.starts_with("ada.lovelace@hospital.example~") && !page.text.contains(actor), "{actor}");
    assert!(audit.detail.contains("identity provider as approver"), "{audit:?}");

    let viola = sign_in(&place, "viola").await.cookie("wardline=").unwrap();
    let token = between(&look(&place, &viola, "/topics").await.text, "name=\"form_token\" value=\"", "\"");
    let denied = place.form("/exceptions/x/retry", &[("form_token", &token)]).header("cookie", &viola);
    answer(denied).await.refused(403, "WL-7125");

    let out = answer(place.form("/sign-out", &[("form_token", &token)]).header("cookie", &viola)).await;
    assert_eq!((out.status.as_u16(), out.cookie("wardline=").as_deref()), (200, Some("wardline=")), "{}", out.text);
    let to = between(&out.text, "content=\"0;url=", "\"").replace("&amp;", "&");
    let back = answer(place.client.get(&to)).await;
    assert_eq!((back.header("location"), provider.signed_out()), (format!("{}/sign-in", place.url).as_str(), 1));
    assert_eq!(look(&place, &viola, "/topics").await.status, 303, "the session is over here too");
}

/// A name that people may change is only shown: two names of one account are one person where two have to agree.
#[tokio::test(flavor = "multi_thread")]
async fn another_name_of_the_same_account_is_no_second_person() {
    let (_provider, place) = start().await;
    let mut actors = Vec::new();
    for name in ["ada.lovelace@hospital.example", "countess", "viola"] {
        assert_eq!(sign_in(&place, name).await.status, 200);
        let of = format!("{name}~");
        let is_of = |audit: &schemas::Audit| audit.actor.as_ref().is_some_and(|actor| actor.starts_with(&of));
        actors.push(place.audited(|audit| audit.code == "sign-in" && is_of(audit)).await.actor.unwrap());
    }
    assert!(operations::same_person(&actors[0], &actors[1]), "{actors:?}");
    assert!(!operations::same_person(&actors[0], &actors[2]), "{actors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_role_a_taken_name_or_a_strange_one_does_not_get_in() {
    let (provider, place) = start().await;
    sign_in(&place, "nobody").await.refused(403, "WL-7225");
    sign_in(&place, "olga").await.refused(403, "WL-7226");
    let strange = sign_in(&place, "strange").await;
    strange.refused(403, "WL-7226");
    assert!(!strange.text.contains("alert(1)"), "{}", strange.text);
    provider.fault(Some(Fault::Denied));
    let denied = sign_in(&place, "viola").await;
    denied.refused(401, "WL-7223");
    assert!(denied.text.contains("access_denied") && !denied.text.contains("alert(1)"), "{}", denied.text);
    for code in ["WL-7223", "WL-7225", "WL-7226"] {
        place.audited(|audit| audit.code == code && audit.actor.is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_must_not_be_believed_opens_nothing() {
    let (provider, place) = start().await;
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        provider.rotate(algorithm, "a key of this round").unwrap();
        // Right after keys were fetched they are not fetched again.
        let good = async || (sign_in(&place, "viola").await.status == 200).then_some(());
        until_found("the key of this round is known", good).await;
        for (fault, reason) in [
            (Fault::WrongNonce, "another sign-in"),
            (Fault::WrongAudience, "InvalidAudience"),
            (Fault::WrongIssuer, "InvalidIssuer"),
            (Fault::Expired, "s ago"),
            (Fault::Early, "compare the clocks"),
            (Fault::Changed, "InvalidSignature"),
            (Fault::UnknownKey, "does not publish the key"),
            (Fault::Unsigned, "none"),
            (Fault::SharedSecret, "no signature that a provider alone can make"),
        ] {
            provider.fault(Some(fault));
            let refused = sign_in(&place, "viola").await;
            refused.refused(401, "WL-7224");
            assert!(refused.text.contains(reason), "{algorithm:?} {fault:?}: {}", refused.text);
            assert!(refused.cookie("wardline=").is_none(), "{fault:?}");
        }
        provider.fault(None);
        assert_eq!(sign_in(&place, "viola").await.status, 200, "{algorithm:?}");
    }
    place.audited(|audit| audit.code == "WL-7224" && audit.detail.contains("another sign-in")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_while_people_sign_in() {
    let (provider, place) = start_with(json!({"cached_s": 86_400}), 100_000).await;
    assert_eq!(sign_in(&place, "viola").await.status, 200);
    provider.rotate(Algorithm::Es256, "key-2").unwrap();
    // Right after keys were fetched they are not fetched again, so the first may still be refused.
    until_found("a token with the new key is believed", async || {
        (sign_in(&place, "viola").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_or_lies_is_told_apart_and_local_users_still_sign_in() {
    let (provider, place) = start().await;
    for (fault, code) in [
        (Fault::OtherIssuer, "WL-7221"),
        (Fault::NoJson, "WL-7221"),
        (Fault::Endless, "WL-7220"),
        (Fault::Away, "WL-7220"),
    ] {
        provider.fault(Some(fault));
        // What was known a moment ago is not asked for again.
        let refused = until_found("it is noticed", async || {
            Some(place.get("/sign-in/oidc").await).filter(|refused| refused.text.contains(code))
        })
        .await;
        refused.refused(503, code);
        assert!(
            refused.text.contains("name and a password") && refused.header("retry-after") == "60",
            "{}",
            refused.text
        );
        assert_eq!(place.sign_in("olga", PASSWORD).await.status, 303, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_breaks_in_between_signs_nobody_in() {
    let (provider, place) = start().await;
    for (fault, status, code) in [
        (Fault::CodeRefused, 401, "WL-7223"),
        (Fault::NoToken, 503, "WL-7221"),
        (Fault::Redirected, 503, "WL-7220"),
        (Fault::Away, 503, "WL-7220"),
    ] {
        let visit = visit(&place, "viola", "").await;
        provider.fault(Some(fault));
        come_back(&place, &visit).await.refused(status, code);
        provider.fault(None);
        // The next visit asks for the metadata again; what failed a moment ago is not asked for at once.
        until_found("it is believed again", async || (place.get("/sign-in/oidc").await.status == 303).then_some(()))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_once_by_the_browser_that_asked_and_leads_to_this_console() {
    let (_provider, place) = start().await;
    let first = visit(&place, "viola", "https%3A%2F%2Fevil.example%2F").await;
    let other = visit(&place, "viola", "").await;
    for (cookie, back) in [
        (None, first.back.clone()),
        (Some("wardline-oidc=x.y".to_owned()), first.back.clone()),
        (Some(format!("{}x", first.cookie)), first.back.clone()),
        // The code of somebody else, slipped into the browser of a victim.
        (Some(first.cookie.clone()), other.back.clone()),
        (Some(first.cookie.clone()), first.back.replace("state=", "state=x")),
        (Some(first.cookie.clone()), first.back.replace("iss=", "iss=x")),
        (Some(first.cookie.clone()), "/sign-in/oidc/answer?code=code-1".to_owned()),
    ] {
        let mut request = place.request(Method::GET, &back);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        answer(request).await.refused(400, "WL-7222");
    }
    // What the provider sends besides is none of our business (RFC 6749, 4.1.2).
    let besides = format!("{}&session_state=1&client_info=a%0ab&authuser={}", first.back, "0".repeat(600));
    let first = Visit { back: besides, ..first };
    let done = come_back(&place, &first).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(done.text.contains("content=\"0;url=/\""), "no other site: {}", done.text);
    come_back(&place, &first).await.refused(400, "WL-7222");
    place.audited(|audit| audit.code == "WL-7222" && audit.detail.contains("came before")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_guessing_answers_is_throttled_by_address_and_keeps_no_session_alive_too_long() {
    let (_provider, place) = start_with(json!({"session_max_s": 1}), 5).await;
    let cookie = sign_in(&place, "viola").await.cookie("wardline=").unwrap();
    until_found("the session ends", async || (look(&place, &cookie, "/topics").await.status == 303).then_some(()))
        .await;
    let mut refused = place.get("/sign-in/oidc/answer?code=guess&state=guess").await;
    for _ in 0..place.console.config.attempts.per_address {
        refused = place.get("/sign-in/oidc/answer?code=guess&state=guess").await;
    }
    refused.refused(429, "WL-7124");
    place.get("/sign-in/oidc").await.refused(429, "WL-7124");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_there_is_nothing_to_go_to() {
    let place = Place::start().await;
    place.get("/sign-in/oidc").await.refused(404, "WL-7130");
    place.get("/sign-in/oidc/answer?code=x&state=y").await.refused(404, "WL-7130");
    assert!(!place.get("/sign-in").await.text.contains("/sign-in/oidc"));
}
