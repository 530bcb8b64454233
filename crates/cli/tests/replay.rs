//! Replays from the command line, on a running system: planned, approved, killed in the middle, resumed (RPL-1, FX-1).

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "test: waits with a bound")]

mod common;

use common::{Place, text};
use runtime::Config;
use runtime::codec::Codec;
use runtime::outgoing::Lineage;
use runtime::publisher::Publisher;
use runtime::reader::{Range, read_range};
use schemas::{Audit, AuditKind, Decimal, EnrichedUsage, Event, EventMeta, Parked};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

const USAGES: usize = 40;
const BOUND: Duration = Duration::from_secs(120);

struct System {
    config: Config,
    codec: Arc<Codec>,
    tokio: tokio::runtime::Runtime,
}

impl System {
    fn new(variables: &[(String, String)]) -> Self {
        let variable = |name: &str| variables.iter().find(|(known, _)| known == name).unwrap().1.clone();
        let mut config = Config::default();
        config.kafka.bootstrap = variable("WARDLINE_KAFKA");
        config.registry.url = variable("WARDLINE_REGISTRY");
        let codec = Arc::new(Codec::new(&config.registry).unwrap());
        Self { config, codec, tokio: tokio::runtime::Runtime::new().unwrap() }
    }

    fn publish(&self, usages: &[EnrichedUsage]) {
        self.tokio.block_on(async {
            let topics = [EnrichedUsage::topic()];
            let publisher = Publisher::connect(&self.config, Arc::clone(&self.codec), &topics).await.unwrap();
            let records: Vec<_> =
                usages.iter().map(|usage| publisher.event(usage, &Lineage::default()).unwrap()).collect();
            publisher.publish(&records).await.unwrap();
        });
    }

    fn events<T: Event>(&self) -> Vec<T> {
        let mut events = Vec::new();
        read_range(&self.config.kafka, &Range::all(T::topic().name), |record| {
            if let Some(value) = record.value.as_deref() {
                let (writer, body) = self.tokio.block_on(self.codec.open(value)).unwrap();
                events.push(schemas::codec::decode(&writer, body).unwrap());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        events
    }
}

fn usage(number: usize) -> EnrichedUsage {
    let text = |text: &str| Some(text.to_owned());
    EnrichedUsage {
        meta: EventMeta {
            event_id: schemas::identity::event_id("test", "replay", &number.to_string(), "usage"),
            business_key: format!("usage/replay/{number}"),
            ..EventMeta::default()
        },
        encounter_ref: format!("enc-{}", number % 8),
        item_id: text("71-400101"),
        base_quantity: Some(Decimal::from(1)),
        base_uom: text("EA"),
        stock_location_id: text("OR1"),
        cost_centre_id: text("CC-OR"),
        currency: text("EUR"),
        ..EnrichedUsage::default()
    }
}

fn until(what: &str, wish: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !wish() {
        assert!(Instant::now() < deadline, "no {what} within {BOUND:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn rpl_1_a_replay_that_is_killed_in_the_middle_goes_on_and_doubles_nothing() {
    let place = Place::new();
    let (up, variables) = place.up("up");
    let command = |arguments: &[&str]| {
        let mut command = place.wardline(arguments);
        command.envs(variables.iter().cloned());
        command
    };
    let run = |arguments: &[&str]| command(arguments).output().unwrap();
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(text(&run(arguments)).trim()).unwrap() };
    let system = System::new(&variables);
    system.publish(&(0..USAGES).map(usage).collect::<Vec<_>>());

    let planning = ["replay", "plan", "erp-post", "--from-time", "2020-01-01T00:00:00Z", "--reason", "a test"];
    let planning = [&planning[..], &["--actor", "Ada", "--json"]].concat();
    let posted = || {
        let planned = run(&planning);
        let plan: Value = serde_json::from_slice(&planned.stdout).unwrap_or_default();
        plan["counts"]["suppressed"] == USAGES
    };
    until("end of the postings", posted);
    let postings = system.events::<schemas::ErpPosting>().len();
    assert_eq!(postings, USAGES);
    let plan = json(&planning);
    let id = plan["replayId"].as_str().unwrap();

    let refused = run(&["replay", "apply", id, "--rate", "4", "--actor", "Ada"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("WL-7155") && said.contains("replay approve"), "{said}");
    assert_eq!(json(&["replay", "approve", id, "--actor", "Bert", "--json"])["state"], "APPROVED");
    let mut child = command(&["replay", "apply", id, "--rate", "8", "--actor", "Ada"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let handed = || json(&["replay", "status", id, "--json"])["handed"].as_u64().unwrap();
    until("record handed over", || handed() >= 4);
    // SIGKILL: its transaction may be open, and it cannot say anything.
    child.kill().unwrap();
    child.wait().unwrap();
    let before = handed();
    assert!(before < USAGES as u64, "killed in the middle");
    assert_eq!(json(&["replay", "status", id, "--json"])["plan"]["state"], "RUNNING");

    let resumed = json(&["replay", "resume", id, "--rate", "500", "--actor", "Ada", "--json"]);
    assert_eq!(resumed["state"], "DONE");
    let mut times: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for parked in system.events::<Parked>() {
        *times.entry((parked.partition, parked.offset)).or_default() += 1;
    }
    assert_eq!(times.len(), USAGES);
    assert!(times.values().all(|times| *times == 1), "each is handed over once: {times:?}");
    until("room that has done all", || json(&["replay", "status", id, "--json"])["stillParked"] == 0);
    let suppressed = system.events::<Audit>().iter().filter(|audit| audit.kind == AuditKind::Suppressed).count();
    assert_eq!(suppressed, USAGES, "each meets its effect once");
    assert_eq!(system.events::<schemas::ErpPosting>().len(), postings, "FX-1: nothing is posted again");

    let listed = text(&run(&["replay", "ls", "--all"]));
    assert!(listed.contains(&id[..8]) && listed.contains("done"), "{listed}");
    let old_form = run(&["replay", "erp-post", "--from-time", "2020-01-01T00:00:00Z"]);
    assert_eq!(old_form.status.code(), Some(2));
    assert!(up.stop("TERM").success());
}
