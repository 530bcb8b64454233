//! Another version of a room over what the running one has decided: it tells what differs, writes nothing and calls nobody (RPL-1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use console::people::sha256_hex;
use console::{ConsoleConfig, Role, TokenConfig};
use operations::replay::shadow::{Change, VERSION};
use operations::replay::{ReplayError, ReplayRoom, ReplaySelection, Replays, ShadowReport, ShadowRequest};
use processor::{Code, Processor, Reason, Verdict, Wiring, derived};
use reqwest::StatusCode;
use runtime::reader::{self, PartitionLag};
use runtime::{Room, RoomInfo};
use schemas::{Action, Decimal, EnrichedUsage, ErpPosting, EventMeta, Exception, ValidatedUsage, topics};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use testkit::parts::Erp as ErpPart;
use testkit::stack::Stack;
use wardline_tests::desk::Desk;
use wardline_tests::events::{enriched, usage};
use wardline_tests::toys;

/// Stays, and usages of each.
const VISITS: usize = 4;
const USAGES: usize = 5;

/// What a usage costs in one version of a room.
#[derive(Clone)]
struct Priced {
    price: Decimal,
    /// Articles that this version does not take.
    refuses: Option<&'static str>,
}

impl Processor for Priced {
    type Input = ValidatedUsage;
    type Output = EnrichedUsage;
    type Tables = ();

    fn process(&self, usage: ValidatedUsage, _tables: &()) -> Verdict<EnrichedUsage> {
        if usage.item_id.as_deref().is_some_and(|item| self.refuses == Some(item)) {
            return Verdict::Reject(Reason::new(Code::new("WL-4051"), "item.unknown", "this version does not know it"));
        }
        let enriched = EnrichedUsage {
            meta: derived::<EnrichedUsage>(&usage, "enrich"),
            encounter_ref: usage.encounter_ref.clone(),
            item_id: usage.item_id.clone(),
            base_quantity: Some(Decimal::TWO),
            unit_price: Some(self.price),
            currency: Some("EUR".to_owned()),
            // Says something about a patient: it differs in every version and may not be shown.
            patient_ref: Some(format!("pat-{}", self.price)),
            ..EnrichedUsage::default()
        };
        Verdict::emit(enriched)
    }
}

fn enrich(version: &Priced) -> Room {
    let wiring = |version: &Priced| Wiring::new("enrich", "prices", version.clone(), topics::SUPPLY_USAGE_ENRICHED_V1);
    let info = RoomInfo::of_processor(&wiring(version));
    let version = version.clone();
    Room::processor(info, move |_| Ok(wiring(&version)))
}

fn meta(visit: usize, number: usize) -> EventMeta {
    let visit = format!("enc-{visit}");
    EventMeta {
        event_id: schemas::identity::event_id("test", &visit, &number.to_string(), "usage"),
        business_key: format!("usage/{visit}/{number}"),
        ..EventMeta::default()
    }
}

fn validated(visit: usize, number: usize) -> ValidatedUsage {
    ValidatedUsage {
        meta: meta(visit, number),
        encounter_ref: format!("enc-{visit}"),
        item_id: Some(format!("item-{number}")),
        ..ValidatedUsage::default()
    }
}

/// Everything that could have changed: ends of all topics, and where the room stands.
async fn world(
    stack: &Stack,
    room: &'static str,
    reads: &'static str,
) -> (BTreeMap<(String, i32), i64>, Vec<PartitionLag>) {
    let kafka = stack.config.kafka.clone();
    tokio::task::spawn_blocking(move || {
        let names: Vec<&str> = topics::ALL.iter().map(|topic| topic.name).collect();
        (reader::ends(&kafka, &names).unwrap(), reader::group_lag(&kafka, room, &[reads]).unwrap())
    })
    .await
    .unwrap()
}

async fn shadowed(stack: &Stack, room: &Room) -> ShadowReport {
    let report = asked(stack, room, VERSION).await.unwrap();
    assert_eq!(report.version, VERSION, "a report says which version was asked");
    report
}

async fn asked(stack: &Stack, room: &Room, version: &str) -> Result<ShadowReport, ReplayError> {
    let known = vec![ReplayRoom::from(room)];
    let replays = Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), known).unwrap();
    let request = ShadowRequest {
        room: room.info().name.to_owned(),
        topic: None,
        selection: ReplaySelection { from_time_ms: Some(0), ..ReplaySelection::default() },
        version: Some(version.to_owned()),
    };
    let shadow = room.shadow(&stack.config).unwrap().unwrap();
    replays.shadow(&request, shadow, |_| ()).await
}

/// A new version costs more, does not know one article any more and knows another one again: all of it is told, with money, and
/// nothing that says something about a patient is shown.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_another_version_of_a_processor_is_compared_and_writes_nothing() {
    let stack = Stack::start().await;
    let old = Priced { price: Decimal::TEN, refuses: Some("item-1") };
    let usages: Vec<_> =
        (0..VISITS).flat_map(|visit| (0..USAGES).map(move |number| validated(visit, number))).collect();
    stack.publish(&usages).await;
    let running = stack.run(vec![enrich(&old)]).await;
    // What comes behind a refused article waits; only the first of each stay is through.
    stack.until::<EnrichedUsage>("what the old version takes", |events| events.len() == VISITS).await;
    stack.until::<Exception>("what it does not take", |exceptions| exceptions.len() == VISITS).await;
    running.stop().await;
    let before = world(&stack, "enrich", "supply.usage-validated.v1").await;

    let refused = asked(&stack, &enrich(&old), "0.0.0-other").await.unwrap_err().to_string();
    assert!(
        refused.starts_with("WL-7262") && refused.contains("0.0.0-other") && refused.contains(VERSION),
        "{refused}"
    );
    let same = shadowed(&stack, &enrich(&old)).await;
    assert_eq!(same.compared_with, [VERSION], "what was refused says who refused it");
    assert!(!same.differs(), "{same:#?}");
    assert_eq!(same.same, (VISITS * USAGES) as u64, "{same:#?}");

    let new = Priced { price: Decimal::TEN + Decimal::ONE, refuses: Some("item-0") };
    let report = shadowed(&stack, &enrich(&new)).await;
    assert_eq!(report.newly_refused, VISITS as u64, "item-0 of each stay: {report:#?}");
    assert_eq!(
        report.newly_accepted, VISITS as u64,
        "item-1; what waits behind it waits behind item-0 then: {report:#?}"
    );
    let refused = |change: &&Change| change.before == "accepted" && change.after == "a person is asked: WL-4051";
    let refused = report.changes.iter().find(refused).unwrap();
    assert_eq!((refused.records, refused.examples.is_empty()), (VISITS as u64, false));
    let asked = |change: &&Change| change.before == "a person is asked: WL-4051" && change.after == "accepted";
    assert_eq!(report.changes.iter().find(asked).unwrap().records, VISITS as u64);

    let dearer =
        shadowed(&stack, &enrich(&Priced { price: Decimal::TEN + Decimal::ONE, refuses: Some("item-1") })).await;
    assert_eq!(dearer.fields_differ, VISITS as u64, "{dearer:#?}");
    let field = |path: &str| dearer.fields.iter().find(|field| field.path == path).unwrap();
    let price = &field("unitPrice").examples[0];
    let number = |text: &Option<String>| text.as_ref().unwrap().parse::<Decimal>().unwrap();
    assert_eq!((number(&price.before), number(&price.after)), (Decimal::TEN, Decimal::TEN + Decimal::ONE));
    let patient = &field("patientRef").examples[0];
    assert_eq!((patient.before.as_deref(), patient.after.as_deref()), (Some("***"), Some("***")), "PHI-1");
    let money = &dearer.money[0];
    let pieces = Decimal::from(2 * VISITS);
    assert_eq!((money.currency.as_str(), money.before), ("EUR", Decimal::TEN * pieces));
    assert!(money.after >= (Decimal::TEN + Decimal::ONE) * pieces && money.difference > Decimal::ZERO, "{money:?}");
    assert_eq!(world(&stack, "enrich", "supply.usage-validated.v1").await, before, "nothing was written or committed");
}

/// FX-1: the same version of a room that acts asks for the very effects that are on record, also for corrections that depend on
/// what was posted before; a usage that the running version did not post would be a new effect.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_the_effects_of_another_version_are_compared_and_nobody_is_called() {
    let mut stack = Stack::start().await;
    let dir = stack.dir.path().join("erp");
    let server = tokio::task::spawn_blocking(move || ErpPart::start(&dir)).await.unwrap();
    stack.configure(erp_post::NAME, server.block(server.address()));
    let mut sent: Vec<_> =
        (0..VISITS).flat_map(|visit| (0..USAGES).map(move |number| enriched(visit, number))).collect();
    let mut corrected = enriched(0, 0);
    corrected.meta.event_id = schemas::identity::event_id("test", "enc-0", "0", "correction");
    corrected.meta.revision = 1;
    corrected.meta.action = Action::Update;
    corrected.base_quantity = Some(Decimal::from(5));
    sent.push(corrected);
    let consigned = EnrichedUsage { consigned: true, ..enriched(1, 90) };
    sent.push(consigned);
    stack.publish(&sent).await;
    let running = stack.run(vec![erp_post::room()]).await;
    stack.until::<ErpPosting>("every posting", |postings| postings.len() == sent.len()).await;
    running.stop().await;
    let before = world(&stack, erp_post::NAME, "supply.usage-enriched.v1").await;

    let report = shadowed(&stack, &erp_post::room()).await;
    let all = sent.len() as u64;
    assert_eq!((report.records, report.same, report.differs()), (all, all, false), "{report:#?}");
    assert_eq!((report.effects.before, report.effects.after), (all - 1, all - 1), "consigned stock is no posting");
    assert_eq!((report.effects.new, report.effects.gone), (0, 0));
    assert!(report.money.iter().all(|money| money.before == money.after), "{:?}", report.money);

    // In another version each posting goes to the ERP under the name of another one, as the events about it say.
    let mut other = stack.config.rooms.get(erp_post::NAME).cloned().unwrap();
    other["batch"] = json!(false);
    stack.configure(erp_post::NAME, other);
    assert!(!shadowed(&stack, &erp_post::room()).await.differs(), "how postings are grouped is no difference");
    assert_eq!(
        world(&stack, erp_post::NAME, "supply.usage-enriched.v1").await,
        before,
        "nothing was written or posted"
    );
}

/// The token of a program that acts.
const TOKEN: &str = "the token of a program that acts";

fn with_token(config: &mut ConsoleConfig) {
    let token = TokenConfig { role: Role::Operator, sha256: sha256_hex(TOKEN.as_bytes()).into() };
    config.tokens.insert("ci".to_owned(), token);
}

async fn compare(desk: &Desk, version: &str) -> (StatusCode, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"room": toys::VALIDATE, "from_time": "2020-01-01T00:00:00Z", "version": version});
    let request = client.post(format!("{}/api/v1/replay/shadow/run", desk.url)).bearer_auth(TOKEN).json(&body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// A report ends with the console that made it. What it came to does not: it is on record, with its figures, and every other
/// console lists it.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_what_a_comparison_came_to_outlives_the_console_that_made_it() {
    let desk = Desk::start(with_token).await;
    let room = desk.stack.run(vec![toys::validate()]).await;
    desk.stack.publish(&[usage("enc-1", 1, "plain"), usage("enc-1", 2, "plain")]).await;
    desk.stack.until::<ValidatedUsage>("two events", |events| events.len() == 2).await;
    room.stop().await;

    let (status, refused) = compare(&desk, "0.0.0-other").await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("WL-7262")), "{refused:#}");
    let (status, begun) = compare(&desk, VERSION).await;
    assert!(status.is_success(), "{begun:#}");
    let is_made = |seen: &Value| seen["made"].as_array().is_some_and(|made| made.len() == 1);
    let seen = desk.until_api("/replay/shadow", is_made).await;
    let made = &seen["made"][0];
    assert_eq!((&made["report"]["version"], &made["report"]["same"]), (&json!(VERSION), &json!(2)), "{made:#}");
    assert_eq!((&made["id"], &made["notOnRecord"]), (&begun["id"], &Value::Null), "{made:#}");
    assert_eq!(seen["earlier"], json!([]), "what this console holds is not told twice");

    let Desk { stack, .. } = desk;
    let other = Desk::over(stack, Err("there is none".to_owned()), with_token).await;
    let is_listed = |seen: &Value| seen["earlier"].as_array().is_some_and(|earlier| !earlier.is_empty());
    let seen = other.until_api("/replay/shadow", is_listed).await;
    assert_eq!((&seen["made"], seen["earlier"].as_array().map(Vec::len)), (&json!([]), Some(1)), "{seen:#}");
    let earlier = &seen["earlier"][0];
    assert_eq!((&earlier["id"], &earlier["by"]), (&begun["id"], &json!("token:ci")), "{earlier:#}");
    let said = earlier["said"].as_str().unwrap();
    for told in
        [VERSION, "2 records of clinical.supply-usage.v1", "2 the same", "0 newly refused", "effects 0 on record"]
    {
        assert!(said.contains(told), "{told}: {said}");
    }
}
