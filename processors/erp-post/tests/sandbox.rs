//! The client of the room against a sandbox ERP: batches, corrections, lost answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use connector::effect::{CallError, EffectClient};
use connector::erp::{Direction, MovementQuery, net};
use embedded::sandbox_erp::{SandboxErp, SandboxErpOptions, Seed};
use erp_systems::{Opened, SandboxConfig, System};
use rust_decimal::Decimal;
use schemas::{Date, PostingKind};
use testkit::fault_proxy::{Fault, FaultProxy};
use wardline_erp_post::{ErpClient, ErpPostConfig, Held, Move, Request};

const KEY: &str = "test-key";
const SUTURE: &str = "71-400101";
const STEM: &str = "71-100234";

fn start() -> SandboxErp {
    let seed = Seed::from_json(components::HOSPITAL_JSON).unwrap();
    let options = SandboxErpOptions { listen: "127.0.0.1:0".parse().unwrap(), data: None, key: KEY.to_owned(), seed };
    SandboxErp::start(options).unwrap()
}

fn open(url: String) -> Opened {
    let sandbox = SandboxConfig { url, key: KEY.into(), ..SandboxConfig::default() };
    let config = ErpPostConfig { system: System::Sandbox, sandbox, ..ErpPostConfig::default() };
    config.system.open(&config.tryton, &config.sandbox).unwrap()
}

fn client(opened: &Opened) -> ErpClient {
    ErpClient::new(opened.erp.clone(), opened.lines_max, opened.requests_max)
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
    Move { held, direction, use_location, day: Date(10_000), quantity: Decimal::from(quantity) }
}

fn request(moves: Vec<Move>) -> Request {
    Request { kind: PostingKind::Posted, moves, held: Held::default(), total: Decimal::ZERO }
}

/// What left the department under these keys: item and quantity.
async fn moved(opened: &Opened, keys: &[&str]) -> Vec<(String, Decimal)> {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let movements = opened.erp.stock_movements(&MovementQuery::Keys(keys)).await.unwrap();
    net(&movements, |place| place == "OR2").into_iter().map(|((item, ..), quantity)| (item, quantity)).collect()
}

#[tokio::test]
async fn a_batch_is_one_document_and_the_request_at_fault_is_named() {
    let server = start();
    let opened = open(server.url());
    let client = client(&opened);
    let requests = [
        request(vec![part(SUTURE, None, Direction::Consume, 2)]),
        request(vec![part(STEM, Some("LOT71A"), Direction::Consume, 1)]),
    ];
    let answers = client.call("wl-batch", &requests).await.unwrap();
    let costs: Vec<_> = answers.iter().map(|answer| answer.parts[0].unit_cost.unwrap().to_string()).collect();
    assert_eq!(costs, ["2.35", "1840"]);
    assert_eq!(client.look_up("wl-batch", &requests[1..]).await.unwrap().unwrap(), answers[1..]);
    let too_much = request(vec![part(STEM, Some("LOT71B"), Direction::Consume, 999_999)]);
    let requests = [requests[0].clone(), too_much];
    let error = client.call("wl-short", &requests).await.unwrap_err();
    let CallError::Refused { reason, request } = error else { panic!("{error:?}") };
    assert_eq!((reason.code.as_str(), request), ("WL-3003", Some(1)));
    assert!(reason.message.contains("LOT71B") && reason.suggested_fix.is_some(), "{reason:?}");
    assert_eq!(client.look_up("wl-short", &requests).await.unwrap(), None);
    assert_eq!(moved(&opened, &["wl-short"]).await, []);
}

#[tokio::test]
async fn fx_1_a_correction_of_two_documents_survives_a_cut_at_any_call() {
    let server = start();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let opened = open(format!("http://{}", proxy.address()));
    let client = client(&opened);
    let out = part(SUTURE, None, Direction::Consume, 4);
    let back = part("71-400102", None, Direction::Return, 1);
    let requests = [request(vec![out, back])];
    for call in 0..32 {
        let key = format!("wl-two-{call}");
        proxy.arm(Fault::LoseAnswer, call);
        let first = client.call(&key, &requests).await;
        if !proxy.heal() {
            assert!(call == 2 && first.is_ok(), "{call} calls");
            return;
        }
        assert!(matches!(first, Err(CallError::InDoubt { .. })), "{call}: {first:?}");
        let answers = match client.look_up(&key, &requests).await.unwrap() {
            Some(answers) => answers,
            None => client.call(&key, &requests).await.unwrap(),
        };
        assert!(answers[0].parts.iter().all(|part| part.documents.len() == 2), "{call}: {answers:?}");
        let expected = [(SUTURE.to_owned(), Decimal::from(4)), ("71-400102".to_owned(), Decimal::NEGATIVE_ONE)];
        assert_eq!(moved(&opened, &[&key, &format!("{key}-1")]).await, expected, "{call}");
    }
    panic!("a correction never came through");
}
