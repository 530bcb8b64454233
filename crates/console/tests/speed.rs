//! Pages answer in time whatever waits: a million parked events of 50,000 keys behind one cause, and thousands of causes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::print_stdout, reason = "tests")]

mod common;

use common::{Browser, Place, exception};
use console::ConsoleConfig;
use operations::exceptions::Origin;
use operations::messages::MessageId;
use operations::replay::ReplayRoom;
use runtime::outgoing::Outgoing;
use runtime::{RoomInfo, RoomKind, source_bytes};
use schemas::{Exception, Replay, ReplayCounts, ReplaySpan, ReplayState, Subject, Timestamp, topics};
use std::borrow::Cow;
use std::time::{Duration, Instant};

const EVENTS: usize = 1_000_000;
const KEYS: usize = 50_000;
const CAUSES: usize = 5_000;
/// What a person takes for at once. A build without optimisation, on a machine that has other work, gets more.
const WITHIN: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_500 } else { 100 });
/// A trace is looked for on the topics themselves, and nothing of them is held: the page says at once that it is looked for.
const SEARCHED_WITHIN: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10_000 } else { 1_000 });
/// Rounds over all pages.
const ROUNDS: usize = if cfg!(debug_assertions) { 10 } else { 100 };
const TOPIC: &str = "supply.usage-validated.v1";

fn key(number: usize) -> String {
    format!("enc_k5u2y6nhq4c7w3zmd2rfx6jtn5vao4b{number:06}")
}

/// One exception for each key, all of one cause, and as many causes more with one each.
fn exceptions() -> impl Iterator<Item = Exception> {
    let now = runtime::clock::now_micros();
    (0..KEYS + CAUSES).map(move |number| {
        let at = Timestamp(now - i64::try_from(number % 86_400).unwrap() * 1_000_000);
        let mut one = exception(1_000_000 + number, TOPIC);
        one.origin_key = Some(key(number).into_bytes().into());
        (one.raised_at, one.at) = (at, at);
        if number >= KEYS {
            one.subject = Some(Subject { kind: "master.item.v1".to_owned(), key: format!("item-{number}") });
        }
        one
    })
}

fn parked() -> impl Iterator<Item = (Origin<'static>, String)> {
    (0..EVENTS).map(|number| {
        let partition = i32::try_from(number % 6).unwrap();
        let offset = i64::try_from(number).unwrap();
        (Origin { room: "validate", topic: TOPIC, partition, offset }, key(number % KEYS))
    })
}

/// A dead letter and a message among a thousand others; says what they are called.
async fn raw(place: &Place) -> (String, MessageId) {
    let letter = |_| Outgoing {
        topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
        partition: Some(0),
        key: None,
        value: Some(bytes::Bytes::from_static(b"MSH|^~\\&|EHR")),
        headers: vec![("wl_code".into(), Some(bytes::Bytes::from_static(b"WL-1001")))],
        ticket: None,
    };
    place.stack.publish_raw(&(0..1_000).map(letter).collect::<Vec<_>>()).await;
    let id = |number: usize| MessageId::of(&format!("{number:064x}"), runtime::clock::now_micros()).unwrap();
    let kept = |number: usize| {
        let hash = id(number).content_hash;
        source_bytes::records(&hash, &[b'x'; 2_000], "application/hl7-v2", None).collect::<Vec<_>>()
    };
    place.stack.publish_raw(&(0..1_000).flat_map(kept).collect::<Vec<_>>()).await;
    ("0@500".to_owned(), id(500))
}

/// A replay that is under way, of six partitions; says what it is called.
async fn replay(place: &Place) -> String {
    let now = runtime::clock::now_micros();
    let span = |partition| ReplaySpan {
        partition,
        start: 0,
        end: 200_000,
        records: 166_000,
        handed: 60_000,
        ..ReplaySpan::default()
    };
    let plan = Replay {
        replay_id: "0f2b7c3e-9d0a-5b7e-8a51-0f3c2f9f1a77".to_owned(),
        state: ReplayState::Running,
        room: "validate".to_owned(),
        topic: topics::CLINICAL_SUPPLY_USAGE_V1.name().to_owned(),
        counts: ReplayCounts { records: 996_000, keys: 50_000, ..ReplayCounts::default() },
        spans: (0..6).map(span).collect(),
        reason: "the mapping of theatre 7 was wrong".to_owned(),
        planned_by: "olga".to_owned(),
        planned_at: Timestamp(now - 120_000_000),
        approved_by: Some("anna".to_owned()),
        started_at: Some(Timestamp(now - 60_000_000)),
        actor: "olga".to_owned(),
        at: Timestamp(now),
        rate: 1_000,
        ..Replay::default()
    };
    place.stack.publish(std::slice::from_ref(&plan)).await;
    plan.replay_id
}

/// Rooms that read, as the console before them knows them.
fn rooms() -> Vec<ReplayRoom> {
    let room = |name, kind, reads: &[&'static str], writes: &[&'static str]| {
        let (reads, writes) = (reads.to_vec(), writes.to_vec());
        let info = RoomInfo { name, purpose: "a room", kind, reads, looks_up: Vec::new(), writes };
        ReplayRoom { info, foresee: None, shadow: None }
    };
    let (usage, validated, enriched) =
        (topics::CLINICAL_SUPPLY_USAGE_V1.name(), TOPIC, topics::SUPPLY_USAGE_ENRICHED_V1.name());
    vec![
        room("validate", RoomKind::Processor, &[usage], &[validated]),
        room("enrich", RoomKind::Processor, &[validated], &[enriched]),
        room("erp-post", RoomKind::Effect, &[enriched], &[]),
        room("supplier-fanout", RoomKind::Effect, &[enriched], &[]),
        room("analytics", RoomKind::Sink, &[enriched], &[]),
    ]
}

/// Asks every page in turn, and says how long each of these takes in 99 of 100 cases.
async fn ask(browser: &Browser<'_>, paths: &[String]) -> Vec<(String, Duration)> {
    let mut took: Vec<Vec<Duration>> = vec![Vec::with_capacity(ROUNDS); paths.len()];
    for _ in 0..ROUNDS {
        for (path, took) in paths.iter().zip(&mut took) {
            let started = Instant::now();
            let answer = browser.get(path).await;
            took.push(started.elapsed());
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        }
    }
    let slowest = |mut took: Vec<Duration>| {
        took.sort_unstable();
        took[(took.len() * 99).div_ceil(100) - 1]
    };
    paths.iter().cloned().zip(took.into_iter().map(slowest)).collect()
}

/// Pages, and lists as people ask for them.
fn paths(exception: &str) -> Vec<String> {
    let subject = "subject=master.item.v1%2F4711";
    [
        "/".to_owned(),
        "/exceptions".to_owned(),
        format!("/exceptions?code=WL-4001&room=validate&{subject}"),
        format!("/exceptions?code=WL-4001&{subject}&page=900"),
        "/exceptions?state=all&order=newest".to_owned(),
        "/exceptions?state=overdue".to_owned(),
        "/exceptions?state=to-approve".to_owned(),
        "/exceptions?assignee=olga".to_owned(),
        format!("/exceptions/{exception}"),
        // The start of an id is looked for among all.
        format!("/exceptions/{}", &exception[..35]),
        "/service-levels".to_owned(),
        "/activity".to_owned(),
        "/reconciliation".to_owned(),
        "/replay".to_owned(),
        "/dead-letters".to_owned(),
        "/audit".to_owned(),
        "/topics".to_owned(),
        format!("/topics/{TOPIC}"),
        "/errors/WL-4001".to_owned(),
        "/groups".to_owned(),
        "/groups/validate".to_owned(),
        "/replay/shadow".to_owned(),
        "/crosswalk".to_owned(),
        "/trace".to_owned(),
    ]
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_in_time_with_a_million_parked_events() {
    let cached_ms = ConsoleConfig::default().bounds.cached_ms;
    let place = Place::before(rooms(), |config| {
        config.bounds.cached_ms = cached_ms;
        config.service_levels = true;
    })
    .await;
    let real = exception(1, TOPIC);
    place.raise(std::slice::from_ref(&real)).await;
    place.console.exceptions.preload(exceptions(), parked());
    let ((letter, message), replay) = (raw(&place).await, replay(&place).await);
    let browser = place.browser("olga").await;
    let trace = format!("/trace?id={}&as=exception", real.exception_id);
    let mut paths = paths(&real.exception_id);
    paths.extend([
        format!("/replay/{replay}"),
        format!("/dead-letters/{letter}"),
        format!("/messages/{message}"),
        trace.clone(),
    ]);
    let mut late = Vec::new();
    // The first look connects and reads: whoever looks is told so at once. From then on pages answer from what is held.
    for path in &paths {
        let started = Instant::now();
        let answer = browser.first(path).await;
        let took = started.elapsed();
        let is_whole = !answer.text.contains("id=\"later\"");
        assert!(answer.status == 200 && (is_whole || answer.text.contains("data-live=\"400\"")), "{}", answer.text);
        browser.get(path).await;
        let what = if is_whole { "the page" } else { "that it is being read" };
        println!("first look at {path}: {what} after {took:?}, the page after {:?}", started.elapsed());
        if took > WITHIN {
            late.push(format!("the first look at {path} took {took:?}"));
        }
    }
    let overview = browser.get("/").await.text;
    assert!(overview.contains("1\u{202f}000\u{202f}000"), "{overview}");
    for (path, took) in ask(&browser, &paths).await {
        println!("{path}: {took:?}");
        if took > WITHIN {
            late.push(format!("{path} took {took:?}"));
        }
    }
    let started = Instant::now();
    let found = browser.whole(&trace).await.text;
    println!("the search for {trace}: {:?}", started.elapsed());
    assert!(found.contains("Found as exception"), "{found}");
    if started.elapsed() > SEARCHED_WITHIN {
        late.push(format!("the search for {trace} took {:?}", started.elapsed()));
    }
    assert!(late.is_empty(), "{late:?}");
}
