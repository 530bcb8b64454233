//! The room against a FHIR server, a broker and a registry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use schemas::{Action, Encounter, Exception, Receipt, ReceiptOutcome, SupplyUsage, topics};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;
use testkit::held::Held;
use testkit::parts::Fhir;
use testkit::stack::{Running, Stack};

/// A stack with a FHIR server.
struct Clinic {
    stack: Stack,
    fhir: Fhir,
    http: reqwest::Client,
}

impl Clinic {
    async fn start() -> Self {
        let mut stack = Stack::start().await;
        let dir = stack.dir.path().join("fhir");
        let fhir = tokio::task::spawn_blocking(move || Fhir::start(&dir)).await.unwrap();
        stack.configure("fhir", json!({"base_url": fhir.url(), "poll_interval_ms": 200, "page_size": 3}));
        Self { stack, fhir, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn run(&self) -> Running {
        self.stack.run(vec![wardline_fhir::room()]).await
    }

    async fn put(&self, resource: Value) {
        let (kind, id) = (resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let url = format!("{}/{kind}/{id}", self.fhir.url());
        let request = self.http.put(url).header("content-type", "application/fhir+json").body(resource.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{kind}/{id}: {} {}", answer.status(), answer.text().await.unwrap());
    }

    async fn delete(&self, name: &str) {
        let answer = self.http.delete(format!("{}/{name}", self.fhir.url())).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.status());
    }

    /// Waits until the version of a resource has its receipt.
    async fn received(&self, name: &str, version: u32) -> Receipt {
        let message_id = format!("{name}/_history/{version}");
        let receipts = self
            .stack
            .until::<Receipt>(&message_id, |receipts| receipts.iter().any(|receipt| receipt.message_id == message_id))
            .await;
        let mut found = receipts.into_iter().filter(|receipt| receipt.message_id == message_id);
        let receipt = found.next().unwrap();
        assert!(found.next().is_none(), "{message_id} was consumed twice");
        receipt
    }
}

async fn hospital(clinic: &Clinic) {
    for (kind, id) in [("Patient", "p1"), ("Location", "OR1"), ("Practitioner", "s1")] {
        clinic.put(json!({"resourceType": kind, "id": id})).await;
    }
    clinic
        .put(json!({"resourceType": "Encounter", "id": "e1", "status": "in-progress", "class": {"code": "IMP"},
            "identifier": [{"type": {"coding": [{"code": "VN"}]}, "value": "V1"}],
            "subject": {"reference": "Patient/p1"}, "location": [{"location": {"reference": "Location/OR1"}}]}))
        .await;
    clinic
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
async fn store_procedures(clinic: &Clinic, count: usize) {
    let entry = |number: usize| {
        let id = format!("many{number}");
        json!({"request": {"method": "PUT", "url": format!("Procedure/{id}")},
            "resource": {"resourceType": "Procedure", "id": id, "status": "completed",
                "subject": {"reference": "Patient/p1"}, "encounter": {"reference": "Encounter/e1"},
                "usedCode": [{"coding": [{"code": "71-100777"}]}]}})
    };
    let entries: Vec<Value> = (0..count).map(entry).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string();
    let request = clinic.http.post(clinic.fhir.url()).header("content-type", "application/fhir+json").body(bundle);
    assert!(request.send().await.unwrap().status().is_success());
}

/// EOS-1: a crash between two pages, or in the middle of one, neither repeats nor loses anything.
async fn crash_among_many(clinic: &Clinic) {
    const COUNT: usize = 40;
    let many = |receipts: &[Receipt]| {
        receipts.iter().filter(|receipt| receipt.message_id.starts_with("Procedure/many")).count()
    };
    let running = clinic.run().await;
    store_procedures(clinic, COUNT).await;
    clinic.stack.until::<Receipt>("first receipts", |receipts| many(receipts) >= 3).await;
    running.crash().await;
    let running = clinic.run().await;
    clinic.stack.until::<Receipt>("all receipts", |receipts| many(receipts) >= COUNT).await;
    running.stop().await;
    assert_eq!(many(&clinic.stack.events::<Receipt>().await), COUNT, "a version was consumed twice");
    let usages = clinic.stack.events::<SupplyUsage>().await;
    let gloves: Vec<_> = usages.iter().filter(|usage| usage.udi.is_none()).collect();
    let keys: HashSet<_> = gloves.iter().map(|usage| usage.meta.business_key.as_str()).collect();
    assert_eq!((gloves.len(), keys.len()), (COUNT, COUNT));
}

/// LOSS-1, EOS-1: one implant is one usage, a restart repeats nothing, deletions and late versions are seen.
#[tokio::test(flavor = "multi_thread")]
async fn one_implant_is_one_usage_through_restarts_and_deletions() {
    let clinic = Clinic::start().await;
    hospital(&clinic).await;
    clinic.put(procedure("completed")).await;
    clinic.put(charge()).await;
    let running = clinic.run().await;

    let receipt = clinic.received("Procedure/pr1", 1).await;
    assert_eq!(receipt.outcome, ReceiptOutcome::Events);
    let told = clinic.received("ChargeItem/c1", 1).await;
    assert_eq!((told.outcome, told.rule.as_deref()), (ReceiptOutcome::Dropped, Some("usage.already-told")));
    assert_eq!(told.event_ids, receipt.event_ids);
    let usages = clinic.stack.events::<SupplyUsage>().await;
    assert_eq!(usages.len(), 1, "{usages:?}");
    assert_eq!((usages[0].lot.as_deref(), usages[0].serial.as_deref()), (Some("LOT71A"), Some("SN710001")));
    // RAW-1: each resource is kept as it came, under the digest that its receipt and its events name.
    let kept = clinic.stack.records(topics::OPS_SOURCE_V1.name()).await;
    for hash in [&usages[0].meta.source.content_hash, &told.content_hash] {
        let resource = kept.iter().find(|record| record.key.as_deref() == Some(hash.as_bytes())).unwrap();
        let resource: Value = serde_json::from_slice(resource.value.as_deref().unwrap()).unwrap();
        assert!(matches!(resource["id"].as_str(), Some("pr1" | "c1")), "{resource}");
    }
    let stays = clinic.stack.events::<Encounter>().await;
    assert_eq!(stays.len(), 1);
    assert_eq!(stays[0].encounter_ref, usages[0].encounter_ref);

    // While nobody looks, the same implant is stated once more and something cannot be mapped.
    running.stop().await;
    clinic
        .put(json!({"resourceType": "DeviceUseStatement", "id": "u1", "status": "active",
            "subject": {"reference": "Patient/p1"}, "device": {"reference": "Device/d1"}}))
        .await;
    clinic
        .put(json!({"resourceType": "Encounter", "id": "e2", "status": "in-progress", "class": {"code": "IMP"},
            "modifierExtension": [{"url": "http://unknown.example/x", "valueBoolean": true}]}))
        .await;
    let running = clinic.run().await;
    assert_eq!(clinic.received("DeviceUseStatement/u1", 1).await.outcome, ReceiptOutcome::Dropped);
    assert_eq!(clinic.received("Encounter/e2", 1).await.outcome, ReceiptOutcome::Exception);
    let exceptions = clinic.stack.events::<Exception>().await;
    assert_eq!((exceptions.len(), exceptions[0].code.as_str()), (1, "WL-2005"));
    let raw: Value = serde_json::from_slice(exceptions[0].raw_value.as_ref().unwrap().as_slice()).unwrap();
    assert_eq!(raw["id"], "e2");

    // Nobody states the implant any more.
    clinic.delete("ChargeItem/c1").await;
    clinic.delete("DeviceUseStatement/u1").await;
    clinic.received("ChargeItem/c1", 2).await;
    clinic.received("DeviceUseStatement/u1", 2).await;
    assert_eq!(clinic.stack.events::<SupplyUsage>().await.len(), 1);
    clinic.put(procedure("entered-in-error")).await;
    clinic.received("Procedure/pr1", 2).await;
    running.stop().await;

    let usages = clinic.stack.events::<SupplyUsage>().await;
    let told: Vec<_> = usages.iter().map(|usage| (usage.meta.action, usage.meta.revision)).collect();
    assert_eq!(told, [(Action::Create, 0), (Action::Retract, 1)]);
    assert_eq!(usages[0].meta.business_key, usages[1].meta.business_key);
    let receipts = clinic.stack.events::<Receipt>().await;
    let once: HashSet<_> = receipts.iter().map(|receipt| receipt.message_id.as_str()).collect();
    assert_eq!(once.len(), receipts.len(), "a version was consumed twice");

    crash_among_many(&clinic).await;
}

/// LOSS-1, FX-1: somebody else has a transaction open on the topic where connectors keep what they told. What this one told behind it is
/// known after a restart: a usage that is taken back is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_what_was_told_behind_an_open_transaction_of_another_is_known_after_a_restart() {
    let clinic = Clinic::start().await;
    hospital(&clinic).await;
    let running = clinic.run().await;
    clinic.received("Encounter/e1", 1).await;
    let held = Held::open(&clinic.stack, topics::OPS_CURSOR_V1.name(), 0).await;
    clinic.put(procedure("completed")).await;
    clinic.received("Procedure/pr1", 1).await;
    running.stop().await;
    clinic.put(procedure("entered-in-error")).await;
    let mut starting = Box::pin(clinic.run());
    let early = tokio::time::timeout(Duration::from_secs(2), &mut starting).await;
    assert!(early.is_err(), "it cannot know yet what it told");
    held.abort().await;
    let running = starting.await;
    clinic.received("Procedure/pr1", 2).await;
    running.stop().await;
    let usages = clinic.stack.events::<SupplyUsage>().await;
    let told: Vec<_> = usages.iter().map(|usage| (usage.meta.action, usage.meta.revision)).collect();
    assert_eq!(told, [(Action::Create, 0), (Action::Retract, 1)]);
}
