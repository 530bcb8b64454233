//! Traces, topics and dead letters are looked at; replays are planned, agreed to, handed over, paused, gone on with, given up.

use super::{dead_letter, plan, sign_in};
use schemas::{SupplyUsage, ValidatedUsage};
use serde_json::json;
use std::collections::HashSet;
use wardline_tests::browser::{Browser, Tab};
use wardline_tests::desk::Desk;
use wardline_tests::events::usage;
use wardline_tests::toys;

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
    dead_letter_is_shown_once(&desk, &olga).await;
    olga.click("a[href='/errors/WL-1001']").await;
    olga.reads("What to do").await;

    let path = plan(&desk, &olga, "the rule was wrong").await;
    assert_eq!(desk.api(&path).await["plan"]["correction"], 0, "a plain replay corrects nothing");
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
    desk.until_api(&path, |status| status["handed"] == 2 && status["stillParked"] == 0).await;
    room.stop().await;
    let path = plan(&desk, &olga, "and once more").await;
    olga.fill("form[action$='/abort'] [name=comment]", "not needed any more").await;
    olga.click("form[action$='/abort'] button").await;
    olga.reads("aborted").await;
    assert_eq!(olga.path().await, path);
    desk.until_api(&path, |status| status["plan"]["state"] == "ABORTED").await;
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
}

/// What the bytes of [`dead_letter`] say in their second field, as a browser would find it.
const BYTES: &str = r"/MSH-2\s+no header/";

/// With a reason, which is on record with the name; then its page again, where its bytes are not.
async fn dead_letter_is_shown_once(desk: &Desk, olga: &Tab) {
    let path = olga.path().await;
    olga.fill("form[action^='/dead-letters/'] [name=reason]", "the sender asks").await;
    olga.click("form[action^='/dead-letters/'] button").await;
    olga.until(&format!("{BYTES}.test(document.body.innerText)")).await;
    let shown = desk.audited("who saw it is on record", |audit| audit.code == "show-original").await;
    assert_eq!((shown.actor.as_deref(), shown.origin_offset), (Some("olga"), Some(0)), "{shown:?}");
    assert!(shown.detail.contains("the sender asks"), "{shown:?}");
    olga.open(&format!("{}{path}", desk.url)).await;
    assert_eq!(olga.eval(&format!("{BYTES}.test(document.body.innerText)")).await, json!(false), "once is once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_paused_and_gone_on_with() {
    const USAGES: usize = 30;
    let desk = Desk::start(|_| ()).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    let usages: Vec<SupplyUsage> = (1..=USAGES).map(|number| usage("enc-1", number, "plain")).collect();
    desk.stack.publish(&usages).await;
    desk.stack.until::<ValidatedUsage>("all events", |events| events.len() == USAGES).await;
    room.stop().await;
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;
    let path = plan(&desk, &olga, "the rule was wrong").await;
    anna.open(&format!("{}{path}", desk.url)).await;
    anna.click("form[action$='/approve'] button").await;
    anna.reads("approved").await;
    olga.open(&format!("{}{path}", desk.url)).await;
    olga.fill("form[action$='/apply'] [name=rate]", "1").await;
    olga.click("form[action$='/apply'] button").await;
    olga.fill("form[action$='/pause'] [name=comment]", "the theatre is busy").await;
    olga.click("form[action$='/pause'] button").await;
    olga.reads("paused").await;
    let paused = desk.until_api(&path, |status| status["plan"]["state"] == "PAUSED").await;
    assert!(paused["handed"].as_u64().unwrap() < USAGES as u64, "{paused:#}");
    assert_eq!(paused["plan"]["comment"], "the theatre is busy");
    let mut bad = super::looks::seen(&olga, "a replay that is paused").await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    anna.open(&format!("{}{path}", desk.url)).await;
    anna.fill("form[action$='/resume'] [name=rate]", "1000").await;
    anna.click("form[action$='/resume'] button").await;
    anna.reads("done").await;
    desk.until_api(&path, |status| status["handed"] == USAGES && status["stillParked"] == 0).await;
    // Each once more, and none twice: they come out with the same ids.
    let events = desk.stack.until::<ValidatedUsage>("all of them again", |events| events.len() == 2 * USAGES).await;
    let ids: HashSet<_> = events.iter().map(|event| &event.meta.event_id).collect();
    assert_eq!(ids.len(), USAGES);
    bad.extend(super::looks::seen(&anna, "a replay that is done").await);
    assert_eq!(bad, Vec::<String>::new());
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
    room.stop().await;
}
