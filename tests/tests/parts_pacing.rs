//! How fast and when a target is called: a budget that instances share, a calendar, and silence that is asked for.

#![allow(clippy::disallowed_methods, reason = "a test measures time, with bounds")]
#![allow(clippy::unwrap_used, reason = "test")]

use connector::pacing::{Calendar, Closed, Pacing};
use runtime::config::WaitBudget;
use schemas::{ErpPosting, Exception, SupplyUsage};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::events::usage;
use wardline_tests::processes::RoomProcess;
use wardline_tests::toys::{self, FileWorld, PostConfig, SILENCE};

/// One event of each key.
fn usages(count: i32, item: &str) -> Vec<SupplyUsage> {
    (0..count).map(|number| usage(&format!("enc-{item}-{number}"), 1, item)).collect()
}

fn configure(stack: &mut Stack, own: &PostConfig) {
    stack.configure(toys::POST, serde_json::to_value(own).unwrap());
}

/// Starts an instance of the room in a process.
fn start(stack: &Stack, instance: &str, ledger: &Path) -> RoomProcess {
    let mut config = (*stack.config).clone();
    config.kafka.instance = instance.to_owned();
    let path = stack.dir.path().join(format!("{instance}.yaml"));
    std::fs::write(&path, serde_json::to_string(&config).unwrap().replace("\"***\"", "\"key\"")).unwrap();
    let arguments = [toys::POST, path.to_str().unwrap(), ledger.to_str().unwrap()];
    RoomProcess::start(env!("CARGO_BIN_EXE_toy-room"), &arguments, &stack.dir.path().join(format!("{instance}.log")))
}

/// BND-1: two instances together make no more calls than one may, and the budget is used.
#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_instances_share_the_budget_of_a_target() {
    const PER_SECOND: u32 = 20;
    let mut stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let pacing = Pacing { calls_per_minute: NonZeroU32::new(PER_SECOND * 60), ..Pacing::default() };
    configure(&mut stack, &PostConfig { pacing, ..PostConfig::default() });
    stack.publish(&usages(400, "plain")).await;
    let instances = ["one", "two"].map(|instance| start(&stack, instance, &ledger));
    let count = || FileWorld::ledger(&ledger).len();

    // Both are at work by then: each has its part of the partitions.
    until("the first calls", || count() >= 40).await;
    let (started, before) = (Instant::now(), count());
    until("200 more calls", || count() >= before + 200).await;
    let took = started.elapsed().as_secs_f64();
    let made = f64::from(u32::try_from(count() - before).unwrap());
    // A burst of a second at most was left over.
    let most = took.mul_add(f64::from(PER_SECOND), f64::from(PER_SECOND) + 5.0);
    assert!(made <= most, "{made} calls in {took} s");
    assert!(made >= took * f64::from(PER_SECOND) * 0.4, "{made} calls in {took} s: the budget is not used");
    let postings = stack.until::<ErpPosting>("all postings", |postings| postings.len() >= 400).await;
    assert_eq!((postings.len(), count()), (400, 400), "FX-1");
    instances.into_iter().for_each(RoomProcess::kill);
}

/// A window that is shut from an hour ago until `opens`.
fn shut_until(opens: jiff::Timestamp) -> Pacing {
    let local = |at: jiff::Timestamp| jiff::tz::TimeZone::UTC.to_datetime(at);
    let from = local(opens - jiff::SignedDuration::from_hours(1));
    let window = Closed { from, to: local(opens), reason: "period close".to_owned() };
    Pacing { calendar: Calendar { closed: vec![window], ..Calendar::default() }, ..Pacing::default() }
}

/// KEY-1, ORD-1: what waits for a target that is shut is more than the room may hold. It is put by, in order and without asking anybody,
/// and the other target goes on; also through a restart. Then it goes by itself.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_what_waits_for_a_shut_target_holds_up_no_other() {
    let soon = WaitBudget { patient_adjacent: 500, operational: 500, analytical: 500 };
    let mut stack = Stack::with(|config| {
        config.limits.wait_budget_ms = soon;
        config.limits.records_in_flight_max = 20;
    })
    .await;
    let ledger = stack.dir.path().join("ledger");
    let opens = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(15);
    let paced = Some("paced".to_owned());
    configure(&mut stack, &PostConfig { pacing: shut_until(opens), paced, ..PostConfig::default() });
    let shut: Vec<_> =
        (1..=3).flat_map(|number| (0..30).map(move |key| usage(&format!("shut-{key}"), number, "PACED"))).collect();
    stack.publish(&shut).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    stack.publish(&usages(100, "plain")).await;
    stack.until::<ErpPosting>("the others", |postings| postings.len() >= 100).await;
    running.stop().await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    stack.publish(&[usage("later", 1, "plain")]).await;
    stack.until::<ErpPosting>("one more of the others", |postings| postings.len() >= 101).await;
    assert!(jiff::Timestamp::now() < opens, "the window was shut all the while");
    assert!(FileWorld::ledger(&ledger).iter().all(|(_, line)| !line.starts_with("shut-")));
    let postings = stack.until::<ErpPosting>("all postings", |postings| postings.len() >= 191).await;
    running.stop().await;
    let happened = FileWorld::ledger(&ledger);
    assert_eq!((postings.len(), happened.len()), (191, 191), "FX-1");
    for key in 0..30 {
        let of_key = happened.iter().filter(|(_, line)| line.starts_with(&format!("shut-{key}/")));
        let numbers: Vec<_> = of_key.filter_map(|(_, line)| line.rsplit(' ').next()).collect();
        assert_eq!(numbers, ["1.000000", "2.000000", "3.000000"], "ORD-1: {key}");
    }
    assert_eq!(stack.events::<Exception>().await.len(), 0, "nobody is asked");
}

/// A window of the calendar holds calls back, uses up no budget of the events, and ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_a_closed_window_holds_calls_back_and_asks_nobody() {
    // Without the calendar each event would be with a person long before the window ends.
    let soon = WaitBudget { patient_adjacent: 500, operational: 500, analytical: 500 };
    let mut stack = Stack::with(|config| config.limits.wait_budget_ms = soon).await;
    let ledger = stack.dir.path().join("ledger");
    let opens = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(8);
    configure(&mut stack, &PostConfig { pacing: shut_until(opens), ..PostConfig::default() });
    stack.publish(&usages(50, "plain")).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    until("what happens too early", || jiff::Timestamp::now() >= opens || !FileWorld::ledger(&ledger).is_empty()).await;
    assert!(jiff::Timestamp::now() >= opens, "a call was made while the calendar was shut");
    let postings = stack.until::<ErpPosting>("all postings", |postings| postings.len() >= 50).await;
    running.stop().await;
    assert_eq!((postings.len(), FileWorld::ledger(&ledger).len()), (50, 50), "FX-1");
    assert_eq!(stack.events::<Exception>().await.len(), 0, "nobody is asked");
}

/// KEY-1: a target that asks for silence gets it from all its keys, and others are called meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_a_target_that_asks_for_silence_holds_its_own_keys_only() {
    let mut stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    configure(&mut stack, &PostConfig { calls_max: 4, ..PostConfig::default() });
    stack.publish(&usages(12, "BUSY")).await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    until("the wish for silence", || FileWorld::turned_away(&ledger) >= 1).await;
    let silent_since = Instant::now();
    stack.publish(&usages(100, "plain")).await;
    stack.until::<ErpPosting>("the others", |postings| postings.len() >= 100).await;
    // What was under way when the first answer came was turned away as well; nothing came after it.
    if silent_since.elapsed() < SILENCE.mul_f64(0.9) {
        assert!(FileWorld::turned_away(&ledger) <= 4, "{} calls", FileWorld::turned_away(&ledger));
    }
    let postings = stack.until::<ErpPosting>("all postings", |postings| postings.len() >= 112).await;
    // Twelve keys, four at once, each turned away once: three times a silence.
    assert!(silent_since.elapsed() >= SILENCE + Duration::from_secs(1), "{:?}", silent_since.elapsed());
    running.stop().await;
    assert_eq!((postings.len(), FileWorld::ledger(&ledger).len()), (112, 112), "FX-1");
}
