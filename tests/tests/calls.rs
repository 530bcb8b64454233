//! What calls of the API answer is what its document promises, also where nothing else asks: `Desk::call` compares each answer.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test")]

use console::people::sha256_hex;
use console::{Role, TokenConfig};
use operations::messages::MessageId;
use operations::reconcile::{Report, report_id};
use runtime::clock::now_micros;
use runtime::outgoing::Outgoing;
use runtime::source_bytes;
use schemas::{Exception, ExceptionKind, ExceptionState, MasterItem, Timestamp, ValidatedUsage, topics};
use serde_json::{Value, json};
use std::borrow::Cow;
use testkit::until_found;
use wardline_tests::desk::Desk;
use wardline_tests::events::usage;
use wardline_tests::toys;

const OPERATOR: &str = "the token of one who operates";
const APPROVER: &str = "the token of one who approves";
const MESSAGE: &[u8] = b"MSH|^~\\&|EHR|NORTH|||20260914||DFT^P03|7|P|2.5.1\rPID|1||7^^^N^MR||Abel^Ada\r";

async fn start() -> Desk {
    Desk::start(|config| {
        for (name, token, role) in [("op", OPERATOR, Role::Operator), ("second", APPROVER, Role::Approver)] {
            let sha256 = sha256_hex(token.as_bytes()).into();
            config.tokens.insert(name.to_owned(), TokenConfig { role, sha256 });
        }
    })
    .await
}

async fn done(desk: &Desk, path: &str, body: Value) -> Value {
    serde_json::from_str(&desk.call(path, OPERATOR, Some(&body)).await).unwrap()
}

async fn agreed(desk: &Desk, path: &str, body: Value) -> Value {
    serde_json::from_str(&desk.call(path, APPROVER, Some(&body)).await).unwrap()
}

fn exception(number: usize) -> Exception {
    let now = Timestamp(now_micros());
    Exception {
        exception_id: format!("00000000-0000-5000-8000-{number:012}"),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: "hl7v2".to_owned(),
        code: "WL-4001".to_owned(),
        message: "the item is not in the item master".to_owned(),
        raw_value: Some(MESSAGE.into()),
        raised_at: now,
        at: now,
        ..Exception::default()
    }
}

/// Rooms that ran and stand still, with three records behind them.
async fn with_records() -> Desk {
    let desk = start().await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&[1, 2, 3].map(|number| usage("enc-1", number, "plain"))).await;
    desk.stack.until::<ValidatedUsage>("three events", |events| events.len() == 3).await;
    desk.until_api("/groups", |seen| seen["groups"].to_string().contains("\"lagRecords\":0")).await;
    room.stop().await;
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_and_comparisons_answer_as_promised() {
    let desk = with_records().await;
    let from = "2020-01-01T00:00:00Z";
    let wanted = json!({"room": toys::VALIDATE, "from_time": from, "reason": "the rule was wrong"});
    let planned = done(&desk, "/replay/plan", wanted).await;
    let path = format!("/replay/{}", planned["plan"]["replayId"].as_str().unwrap());
    assert_eq!(planned["plan"]["counts"]["records"], 3, "{planned}");
    assert_eq!(desk.api(&path).await["here"]["underWay"], false);
    assert_eq!(desk.api("/replay").await["plans"].as_array().map(Vec::len), Some(1));
    let aborted = done(&desk, &format!("{path}/abort"), json!({"comment": "not now"})).await;
    assert_eq!(aborted["plan"]["state"], "ABORTED", "{aborted}");

    let begun = done(&desk, "/replay/shadow/run", json!({"room": toys::VALIDATE, "from_time": from})).await;
    let made =
        desk.until_api("/replay/shadow", |seen| seen["made"].as_array().is_some_and(|all| !all.is_empty())).await;
    assert_eq!(made["made"][0]["id"], begun["id"], "{made}");
    let one = desk.api(&format!("/replay/shadow/{}", begun["id"].as_str().unwrap())).await;
    assert_eq!(one["report"]["records"], 3, "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_reports_answer_as_promised() {
    let desk = with_records().await;
    let path = format!("/groups/{}", toys::VALIDATE);
    let one = desk.until_api(&path, |seen| seen["standing"]["state"] == "Empty").await;
    assert_eq!(one["room"], toys::VALIDATE);
    let back = json!({"to": "earliest"});
    assert_eq!(done(&desk, &format!("{path}/preview"), back).await["plan"]["again"], 3);
    let back = json!({"to": "earliest", "reason": "load them again"});
    let asked = done(&desk, &format!("{path}/reset"), back).await;
    assert_eq!(asked["done"], false, "a second person has to agree: {asked}");
    desk.until_api("/groups", |seen| seen["resets"].as_array().map(Vec::len) == Some(1)).await;
    assert_eq!(agreed(&desk, "/groups/approve", json!({"id": asked["plan"]["id"]})).await["done"], true);

    done(&desk, "/reconciliation/run", json!({"hours": 1})).await;
    let is_made = |seen: &Value| seen["reports"].as_array().is_some_and(|all| !all.is_empty());
    let seen = desk.until_api("/reconciliation", is_made).await;
    let report: Report = serde_json::from_value(seen["reports"][0]["report"].clone()).unwrap();
    let id = report_id(&report);
    for form in ["json", "html", "md"] {
        let text = desk.call(&format!("/reconciliation/report?id={id}&form={form}"), OPERATOR, None).await;
        assert!(!text.is_empty(), "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_and_records_answer_as_promised() {
    let desk = start().await;
    desk.raise(&[exception(1), exception(2)]).await;
    let path = |number: usize, act: &str| format!("/exceptions/{}{act}", exception(number).exception_id);
    assert_eq!(done(&desk, &path(1, "/assign"), json!({"to": "olga"})).await["done"][0]["kind"], "ASSIGNED");
    assert_eq!(done(&desk, &path(1, "/comment"), json!({"comment": "seen"})).await["done"][0]["kind"], "COMMENTED");
    let whole = done(&desk, &path(1, "/original"), json!({"reason": "the ward asks"})).await;
    assert_eq!(whole["source"]["original"]["form"], "hl7v2", "{whole}");
    let asked = done(&desk, &path(2, "/resolve"), json!({"comment": "sent again"})).await;
    assert_eq!(asked["done"][0]["kind"], "DISCARD_REQUESTED", "next to the patient nobody settles alone: {asked}");
    let settled = agreed(&desk, &path(2, "/resolve"), json!({"comment": "it was"})).await;
    assert_eq!(settled["done"][0]["state"], "RESOLVED", "{settled}");
    let told = desk.until_api(&path(1, ""), |one| one["history"].as_array().is_some_and(|all| !all.is_empty())).await;
    assert_eq!(told["assignee"], "olga", "{told}");

    desk.stack.publish(&[MasterItem { item_id: "SUTURE".to_owned(), ..MasterItem::default() }]).await;
    let code = json!({"kind": "item", "system": "ORIS", "code": "OLD-1", "to": "SUTURE", "comment": "old number"});
    let mapped = done(&desk, "/crosswalk/set", code).await;
    assert!(mapped["mapping"].as_str().unwrap().contains("SUTURE"), "{mapped}");
    desk.until_api("/crosswalk", |seen| seen["mappings"].as_array().map(Vec::len) == Some(1)).await;

    let id = MessageId::of(&"a".repeat(64), now_micros()).unwrap();
    let records: Vec<_> = source_bytes::records(&id.content_hash, MESSAGE, "application/hl7-v2", None).collect();
    desk.stack.publish_raw(&records).await;
    assert_eq!(desk.api(&format!("/messages/{id}")).await["source"]["isMasked"], true);
    let whole = done(&desk, &format!("/messages/{id}/original"), json!({"reason": "the ward asks"})).await;
    assert_eq!(whole["source"]["isMasked"], false);
    desk.stack.publish_raw(&[letter()]).await;
    let one = until_found("the dead letter", async || {
        let seen = desk.api("/dead-letters").await;
        seen["letters"].get(0).cloned()
    })
    .await;
    let path = format!("/dead-letters/{}", one["id"].as_str().unwrap());
    done(&desk, &format!("{path}/original"), json!({"reason": "the sender asks"})).await;
    let settle = format!("{path}/settle");
    assert_eq!(done(&desk, &settle, json!({"reason": "sent again"})).await["settled"], false, "two people settle it");
    assert_eq!(agreed(&desk, &settle, json!({"reason": "it was"})).await["settled"], true);
    assert!(desk.api("/topics/ops.audit.v1").await["schema"].is_object());
    assert_eq!(desk.api("/errors/WL-4001").await["code"], "WL-4001");
    assert!(desk.api("/overview").await["rooms"].is_array());
}

fn letter() -> Outgoing {
    let facts = [("wl_room", "hl7v2"), ("wl_stage", "read"), ("wl_code", "WL-1001"), ("wl_reason", "not read")];
    Outgoing {
        topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
        partition: Some(0),
        key: None,
        value: Some(MESSAGE.to_vec().into()),
        headers: facts
            .map(|(name, text)| (Cow::Borrowed(name), Some(text.as_bytes().to_vec().into())))
            .into_iter()
            .collect(),
        ticket: None,
    }
}
