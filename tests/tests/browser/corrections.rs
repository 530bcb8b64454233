//! Refused events are corrected, codes are mapped, and what a wrong mapping has made is corrected by a replay: each by two people.

use super::looks::seen;
use super::sign_in;
use schemas::{
    Audit, Exception, ExceptionKind, ExceptionState, MasterCrosswalk, MasterItem, MasterLocation, ValidatedUsage,
};
use serde_json::json;
use std::sync::Arc;
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::browser::{Browser, Tab};
use wardline_tests::desk::Desk;
use wardline_tests::events::{SOURCE, documented};

/// What the source calls the theatre.
const THEATRE: &str = "THEATRE-7";

/// A hospital with an article that needs a lot and one that does not, two places, and nobody who waits long for master data.
async fn hospital() -> Desk {
    let stack = Stack::with(|config| config.limits.wait_budget_ms.patient_adjacent = 0).await;
    let item = |id: &str, lot_tracked: bool| MasterItem {
        item_id: id.to_owned(),
        base_uom: "EA".to_owned(),
        lot_tracked,
        ..MasterItem::default()
    };
    stack.publish(&[item("STENT", true), item("SUTURE", false)]).await;
    let place = |id: &str| MasterLocation { location_id: id.to_owned(), ..MasterLocation::default() };
    stack.publish(&[place("OR1"), place("ICU")]).await;
    Desk::over(stack, Err("there is none".to_owned()), |_| ()).await
}

/// The only exception that is open.
async fn raised(desk: &Desk, code: &str) -> Arc<Exception> {
    let listed = desk.until_api("/exceptions", |listed| listed["total"] == 1).await;
    assert_eq!(listed["rows"][0]["code"], code, "{listed:#}");
    let id = listed["rows"][0]["exceptionId"].as_str().unwrap().to_owned();
    desk.console.exceptions.exception(&id).await.unwrap().unwrap()
}

/// Types what is wished into the form of a correction, and sends it.
async fn correct(tab: &Tab, field: &str, value: &str) {
    tab.fill("form[action$='/correct'] [name=field]", field).await;
    tab.fill("form[action$='/correct'] [name=value]", value).await;
    tab.fill("form[action$='/correct'] [name=comment]", "read from the label").await;
    tab.click("form[action$='/correct'] button").await;
}

async fn map(tab: &Tab, target: &str) {
    tab.fill("form[action$='/map'] [name=to]", target).await;
    tab.fill("form[action$='/map'] [name=comment]", "the new name of the theatre").await;
    tab.click("form[action$='/map'] button").await;
}

/// Whether she has agreed; what she saw stands behind her name.
fn is_of_anna(approved_by: Option<&str>) -> bool {
    approved_by.is_some_and(|who| who == "anna" || who.starts_with("anna ("))
}

/// What is said when something is refused: the code, why, what to do next, and the way back; nothing is changed.
async fn refused(tab: &Tab, path: &str, said: &[&str]) -> Vec<String> {
    for text in said.iter().chain(&["What to do next:"]) {
        tab.reads(text).await;
    }
    let bad = seen(tab, &format!("{path}, refused with {}", said[0])).await;
    tab.click(&format!("main a[href='{path}']")).await;
    assert_eq!(tab.path().await, path);
    bad
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_is_corrected_by_two_people() {
    let desk = hospital().await;
    let room = desk.stack.run(vec![validate::room()]).await;
    desk.stack.publish(&[documented("enc-1", 1, "STENT", "OR1")]).await;
    let exception = raised(&desk, "WL-4010").await;
    let path = format!("/exceptions/{}", exception.exception_id);
    let row = || desk.console.exceptions.row(&exception.exception_id).unwrap();
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;

    olga.open(&format!("{}{path}", desk.url)).await;
    correct(&olga, "lott", "17").await;
    let mut bad = refused(&olga, &path, &["WL-7240", "lott"]).await;
    correct(&olga, "uom", "BX").await;
    bad.extend(refused(&olga, &path, &["WL-7241", "lot"]).await);
    assert_eq!(row().kind, ExceptionKind::Raised, "nothing that was refused is on record");

    correct(&olga, "lot", "17").await;
    olga.reads("A second person has to agree").await;
    until("the correction is known", || row().kind == ExceptionKind::CorrectionRequested).await;
    assert_eq!(olga.eval("document.querySelectorAll(\"form[action$='/correction/approve']\").length").await, json!(0));
    bad.extend(seen(&olga, "a correction that waits").await);
    assert!(desk.stack.events::<ValidatedUsage>().await.is_empty(), "nobody has agreed");
    anna.open(&format!("{}{path}", desk.url)).await;
    bad.extend(seen(&anna, "a correction to agree to").await);
    anna.fill("form[action$='/correction/approve'] [name=comment]", "I have the box here").await;
    anna.click("form[action$='/correction/approve'] button").await;
    anna.reads("The event is corrected").await;

    let validated = desk.stack.until::<ValidatedUsage>("the corrected usage", |events| !events.is_empty()).await;
    assert_eq!((validated[0].lot.as_deref(), validated[0].meta.warnings[0].code.as_str()), (Some("17"), "WL-7230"));
    until("it is resolved", || row().state == ExceptionState::Resolved).await;
    let settled = desk.console.exceptions.exception(&exception.exception_id).await.unwrap().unwrap();
    let correction = settled.correction.as_ref().unwrap();
    assert_eq!(correction.actor, "olga");
    assert!(is_of_anna(correction.approved_by.as_deref()), "{correction:?}");
    assert_eq!(settled.raw_value, exception.raw_value, "the original stays as it came");
    anna.open(&format!("{}{path}", desk.url)).await;
    bad.extend(seen(&anna, "an event that was corrected").await);
    assert_eq!(bad, Vec::<String>::new());
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
    room.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_mapped_and_what_a_wrong_mapping_made_is_corrected_by_a_replay() {
    let desk = hospital().await;
    let room = desk.stack.run(vec![validate::room()]).await;
    desk.stack.publish(&[documented("enc-1", 1, "SUTURE", THEATRE), documented("enc-1", 2, "SUTURE", "OR1")]).await;
    let exception = raised(&desk, "WL-4006").await;
    let path = format!("/exceptions/{}", exception.exception_id);
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;

    olga.open(&format!("{}{path}", desk.url)).await;
    map(&olga, "ICU-9").await;
    let mut bad = refused(&olga, &path, &["WL-7236", "ICU-9"]).await;
    assert!(desk.stack.events::<MasterCrosswalk>().await.is_empty(), "nothing that was refused is a mapping");
    map(&olga, "ICU").await;
    olga.reads("A second person has to agree").await;
    assert_eq!(olga.eval("document.querySelectorAll(\"form[action$='/map/approve']\").length").await, json!(0));
    let proposed = desk.stack.events::<MasterCrosswalk>().await.remove(0);
    let proposal = proposed.proposal.as_ref().unwrap();
    assert_eq!(
        (proposal.target.as_deref(), proposal.actor.as_str(), proposed.target.as_deref()),
        (Some("ICU"), "olga", None)
    );
    bad.extend(seen(&olga, "a mapping that waits").await);
    anna.open(&format!("{}{path}", desk.url)).await;
    bad.extend(seen(&anna, "a mapping to agree to").await);
    anna.fill("form[action$='/map/approve'] [name=comment]", "so it is called").await;
    anna.click("form[action$='/map/approve'] button").await;
    anna.reads("The code is mapped").await;
    let validated = desk.stack.until::<ValidatedUsage>("both usages", |events| events.len() == 2).await;
    let places: Vec<_> = validated.iter().map(|event| event.location_id.as_deref()).collect();
    assert_eq!(places, [Some("ICU"), Some("OR1")]);

    // It was the wrong place. What is right is known now, and one of the two usages comes out otherwise.
    let mapped = desk.stack.events::<MasterCrosswalk>().await.pop().unwrap();
    assert_eq!(mapped.source_system, SOURCE);
    assert!(is_of_anna(mapped.approved_by.as_deref()), "{mapped:?}");
    let approved_by = Some("Bert".to_owned());
    let mut right = MasterCrosswalk { target: Some("OR1".to_owned()), approved_by, ..mapped };
    right.meta.revision += 1;
    right.meta.event_id.replace_range(..8, "00000000");
    desk.stack.publish(&[right]).await;
    let plan = plan_correction(&desk, &olga).await;
    olga.reads("What comes out otherwise").await;
    let status = desk.api(&plan).await;
    let (counts, change) = (&status["plan"]["counts"], &status["plan"]["counts"]["changes"][0]);
    assert_eq!((&counts["records"], &counts["unchanged"]), (&json!(1), &json!(1)), "{status:#}");
    assert_eq!((&change["path"], &status["plan"]["correction"]), (&json!("locationId"), &json!(1)), "{status:#}");
    olga.reads("locationId").await;
    bad.extend(seen(&olga, "a correcting replay").await);
    anna.open(&format!("{}{plan}", desk.url)).await;
    anna.click("form[action$='/approve'] button").await;
    anna.reads("approved").await;
    olga.open(&format!("{}{plan}", desk.url)).await;
    olga.click("form[action$='/apply'] button").await;
    let validated = desk.stack.until::<ValidatedUsage>("the correction", |events| events.len() == 3).await;
    let corrected = &validated[2];
    assert_eq!((corrected.meta.correction, corrected.location_id.as_deref()), (1, Some("OR1")));
    assert_eq!(corrected.meta.business_key, validated[0].meta.business_key);
    assert!(corrected.meta.warnings.iter().any(|warning| warning.code == "WL-7231"), "{corrected:?}");
    olga.reads("done").await;
    let agreed = desk.stack.events::<Audit>().await;
    assert!(agreed.iter().any(|audit| audit.code == "crosswalk.approved" && audit.actor.as_deref() == Some("anna")));
    assert_eq!(bad, Vec::<String>::new());
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
    room.stop().await;
}

/// Plans a correcting replay of everything, and gives the path of its page.
async fn plan_correction(desk: &Desk, tab: &Tab) -> String {
    tab.open(&format!("{}/replay", desk.url)).await;
    tab.fill("form[action$='/replay/plan'] [name=room]", validate::NAME).await;
    tab.fill("form[action$='/replay/plan'] [name=from_time]", "2020-01-01T00:00:00Z").await;
    tab.tick("form[action$='/replay/plan'] [name=correct]").await;
    tab.fill("form[action$='/replay/plan'] [name=reason]", "the theatre was mapped to the wrong place").await;
    tab.click("form[action$='/replay/plan'] button").await;
    let path = tab.path().await;
    assert!(path.starts_with("/replay/"), "{path}: {}", tab.text().await);
    path
}

/// What a wrong mapping does is stopped here: it is withdrawn, what comes then waits, and it goes on when the code is mapped again.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_is_made_withdrawn_and_made_anew_without_an_exception() {
    let desk = hospital().await;
    let room = desk.stack.run(vec![validate::room()]).await;
    let browser = Browser::start().await;
    let (olga, anna) = (browser.tab().await, browser.tab().await);
    sign_in(&desk, &olga, "olga").await;
    sign_in(&desk, &anna, "anna").await;
    let page = format!("/crosswalk?kind=location&system={SOURCE}&code={THEATRE}");
    olga.open(&format!("{}/crosswalk", desk.url)).await;
    set(&olga, "ICU-9").await;
    let mut bad = refused(&olga, "/crosswalk", &["WL-7236", "ICU-9"]).await;
    set(&olga, "ICU").await;
    olga.reads("A second person has to agree").await;
    bad.extend(seen(&olga, "a mapping that is proposed").await);
    agree(&desk, &anna, &page, "The code is mapped").await;
    let target = |rows: &serde_json::Value| rows["mappings"][0]["target"].as_str().map(str::to_owned);
    assert_eq!(target(&desk.api(&page).await).as_deref(), Some("ICU"));

    olga.open(&format!("{}{page}", desk.url)).await;
    olga.fill("form[action$='/crosswalk/withdraw'] [name=comment]", "it is the wrong place").await;
    olga.click("form[action$='/crosswalk/withdraw'] button").await;
    olga.reads("A second person has to agree").await;
    agree(&desk, &anna, &page, "The mapping is withdrawn").await;
    assert_eq!(target(&desk.api(&page).await), None);
    desk.stack.publish(&[documented("enc-1", 1, "SUTURE", THEATRE)]).await;
    let exception = raised(&desk, "WL-4006").await;
    assert!(desk.stack.events::<ValidatedUsage>().await.is_empty(), "it waits");

    olga.open(&format!("{}{page}", desk.url)).await;
    set(&olga, "OR1").await;
    olga.reads("A second person has to agree").await;
    agree(&desk, &anna, &page, "The code is mapped").await;
    let validated = desk.stack.until::<ValidatedUsage>("the usage", |events| !events.is_empty()).await;
    assert_eq!(validated[0].location_id.as_deref(), Some("OR1"));
    let row = || desk.console.exceptions.row(&exception.exception_id).unwrap();
    until("it is resolved", || row().state == ExceptionState::Resolved).await;
    anna.open(&format!("{}/crosswalk", desk.url)).await;
    bad.extend(seen(&anna, "all mappings").await);
    assert_eq!(bad, Vec::<String>::new());
    for tab in [olga, anna] {
        tab.close().await;
    }
    browser.end().await;
    room.stop().await;
}

/// Says what the theatre is to mean.
async fn set(tab: &Tab, target: &str) {
    tab.choose("form[action$='/crosswalk/set'] [name=kind]", "location").await;
    tab.fill("form[action$='/crosswalk/set'] [name=system]", SOURCE).await;
    tab.fill("form[action$='/crosswalk/set'] [name=code]", THEATRE).await;
    tab.fill("form[action$='/crosswalk/set'] [name=to]", target).await;
    tab.fill("form[action$='/crosswalk/set'] [name=comment]", "the new name of the theatre").await;
    tab.click("form[action$='/crosswalk/set'] button").await;
}

async fn agree(desk: &Desk, tab: &Tab, page: &str, said: &str) {
    tab.open(&format!("{}{page}", desk.url)).await;
    tab.fill("form[action$='/crosswalk/approve'] [name=comment]", "so it is").await;
    tab.click("form[action$='/crosswalk/approve'] button").await;
    tab.reads(said).await;
}
