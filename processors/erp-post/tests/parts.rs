//! The client of the room against an ERP: batches, corrections, lost answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use connector::effect::{CallError, EffectClient};
use connector::erp::{Direction, Erp, MovementQuery, net};
use erp_systems::Opened;
use rust_decimal::Decimal;
use schemas::{Date, PostingKind};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use testkit::fault_proxy::{Fault, FaultProxy};
use testkit::parts;
use wardline_erp_post::{ErpClient, ErpPostConfig, Held, Move, Request};

/// The server that all tests share; it ends with the process.
static SERVER: OnceLock<(parts::Erp, tempfile::TempDir)> = OnceLock::new();

fn server() -> &'static parts::Erp {
    let (server, _) = SERVER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        (parts::Erp::start(dir.path()), dir)
    });
    server
}

/// The ERP at an address: its own, or that of a proxy before it.
fn open(address: SocketAddr) -> (Arc<dyn Erp>, ErpClient) {
    let config: ErpPostConfig = serde_json::from_value(server().block(address)).unwrap();
    let Opened { erp, lines_max, requests_max } = config.system.open(&config.tryton, &config.sandbox).unwrap();
    (erp.clone(), ErpClient::new(erp, lines_max, requests_max, std::time::Duration::ZERO))
}

fn part(item: &str, lot: Option<&str>, direction: Direction, quantity: i64) -> Move {
    let held = Held {
        item: item.to_owned(),
        lot: lot.map(str::to_owned),
        stock_location: "OR2".to_owned(),
        cost_centre: Some("CC-OR".to_owned()),
        uom: "EA".to_owned(),
        serial: None,
    };
    let use_location = ErpPostConfig::default().use_location("OR2");
    // Long ago, so that the ERP takes its today.
    Move { held, direction, use_location, day: Date(10_000), quantity: Decimal::from(quantity) }
}

fn request(moves: Vec<Move>) -> Request {
    Request { kind: PostingKind::Posted, moves, held: Held::default(), total: Decimal::ZERO }
}

const SUTURE: &str = "71-400101";
const STEM: &str = "71-100234";

/// What left the department under these keys: item and quantity.
async fn moved(erp: &dyn Erp, keys: &[&str]) -> Vec<(String, Decimal)> {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let movements = erp.stock_movements(&MovementQuery::Keys(keys)).await.unwrap();
    net(&movements, |place| place == "OR2").into_iter().map(|((item, ..), quantity)| (item, quantity)).collect()
}

#[tokio::test]
async fn a_batch_is_one_document_and_answers_each_request() {
    let (erp, client) = open(server().address());
    let stem = request(vec![part(STEM, Some("LOT71A"), Direction::Consume, 1)]);
    let requests = [
        request(vec![part(SUTURE, None, Direction::Consume, 2)]),
        stem,
        request(vec![part(SUTURE, None, Direction::Consume, 3)]),
    ];
    let answers = client.call("wl-batch", &requests).await.unwrap();
    let costs: Vec<_> = answers.iter().map(|answer| answer.parts[0].unit_cost.unwrap().to_string()).collect();
    assert_eq!(costs, ["2.35", "1840", "2.35"]);
    assert!(answers.iter().all(|answer| answer.parts[0].currency.as_deref() == Some("EUR")), "the company's currency");
    assert!(answers.iter().all(|answer| answer.parts[0].documents == answers[0].parts[0].documents));
    // Any part of the batch can be looked up.
    let found = client.look_up("wl-batch", &requests[1..2], false).await.unwrap().unwrap();
    assert_eq!(found, answers[1..2]);
    assert_eq!(
        moved(erp.as_ref(), &["wl-batch"]).await,
        [(STEM.to_owned(), Decimal::ONE), (SUTURE.to_owned(), Decimal::from(5))]
    );
}

#[tokio::test]
async fn the_request_at_fault_is_named_and_nothing_moves() {
    let (erp, client) = open(server().address());
    let too_much = request(vec![part(STEM, Some("LOT71B"), Direction::Consume, 999_999)]);
    let requests = [request(vec![part(SUTURE, None, Direction::Consume, 1)]), too_much];
    let CallError::Refused { reason, request } = client.call("wl-short", &requests).await.unwrap_err() else {
        panic!()
    };
    assert_eq!((reason.code.as_str(), request), ("WL-3003", Some(1)));
    assert!(reason.message.contains("LOT71B") && reason.suggested_fix.is_some(), "{reason:?}");
    let subjects: Vec<_> = reason.subjects.iter().map(|one| format!("{}/{}", one.kind, one.key)).collect();
    assert_eq!(
        (subjects, reason.field_paths),
        (vec![format!("erp.stock/OR2/{STEM}/LOT71B")], vec!["baseQuantity".to_owned()])
    );
    assert_eq!(client.look_up("wl-short", &requests, true).await.unwrap(), None);
    assert_eq!(moved(erp.as_ref(), &["wl-short"]).await, []);
}

/// What a correction to another article consumes and gives back.
fn two_documents() -> [Request; 1] {
    let back = part("71-400102", None, Direction::Return, 1);
    [request(vec![part(SUTURE, None, Direction::Consume, 4), back])]
}

#[tokio::test]
async fn fx_1_a_correction_of_two_documents_survives_a_cut_at_any_call() {
    let proxy = FaultProxy::start(server().address()).await.unwrap();
    let (erp, client) = open(proxy.address());
    let requests = two_documents();
    for call in 0..32 {
        let key = format!("wl-two-{call}");
        proxy.arm(Fault::LoseAnswer, call);
        let first = client.call(&key, &requests).await;
        if !proxy.heal() {
            // The sandbox takes each of the two documents in one call, Tryton in several.
            let calls_min = if server().system() == "sandbox" { 2 } else { 7 };
            assert!(call >= calls_min && first.is_ok(), "{call} calls: {first:?}");
            return;
        }
        assert!(matches!(first, Err(CallError::InDoubt { .. })), "{call}: {first:?}");
        let answers = match client.look_up(&key, &requests, true).await.unwrap() {
            Some(answers) => answers,
            None => client.call(&key, &requests).await.unwrap(),
        };
        assert!(answers[0].parts.iter().all(|part| part.documents.len() == 2), "{call}: {answers:?}");
        let expected = [(SUTURE.to_owned(), Decimal::from(4)), ("71-400102".to_owned(), Decimal::NEGATIVE_ONE)];
        assert_eq!(moved(erp.as_ref(), &[&key, &format!("{key}-1")]).await, expected, "{call}");
    }
    panic!("a correction never came through");
}

#[tokio::test]
async fn fx_1_a_correction_of_two_documents_survives_a_late_call() {
    let proxy = FaultProxy::start(server().address()).await.unwrap();
    let (erp, client) = open(proxy.address());
    let requests = two_documents();
    for call in 0..32 {
        let key = format!("wl-late-{call}");
        proxy.arm(Fault::HoldRequest, call);
        let first = client.call(&key, &requests).await;
        if !proxy.heal() {
            assert!(call > 0 && first.is_ok(), "{call} calls: {first:?}");
            return;
        }
        assert!(matches!(first, Err(CallError::InDoubt { .. })), "{call}: {first:?}");
        // The ERP is still at the call when somebody asks what became of it.
        client.look_up(&key, &requests, false).await.unwrap();
        proxy.release().await.unwrap();
        assert!(client.look_up(&key, &requests, true).await.unwrap().is_some(), "{call}");
        let expected = [(SUTURE.to_owned(), Decimal::from(4)), ("71-400102".to_owned(), Decimal::NEGATIVE_ONE)];
        assert_eq!(moved(erp.as_ref(), &[&key, &format!("{key}-1")]).await, expected, "{call}");
        let mut borne = Vec::new();
        for key in [key.clone(), format!("{key}-1")] {
            borne.extend(erp.allocations(&key).await.unwrap().into_iter().map(|line| line.amount));
        }
        assert_eq!(borne.len(), 2, "{call}: {borne:?}");
        assert_eq!(borne[0], Decimal::new(940, 2), "{call}: {borne:?}");
    }
    panic!("a correction never came through");
}
