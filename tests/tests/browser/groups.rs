//! Groups are looked at and set back by two people, and another version is compared, each on its pages.

use super::sign_in;
use processor::{Processor, Reason, Verdict, Wiring, derived};
use runtime::{Room, RoomInfo};
use schemas::{SupplyUsage, ValidatedUsage, topics};
use serde_json::{Value, json};
use testkit::until_found;
use wardline_tests::browser::{Browser, Tab};
use wardline_tests::desk::Desk;
use wardline_tests::events::{item_code, usage};
use wardline_tests::toys;

const PREVIEW: &str = "form[action$='/preview']";
const RESET: &str = "form[action$='/reset']";

/// The group of the toy as a call of the API tells it.
fn toy(answer: &Value) -> &Value {
    let groups = answer["groups"].as_array().unwrap();
    groups.iter().find(|group| group["room"] == toys::VALIDATE).unwrap()
}

/// Opens the page of the group, and asks what it comes to.
async fn preview(desk: &Desk, tab: &Tab, to: &str) {
    tab.open(&format!("{}/groups/{}", desk.url, toys::VALIDATE)).await;
    tab.fill(&format!("{PREVIEW} [name=to]"), to).await;
    tab.click("form[action$='/preview'] button").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_group_is_set_back_by_two_people_on_its_pages() {
    let desk = Desk::start(|_| ()).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&[1, 2, 3].map(|number| usage("enc-1", number, "plain"))).await;
    desk.stack.until::<ValidatedUsage>("three events", |events| events.len() == 3).await;
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;

    let seen = desk.until_api("/groups", |seen| toy(seen)["standing"]["lagRecords"] == 0).await;
    assert_eq!(toy(&seen)["standing"]["state"], "Stable", "{seen:#}");
    assert_eq!(toy(&seen)["standing"]["members"].as_array().map(Vec::len), Some(1), "{seen:#}");
    preview(&desk, &olga, "earliest").await;
    olga.reads("WL-7252").await;
    olga.reads("stop all instances of the room").await;
    room.stop().await;
    desk.stack.publish(&[usage("enc-1", 4, "plain"), usage("enc-1", 5, "plain")]).await;
    desk.until_api("/groups", |seen| toy(seen)["standing"]["lagRecords"] == 2).await;
    let path = format!("/groups/{}", toys::VALIDATE);
    let behind = desk.until_api(&path, |seen| seen["standing"]["oldestS"].as_u64() > Some(0)).await;
    assert_eq!(behind["standing"]["state"], "Empty", "{behind:#}");
    olga.open(&format!("{}/groups", desk.url)).await;
    olga.reads("nobody reads").await;
    let mut bad = super::looks::seen(&olga, "groups, one behind").await;

    // What is passed over is lost: it wants a tick, and the refusal speaks of the page.
    preview(&desk, &olga, "latest").await;
    olga.reads("0 records again, 2 passed over").await;
    olga.fill(&format!("{RESET} [name=reason]"), "not these").await;
    olga.click("form[action$='/reset'] button").await;
    olga.reads("WL-7253").await;
    olga.reads("tick that records may be passed over").await;

    preview(&desk, &olga, "earliest").await;
    olga.reads("3 records again, 0 passed over").await;
    assert_eq!(olga.eval("document.querySelectorAll('[name=force]').length").await, json!(0), "nothing is lost");
    bad.extend(super::looks::seen(&olga, "what a reset comes to").await);
    olga.fill(&format!("{RESET} [name=reason]"), "the rule was wrong").await;
    olga.click("form[action$='/reset'] button").await;
    olga.reads("somebody else has to agree").await;
    let asked = desk.until_api("/groups", |seen| seen["resets"].as_array().is_some_and(|all| all.len() == 1)).await;
    assert_eq!((&asked["resets"][0]["actor"], &asked["resets"][0]["room"]), (&json!("olga"), &json!(toys::VALIDATE)));
    let id = asked["resets"][0]["id"].as_str().unwrap().to_owned();
    olga.reads(&format!("wardline groups approve {id}")).await;
    assert_eq!(olga.eval("document.querySelectorAll(\"form[action$='/approve']\").length").await, json!(0));
    assert_eq!(toy(&asked)["standing"]["lagRecords"], 2, "nothing has moved: {asked:#}");

    anna.open(&format!("{}/groups", desk.url)).await;
    anna.reads("the rule was wrong").await;
    bad.extend(super::looks::seen(&anna, "a reset that waits").await);
    assert_eq!(bad, Vec::<String>::new());
    anna.fill("form[action$='/approve'] [name=comment]", "looked at it").await;
    anna.click("form[action$='/groups/approve'] button").await;
    anna.reads("It is done: start the room again.").await;
    let done = desk.audited("who agreed is on record", |audit| audit.code == "group.reset.done").await;
    assert_eq!(done.actor.as_deref(), Some("anna"), "{done:?}");
    assert!(done.detail.contains("asked for by olga: the rule was wrong; looked at it"), "{done:?}");
    desk.until_api("/groups", |seen| seen["resets"] == json!([]) && toy(seen)["standing"]["lagRecords"] == 5).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.until::<ValidatedUsage>("three of them once more", |events| events.len() == 8).await;
    room.stop().await;
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
}

/// The toy as it was before: another article, and one it did not take.
struct Before;

impl Processor for Before {
    type Input = SupplyUsage;
    type Output = ValidatedUsage;
    type Tables = ();

    fn process(&self, usage: SupplyUsage, _: &()) -> Verdict<ValidatedUsage> {
        let code = item_code(&usage).to_owned();
        if code == "new" {
            return Verdict::Reject(Reason::new(toys::CODE, "toy.not-yet", "scripted"));
        }
        Verdict::emit(ValidatedUsage {
            meta: derived::<ValidatedUsage>(&usage, toys::VALIDATE),
            encounter_ref: usage.encounter_ref,
            quantity: usage.quantity,
            item_id: Some(format!("before-{code}")),
            ..ValidatedUsage::default()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_decides_otherwise_is_on_a_page() {
    let desk = Desk::start(|_| ()).await;
    let wiring = || Wiring::new(toys::VALIDATE, "toy", Before, topics::SUPPLY_USAGE_VALIDATED_V1);
    let room = Room::processor(RoomInfo::of_processor(&wiring()), move |_| Ok(wiring()));
    let room = desk.stack.run(vec![room]).await;
    desk.stack.publish(&[usage("enc-1", 1, "plain"), usage("enc-1", 2, "plain"), usage("enc-2", 1, "new")]).await;
    desk.stack.until::<ValidatedUsage>("two events", |events| events.len() == 2).await;
    testkit::until("the refusal is known", || desk.console.exceptions.causes().len() == 1).await;
    room.stop().await;
    let browser = Browser::start().await;
    let (olga, vic) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &vic, "vic").await;

    let run = |name: &str| format!("form[action$='/shadow/run'] [name={name}]");
    olga.open(&format!("{}/replay/shadow", desk.url)).await;
    olga.fill(&run("room"), "nowhere").await;
    olga.fill(&run("from_time"), "2020-01-01T00:00:00Z").await;
    olga.click("form[action$='/replay/shadow/run'] button").await;
    olga.reads("WL-7065").await;
    olga.open(&format!("{}/replay/shadow", desk.url)).await;
    olga.fill(&run("room"), toys::VALIDATE).await;
    olga.fill(&run("from_time"), "2020-01-01T00:00:00Z").await;
    olga.click("form[action$='/replay/shadow/run'] button").await;
    let seen = until_found("the report", async || {
        let seen = desk.api("/replay/shadow").await;
        assert_eq!(seen["failed"], Value::Null, "{seen:#}");
        (seen["made"].as_array().map(Vec::len) == Some(1)).then_some(seen)
    })
    .await;
    let report = &seen["made"][0]["report"];
    assert_eq!((&report["records"], &report["fieldsDiffer"]), (&json!(3), &json!(2)), "{report:#}");
    assert_eq!((&report["newlyAccepted"], &report["same"]), (&json!(1), &json!(0)), "{report:#}");
    olga.reads("3 decided otherwise").await;
    let mut bad = super::looks::seen(&olga, "comparisons of versions").await;

    // Whoever may look sees it, and is not offered to begin one.
    vic.open(&format!("{}/replay/shadow", desk.url)).await;
    vic.reads("3 decided otherwise").await;
    assert_eq!(vic.eval("document.querySelectorAll(\"form[action$='/shadow/run']\").length").await, json!(0));
    vic.click("tbody a[href^='/replay/shadow/']").await;
    for told in ["itemId", "before-plain", "As it would be", "not accepted before, accepted now"] {
        vic.reads(told).await;
    }
    bad.extend(super::looks::seen(&vic, "one comparison of versions").await);
    assert_eq!(bad, Vec::<String>::new());
    let told = desk.audited("it is on record", |audit| audit.code == "replay.shadowed").await;
    assert_eq!(told.actor.as_deref(), Some("olga"), "{told:?}");
    for tab in [olga, vic] {
        tab.close().await;
    }
    browser.end().await;
}
