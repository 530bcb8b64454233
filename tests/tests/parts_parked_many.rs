//! Many parked events of many keys behind one cause: one fix lets all of them go, each once and in order, also when the room dies
//! in the middle of it. The fixture is `parts_transactional_loop.rs` in large.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use processor::laws::{check_once, check_order};
use schemas::{Parked, SupplyUsage, ValidatedUsage, topics};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use testkit::stack::Stack;
use testkit::{until, until_found};
use wardline_tests::events::{item, usage};
use wardline_tests::processes::RoomProcess;
use wardline_tests::toys;

const KEYS: usize = 1_000;
const EVENTS: usize = 20_000;

struct Room {
    config: PathBuf,
    log: PathBuf,
}

impl Room {
    fn new(stack: &Stack) -> Self {
        let config = stack.dir.path().join("wardline.yaml");
        std::fs::write(&config, serde_json::to_string(&*stack.config).unwrap().replace("\"***\"", "\"key\"")).unwrap();
        Self { config, log: stack.dir.path().join("toy.log") }
    }

    fn start(&self) -> RoomProcess {
        let arguments = [toys::VALIDATE, text(&self.config), "-"];
        RoomProcess::start(env!("CARGO_BIN_EXE_toy-room"), &arguments, &self.log)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Key and number of an event.
fn named(encounter: &str, quantity: &schemas::Decimal) -> (String, String) {
    (encounter.to_owned(), quantity.normalize().to_string())
}

/// ORD-1, EOS-1, LOSS-1, KEY-1: of each key only four places are held, so that most events are found again by reading on; the room is
/// killed while they are let go. Another key flows all the while.
#[tokio::test(flavor = "multi_thread")]
async fn ord_1_many_parked_events_are_let_go_once_and_in_order_through_a_crash() {
    let stack = Stack::with(|config| config.limits.parked_places_max = 4).await;
    let room = Room::new(&stack);
    let process = room.start();
    let mut sent: Vec<SupplyUsage> = Vec::new();
    for part in 0..4 {
        let numbers = part * EVENTS / 4..(part + 1) * EVENTS / 4;
        let events: Vec<_> =
            numbers.map(|number| usage(&format!("enc-{}", number % KEYS), number / KEYS, "ITEM-1")).collect();
        stack.publish(&events).await;
        sent.extend(events);
    }
    let waiting = async || stack.records(topics::OPS_PARKED_V1.name()).await.len();
    until_found("all are parked", async || (waiting().await >= EVENTS).then_some(())).await;
    stack.publish(&[usage("enc-free", 1, "plain")]).await;
    let free = |events: &[ValidatedUsage]| events.iter().any(|event| event.encounter_ref == "enc-free");
    stack.until::<ValidatedUsage>("another key while all wait", free).await;

    stack.publish(&[item("ITEM-1")]).await;
    stack.until::<ValidatedUsage>("the first of them", |events| events.len() > 100).await;
    process.kill();
    let before = stack.events::<ValidatedUsage>().await.len();
    assert!(before < EVENTS, "it was killed too late: {before}");
    let process = room.start();
    stack.publish(&[usage("enc-free", 2, "plain")]).await;
    let events = stack.until::<ValidatedUsage>("all of them", |events| events.len() >= EVENTS + 2).await;

    let inputs: Vec<_> = sent.iter().map(|usage| named(&usage.encounter_ref, &usage.quantity)).collect();
    let outputs: Vec<_> = events
        .iter()
        .filter(|event| event.encounter_ref != "enc-free")
        .map(|event| named(&event.encounter_ref, &event.quantity))
        .collect();
    let violations = check_order(pairs(&inputs), pairs(&outputs));
    assert!(violations.is_empty(), "{violations:?}");
    assert_eq!(outputs.len(), EVENTS, "LOSS-1");
    let doubled = check_once(events.iter().map(|event| event.meta.event_id.as_str()));
    assert!(doubled.is_empty(), "{doubled:?}");

    until_found("the lot is empty", async || is_empty(&stack).await.then_some(())).await;
    process.kill();
}

fn pairs(all: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    all.iter().map(|(key, id)| (key.as_str(), id.as_str()))
}

async fn is_empty(stack: &Stack) -> bool {
    let mut lot: HashMap<Vec<u8>, bool> = HashMap::new();
    for record in stack.records(topics::OPS_PARKED_V1.name()).await {
        lot.insert(record.key.unwrap().to_vec(), record.value.is_some());
    }
    lot.len() == EVENTS && lot.values().all(|waits| !waits)
}

/// BND-1, LOSS-1: when as many keys are parked as may be, nothing more is taken in; and when the cause goes, everything comes out.
#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_a_worker_that_can_park_no_more_keys_goes_on_when_they_leave() {
    let stack = Stack::with(|config| config.limits.parked_max = 10).await;
    let room = Room::new(&stack);
    let process = room.start();
    let usages: Vec<_> = (0..60).map(|number| usage(&format!("enc-{}", number % 30), number / 30, "ITEM-1")).collect();
    stack.publish(&usages).await;
    until("it says so", || std::fs::read_to_string(&room.log).is_ok_and(|log| log.contains("WL-6030"))).await;
    let keys = async || {
        let parked = stack.events::<Parked>().await;
        parked.into_iter().map(|parked| parked.key).collect::<HashSet<_>>().len()
    };
    until_found("as many are parked as may be", async || (keys().await >= 10).then_some(())).await;
    assert_eq!(keys().await, 10);

    stack.publish(&[item("ITEM-1")]).await;
    let events = stack.until::<ValidatedUsage>("all of them", |events| events.len() >= 60).await;
    let doubled = check_once(events.iter().map(|event| event.meta.event_id.as_str()));
    assert!(doubled.is_empty() && events.len() == 60, "{doubled:?}");
    process.kill();
}
