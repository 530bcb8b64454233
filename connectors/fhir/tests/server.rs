//! The room against a real FHIR server (HAPI), real Kafka and a real registry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use components::{Hapi, HapiOptions, Installation, Kafka, KafkaOptions, Part, Progress, Registry, RegistryOptions};
use runtime::admin::{Cluster, apply_topics, plan_topics};
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::health::Health;
use runtime::reader::{Range, read_range};
use runtime::{RoomError, ShutdownTrigger, run_rooms, shutdown};
use schemas::{Action, Encounter, Event, Exception, Receipt, ReceiptOutcome, SupplyUsage};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(90);

/// The real parts, and a configuration that points at them.
struct Stack {
    _dir: TempDir,
    _kafka: Kafka,
    _registry: Registry,
    hapi: Hapi,
    config: Arc<Config>,
    codec: Codec,
    http: reqwest::Client,
}

/// The room while it runs.
struct Running {
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), RoomError>>,
}

impl Stack {
    async fn start() -> Self {
        let parts = tokio::task::spawn_blocking(|| {
            let dir = TempDir::new().unwrap();
            let wanted = [Part::Kafka, Part::Registry, Part::Fhir];
            let installation = Installation::ensure(&wanted, &Progress::stderr()).unwrap();
            let kafka = Kafka::start(&installation, KafkaOptions::in_dir(dir.path().join("kafka"))).unwrap();
            let registry =
                Registry::start(&installation, RegistryOptions::in_dir(dir.path().join("registry"))).unwrap();
            let hapi = Hapi::start(&installation, HapiOptions::in_dir(dir.path().join("hapi"))).unwrap();
            (dir, kafka, registry, hapi)
        });
        let (dir, kafka, registry, hapi) = parts.await.unwrap();
        let mut config = Config::default();
        config.kafka.bootstrap = kafka.bootstrap();
        config.kafka.transaction_timeout_ms = 10_000;
        config.registry.url = registry.url();
        let room = json!({"base_url": hapi.url(), "poll_interval_ms": 200, "page_size": 3});
        config.rooms.insert("fhir".to_owned(), room);
        let cluster = Cluster { kafka: config.kafka.clone(), registry: config.registry.clone(), replication: 1 };
        let catalogue = schemas::catalogue::parse(include_str!("../../../topics.yaml")).unwrap();
        let changes = plan_topics(&catalogue, &cluster).await.unwrap();
        apply_topics(&changes, &cluster).await.unwrap();
        let codec = Codec::new(&config.registry).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { _dir: dir, _kafka: kafka, _registry: registry, hapi, config: Arc::new(config), codec, http }
    }

    async fn run(&self) -> Running {
        let (trigger, stop) = shutdown();
        let health = Health::new();
        let (config, known) = (Arc::clone(&self.config), health.clone());
        let task = tokio::spawn(async move { run_rooms(config, vec![wardline_fhir::room()], &known, stop).await });
        tokio::time::timeout(PATIENCE, health.wait_ready()).await.expect("the room is ready in time").unwrap();
        Running { trigger, task }
    }

    async fn put(&self, resource: Value) {
        let (kind, id) = (resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let url = format!("{}/{kind}/{id}", self.hapi.url());
        let request = self.http.put(url).header("content-type", "application/fhir+json").body(resource.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{kind}/{id}: {} {}", answer.status(), answer.text().await.unwrap());
    }

    async fn delete(&self, name: &str) {
        let answer = self.http.delete(format!("{}/{name}", self.hapi.url())).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.status());
    }

    async fn events<T: Event>(&self) -> Vec<T> {
        let config = Arc::clone(&self.config);
        let reading = tokio::task::spawn_blocking(move || {
            let mut values = Vec::new();
            read_range(&config.kafka, &Range::all(T::topic().name), |record| {
                values.extend(record.value);
                ControlFlow::Continue(())
            })
            .unwrap();
            values
        });
        let mut events = Vec::new();
        for value in reading.await.unwrap() {
            let (writer, body) = self.codec.open(&value).await.unwrap();
            events.push(schemas::codec::decode(&writer, body).unwrap());
        }
        events
    }

    async fn until<T: Event>(&self, what: &str, wish: impl Fn(&[T]) -> bool) -> Vec<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let events = self.events::<T>().await;
            if wish(&events) {
                return events;
            }
            assert!(tokio::time::Instant::now() < deadline, "no {what} within {PATIENCE:?}: {events:?}");
        }
    }

    /// Waits until the version of a resource has its receipt.
    async fn received(&self, name: &str, version: u32) -> Receipt {
        let message_id = format!("{name}/_history/{version}");
        let receipts = self
            .until::<Receipt>(&message_id, |receipts| receipts.iter().any(|receipt| receipt.message_id == message_id))
            .await;
        let mut found = receipts.into_iter().filter(|receipt| receipt.message_id == message_id);
        let receipt = found.next().unwrap();
        assert!(found.next().is_none(), "{message_id} was consumed twice");
        receipt
    }
}

impl Running {
    /// As a crash: nothing is finished, an open transaction stays open.
    async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|ended| ended.is_cancelled()), "the room had ended before");
    }

    async fn stop(self) {
        self.trigger.stop();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the room stops in time").unwrap().unwrap();
    }
}

async fn hospital(stack: &Stack) {
    for (kind, id) in [("Patient", "p1"), ("Location", "OR1"), ("Practitioner", "s1")] {
        stack.put(json!({"resourceType": kind, "id": id})).await;
    }
    stack
        .put(json!({"resourceType": "Encounter", "id": "e1", "status": "in-progress", "class": {"code": "IMP"},
            "identifier": [{"type": {"coding": [{"code": "VN"}]}, "value": "V1"}],
            "subject": {"reference": "Patient/p1"}, "location": [{"location": {"reference": "Location/OR1"}}]}))
        .await;
    stack
        .put(json!({"resourceType": "Device", "id": "d1", "lotNumber": "LOT71A", "serialNumber": "SN710001",
            "udiCarrier": [{"carrierHRF": "(01)00844588003288(17)281130(10)LOT71A(21)SN710001"}]}))
        .await;
}

fn procedure(status: &str) -> Value {
    json!({"resourceType": "Procedure", "id": "pr1", "status": status, "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"}, "location": {"reference": "Location/OR1"},
        "performedDateTime": "2026-09-14T10:00:00-05:00",
        "focalDevice": [{"action": {"coding": [{"code": "implanted"}]}, "manipulated": {"reference": "Device/d1"}}]})
}

fn charge() -> Value {
    json!({"resourceType": "ChargeItem", "id": "c1", "status": "billable", "code": {"text": "implant"},
        "subject": {"reference": "Patient/p1"}, "context": {"reference": "Encounter/e1"}, "quantity": {"value": 1},
        "productReference": {"reference": "Device/d1"}})
}

/// Stores many procedures at once.
async fn store_procedures(stack: &Stack, count: usize) {
    let entry = |number: usize| {
        let id = format!("many{number}");
        json!({"request": {"method": "PUT", "url": format!("Procedure/{id}")},
            "resource": {"resourceType": "Procedure", "id": id, "status": "completed",
                "subject": {"reference": "Patient/p1"}, "encounter": {"reference": "Encounter/e1"},
                "usedCode": [{"coding": [{"code": "71-100777"}]}]}})
    };
    let entries: Vec<Value> = (0..count).map(entry).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string();
    let request = stack.http.post(stack.hapi.url()).header("content-type", "application/fhir+json").body(bundle);
    assert!(request.send().await.unwrap().status().is_success());
}

/// EOS-1: a crash between two pages, or in the middle of one, neither repeats nor loses anything.
async fn crash_among_many(stack: &Stack) {
    const COUNT: usize = 40;
    let many = |receipts: &[Receipt]| {
        receipts.iter().filter(|receipt| receipt.message_id.starts_with("Procedure/many")).count()
    };
    let running = stack.run().await;
    store_procedures(stack, COUNT).await;
    stack.until::<Receipt>("first receipts", |receipts| many(receipts) >= 3).await;
    running.crash().await;
    let running = stack.run().await;
    stack.until::<Receipt>("all receipts", |receipts| many(receipts) >= COUNT).await;
    running.stop().await;
    assert_eq!(many(&stack.events::<Receipt>().await), COUNT, "a version was consumed twice");
    let usages = stack.events::<SupplyUsage>().await;
    let gloves: Vec<_> = usages.iter().filter(|usage| usage.udi.is_none()).collect();
    let keys: HashSet<_> = gloves.iter().map(|usage| usage.meta.business_key.as_str()).collect();
    assert_eq!((gloves.len(), keys.len()), (COUNT, COUNT));
}

/// LOSS-1, EOS-1: one implant is one usage, a restart repeats nothing, deletions and late versions are seen.
#[tokio::test(flavor = "multi_thread")]
async fn one_implant_is_one_usage_through_restarts_and_deletions() {
    let stack = Stack::start().await;
    hospital(&stack).await;
    stack.put(procedure("completed")).await;
    stack.put(charge()).await;
    let running = stack.run().await;

    let receipt = stack.received("Procedure/pr1", 1).await;
    assert_eq!(receipt.outcome, ReceiptOutcome::Events);
    let told = stack.received("ChargeItem/c1", 1).await;
    assert_eq!((told.outcome, told.rule.as_deref()), (ReceiptOutcome::Dropped, Some("usage.already-told")));
    assert_eq!(told.event_ids, receipt.event_ids);
    let usages = stack.events::<SupplyUsage>().await;
    assert_eq!(usages.len(), 1, "{usages:?}");
    assert_eq!((usages[0].lot.as_deref(), usages[0].serial.as_deref()), (Some("LOT71A"), Some("SN710001")));
    let stays = stack.events::<Encounter>().await;
    assert_eq!(stays.len(), 1);
    assert_eq!(stays[0].encounter_ref, usages[0].encounter_ref);

    // While nobody looks, the same implant is stated once more and something cannot be mapped.
    running.stop().await;
    stack
        .put(json!({"resourceType": "DeviceUseStatement", "id": "u1", "status": "active",
            "subject": {"reference": "Patient/p1"}, "device": {"reference": "Device/d1"}}))
        .await;
    stack
        .put(json!({"resourceType": "Encounter", "id": "e2", "status": "in-progress", "class": {"code": "IMP"},
            "modifierExtension": [{"url": "http://unknown.example/x", "valueBoolean": true}]}))
        .await;
    let running = stack.run().await;
    assert_eq!(stack.received("DeviceUseStatement/u1", 1).await.outcome, ReceiptOutcome::Dropped);
    assert_eq!(stack.received("Encounter/e2", 1).await.outcome, ReceiptOutcome::Exception);
    let exceptions = stack.events::<Exception>().await;
    assert_eq!((exceptions.len(), exceptions[0].code.as_str()), (1, "WL-2005"));
    let raw: Value = serde_json::from_slice(exceptions[0].raw_value.as_ref().unwrap().as_slice()).unwrap();
    assert_eq!(raw["id"], "e2");

    // Nobody states the implant any more.
    stack.delete("ChargeItem/c1").await;
    stack.delete("DeviceUseStatement/u1").await;
    stack.received("ChargeItem/c1", 2).await;
    stack.received("DeviceUseStatement/u1", 2).await;
    assert_eq!(stack.events::<SupplyUsage>().await.len(), 1);
    stack.put(procedure("entered-in-error")).await;
    stack.received("Procedure/pr1", 2).await;
    running.stop().await;

    let usages = stack.events::<SupplyUsage>().await;
    let told: Vec<_> = usages.iter().map(|usage| (usage.meta.action, usage.meta.revision)).collect();
    assert_eq!(told, [(Action::Create, 0), (Action::Retract, 1)]);
    assert_eq!(usages[0].meta.business_key, usages[1].meta.business_key);
    let receipts = stack.events::<Receipt>().await;
    let once: HashSet<_> = receipts.iter().map(|receipt| receipt.message_id.as_str()).collect();
    assert_eq!(once.len(), receipts.len(), "a version was consumed twice");

    crash_among_many(&stack).await;
}
