//! The rules of a posting.

use crate::support::{Caller, STEM, SUTURE, line, posting, start, with};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_posting_moves_stock_and_puts_its_cost_on_the_cost_centre() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let before = caller.level(SUTURE, "OR1").await;
    let lines = vec![line("a", SUTURE, None, "3"), line("b", STEM, Some("LOT71A"), "1")];
    let asked = posting("k/1", lines);
    let posted = caller.posted(&asked).await;
    assert_eq!(posted["replayed"], false);
    assert_eq!(posted["allocation"], json!({"cost_centre": "CC-ICU", "amount": "1847.05"}));
    assert_eq!(posted["documents"].as_array().unwrap().len(), 2);
    assert_eq!((&posted["lines"][0]["unit_cost"], &posted["lines"][1]["lot"]), (&json!("2.35"), &json!("LOT71A")));
    assert_eq!(caller.level(SUTURE, "OR1").await, before - 3.0);
    assert_eq!(caller.level(SUTURE, "USE-OR1").await, 3.0);
    let found = caller.get("postings/k%2F1").await;
    assert_eq!(with(&found, json!({"replayed": false})), posted);
    let back = with(&asked, json!({"key": "k/2", "direction": "in"}));
    assert_eq!(caller.posted(&back).await["allocation"]["amount"], "-1847.05");
    assert_eq!(caller.level(SUTURE, "OR1").await, before);
}

#[tokio::test]
async fn the_same_key_is_the_same_document_or_refused() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let asked = posting("k", vec![line("a", SUTURE, None, "3"), line("b", SUTURE, None, "1")]);
    let first = caller.posted(&asked).await;
    // Other names, other order, other spelling of the number: the same fact.
    let again = with(&asked, json!({"lines": [line("x", SUTURE, None, "1.0"), line("y", SUTURE, None, "3")]}));
    let (status, second) = caller.post(&again).await;
    assert_eq!((status.as_u16(), &second["replayed"]), (200, &json!(true)));
    assert_eq!(second["documents"], first["documents"]);
    for other in [
        json!({"lines": [line("a", SUTURE, None, "3")]}),
        json!({"cost_centre": "CC-OR"}),
        json!({"direction": "in"}),
        json!({"stock_location": "OR2"}),
    ] {
        assert_eq!(caller.refused(&with(&asked, other)).await.1, "key.reused");
    }
    assert_eq!(caller.moves("k").await.len(), 2);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_moves() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let good = || line("good", SUTURE, None, "1");
    let bad = |line: Value| posting("bad", vec![good(), line]);
    let place = |field: &str, code: &str| with(&posting("bad", vec![good()]), json!({field: code}));
    let none: [&str; 0] = [];
    for (asked, code, lines) in [
        (bad(line("l", SUTURE, None, "50000.5")), "stock.insufficient", vec!["l"]),
        (bad(line("l", STEM, Some("LOT71A"), "5001")), "stock.insufficient", vec!["l"]),
        (bad(line("l", STEM, None, "1")), "lot.missing", vec!["l"]),
        (bad(line("l", STEM, Some("NO"), "1")), "lot.unknown", vec!["l"]),
        (bad(line("l", SUTURE, Some("LOT71A"), "1")), "lot.unknown", vec!["l"]),
        (bad(line("l", "NO", None, "1")), "item.unknown", vec!["l"]),
        (bad(with(&line("l", SUTURE, None, "1"), json!({"uom": "KG"}))), "posting.invalid", vec!["l"]),
        (bad(line("l", SUTURE, None, "0")), "posting.invalid", vec!["l"]),
        (bad(line("good", SUTURE, None, "1")), "posting.invalid", vec!["good"]),
        (posting("bad", Vec::new()), "posting.invalid", none.to_vec()),
        (posting(" ", vec![good()]), "posting.invalid", none.to_vec()),
        (place("stock_location", "NO"), "location.unknown", none.to_vec()),
        (place("stock_location", "USE-OR1"), "location.unknown", none.to_vec()),
        (place("use_location", "OR2"), "location.unknown", none.to_vec()),
        (place("cost_centre", "NO"), "cost-centre.unknown", none.to_vec()),
        (place("effective_date", "2999-01-01"), "date.in-future", none.to_vec()),
    ] {
        assert_eq!(caller.refused(&asked).await, (422, code.to_owned(), json!(lines)), "{asked}");
        assert_eq!(caller.moves("bad").await.len(), 0, "{asked}");
    }
    assert_eq!(caller.level(SUTURE, "OR1").await, 50_000.0);
    assert_eq!(caller.call(Method::GET, "postings/bad", Value::Null).await.0, 404);
    caller.posted(&posting("bad", vec![good()])).await;
}

#[tokio::test]
async fn every_line_without_stock_is_named() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let lines = vec![
        line("a", SUTURE, None, "99999"),
        line("b", SUTURE, None, "1"),
        line("c", STEM, Some("LOT71A"), "99999"),
        line("d", "NO", None, "1"),
    ];
    assert_eq!(caller.refused(&posting("k", lines)).await.2, json!(["a", "c"]));
}

#[tokio::test]
async fn a_pack_is_its_content() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let pack = with(&line("p", SUTURE, None, "2"), json!({"uom": "PK10"}));
    let posted = caller.posted(&posting("k", vec![pack])).await;
    assert_eq!((&posted["lines"][0]["unit_cost"], &posted["allocation"]["amount"]), (&json!("23.5"), &json!("47")));
    assert_eq!(caller.level(SUTURE, "OR1").await, 49_980.0);
}

#[tokio::test]
async fn a_closed_day_is_refused_or_booked_today() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    caller.put("periods", json!({"closed_through": "2026-01-31"})).await;
    assert_eq!(caller.get("periods").await, json!({"closed_through": "2026-01-31"}));
    let asked = with(&posting("k", vec![line("a", SUTURE, None, "1")]), json!({"effective_date": "2026-01-31"}));
    assert_eq!(caller.refused(&asked).await.1, "period.closed");
    let today = caller.posted(&with(&asked, json!({"on_closed_day": "book-today"}))).await;
    assert!(today["effective_date"].as_str().unwrap() > "2026-01-31", "{today}");
    let open = with(&asked, json!({"key": "k2", "effective_date": "2026-02-01"}));
    assert_eq!(caller.posted(&open).await["effective_date"], "2026-02-01");
    caller.put("periods", json!({"closed_through": "2999-01-01"})).await;
    let never = with(&asked, json!({"key": "k3", "on_closed_day": "book-today"}));
    assert_eq!(caller.refused(&never).await.1, "period.closed");
}

#[tokio::test]
async fn a_call_that_cannot_be_understood_changes_nothing() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let asked = posting("k", vec![line("a", SUTURE, None, "1")]);
    for wrong in [
        with(&asked, json!({"colour": "blue"})),
        with(&asked, json!({"direction": "up"})),
        with(&asked, json!({"lines": [with(&line("a", SUTURE, None, "1"), json!({"quantity": 1.5}))]})),
        json!([]),
    ] {
        assert_eq!(caller.refused(&wrong).await.0, 400, "{wrong}");
    }
    let url = format!("{}/api/v1/postings", server.url());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let other = client.post(&url).bearer_auth("wrong").body(asked.to_string()).send().await.unwrap();
    assert_eq!(other.status(), 401);
    let request = client.post(&url).bearer_auth(crate::support::KEY).header("idempotency-key", "other");
    assert_eq!(request.body(asked.to_string()).send().await.unwrap().status(), 400);
    assert_eq!(caller.call(Method::GET, "nothing/here", Value::Null).await.0, 404);
    assert_eq!(caller.moves("").await.len(), 0);
}
