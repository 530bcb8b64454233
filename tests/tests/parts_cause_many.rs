//! One code that nobody has mapped stops many keys: the console lists the cause at once, two people map the code, and everything
//! that waits goes on once and in order, while the room takes no more memory for more that waits (BND-1, ORD-1, EOS-1, LOSS-1).
//!
//! `WARDLINE_CAUSE_EVENTS` says how many events wait, 20 of each key, 20,000 by default. What was measured is printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "test")]

use operations::crosswalk::{Crosswalk, MappedCode, MappingKind, MappingProposal};
use operations::exceptions::{By, Cause};
use runtime::clock::{Tick, tick};
use runtime::reader::{Range, read_range};
use schemas::{Code, MasterItem, MasterLocation, SupplyUsage, ValidatedUsage};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use testkit::stack::Stack;
use tokio::runtime::Handle;
use wardline_tests::desk::Desk;
use wardline_tests::events::{SOURCE, documented};
use wardline_tests::processes::RoomProcess;

/// The code that nobody has mapped, and what it is.
const CODE: &str = "OLD-4711";
const ITEM: &str = "71-400101";
/// Events of each key.
const OF_KEY: usize = 20;
/// Events that are sent in one go.
const SLICE: usize = 5_000;
/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(600);
/// What a list may take: a person waits for it.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What the same number of keys may take more when four times as many events wait, MB: caches and buffers that fill.
const FLAT_MB: f64 = 64.0;

fn size() -> usize {
    let said = std::env::var("WARDLINE_CAUSE_EVENTS").ok();
    said.map_or(20_000, |text| text.parse().expect("a number"))
}

fn usage(number: usize, keys: usize) -> SupplyUsage {
    let (key, number) = (number % keys, number / keys);
    let code = Code { code: CODE.to_owned(), ..Code::default() };
    SupplyUsage { item_ref: Some(code), ..documented(&format!("enc-{key}"), number, ITEM, "OR1") }
}

/// A hospital with one article and one place, `validate` in a process of its own, and a console.
struct Hospital {
    desk: Desk,
    room: RoomProcess,
}

impl Hospital {
    async fn start() -> Self {
        let stack = Stack::with(|config| config.limits.wait_budget_ms.patient_adjacent = 0).await;
        let item = MasterItem { item_id: ITEM.to_owned(), base_uom: "EA".to_owned(), ..MasterItem::default() };
        stack.publish(&[item]).await;
        stack.publish(&[MasterLocation { location_id: "OR1".to_owned(), ..MasterLocation::default() }]).await;
        let file = stack.dir.path().join("validate.yaml");
        std::fs::write(
            &file,
            serde_json::to_string(&*stack.config).unwrap().replace("\"***\"", "\"a key of the tests\""),
        )
        .unwrap();
        let log = stack.dir.path().join("validate.log");
        let arguments = ["run", validate::NAME, "--config", file.to_str().unwrap()];
        let room = RoomProcess::start(env!("CARGO_BIN_EXE_wardline-under-test"), &arguments, &log);
        let desk = Desk::over(stack, Err("there is none".to_owned()), |_| ()).await;
        Self { desk, room }
    }

    /// Sends usages `from` to `to` and waits until all up to there wait.
    async fn wait_behind(&self, from: usize, to: usize, keys: usize) -> Duration {
        let started = tick();
        for start in (from..to).step_by(SLICE) {
            let slice: Vec<_> = (start..to.min(start + SLICE)).map(|number| usage(number, keys)).collect();
            self.desk.stack.publish(&slice).await;
        }
        self.until("all wait", |causes| causes.first().is_some_and(|cause| cause.events == to)).await;
        tick().since(started)
    }

    async fn until(&self, what: &str, wish: impl Fn(&[Cause]) -> bool) {
        let started = tick();
        let mut changes = self.desk.console.exceptions.changes();
        loop {
            let causes = self.desk.console.exceptions.causes();
            if wish(&causes) {
                return;
            }
            let left = PATIENCE.checked_sub(tick().since(started));
            let left = left.unwrap_or_else(|| panic!("not {what} within {PATIENCE:?}: {causes:?}"));
            tokio::time::timeout(left, changes.changed()).await.expect(what).unwrap();
        }
    }

    /// How long a call of the API takes, and what it answers.
    async fn timed(&self, path: &str) -> (Duration, serde_json::Value) {
        let started = tick();
        let answer = self.desk.api(path).await;
        (tick().since(started), answer)
    }
}

fn by(actor: &str) -> By {
    By { actor: actor.to_owned(), comment: Some("the supplier has new codes".to_owned()), via: "test" }
}

/// Ada says what the code is, and Bert agrees.
async fn map(stack: &Stack) {
    let crosswalk = Crosswalk::new(Arc::clone(&stack.config), Arc::clone(&stack.codec)).unwrap();
    let code = MappedCode { kind: MappingKind::Item, source_system: SOURCE.to_owned(), code: CODE.to_owned() };
    let proposed = crosswalk.set(&code, Some(ITEM), None, &by("Ada")).await.unwrap();
    let seen = MappingProposal::of(&proposed).unwrap().mark;
    crosswalk.approve(&code, Some(&seen), &by("Bert")).await.unwrap();
}

/// What `validate` made of the usages: each once, and each key in order.
async fn check(stack: &Stack, keys: usize) -> usize {
    let (config, codec, handle) = (Arc::clone(&stack.config), Arc::clone(&stack.codec), Handle::current());
    let reading = tokio::task::spawn_blocking(move || {
        let mut next: HashMap<String, usize> = HashMap::with_capacity(keys);
        let topic = <ValidatedUsage as schemas::Event>::topic().name;
        read_range(&config.kafka, &Range::all(topic), |record| {
            let (writer, body) = handle.block_on(codec.open(record.value.as_ref().unwrap())).unwrap();
            let event: ValidatedUsage = schemas::codec::decode(&writer, body).unwrap();
            let next = next.entry(event.encounter_ref.clone()).or_default();
            assert_eq!(
                event.meta.business_key,
                format!("usage/{}/{next}", event.encounter_ref),
                "lost, doubled or out of order"
            );
            assert_eq!(event.item_id.as_deref(), Some(ITEM));
            *next += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(next.values().all(|count| *count == OF_KEY), "LOSS-1");
        assert_eq!(next.len(), keys, "LOSS-1");
        next.len() * OF_KEY
    });
    reading.await.unwrap()
}

fn rate(events: usize, since: Tick) -> f64 {
    f64::from(u32::try_from(events).unwrap()) / tick().since(since).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mapping_lets_all_go_that_wait_behind_a_code_and_lists_stay_quick() {
    let (events, keys) = (size(), size() / OF_KEY);
    let hospital = Hospital::start().await;
    let quarter = events / 4;
    hospital.wait_behind(0, quarter, keys).await;
    let few = hospital.room.memory_mb();
    let took = hospital.wait_behind(quarter, events, keys).await;
    let many = hospital.room.memory_mb();
    println!(
        "{:.0} events/s parked; room {few:.0} MB with {quarter} waiting, {many:.0} MB with {events}",
        f64::from(u32::try_from(events - quarter).unwrap()) / took.as_secs_f64()
    );
    assert!(many - few < FLAT_MB, "BND-1: {few} MB became {many} MB");

    let (took, causes) = hospital.timed("/causes").await;
    assert!(took < AT_ONCE, "the causes took {took:?}");
    let cause = &causes["causes"][0];
    assert_eq!(
        (cause["events"].as_u64(), cause["keys"].as_u64()),
        (Some(events as u64), Some(keys as u64)),
        "{cause:#}"
    );
    let all = causes["causes"].as_array().unwrap().len();
    assert_eq!((all, cause["code"].as_str()), (1, Some("WL-4002")), "one item per cause");
    println!("causes {took:?}");
    let (took, listed) = hospital.timed("/exceptions").await;
    assert!(took < AT_ONCE, "the exceptions took {took:?}");
    assert_eq!(listed["total"].as_u64(), Some(keys as u64));
    println!("exceptions {took:?}");
    let id = listed["rows"][0]["exceptionId"].as_str().unwrap();
    let (took, _) = hospital.timed(&format!("/exceptions/{id}")).await;
    assert!(took < AT_ONCE, "an exception took {took:?}");
    println!("one exception {took:?}");

    let started = tick();
    map(&hospital.desk.stack).await;
    // An exception is settled when its event has gone; those behind it follow.
    let view = &hospital.desk.console.exceptions;
    hospital.until("nothing waits any more", |causes| causes.is_empty() && view.stopped().is_empty()).await;
    println!(
        "{:.0} events/s let go; room {:.0} MB after it, {:.0} MB at most",
        rate(events, started),
        hospital.room.memory_mb(),
        hospital.room.peak_memory_mb()
    );
    assert_eq!(check(&hospital.desk.stack, keys).await, events);
    hospital.room.terminate();
}
