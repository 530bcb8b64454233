//! The rooms over a broker when something is larger, older or worse than what they are made for.

use connector::http::breaker::BreakerConfig;
use connector::pacing::Pacing;
use runtime::clock::tick;
use runtime::outgoing::Outgoing;
use schemas::{
    Audit, AuditKind, CorrectedField, Correction, ErpPosting, Event as _, Exception, ExceptionKind, ExceptionState,
    SupplyUsage, Timestamp, ValidatedUsage, topics,
};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;
use testkit::stack::{Running, Stack};
use testkit::until;
use wardline_tests::events::usage;
use wardline_tests::toys::{self, FileWorld, PostConfig};

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

/// How long the other side is asked about what was given up, milliseconds.
const DISCARD_WAIT_MS: u64 = 5_000;
const HOUR_MICROS: i64 = 3_600_000_000;

/// Six events that nobody answers, which the room tries again by itself, and calls about them that do not end.
struct Tried {
    stack: Stack,
    running: Running,
    ledger: PathBuf,
    /// What was raised of them.
    away: Vec<Exception>,
    /// What was raised of another event, which was rejected, so that nobody tries it.
    refused: Exception,
}

impl Tried {
    /// With so many calls at once: events beyond these wait at their endpoint for a free one.
    async fn start(calls_max: usize, item: &str) -> Self {
        let mut stack = Stack::with(|config| {
            config.limits.wait_budget_ms.patient_adjacent = 0;
            config.limits.wait_budget_ms.operational = 0;
            config.limits.retry_delay_ms = 100;
            config.limits.retry_delay_max_ms = 200;
            config.limits.discard_wait_ms = DISCARD_WAIT_MS;
        })
        .await;
        // However often it fails, it is called.
        let breaker = BreakerConfig { failures_to_open: 100_000, ..BreakerConfig::default() };
        let pacing = Pacing { breaker, ..Pacing::default() };
        let own = PostConfig { calls_max, pacing, ..PostConfig::default() };
        stack.configure(toys::POST, serde_json::json!(own));
        let ledger = stack.dir.path().join("ledger");
        let running = stack.run(vec![toys::post(&ledger)]).await;
        let mut sent: Vec<SupplyUsage> = (0..6).map(|number| usage(&format!("enc-away-{number}"), 1, item)).collect();
        sent.push(usage("enc-refused", 1, "REFUSE"));
        stack.publish(&sent).await;
        let raised = stack.until::<Exception>("all exceptions", |exceptions| exceptions.len() == sent.len()).await;
        FileWorld::hang(&ledger);
        until("calls that do not end", || FileWorld::hanging(&ledger) == calls_max).await;
        let is_refused = |one: &Exception| one.origin_event_id.as_deref() == Some("enc-refused-1");
        let (mut refused, away): (Vec<_>, Vec<_>) = raised.into_iter().partition(is_refused);
        assert_eq!((refused.len(), away.len()), (1, 6));
        Self { stack, running, ledger, away, refused: refused.remove(0) }
    }

    /// A person decides about all six, and the calls under way end when the room has read that: what it has settled by then was
    /// decided later.
    async fn decide(&self, decide: impl Fn(Exception) -> Exception) {
        let decided: Vec<Exception> = self.away.iter().cloned().map(decide).collect();
        self.stack.publish(&decided).await;
        self.stack.publish(&[discarded(self.refused.clone())]).await;
        let is_read = |told: &[Exception]| settled(told, ExceptionState::Discarded).contains("enc-refused-1");
        self.stack.until::<Exception>("the refused one is settled", is_read).await;
        FileWorld::back(&self.ledger);
    }
}

fn discarded(raised: Exception) -> Exception {
    Exception {
        kind: ExceptionKind::Discarded,
        state: ExceptionState::Discarded,
        actor: Some("ada".to_owned()),
        comment: Some("posted by hand".to_owned()),
        ..raised
    }
}

/// Events whose exceptions the room has settled so.
fn settled(exceptions: &[Exception], state: ExceptionState) -> HashSet<String> {
    let of_room = exceptions.iter().filter(|told| told.kind == ExceptionKind::Resolved && told.state == state);
    of_room.filter_map(|told| told.origin_event_id.clone()).collect()
}

/// FX-1: an event that waits because nobody answers is given up by a person, who has done it by hand, while the room is trying it again
/// by itself. The calls under way fail: none is done, nor tried any more.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_is_given_up_while_it_is_tried_is_not_done() {
    given_up_while_tried(6).await;
}

/// FX-1: the same with one call at a time. The others wait at their endpoint for a free call, and nobody calls for them.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_is_given_up_while_it_waits_for_a_free_call_is_not_done() {
    given_up_while_tried(1).await;
}

async fn given_up_while_tried(calls_max: usize) {
    let tried = Tried::start(calls_max, "AWAY").await;
    tried.decide(discarded).await;
    let all = |told: &[Exception]| settled(told, ExceptionState::Discarded).len() == 7;
    let told = tried.stack.until::<Exception>("all are settled", all).await;
    tried.running.stop().await;
    assert!(told.iter().all(|told| told.kind != ExceptionKind::Retried), "nobody is told of a try: {told:?}");
    assert_eq!(FileWorld::ledger(&tried.ledger), []);
    assert!(tried.stack.events::<ErpPosting>().await.is_empty());
}

/// FX-1: what a person corrects while the room is trying the event again is not used up by that try, and what waits for a free call
/// is called for as it was corrected.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_is_corrected_while_it_is_tried_is_done_as_it_was_corrected() {
    for calls_max in [6, 1] {
        let tried = Tried::start(calls_max, "AWAY").await;
        let corrected = |raised: Exception| {
            let after = "\"9\"".to_owned();
            let field = CorrectedField { path: "quantity".to_owned(), before: Some("\"1\"".to_owned()), after };
            let (actor, reason) = ("ada".to_owned(), "the unit is another one".to_owned());
            let correction =
                Correction { fields: vec![field], actor, reason, needs_approval: false, ..Correction::default() };
            let (kind, state) = (ExceptionKind::Corrected, ExceptionState::Retrying);
            Exception { kind, state, at: Timestamp(raised.at.0 + 1), correction: Some(correction), ..raised }
        };
        tried.decide(corrected).await;
        let all = |told: &[Exception]| settled(told, ExceptionState::Resolved).len() == 6;
        tried.stack.until::<Exception>("all are done", all).await;
        tried.running.stop().await;
        let ledger = FileWorld::ledger(&tried.ledger);
        assert_eq!(ledger.len(), 6, "{ledger:?}");
        assert!(ledger.iter().all(|(_, line)| line.ends_with(" 9")), "{calls_max}: {ledger:?}");
    }
}

/// FX-1: an event is given up while its call is under way, which has happened when its answer is lost. It is looked up before it is left
/// out: it is on record as done, so that what is said of the same fact later builds on it.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_is_given_up_and_has_happened_is_on_record_as_done() {
    let tried = Tried::start(6, "LOST").await;
    tried.decide(discarded).await;
    let all = |told: &[Exception]| settled(told, ExceptionState::Resolved).len() == 6;
    tried.stack.until::<Exception>("all are told as done", all).await;
    let postings = tried.stack.events::<ErpPosting>().await;
    tried.running.stop().await;
    let ledger = FileWorld::ledger(&tried.ledger);
    assert_eq!((ledger.len(), postings.len()), (6, 6), "each once: {ledger:?}");
}

/// KEY-1, FX-1: an event is given up, and nobody can say what became of its call: the other side does not answer any more. Its key goes
/// on when that was waited for, from the first question on: the person has decided long before, as when the room was down.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_what_is_given_up_and_stays_in_doubt_holds_its_key_up_for_a_while_only() {
    let tried = Tried::start(6, "MUTE").await;
    let behind: Vec<_> = (0..6).map(|number| usage(&format!("enc-away-{number}"), 2, "plain")).collect();
    tried.stack.publish(&behind).await;
    let decided = tick();
    tried.decide(|raised| Exception { at: Timestamp(raised.at.0 - HOUR_MICROS), ..discarded(raised) }).await;
    let all = |told: &[Exception]| settled(told, ExceptionState::Discarded).len() == 7;
    tried.stack.until::<Exception>("all are left out", all).await;
    let asked = tick().since(decided);
    assert!(asked >= Duration::from_millis(DISCARD_WAIT_MS), "left out after {asked:?}");
    tried.stack.until::<ErpPosting>("those behind them", |postings| postings.len() == 6).await;
    tried.running.stop().await;
    let effects = tried.stack.events::<schemas::Effect>().await;
    let in_doubt = effects.iter().filter(|effect| effect.state == schemas::EffectState::Intended);
    assert!(in_doubt.count() >= 6, "reconciliation finds what was tried");
}
