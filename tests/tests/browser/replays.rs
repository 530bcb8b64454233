//! Traces, topics and dead letters are looked at; replays are planned, agreed to, handed over, paused, gone on with, given up.

use super::{dead_letter, plan, sign_in};
use schemas::{Event, Exception, ExceptionKind, ExceptionState, SupplyUsage, Timestamp, ValidatedUsage};
use serde_json::json;
use std::collections::HashSet;
use wardline_tests::browser::{Browser, Tab};
use wardline_tests::desk::Desk;
use wardline_tests::events::{documented, usage};
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
    dead_letter_is_settled(&desk, &olga, &anna).await;

    let path = plan(&desk, &olga, "the rule was wrong").await;
    assert_eq!(desk.api(&path).await["plan"]["correction"], 0, "a plain replay corrects nothing");
    assert_eq!(olga.eval("document.querySelectorAll(\"form[action$='/approve']\").length").await, json!(0));
    anna.open(&format!("{}{path}", desk.url)).await;
    anna.fill("form[action$='/approve'] [name=comment]", "looked at it").await;
    anna.click("form[action$='/approve'] button").await;
    anna.reads("approved").await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    olga.open(&format!("{}{path}", desk.url)).await;
    assert_eq!(olga.eval("document.querySelectorAll('[name=override_order]').length").await, json!(0), "not needed");
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
const BYTES: &str = r"/MSH-2\s+Encoding characters\s+no header/";

/// With a reason, which is on record with the name; then its page again, where its bytes are not.
async fn dead_letter_is_shown_once(desk: &Desk, olga: &Tab) {
    let path = olga.path().await;
    olga.fill("form[action^='/dead-letters/'][action$='/original'] [name=reason]", "the sender asks").await;
    olga.click("form[action^='/dead-letters/'][action$='/original'] button").await;
    olga.until(&format!("{BYTES}.test(document.body.innerText)")).await;
    let shown = desk.audited("who saw it is on record", |audit| audit.code == "show-original").await;
    assert_eq!((shown.actor.as_deref(), shown.origin_offset), (Some("olga"), Some(0)), "{shown:?}");
    assert!(shown.detail.contains("the sender asks"), "{shown:?}");
    olga.open(&format!("{}{path}", desk.url)).await;
    assert_eq!(olga.eval(&format!("{BYTES}.test(document.body.innerText)")).await, json!(false), "once is once");
}

/// What came from outside is sent again by its sender; it leaves the list of open ones, and all of them still tell of it.
async fn dead_letter_is_settled(desk: &Desk, olga: &Tab, anna: &Tab) {
    olga.open(&format!("{}/dead-letters/0@0", desk.url)).await;
    olga.reads("let its sender send it again").await;
    olga.fill("form[action$='/settle'] [name=reason]", "the sender has sent it again").await;
    olga.click("form[action$='/settle'] button").await;
    olga.reads("asked to be settled by olga").await;
    assert_eq!(olga.eval("document.querySelectorAll(\"form[action$='/settle']\").length").await, json!(0));
    anna.open(&format!("{}/dead-letters/0@0", desk.url)).await;
    anna.fill("form[action$='/settle'] [name=reason]", "the sender has sent it again").await;
    anna.click("form[action$='/settle'] button").await;
    anna.reads("by anna").await;
    olga.open(&format!("{}/dead-letters", desk.url)).await;
    olga.reads("No dead letter fits").await;
    olga.open(&format!("{}/dead-letters?state=all", desk.url)).await;
    olga.reads("no header").await;
    let settled = desk.audited("who settled it is on record", |audit| audit.code == "dead-letter.settle").await;
    assert_eq!(settled.detail, "settled: the sender has sent it again");
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

/// Three events of one stay; the room refuses the first.
fn stay() -> [SupplyUsage; 3] {
    [(1, "REJECT"), (2, "plain"), (3, "plain")].map(|(number, item)| documented("enc-1", number, item, "OR1"))
}

/// The first event of a stay is given up, and the two behind it go on; gives where the first one stands.
async fn overtaken(desk: &Desk) -> (i32, i64) {
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&stay()).await;
    let raised = desk.stack.until::<Exception>("the refusal", |exceptions| !exceptions.is_empty()).await.remove(0);
    let discarded = Exception {
        kind: ExceptionKind::Discarded,
        state: ExceptionState::Discarded,
        at: Timestamp(runtime::clock::now_micros()),
        ..raised.clone()
    };
    desk.stack.publish(&[discarded]).await;
    desk.stack.until::<ValidatedUsage>("the newer events", |events| events.len() == 2).await;
    room.stop().await;
    (raised.origin_partition.unwrap(), raised.origin_offset.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_behind_newer_events_is_planned_with_every_condition_and_asks_why() {
    let desk = Desk::start(|_| ()).await;
    let (partition, offset) = overtaken(&desk).await;
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;

    olga.open(&format!("{}/replay", desk.url)).await;
    let (kind, ids) = (stay()[0].event_type().into_owned(), stay().map(|usage| usage.meta.event_id));
    let two_ids = format!("{}\n{}, and-none", ids[0], ids[2]);
    let (partition_text, first, last) = (partition.to_string(), offset.to_string(), (offset + 2).to_string());
    let wanted = [
        ("room", toys::VALIDATE),
        ("partition", &partition_text),
        ("from_offset", &first),
        ("to_offset", &last),
        ("event_id", &two_ids),
        ("type", &kind),
        ("field", "encounterRef=enc-1"),
        ("reason", "it was given up too early"),
    ];
    for (name, text) in wanted {
        olga.fill(&format!("form[action$='/replay/plan'] [name={name}]"), text).await;
    }
    olga.click("form[action$='/replay/plan'] button").await;
    olga.reads("Out of order").await;
    let path = olga.path().await;
    let status = desk.api(&path).await;
    let selection = &status["plan"]["selection"];
    let said = (&selection["partitions"], &selection["fromOffset"], &selection["toOffset"], &selection["eventType"]);
    assert_eq!(said, (&json!([partition]), &json!(offset), &json!(offset + 2), &json!(kind)));
    assert_eq!(selection["eventIds"], json!([ids[0], ids[2], "and-none"]));
    assert_eq!(selection["fields"], json!([{"path": "encounterRef", "value": "enc-1"}]));
    assert_eq!((&status["plan"]["counts"]["records"], &status["plan"]["takesAtLeastS"]), (&json!(2), &json!(1)));
    let topic = SupplyUsage::topic().name;
    let late = json!({"key": "enc-1", "record": format!("{topic}-{partition}@{offset}"),
        "newest": format!("{topic}-{partition}@{}", offset + 2), "newer": 2});
    assert_eq!(status["plan"]["overtaken"], json!({"keys": 1, "examples": [late]}));
    let bad = super::looks::seen(&olga, "a replay out of order").await;
    assert_eq!(bad, Vec::<String>::new());

    anna.open(&format!("{}{path}", desk.url)).await;
    anna.reads("Would come late").await;
    anna.click("form[action$='/approve'] button").await;
    anna.reads("approved").await;
    olga.open(&format!("{}{path}", desk.url)).await;
    olga.click("form[action$='/apply'] button").await;
    olga.reads("WL-7261").await;
    assert_eq!(desk.api(&path).await["plan"]["state"], "APPROVED", "nothing has begun");
    olga.open(&format!("{}{path}", desk.url)).await;
    olga.fill("form[action$='/apply'] [name=override_order]", "nobody else reads it").await;
    olga.click("form[action$='/apply'] button").await;
    olga.reads("done").await;
    let started = desk.audited("why is on record", |audit| audit.code == "replay.started").await;
    assert!(started.detail.contains("nobody else reads it") && started.actor.as_deref() == Some("olga"), "{started:?}");
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
}
