//! Corrections of refused events and mappings made from exceptions, over a broker and a room: the original stays, two people decide,
//! order holds, and what comes of it says that it was corrected. And what happens to a correcting replay when the world goes on between
//! its recount and its first record.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use operations::crosswalk::{Crosswalk, MappedCode, MappingKind, MappingProposal};
use operations::exceptions::{
    Act, By, Choice, CorrectError, DecideError, Decider, Done, ExceptionsView, Filter, Outcome, Page, Wish, correct,
    mapped_code, newest,
};
use operations::replay::{
    Apply, Outcome as Ended, Plan, ReplayError, ReplayRoom, ReplaySelection, ReplayState, Replays, Request, Resume,
    Runner, Words,
};
use runtime::{clock, shutdown};
use schemas::approval::agreed;
use schemas::{
    Action, Audit, Criticality, EventMeta, Exception, ExceptionKind, ExceptionState, MasterItem, MasterLocation,
    Parked, SupplyUsage, ValidatedUsage, topics,
};
use std::sync::Arc;
use std::time::Duration;
use testkit::stack::{PATIENCE, Running, Stack};
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

/// Usages of the theatre.
const USAGES: usize = 4;

/// A hospital whose usages of a theatre went to OR1, and a correcting plan that takes them to OR2, agreed to.
struct Theatre {
    stack: Stack,
    running: Running,
    crosswalk: Crosswalk,
    replays: Arc<Replays>,
    usages: Vec<SupplyUsage>,
    plan: Plan,
}

impl Theatre {
    async fn start() -> Self {
        let stack = hospital().await;
        let place = |id: &str| MasterLocation { location_id: id.to_owned(), ..MasterLocation::default() };
        stack.publish(&[place("OR2"), place("ICU")]).await;
        let crosswalk = Crosswalk::new(Arc::clone(&stack.config), Arc::clone(&stack.codec)).unwrap();
        map(&crosswalk, "OR1").await;
        let rooms = vec![ReplayRoom::from(&validate::room())];
        let replays = Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), rooms).unwrap();
        let running = stack.run(vec![validate::room()]).await;
        let usages: Vec<_> = (1..=USAGES).map(|number| documented("enc-1", number, "SUTURE", THEATRE)).collect();
        stack.publish(&usages).await;
        stack.until::<ValidatedUsage>("the usages", |events| events.len() == USAGES).await;
        map(&crosswalk, "OR2").await;
        let plan = planned(&replays).await;
        replays.approve(&plan.replay_id, &words("Bert")).await.unwrap();
        Self { stack, running, crosswalk, replays, usages, plan }
    }

    /// Slowly enough to be stopped in the middle.
    async fn apply(&self) -> Runner {
        let apply = Apply { words: words("Ada"), rate: 4, ..Apply::default() };
        Runner::apply(&self.replays, &self.plan.replay_id, &apply, |_| ()).await.unwrap()
    }

    async fn resume(&self) -> Result<Runner, ReplayError> {
        let resume = Resume { words: words("Ada"), rate: Some(1_000), ..Resume::default() };
        Runner::resume(&self.replays, &self.plan.replay_id, &resume, |_| ()).await
    }

    /// Goes on to the end.
    async fn ends(&self) -> Plan {
        let (_trigger, stop) = shutdown();
        let ended = self.resume().await.unwrap().run(&stop, |_| ()).await.unwrap();
        let Ended::Done(done) = ended else { panic!("nobody stops it") };
        done
    }

    /// The numbers of the usages of which the room has made corrections, once there are so many. All of them name OR2.
    async fn corrected(&self, wanted: usize) -> Vec<usize> {
        let made = |events: &[ValidatedUsage]| events.iter().filter(|event| event.meta.correction > 0).count();
        let events = self.stack.until::<ValidatedUsage>("the corrections", |events| made(events) >= wanted).await;
        let corrected: Vec<_> = events.iter().filter(|event| event.meta.correction > 0).collect();
        assert!(corrected.iter().all(|event| event.location_id.as_deref() == Some("OR2")), "{corrected:?}");
        let number = |event: &&ValidatedUsage| {
            let of = |usage: &SupplyUsage| usage.meta.business_key == event.meta.business_key;
            self.usages.iter().position(of).unwrap() + 1
        };
        corrected.iter().map(number).collect()
    }
}

/// What the source calls the theatre.
const THEATRE: &str = "THEATRE-7";

/// Maps the theatre, by two people.
async fn map(crosswalk: &Crosswalk, target: &str) {
    let (kind, source_system) = (MappingKind::Location, SOURCE.to_owned());
    let code = MappedCode { kind, source_system, code: THEATRE.to_owned() };
    let proposed = crosswalk.set(&code, Some(target), None, &by("Ada", "the theatre")).await.unwrap();
    let seen = MappingProposal::of(&proposed).unwrap().mark;
    crosswalk.approve(&code, Some(&seen), &by("Bert", "seen")).await.unwrap();
}

/// The plan that corrects all usages, once the room has passed them.
async fn planned(replays: &Arc<Replays>) -> Plan {
    let request = Request {
        room: validate::NAME.to_owned(),
        selection: ReplaySelection { from_time_ms: Some(0), ..ReplaySelection::default() },
        correct: true,
        reason: "the theatre was mapped wrongly".to_owned(),
        actor: "Ada".to_owned(),
        ..Request::default()
    };
    let started = clock::tick();
    loop {
        let plan = replays.plan(&request, |_| ()).await.unwrap();
        if usize::try_from(plan.counts.records).unwrap() == USAGES {
            return plan;
        }
        assert!(clock::tick().since(started) < PATIENCE, "the room does not pass the usages: {:?}", plan.counts);
    }
}

fn words(actor: &str) -> Words {
    Words { actor: actor.to_owned(), comment: None }
}

fn handed(plan: &Plan) -> i64 {
    plan.spans.iter().map(|span| span.handed).sum()
}

/// RPL-1: what is taken back between the recount and its turn is left out, and what is left is what was agreed to all the same.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_correction_leaves_out_what_was_taken_back_and_goes_on_after_a_pause() {
    let theatre = Theatre::start().await;
    let runner = theatre.apply().await;
    let first = theatre.usages[0].clone();
    let meta = EventMeta {
        event_id: "the-credit-of-the-first".to_owned(),
        revision: 1,
        action: Action::Retract,
        ..first.meta.clone()
    };
    theatre.stack.publish(&[SupplyUsage { meta, ..first }]).await;
    let is_there = |events: &[ValidatedUsage]| events.iter().any(|event| event.meta.revision == 1);
    theatre.stack.until::<ValidatedUsage>("the credit", is_there).await;

    let (trigger, stop) = shutdown();
    let stop_in_the_middle = |plan: &Plan| {
        if handed(plan) > 0 {
            trigger.stop();
        }
    };
    let ended = runner.run(&stop, stop_in_the_middle).await.unwrap();
    let Ended::Paused(paused) = ended else { panic!("it was asked to stop") };
    assert_eq!(handed(&paused), 1);
    let done = theatre.ends().await;
    assert_eq!((handed(&done), done.counts.records), (3, 4), "one of those that were agreed to is left out");
    assert_eq!(theatre.corrected(3).await, [2, 3, 4]);
    theatre.running.stop().await;
}

/// RPL-1: nobody has agreed to where a mapping leads that was approved between the recount and the first record.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_mapping_of_after_the_recount_stops_a_correction_before_its_first_record() {
    let theatre = Theatre::start().await;
    let runner = theatre.apply().await;
    map(&theatre.crosswalk, "ICU").await;
    let (_trigger, stop) = shutdown();
    let refused = runner.run(&stop, |_| ()).await;
    let Err(ReplayError::ChangedLeft { differences, .. }) = refused else { panic!("nobody has agreed to that place") };
    assert_eq!((differences.len(), differences[0].planned, differences[0].now), (1, 0, 1), "{differences:?}");
    let paused = theatre.replays.find(&theatre.plan.replay_id).await.unwrap();
    assert_eq!((paused.state, handed(&paused)), (ReplayState::Paused, 0));
    let again = theatre.resume().await.err().unwrap().to_string();
    assert!(again.starts_with("WL-7158: "), "{again}");
    let parked = theatre.stack.events::<Parked>().await;
    assert!(!parked.iter().any(|parked| parked.reason_code == "replay"), "nothing was handed over");

    map(&theatre.crosswalk, "OR2").await;
    assert_eq!(handed(&theatre.ends().await), 4, "what was agreed to is what would come out again");
    assert_eq!(theatre.corrected(4).await, [1, 2, 3, 4]);
    theatre.running.stop().await;
}
