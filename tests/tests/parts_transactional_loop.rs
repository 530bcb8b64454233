//! The transactional loop over a broker: verdicts, parking, dead letters, crashes.

use processor::laws::{check_once, check_order};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};
use runtime::cluster::{Changes, Cluster, GroupConsumer, Polled};
use runtime::kafka;
use runtime::librdkafka::Librdkafka;
use runtime::outgoing::Outgoing;
use schemas::{Audit, Event, Exception, ExceptionKind, ExceptionState, SupplyUsage, ValidatedUsage, topics};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use testkit::fault_proxy::{Fault, FaultProxy};
use testkit::stack::{PATIENCE, Stack};
use testkit::until;
use wardline_tests::events::{item, usage};
use wardline_tests::processes::RoomProcess;
use wardline_tests::toys;

fn ids(events: &[ValidatedUsage], encounter: &str) -> Vec<String> {
    events
        .iter()
        .filter(|event| event.encounter_ref == encounter)
        .map(|event| event.quantity.normalize().to_string())
        .collect()
}

fn has(events: &[ValidatedUsage], encounter: &str, quantities: &[&str]) -> bool {
    ids(events, encounter) == quantities
}

/// LOSS-1, ORD-1, KEY-1, RAW-1: each verdict has its visible outcome, a waiting key holds only itself.
#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_is_visible_and_a_waiting_key_holds_only_itself() {
    let stack = Stack::with(|config| config.limits.wait_budget_ms.patient_adjacent = 1_000).await;
    stack
        .publish(&[
            usage("enc-wait", 1, "plain"),
            usage("enc-wait", 2, "ITEM-7"),
            usage("enc-wait", 3, "plain"),
            usage("enc-drop", 1, "DROP"),
            usage("enc-drop", 2, "plain"),
            usage("enc-free", 1, "plain"),
            usage("enc-reject", 1, "REJECT"),
            usage("enc-reject", 2, "plain"),
        ])
        .await;
    let running = stack.run(vec![toys::validate()]).await;

    let events = stack
        .until::<ValidatedUsage>("events of the free keys", |events| {
            has(events, "enc-free", &["1"]) && has(events, "enc-drop", &["2"]) && has(events, "enc-wait", &["1"])
        })
        .await;
    assert!(ids(&events, "enc-reject").is_empty(), "what follows a rejected event waits behind it");

    let audits = stack.until::<Audit>("audit of the drop", |audits| !audits.is_empty()).await;
    assert_eq!((audits[0].code.as_str(), audits[0].event_id.as_deref()), ("toy.dropped", Some("enc-drop-1")));

    let exceptions = stack
        .until::<Exception>("exceptions of the rejected and of the waiting event", |exceptions| exceptions.len() >= 2)
        .await;
    let rejected = exceptions.iter().find(|e| e.origin_event_id.as_deref() == Some("enc-reject-1")).unwrap();
    let raw = rejected.raw_value.clone().unwrap();
    let origin = stack.records(SupplyUsage::topic().name).await;
    let original = origin.iter().find(|record| record.header("ce_id") == Some("enc-reject-1")).unwrap();
    assert_eq!(Some(raw.as_ref() as &[u8]), original.value.as_deref(), "RAW-1: the original bytes");
    assert_eq!(rejected.origin_offset, Some(original.place.offset));

    stack.publish(&[item("ITEM-7")]).await;
    stack.until::<ValidatedUsage>("the waiting key in order", |events| has(events, "enc-wait", &["1", "2", "3"])).await;
    let resolved = stack
        .until::<Exception>("the exception resolved by itself", |exceptions| {
            exceptions.iter().any(|e| e.kind == ExceptionKind::Resolved)
        })
        .await;
    assert!(resolved.iter().any(|e| e.origin_event_id.as_deref() == Some("enc-wait-2")
        && e.state == ExceptionState::Resolved
        && e.code == toys::CODE.as_str()));

    retried_then_discarded(&stack, rejected).await;
    running.stop().await;

    let mut lot: HashMap<Vec<u8>, bool> = HashMap::new();
    for record in stack.records(topics::OPS_PARKED_V1.name()).await {
        lot.insert(record.key.unwrap().to_vec(), record.value.is_some());
    }
    assert!(!lot.is_empty() && lot.values().all(|parked| !parked), "nothing stays parked");
}

/// A retry that does not help opens the exception again; a discard lets the key go on. What was said when it was raised stays.
async fn retried_then_discarded(stack: &Stack, rejected: &Exception) {
    let decision = |kind, state| Exception {
        kind,
        state,
        actor: Some("operator".to_owned()),
        comment: Some("seen to".to_owned()),
        ..rejected.clone()
    };
    stack.publish(&[decision(ExceptionKind::RetryRequested, ExceptionState::Retrying)]).await;
    let about = |exception: &&Exception| exception.exception_id == rejected.exception_id;
    let told = stack
        .until::<Exception>("the exception open again after a retry that did not help", |exceptions| {
            exceptions.iter().any(|exception| exception.kind == ExceptionKind::Retried)
        })
        .await;
    let again = told.iter().rfind(about).map(|again| (again.state, again.raised_at));
    assert_eq!(again, Some((ExceptionState::Open, rejected.raised_at)));

    stack.publish(&[decision(ExceptionKind::Discarded, ExceptionState::Discarded)]).await;
    stack
        .until::<ValidatedUsage>("the follower of the discarded event", |events| has(events, "enc-reject", &["2"]))
        .await;
    let told = stack
        .until::<Exception>("the last word on it", |exceptions| {
            exceptions.iter().rfind(about).is_some_and(|exception| exception.kind == ExceptionKind::Resolved)
        })
        .await;
    let last =
        told.iter().rfind(about).map(|last| (last.state, last.raised_at, &last.message, last.comment.as_deref()));
    let expected = (ExceptionState::Discarded, rejected.raised_at, &rejected.message, Some("seen to"));
    assert_eq!(last, Some(expected));
}

/// KEY-1, RAW-1: an output that does not fit its contract stops nothing but the key of its event, which a person sees with its bytes.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_what_does_not_fit_its_contract_holds_its_own_key() {
    let stack = Stack::start().await;
    let sent = [usage("enc-unfit", 1, "UNFIT"), usage("enc-unfit", 2, "plain"), usage("enc-free", 1, "plain")];
    stack.publish(&sent).await;
    let running = stack.run(vec![toys::validate()]).await;
    let exceptions = stack.until::<Exception>("the exception", |exceptions| !exceptions.is_empty()).await;
    let raised = (exceptions[0].code.as_str(), exceptions[0].origin_event_id.as_deref());
    assert_eq!(raised, ("WL-6008", Some("enc-unfit-1")));
    let origin = stack.records(SupplyUsage::topic().name).await;
    let original = origin.iter().find(|record| record.header("ce_id") == Some("enc-unfit-1")).unwrap();
    let raw = exceptions[0].raw_value.clone().unwrap();
    assert_eq!(Some(raw.as_ref() as &[u8]), original.value.as_deref());
    let events = stack.until::<ValidatedUsage>("the free key", |events| has(events, "enc-free", &["1"])).await;
    assert!(ids(&events, "enc-unfit").is_empty(), "all outputs of an event or none: {events:?}");

    let discarded = Exception {
        kind: ExceptionKind::Discarded,
        state: ExceptionState::Discarded,
        actor: Some("operator".to_owned()),
        ..exceptions[0].clone()
    };
    stack.publish(&[discarded]).await;
    stack.until::<ValidatedUsage>("what waited behind it", |events| has(events, "enc-unfit", &["2"])).await;
    running.stop().await;
}

/// LOSS-1: a master record that comes while the registry is away is not left out of the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_record_waits_for_a_registry_that_is_away() {
    let mut stack = Stack::start().await;
    let registry = stack.registry.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (registry, path) = registry.split_once('/').map_or((registry.as_str(), ""), |(server, path)| (server, path));
    let proxy = FaultProxy::start(registry.parse().unwrap()).await.unwrap();
    Arc::make_mut(&mut stack.config).registry.url = format!("http://{}/{path}", proxy.address());
    let running = stack.run(vec![toys::validate()]).await;
    // The schema of the usages is known from here on, that of the items is not.
    stack.publish(&[usage("enc-first", 1, "plain"), usage("enc-wait", 1, "ITEM-7")]).await;
    stack.until::<ValidatedUsage>("the first event", |events| has(events, "enc-first", &["1"])).await;

    proxy.arm_all(Fault::Gone);
    stack.publish(&[item("ITEM-7")]).await;
    until("the table asks the registry", || proxy.calls() > 0).await;
    assert!(proxy.heal());
    stack.until::<ValidatedUsage>("the event that waited", |events| has(events, "enc-wait", &["1"])).await;
    running.stop().await;
}

/// RAW-1: undecodable records go to the dead letters with bytes, place and code; others are not touched.
#[tokio::test(flavor = "multi_thread")]
async fn bad_bytes_and_unknown_schemas_become_dead_letters() {
    let stack = Stack::start().await;
    let topic = SupplyUsage::topic().name;
    let raw = |value: &[u8]| Outgoing {
        topic: Cow::Borrowed(topic),
        partition: Some(0),
        key: Some(b"enc-bad".to_vec().into()),
        value: Some(value.to_vec().into()),
        headers: vec![(Cow::Borrowed("x-kept"), Some(b"yes".to_vec().into()))],
        ticket: None,
    };
    let values: [&[u8]; 3] = [b"not framed", &[0, 0, 1, 226, 64, 1, 2, 3], &[0]];
    stack.publish_raw(&values.map(raw)).await;
    stack.publish(&[usage("enc-good", 1, "plain")]).await;
    let running = stack.run(vec![toys::validate()]).await;
    stack.until::<ValidatedUsage>("the good event", |events| has(events, "enc-good", &["1"])).await;

    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let letters = loop {
        let letters = stack.records(topics::OPS_DEAD_LETTER_V1.name()).await;
        if letters.len() == values.len() {
            break letters;
        }
        assert!(tokio::time::Instant::now() < deadline, "{} dead letters", letters.len());
    };
    for (value, code) in values.iter().zip(["WL-6001", "WL-6002", "WL-6001"]) {
        let letter = letters.iter().find(|letter| letter.value.as_deref() == Some(value)).unwrap();
        assert_eq!(letter.header("wl_code"), Some(code));
        assert_eq!(letter.header("wl_topic"), Some(topic));
        assert_eq!(letter.header("x-kept"), Some("yes"));
    }
    running.stop().await;
}

/// EOS-1, ORD-1, LOSS-1 under kill -9 of the processor, over and over, while events flow.
#[tokio::test(flavor = "multi_thread")]
async fn eos_1_killed_again_and_again_nothing_is_lost_doubled_or_reordered() {
    let stack = Stack::with(|config| config.limits.batch_records_max = 50).await;
    let config = stack.dir.path().join("wardline.yaml");
    std::fs::write(&config, serde_json::to_string(&*stack.config).unwrap().replace("\"***\"", "\"key\"")).unwrap();
    let log = stack.dir.path().join("toy.log");
    let arguments = [toys::VALIDATE, config.to_str().unwrap(), "-"];
    let start = || RoomProcess::start(env!("CARGO_BIN_EXE_toy-room"), &arguments, &log);

    let mut sent: Vec<SupplyUsage> = Vec::new();
    let mut process = start();
    for round in 0..6 {
        let batch: Vec<SupplyUsage> = (0..400)
            .map(|number| {
                // One key in ten waits for its item for a while, so parking and redriving are killed as well.
                let key = number % 20;
                let code = if key % 10 == 3 && number < 40 { format!("ITEM-{round}") } else { "plain".to_owned() };
                usage(&format!("enc-{key}"), round * 1_000 + number, &code)
            })
            .collect();
        stack.publish(&batch).await;
        sent.extend(batch);
        let wished = sent.len() / 3;
        stack.until::<ValidatedUsage>("progress", |events| events.len() >= wished.min(400 * round)).await;
        process.kill();
        stack.publish(&[item(&format!("ITEM-{round}"))]).await;
        process = start();
    }
    let events = stack.until::<ValidatedUsage>("all events", |events| events.len() >= sent.len()).await;
    process.kill();

    let pairs = |usage: &SupplyUsage| (usage.encounter_ref.clone(), usage.quantity.normalize().to_string());
    let inputs: Vec<_> = sent.iter().map(pairs).collect();
    let outputs: Vec<_> =
        events.iter().map(|event| (event.encounter_ref.clone(), event.quantity.normalize().to_string())).collect();
    let text = |all: &'_ [(String, String)]| -> Vec<(String, String)> { all.to_vec() };
    let (inputs, outputs) = (text(&inputs), text(&outputs));
    let violations = check_order(
        inputs.iter().map(|(key, id)| (key.as_str(), id.as_str())),
        outputs.iter().map(|(key, id)| (key.as_str(), id.as_str())),
    );
    assert!(violations.is_empty(), "{violations:?}");
    let doubled = check_once(events.iter().map(|event| event.meta.event_id.as_str()));
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(events.len(), sent.len(), "LOSS-1");
}

/// EOS-1: who reads state back waits for the positions of its group that are in an open transaction. Whatever that transaction
/// writes is there when they are decided.
#[tokio::test(flavor = "multi_thread")]
async fn eos_1_open_positions_are_waited_for() {
    let stack = Stack::start().await;
    let config = stack.config.kafka.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let topic = SupplyUsage::topic().name;
        let before: BaseProducer = kafka::producer(&config, Some("before")).create().unwrap();
        let member: BaseConsumer = kafka::group_consumer(&config, "room").create().unwrap();
        before.init_transactions(PATIENCE).unwrap();
        before.begin_transaction().unwrap();
        let mut positions = TopicPartitionList::new();
        positions.add_partition_offset(topic, 1, Offset::Offset(5)).unwrap();
        before.send_offsets_to_transaction(&positions, &member.group_metadata().unwrap(), PATIENCE).unwrap();

        let cluster = Librdkafka::new(&config);
        let decided = |group, longest| cluster.decided(group, &[topic], longest);
        let error = decided("room", Duration::from_millis(500)).unwrap_err().to_string();
        assert!(error.contains(&format!("position of room in {topic}-1 is undecided")), "{error}");
        decided("other", PATIENCE).unwrap();
        before.commit_transaction(PATIENCE).unwrap();
        decided("room", PATIENCE).unwrap();
    });
    looking.await.unwrap();
}

/// KEY-1: partitions that were paused when a rebalance took them are fetched from when they come back.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_a_rebalance_ends_a_pause() {
    let stack = Stack::start().await;
    let config = stack.config.kafka.clone();
    let (paused, joined) = tokio::sync::oneshot::channel();
    let reading = tokio::task::spawn_blocking(move || {
        let cluster = Librdkafka::new(&config);
        let join = || {
            let changes = Arc::new(Changes::default());
            let consumer = cluster.consumer("room", &[SupplyUsage::topic().name], Arc::clone(&changes) as _).unwrap();
            (consumer, changes)
        };
        let look = Duration::from_millis(50);
        let (first, changes) = join();
        while GroupConsumer::assignment(&first).unwrap().is_empty() {
            GroupConsumer::poll(&first, look);
        }
        while changes.next().is_some() {}
        GroupConsumer::pause(&first, true).unwrap();
        let (second, _) = join();
        while changes.is_empty() || GroupConsumer::assignment(&second).unwrap().is_empty() {
            GroupConsumer::poll(&first, look);
            GroupConsumer::poll(&second, look);
        }
        paused.send(()).unwrap();
        let read = |consumer| matches!(GroupConsumer::poll(consumer, look), Polled::Record(_));
        let (mut of_first, mut of_second) = (0, 0);
        for _ in 0..1_000 {
            of_first += u32::from(read(&first));
            of_second += u32::from(read(&second));
            if of_first + of_second == 40 {
                break;
            }
        }
        (of_first, of_second)
    });
    joined.await.unwrap();
    let usages: Vec<_> = (0..40).map(|number| usage(&format!("enc-{number}"), 1, "plain")).collect();
    stack.publish(&usages).await;
    let (of_first, of_second) = reading.await.unwrap();
    assert_eq!(of_first + of_second, 40, "{of_first} and {of_second}");
    assert!(of_first > 0, "the first has partitions, and their keys have records");
}
