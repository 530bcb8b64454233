//! People at the console with a real browser: they sign in, work, agree, look, and are attacked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "test")]

use console::people::Right;
use console::people::oidc::OidcConfig;
use console::routes::{Method, ROUTES};
use runtime::outgoing::Outgoing;
use schemas::{Exception, ExceptionKind, ExceptionState, Subject, Timestamp, ValidatedUsage, topics};
use serde_json::json;
use std::borrow::Cow;
use testkit::identity::{CLIENT, CLIENT_SECRET, IdentityProvider};
use testkit::until;
use wardline_tests::browser::{Browser, Look, Tab};
use wardline_tests::desk::{Desk, PASSWORD};
use wardline_tests::events::usage;
use wardline_tests::toys;

/// A flow whose events one person gives up.
const ONE_PERSON: &str = "supply.purchase-order.v1";
/// What a browser would run, in a field of a message or in the words of a colleague.
const SCRIPTS: [&str; 3] = [
    "<script>window.stolen=1;alert(1)</script>",
    "\"><img src=x onerror=\"window.stolen=2;alert(2)\">",
    "</title><svg onload=\"window.stolen=3;alert(3)\">",
];

async fn sign_in(desk: &Desk, tab: &Tab, user: &str) {
    tab.open(&format!("{}/", desk.url)).await;
    tab.fill("#user", user).await;
    tab.fill("#password", PASSWORD).await;
    tab.click("form.sign-in button").await;
    tab.reads(&format!("{user} (")).await;
}

/// Plans a replay of everything, and gives the path of its page.
async fn plan(desk: &Desk, tab: &Tab, reason: &str) -> String {
    tab.open(&format!("{}/replay", desk.url)).await;
    tab.fill("form[action$='/plan'] [name=room]", toys::VALIDATE).await;
    tab.fill("form[action$='/plan'] [name=from_time]", "2020-01-01T00:00:00Z").await;
    tab.fill("form[action$='/plan'] [name=reason]", reason).await;
    tab.click("form[action$='/plan'] button").await;
    tab.reads(reason).await;
    let path = tab.path().await;
    assert!(path.starts_with("/replay/"), "{path}");
    path
}

/// An exception with a message of a patient.
fn exception(number: usize, text: &str) -> Exception {
    let message = format!(
        "MSH|^~\\&|{text}|F|WL|H|20260302||ADT^A01|1|P|2.5.1\rPID|1||{text}^^^H^MR||Abel^Ada\r\
         ORC|RE|{text}|F||CM\rOBX|1|ST|{text}^x||{text}||||||F\r"
    );
    let now = Timestamp(runtime::clock::now_micros());
    Exception {
        exception_id: format!("00000000-0000-5000-8000-{number:012}"),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: "hl7v2".to_owned(),
        stage: "process".to_owned(),
        code: "WL-4001".to_owned(),
        message: format!("the item {text} is not in the item master"),
        suggested_fix: Some(format!("Add {text} to the item master.")),
        subject: Some(Subject { kind: "master.item.v1".to_owned(), key: text.to_owned() }),
        origin_topic: Some(ONE_PERSON.to_owned()),
        origin_partition: Some(0),
        origin_offset: Some(i64::try_from(number).unwrap()),
        raw_value: Some(message.into_bytes().into()),
        raised_at: now,
        at: now,
        ..Exception::default()
    }
}

async fn dead_letter(desk: &Desk, text: &str) {
    let facts =
        [("wl_room", "hl7v2"), ("wl_stage", "read"), ("wl_code", "WL-1001"), ("wl_reason", text), ("ce_id", text)];
    let headers = facts.map(|(name, text)| (Cow::Borrowed(name), Some(text.as_bytes().to_vec().into())));
    let letter = Outgoing {
        topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
        partition: Some(0),
        key: None,
        value: Some(format!("MSH|{text}").into_bytes().into()),
        headers: headers.into_iter().collect(),
        ticket: None,
    };
    desk.stack.publish_raw(&[letter]).await;
}

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

#[tokio::test(flavor = "multi_thread")]
async fn topics_traces_dead_letters_and_replays_are_looked_at_and_agreed_to() {
    let desk = Desk::start(|_| ()).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&[usage("enc-1", 1, "plain"), usage("enc-1", 2, "plain")]).await;
    desk.stack.until::<ValidatedUsage>("both events", |events| events.len() == 2).await;
    room.stop().await;
    dead_letter(&desk, "no header").await;
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;

    olga.open(&format!("{}/trace", desk.url)).await;
    olga.fill("#id", "enc-1-1").await;
    olga.click("form.filter button").await;
    olga.reads("steps, in order of time").await;
    olga.open(&format!("{}/topics", desk.url)).await;
    olga.click("a[href='/topics/clinical.supply-usage.v1']").await;
    olga.reads("clinical.supply-usage.v1").await;
    olga.open(&format!("{}/dead-letters", desk.url)).await;
    olga.reads("no header").await;
    olga.click("tbody tr a[href^='/dead-letters/']").await;
    olga.click("a[href='/errors/WL-1001']").await;
    olga.reads("What to do").await;

    let path = plan(&desk, &olga, "the rule was wrong").await;
    assert_eq!(olga.eval("document.querySelectorAll(\"form[action$='/approve']\").length").await, json!(0));
    anna.open(&format!("{}{path}", desk.url)).await;
    anna.fill("form[action$='/approve'] [name=comment]", "looked at it").await;
    anna.click("form[action$='/approve'] button").await;
    anna.reads("approved").await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    olga.open(&format!("{}{path}", desk.url)).await;
    olga.fill("form[action$='/apply'] [name=rate]", "1000").await;
    olga.click("form[action$='/apply'] button").await;
    // The page follows by itself what the process behind it does.
    olga.reads("done").await;
    room.stop().await;
    let path = plan(&desk, &olga, "and once more").await;
    olga.fill("form[action$='/abort'] [name=comment]", "not needed any more").await;
    olga.click("form[action$='/abort'] button").await;
    olga.reads("aborted").await;
    assert_eq!(olga.path().await, path);
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_update_by_themselves_and_are_worked_by_keys_alone() {
    let desk = Desk::start(|_| ()).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    // From the first key on: the name has the focus already.
    tab.open(&format!("{}/exceptions", desk.url)).await;
    tab.until("document.activeElement.id === 'user'").await;
    tab.type_text("olga").await;
    tab.key("Tab").await;
    tab.type_text(PASSWORD).await;
    tab.key_to_page("Enter").await;
    tab.reads("No exception fits.").await;
    tab.key("Tab").await;
    tab.until("document.activeElement.classList.contains('skip')").await;
    tab.key("Enter").await;
    tab.until("document.activeElement.id === 'main'").await;

    tab.eval("window.stays = true").await;
    desk.raise(&[exception(1, "first"), exception(2, "second")]).await;
    tab.reads("2 exceptions fit").await;
    assert_eq!(tab.eval("window.stays").await, json!(true), "nothing was loaded anew");
    tab.key("j").await;
    tab.until("document.activeElement.matches('[data-row]')").await;
    let first = tab.eval("document.activeElement.dataset.row").await;
    tab.key("j").await;
    assert_ne!(tab.eval("document.activeElement.dataset.row").await, first);
    tab.key("k").await;
    assert_eq!(tab.eval("document.activeElement.dataset.row").await, first);
    let ring = tab.eval("getComputedStyle(document.activeElement).outlineStyle").await;
    assert_ne!(ring, json!("none"), "one sees where one is");
    tab.key_to_page("Enter").await;
    assert_eq!(tab.path().await, format!("/exceptions/{}", first.as_str().unwrap()));
    tab.key("?").await;
    tab.until("document.querySelector('dialog').open").await;
    tab.key("Escape").await;
    tab.until("!document.querySelector('dialog').open").await;
    tab.key("g").await;
    tab.key_to_page("t").await;
    assert_eq!(tab.path().await, "/topics");
    tab.close().await;
    browser.end().await;
}

/// All pages that somebody who has signed in may open. A new page with a named part in its path wants a line here.
fn pages(ids: &[(&str, &str)]) -> Vec<String> {
    let looks = ROUTES.iter().filter(|route| route.method == Method::Get && route.right != Right::Open);
    let fill = |path: &str| match ids.iter().find(|(page, _)| *page == path) {
        Some((_, filled)) => (*filled).to_owned(),
        None if path.contains('{') => panic!("say which {path} to open"),
        None => path.to_owned(),
    };
    looks.filter_map(|route| route.page).map(fill).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_in_the_light_in_the_dark_and_on_a_telephone() {
    let desk = Desk::start(|config| config.service_levels = true).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&[usage("enc-1", 1, "plain"), usage("enc-2", 1, "REJECT")]).await;
    until("one key waits", || desk.console.exceptions.causes().len() == 1).await;
    desk.raise(&[exception(1, "an_item_with_a_name_that_has_no_place_to_break_at_and_is_longer_than_any_telephone")])
        .await;
    dead_letter(&desk, "no header").await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.open(&format!("{}/sign-in", desk.url)).await;
    let mut bad = seen(&tab, "/sign-in").await;
    sign_in(&desk, &tab, "anna").await;
    let replay = plan(&desk, &tab, "the rule was wrong").await;
    let one = format!("/exceptions/{}", exception(1, "").exception_id);
    let ids = [
        ("/exceptions/{id}", one.as_str()),
        ("/dead-letters/{id}", "/dead-letters/0@0"),
        ("/replay/{id}", &replay),
        ("/topics/{name}", "/topics/clinical.supply-usage.v1"),
        ("/errors/{code}", "/errors/WL-4001"),
    ];
    for path in pages(&ids).into_iter().chain(["/trace?id=enc-1-1".to_owned(), "/nowhere".to_owned()]) {
        tab.open(&format!("{}{path}", desk.url)).await;
        bad.extend(seen(&tab, &path).await);
    }
    assert_eq!(bad, Vec::<String>::new());
    // What is grey on white, and wider than any telephone, is found.
    tab.open("data:text/html,<p style='color:%23ccc;width:2000px'>grey").await;
    let found = seen(&tab, "a bad page").await.join("\n");
    assert!(found.contains("color-contrast") && found.contains("px too wide"), "{found}");
    tab.close().await;
    browser.end().await;
    room.stop().await;
}

/// What is wrong with a page, however it is looked at.
async fn seen(tab: &Tab, path: &str) -> Vec<String> {
    let mut bad = Vec::new();
    for look in [Look::DESK, Look::NIGHT, Look::PHONE] {
        tab.look(look).await;
        let found = tab.violations().await;
        bad.extend(found.into_iter().map(|violation| format!("{path} {look:?}: {violation}")));
        let overflow = tab.overflow().await;
        if overflow > 0 {
            bad.push(format!("{path} {look:?}: {overflow} px too wide"));
        }
    }
    tab.look(Look::DESK).await;
    bad
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_senders_or_people_write_runs_and_nothing_leaves() {
    let desk = Desk::start(|_| ()).await;
    for (number, script) in SCRIPTS.into_iter().enumerate() {
        desk.raise(&[exception(number + 1, script)]).await;
        dead_letter(&desk, script).await;
    }
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    sign_in(&desk, &tab, "anna").await;
    for (number, script) in SCRIPTS.into_iter().enumerate() {
        let path = format!("{}/exceptions/{}", desk.url, exception(number + 1, "").exception_id);
        tab.open(&path).await;
        tab.fill("form[action$='/comment'] [name=comment]", script).await;
        tab.click("form[action$='/comment'] button").await;
        tab.reads(script).await;
        tab.fill("form[action$='/original'] [name=reason]", script).await;
        tab.click("form[action$='/original'] button").await;
        tab.reads(script).await;
        harmless(&tab, &path).await;
        let path = format!("{}/dead-letters/0@{number}", desk.url);
        tab.open(&path).await;
        tab.reads(script).await;
        harmless(&tab, &path).await;
    }
    let query = "%3Cscript%3Ewindow.stolen%3D1%3Balert(1)%3C%2Fscript%3E";
    for path in ["/", "/exceptions?state=all", "/dead-letters", "/audit", "/replay", "/topics"] {
        tab.open(&format!("{}{path}", desk.url)).await;
        harmless(&tab, path).await;
    }
    for path in ["/exceptions?code=", "/dead-letters?room=", "/trace?id=", "/errors/", "/topics/", "/audit?actor="] {
        tab.open(&format!("{}{path}{query}", desk.url)).await;
        harmless(&tab, path).await;
    }
    let elsewhere: Vec<_> = tab.requests().into_iter().filter(|url| !url.starts_with(&desk.url)).collect();
    assert_eq!(elsewhere, Vec::<String>::new());
    policy_holds(&tab, &desk).await;
    // The same words in a page without a policy do run: this test would see it.
    let page = format!("data:text/html,<p>{}", SCRIPTS[0]);
    tab.open_with_dialog(&page).await;
    assert_eq!(tab.events("Page.javascriptDialogOpening").len(), 1);
    tab.close().await;
    browser.end().await;
}

async fn harmless(tab: &Tab, what: &str) {
    assert_eq!(tab.eval("window.stolen === undefined").await, json!(true), "{what}");
    assert!(tab.events("Page.javascriptDialogOpening").is_empty(), "{what}");
    let scripts = tab.eval("Array.from(document.scripts).filter(one => !one.src || one.textContent).length").await;
    assert_eq!(scripts, json!(0), "{what}");
}

/// Even if a script came into a page, it would neither run nor tell anybody.
async fn policy_holds(tab: &Tab, desk: &Desk) {
    tab.open(&format!("{}/topics", desk.url)).await;
    tab.eval("document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.stolen=4\">')").await;
    tab.eval(
        "(() => { const one = document.createElement('script'); one.textContent = 'window.stolen=5'; \
         document.body.append(one); })()",
    )
    .await;
    let told = tab.eval("fetch('http://127.0.0.1:9/stolen').then(() => 'told', () => 'kept')").await;
    assert_eq!(told, json!("kept"));
    let framed = format!(
        "new Promise(done => {{ const one = document.createElement('iframe'); one.src = '{}'; one.onload = () => done(true); \
         document.body.append(one); setTimeout(() => done(true), 1000); }})",
        desk.url
    );
    tab.eval(&framed).await;
    assert_eq!(tab.eval("window.stolen === undefined").await, json!(true));
    tab.until_event("Log.entryAdded", |params| {
        params["entry"]["text"].as_str().is_some_and(|text| text.contains("script-src"))
    })
    .await;
    let asked = tab.requests();
    assert!(!asked.iter().any(|url| url.contains("/stolen")), "{asked:?}");
}
