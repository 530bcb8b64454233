//! Corrections of refused events and mappings made from exceptions, over a broker and a room: the original stays, two people decide,
//! order holds, and what comes of it says that it was corrected.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use operations::crosswalk::{Crosswalk, MappedCode, MappingKind, MappingProposal};
use operations::exceptions::{
    Act, By, Choice, CorrectError, DecideError, Decider, Done, ExceptionsView, Filter, Outcome, Page, Wish, correct,
    mapped_code, newest,
};
use operations::replay::ReplayRoom;
use runtime::shutdown;
use schemas::approval::agreed;
use schemas::{
    Audit, Criticality, Exception, ExceptionKind, ExceptionState, MasterItem, MasterLocation, SupplyUsage,
    ValidatedUsage, topics,
};
use std::sync::Arc;
use std::time::Duration;
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::events::{SOURCE, documented};

const WITHIN: Duration = Duration::from_secs(60);

fn by(actor: &str, comment: &str) -> By {
    By { actor: actor.to_owned(), comment: Some(comment.to_owned()), via: "cli" }
}

fn usage(visit: &str, number: usize, item: &str) -> SupplyUsage {
    documented(visit, number, item, "OR1")
}

/// A hospital with an article that needs a lot and one that does not, where nobody waits long for master data.
async fn hospital() -> Stack {
    let stack = Stack::with(|config| {
        config.limits.wait_budget_ms.patient_adjacent = 0;
    })
    .await;
    let item = |id: &str, lot_tracked: bool| MasterItem {
        item_id: id.to_owned(),
        base_uom: "EA".to_owned(),
        lot_tracked,
        ..MasterItem::default()
    };
    stack.publish(&[item("STENT", true), item("SUTURE", false)]).await;
    stack.publish(&[MasterLocation { location_id: "OR1".to_owned(), ..MasterLocation::default() }]).await;
    stack
}

/// The only open exception.
async fn raised(view: &ExceptionsView) -> Arc<Exception> {
    until("the exception", || view.list(&Filter::default(), Page::all()).total == 1).await;
    let id = view.list(&Filter::default(), Page::all()).rows[0].exception_id.clone();
    view.exception(&id).await.unwrap().unwrap()
}

async fn asked(
    stack: &Stack,
    view: &ExceptionsView,
    decider: &Decider,
    id: &str,
    wishes: &[&str],
) -> Result<Outcome, CorrectError> {
    let wishes: Vec<Wish> = wishes.iter().map(|text| text.parse().unwrap()).collect();
    let rooms = [ReplayRoom::from(&validate::room())];
    correct((&stack.config, &stack.codec), (view, decider), &rooms, id, &wishes, &by("Ada", "read from the label"))
        .await
}

/// What comes of the approval of what has this mark, or the code of its refusal.
async fn approved(
    decider: &Decider,
    choice: &Choice,
    seen: Option<&str>,
    actor: &str,
) -> Result<Vec<Done>, &'static str> {
    let agree = Act::ApproveCorrection { seen: seen.map(str::to_owned) };
    match decider.decide(choice, &agree, &by(actor, "seen")).await {
        Ok(outcome) => Ok(outcome.done),
        Err(DecideError::Refused(refusal)) => Err(refusal.code),
        Err(error) => panic!("{error}"),
    }
}

fn code(refused: Result<Outcome, CorrectError>) -> String {
    refused.unwrap_err().to_string().split(':').next().unwrap_or_default().to_owned()
}

/// RAW-1, ORD-1: a refused event is corrected by two people and processed in its place; its bytes stay as they came.
#[tokio::test(flavor = "multi_thread")]
async fn raw_1_a_refused_event_is_corrected_in_its_place() {
    let stack = hospital().await;
    let (_trigger, stop) = shutdown();
    let view = ExceptionsView::start(&stack.config, &stop).unwrap();
    let running = stack.run(vec![validate::room()]).await;
    let (first, second) = (usage("enc-1", 1, "STENT"), usage("enc-1", 2, "SUTURE"));
    stack.publish(&[first.clone(), second]).await;
    view.until_caught_up(WITHIN).await.unwrap();
    let exception = raised(&view).await;
    let (id, original) = (exception.exception_id.clone(), exception.raw_value.clone());
    assert_eq!(exception.code, "WL-4010", "{}", exception.message);
    let decider = Decider::connect(&stack.config, &view).await.unwrap();

    for (wish, expected) in [
        ("lott=A17", "WL-7240"),
        ("encounterRef=enc-2", "WL-7240"),
        ("meta.eventId=x", "WL-7240"),
        ("quantity=many", "WL-7240"),
        ("usage=WASTD", "WL-7240"),
    ] {
        assert_eq!(code(asked(&stack, &view, &decider, &id, &[wish]).await), expected, "{wish}");
    }
    let still = asked(&stack, &view, &decider, &id, &["uom=BX"]).await;
    assert_eq!(code(still), "WL-7241", "the lot is still missing");
    let done = asked(&stack, &view, &decider, &id[..8], &["lot=17"]).await.unwrap().done;
    assert_eq!((done[0].kind, done[0].state), (ExceptionKind::CorrectionRequested, ExceptionState::Open));
    let choice = Choice::Ids(vec![id.clone()]);
    let seen = view.row(&id).unwrap().correction_mark;
    let approve = async |seen: Option<&str>, actor: &str| approved(&decider, &choice, seen, actor).await;
    assert_eq!(approve(seen.as_deref(), "ada").await.unwrap_err(), "WL-7107", "nobody agrees with themselves");
    assert_eq!(approve(None, "Bert").await.unwrap_err(), "WL-1450", "nobody agrees to what they have not seen");
    let others = "0123456789abcdef0123456789abcdef";
    assert_eq!(approve(Some(others), "Bert").await.unwrap_err(), "WL-1451", "the mark of something else");
    // Ada proposes something else after Bert has looked, and takes it back when he has seen that.
    asked(&stack, &view, &decider, &id, &["lot=18"]).await.unwrap();
    assert_eq!(approve(seen.as_deref(), "Bert").await.unwrap_err(), "WL-1451", "not what Bert saw");
    asked(&stack, &view, &decider, &id, &["lot=17"]).await.unwrap();
    assert_eq!(view.row(&id).unwrap().correction_mark, seen, "the same is the same");
    let waiting = view.list(&Filter { to_approve: true, ..Filter::default() }, Page::all());
    assert_eq!(waiting.rows.iter().map(|row| row.exception_id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    // A retry that somebody asks for meanwhile works on what was sent, not on what nobody has agreed to.
    decider.retry(&id, &by("eve", "try")).await.unwrap();
    until("the retry did not help", || view.row(&id).is_some_and(|row| row.kind == ExceptionKind::Retried)).await;
    assert!(stack.events::<ValidatedUsage>().await.is_empty());

    let done = approve(seen.as_deref(), "Bert").await.unwrap();
    assert_eq!((done[0].kind, done[0].state), (ExceptionKind::Corrected, ExceptionState::Retrying));
    let validated = stack.until::<ValidatedUsage>("both usages", |events| events.len() == 2).await;
    let keys: Vec<&str> = validated.iter().map(|event| event.meta.business_key.as_str()).collect();
    assert_eq!(keys, ["usage/enc-1/1", "usage/enc-1/2"], "ORD-1");
    let corrected = &validated[0];
    assert_eq!(
        (corrected.lot.as_deref(), corrected.meta.source.message_id.as_str()),
        (Some("17"), &*first.meta.event_id)
    );
    let warned: Vec<_> = corrected.meta.warnings.iter().map(|said| (said.code.as_str(), said.path.as_str())).collect();
    assert_eq!(warned, [("WL-7230", "lot")]);
    assert!(validated[1].meta.warnings.is_empty());
    until("it is resolved", || view.row(&id).is_some_and(|row| row.state == ExceptionState::Resolved)).await;
    let settled = view.exception(&id).await.unwrap().unwrap();
    assert_eq!(settled.raw_value, original, "RAW-1: the original stays as it came");
    let correction = settled.correction.as_ref().unwrap();
    let field = &correction.fields[0];
    assert_eq!((field.before.as_deref(), field.after.as_str()), (Some("null"), "\"17\""));
    let (who, mark) = agreed(correction.approved_by.as_deref().unwrap());
    assert_eq!((correction.actor.as_str(), who, mark), ("Ada", "Bert", seen.as_deref()));
    let audits = stack.events::<Audit>().await;
    let told: Vec<_> =
        audits.iter().filter(|audit| audit.code.ends_with("correct")).map(|audit| &*audit.detail).collect();
    assert_eq!(told, ["correction requested: lot: read from the label"; 3]);
    running.stop().await;
}

/// Somebody proposes anew on one console while a second person agrees on another: whichever order the topic has, rooms and consoles
/// say the same, and nothing takes effect that nobody saw.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_behind_another_proposal_counts_nowhere() {
    let stack = hospital().await;
    let (_trigger, stop) = shutdown();
    let view = ExceptionsView::start(&stack.config, &stop).unwrap();
    let running = stack.run(vec![validate::room()]).await;
    stack.publish(&[usage("enc-1", 1, "STENT")]).await;
    view.until_caught_up(WITHIN).await.unwrap();
    let id = raised(&view).await.exception_id.clone();
    let decider = Decider::connect(&stack.config, &view).await.unwrap();
    asked(&stack, &view, &decider, &id, &["lot=17"]).await.unwrap();
    let (first, first_mark) = (view.exception(&id).await.unwrap().unwrap(), view.row(&id).unwrap().correction_mark);
    asked(&stack, &view, &decider, &id, &["lot=18"]).await.unwrap();
    let second_mark = view.row(&id).unwrap().correction_mark;
    assert_ne!(first_mark, second_mark);

    // What the other console writes that has not read the second proposal yet.
    let agree = Act::ApproveCorrection { seen: first_mark };
    let late =
        agree.record(first.as_ref().clone(), &by("Bert", "seen"), &[Criticality::PatientAdjacent], first.at.0 + 1);
    assert_eq!(late.state, ExceptionState::Retrying);
    stack.publish(&[late]).await;
    let mut changes = view.changes();
    let mending = async {
        while decider.mend().await.unwrap() != [id.clone()] {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(WITHIN, mending).await.expect("the proposal is written once more");
    let stands = |view: &ExceptionsView| view.row(&id).map(|row| (row.state, row.correction_mark));
    assert_eq!(stands(&view), Some((ExceptionState::Open, second_mark.clone())));
    let other = ExceptionsView::start(&stack.config, &stop).unwrap();
    other.until_caught_up(WITHIN).await.unwrap();
    assert_eq!(stands(&other), stands(&view), "who starts later says the same");
    let newest = newest(&stack.config.kafka, &stack.codec, 10).await.unwrap();
    assert_eq!(newest[0].kind, ExceptionKind::CorrectionRequested, "a compacted topic keeps what waits");

    let agree = Act::ApproveCorrection { seen: second_mark };
    decider.decide(&Choice::Ids(vec![id]), &agree, &by("Bert", "seen")).await.unwrap();
    let validated = stack.until::<ValidatedUsage>("the usage", |events| !events.is_empty()).await;
    let lots: Vec<_> = validated.iter().map(|usage| usage.lot.as_deref()).collect();
    assert_eq!(lots, [Some("18")], "the first one took no effect");
    running.stop().await;
}

/// A code that nobody knows is mapped from its exception, by two people, and what waits goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_mapped_from_its_exception_and_what_waits_goes_on() {
    let stack = hospital().await;
    let (_trigger, stop) = shutdown();
    let view = ExceptionsView::start(&stack.config, &stop).unwrap();
    let running = stack.run(vec![validate::room()]).await;
    stack.publish(&[usage("enc-1", 1, "SUTURE-OLD")]).await;
    view.until_caught_up(WITHIN).await.unwrap();
    let exception = raised(&view).await;
    let (writer, body) = stack.codec.open(exception.raw_value.as_ref().unwrap().as_ref()).await.unwrap();
    let event = schemas::codec::to_json(&writer, body).unwrap();
    let code = mapped_code(&event, &exception.field_paths, None).unwrap();
    let wanted =
        MappedCode { kind: MappingKind::Item, source_system: SOURCE.to_owned(), code: "SUTURE-OLD".to_owned() };
    assert_eq!(code, wanted);

    let crosswalk = Crosswalk::new(Arc::clone(&stack.config), Arc::clone(&stack.codec)).unwrap();
    let id = Some(exception.exception_id.as_str());
    let nothing = crosswalk.set(&code, Some("SUTURES"), id, &by("Ada", "old number")).await.unwrap_err();
    assert!(nothing.to_string().starts_with("WL-7236: "), "{nothing}");
    crosswalk.set(&code, Some("SUTURE"), id, &by("Ada", "old number")).await.unwrap();
    assert!(stack.events::<ValidatedUsage>().await.is_empty(), "a proposal maps nothing");
    let seen = MappingProposal::of(&crosswalk.find(&code).await.unwrap().unwrap()).unwrap().mark;
    let approve = async |seen: Option<&str>| crosswalk.approve(&code, seen, &by("Bert", "seen")).await;
    let refused = async |seen: Option<&str>| approve(seen).await.unwrap_err().to_string();
    assert!(refused(None).await.starts_with("WL-1450: "), "nobody agrees to what they have not seen");
    assert!(refused(Some("0123456789abcdef0123456789abcdef")).await.starts_with("WL-1451: "));
    crosswalk.set(&code, Some("STENT"), id, &by("Ada", "old number")).await.unwrap();
    let changed = refused(Some(&seen)).await;
    assert!(changed.starts_with("WL-1451: ") && changed.contains("Ada proposes STENT"), "{changed}");
    crosswalk.set(&code, Some("SUTURE"), id, &by("Ada", "old number")).await.unwrap();
    let mapped = approve(Some(&seen)).await.unwrap();
    assert_eq!(agreed(mapped.approved_by.as_deref().unwrap()), ("Bert", Some(seen.as_str())));
    assert_eq!((mapped.exception_id.as_deref(), mapped.meta.revision), (id, 3));
    let validated = stack.until::<ValidatedUsage>("the usage", |events| !events.is_empty()).await;
    assert_eq!(validated[0].item_id.as_deref(), Some("SUTURE"));
    let used = validated[0].masters.iter().find(|used| used.topic == topics::MASTER_CROSSWALK_V1.name()).unwrap();
    assert_eq!((used.key.as_str(), used.revision), ("item/ORIS|GENERAL/SUTURE-OLD", 3));
    until("it is resolved", || {
        view.row(&exception.exception_id).is_some_and(|row| row.state == ExceptionState::Resolved)
    })
    .await;
    let again = refused(Some(&seen)).await;
    assert!(again.starts_with("WL-7237: "), "{again}");
    running.stop().await;
}
