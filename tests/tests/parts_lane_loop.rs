//! The lane loop over a broker and an outside world that is a file: once, in order, also when killed or in doubt.

use processor::laws::{check_effects, check_once, check_order};
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::Publisher;
use schemas::{
    Audit, AuditKind, Effect, EffectState, ErpPosting, Event as _, Exception, ExceptionKind, ExceptionState,
    SupplyUsage,
};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use testkit::stack::{PATIENCE, Stack};
use testkit::until;
use wardline_tests::events::usage;
use wardline_tests::processes::RoomProcess;
use wardline_tests::toys::{self, FileWorld};

fn effect_key(request: &str) -> &str {
    request.split(' ').next().unwrap_or_default()
}

/// FX-1: a time-out after the effect, refusals, errors and batches: each effect once; others are not held up.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_in_doubt_refused_flaky_and_batched_effects_happen_once() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let mut sent = vec![
        usage("enc-doubt", 1, "TIMEOUT"),
        usage("enc-doubt", 2, "plain"),
        usage("enc-flaky", 1, "FLAKY"),
        usage("enc-flaky", 2, "plain"),
        usage("enc-refused", 1, "REFUSE"),
        usage("enc-refused", 2, "plain"),
    ];
    sent.extend((0..30).map(|number| usage(&format!("enc-batch-{number}"), 1, "BATCH")));
    let mut correction = usage("enc-doubt", 1, "plain");
    correction.meta.revision = 1;
    correction.meta.event_id = "enc-doubt-1-corrected".to_owned();
    correction.quantity = 5.into();
    sent.push(correction);
    stack.publish(&sent).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;

    let postings = stack.until::<ErpPosting>("35 postings", |postings| postings.len() >= 35).await;
    assert!(check_once(postings.iter().map(|posting| posting.effect_key.as_str())).is_empty());
    let happened = FileWorld::ledger(&ledger);
    let keys: Vec<&str> = happened.iter().map(|(_, request)| effect_key(request)).collect();
    let expected = postings.iter().map(|posting| posting.effect_key.as_str());
    assert_eq!(check_effects(expected, keys.iter().copied()), []);
    let corrected = happened.iter().find(|(_, request)| request.starts_with("enc-doubt/1/1 ")).unwrap();
    assert!(corrected.1.ends_with(" 4.000000"), "a correction posts the difference: {}", corrected.1);
    let documents: std::collections::HashSet<&str> =
        happened.iter().filter(|(_, line)| line.contains("BATCH")).map(|(document, _)| document.as_str()).collect();
    assert!(documents.len() < 30, "lines share documents: {}", documents.len());

    let exceptions = stack.until::<Exception>("the refusal", |exceptions| !exceptions.is_empty()).await;
    assert_eq!(exceptions[0].origin_event_id.as_deref(), Some("enc-refused-1"));
    assert!(postings.iter().all(|posting| posting.encounter_ref != "enc-refused"), "the key waits behind the refusal");

    // A replay of the same events repeats nothing.
    stack.publish(&sent[..4]).await;
    let audits = stack.until::<Audit>("suppressed repetitions", |audits| audits.len() >= 4).await;
    assert!(audits.iter().all(|audit| audit.kind == AuditKind::Suppressed));
    assert_eq!(FileWorld::ledger(&ledger).len(), happened.len(), "RPL-1");
    running.stop().await;
    let effects = stack.events::<Effect>().await;
    assert!(effects.iter().any(|effect| effect.state == EffectState::Refused && effect.code.is_some()));
}

/// FX-1: what is half done is completed by a look-up, but not while the call in doubt may still be at it; and as it makes something, that is
/// intended on record first.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_is_half_done_is_completed_once_that_is_certain() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    stack.publish(&[usage("enc-half", 1, "HALF"), usage("enc-half", 2, "plain")]).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    stack.until::<ErpPosting>("both postings", |postings| postings.len() >= 2).await;
    running.stop().await;
    assert_eq!(FileWorld::half(&ledger), ["call", "early", "made"]);
    assert_eq!(FileWorld::ledger(&ledger).len(), 2);
    let effects = stack.events::<Effect>().await;
    let of_half = |effect: &&Effect| effect.effect_key.starts_with("enc-half/1/");
    let states: Vec<EffectState> = effects.iter().filter(of_half).map(|effect| effect.state).collect();
    assert_eq!(states, [EffectState::Intended, EffectState::Intended, EffectState::Applied]);
}

/// KEY-1, FX-1: what comes of an event does not fit its contract, after it has happened outside or with nothing outside: its key waits
/// for a person, the others go on, and a retry asks what happened instead of doing it again.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_does_not_fit_its_contract_waits_and_is_not_done_again() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let codes = [("enc-unfit", "UNFIT"), ("enc-decided", "UNFIT-DECIDED"), ("enc-free", "plain")];
    stack.publish(&codes.map(|(encounter, code)| usage(encounter, 1, code))).await;
    stack.publish(&[usage("enc-unfit", 2, "plain")]).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    let exceptions = stack.until::<Exception>("both exceptions", |exceptions| exceptions.len() >= 2).await;
    let mut raised: Vec<_> =
        exceptions.iter().map(|raised| (raised.code.as_str(), raised.origin_event_id.as_deref())).collect();
    raised.sort_unstable();
    assert_eq!(raised, [("WL-6008", Some("enc-decided-1")), ("WL-6008", Some("enc-unfit-1"))]);

    let unfit = exceptions.iter().find(|raised| raised.origin_event_id.as_deref() == Some("enc-unfit-1")).unwrap();
    let retry = Exception {
        kind: ExceptionKind::RetryRequested,
        state: ExceptionState::Retrying,
        actor: Some("operator".to_owned()),
        ..unfit.clone()
    };
    stack.publish(&[retry]).await;
    let again = |exceptions: &[Exception]| exceptions.iter().any(|told| told.kind == ExceptionKind::Retried);
    stack.until::<Exception>("the retry that did not help", again).await;
    let postings = stack.until::<ErpPosting>("the free key", |postings| !postings.is_empty()).await;
    running.stop().await;
    assert!(postings.iter().all(|posting| posting.encounter_ref == "enc-free"), "{postings:?}");
    let happened = FileWorld::ledger(&ledger);
    let mut keys: Vec<&str> = happened.iter().map(|(_, request)| effect_key(request)).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["enc-free/1/0", "enc-unfit/1/0"]);
}

/// FX-1, KEY-1: what was done and does not fit its contract is given up: its key goes on, and it is not done again.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_what_does_not_fit_its_contract_and_is_given_up_holds_up_nobody() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    stack.publish(&[usage("enc-unfit", 1, "UNFIT"), usage("enc-unfit", 2, "plain")]).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    let raised = stack.until::<Exception>("the exception", |exceptions| !exceptions.is_empty()).await.remove(0);
    let discard = Exception {
        kind: ExceptionKind::Discarded,
        state: ExceptionState::Discarded,
        actor: Some("operator".to_owned()),
        ..raised
    };
    stack.publish(&[discard]).await;
    stack.until::<ErpPosting>("the event behind it", |postings| postings.len() == 1).await;
    let is_last = |told: &Exception| (told.kind, told.state) == (ExceptionKind::Resolved, ExceptionState::Discarded);
    stack.until::<Exception>("its last word", |told| told.last().is_some_and(is_last)).await;
    running.stop().await;
    let ledger = FileWorld::ledger(&ledger);
    let keys: Vec<&str> = ledger.iter().map(|(_, request)| effect_key(request)).collect();
    assert_eq!(keys, ["enc-unfit/1/0", "enc-unfit/2/0"]);
}

/// Starts the room in a process that can be killed; its ledger outlives it.
#[allow(clippy::unwrap_used, reason = "a helper of tests")]
fn start(stack: &Stack, ledger: &Path) -> RoomProcess {
    let config = stack.dir.path().join("wardline.yaml");
    std::fs::write(&config, serde_json::to_string(&*stack.config).unwrap().replace("\"***\"", "\"key\"")).unwrap();
    let arguments = [toys::POST, config.to_str().unwrap(), ledger.to_str().unwrap()];
    RoomProcess::start(env!("CARGO_BIN_EXE_toy-room"), &arguments, &stack.dir.path().join("toy.log"))
}

/// FX-1, ORD-1 under kill -9 while calls are in flight.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_killed_again_and_again_each_effect_happens_once_and_in_order() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let start = || start(&stack, &ledger);

    let sent: Vec<SupplyUsage> =
        (0..1_500).map(|number| usage(&format!("enc-{}", number % 50), number, "SLOW")).collect();
    stack.publish(&sent).await;
    let mut process = start();
    for round in 1..=5 {
        // Killed in the middle of the load, by progress rather than by time.
        let wished = round * 200;
        until(&format!("progress in round {round}"), || FileWorld::ledger(&ledger).len() >= wished).await;
        process.kill();
        process = start();
    }
    let postings = stack.until::<ErpPosting>("all postings", |postings| postings.len() >= sent.len()).await;
    process.kill();

    let happened = FileWorld::ledger(&ledger);
    let keys: Vec<&str> = happened.iter().map(|(_, request)| effect_key(request)).collect();
    let expected: Vec<String> =
        sent.iter().map(|usage| format!("{}/{}", usage.meta.business_key, usage.meta.revision)).collect();
    assert_eq!(check_effects(expected.iter().map(String::as_str), keys.iter().copied()), []);
    let lane = |key: &'_ str| key.split('/').next().unwrap_or_default().to_owned();
    let inputs: Vec<(String, String)> = expected.iter().map(|key| (lane(key), key.clone())).collect();
    let effects: Vec<(String, String)> = keys.iter().map(|key| (lane(key), (*key).to_owned())).collect();
    let violations = check_order(
        inputs.iter().map(|(key, id)| (key.as_str(), id.as_str())),
        effects.iter().map(|(key, id)| (key.as_str(), id.as_str())),
    );
    assert_eq!(violations, []);
    assert_eq!(check_once(postings.iter().map(|posting| posting.effect_key.as_str())), []);
    assert_eq!(postings.len(), sent.len(), "each effect has its event");
}

/// KEY-1: what was written ahead of its turn when a room is told to stop is withdrawn, so that nobody has to look for it: whoever goes
/// on finds no call in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_told_to_stop_a_room_withdraws_what_it_wrote_ahead() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let sent: Vec<SupplyUsage> =
        (0..400).map(|number| usage(&format!("enc-{}", number % 10), number, "SLOW")).collect();
    stack.publish(&sent).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    until("some postings", || FileWorld::ledger(&ledger).len() >= 40).await;
    running.stop().await;

    let effects = stack.events::<Effect>().await;
    let withdrawn = effects.iter().filter(|effect| effect.state == EffectState::Withdrawn).count();
    assert!(withdrawn > 0, "lanes of many events are written ahead");
    let newest: HashMap<&str, EffectState> =
        effects.iter().map(|effect| (effect.effect_key.as_str(), effect.state)).collect();
    let open = newest.iter().filter(|(_, state)| **state == EffectState::Intended).count();
    assert_eq!(open, 0, "{withdrawn} withdrawn");

    let running = stack.run(vec![toys::post(&ledger)]).await;
    let postings = stack.until::<ErpPosting>("all postings", |postings| postings.len() >= sent.len()).await;
    running.stop().await;
    assert_eq!((postings.len(), FileWorld::ledger(&ledger).len()), (sent.len(), sent.len()));
    assert_eq!(check_once(postings.iter().map(|posting| posting.effect_key.as_str())), []);
}

/// LOSS-1, EOS-1: a call that hangs keeps the position of its partition low; what was settled above it has its outcome once, also
/// when the process is killed and reads it all again.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_killed_below_what_is_settled_no_outcome_is_repeated() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let start = || start(&stack, &ledger);

    // One in each partition hangs, before everything else.
    let mut sent: Vec<SupplyUsage> = (0..40).map(|number| usage(&format!("enc-hang-{number}"), 1, "HANG")).collect();
    for (what, count) in [("DROP", 30), ("REFUSE", 5), ("plain", 20)] {
        sent.extend((0..count).map(|number| usage(&format!("enc-{what}-{number}"), 1, what)));
    }
    stack.publish(&sent).await;
    let mut process = start();
    for round in 1..=3 {
        let plain = format!("enc-round-{round}");
        stack.publish(&(0..10).map(|number| usage(&format!("{plain}-{number}"), 1, "plain")).collect::<Vec<_>>()).await;
        stack.until::<ErpPosting>("postings", |postings| postings.len() >= 20 + round * 10).await;
        stack.until::<Audit>("dropped events", |audits| audits.len() >= 30).await;
        stack.until::<Exception>("refusals", |exceptions| exceptions.len() >= 5).await;
        process.kill();
        process = start();
    }
    stack.publish(&(0..10).map(|number| usage(&format!("enc-last-{number}"), 1, "plain")).collect::<Vec<_>>()).await;
    let postings = stack.until::<ErpPosting>("the last postings", |postings| postings.len() >= 60).await;
    process.kill();

    assert_eq!((postings.len(), FileWorld::ledger(&ledger).len()), (60, 60));
    assert_eq!(check_once(postings.iter().map(|posting| posting.effect_key.as_str())), []);
    let audits = stack.events::<Audit>().await;
    let kinds = |kind| audits.iter().filter(|audit| audit.kind == kind).count();
    assert_eq!((kinds(AuditKind::Dropped), kinds(AuditKind::Suppressed)), (30, 0));
    assert_eq!(stack.events::<Exception>().await.len(), 5);
    assert_eq!(stack.events::<schemas::Parked>().await.len(), 5);
}

/// Keys of the records that say that an event was passed over, and whether each is still said.
async fn passed(stack: &Stack) -> Vec<(String, bool)> {
    let records = stack.records(Effect::topic().name).await.into_iter();
    let said = records.map(|record| (record.key_text().into_owned(), record.value.is_some()));
    said.filter(|(key, _)| key.starts_with("passed|")).collect()
}

/// That an event of the toy was passed over, as its room says it.
fn passed_over(partition: i32, offset: i64) -> Effect {
    let topic = SupplyUsage::topic().name;
    Effect {
        effect_key: format!("passed|{}|{topic}-{partition}@{offset}", toys::POST),
        room: toys::POST.to_owned(),
        state: EffectState::Applied,
        origin_topic: Some(topic.to_owned()),
        origin_partition: Some(partition),
        origin_offset: Some(offset),
        ..Effect::default()
    }
}

/// BND-1, LOSS-1: that an event was dropped is on record only while it may be read again: nothing is written where the position is
/// committed with it, and what is left of former times is deleted, below the position and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_nothing_says_for_ever_that_an_event_was_passed_over() {
    const DROPPED: usize = 20;
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let mut sent: Vec<_> = (0..DROPPED + 2).map(|number| usage("enc-one", number, "DROP")).collect();
    sent[DROPPED] = usage("enc-one", DROPPED, "plain");
    sent[DROPPED + 1] = usage("enc-one", DROPPED + 1, "plain");
    stack.publish(&sent[..DROPPED]).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    let audits = stack.until::<Audit>("all drops", |audits| audits.len() >= DROPPED).await;
    running.stop().await;
    assert_eq!(passed(&stack).await, []);

    let last = audits.iter().max_by_key(|audit| audit.origin_offset).unwrap();
    let (partition, position) = (last.origin_partition.unwrap(), last.origin_offset.unwrap() + 1);
    let [below, above] = [position - 3, position].map(|offset| passed_over(partition, offset));
    let publisher = Publisher::connect(&stack.config, Arc::clone(&stack.codec), &[Effect::topic()]).await.unwrap();
    let record = |effect| Outgoing {
        partition: Some(partition),
        ..publisher.event::<Effect>(effect, &Lineage::default()).unwrap()
    };
    publisher.publish(&[record(&below), record(&above)]).await.unwrap();
    let running = stack.run(vec![toys::post(&ledger)]).await;
    stack.publish(&sent[DROPPED..]).await;
    stack.until::<ErpPosting>("the event that was not passed over", |postings| !postings.is_empty()).await;
    let gone = (below.effect_key.clone(), false);
    tokio::time::timeout(PATIENCE, async { while !passed(&stack).await.contains(&gone) {} }).await.unwrap();
    running.stop().await;
    let said = [(below.effect_key, true), (above.effect_key, true), gone];
    assert_eq!(passed(&stack).await, said);
    assert_eq!(FileWorld::ledger(&ledger).len(), 1, "the one at the position was passed over");
}
