//! The rooms over a broker when something is larger, older or worse than what they are made for.

use runtime::outgoing::Outgoing;
use schemas::{Audit, AuditKind, ErpPosting, Event as _, Exception, SupplyUsage, ValidatedUsage, topics};
use testkit::stack::Stack;
use wardline_tests::events::usage;
use wardline_tests::toys::{self, FileWorld};

/// FX-1: what a correction builds on is done so long ago that nobody remembers where it lies. It is searched for: the difference is
/// posted, not the whole.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_a_correction_of_what_is_long_forgotten_posts_the_difference() {
    let stack = Stack::with(|config| config.limits.effects_max = 2).await;
    let ledger = stack.dir.path().join("ledger");
    let running = stack.run(vec![toys::post(&ledger)]).await;
    let first = SupplyUsage { quantity: 1.into(), ..usage("enc-old", 1, "plain") };
    stack.publish(std::slice::from_ref(&first)).await;
    stack.until::<ErpPosting>("the first posting", |postings| postings.len() == 1).await;
    stack.publish(&(0..20).map(|number| usage(&format!("enc-{number}"), 1, "plain")).collect::<Vec<_>>()).await;
    stack.until::<ErpPosting>("the others", |postings| postings.len() == 21).await;

    let mut correction = SupplyUsage { quantity: 5.into(), ..first };
    correction.meta.revision = 1;
    correction.meta.event_id = "enc-old-1-corrected".to_owned();
    // One that corrects what never was has nothing to build on.
    let mut unheard = usage("enc-unheard", 7, "plain");
    unheard.meta.revision = 1;
    stack.publish(&[correction, unheard]).await;
    stack.until::<ErpPosting>("the corrections", |postings| postings.len() == 23).await;
    running.stop().await;
    let happened = FileWorld::ledger(&ledger);
    let of = |key: &str| -> Vec<&str> {
        happened.iter().map(|(_, line)| line.as_str()).filter(|line| line.starts_with(key)).collect()
    };
    assert_eq!(of("enc-old/"), ["enc-old/1/0 plain 1.000000", "enc-old/1/1 plain 4.000000"]);
    assert_eq!(of("enc-unheard/"), ["enc-unheard/7/1 plain 7.000000"]);
}

/// FX-1, ORD-1: a first statement behind its correction is not done on top of it, also when its turn was planned ahead; what was done is a
/// repetition, and what was not is left out.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_a_first_statement_behind_its_correction_is_not_done() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let first = usage("enc-late", 1, "SLOW");
    let mut correction = SupplyUsage { quantity: 5.into(), ..first.clone() };
    correction.meta.revision = 1;
    correction.meta.event_id = "enc-late-1-corrected".to_owned();
    stack
        .publish(&[usage("enc-late", 9, "SLOW"), correction.clone(), first, correction, usage("enc-late", 2, "plain")])
        .await;
    let running = stack.run(vec![toys::post(&ledger)]).await;
    stack.until::<ErpPosting>("the last of the key", |postings| postings.len() == 3).await;
    let audits = stack.until::<Audit>("both that are late", |audits| audits.len() == 2).await;
    running.stop().await;
    let happened = FileWorld::ledger(&ledger);
    let lines: Vec<&str> = happened.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, ["enc-late/9/0 SLOW 9.000000", "enc-late/1/1 SLOW 5.000000", "enc-late/2/0 plain 2.000000"]);
    let kinds: Vec<AuditKind> = audits.iter().map(|audit| audit.kind).collect();
    assert_eq!(kinds, [AuditKind::Dropped, AuditKind::Suppressed]);
}

/// KEY-1, FX-1: a call that panics after it has happened is in doubt as any other: it is looked up, its key goes on, and the room too.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_a_call_that_panics_is_looked_up_and_its_key_goes_on() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let running = stack.run(vec![toys::post(&ledger)]).await;
    stack.publish(&[usage("enc-panic", 1, "PANIC"), usage("enc-panic", 2, "plain")]).await;
    stack.until::<ErpPosting>("both postings of the key", |postings| postings.len() == 2).await;
    running.stop().await;
    let happened = FileWorld::ledger(&ledger);
    let lines: Vec<&str> = happened.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, ["enc-panic/1/0 PANIC 1.000000", "enc-panic/2/0 plain 2.000000"]);
}

/// Bytes that no codec makes smaller.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

/// LOSS-1, KEY-1: a record as large as a topic takes, which nobody can read, is a dead letter with all its bytes; an event whose output is
/// larger than that waits for a person. Everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_what_is_as_large_as_a_topic_takes_holds_up_nobody() {
    let stack = Stack::start().await;
    let ledger = stack.dir.path().join("ledger");
    let topic = SupplyUsage::topic().name;
    let bad = noise(1_000_000);
    let unreadable = Outgoing { value: Some(bad.clone().into()), ..Outgoing::tombstone(topic, Some(0), "enc-bad") };
    stack.publish_raw(&[unreadable]).await;
    let free: Vec<_> = (0..20).map(|number| usage(&format!("enc-free-{number}"), 1, "plain")).collect();
    stack.publish(&[usage("enc-large", 1, "LARGE")]).await;
    stack.publish(&free).await;
    let running = stack.run(vec![toys::validate(), toys::post(&ledger)]).await;
    stack.until::<ValidatedUsage>("all others are validated", |validated| validated.len() == 20).await;
    stack.until::<ErpPosting>("all others are posted", |postings| postings.len() == 21).await;
    let raised = stack.until::<Exception>("what is too large", |exceptions| !exceptions.is_empty()).await;
    running.stop().await;
    let told: Vec<_> = raised.iter().map(|raised| (raised.code.as_str(), raised.origin_event_id.as_deref())).collect();
    assert_eq!(told, [("WL-6008", Some("enc-large-1"))]);
    let letters = stack.records(topics::OPS_DEAD_LETTER_V1.name()).await;
    assert_eq!(letters.len(), 2, "one of each room");
    assert!(letters.iter().all(|letter| letter.value.as_deref() == Some(&bad[..])), "RAW-1");
}
