//! People at the console with a real browser: they sign in, work, agree, look, and are attacked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "test")]

mod acts;
mod attacks;
mod causes;
mod corrections;
mod groups;
mod looks;
mod people;
mod reconciliation;
mod replays;

use runtime::outgoing::Outgoing;
use schemas::{Exception, ExceptionKind, ExceptionState, Subject, Timestamp, topics};
use std::borrow::Cow;
use wardline_tests::browser::Tab;
use wardline_tests::desk::{Desk, PASSWORD};
use wardline_tests::toys;

/// A flow whose events one person gives up.
const ONE_PERSON: &str = "supply.purchase-order.v1";

async fn sign_in(desk: &Desk, tab: &Tab, user: &str) {
    tab.open(&format!("{}/", desk.url)).await;
    tab.fill("#user", user).await;
    tab.fill("#password", PASSWORD).await;
    tab.click("form.sign-in button").await;
    tab.reads(&format!("{user} (")).await;
}

/// Plans a replay of everything, and gives the path of its page.
async fn plan(desk: &Desk, tab: &Tab, reason: &str) -> String {
    tab.open(&format!("{}/replay", desk.url)).await;
    tab.fill("form[action$='/replay/plan'] [name=room]", toys::VALIDATE).await;
    tab.fill("form[action$='/replay/plan'] [name=from_time]", "2020-01-01T00:00:00Z").await;
    tab.fill("form[action$='/replay/plan'] [name=reason]", reason).await;
    tab.click("form[action$='/replay/plan'] button").await;
    tab.reads(reason).await;
    let path = tab.path().await;
    assert!(path.starts_with("/replay/"), "{path}");
    path
}

/// An exception with a message of a patient.
fn exception(number: usize, text: &str) -> Exception {
    let message = format!(
        "MSH|^~\\&|{text}|F|WL|H|20260302||ADT^A01|1|P|2.5.1\rPID|1||{text}^^^H^MR||Abel^Ada\r\
         ORC|RE|{text}|F||CM\rOBX|1|ST|{text}^x||{text}||||||F\r"
    );
    let now = Timestamp(runtime::clock::now_micros());
    Exception {
        exception_id: format!("00000000-0000-5000-8000-{number:012}"),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: "hl7v2".to_owned(),
        stage: "process".to_owned(),
        code: "WL-4001".to_owned(),
        message: format!("the item {text} is not in the item master"),
        suggested_fix: Some(format!("Add {text} to the item master.")),
        subject: Some(Subject { kind: "master.item.v1".to_owned(), key: text.to_owned() }),
        origin_topic: Some(ONE_PERSON.to_owned()),
        origin_partition: Some(0),
        origin_offset: Some(i64::try_from(number).unwrap()),
        raw_value: Some(message.into_bytes().into()),
        raised_at: now,
        at: now,
        ..Exception::default()
    }
}

async fn dead_letter(desk: &Desk, text: &str) {
    let facts =
        [("wl_room", "hl7v2"), ("wl_stage", "read"), ("wl_code", "WL-1001"), ("wl_reason", text), ("ce_id", text)];
    let headers = facts.map(|(name, text)| (Cow::Borrowed(name), Some(text.as_bytes().to_vec().into())));
    let letter = Outgoing {
        topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
        partition: Some(0),
        key: None,
        value: Some(format!("MSH|{text}").into_bytes().into()),
        headers: headers.into_iter().collect(),
        ticket: None,
    };
    desk.stack.publish_raw(&[letter]).await;
}
