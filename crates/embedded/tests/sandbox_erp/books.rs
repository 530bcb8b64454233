//! Master data, purchasing, counts, the change feed.

use crate::support::{Caller, SUTURE, line, posting, start, with};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn item(name: &str) -> Value {
    json!({"name": name, "uom": "EA"})
}

async fn follow(caller: &Caller, stream: &str, mut after: i64) -> (Vec<Value>, i64) {
    let mut seen = Vec::new();
    loop {
        let page = caller.get(&format!("changes?after={after}&limit=7{stream}")).await;
        after = page["next"].as_i64().unwrap();
        seen.extend(page["changes"].as_array().unwrap().iter().cloned());
        if page["more"] == false {
            return (seen, after);
        }
    }
}

#[tokio::test]
async fn the_hospital_is_there() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let (seen, _) = follow(&caller, "", 0).await;
    let mut counts = BTreeMap::new();
    for change in &seen {
        *counts.entry(change["stream"].as_str().unwrap()).or_insert(0) += 1;
    }
    let expected = [
        ("cost-centres", 5),
        ("employees", 6),
        ("items", 50),
        ("locations", 13),
        ("purchase-orders", 4),
        ("receipts", 1),
        ("suppliers", 4),
    ];
    assert_eq!(counts, expected.into());
    assert!(seen.is_sorted_by_key(|change| change["seq"].as_i64()));
    let glove = caller.get("items/71-100777").await;
    assert_eq!(glove["packs"], json!([{"uom": "BX100", "quantity": "100", "gtin": "10614141000415"}]));
    let order = caller.get("purchase-orders/PO-0004").await;
    assert_eq!((&order["state"], &order["lines"][0]["received"]), (&json!("received"), &json!("40")));
    assert_eq!(caller.level("71-100777", "CS").await, 54_000.0);
}

#[tokio::test]
async fn a_change_and_a_deletion_are_in_the_feed_and_no_change_is_not() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let (_, end) = follow(&caller, "", 0).await;
    caller.put("items/NEW", item("Bone cement")).await;
    caller.put("items/NEW", item("Bone cement")).await;
    let (seen, end) = follow(&caller, "&stream=items", end).await;
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0]["key"], &seen[0]["revision"], &seen[0]["deleted"]), (&json!("NEW"), &json!(1), &json!(false)));
    caller.put("items/NEW", item("Bone cement, 40 g")).await;
    assert_eq!(caller.call(Method::DELETE, "items/NEW", Value::Null).await.0, 204);
    let (seen, end) = follow(&caller, "", end).await;
    assert_eq!((seen.len(), &seen[0]["revision"], &seen[0]["deleted"]), (1, &json!(3), &json!(true)));
    assert_eq!(seen[0]["body"]["name"], "Bone cement, 40 g");
    assert_eq!(caller.call(Method::GET, "items/NEW", Value::Null).await.0, 404);
    assert_eq!(caller.call(Method::DELETE, "items/NEW", Value::Null).await.0, 404);
    caller.put("items/NEW", item("Bone cement, 40 g")).await;
    let (seen, _) = follow(&caller, "", end).await;
    assert_eq!((seen.len(), &seen[0]["deleted"]), (1, &json!(false)));
    assert_eq!(follow(&caller, "&stream=suppliers", end).await.0.len(), 0);
}

#[tokio::test]
async fn what_is_referred_to_must_be_there_and_what_is_in_the_books_stays() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.posted(&posting("k", vec![line("a", SUTURE, None, "1")])).await;
    let suture = caller.get(&format!("items/{SUTURE}")).await;
    let place = json!({"name": "Ward", "kind": "storage", "cost_centre": "NO"});
    for (method, path, body, code) in [
        (Method::PUT, "items/X", with(&item("X"), json!({"supplier": "NO"})), "supplier.unknown"),
        (Method::PUT, "items/X", with(&item("X"), json!({"cost": "-1"})), "item.invalid"),
        (Method::PUT, "items/X", with(&item("X"), json!({"packs": [{"uom": "EA", "quantity": "2"}]})), "item.invalid"),
        (Method::PUT, "items/71-400101", with(&suture, json!({"tracking": "lot"})), "record.in-use"),
        (Method::PUT, "locations/X", place, "cost-centre.unknown"),
        (Method::DELETE, "items/71-400101", Value::Null, "record.in-use"),
        (Method::DELETE, "locations/OR1", Value::Null, "record.in-use"),
        (Method::DELETE, "purchase-orders/PO-0004", Value::Null, "record.in-use"),
    ] {
        let (status, answer) = caller.call(method, path, body).await;
        assert_eq!((status.as_u16(), answer["error"]["code"].as_str()), (422, Some(code)), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_receipt_takes_stock_in_once_and_completes_its_order() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    // 30 packs of ten sutures and 50 packs of ten cannulas are ordered.
    let part = |line: usize, quantity: &str| json!({"order_line": line, "quantity": quantity});
    let receipt = |lines: Value| json!({"purchase_order": "PO-0003", "location": "CS", "received_on": "2026-03-01", "lines": lines});
    let first = receipt(json!([part(1, "30")]));
    caller.put("receipts/GR-A", first.clone()).await;
    caller.put("receipts/GR-A", first.clone()).await;
    assert_eq!(caller.level(SUTURE, "CS").await, 50_300.0);
    let (status, answer) = caller.call(Method::PUT, "receipts/GR-A", receipt(json!([part(1, "29")]))).await;
    assert_eq!((status.as_u16(), answer["error"]["code"].as_str()), (409, Some("key.reused")));
    let kept = caller.get("receipts/GR-A").await;
    assert_eq!(
        (&kept["supplier"], &kept["lines"][0]["item"], &kept["is_final"]),
        (&json!("V-330"), &json!(SUTURE), &json!(false))
    );
    caller.put("receipts/GR-B", receipt(json!([part(2, "50")]))).await;
    assert_eq!(caller.get("receipts/GR-B").await["is_final"], true);
    assert_eq!(caller.get("purchase-orders/PO-0003").await["state"], "received");
    for (order, lines, code) in
        [("PO-0003", json!([part(1, "1")]), "order.unknown"), ("PO-0001", json!([part(1, "1")]), "order.unknown")]
    {
        let wrong = with(&receipt(lines), json!({"purchase_order": order}));
        let (_, answer) = caller.call(Method::PUT, "receipts/GR-C", wrong).await;
        assert_eq!(answer["error"]["code"], code, "{order}");
    }
}

#[tokio::test]
async fn a_count_books_the_difference_once() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let count = json!({"key": "c1", "lines": [{"item": SUTURE, "location": "OR1", "quantity": "12.5"}]});
    for _ in 0..2 {
        assert_eq!(caller.call(Method::POST, "counts", count.clone()).await.0, 204);
        caller.posted(&posting("k", vec![line("a", SUTURE, None, "0.5")])).await;
    }
    assert_eq!(caller.level(SUTURE, "OR1").await, 12.0);
    let other = with(&count, json!({"lines": []}));
    assert_eq!(caller.call(Method::POST, "counts", other).await.0, 409);
}

#[tokio::test]
async fn a_restart_finds_everything_and_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(Some(folder.path()));
    let caller = Caller::new(&server.url());
    let asked = posting("k", vec![line("a", SUTURE, None, "3")]);
    let posted = caller.posted(&asked).await;
    let (seen, _) = follow(&caller, "", 0).await;
    server.stop();
    let server = start(Some(folder.path()));
    let caller = Caller::new(&server.url());
    assert_eq!(caller.posted(&asked).await["documents"], posted["documents"]);
    assert_eq!(caller.level(SUTURE, "OR1").await, 49_997.0);
    assert_eq!(follow(&caller, "", 0).await.0, seen);
}

#[test]
fn it_needs_no_async_caller_and_serves_this_machine_alone() {
    let server = start(None);
    let answer = reqwest::blocking::get(format!("{}/health", server.url())).unwrap();
    assert_eq!(answer.status(), 200);
    server.stop();
    let options = wardline_embedded::sandbox_erp::SandboxErpOptions {
        listen: "0.0.0.0:0".parse().unwrap(),
        data: None,
        key: String::new(),
        seed: crate::support::seed(),
    };
    assert!(wardline_embedded::sandbox_erp::SandboxErp::start(options).is_err());
}
