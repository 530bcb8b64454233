//! The room against a FHIR server that is not well: what fails there stops nothing else, and is made up for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use schemas::{Action, Cursor, Exception, Receipt, ReceiptOutcome, SupplyUsage, topics};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use testkit::stack::{Running, Stack};
use testkit::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that says what it is told to say; of what it was not told it has nothing.
struct Server {
    url: String,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, (u16, Vec<u8>)>,
    /// Paths below the base, without parameters.
    asked: Vec<String>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/fhir", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&shared)));
            }
        });
        Self { url, script }
    }

    /// Answers a path in this way from now on.
    fn say(&self, path: &str, status: u16, body: impl Into<Vec<u8>>) {
        self.script.lock().unwrap().answers.insert(path.to_owned(), (status, body.into()));
    }

    fn asked(&self, path: &str) -> usize {
        self.script.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }

    /// Waits until a path is asked for that many times more.
    async fn asked_again(&self, path: &str, times: usize) {
        let before = self.asked(path);
        until(path, || self.asked(path) >= before + times).await;
    }

    /// How many sweeps of a type lie between the looks at its history.
    fn pauses(&self, resource_type: &str) -> Vec<usize> {
        let history = format!("{resource_type}/_history");
        let script = self.script.lock().unwrap();
        let mut pauses: Vec<usize> = script
            .asked
            .split(|asked| *asked == history)
            .map(|between| between.iter().filter(|asked| *asked == resource_type).count())
            .collect();
        // Before the first look, and since the last.
        pauses.remove(0);
        pauses.pop();
        pauses
    }
}

async fn serve(mut client: TcpStream, script: Arc<Mutex<Script>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().trim_start_matches("/fhir/");
    let path = target.split('?').next().unwrap().to_owned();
    let (status, body) = {
        let mut script = script.lock().unwrap();
        script.asked.push(path.clone());
        let is_search = !path.contains('/') || path.ends_with("/_history");
        let nothing = if is_search { (200, bundle(&[])) } else { (404, Vec::new()) };
        script.answers.get(&path).cloned().unwrap_or(nothing)
    };
    let head = format!(
        "HTTP/1.1 {status} so\r\ncontent-type: application/fhir+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let answer = [head.as_bytes(), &body].concat();
    // A client that stops does not wait for the answer.
    drop(client.write_all(&answer).await);
}

async fn started(server: &Server, types: &[&str]) -> (Stack, Running) {
    let mut stack = Stack::start().await;
    let running = run(&mut stack, server, types).await;
    (stack, running)
}

async fn run(stack: &mut Stack, server: &Server, types: &[&str]) -> Running {
    let block = json!({"base_url": server.url, "resource_types": types, "poll_interval_ms": 5, "retry_delay_ms": 5,
        "retry_delay_max_ms": 20});
    stack.configure("fhir", block);
    stack.run(vec![wardline_fhir::room()]).await
}

fn bundle(resources: &[Vec<u8>]) -> Vec<u8> {
    let entries: Vec<_> = resources.iter().map(|resource| [b"{\"resource\":", &resource[..], b"}"].concat()).collect();
    let head =
        br#"{"resourceType":"Bundle","type":"searchset","meta":{"lastUpdated":"2026-09-14T10:00:00Z"},"entry":["#;
    [&head[..], &entries.join(&b","[..]), b"]}"].concat()
}

fn procedure(id: &str, more: &str) -> Vec<u8> {
    format!(
        r#"{{"resourceType":"Procedure","id":"{id}","meta":{{"versionId":"1","lastUpdated":"2026-09-14T09:00:00Z"}},
        "status":"completed","subject":{{"reference":"Patient/p1"}},"encounter":{{"reference":"Encounter/e1"}},
        "usedCode":[{{"coding":[{{"code":"71-100777"}}]}}]{more}}}"#
    )
    .into_bytes()
}

fn deletion(name: &str) -> Vec<u8> {
    let request = json!({"method": "DELETE", "url": format!("{name}/_history/2")});
    json!({"resourceType": "Bundle", "type": "history", "entry": [{"request": request}]}).to_string().into_bytes()
}

fn is_retracted(usages: &[SupplyUsage]) -> bool {
    usages.iter().any(|usage| usage.meta.action == Action::Retract)
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_1_a_refusal_of_the_history_passes_and_deletions_are_seen_then() {
    let server = Server::start().await;
    server.say("Procedure", 200, bundle(&[procedure("pr1", "")]));
    let (stack, running) = started(&server, &["Procedure"]).await;
    for status in [410, 401, 403, 400] {
        server.say("Procedure/_history", status, "");
        server.asked_again("Procedure/_history", 2).await;
    }
    let with_next =
        json!({"resourceType": "Bundle", "type": "history", "link": [{"relation": "next", "url": "expired"}]});
    server.say("expired", 404, "");
    server.say("Procedure/_history", 200, with_next.to_string());
    server.asked_again("expired", 2).await;
    // Only this says that there is no history, and it is asked for again all the same.
    server.say("Procedure/_history", 404, "");
    server.asked_again("Procedure/_history", 1).await;
    server.say("Procedure/_history", 200, deletion("Procedure/pr1"));
    stack.until::<SupplyUsage>("retraction", is_retracted).await;
    server.asked_again("Procedure/_history", 2).await;
    running.stop().await;

    let pauses = server.pauses("Procedure");
    // What fails sits out as many rounds as its wait holds, 4 at most, and the type is read in each of them.
    let (short, long): (Vec<usize>, Vec<usize>) = pauses.iter().copied().partition(|pause| *pause <= 5);
    assert!(short.contains(&5) && short.last() == Some(&1), "{pauses:?}");
    assert!(!long.is_empty() && long.iter().all(|pause| *pause == 101), "{pauses:?}");
    let told: Vec<_> = stack.events::<SupplyUsage>().await.iter().map(|usage| usage.meta.action).collect();
    assert_eq!(told, [Action::Create, Action::Retract]);
}

/// An earlier version looked at the history of all types at once: from there each of them is followed.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_what_was_deleted_across_an_upgrade_is_seen() {
    let server = Server::start().await;
    let mut stack = Stack::start().await;
    let (connector, stream) = ("fhir/fhir".to_owned(), "deletions".to_owned());
    let position = "2026-09-14T08:00:00Z".to_owned();
    stack.publish(&[Cursor { connector, stream, position, ..Cursor::default() }]).await;
    server.say("Procedure/_history", 200, deletion("Procedure/pr1"));
    let running = run(&mut stack, &server, &["Procedure"]).await;
    let is_seen =
        |receipts: &[Receipt]| receipts.iter().any(|receipt| receipt.message_id == "Procedure/pr1/_history/2");
    stack.until::<Receipt>("receipt of the deletion", is_seen).await;
    server.asked_again("Procedure/_history", 3).await;
    running.stop().await;
    assert_eq!(stack.events::<Receipt>().await.len(), 1);
    let first = server.script.lock().unwrap().asked.first().cloned();
    assert_eq!(first.as_deref(), Some("Procedure/_history"), "before anything is swept");
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_1_what_fails_for_one_type_stops_no_other() {
    let server = Server::start().await;
    server.say("Encounter", 400, "");
    server.say("Procedure/_history", 200, "a page of a proxy");
    server.say("Procedure", 200, bundle(&[procedure("pr1", "")]));
    let (stack, running) = started(&server, &["Encounter", "Procedure", "ChargeItem"]).await;
    stack.until::<SupplyUsage>("usage of the procedure", |usages| usages.len() == 1).await;
    server.asked_again("Procedure/_history", 2).await;
    let charge = json!({"resourceType": "ChargeItem", "id": "c1", "meta": {"versionId": "1"}, "status": "billable",
        "code": {"text": "x"}, "subject": {"reference": "Patient/p1"}, "productCodeableConcept": {"text": "swab"}});
    server.say("ChargeItem", 200, bundle(&[charge.to_string().into_bytes()]));
    stack.until::<SupplyUsage>("usage of the charge", |usages| usages.len() == 2).await;
    // What was told while the history could not be read is taken back when it can.
    server.say("Procedure/_history", 200, deletion("Procedure/pr1"));
    stack.until::<SupplyUsage>("retraction", is_retracted).await;
    let encounter = json!({"resourceType": "Encounter", "id": "e2", "status": "planned", "class": {"code": "IMP"}});
    server.say("Encounter", 200, bundle(&[encounter.to_string().into_bytes()]));
    let is_read = |receipts: &[Receipt]| receipts.iter().any(|receipt| receipt.message_type == "Encounter");
    stack.until::<Receipt>("receipt of the encounter", is_read).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_1_a_sealed_record_is_not_at_hand() {
    let server = Server::start().await;
    for name in ["Patient/p1", "Encounter/e1", "Device/d1"] {
        server.say(name, 403, "");
    }
    let implant = procedure("pr1", r#","usedReference":[{"reference":"Device/d1"}]"#);
    server.say("Procedure", 200, bundle(&[implant]));
    let (stack, running) = started(&server, &["Procedure"]).await;
    let usages = stack.until::<SupplyUsage>("usages", |usages| usages.len() == 2).await;
    running.stop().await;
    for usage in usages {
        let codes: Vec<_> = usage.meta.warnings.iter().map(|warning| warning.code.as_str()).collect();
        assert!(codes.contains(&"WL-2009"), "{codes:?}");
    }
}

/// RAW-1, LOSS-1: each resource of a page has its own outcome, and what is refused is kept to the last byte, however long.
#[tokio::test(flavor = "multi_thread")]
async fn raw_1_what_cannot_be_read_or_is_long_is_kept_and_the_page_passes() {
    let long = "x".repeat(1_900_000);
    let mut not_utf_8 = procedure("pr3", r#","outcome":{"text":"?"}"#);
    let at = not_utf_8.iter().position(|byte| *byte == b'?').unwrap();
    not_utf_8[at] = 0xff;
    let unreadable =
        [procedure("pr2", r#","status":"stopped""#), not_utf_8, procedure("pr4", &format!(r#","status":"{long}""#))];
    let refused = procedure("pr5", &format!(r#","modifierExtension":[{{"url":"http://x","valueString":"{long}"}}]"#));
    // Its event would be larger than its topic takes.
    let large =
        String::from_utf8(procedure("pr7", "")).unwrap().replace("71-100777", &"7".repeat(1_100_000)).into_bytes();
    let page =
        [&[procedure("pr1", "")][..], &unreadable, &[refused.clone(), large.clone(), procedure("pr6", "")]].concat();
    let server = Server::start().await;
    server.say("Procedure", 200, bundle(&page));
    let (stack, running) = started(&server, &["Procedure"]).await;
    stack.until::<Receipt>("receipts", |receipts| receipts.len() >= 7).await;
    server.asked_again("Procedure", 3).await;
    running.stop().await;

    let receipts = stack.events::<Receipt>().await;
    let outcomes: BTreeMap<_, _> = receipts
        .iter()
        .map(|receipt| (receipt.message_id.as_str(), (receipt.outcome, receipt.rule.as_deref())))
        .collect();
    let expected = BTreeMap::from([
        ("Procedure/pr1/_history/1", (ReceiptOutcome::Events, None)),
        ("Procedure/pr2/_history/1", (ReceiptOutcome::DeadLetter, Some("WL-2002"))),
        ("Procedure/pr3/_history/1", (ReceiptOutcome::DeadLetter, Some("WL-2001"))),
        ("Procedure/pr4/_history/1", (ReceiptOutcome::DeadLetter, Some("WL-2002"))),
        ("Procedure/pr5/_history/1", (ReceiptOutcome::Exception, Some("WL-2005"))),
        ("Procedure/pr6/_history/1", (ReceiptOutcome::Events, None)),
        ("Procedure/pr7/_history/1", (ReceiptOutcome::Exception, Some("WL-6008"))),
    ]);
    assert_eq!((receipts.len(), outcomes), (7, expected));

    let mut kept: HashMap<String, Vec<u8>> = HashMap::new();
    for letter in stack.records(topics::OPS_DEAD_LETTER_V1.name()).await {
        let receipt = letter.headers.iter().find(|header| header.0 == "wl_receipt").unwrap();
        let receipt = String::from_utf8(receipt.1.as_deref().unwrap().to_vec()).unwrap();
        kept.entry(receipt).or_default().extend(letter.value.as_deref().unwrap());
    }
    let kept_of = |id: &str| {
        let receipt = receipts.iter().find(|receipt| receipt.message_id.contains(id)).unwrap();
        kept.get(&receipt.receipt_id)
    };
    for (id, bytes) in ["pr2", "pr3", "pr4"].into_iter().zip(&unreadable) {
        assert!(kept_of(id) == Some(bytes), "{id}");
    }
    assert!(kept_of("pr5") == Some(&refused) && kept_of("pr7") == Some(&large) && kept.len() == 5);
    let exceptions = stack.events::<Exception>().await;
    let mut codes: Vec<_> = exceptions.iter().map(|exception| exception.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["WL-2005", "WL-6008"]);
    assert!(exceptions.iter().all(|exception| exception.raw_value.is_none()));
    let sources = stack.records(topics::OPS_SOURCE_V1.name()).await;
    let whole: Vec<Value> =
        sources.iter().filter_map(|record| serde_json::from_slice(record.value.as_deref()?).ok()).collect();
    let mut ids: Vec<_> = whole.iter().map(|resource| resource["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["pr1", "pr6"]);
}
