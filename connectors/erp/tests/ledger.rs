//! The sandbox ERP with the hospital of the demo, and the events that its records become.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use connector::erp::{Change, Erp, Stream};
use embedded::sandbox_erp::{SandboxErp, SandboxErpOptions, Seed};
use erp_systems::{SandboxConfig, System};
use expect_test::{Expect, expect};
use schemas::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use wardline_erp::ErpConfig;
use wardline_erp::mapping::events;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const KEY: &str = "test-key";

/// A sandbox ERP and the room's configuration for it.
struct Site {
    server: SandboxErp,
    config: ErpConfig,
    erp: Arc<dyn Erp>,
}

impl Site {
    fn start() -> Self {
        let seed = Seed::from_json(components::HOSPITAL_JSON).unwrap();
        let options =
            SandboxErpOptions { listen: "127.0.0.1:0".parse().unwrap(), data: None, key: KEY.to_owned(), seed };
        let server = SandboxErp::start(options).unwrap();
        let config = ErpConfig {
            system: System::Sandbox,
            sandbox: SandboxConfig { url: server.url(), key: KEY.into(), ..SandboxConfig::default() },
            departments: [("780".to_owned(), "OR1".to_owned())].into(),
            ..ErpConfig::default()
        };
        let erp = config.system.open(&config.tryton, &config.sandbox).unwrap().erp;
        Self { server, config, erp }
    }

    async fn changes(&self, stream: Stream) -> Vec<Change> {
        let page = self.erp.changes(stream, None).await.unwrap();
        assert!(!page.more);
        page.changes
    }

    /// The events of all records of a stream.
    async fn events(&self, stream: Stream) -> Vec<Value> {
        let changes = self.changes(stream).await;
        let mapped = changes.iter().flat_map(|change| events(&self.config, stream, change, NOW).unwrap());
        mapped.map(|event| json!(event)).collect()
    }

    /// The fields of one event that differ from an empty one, one per line, without the envelope.
    async fn check(&self, stream: Stream, key: &str, expected: Expect) {
        let wanted = self.events(stream).await.into_iter().filter(|event| {
            let business_key = event["meta"]["businessKey"].as_str().unwrap();
            business_key.split_once('/').unwrap().1 == key
        });
        let mut lines = String::new();
        for event in wanted {
            for (name, value) in event.as_object().unwrap() {
                let empty = [json!(null), json!(""), json!([]), json!(false)].contains(value);
                let dated = ["receivedAt", "approvedAt", "activeFrom"].contains(&name.as_str());
                if name != "meta" && !empty && !dated {
                    lines.push_str(&format!("{name}: {value}\n"));
                }
            }
        }
        expected.assert_eq(&lines);
    }
}

#[tokio::test]
async fn every_record_of_the_hospital_becomes_an_event() {
    let site = Site::start();
    let mut counts = Vec::new();
    for stream in Stream::ALL {
        counts.push((stream.as_str(), site.events(stream).await.len()));
    }
    // Places of use and drafts are no events; a receipt is one for each line.
    let expected = [
        ("cost-centres", 5),
        ("suppliers", 4),
        ("employees", 6),
        ("locations", 7),
        ("items", 50),
        ("purchase-orders", 2),
        ("receipts", 2),
    ];
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn master_data() {
    let site = Site::start();
    site.check(
        Stream::Items,
        "71-100777",
        expect![[r#"
        itemId: "71-100777"
        description: "Exam glove nitrile M"
        status: "ACTIVE"
        itemType: "goods"
        category: "Protective"
        baseUom: "EA"
        packs: [{"uom":"BX100","quantity":"100.000000","gtin":"10614141000415","price":null}]
        mfrCatalogue: "GC-M-100"
        gtins: ["00614141000418"]
        supplierId: "V-310"
        supplierItem: "GCM100"
        price: {"amount":"0.0745","currency":"EUR"}
    "#]],
    )
    .await;
    site.check(
        Stream::Locations,
        "OR1",
        expect![[r#"
        locationId: "OR1"
        plCode: "OR1"
        name: "Operating room 1"
        locationType: "DEPARTMENT"
        parent: "WH"
        stockLocationId: "OR1"
        costCentreId: "CC-OR"
        active: true
    "#]],
    )
    .await;
    site.check(
        Stream::CostCentres,
        "CC-OR",
        expect![[r#"
        costCentreId: "CC-OR"
        name: "Operating theatres"
        departments: ["780","OR1","OR2"]
        active: true
    "#]],
    )
    .await;
    site.check(
        Stream::Employees,
        "E001",
        expect![[r#"
        employeeId: "E001"
        displayName: "Ada Nurse"
        status: "ACTIVE"
    "#]],
    )
    .await;
}

#[tokio::test]
async fn orders_and_receipts() {
    let site = Site::start();
    let orders = site.events(Stream::PurchaseOrders).await;
    let seen: Vec<_> = orders
        .iter()
        .map(|order| format!("{} {} {} {}", order["poNumber"], order["kind"], order["total"], order["lines"][0]["uom"]))
        .collect();
    expect![[r#"
        "PO-0003" "APPROVED" "1060.0000" "PK10"
        "PO-0004" "APPROVED" "482.0000" "BX100""#]]
    .assert_eq(&seen.join("\n"));
    site.check(
        Stream::Receipts,
        "GR-0004/1",
        expect![[r#"
        receiptId: "GR-0004/1"
        poNumber: "PO-0004"
        poLine: 1
        supplierId: "V-310"
        itemId: "71-100777"
        quantity: "40.000000"
        uom: "BX100"
        location: "CS"
        condition: "UNKNOWN"
        finalDelivery: true
    "#]],
    )
    .await;
}

/// FX-1: what a supplier is told counts once per revision, so two changes in one second are two revisions.
#[tokio::test]
async fn fx_1_two_changes_in_one_second_are_two_revisions() {
    let site = Site::start();
    let events = |change: &Change| events(&site.config, Stream::PurchaseOrders, change, NOW).unwrap();
    let changes = site.changes(Stream::PurchaseOrders).await;
    let mut change = changes.into_iter().find(|change| !events(change).is_empty()).unwrap();
    let approved = json!(events(&change)[0]);
    change.body["record"]["state"] = json!("cancelled");
    change.body["revision"] = json!(change.body["revision"].as_i64().unwrap() + 1);
    let cancelled = json!(events(&change)[0]);
    assert_eq!((&approved["kind"], &cancelled["kind"]), (&json!("APPROVED"), &json!("CANCELLED")));
    assert_eq!(approved["meta"]["occurredAt"], cancelled["meta"]["occurredAt"]);
    assert_ne!(approved["meta"]["eventId"], cancelled["meta"]["eventId"]);
    assert_eq!(cancelled["meta"]["revision"].as_i64(), approved["meta"]["revision"].as_i64().map(|first| first + 1));
}

#[tokio::test]
async fn both_erps_give_the_same_item_but_for_their_own_numbers() {
    let site = Site::start();
    let name = format!("{}/tests/fixtures/items-71-100234.json", env!("CARGO_MANIFEST_DIR"));
    let body = serde_json::from_str(&std::fs::read_to_string(name).unwrap()).unwrap();
    let change = Change { key: "71-100234".to_owned(), changed_at: None, body };
    let of_tryton = json!(events(&ErpConfig::default(), Stream::Items, &change, NOW).unwrap()[0]);
    let items = site.events(Stream::Items).await;
    let of_sandbox = items.iter().find(|item| item["itemId"] == "71-100234").unwrap();
    let differs: Vec<_> = of_tryton
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, value)| of_sandbox[name.as_str()] != **value)
        .map(|(name, _)| name.as_str())
        .collect();
    // Tryton does not know the system of the label's code, and has an internal number.
    assert_eq!(differs, ["meta", "erpId", "codes"]);
    let meta = &of_sandbox["meta"];
    assert_eq!((&meta["source"]["system"], &meta["source"]["messageType"]), (&json!("sandbox"), &json!("items")));
}

#[tokio::test]
async fn what_is_deleted_is_inactive_and_what_is_not_understood_is_said() {
    let site = Site::start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/items/71-200001", site.server.url());
    let answer = client.delete(url).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let mut changes = site.changes(Stream::Items).await;
    let mut deleted = changes.pop().unwrap();
    assert_eq!(deleted.key, "71-200001");
    let event = json!(events(&site.config, Stream::Items, &deleted, NOW).unwrap()[0]);
    assert_eq!((&event["status"], &event["description"]), (&json!("INACTIVE"), &json!("Reusable trocar, 5 mm")));
    deleted.body["record"]["active"] = json!("maybe");
    let error = events(&site.config, Stream::Items, &deleted, NOW).unwrap_err();
    assert_eq!((error.code(), error.field()), ("WL-3022", "record"));
}
