//! Reconciliation over a real hospital day: a clean day has no difference; what is planted afterwards is found, each exactly
//! once, becomes one work item, and the item is resolved when the difference is gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test waits for parts, with a bound, and stops hard"
)]

use connector::erp::{Direction, Erp, Line, Posting};
use erp_systems::{SandboxConfig, System, TrytonConfig};
use operations::reconcile::{self, Options, Room, Unwatched, Window};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use runtime::codec::Codec;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::Publisher;
use runtime::reader::{Range, read_range};
use runtime::record::Record;
use runtime::{Config, RoomInfo};
use rust_decimal::Decimal;
use schemas::{
    Audit, AuditKind, Document, Effect, EffectState, ErpPosting, EventMeta, Parked, PostingKind, Receipt,
    ReceiptOutcome, Timestamp, headers, identity, topics,
};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::parts::{Kafka, Registry};
use testkit::stack::Stack;
use wardline_tests::events::documented;
use wardline_tests::hospital::HospitalStack;

/// How long the differences may take to be older than what is allowed.
const PATIENCE: Duration = Duration::from_secs(180);
/// Usages of a bigger day.
const BIGGER: &str = "40000";
/// A stock location, its place of use, an item without lots and a cost centre of the hospital.
const PLACE: [&str; 2] = ["OR1", "USE-OR1"];
const ITEM: &str = "71-400101";
const CENTRE: &str = "CC-ICU";

/// What is planted, as `part/kind`, and how often.
const PLANTED: [(&str, usize); 13] = [
    ("receipts/missing", 1),
    ("receipts/unpromised", 1),
    ("receipts/doubled", 1),
    ("outcomes/missing", 1),
    ("outcomes/contradiction", 1),
    ("outcomes/doubled", 1),
    ("effects/missing", 2),
    ("erp/in-doubt", 1),
    ("erp/missing", 1),
    ("erp/unexpected-document", 1),
    ("erp/quantity", 1),
    ("erp/cost-centre", 1),
    ("suppliers/not-acknowledged", 1),
];
/// The rest: what the ERP says of the place and of the amount.
const PLANTED_TOO: [(&str, usize); 2] = [("erp/location", 1), ("erp/amount", 1)];

/// LOSS-1, FX-1: see above.
#[test]
fn a_clean_day_has_no_difference_and_every_planted_one_is_found_once() {
    let stack = HospitalStack::start(env!("CARGO_BIN_EXE_wardline-under-test"), env!("CARGO_BIN_EXE_embedded-broker"));
    let day = stack.day("day.json", "", &["--stays", "20", "--fhir-stays", "4"]).report();
    assert_eq!(day["unaccounted"], 0, "{day:#}");
    let desk = Desk::new(&stack);
    let clean = desk.reconcile(&["--last", "2h"]);
    assert_eq!(kinds(&clean), BTreeMap::new(), "{clean:#}");
    assert!(clean["report"]["documents"].as_u64().unwrap() > 0 && clean["report"]["promised"].as_u64().unwrap() > 20);
    let centres = clean["report"]["costCentres"].as_array().unwrap();
    assert!(centres.len() > 1 && centres.iter().all(|row| row["currency"] == "EUR"), "{clean:#}");
    let named = |row: &Value| row["name"].as_str().is_some_and(|name| !name.is_empty()) || row["costCentre"] == "-";
    assert!(centres.iter().all(named), "{clean:#}");

    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(desk.plant());
    let wanted: BTreeMap<String, usize> =
        PLANTED.iter().chain(&PLANTED_TOO).map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        let found = desk.reconcile(&["--last", "2h"]);
        if found["report"]["late"] == 0 || Instant::now() > deadline {
            break found;
        }
        // What has just been planted is within its time; it is told when that is over.
        std::thread::park_timeout(Duration::from_millis(500));
    };
    assert_eq!(kinds(&found), wanted, "{:#}", found["report"]["differences"]);

    let total: usize = wanted.values().sum();
    let raised = desk.reconcile(&["--last", "2h", "--raise"]);
    assert_eq!(raised["raised"]["raised"], total, "{:#}", raised["raised"]);
    let again = desk.reconcile(&["--last", "2h", "--raise"]);
    assert_eq!((&again["raised"]["raised"], &again["raised"]["open"]), (&Value::from(0), &Value::from(total)));
    assert_eq!(desk.open_items(), total);
    threads.block_on(desk.settle_the_doubt());
    let settled = desk.reconcile(&["--last", "2h", "--raise"]);
    assert_eq!(settled["raised"]["resolved"], 1, "{:#}", settled["raised"]);
    assert_eq!(desk.open_items(), total - 1);

    let page = stack.dir.path().join("report.html");
    desk.reconcile(&["--last", "2h", "--report", page.to_str().unwrap()]);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("WL-7172") && page.contains("Signature") && page.contains("ops.effect.v1"), "{page}");
}

/// A bigger day, read from topics and decoded as `wardline reconcile` does: what is planted is found, each once and as what it
/// is, and nothing else. `wardline bench reconcile --topics` has a million.
#[test]
fn a_bigger_day_on_topics_has_the_planted_differences_and_a_clean_one_has_none() {
    for (more, planted) in [(&[][..], 19), (&["--clean"], 0)] {
        let (wardline, broker) = (env!("CARGO_BIN_EXE_wardline-under-test"), env!("CARGO_BIN_EXE_embedded-broker"));
        let dir = TempDir::new().unwrap();
        let kafka = Kafka::start_process(&dir.path().join("kafka"), Path::new(broker));
        let registry = Registry::start(&dir.path().join("registry"));
        let mut command = Command::new(wardline);
        command.args(["bench", "reconcile", "--topics", "--events", BIGGER]).args(more);
        command.env("WARDLINE_KAFKA", kafka.bootstrap()).env("WARDLINE_REGISTRY", registry.url());
        let ended = command.output().unwrap();
        let (output, log) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        // It fails by itself when what is found differs from what is planted in kind, part or number.
        assert!(ended.status.success(), "{output}\n{log}");
        let measured: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}\n{log}"));
        assert_eq!(
            (&measured["planted"], &measured["found"]),
            (&Value::from(planted), &Value::from(planted)),
            "{output}"
        );
        let records = measured["records"].as_u64().unwrap();
        assert!(records > 5 * BIGGER.parse::<u64>().unwrap(), "only {records} records were read");
    }
}

/// A run about usages alone, whose senders write receipts.
fn asked(rooms: Vec<RoomInfo>, window: Window) -> Options {
    let (actor, room) = ("controller".to_owned(), Room::default());
    Options { window, rooms, erp: None, actor, room, settled: true }
}

/// What was parked before the window and waits still is told, however long ago that was.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_waited_longest_is_told() {
    const HOUR_MS: i64 = 3_600_000;
    let stack = Stack::start().await;
    let topic = topics::CLINICAL_SUPPLY_USAGE_V1.name();
    let parked = Parked {
        room: validate::NAME.to_owned(),
        key: format!("{}|{topic}|0|7", validate::NAME),
        topic: topic.to_owned(),
        offset: 7,
        ..Parked::default()
    };
    stack.publish(&[parked]).await;
    // The window begins an hour later: as if it had been parked an hour before.
    let from_ms = runtime::clock::now_micros() / 1_000 + HOUR_MS;
    let asked = asked(vec![validate::room().info().clone()], Window { from_ms, until_ms: from_ms + HOUR_MS });
    let codec = Arc::clone(&stack.codec);
    let report = reconcile::reconcile(&stack.config, codec, &asked, Arc::new(Unwatched)).await.unwrap();
    let waiting: Vec<_> = report.waiting.iter().map(|row| (row.room.as_str(), row.money.count)).collect();
    assert_eq!(waiting, [(validate::NAME, 1)]);
}

/// LOSS-1: receipts that are gone make no event one that nobody has promised, and the report says what it could not compare.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_told_and_makes_no_difference() {
    const USAGES: usize = 60;
    let stack = Stack::start().await;
    let now_ms = runtime::clock::now_micros() / 1_000;
    let usages: Vec<_> =
        (0..USAGES).map(|number| documented(&format!("enc-{number}"), number, ITEM, PLACE[0])).collect();
    let receipts = usages.iter().map(|usage| Receipt {
        receipt_id: usage.meta.event_id.clone(),
        outcome: ReceiptOutcome::Events,
        event_ids: vec![usage.meta.event_id.clone()],
        ..Receipt::default()
    });
    stack.publish(&usages).await;
    stack.publish(&receipts.collect::<Vec<_>>()).await;
    let asked = asked(Vec::new(), Window { from_ms: now_ms - 60_000, until_ms: now_ms + 600_000 });
    let compare = async || {
        let codec = Arc::clone(&stack.codec);
        reconcile::reconcile(&stack.config, codec, &asked, Arc::new(Unwatched)).await.unwrap()
    };
    let whole = compare().await;
    assert_eq!((whole.total(), whole.promised, whole.reaches.len()), (0, USAGES as u64, 0), "{:?}", whole.differences);

    // All but the last of each partition.
    let topic = topics::OPS_RECEIPT_V1.name();
    let mut gone = TopicPartitionList::new();
    for partition in 0..6 {
        let of = stack.records(topic).await.into_iter().filter(|record| record.place.partition == partition);
        let last = of.map(|record| record.place.offset).max().expect("receipts in every partition");
        gone.add_partition_offset(topic, partition, Offset::Offset(last)).unwrap();
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &stack.config.kafka.bootstrap).create().unwrap();
    admin.delete_records(&gone, &AdminOptions::new()).await.unwrap();
    let partly = compare().await;
    assert!(partly.promised < USAGES as u64, "{} receipts are left", partly.promised);
    assert_eq!(partly.total(), 0, "{:?}", partly.differences);
    let reaches: Vec<&str> = partly.reaches.iter().map(|reach| reach.topic.as_str()).collect();
    assert_eq!(reaches, [topic]);
    assert!(reconcile::report::verdict(&partly).contains("could not be compared: ops.receipt.v1 begins at"));
}

/// How often each kind of difference was found.
fn kinds(found: &Value) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for difference in found["report"]["differences"].as_array().unwrap() {
        let name = format!("{}/{}", difference["part"].as_str().unwrap(), difference["kind"].as_str().unwrap());
        *kinds.entry(name).or_default() += 1;
    }
    kinds
}

/// Somebody who reconciles, and who can make things wrong.
struct Desk {
    wardline: &'static str,
    addresses: Vec<(&'static str, String)>,
    config: Config,
    file: PathBuf,
    erp: Arc<dyn Erp>,
}

impl Desk {
    fn new(stack: &HospitalStack) -> Self {
        let mut config = Config::default();
        config.kafka.bootstrap = stack.kafka.bootstrap();
        config.registry.url = stack.registry.url();
        // Whatever waits longer than a moment is told at once.
        let file = stack.dir.path().join("reconcile.yaml");
        std::fs::write(&file, "limits: {wait_budget_ms: {patient-adjacent: 0, operational: 0, analytical: 0}}\n")
            .unwrap();
        let (url, key) = (stack.erp.url(), stack.erp.key());
        let sandbox = SandboxConfig { url: url.clone(), key: key.into(), ..SandboxConfig::default() };
        let tryton = TrytonConfig { url, key: key.into(), ..TrytonConfig::default() };
        let system = if stack.erp.system() == "sandbox" { System::Sandbox } else { System::Tryton };
        let erp = system.open(&tryton, &sandbox).unwrap().erp;
        let wardline = env!("CARGO_BIN_EXE_wardline-under-test");
        Self { wardline, addresses: stack.addresses(), config, file, erp }
    }

    fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(self.wardline);
        command.args(arguments).arg("--config").arg(&self.file).envs(self.addresses.iter().cloned());
        let ended = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ended.status.success(), text(&ended.stdout), text(&ended.stderr))
    }

    /// Runs `wardline reconcile`; it fails when and only when there are differences.
    fn reconcile(&self, more: &[&str]) -> Value {
        let (succeeds, output, log) = self.run(&[&["reconcile", "--json", "--actor", "controller"], more].concat());
        let found: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}\n{log}"));
        assert_eq!(succeeds, kinds(&found).is_empty(), "{log}");
        assert!(succeeds || log.contains("WL-7187"), "{log}");
        found
    }

    fn open_items(&self) -> usize {
        let (succeeds, output, log) = self.run(&["exceptions", "ls", "--room", "reconcile", "--json"]);
        assert!(succeeds, "{log}");
        output.lines().count()
    }

    async fn publisher(&self) -> Publisher {
        let codec = Arc::new(Codec::new(&self.config.registry).unwrap());
        let written = [
            topics::OPS_RECEIPT_V1.info(),
            topics::OPS_AUDIT_V1.info(),
            topics::OPS_EFFECT_V1.info(),
            topics::ERP_POSTING_V1.info(),
        ];
        Publisher::connect(&self.config, codec, &written).await.unwrap()
    }

    async fn first(&self, topic: &'static str, wanted: impl Fn(&Record) -> bool + Send + 'static) -> Record {
        let kafka = self.config.kafka.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut found = None;
            read_range(&kafka, &Range::all(topic), |record| {
                found = wanted(&record).then_some(record);
                if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
            found
        });
        reading.await.unwrap().unwrap_or_else(|| panic!("no such record on {topic}"))
    }

    /// What no later room finds: events with nobody behind them, notes that exclude each other, effects without events.
    async fn plant(&self) {
        let publisher = self.publisher().await;
        let mut records = self.wrong_events().await;
        let receipt = Receipt {
            receipt_id: "planted".to_owned(),
            outcome: ReceiptOutcome::Events,
            event_ids: vec![id("lost")],
            ..Receipt::default()
        };
        records.push(publisher.event(&receipt, &Lineage::default()).unwrap());
        let validated = self.first(topics::SUPPLY_USAGE_VALIDATED_V1.name(), |_| true).await;
        let cause = validated.header(headers::CAUSATION_ID).unwrap().to_owned();
        let usage = cause.clone();
        let usage = self.first(topics::CLINICAL_SUPPLY_USAGE_V1.name(), move |record| {
            record.header(headers::ID) == Some(usage.as_str())
        });
        let place = usage.await.place;
        let audit = Audit {
            room: "validate".to_owned(),
            kind: AuditKind::Dropped,
            event_id: Some(cause),
            origin_topic: Some(place.topic.to_string()),
            origin_partition: Some(place.partition),
            origin_offset: Some(place.offset),
            ..Audit::default()
        };
        records.push(publisher.event(&audit, &Lineage::default()).unwrap());
        self.wrong_effects(&publisher, &mut records).await;
        publisher.publish(&records).await.unwrap();
    }

    /// An encounter that no receipt promises, one that is there twice, a validated usage that nobody took on, a posting that is
    /// there twice.
    async fn wrong_events(&self) -> Vec<Outgoing> {
        let encounter = self.first(topics::CLINICAL_ENCOUNTER_V1.name(), |_| true).await;
        let validated = self.first(topics::SUPPLY_USAGE_VALIDATED_V1.name(), |_| true).await;
        let acted = |record: &Record| record.header(headers::TYPE).is_some_and(|name| !name.contains("none-needed"));
        let posting = self.first(topics::ERP_POSTING_V1.name(), acted).await;
        vec![
            copy(&encounter, Some(&id("unpromised"))),
            copy(&encounter, None),
            copy(&validated, Some(&id("forgotten"))),
            copy(&posting, None),
        ]
    }

    async fn wrong_effects(&self, publisher: &Publisher, records: &mut Vec<Outgoing>) {
        let mut add = |name: &str, effect: Option<Effect>, posting: Option<ErpPosting>| {
            let lineage = Lineage { causation_id: Some(id(name).into()), ..Lineage::default() };
            records.extend(effect.map(|effect| publisher.event(&effect, &lineage).unwrap()));
            records.extend(posting.map(|posting| publisher.event(&posting, &lineage).unwrap()));
        };
        for name in ["unwritten", "quantity", "centre", "location", "amount", "nobody"] {
            self.post(name).await;
        }
        add("unwritten", Some(effect("unwritten", EffectState::Applied)), None);
        add("unrecorded", None, Some(posting("unrecorded")));
        add("doubt", Some(effect("doubt", EffectState::Intended)), None);
        let notice = Effect { room: "supplier-fanout".to_owned(), ..effect("notice", EffectState::Intended) };
        add("notice", Some(notice), None);
        let of = |name: &str| Some(effect(name, EffectState::Applied));
        add("gone", of("gone"), Some(posting("gone")));
        add("quantity", of("quantity"), Some(ErpPosting { quantity: Decimal::TWO, ..posting("quantity") }));
        let elsewhere = ErpPosting { cost_centre_id: Some("CC-ELSEWHERE".to_owned()), ..posting("centre") };
        add("centre", of("centre"), Some(elsewhere));
        let elsewhere = ErpPosting { from_location: Some("ICU".to_owned()), ..posting("location") };
        add("location", of("location"), Some(elsewhere));
        add("amount", of("amount"), Some(ErpPosting { amount: Some(Decimal::ONE_THOUSAND), ..posting("amount") }));
    }

    /// A document in the ERP, through its own interface.
    async fn post(&self, name: &str) {
        let line = Line {
            line_key: "0".to_owned(),
            item: ITEM.to_owned(),
            lot: None,
            serial: None,
            quantity: Decimal::ONE,
            uom: "EA".to_owned(),
        };
        let posting = Posting {
            document_key: key(name),
            direction: Direction::Consume,
            stock_location: PLACE[0].to_owned(),
            use_location: PLACE[1].to_owned(),
            effective_date: None,
            cost_centre: Some(CENTRE.to_owned()),
            lines: vec![line],
        };
        self.erp.post(&posting).await.unwrap();
    }

    /// The ERP has refused what was in doubt.
    async fn settle_the_doubt(&self) {
        let publisher = self.publisher().await;
        let lineage = Lineage { causation_id: Some(id("doubt").into()), ..Lineage::default() };
        let refused = publisher.event(&effect("doubt", EffectState::Refused), &lineage).unwrap();
        publisher.publish(&[refused]).await.unwrap();
    }
}

fn id(name: &str) -> String {
    identity::event_id("planted", name, "0", "test")
}

fn key(name: &str) -> String {
    format!("wl-{}", id(name).replace('-', ""))
}

fn effect(name: &str, state: EffectState) -> Effect {
    Effect {
        effect_key: format!("planted/{name}"),
        room: "erp-post".to_owned(),
        target: "erp".to_owned(),
        state,
        document_key: key(name),
        documents: vec![Document { id: name.to_owned(), ..Document::default() }],
        origin_topic: Some(topics::SUPPLY_USAGE_ENRICHED_V1.name().to_owned()),
        origin_partition: Some(0),
        origin_offset: Some(1_000_000),
        ..Effect::default()
    }
}

fn posting(name: &str) -> ErpPosting {
    ErpPosting {
        meta: EventMeta { event_id: id(&format!("posting/{name}")), recorded_at: Timestamp(1), ..EventMeta::default() },
        effect_key: format!("planted/{name}"),
        encounter_ref: "planted".to_owned(),
        kind: PostingKind::Posted,
        item_id: Some(ITEM.to_owned()),
        from_location: Some(PLACE[0].to_owned()),
        quantity: Decimal::ONE,
        cost_centre_id: Some(CENTRE.to_owned()),
        documents: vec![Document { id: name.to_owned(), ..Document::default() }],
        ..ErpPosting::default()
    }
}

/// A record once more; with another id it is another event, which nobody caused.
fn copy(record: &Record, another: Option<&str>) -> Outgoing {
    let mut headers = record.headers.clone();
    if let Some(id) = another {
        headers.retain(|(name, _)| name != schemas::headers::ID && name != schemas::headers::CAUSATION_ID);
        headers.push((Cow::Borrowed(schemas::headers::ID), Some(id.to_owned().into())));
    }
    let topic = topics::find(&record.place.topic).unwrap().name;
    Outgoing {
        topic: Cow::Borrowed(topic),
        partition: None,
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
        ticket: None,
    }
}
