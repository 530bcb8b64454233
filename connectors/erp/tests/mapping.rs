//! Records as Tryton gives them, and the events that they become.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use connector::erp::{Change, Stream};
use expect_test::{Expect, expect};
use schemas::Timestamp;
use serde_json::{Value, json};
use wardline_erp::ErpConfig;
use wardline_erp::mapping::{MapError, events};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn map(stream: Stream, key: &str, body: Value) -> Result<Vec<Value>, MapError> {
    let config = ErpConfig { departments: [("780".to_owned(), "OR1".to_owned())].into(), ..ErpConfig::default() };
    let change = Change { key: key.to_owned(), changed_at: None, body };
    Ok(events(&config, stream, &change, NOW)?.iter().map(|event| json!(event)).collect())
}

/// The fields that differ from an empty event, one per line, without the envelope.
#[track_caller]
fn check(stream: Stream, key: &str, expected: Expect) {
    let mut lines = String::new();
    for event in map(stream, key, fixture(&format!("{stream}-{key}"))).unwrap() {
        for (name, value) in event.as_object().unwrap() {
            let empty = [json!(null), json!(""), json!([]), json!(false)].contains(value);
            if name != "meta" && !empty {
                lines.push_str(&format!("{name}: {value}\n"));
            }
        }
    }
    expected.assert_eq(&lines);
}

#[test]
fn an_implant() {
    check(
        Stream::Items,
        "71-100234",
        expect![[r#"
        itemId: "71-100234"
        erpId: "1"
        description: "Hip stem 12/14 taper, size 9"
        status: "ACTIVE"
        itemType: "goods"
        category: "Orthopaedics"
        baseUom: "EA"
        codes: [{"code":"A123HS912141","system":null,"text":null,"alt":[]}]
        mfrCatalogue: "HS-9-1214"
        gtins: ["00844588003288"]
        supplierId: "V-300"
        supplierItem: "ACM-HS9"
        price: {"amount":"1840.0000","currency":"EUR"}
        lotTracked: true
        expires: true
        implant: true
    "#]],
    );
}

#[test]
fn an_article_that_is_bought_in_boxes() {
    check(
        Stream::Items,
        "71-100777",
        expect![[r#"
        itemId: "71-100777"
        erpId: "31"
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
    );
}

#[test]
fn an_article_that_is_no_longer_used() {
    check(
        Stream::Items,
        "71-200001",
        expect![[r#"
        itemId: "71-200001"
        erpId: "49"
        description: "Reusable trocar, 5 mm"
        status: "INACTIVE"
        itemType: "goods"
        category: "Consumable"
        baseUom: "EA"
        mfrCatalogue: "TR-5"
        gtins: ["09520100000478"]
        price: {"amount":"95.0000","currency":"EUR"}
    "#]],
    );
}

#[test]
fn a_supplier() {
    check(
        Stream::Suppliers,
        "V-300",
        expect![[r#"
        supplierId: "V-300"
        erpId: "8"
        name: "Acme Ortho Distribution"
        status: "ACTIVE"
        currency: "EUR"
        terms: "Direct"
    "#]],
    );
}

#[test]
fn a_department_a_store_and_a_warehouse() {
    check(
        Stream::Locations,
        "OR1",
        expect![[r#"
        locationId: "OR1"
        plCode: "OR1"
        name: "Operating room 1"
        locationType: "DEPARTMENT"
        parent: "STO"
        stockLocationId: "OR1"
        costCentreId: "CC-OR"
        active: true
    "#]],
    );
    check(
        Stream::Locations,
        "STO",
        expect![[r#"
        locationId: "STO"
        plCode: "STO"
        name: "Storage Zone"
        locationType: "STORE"
        parent: "WH"
        stockLocationId: "STO"
        active: true
    "#]],
    );
    check(
        Stream::Locations,
        "WH",
        expect![[r#"
        locationId: "WH"
        plCode: "WH"
        name: "Hospital warehouse"
        locationType: "WAREHOUSE"
        active: true
    "#]],
    );
}

#[test]
fn a_cost_centre_with_the_departments_it_pays_for() {
    check(
        Stream::CostCentres,
        "CC-OR",
        expect![[r#"
        costCentreId: "CC-OR"
        erpId: "2"
        name: "Operating theatres"
        parent: "CC"
        departments: ["780","OR1","OR2"]
        active: true
    "#]],
    );
}

#[test]
fn an_employee() {
    check(
        Stream::Employees,
        "E001",
        expect![[r#"
        employeeId: "E001"
        displayName: "Ada Nurse"
        status: "ACTIVE"
        activeFrom: 20089
    "#]],
    );
}

#[test]
fn an_approved_order() {
    check(
        Stream::PurchaseOrders,
        "3",
        expect![[r#"
        poNumber: "3"
        kind: "APPROVED"
        orderRevision: 0
        supplierId: "V-330"
        approvedAt: 1795478400000000
        currency: "EUR"
        total: "1060.0000"
        terms: "Direct"
        shipTo: "WH"
        lines: [{"line":1,"itemId":"71-400101","vendorItem":"MED-SUA20","gtin":null,"quantity":"30.000000","uom":"PK10","unitPrice":"23.5000","needBy":20783,"costCentreId":null,"account":null},{"line":2,"itemId":"71-400202","vendorItem":"MED-IC18","gtin":null,"quantity":"50.000000","uom":"PK10","unitPrice":"7.1000","needBy":20783,"costCentreId":null,"account":null}]
    "#]],
    );
}

#[test]
fn a_receipt_is_one_event_for_each_line() {
    check(
        Stream::Receipts,
        "1",
        expect![[r#"
        receiptId: "1/471"
        poNumber: "4"
        poLine: 1
        supplierId: "V-310"
        itemId: "71-100777"
        quantity: "40.000000"
        uom: "BX100"
        location: "IN"
        receivedAt: 1795478400000000
        condition: "UNKNOWN"
        finalDelivery: true
        receiptId: "1/472"
        poNumber: "4"
        poLine: 2
        supplierId: "V-310"
        itemId: "71-100779"
        quantity: "20.000000"
        uom: "PK10"
        location: "IN"
        receivedAt: 1795478400000000
        condition: "UNKNOWN"
        finalDelivery: true
    "#]],
    );
}

#[test]
fn the_envelope() {
    let event = &map(Stream::Items, "71-100234", fixture("items-71-100234")).unwrap()[0];
    expect![[r#"
        {
          "eventId": "9d6933d6-6202-58c9-a9bd-add2a42e693f",
          "businessKey": "master.item.v1/71-100234",
          "revision": 217652497,
          "correction": 0,
          "action": "SNAPSHOT",
          "occurredAt": 1795489297726945,
          "recordedAt": 1795489297726945,
          "publishedAt": 1800000000000000,
          "occurredPrecision": "MICROS",
          "occurredOffsetMinutes": null,
          "facilityId": "GENERAL",
          "source": {
            "system": "tryton",
            "facility": "GENERAL",
            "format": "ERP_API",
            "messageType": "product.product",
            "messageId": "1@217652497",
            "position": 0,
            "contentHash": "6a77e428144f06a1a42955487a2493a02d75072ce22f341c5b69fbebb60bf695"
          },
          "nulledFields": [],
          "warnings": []
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&event["meta"]).unwrap());
}

#[test]
fn an_order_is_changed_when_it_was_approved_anew_and_cancelled_only_after_approval() {
    let order = |change: Value| {
        let mut body = fixture("purchase-orders-3");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let events = map(Stream::PurchaseOrders, "3", body).unwrap();
        events.iter().map(|event| format!("{} {}", event["kind"], event["meta"]["action"])).collect::<String>()
    };
    assert_eq!(order(json!({"state": "done"})), r#""APPROVED" "CREATE""#);
    assert_eq!(order(json!({"revision": 1})), r#""CHANGED" "UPDATE""#);
    assert_eq!(order(json!({"state": "cancelled"})), r#""CANCELLED" "CANCEL""#);
    assert_eq!(order(json!({"state": "cancelled", "purchase_date": null})), "");
    assert_eq!(order(json!({"state": "quotation"})), "");
}

#[test]
fn the_same_record_gives_the_same_id_and_a_later_change_a_higher_revision() {
    let envelope = |body: Value| map(Stream::Suppliers, "V-300", body).unwrap()[0]["meta"].clone();
    let body = fixture("suppliers-V-300");
    let first = envelope(body.clone());
    // Another item of the same supplier: another row, the same event.
    let mut other_row = body.clone();
    other_row["id"] = json!(77);
    other_row["currency"] = json!({"code": "USD"});
    assert_eq!(envelope(other_row.clone())["eventId"], first["eventId"]);
    let currency = |body: Value| map(Stream::Suppliers, "V-300", body).unwrap()[0]["currency"].clone();
    assert_eq!((currency(body.clone()), currency(other_row)), (json!("EUR"), json!("EUR")));
    let mut renamed = body;
    renamed["party"]["write_date"]["year"] = json!(2030);
    let renamed = envelope(renamed);
    assert_ne!(renamed["eventId"], first["eventId"]);
    assert!(renamed["revision"].as_i64() > first["revision"].as_i64());
}

#[test]
fn what_an_event_must_have_and_the_record_lacks_is_named() {
    let mut body = fixture("items-71-100234");
    body["template"]["default_uom"] = json!(null);
    let error = map(Stream::Items, "71-100234", body).unwrap_err();
    assert_eq!(error.to_string(), "WL-3020: items 71-100234: template.default_uom.symbol is missing");
    let mut body = fixture("purchase-orders-3");
    body["lines"][0]["quantity"] = serde_json::from_str("0.12345678").unwrap();
    let error = map(Stream::PurchaseOrders, "3", body).unwrap_err();
    assert_eq!(error.to_string(), "WL-3021: purchase-orders 3: quantity has too many digits");
}

#[test]
fn key_1_a_pack_must_be_exact_in_base_units_whatever_its_own_factor_is() {
    let quantity = |base: &str, purchase: &str| {
        let mut body = fixture("items-71-100777");
        body["template"]["default_uom"]["factor"] = serde_json::from_str(base).unwrap();
        body["template"]["purchase_uom"]["factor"] = serde_json::from_str(purchase).unwrap();
        let events = map(Stream::Items, "71-100777", body).map_err(|error| error.to_string())?;
        Ok::<_, String>(events[0]["packs"][0]["quantity"].as_str().unwrap().to_owned())
    };
    // A pound is sixteen ounces.
    assert_eq!(quantity("0.028349523125", "0.45359237").unwrap(), "16.000000");
    assert_eq!(quantity("0", "100.0").unwrap(), "100.000000");
    // A kilogram is no exact number of pounds, and of the last unit more than a decimal can count.
    for (base, purchase) in [("0.45359237", "1.0"), ("1e-28", "79228162514264337593543950335")] {
        let refused = "WL-3021: items 71-100777: template.purchase_uom.factor has too many digits";
        assert_eq!(quantity(base, purchase).unwrap_err(), refused);
    }
}

#[test]
fn the_dust_of_binary_arithmetic_is_no_quantity() {
    let mut body = fixture("purchase-orders-3");
    body["lines"][0]["quantity"] = serde_json::from_str("0.30000000000000004").unwrap();
    let events = map(Stream::PurchaseOrders, "3", body).unwrap();
    assert_eq!(events[0]["lines"][0]["quantity"], "0.300000");
}
