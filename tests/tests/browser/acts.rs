//! Every act that the console offers is done by somebody in these tests.

use super::looks::seen;
use super::sign_in;
use console::routes::{Method, ROUTES};
use operations::messages::MessageId;
use runtime::clock::now_micros;
use runtime::source_bytes;
use schemas::{ExceptionKind, ExceptionState};
use testkit::until;
use wardline_tests::browser::{Browser, Tab};
use wardline_tests::desk::Desk;
use wardline_tests::events::usage;
use wardline_tests::toys;

/// All that is done in a browser here.
const TESTS: [&str; 8] = [
    include_str!("acts.rs"),
    include_str!("causes.rs"),
    include_str!("corrections.rs"),
    include_str!("groups.rs"),
    include_str!("main.rs"),
    include_str!("people.rs"),
    include_str!("reconciliation.rs"),
    include_str!("replays.rs"),
];

/// What is pressed for an act: the button of the form that is sent to its path.
fn pressed(path: &str) -> String {
    match path {
        "/sign-in" => "form.sign-in button".to_owned(),
        "/sign-out" => "form.person button".to_owned(),
        "/messages/{id}/original" => "form[action^='/messages/'] button".to_owned(),
        "/dead-letters/{id}/original" => "form[action^='/dead-letters/'][action$='/original'] button".to_owned(),
        path => format!("form[action$='{}'] button", path.rsplit('}').next().unwrap()),
    }
}

#[test]
fn every_act_is_done_by_somebody() {
    let acts = ROUTES.iter().filter(|route| route.method == Method::Post).filter_map(|route| route.page);
    let is_done = |path: &str| {
        let press = format!(".click(\"{}\")", pressed(path));
        TESTS.iter().any(|test| test.contains(&press))
    };
    let left: Vec<_> = acts.filter(|path| !is_done(path)).collect();
    assert_eq!(left, Vec::<&str>::new(), "nobody presses their buttons");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_cause_are_tried_again_at_once() {
    let desk = Desk::start(|_| ()).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&[usage("enc-1", 1, "REJECT"), usage("enc-2", 1, "REJECT")]).await;
    let open = || {
        let causes = desk.console.exceptions.causes();
        causes.iter().map(|cause| cause.exceptions).sum::<usize>()
    };
    until("both keys wait", || open() == 2).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    sign_in(&desk, &tab, "olga").await;
    tab.open(&format!("{}/exceptions?code={}&room={}", desk.url, toys::CODE, toys::VALIDATE)).await;
    tab.reads("2 exceptions fit").await;
    tab.fill("form[action$='/causes/retry'] [name=comment]", "the rule is mended").await;
    tab.click("form[action$='/causes/retry'] button").await;
    tab.reads("2").await;
    // The room has tried both, and the rule is as before.
    let listed = desk
        .until_api(&format!("/exceptions?room={}", toys::VALIDATE), |listed| {
            let rows = listed["rows"].as_array().unwrap();
            rows.len() == 2 && rows.iter().all(|row| row["kind"] == ExceptionKind::Retried.as_str())
        })
        .await;
    assert!(listed["rows"].as_array().unwrap().iter().all(|row| row["state"] == ExceptionState::Open.as_str()));
    let asked = desk.stack.events::<schemas::Audit>().await;
    let asked = asked.iter().filter(|audit| audit.code == "exception.retry" && audit.actor.as_deref() == Some("olga"));
    assert_eq!(asked.count(), 2, "each is on record");
    follows(&desk, &browser, &tab, listed["rows"][0]["exceptionId"].as_str().unwrap()).await;
    tab.close().await;
    browser.end().await;
    room.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_seen_without_its_patient_and_once_with_it() {
    let desk = Desk::start(|_| ()).await;
    let id = kept(&desk).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    sign_in(&desk, &tab, "olga").await;
    tab.open(&format!("{}/messages/{id}", desk.url)).await;
    tab.reads("PID-5").await;
    let mut bad = seen(&tab, "a message").await;
    assert!(!tab.text().await.contains("Abel"));
    tab.fill("form[action^='/messages/'] [name=reason]", "the ward asks").await;
    tab.click("form[action^='/messages/'] button").await;
    tab.reads("Abel^Ada").await;
    bad.extend(seen(&tab, "a message with its patient").await);
    assert_eq!(bad, Vec::<String>::new());
    let shown = desk.stack.events::<schemas::Audit>().await;
    assert!(shown.iter().any(|audit| audit.code == "show-original" && audit.detail.contains("the ward asks")));
    tab.close().await;
    browser.end().await;
}

/// A message that is kept as it came; its id.
pub(super) async fn kept(desk: &Desk) -> MessageId {
    let message = b"MSH|^~\\&|EHR|NORTH|||20260914||DFT^P03|7|P|2.5.1\rPID|1||7^^^N^MR||Abel^Ada\r";
    let id = MessageId::of(&"ab".repeat(32), now_micros()).unwrap();
    let records: Vec<_> = source_bytes::records(&id.content_hash, message, "application/hl7-v2", None).collect();
    desk.stack.publish_raw(&records).await;
    id
}

/// The page of an exception shows what others do about it, and is not loaded anew for that.
async fn follows(desk: &Desk, browser: &Browser, olga: &Tab, id: &str) {
    let page = format!("{}/exceptions/{id}", desk.url);
    olga.open(&page).await;
    olga.reads("Verdict").await;
    olga.eval("window.isAsOpened = true").await;
    let anna = browser.tab().await;
    sign_in(desk, &anna, "anna").await;
    anna.open(&page).await;
    anna.fill("form[action$='/comment'] [name=comment]", "the buyer knows of it").await;
    anna.click("form[action$='/comment'] button").await;
    anna.reads("the buyer knows of it").await;
    anna.close().await;
    olga.reads("the buyer knows of it").await;
    assert_eq!(olga.eval("window.isAsOpened === true").await, serde_json::json!(true), "the page was loaded anew");
    // What leads to the way of its event does so.
    olga.click("main a[href^='/trace?']").await;
    olga.reads("Found as exception").await;
}
