//! Where a room goes on, set by people: refused while it runs and where nothing would come of it, previewed, agreed to where it must be,
//! and on record (RPL-1, FX-1, LOSS-1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use operations::replay::reset::{self, ResetError, ResetOutcome, ResetPlan, ResetRequest, Target, TopicAgain};
use operations::replay::{ReplayRoom, Replays, Words};
use runtime::outgoing::Outgoing;
use runtime::reader;
use schemas::{Audit, AuditKind, EnrichedUsage, ErpPosting, ValidatedUsage};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use testkit::parts::Erp as ErpPart;
use testkit::stack::Stack;
use wardline_tests::events::{self, enriched};
use wardline_tests::lake::rows;
use wardline_tests::toys;

const TOPIC: &str = "supply.usage-enriched.v1";
const DOCUMENTED: &str = "clinical.supply-usage.v1";
const USAGES: usize = 24;

fn usage(number: usize) -> EnrichedUsage {
    enriched(number % 6, number)
}

fn request(to: Target) -> ResetRequest {
    ResetRequest {
        room: erp_post::NAME.to_owned(),
        topic: None,
        partitions: Vec::new(),
        to,
        reason: "the test asks for it".to_owned(),
        actor: "Ada".to_owned(),
        force: false,
        previewed: None,
    }
}

fn words(actor: &str) -> Words {
    Words { actor: actor.to_owned(), comment: None }
}

fn code<T>(outcome: Result<T, ResetError>) -> String {
    outcome.err().map(|error| error.to_string().split(':').next().unwrap_or_default().to_owned()).unwrap_or_default()
}

async fn positions(stack: &Stack) -> BTreeMap<i32, i64> {
    positions_of(stack, erp_post::NAME).await
}

async fn positions_of(stack: &Stack, room: &'static str) -> BTreeMap<i32, i64> {
    positions_in(stack, room, TOPIC).await
}

async fn positions_in(stack: &Stack, room: &'static str, topic: &'static str) -> BTreeMap<i32, i64> {
    let kafka = stack.config.kafka.clone();
    let lags = move || reader::group_lag(&kafka, room, &[topic]).unwrap();
    let lags = tokio::task::spawn_blocking(lags).await.unwrap();
    lags.into_iter().filter_map(|lag| Some((lag.partition, lag.committed?))).collect()
}

async fn said(stack: &Stack, code: &str) -> Vec<Audit> {
    stack.events::<Audit>().await.into_iter().filter(|audit| audit.code == code).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_room_is_set_back_by_two_people_and_says_its_events_again() {
    let stack = Stack::start().await;
    let known = vec![ReplayRoom::from(&toys::validate())];
    let replays = Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), known).unwrap();
    let usage = |number: usize| {
        let mut usage = events::usage(&format!("enc-{}", number % 6), number, "plain");
        // Whoever counts reads it as JSON, where an id is one.
        usage.meta.event_id = format!("00000000-0000-5000-8000-{number:012}");
        usage
    };
    let unreadable = Outgoing { value: Some(b"bad".to_vec().into()), ..Outgoing::tombstone(DOCUMENTED, None, "enc-0") };
    stack.publish_raw(&[unreadable]).await;
    stack.publish(&(0..USAGES).map(usage).collect::<Vec<_>>()).await;
    let running = stack.run(vec![toys::validate()]).await;
    stack.until::<ValidatedUsage>("every event", |events| events.len() == USAGES).await;

    let back = ResetRequest { room: toys::VALIDATE.to_owned(), ..request(Target::Earliest) };
    assert_eq!(code(replays.reset_preview(&back, |_| ()).await), "WL-7252", "it is running");
    running.stop().await;
    let positions = || positions_in(&stack, toys::VALIDATE, DOCUMENTED);
    let stood = positions().await;

    let plan = replays.reset_preview(&back, |_| ()).await.unwrap();
    assert_eq!((plan.again, plan.skipped, plan.second_person.is_some()), (USAGES as u64 + 1, 0, true));
    let again = TopicAgain {
        topic: DOCUMENTED.to_owned(),
        records: i64::try_from(USAGES).unwrap() + 1,
        keys: 6,
        unreadable: 1,
        waiting: 0,
    };
    assert_eq!(plan.topics, [again], "the dead letter too is worked on again");
    assert_eq!(positions().await, stood, "a preview changes nothing");
    assert!(said(&stack, reset::REQUESTED).await.is_empty() && said(&stack, reset::STARTED).await.is_empty());

    let ResetOutcome::Requested(asked) = replays.reset(&back, |_| ()).await.unwrap() else {
        panic!("one is not enough")
    };
    assert_eq!((&asked, positions().await), (&plan, stood.clone()));
    let waiting = replays.resets_requested().await.unwrap();
    let [found] = waiting.as_slice() else { panic!("who is to agree finds it: {waiting:?}") };
    assert_eq!((&found.id, found.actor.as_str(), found.reason.as_str()), (&asked.id, "Ada", back.reason.as_str()));
    assert_eq!(found.moves, plan.moves, "and what it comes to");
    assert_eq!(code(replays.reset_approve(&asked.id, &words(" ada ")).await), "WL-7257");
    assert_eq!(code(replays.reset_approve("nobody", &words("Bert")).await), "WL-7258");
    let done = replays.reset_approve(&asked.id[..8], &words("Bert")).await.unwrap();
    assert_eq!((done.again, done.skipped), (plan.again, plan.skipped));
    let wanted: BTreeMap<i32, i64> = done.moves.iter().map(|one| (one.partition, one.to)).collect();
    for (partition, position) in positions().await {
        assert_eq!(Some(&position), wanted.get(&partition).or(stood.get(&partition)), "partition {partition}");
    }
    assert_eq!(code(replays.reset_approve(&asked.id, &words("Carl")).await), "WL-7258", "it is done");
    assert!(replays.resets_requested().await.unwrap().is_empty(), "nothing waits any more");
    for code in [reset::REQUESTED, reset::STARTED, reset::DONE] {
        let audits = said(&stack, code).await;
        assert_eq!(audits.len(), plan.moves.len(), "{code}");
        assert!(audits.iter().all(|audit| audit.kind == AuditKind::Replay && audit.detail.contains(&asked.id)));
        let who = if code == reset::REQUESTED { "Ada" } else { "Bert" };
        assert!(audits.iter().all(|audit| audit.actor.as_deref() == Some(who)), "{audits:?}");
    }

    let running = stack.run(vec![toys::validate()]).await;
    stack.publish(&[usage(USAGES)]).await;
    let all = |events: &[ValidatedUsage]| events.len() > 2 * USAGES;
    let events = stack.until::<ValidatedUsage>("all of them once more", all).await;
    running.stop().await;
    let ids: HashSet<&str> = events.iter().map(|event| event.meta.event_id.as_str()).collect();
    assert_eq!((events.len(), ids.len()), (2 * USAGES + 1, USAGES + 1), "with the same ids");
    let now = positions().await;
    assert!(now.iter().all(|(partition, position)| stood.get(partition).is_none_or(|at| position >= at)));
}

/// RPL-1: what a room with effects has settled it would read again and pass over. That is refused with the replay that asks it anew;
/// forward it goes.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_room_with_effects_is_not_set_back() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let known = vec![ReplayRoom::from(&toys::post(&ledger))];
    let replays = Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), known).unwrap();
    let of = |to: Target| ResetRequest { room: toys::POST.to_owned(), force: true, ..request(to) };
    stack.publish(&["plain", "DROP", "plain"].map(|item| events::usage("enc-1", 1, item))).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    stack.until::<Audit>("what is dropped and what is late", |audits| audits.len() == 2).await;
    running.stop().await;
    let positions = || positions_in(&stack, toys::POST, DOCUMENTED);
    let stood = positions().await;
    let (partition, at) = stood.iter().find(|(_, at)| **at > 0).map(|(partition, at)| (*partition, *at)).unwrap();

    let one = ResetRequest { partitions: vec![partition], ..of(Target::Offset(at - 1)) };
    for back in [of(Target::Earliest), one] {
        let refused = replays.reset_preview(&back, |_| ()).await.unwrap_err();
        assert!(refused.next().contains(&format!(" --to-offset {} ", at - 1)), "{}", refused.next());
        assert_eq!(code(Err::<(), _>(refused)), "WL-7263");
        assert_eq!(code(replays.reset(&back, |_| ()).await), "WL-7263");
    }
    assert_eq!(positions().await, stood);
    assert!(said(&stack, reset::REQUESTED).await.is_empty() && said(&stack, reset::STARTED).await.is_empty());

    stack.publish(&[events::usage("enc-1", 2, "plain")]).await;
    assert_eq!(replays.reset_preview(&of(Target::Latest), |_| ()).await.unwrap().skipped, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_1_nothing_is_passed_over_unless_two_people_stand_for_it() {
    let mut stack = Stack::start().await;
    let dir = stack.dir.path().join("erp");
    let server = tokio::task::spawn_blocking(move || ErpPart::start(&dir)).await.unwrap();
    stack.configure(erp_post::NAME, server.block(server.address()));
    let known = vec![ReplayRoom::from(&erp_post::room())];
    let replays = Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), known).unwrap();
    stack.publish(&(0..USAGES).map(usage).collect::<Vec<_>>()).await;

    let ahead = request(Target::Latest);
    let plan = replays.reset_preview(&ahead, |_| ()).await.unwrap();
    assert_eq!((plan.again, plan.skipped), (0, USAGES as u64));
    assert_eq!(code(replays.reset(&ahead, |_| ()).await), "WL-7253");
    assert!(positions(&stack).await.is_empty() && said(&stack, reset::REQUESTED).await.is_empty());
    let forced = ResetRequest { force: true, ..ahead };
    assert_eq!(
        code(replays.reset(&ResetRequest { reason: " ".to_owned(), ..forced.clone() }, |_| ()).await),
        "WL-7162"
    );
    let ResetOutcome::Requested(ResetPlan { id, .. }) = replays.reset(&forced, |_| ()).await.unwrap() else {
        panic!("one is not enough")
    };
    assert!(positions(&stack).await.is_empty(), "nothing has changed yet");

    // Meanwhile somebody has let the room run: what was agreed to would be something else.
    let running = stack.run(vec![erp_post::room()]).await;
    stack.until::<ErpPosting>("every posting", |postings| postings.len() == USAGES).await;
    running.stop().await;
    assert_eq!(code(replays.reset_approve(&id, &words("Bert")).await), "WL-7259");

    let nowhere = ResetRequest { partitions: vec![0], ..request(Target::Offset(1_000_000)) };
    assert_eq!(code(replays.reset_preview(&nowhere, |_| ()).await), "WL-7254");
    assert_eq!(
        code(replays.reset_preview(&request(Target::Offset(0)), |_| ()).await),
        "WL-7254",
        "of which partition?"
    );
    let (_, at) = positions(&stack).await.into_iter().next().unwrap();
    let partition = *positions(&stack).await.keys().next().unwrap();
    let here = ResetRequest { partitions: vec![partition], ..request(Target::Offset(at)) };
    assert_eq!(code(replays.reset_preview(&here, |_| ()).await), "WL-7255");
}

/// FX-1: a reset has the files loaded again from the beginning, and no row is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_is_read_again_into_analytics_doubles_no_row() {
    let mut stack = Stack::start().await;
    let lake = stack.dir.path().join("lake");
    stack.configure(analytics::NAME, serde_json::json!({"directory": lake, "file_wait_ms": 200}));
    let known = vec![ReplayRoom::from(&analytics::room())];
    let replays = Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), known).unwrap();
    stack.publish(&(0..USAGES).map(usage).collect::<Vec<_>>()).await;
    let running = stack.run(vec![analytics::room()]).await;
    testkit::until("a row of each usage", || rows(&lake).len() == USAGES).await;
    running.stop().await;
    let before: HashSet<String> = rows(&lake).into_iter().collect();
    let stood = positions_of(&stack, analytics::NAME).await;
    assert_eq!((before.len(), stood.values().sum::<i64>()), (USAGES, i64::try_from(USAGES).unwrap()));

    let back =
        ResetRequest { room: analytics::NAME.to_owned(), topic: Some(TOPIC.to_owned()), ..request(Target::Earliest) };
    // Rows are written over, so one person is enough.
    let ResetOutcome::Done(done) = replays.reset(&back, |_| ()).await.unwrap() else { panic!("it is done at once") };
    assert_eq!((done.again, done.skipped), (USAGES as u64, 0));
    assert_eq!(positions_of(&stack, analytics::NAME).await.values().sum::<i64>(), 0, "it stands at the beginning");

    stack.publish(&[usage(USAGES)]).await;
    let running = stack.run(vec![analytics::room()]).await;
    let lag = |stood: BTreeMap<i32, i64>| USAGES as i64 + 1 - stood.values().sum::<i64>();
    let started = runtime::clock::tick();
    while lag(positions_of(&stack, analytics::NAME).await) > 0 {
        assert!(runtime::clock::tick().since(started) < testkit::stack::PATIENCE, "it does not read to the end");
    }
    running.stop().await;
    let after = rows(&lake);
    let ids: HashSet<String> = after.iter().cloned().collect();
    assert_eq!((after.len(), ids.len()), (USAGES + 1, USAGES + 1), "one row for each, and none twice");
    assert!(before.is_subset(&ids));
}
