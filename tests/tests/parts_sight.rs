//! What people see of a hospital day: the way of an event by each kind of id, service levels, lag in seconds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test waits for parts, with a bound"
)]

use operations::sight::activity::{Domain, DomainActivity};
use operations::sight::lag;
use operations::sight::levels::{self, LevelReport, LevelState, LevelsSnapshot, LevelsView};
use operations::sight::trace::{IdKind, Question, StepKind, Trace, trace};
use runtime::codec::Codec;
use runtime::outgoing::Lineage;
use runtime::publisher::Publisher;
use runtime::reader::{self, Range, group_lag, read_range};
use runtime::readers::Readers;
use runtime::record::Record;
use runtime::{Config, shutdown};
use schemas::{Event, SupplyUsage, examples, headers, topics};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wardline_tests::hospital::HospitalStack;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(300);

/// A hospital with what is needed to look at it.
struct Hospital {
    stack: HospitalStack,
    config: Arc<Config>,
    codec: Codec,
    readers: Readers,
    runtime: Runtime,
}

impl Hospital {
    fn start() -> Self {
        let stack =
            HospitalStack::start(env!("CARGO_BIN_EXE_wardline-under-test"), env!("CARGO_BIN_EXE_embedded-broker"));
        let mut config = Config::default();
        config.kafka.bootstrap = stack.kafka.bootstrap();
        config.registry.url = stack.registry.url();
        let codec = codec(&config);
        let readers = Readers::new(&config.kafka);
        Self { stack, config: Arc::new(config), codec, readers, runtime: Runtime::new().unwrap() }
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    fn records(&self, topic: &str) -> Vec<Record> {
        let mut records = Vec::new();
        let read = read_range(&self.config.kafka, &Range::all(topic), |record| {
            records.push(record);
            ControlFlow::Continue(())
        });
        match read {
            Ok(_) => records,
            // The day makes the topics.
            Err(reader::ReadError::NoTopic(_)) => Vec::new(),
            Err(error) => panic!("{topic}: {error}"),
        }
    }

    fn json(&self, record: &Record) -> Value {
        let value = record.value.as_deref().unwrap();
        // The day has values that nobody can read.
        let Ok((writer, body)) = self.wait(self.codec.open(value)) else { return Value::Null };
        schemas::codec::to_json(&writer, body).unwrap()
    }

    fn today(&self) -> (LevelsSnapshot, Vec<DomainActivity>) {
        self.wait(levels::today(Arc::clone(&self.config))).unwrap()
    }

    fn trace(&self, id: &str, kind: Option<IdKind>) -> Trace {
        let question = Question { id: id.to_owned(), kind, ..Question::default() };
        self.wait(trace(&self.config, &self.readers, question, |_| {})).unwrap()
    }

    /// Age of the oldest record that erp-post has not finished, seconds.
    fn oldest_s(&self) -> u64 {
        let topic = topics::SUPPLY_USAGE_ENRICHED_V1.name();
        let lags = group_lag(&self.config.kafka, "erp-post", &[topic]).unwrap();
        let told = self.wait(lag::by_topic(&self.config, lags)).unwrap();
        told.iter().find(|lag| lag.topic == topic).unwrap().oldest_s
    }
}

fn codec(config: &Config) -> Codec {
    Codec::new(&config.registry).unwrap()
}

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn level<'a>(snapshot: &'a LevelsSnapshot, name: &str) -> &'a LevelReport {
    snapshot.levels.iter().find(|level| level.name == name).unwrap()
}

#[test]
fn a_day_is_seen_while_a_room_is_stopped_and_after_it() {
    let hospital = Hospital::start();
    let day = hospital.stack.day("day.json", "erp-post", &[]);
    until("enriched usages", || (hospital.records("supply.usage-enriched.v1").len() >= 5).then_some(()));

    // What waits is not met, and it gets older.
    let (snapshot, _) = hospital.today();
    let posted = level(&snapshot, "usage-posted");
    assert!(posted.waiting >= 5 && posted.state != LevelState::Met, "{posted:?}");
    assert_eq!((posted.in_time, posted.late), (0, 0), "{posted:?}");
    let first = until("an age", || Some(hospital.oldest_s()).filter(|age| *age > 0));
    until("a greater age", || (hospital.oldest_s() >= first + 2).then_some(()));
    let waiting_id = {
        let enriched = hospital.records("supply.usage-enriched.v1");
        enriched[0].header(headers::ID).unwrap().to_owned()
    };
    let told = hospital.trace(&waiting_id, None);
    let waits = |told: &Trace, what: &str| told.gaps.iter().any(|gap| gap.is_open && gap.reason.contains(what));
    assert!(waits(&told, "erp-post has not said"), "{:?}", told.gaps);

    let (trigger, stop) = shutdown();
    let view = {
        let _entered = hospital.runtime.enter();
        LevelsView::start(Arc::clone(&hospital.config), stop).unwrap()
    };
    let erp_post = hospital.stack.room("erp-post");
    let report = day.report();
    assert_eq!(report["unaccounted"], 0, "{report:#}");
    until("an idle room", || (hospital.oldest_s() == 0).then_some(()));

    counts_equal_what_the_topics_say(&hospital, &view);
    the_whole_way_is_found_by_each_kind_of_id(&hospital);
    the_suppliers_answer_is_at_the_end_of_the_way(&hospital);
    a_serial_number_an_order_and_an_exception_are_found(&hospital);
    trigger.stop();
    until("the end of the follower", || (!view.is_running()).then_some(()));
    drop(erp_post);
}

/// Counts the ways by holding all records in memory, and compares.
fn counts_equal_what_the_topics_say(hospital: &Hospital, view: &LevelsView) {
    let ids = |topic: &str| -> HashMap<String, Option<String>> {
        let records = hospital.records(topic);
        let id = |record: &Record, name: &str| record.header(name).map(str::to_owned);
        records
            .iter()
            .filter_map(|record| Some((id(record, headers::ID)?, id(record, headers::CAUSATION_ID))))
            .collect()
    };
    let before: HashMap<String, Option<String>> =
        [ids("supply.usage-validated.v1"), ids("supply.usage-enriched.v1")].into_iter().flatten().collect();
    let root = |cause: Option<&String>| {
        let mut id = cause?;
        while let Some(Some(cause)) = before.get(id) {
            id = cause;
        }
        Some(id.clone())
    };
    let started: HashSet<String> = ids("clinical.supply-usage.v1").into_keys().collect();
    let posted: HashSet<String> = ids("erp.posting.v1").values().filter_map(|cause| root(cause.as_ref())).collect();
    let mut left_out = HashSet::new();
    for record in hospital.records("ops.audit.v1") {
        let audit = hospital.json(&record);
        let rooms = ["validate", "enrich", "erp-post"];
        if rooms.contains(&audit["room"].as_str().unwrap()) && audit["kind"] != "REPLAY" && audit["kind"] != "ACTION" {
            left_out.extend(root(record.header(headers::CAUSATION_ID).map(str::to_owned).as_ref()));
        }
    }
    let left_out = left_out.iter().filter(|id| started.contains(*id) && !posted.contains(*id)).count();
    let expected = (posted.len(), left_out, started.len() - posted.len() - left_out);
    assert!(expected.0 > 20, "{expected:?}");

    let told = |level: &LevelReport| {
        let number = |count: u64| usize::try_from(count).unwrap();
        (number(level.in_time + level.late), number(level.left_out), number(level.waiting + level.lost))
    };
    let (once, domains) = hospital.today();
    assert_eq!(told(level(&once, "usage-posted")), expected, "{:#?}", level(&once, "usage-posted"));
    assert!(level(&once, "usage-posted").median_ms.is_some());
    // The follower comes to the same numbers, however it was overtaken.
    until("the same numbers of the follower", || {
        let snapshot = view.snapshot();
        (snapshot.caught_up && told(level(&snapshot, "usage-posted")) == expected).then_some(())
    });
    let page = runtime::metrics::encode();
    let line = format!(
        "wardline_service_level_events{{level=\"usage-posted\",class=\"patient-adjacent\",state=\"left-out\"}} {left_out}"
    );
    until("the metric", || runtime::metrics::encode().contains(&line).then_some(()));
    assert!(page.contains("wardline_service_level_oldest_waiting_seconds"), "{page}");

    let sum = |domain: Domain, of: fn(&operations::sight::activity::HourActivity) -> u64| -> u64 {
        domains.iter().filter(|activity| activity.domain == domain).flat_map(|activity| &activity.hours).map(of).sum()
    };
    assert_eq!(sum(Domain::Supply, |hour| hour.came), u64::try_from(started.len()).unwrap());
    assert_eq!(sum(Domain::Erp, |hour| hour.done), u64::try_from(posted.len()).unwrap());
    let receipts = hospital.records("ops.receipt.v1").len();
    assert_eq!(sum(Domain::Clinical, |hour| hour.came), u64::try_from(receipts).unwrap());
    assert!(sum(Domain::Supply, |hour| hour.exceptions) > 0);
}

fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap().to_owned()
}

fn the_whole_way_is_found_by_each_kind_of_id(hospital: &Hospital) {
    let has_document =
        |record: &Record| hospital.json(record).pointer("/documents/0/number").is_some_and(Value::is_string);
    let postings: Vec<Record> = hospital.records("erp.posting.v1").into_iter().filter(has_document).collect();
    let usages: HashMap<String, Value> = hospital
        .records("clinical.supply-usage.v1")
        .iter()
        .filter_map(|record| Some((record.header(headers::CORRELATION_ID)?.to_owned(), hospital.json(record))))
        .collect();
    // A usage with a lot and a UDI that was posted.
    let full = |posting: &&Record| {
        let usage = &usages[posting.header(headers::CORRELATION_ID).unwrap()];
        ["/lot", "/udi/raw"].iter().filter(|path| usage.pointer(path).is_some_and(Value::is_string)).count()
    };
    let posting = postings.iter().max_by_key(full).unwrap();
    let usage = &usages[posting.header(headers::CORRELATION_ID).unwrap()];
    let posted = hospital.json(posting);
    let mut asked = vec![
        (text(usage, "/meta/eventId"), IdKind::Event),
        (posting.header(headers::ID).unwrap().to_owned(), IdKind::Event),
        (text(usage, "/meta/source/messageId"), IdKind::Message),
        (text(usage, "/meta/businessKey"), IdKind::BusinessKey),
        (text(usage, "/encounterRef"), IdKind::Key),
        (text(&posted, "/documents/0/number"), IdKind::Document),
    ];
    for (path, kind) in [("/lot", IdKind::Lot), ("/udi/raw", IdKind::Udi), ("/udi/di", IdKind::Udi)] {
        if let Some(id) = usage.pointer(path).and_then(Value::as_str) {
            asked.push((id.to_owned(), kind));
        }
    }
    assert_eq!(asked.len(), 9, "no usage has a lot and a UDI: {asked:?}");
    for (id, kind) in &asked {
        // An ERP may number its documents from 1: what "4" is, has to be said.
        let guessed = (*kind != IdKind::Document).then_some(None);
        for kind in guessed.into_iter().chain([Some(*kind)]) {
            let told = hospital.trace(id, kind);
            let has = |topic: &str| told.steps.iter().any(|step| step.topic == topic);
            for topic in [
                "ops.receipt.v1",
                "clinical.supply-usage.v1",
                "supply.usage-validated.v1",
                "supply.usage-enriched.v1",
                "erp.posting.v1",
            ] {
                assert!(has(topic), "{id} as {kind:?} found nothing on {topic}: {}", told.searched.text());
            }
            assert!(told.searched.is_whole, "{id} as {kind:?}: {}", told.searched.text());
            assert!(told.steps.windows(2).all(|pair| pair[0].time_ms <= pair[1].time_ms));
            let shown = serde_json::to_string(&told.steps).unwrap();
            assert!(!shown.contains("familyName"), "PHI-1: {id} shows a name");
        }
    }
}

/// What a supplier was told about a usage, by the usage and by the notice: every step follows from the one before, up to the answer.
fn the_suppliers_answer_is_at_the_end_of_the_way(hospital: &Hospital) {
    let enriched: HashMap<String, Record> = hospital
        .records("supply.usage-enriched.v1")
        .into_iter()
        .filter_map(|record| Some((record.header(headers::ID)?.to_owned(), record)))
        .collect();
    let is_of_a_usage = |record: &Record| {
        let cause = record.header(headers::CAUSATION_ID).and_then(|cause| enriched.get(cause));
        cause.is_some() && hospital.json(record)["state"] == "DELIVERED"
    };
    let notices = hospital.records("partner.supplier-notice.v1");
    let notice =
        notices.iter().find(|record| is_of_a_usage(record)).expect("a supplier has taken a notice about a usage");
    let (value, cause) = (hospital.json(notice), notice.header(headers::CAUSATION_ID).unwrap());
    let answer = value["responseStatus"].as_i64().expect("the status that the supplier answered with");
    assert!((200..300).contains(&answer), "{value:#}");
    for (id, kind) in [(text(&value, "/noticeId"), IdKind::Document), (cause.to_owned(), IdKind::Event)] {
        let told = hospital.trace(&id, Some(kind));
        let find = |topic: &str, id: &str| {
            let step = told.steps.iter().find(|step| step.topic == topic && step.event_id.as_deref() == Some(id));
            step.unwrap_or_else(|| panic!("{id} on {topic} is not in the way of {kind:?}: {:?}", told.searched))
        };
        let noticed = find("partner.supplier-notice.v1", notice.header(headers::ID).unwrap());
        assert_eq!((noticed.kind, noticed.room.as_deref()), (StepKind::Noticed, Some("supplier-fanout")));
        assert!(
            noticed.summary.contains("DELIVERED") && noticed.summary.contains(&format!("answer {answer}")),
            "{noticed:?}"
        );
        let mut before = noticed;
        for topic in ["supply.usage-enriched.v1", "supply.usage-validated.v1", "clinical.supply-usage.v1"] {
            let step = find(topic, before.causation_id.as_deref().expect("it follows from something"));
            assert!(step.time_ms <= before.time_ms, "{step:?} comes behind {before:?}");
            before = step;
        }
        let is_effect = |step: &&operations::sight::trace::Step| {
            step.kind == StepKind::Effect && step.value["documentKey"] == value["noticeId"]
        };
        let effects: Vec<&Value> = told.steps.iter().filter(is_effect).map(|step| &step.value["state"]).collect();
        assert_eq!(
            effects.last(),
            Some(&&Value::from("APPLIED")),
            "FX-1: what was done outside is on the way: {effects:?}"
        );
    }
}

fn a_serial_number_an_order_and_an_exception_are_found(hospital: &Hospital) {
    // The day has no serial numbers: one more usage, which no room takes any more.
    let publisher =
        hospital.wait(Publisher::connect(&hospital.config, Arc::new(codec(&hospital.config)), &[SupplyUsage::topic()]));
    let publisher = publisher.unwrap();
    let mut usage = examples::<SupplyUsage>().remove(0);
    usage.serial = Some("SERIAL-4711".to_owned());
    let record = publisher.event(&usage, &Lineage::default()).unwrap();
    hospital.wait(publisher.publish(&[record])).unwrap();
    for kind in [None, Some(IdKind::Serial)] {
        let told = hospital.trace("SERIAL-4711", kind);
        assert_eq!((told.found_as, told.steps.len()), (Some(IdKind::Serial), 1), "{:?}", told.searched);
        assert!(
            told.gaps.iter().any(|gap| gap.is_open && gap.reason.contains("validate has not said")),
            "{:?}",
            told.gaps
        );
    }

    let order = hospital.json(&hospital.records("supply.purchase-order.v1")[0]);
    let told = hospital.trace(&text(&order, "/poNumber"), Some(IdKind::Order));
    assert!(told.steps.iter().any(|step| step.topic == "supply.purchase-order.v1"), "{:?}", told.searched);

    // The last word on each counts: what was open may be settled by now.
    let said = hospital.records("ops.exception.v1").into_iter();
    let newest: HashMap<_, Value> = said.map(|record| (record.key.clone(), hospital.json(&record))).collect();
    let open = newest.values().find(|value| value["state"] == "OPEN").unwrap();
    let id = text(open, "/exceptionId");
    for asked in [id.as_str(), &id[..8]] {
        let told = hospital.trace(asked, None);
        assert!(told.steps.iter().any(|step| step.kind == StepKind::Exception), "{asked}");
        let is_named = told.gaps.iter().any(|gap| gap.is_open && gap.reason.contains(&id));
        assert!(is_named, "{asked}: {:?}", told.gaps);
    }
    assert!(hospital.trace("nothing-has-this-id", None).steps.is_empty());
}
