//! A whole cause is worked off at once, by two people.

use super::looks::seen;
use super::sign_in;
use schemas::{ExceptionState, ValidatedUsage};
use testkit::until;
use wardline_tests::browser::Browser;
use wardline_tests::desk::Desk;
use wardline_tests::events::usage;
use wardline_tests::toys;

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_cause_are_given_to_somebody_spoken_of_and_given_up_by_two_people() {
    let desk = Desk::start(|_| ()).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    let rejected: Vec<_> = (1..=3)
        .flat_map(|key| [usage(&format!("enc-{key}"), 1, "REJECT"), usage(&format!("enc-{key}"), 2, "plain")])
        .collect();
    desk.stack.publish(&rejected).await;
    let view = &desk.console.exceptions;
    until("three keys wait", || view.causes().iter().map(|cause| cause.exceptions).sum::<usize>() == 3).await;
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;
    let cause = format!("{}/exceptions?code={}&room={}", desk.url, toys::CODE, toys::VALIDATE);

    olga.open(&cause).await;
    olga.reads("3 exceptions fit").await;
    let mut bad = seen(&olga, "the forms of a cause").await;
    olga.fill("form[action$='/causes/assign'] [name=to]", "oscar").await;
    olga.click("form[action$='/causes/assign'] button").await;
    olga.reads("3 assigned").await;
    olga.fill("form[action$='/causes/comment'] [name=comment]", "asked the buyer").await;
    olga.click("form[action$='/causes/comment'] button").await;
    olga.reads("3 commented").await;
    olga.fill("form[action$='/causes/discard'] [name=comment]", "a test patient").await;
    olga.click("form[action$='/causes/discard'] button").await;
    olga.reads("3 discard requested").await;
    olga.click("main a[href$='state=to-approve']").await;
    olga.reads("has to agree to it").await;
    assert!(desk.stack.events::<ValidatedUsage>().await.is_empty(), "one person gives nothing up");

    anna.open(&format!("{cause}&state=to-approve")).await;
    anna.reads("a test patient").await;
    bad.extend(seen(&anna, "the discards of a cause").await);
    anna.fill("form[action$='/causes/approve-discard'] [name=comment]", "so it is").await;
    anna.click("form[action$='/causes/approve-discard'] button").await;
    anna.reads("3 discarded").await;
    // The events behind those that were given up go on.
    desk.stack.until::<ValidatedUsage>("the next events", |events| events.len() == 3).await;
    let listed = desk.api(&format!("/exceptions?state=all&code={}", toys::CODE)).await;
    let rows = listed["rows"].as_array().unwrap();
    let is_given_up =
        |row: &serde_json::Value| row["state"] == ExceptionState::Discarded.as_str() && row["assignee"] == "oscar";
    assert!(rows.len() == 3 && rows.iter().all(is_given_up), "{listed:#}");
    assert_eq!(bad, Vec::<String>::new());
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
    room.stop().await;
}
