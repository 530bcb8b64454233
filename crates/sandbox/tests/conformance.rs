//! The adapter against a sandbox ERP in this process: everything the contract asks for, and what only the sandbox does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use connector::erp::conformance::feed::{BackOffice, Work};
use connector::erp::conformance::{self, Fixture, faults, feed};
use connector::erp::{Direction, Erp, ErpError, Line, Lookup, MovementQuery, RefusalCode, Stream};
use embedded::sandbox_erp::{SandboxErp, SandboxErpOptions, Seed};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::fault_proxy::{Fault, FaultProxy};
use wardline_sandbox::{ClosedDay, Sandbox, SandboxConfig};

const KEY: &str = "test-key";

fn start() -> SandboxErp {
    let seed = Seed::from_json(components::HOSPITAL_JSON).unwrap();
    let options = SandboxErpOptions { listen: "127.0.0.1:0".parse().unwrap(), data: None, key: KEY.to_owned(), seed };
    SandboxErp::start(options).unwrap()
}

fn config(url: impl Into<String>) -> SandboxConfig {
    // Small, so that every list has several pages.
    SandboxConfig { url: url.into(), key: KEY.into(), page_records: 7, ..SandboxConfig::default() }
}

fn client(url: impl Into<String>) -> Sandbox {
    Sandbox::new(config(url)).unwrap()
}

fn fixture() -> Fixture {
    Fixture {
        key_prefix: "wl-test/".to_owned(),
        stock_location: "OR1".to_owned(),
        use_location: "USE-OR1".to_owned(),
        plain_item: "71-400101".to_owned(),
        lot_item: "71-100234".to_owned(),
        lot: "LOT71A".to_owned(),
        uom: "EA".to_owned(),
        cost_centre: "CC-ICU".to_owned(),
        effective_date: None,
    }
}

/// Somebody who works in the ERP by hand, over the same interface but with code of his own.
struct Clerk(String);

impl Clerk {
    async fn put(&self, path: &str, body: Value) -> Result<(), String> {
        let client = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        let request = client.put(format!("{}/api/v1/{path}", self.0)).bearer_auth(KEY).json(&body);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("{status} {}", answer.text().await.unwrap_or_default())) }
    }
}

impl BackOffice for Clerk {
    fn create_item<'a>(&'a self, code: &'a str) -> Work<'a> {
        Box::pin(async move { self.put(&format!("items/{code}"), json!({"name": "Cement", "uom": "EA"})).await })
    }

    fn change_item<'a>(&'a self, code: &'a str) -> Work<'a> {
        Box::pin(async move { self.put(&format!("items/{code}"), json!({"name": "Cement, 40 g", "uom": "EA"})).await })
    }
}

#[tokio::test]
async fn passes_the_conformance_suite() {
    let server = start();
    conformance::all(&client(server.url()), &fixture()).await.unwrap();
}

#[tokio::test]
async fn fx_1_one_document_whatever_call_is_cut() {
    let server = start();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let erp = client(format!("http://{}", proxy.address()));
    faults::one_document_whatever_is_cut(&erp, &proxy, &fixture()).await.unwrap();
}

#[tokio::test]
async fn fx_1_one_document_whatever_call_comes_late() {
    let server = start();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let erp = client(format!("http://{}", proxy.address()));
    faults::one_document_whatever_comes_late(&erp, &proxy, &fixture()).await.unwrap();
}

#[tokio::test]
async fn the_feed_sees_what_is_new_and_what_has_changed() {
    let server = start();
    let erp = client(server.url());
    feed::every_stream_can_be_read(&erp).await.unwrap();
    feed::sees_a_new_and_a_changed_item(&erp, &Clerk(server.url()), "71-900001").await.unwrap();
}

/// The sandbox's own switches do what a proxy does: the effect is there, and its answer is not.
#[tokio::test]
async fn fx_1_a_lost_answer_is_in_doubt_and_then_found() {
    let server = start();
    let fixture = fixture();
    let erp = Sandbox::new(SandboxConfig { request_timeout_ms: 500, ..config(server.url()) }).unwrap();
    for by in ["close", "silence"] {
        Clerk(server.url()).put("faults", json!({"lose_answer_next": 1, "lose_answer_by": by})).await.unwrap();
        let posting = fixture.posting(by, Direction::Consume, vec![fixture.plain(1)]);
        let error = erp.post(&posting).await.unwrap_err();
        assert!(matches!(error, ErpError::InDoubt { .. }), "{by}: {error}");
        let Lookup::Done(found) = erp.resume(&posting.document_key, None, true).await.unwrap() else { panic!("{by}") };
        let posted = erp.post(&posting).await.unwrap();
        assert!(posted.already_there);
        assert_eq!(posted.documents, found.documents);
    }
    let movements = erp.stock_movements(&MovementQuery::Prefix(fixture.key_prefix.clone())).await.unwrap();
    assert_eq!(movements.len(), 2);
}

#[tokio::test]
async fn errors_of_the_server_are_transient_and_say_how_long_to_wait() {
    let server = start();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let erp = client(format!("http://{}", proxy.address()));
    let fixture = fixture();
    let posting = fixture.posting("1", Direction::Consume, vec![fixture.plain(1)]);
    for (status, retry_after_s) in [(429, Some(7)), (503, Some(9)), (500, None)] {
        proxy.arm_all(Fault::Answer { status, retry_after_s });
        let ErpError::Transient { retry_after, .. } = erp.post(&posting).await.unwrap_err() else { panic!("{status}") };
        assert_eq!(proxy.calls(), 1, "whoever calls the adapter decides about trying again");
        assert_eq!(retry_after, retry_after_s.map(Duration::from_secs));
    }
    proxy.heal();
    for faults in [json!({"throttle_next": 1, "retry_after_s": 3}), json!({"error_next": 1})] {
        Clerk(server.url()).put("faults", faults).await.unwrap();
        assert!(matches!(erp.post(&posting).await.unwrap_err(), ErpError::Transient { .. }));
    }
    assert_eq!(erp.find(&posting.document_key).await.unwrap(), Lookup::Absent);
    erp.post(&posting).await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_a_wrong_address_and_a_server_that_is_gone_hold_everything_but_refuse_nothing() {
    let server = start();
    let fixture = fixture();
    let posting = fixture.posting("1", Direction::Consume, vec![fixture.plain(1)]);
    let stranger = Sandbox::new(SandboxConfig { key: "wrong".into(), ..config(server.url()) }).unwrap();
    let gone = client("http://127.0.0.1:9");
    for erp in [&stranger, &gone] {
        let error = erp.post(&posting).await.unwrap_err();
        assert!(matches!(error, ErpError::Transient { .. }), "{error}");
    }
    // A 404 of something else must not look like a posting that is not there.
    let lost = client(format!("{}/elsewhere", server.url()));
    for erp in [&stranger, &gone, &lost] {
        assert!(matches!(erp.find(&posting.document_key).await.unwrap_err(), ErpError::Transient { .. }));
    }
}

#[tokio::test]
async fn a_closed_day_is_booked_today_or_refused() {
    let server = start();
    Clerk(server.url()).put("periods", json!({"closed_through": "2001-12-31"})).await.unwrap();
    let day = jiff::civil::date(2001, 2, 3);
    let fixture = Fixture { effective_date: Some(day), ..fixture() };
    let posting = fixture.posting("1", Direction::Consume, vec![fixture.plain(1)]);
    let strict = Sandbox::new(SandboxConfig { closed_day: ClosedDay::Refuse, ..config(server.url()) }).unwrap();
    assert_eq!(strict.post(&posting).await.unwrap_err().code(), RefusalCode::RefusedByErp.as_str());
    let posted = client(server.url()).post(&posting).await.unwrap();
    assert!(posted.effective_date.unwrap() > day);
}

#[tokio::test]
async fn a_pack_costs_what_its_content_costs() {
    let server = start();
    let erp = client(server.url());
    let fixture = fixture();
    let pack = Line { uom: "PK10".to_owned(), ..fixture.plain(2) };
    let posting = fixture.posting("1", Direction::Consume, vec![pack]);
    let posted = erp.post(&posting).await.unwrap();
    assert_eq!(posted.unit_cost(&fixture.plain_item, None), Some(Decimal::new(235, 1)));
    let borne = erp.allocations(&posting.document_key).await.unwrap();
    assert_eq!(borne.iter().map(|line| line.amount).sum::<Decimal>(), Decimal::from(47));
}

#[tokio::test]
async fn many_keys_and_many_movements_come_in_pages() {
    let server = start();
    let erp = client(server.url());
    let fixture = fixture();
    let mut keys = Vec::new();
    for index in 0..60 {
        let posting = fixture.posting(&index.to_string(), Direction::Consume, vec![fixture.plain(1)]);
        erp.post(&posting).await.unwrap();
        keys.push(posting.document_key);
    }
    assert_eq!(erp.stock_movements(&MovementQuery::Keys(keys)).await.unwrap().len(), 60);
    let few = Sandbox::new(SandboxConfig { movements_max: 59, ..config(server.url()) }).unwrap();
    let query = MovementQuery::Prefix(fixture.key_prefix);
    assert_eq!(few.stock_movements(&query).await.unwrap_err().code(), RefusalCode::RefusedByErp.as_str());
}

/// A sandbox in memory that starts anew counts from one again: a cursor of the old one must not hide what the new one has.
#[tokio::test]
async fn another_ledger_is_read_from_its_start() {
    let mut cursor = None;
    for _ in 0..2 {
        let server = start();
        let erp = client(server.url());
        let mut seen = 0;
        loop {
            let page = erp.changes(Stream::Items, cursor.as_ref()).await.unwrap();
            seen += page.changes.len();
            cursor = Some(page.next);
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, 50);
    }
}
