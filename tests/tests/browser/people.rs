//! People sign in and out, are slowed down, and work exceptions off, two by two.

use super::looks::seen;
use super::{exception, sign_in};
use console::people::oidc::OidcConfig;
use schemas::{ExceptionKind, ValidatedUsage};
use serde_json::json;
use testkit::identity::{CLIENT, CLIENT_SECRET, IdentityProvider};
use testkit::until;
use wardline_tests::browser::{Browser, Tab};
use wardline_tests::desk::{Desk, PASSWORD};
use wardline_tests::events::usage;
use wardline_tests::toys;

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_and_out_and_are_slowed_down() {
    let desk = Desk::start(|config| config.attempts.per_name_and_address = 2).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.open(&format!("{}/exceptions?state=all", desk.url)).await;
    assert!(tab.path().await.starts_with("/sign-in?then="), "{}", tab.path().await);
    tab.fill("#user", "olga").await;
    tab.fill("#password", PASSWORD).await;
    tab.key_to_page("Enter").await;
    assert_eq!(tab.path().await, "/exceptions?state=all", "one comes to where one wanted to go");
    let cookie = tab.cookie("wardline").await.unwrap();
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Strict")));
    assert_eq!(tab.eval("document.cookie").await, json!(""), "no script reads the session");
    tab.click("form.person button").await;
    assert_eq!(tab.path().await, "/sign-in");
    tab.open(&format!("{}/topics", desk.url)).await;
    assert!(tab.path().await.starts_with("/sign-in"), "the session is over");

    for said in ["WL-7123", "WL-7123", "WL-7124"] {
        tab.open(&format!("{}/sign-in", desk.url)).await;
        tab.fill("#user", "vic").await;
        tab.fill("#password", "a wrong password").await;
        tab.click("form.sign-in button").await;
        tab.reads(said).await;
    }
    sign_in(&desk, &tab, "oscar").await;
    desk.audited("the guesses are on record", |audit| audit.code == "WL-7124" && audit.actor.as_deref() == Some("vic"))
        .await;
    tab.close().await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_by_the_identity_provider_and_leave_both() {
    let provider = IdentityProvider::start([("ada.lovelace", json!({"groups": ["wl-approve"]}))]).await.unwrap();
    let block = json!({"issuer": provider.issuer(), "client_id": CLIENT, "client_secret": CLIENT_SECRET,
                       "roles": {"wl-approve": "approver"}});
    let oidc: OidcConfig = serde_json::from_value(block).unwrap();
    let desk = Desk::start(|config| config.oidc = Some(oidc)).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.open(&format!("{}/audit", desk.url)).await;
    assert_eq!(tab.violations().await, Vec::<String>::new());
    tab.click("a[href^='/sign-in/oidc']").await;
    tab.until("document.title === 'Who are you?'").await;
    tab.click("#as-ada\\.lovelace").await;
    tab.until("location.pathname === '/audit'").await;
    tab.reads("ada.lovelace (approver)").await;
    tab.click("form.person button").await;
    tab.until("location.pathname === '/sign-in'").await;
    assert_eq!(provider.signed_out(), 1);
    tab.open(&format!("{}/audit", desk.url)).await;
    assert!(tab.path().await.starts_with("/sign-in"), "the session is over");
    tab.close().await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_the_sessions_of_somebody() {
    let desk = Desk::start(|_| ()).await;
    let browser = Browser::start().await;
    let (adele, other) = (browser.tab().await, Browser::start().await);
    let oscar = other.tab().await;
    sign_in(&desk, &adele, "adele").await;
    sign_in(&desk, &oscar, "oscar").await;
    assert_eq!(oscar.eval("document.querySelectorAll(\"a[href='/people']\").length").await, json!(0));
    adele.click("form.person a[href='/people']").await;
    adele.fill("form[action$='/oscar/end-sessions'] [name=reason]", "he left").await;
    let bad = seen(&adele, "people").await;
    adele.click("form[action$='/oscar/end-sessions'] button").await;
    adele.reads("The sessions of oscar have ended").await;
    oscar.open(&format!("{}/topics", desk.url)).await;
    assert!(oscar.path().await.starts_with("/sign-in"), "{}", oscar.path().await);
    // The first of them is hers.
    adele.fill("form[action$='/end-sessions'] [name=reason]", "that is me").await;
    adele.click("form[action$='/end-sessions'] button").await;
    adele.until("location.pathname === '/sign-in'").await;
    let ended = desk.stack.events::<schemas::Audit>().await;
    let ended: Vec<_> = ended.iter().filter(|audit| audit.code == "sessions.end").collect();
    assert!(ended.len() == 2 && ended.iter().all(|audit| audit.actor.as_deref() == Some("adele")), "{ended:?}");
    assert_eq!(bad, Vec::<String>::new());
    for tab in [adele, oscar] {
        tab.close().await;
    }
    browser.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_are_worked_off_by_two_people() {
    let desk = Desk::start(|_| ()).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    let rejected: Vec<_> = (1..=2)
        .flat_map(|key| [usage(&format!("enc-{key}"), 1, "REJECT"), usage(&format!("enc-{key}"), 2, "plain")])
        .collect();
    desk.stack.publish(&rejected).await;
    until("both keys wait", || {
        desk.console.exceptions.causes().iter().map(|cause| cause.exceptions).sum::<usize>() == 2
    })
    .await;
    desk.raise(&[exception(1, "4711")]).await;
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;

    olga.reads("WL-4001").await;
    olga.open(&format!("{}/exceptions", desk.url)).await;
    olga.fill("#room", toys::VALIDATE).await;
    olga.click("form.filter button").await;
    olga.reads("2 exceptions fit").await;
    olga.click("tbody tr a[href^='/exceptions/']").await;
    let path = olga.path().await;
    olga.fill("form[action$='/assign'] [name=to]", "oscar").await;
    olga.click("form[action$='/assign'] button").await;
    olga.reads("oscar has it").await;
    olga.fill("form[action$='/comment'] [name=comment]", "asked the buyer").await;
    olga.click("form[action$='/comment'] button").await;
    olga.reads("asked the buyer").await;
    olga.fill("form[action$='/retry'] [name=comment]", "once more").await;
    olga.click("form[action$='/retry'] button").await;
    olga.reads("once more").await;
    until("the room has tried again", || {
        desk.console
            .exceptions
            .row(path.trim_start_matches("/exceptions/"))
            .is_some_and(|row| row.kind == ExceptionKind::Retried)
    })
    .await;

    olga.open(&format!("{}{path}", desk.url)).await;
    olga.fill("form[action$='/discard'] [name=comment]", "sent twice").await;
    olga.click("form[action$='/discard'] button").await;
    olga.reads("discard asked for").await;
    assert_eq!(olga.eval("document.querySelectorAll(\"form[action$='/approve-discard']\").length").await, json!(0));
    anna.open(&format!("{}{path}", desk.url)).await;
    anna.fill("form[action$='/approve-discard'] [name=comment]", "yes, twice").await;
    anna.click("form[action$='/approve-discard'] button").await;
    anna.reads("discarded").await;
    // The event behind the one that was given up goes on.
    desk.stack.until::<ValidatedUsage>("the next event", |events| !events.is_empty()).await;

    original_is_shown_once(&desk, &olga).await;
    olga.fill("form[action$='/resolve'] [name=comment]", "sent again").await;
    olga.click("form[action$='/resolve'] button").await;
    olga.reads("resolved").await;

    anna.open(&format!("{}/audit", desk.url)).await;
    for word in ["show-original", "exception.retry", "exception.assign", "sign-in", "yes, twice"] {
        anna.reads(word).await;
    }
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
    room.stop().await;
}

/// With a reason, which is on record with the name.
async fn original_is_shown_once(desk: &Desk, olga: &Tab) {
    olga.open(&format!("{}/exceptions/{}", desk.url, exception(1, "").exception_id)).await;
    olga.fill("form[action$='/original'] [name=reason]", "wrong patient at OR 3").await;
    assert!(!olga.text().await.contains("Abel"));
    olga.click("form[action$='/original'] button").await;
    olga.reads("Abel").await;
    let shown = desk.audited("who saw it is on record", |audit| audit.code == "show-original").await;
    assert_eq!(shown.actor.as_deref(), Some("olga"));
    assert!(shown.detail.contains("wrong patient at OR 3"), "{shown:?}");
    olga.open(&format!("{}/exceptions/{}", desk.url, exception(1, "").exception_id)).await;
    assert!(!olga.text().await.contains("Abel"), "once is once");
}
