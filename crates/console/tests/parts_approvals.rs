//! What a second person agrees to is what they saw: a form carries the mark of what its page shows, a program says it, and for
//! anything else nothing takes effect.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Browser, Place, exception};
use operations::crosswalk::{Crosswalk, MappedCode, MappingKind};
use operations::exceptions::By;
use operations::replay::ReplayRoom;
use reqwest::Method;
use runtime::{RoomInfo, RoomKind};
use schemas::{
    CorrectedField, Correction, Exception, ExceptionKind, ExceptionState, MasterItem, Replay, ReplayCounts,
    ReplaySelection, ReplayState, SupplyUsage, Timestamp, approval,
};
use serde_json::{Value, json};
use std::sync::Arc;
use testkit::stack::{PATIENCE, Stack};

const FLOW: &str = "clinical.supply-usage.v1";

/// An exception whose correction waits for a second person.
fn proposed(number: usize, path: &str, after: &str, actor: &str) -> Exception {
    let field = CorrectedField { path: path.to_owned(), before: Some("null".to_owned()), after: after.to_owned() };
    let (actor, reason) = (actor.to_owned(), "read from the label".to_owned());
    Exception {
        kind: ExceptionKind::CorrectionRequested,
        parked_key: true,
        correction: Some(Correction { fields: vec![field], actor, reason, ..Correction::default() }),
        ..exception(number, FLOW)
    }
}

fn mark(exception: &Exception) -> String {
    approval::correction_mark(&exception.exception_id, exception.correction.as_ref().unwrap())
}

/// Proposes anew, and waits until the console shows it.
async fn anew(place: &Place, exception: &Exception) {
    place.stack.publish(std::slice::from_ref(exception)).await;
    let (view, wanted) = (&place.console.exceptions, mark(exception));
    let mut changes = view.changes();
    let shown = async {
        while view.row(&exception.exception_id).unwrap().correction_mark.as_ref() != Some(&wanted) {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_is_agreed_to_as_its_page_shows_it() {
    let place = Place::start().await;
    let (first, second) = (proposed(1, "lot", "\"17\"", "olga"), proposed(1, "lot", "\"18\"", "olga"));
    place.raise(std::slice::from_ref(&first)).await;
    let id = &first.exception_id;
    let (olga, anna) = (place.browser("olga").await, place.browser("anna").await);
    let page = anna.get(&format!("/exceptions/{id}")).await.text;
    for shown in ["Proposed correction", "lot", "&quot;17&quot;", "null", "olga", "read from the label"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let hidden = format!("name=\"seen\" value=\"{}\"", mark(&first));
    assert!(page.contains(&hidden), "{page}");
    assert!(
        !olga.get(&format!("/exceptions/{id}")).await.text.contains("name=\"seen\""),
        "who proposed does not agree"
    );
    let listed = anna.get("/exceptions?state=to-approve").await.text;
    assert!(listed.contains(id.as_str()) && listed.contains("correction proposed"), "{listed}");

    let approve = format!("/exceptions/{id}/correction/approve");
    let seen = async |mark: &str| anna.post(&approve, &[("seen", mark), ("comment", "as on the label")]).await;
    anna.post(&approve, &[]).await.refused(422, "seen is missing");
    olga.post(&approve, &[("seen", &mark(&first))]).await.refused(403, "WL-");
    // Marks of something else: of another exception, of nothing, and of what was there before.
    seen(&mark(&proposed(2, "lot", "\"17\"", "olga"))).await.refused(409, "WL-1451");
    seen("0").await.refused(409, "WL-1451");
    anew(&place, &second).await;
    let late = seen(&mark(&first)).await;
    late.refused(409, "WL-1451");
    assert!(late.text.contains("olga has proposed"), "{}", late.text);
    let row = place.console.exceptions.row(id).unwrap();
    assert_eq!((row.kind, row.state), (ExceptionKind::CorrectionRequested, ExceptionState::Open));

    assert_eq!(seen(&mark(&second)).await.status, 303);
    let agreed = place.console.exceptions.exception(id).await.unwrap().unwrap();
    let by = agreed.correction.as_ref().unwrap().approved_by.as_deref().map(approval::agreed);
    assert_eq!((agreed.kind, by), (ExceptionKind::Corrected, Some(("anna", Some(mark(&second).as_str())))));
    let audit = place.audited(|audit| audit.code == "exception.approve-correction").await;
    assert!(audit.detail.contains(&mark(&second)) && !audit.detail.contains("18\""), "{}", audit.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn phi_1_nobody_agrees_to_what_is_not_shown_to_them() {
    let place = Place::start().await;
    let direct = proposed(1, "phi.familyName", "\"Adams\"", "olga");
    place.raise(std::slice::from_ref(&direct)).await;
    let (id, anna) = (&direct.exception_id, place.browser("anna").await);
    let page = anna.get(&format!("/exceptions/{id}")).await.text;
    assert!(page.contains("phi.familyName") && !page.contains("Adams") && !page.contains(&mark(&direct)), "{page}");
    let told = place.call(Method::GET, &format!("/api/v1/exceptions/{id}"), None).await;
    assert_eq!(told.json()["waiting"]["correction"]["mark"], Value::Null);
    assert!(!told.text.contains("Adams") && !told.text.contains(&mark(&direct)), "{}", told.text);
    let listed = place.call(Method::GET, "/api/v1/exceptions?state=to-approve", None).await;
    assert_eq!(listed.json()["rows"][0]["correctionRequestedBy"], "olga", "{}", listed.text);
    assert!(!listed.text.contains("Adams") && !listed.text.contains(&mark(&direct)), "{}", listed.text);
    // Who guesses is not told it either.
    let guessed = anna.post(&format!("/exceptions/{id}/correction/approve"), &[("seen", "0")]).await;
    guessed.refused(409, "WL-1451");
    assert!(guessed.text.contains("phi.familyName (not shown here)"), "{}", guessed.text);
    assert!(!guessed.text.contains("Adams") && !guessed.text.contains(&mark(&direct)), "{}", guessed.text);
    let whole = anna.post(&format!("/exceptions/{id}/original"), &[("reason", "to agree to a correction")]).await.text;
    assert!(whole.contains("Adams") && whole.contains(&format!("value=\"{}\"", mark(&direct))), "{whole}");
}

/// An exception about an article that nobody knows, with the event that names it.
async fn about_an_article(stack: &Stack) -> Exception {
    let mut usage = SupplyUsage::default();
    usage.meta.event_id = exception(1, FLOW).exception_id;
    usage.meta.source.system = "ORIS".to_owned();
    usage.item_ref = Some(schemas::Code { code: "OLD-1".to_owned(), ..schemas::Code::default() });
    let value = stack.codec.encode(&usage).unwrap();
    Exception {
        raw_value: Some(value.into()),
        content_type: Some("application/avro".to_owned()),
        field_paths: vec!["itemRef".to_owned()],
        parked_key: true,
        ..exception(1, FLOW)
    }
}

async fn refused(browser: &Browser<'_>, path: &str, seen: &str, code: &str) {
    browser.post(path, &[("seen", seen)]).await.refused(409, code);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_is_agreed_to_as_its_page_shows_it() {
    let place = Place::start().await;
    let item = |id: &str| MasterItem { item_id: id.to_owned(), ..MasterItem::default() };
    place.stack.publish(&[item("SUTURE"), item("STENT")]).await;
    place.stack.publish(&[SupplyUsage::default()]).await;
    let exception = about_an_article(&place.stack).await;
    place.raise(std::slice::from_ref(&exception)).await;
    let id = &exception.exception_id;
    let (anna, map) = (place.browser("anna").await, format!("/exceptions/{id}/map"));
    let api = async |path: &str, body: Value| place.call(Method::POST, &format!("/api/v1{path}"), Some(body)).await;
    let propose = async |to: &str| api(&map, json!({"to": to, "comment": "old number"})).await;
    let proposed = propose("SUTURE").await;
    assert_eq!(proposed.status, 200, "{}", proposed.text);
    let page = anna.get(&format!("/exceptions/{id}")).await.text;
    for shown in ["Proposed mapping", "OLD-1", "nothing", "SUTURE", "token:ci", "old number"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let whole = async || place.call(Method::GET, &format!("/api/v1/exceptions/{id}"), None).await.json();
    let mark = whole().await["waiting"]["mapping"]["mark"].as_str().unwrap().to_owned();
    assert!(page.contains(&format!("name=\"seen\" value=\"{mark}\"")), "{page}");
    let listed = place.call(Method::GET, "/api/v1/exceptions?state=to-approve", None).await.json();
    assert_eq!((&listed["mappings"][0]["mark"], &listed["mappings"][0]["target"]), (&json!(mark), &json!("SUTURE")));
    let list = anna.get("/exceptions?state=to-approve").await.text;
    assert!(list.contains("Mappings to be approved") && list.contains("OLD-1"), "{list}");

    let approve = format!("{map}/approve");
    anna.post(&approve, &[]).await.refused(422, "seen is missing");
    refused(&anna, &approve, "0123456789abcdef0123456789abcdef", "WL-1451").await;
    assert_eq!(propose("STENT").await.status, 200);
    refused(&anna, &approve, &mark, "WL-1451").await;
    let mark = whole().await["waiting"]["mapping"]["mark"].as_str().unwrap().to_owned();
    assert_eq!(anna.post(&approve, &[("seen", &mark)]).await.status, 303);
    let crosswalk = Crosswalk::new(Arc::clone(&place.stack.config), Arc::clone(&place.stack.codec)).unwrap();
    let code = MappedCode { kind: MappingKind::Item, source_system: "ORIS".to_owned(), code: "OLD-1".to_owned() };
    let mapping = crosswalk.find(&code).await.unwrap().unwrap();
    assert_eq!(approval::target_in_force(&mapping), Some("STENT"));
    assert_eq!(approval::agreed(mapping.approved_by.as_deref().unwrap()), ("anna", Some(mark.as_str())));
    assert_eq!(whole().await["waiting"]["mapping"], Value::Null);
    let by = By { actor: "anna".to_owned(), comment: Some("again".to_owned()), via: "cli" };
    let again = crosswalk.approve(&code, Some(&mark), &by).await.unwrap_err();
    assert!(again.to_string().starts_with("WL-7237: "), "{again}");
}

/// What was agreed to was another preview: who accepts that it changed is one who may agree, and not just anybody else.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_changes_of_an_approved_replay_are_accepted_by_who_may_approve() {
    let info = RoomInfo {
        name: "validate",
        purpose: "a room",
        kind: RoomKind::Processor,
        reads: vec![FLOW],
        looks_up: Vec::new(),
        writes: vec!["supply.usage-validated.v1"],
    };
    let place = Place::before(vec![ReplayRoom { info, foresee: None, shadow: None }], |_| ()).await;
    let now = Timestamp(runtime::clock::now_micros());
    let plan = Replay {
        replay_id: "0f2b7c3e-9d0a-5b7e-8a51-0f3c2f9f1a77".to_owned(),
        state: ReplayState::Approved,
        room: "validate".to_owned(),
        topic: FLOW.to_owned(),
        needs_approval: true,
        selection: ReplaySelection { from_time_ms: Some(0), ..ReplaySelection::default() },
        counts: ReplayCounts { records: 1, ..ReplayCounts::default() },
        reason: "the mapping of theatre 7 was wrong".to_owned(),
        planned_by: "oscar".to_owned(),
        planned_at: now,
        approved_by: Some("adele".to_owned()),
        actor: "adele".to_owned(),
        at: now,
        ..Replay::default()
    };
    place.stack.publish(&[SupplyUsage::default()]).await;
    place.stack.publish(std::slice::from_ref(&plan)).await;
    let path = format!("/replay/{}/apply", plan.replay_id);
    let accepting = [("accept_changes", "true"), ("comment", "one has gone since")];
    let (olga, oscar, anna) = (place.browser("olga").await, place.browser("oscar").await, place.browser("anna").await);
    anna.post(&path, &[]).await.refused(409, "WL-7158");
    oscar.post(&path, &accepting).await.refused(409, "WL-7164");
    let refused = olga.post(&path, &accepting).await;
    refused.refused(409, "WL-7164");
    assert!(refused.text.contains("olga may not approve"), "{}", refused.text);
    let body = json!({"accept_changes": true, "comment": "one has gone since"});
    place.call(Method::POST, &format!("/api/v1{path}"), Some(body)).await.refused(409, "WL-7164");
    let begun = anna.post(&path, &accepting).await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    place.audited(|audit| audit.code == "replay.started" && audit.actor.as_deref() == Some("anna")).await;
}
