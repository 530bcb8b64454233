//! A replay does not let an event take effect behind newer ones of its key, unless somebody says why it must be (ORD-1, RPL-1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use operations::replay::{
    Apply, Outcome, Overtaken, OvertakenKey, Plan, ReplayError, ReplayRoom, ReplaySelection, ReplayState, Replays,
    Request, Resume, Runner, Words,
};
use runtime::{clock, shutdown};
use schemas::{
    Audit, EnrichedUsage, ErpPosting, Exception, ExceptionKind, ExceptionState, Parked, Timestamp, ValidatedUsage,
};
use std::sync::Arc;
use testkit::parts::Erp as ErpPart;
use testkit::stack::{PATIENCE, Stack};
use wardline_tests::events::{enriched, usage};
use wardline_tests::toys;

fn replays(stack: &Stack) -> Arc<Replays> {
    let rooms = vec![ReplayRoom::from(&erp_post::room()), ReplayRoom::from(&toys::validate())];
    Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), rooms).unwrap()
}

fn of_key(room: &str, key: &str) -> Request {
    Request {
        room: room.to_owned(),
        selection: ReplaySelection { key: Some(key.to_owned()), ..ReplaySelection::default() },
        reason: "the test asks for it".to_owned(),
        actor: "Ada".to_owned(),
        ..Request::default()
    }
}

fn by(actor: &str) -> Words {
    Words { actor: actor.to_owned(), comment: None }
}

fn code<T>(outcome: Result<T, ReplayError>) -> String {
    outcome.err().map(|error| error.to_string().split(':').next().unwrap_or_default().to_owned()).unwrap_or_default()
}

/// The refusal of the only exception is given up, so that what waits behind it goes on.
async fn discard(stack: &Stack) {
    let raised = stack.until::<Exception>("the refusal", |exceptions| !exceptions.is_empty()).await;
    let discarded = Exception {
        kind: ExceptionKind::Discarded,
        state: ExceptionState::Discarded,
        at: Timestamp(clock::now_micros()),
        ..raised[0].clone()
    };
    stack.publish(&[discarded]).await;
}

/// The plan, once so many records of the key wait no more.
async fn plan(replays: &Arc<Replays>, request: &Request, records: i64) -> Plan {
    let started = clock::tick();
    loop {
        match replays.plan(request, |_| ()).await {
            Ok(plan) if plan.counts.records == records => return plan,
            Ok(_) => {}
            Err(error) => assert_eq!(code(Err::<(), _>(error)), "WL-7153"),
        }
        assert!(clock::tick().since(started) < PATIENCE, "they wait on");
    }
}

fn place(topic: &str, plan: &Plan, nth: i64) -> String {
    let span = plan.spans.iter().find(|span| span.records > 0).unwrap();
    format!("{topic}-{}@{}", span.partition, span.start + nth)
}

/// A second event of a stay is posted after the first was given up: the first is not posted behind it unless somebody says why.
#[tokio::test(flavor = "multi_thread")]
async fn ord_1_what_was_discarded_is_not_posted_behind_what_is_newer() {
    let mut stack = Stack::start().await;
    let dir = stack.dir.path().join("erp");
    let server = tokio::task::spawn_blocking(move || ErpPart::start(&dir)).await.unwrap();
    stack.configure(erp_post::NAME, server.block(server.address()));
    let replays = replays(&stack);
    // The ERP wants a lot of it: refused, and so parked behind an exception, and what comes after it waits.
    let no_lot = EnrichedUsage { item_id: Some("71-100234".to_owned()), ..enriched(99, 0) };
    stack.publish(&[no_lot.clone(), enriched(99, 1), enriched(99, 2), enriched(1, 0)]).await;
    let running = stack.run(vec![erp_post::room()]).await;
    discard(&stack).await;
    stack.until::<ErpPosting>("the newer ones", |postings| postings.len() == 3).await;

    let whole = plan(&replays, &of_key(erp_post::NAME, "enc-99"), 3).await;
    let late = Overtaken::of(&whole).unwrap();
    let topic = "supply.usage-enriched.v1";
    let first = OvertakenKey {
        key: "enc-99".to_owned(),
        record: place(topic, &whole, 0),
        newest: late.examples[0].newest.clone(),
        newer: 2,
    };
    assert_eq!(late, Overtaken { keys: 1, examples: vec![first.clone()] }, "also those that are part of the range");
    let selection = ReplaySelection { event_ids: vec![no_lot.meta.event_id], ..ReplaySelection::default() };
    let one = Request { selection, ..of_key(erp_post::NAME, "enc-99") };
    let one = plan(&replays, &one, 1).await;
    assert_eq!(Overtaken::of(&one), Some(late), "and those that are not");
    // What has had its effect overtakes nothing when it is handed over once more.
    let selection = ReplaySelection { event_ids: vec![enriched(99, 1).meta.event_id], ..ReplaySelection::default() };
    let settled = plan(&replays, &Request { selection, ..of_key(erp_post::NAME, "enc-99") }, 1).await;
    assert_eq!((Overtaken::of(&settled), settled.counts.suppressed), (None, 1));

    refused_then_overridden(&stack, &replays, &one.replay_id, &first).await;
    running.stop().await;
}

async fn refused_then_overridden(stack: &Stack, replays: &Arc<Replays>, id: &str, first: &OvertakenKey) {
    replays.approve(id, &by("Bert")).await.unwrap();
    let apply = |why: Option<&str>| Apply {
        words: by("Ada"),
        rate: 1_000,
        override_order: why.map(str::to_owned),
        ..Apply::default()
    };
    let Err(error) = Runner::apply(replays, id, &apply(None), |_| ()).await else { panic!("it is out of order") };
    let said = error.to_string();
    assert!(
        said.starts_with("WL-7261: ") && said.contains(&format!("{} before {}", first.newest, first.record)),
        "{said}"
    );
    assert!(error.next().contains("--override-order") && !said.contains("enc-99"), "{said}");
    assert_eq!(code(Runner::apply(replays, id, &apply(Some(" ")), |_| ()).await), "WL-7162");
    assert_eq!(replays.find(id).await.unwrap().state, ReplayState::Approved, "nothing has begun");
    let by_replay = |parked: &Parked| parked.reason_code == "replay";
    assert!(!stack.events::<Parked>().await.iter().any(by_replay), "nothing was handed over");

    // Its process is gone before the first record; who goes on with it stands for the order, too.
    drop(Runner::apply(replays, id, &apply(Some("booked by hand in between")), |_| ()).await.unwrap());
    let resume = |why: Option<&str>| Resume {
        words: by("Cleo"),
        may_agree: true,
        override_order: why.map(str::to_owned),
        ..Resume::default()
    };
    assert_eq!(code(Runner::resume(replays, id, &resume(None), |_| ()).await), "WL-7261");
    let runner = Runner::resume(replays, id, &resume(Some("still so")), |_| ()).await.unwrap();
    let (_trigger, stop) = shutdown();
    let Outcome::Done(done) = runner.run(&stop, |_| ()).await.unwrap() else { panic!("it ends") };
    assert_eq!(done.spans.iter().map(|span| span.handed).sum::<i64>(), 1);
    let audits = stack.events::<Audit>().await;
    let started = audits.iter().find(|audit| audit.code == "replay.started").unwrap();
    let said = (started.actor.as_deref(), started.detail.contains("order overridden"));
    assert_eq!(said, (Some("Ada"), true), "{started:?}");
    assert!(
        started.detail.contains("booked by hand in between") && started.detail.contains(&first.newest),
        "{started:?}"
    );
    let resumed = audits.iter().find(|audit| audit.code == "replay.resumed").unwrap();
    assert!(resumed.detail.contains("order overridden") && resumed.detail.ends_with("still so"), "{resumed:?}");
    stack
        .until::<Exception>("the ERP refuses it again", |all| {
            all.iter().filter(|one| one.kind == ExceptionKind::Raised).count() == 2
        })
        .await;
}

/// A second event of a stay is refused as well and waits for a person: it was there first, so the one that was given up does not lie
/// down behind it unless somebody says why.
#[tokio::test(flavor = "multi_thread")]
async fn ord_1_what_was_discarded_is_not_posted_behind_what_waits() {
    let mut stack = Stack::start().await;
    let dir = stack.dir.path().join("erp");
    let server = tokio::task::spawn_blocking(move || ErpPart::start(&dir)).await.unwrap();
    stack.configure(erp_post::NAME, server.block(server.address()));
    let replays = replays(&stack);
    let no_lot = |number| EnrichedUsage { item_id: Some("71-100234".to_owned()), ..enriched(99, number) };
    stack.publish(&[no_lot(0), no_lot(1)]).await;
    let running = stack.run(vec![erp_post::room()]).await;
    discard(&stack).await;
    let raised = |all: &[Exception]| all.iter().filter(|one| one.kind == ExceptionKind::Raised).count() == 2;
    stack.until::<Exception>("the refusal of the second", raised).await;

    let selection = ReplaySelection { event_ids: vec![no_lot(0).meta.event_id], ..ReplaySelection::default() };
    let plan = plan(&replays, &Request { selection, ..of_key(erp_post::NAME, "enc-99") }, 1).await;
    let told = Overtaken::of(&plan).unwrap();
    let second = place("supply.usage-enriched.v1", &plan, 1);
    let newest = told.examples[0].newest.clone();
    assert_eq!((told.keys, told.examples[0].newer, newest), (1, 1, second));
    replays.approve(&plan.replay_id, &by("Bert")).await.unwrap();
    let apply = Apply { words: by("Ada"), rate: 1_000, ..Apply::default() };
    assert_eq!(code(Runner::apply(&replays, &plan.replay_id, &apply, |_| ()).await), "WL-7261");
    running.stop().await;
}

/// In a room that writes events, what it wrote of newer ones counts; what a rule left out does not come late.
#[tokio::test(flavor = "multi_thread")]
async fn ord_1_what_was_discarded_is_not_written_behind_what_is_newer() {
    let stack = Stack::start().await;
    let replays = replays(&stack);
    stack
        .publish(&[
            usage("enc-1", 1, "REJECT"),
            usage("enc-1", 2, "plain"),
            usage("enc-2", 1, "DROP"),
            usage("enc-2", 2, "plain"),
            usage("enc-3", 1, "plain"),
            usage("enc-3", 2, "plain"),
        ])
        .await;
    let running = stack.run(vec![toys::validate()]).await;
    discard(&stack).await;
    stack.until::<ValidatedUsage>("the newer ones", |events| events.len() == 4).await;

    for kept in ["enc-2", "enc-3"] {
        let plan = plan(&replays, &of_key(toys::VALIDATE, kept), 2).await;
        assert_eq!(Overtaken::of(&plan), None, "{kept}");
    }
    let late = plan(&replays, &of_key(toys::VALIDATE, "enc-1"), 2).await;
    let told = Overtaken::of(&late).unwrap();
    assert_eq!((told.keys, told.examples[0].key.as_str(), told.examples[0].newer), (1, "enc-1", 1));
    replays.approve(&late.replay_id, &by("Bert")).await.unwrap();
    let apply = Apply { words: by("Ada"), rate: 1_000, ..Apply::default() };
    assert_eq!(code(Runner::apply(&replays, &late.replay_id, &apply, |_| ()).await), "WL-7261");
    let apply = Apply { override_order: Some("nobody else reads it".to_owned()), ..apply };
    assert!(Runner::apply(&replays, &late.replay_id, &apply, |_| ()).await.is_ok());
    running.stop().await;
}
