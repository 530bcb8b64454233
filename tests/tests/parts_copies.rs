//! EOS-1 behind a source: a sender that goes over to another listener may put an event on its topic twice.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use processor::laws::{check_once, check_order};
use runtime::record::Record;
use schemas::{Audit, AuditKind, SupplyUsage, Timestamp, ValidatedUsage};
use testkit::stack::Stack;
use wardline_tests::events::{item, usage};
use wardline_tests::processes::RoomProcess;
use wardline_tests::toys;

/// The event as another listener publishes it: at another time, and the same for the rest.
fn again(usage: &SupplyUsage) -> SupplyUsage {
    let mut copy = usage.clone();
    copy.meta.published_at = Timestamp::from_micros(usage.meta.published_at.0 + 700_000);
    copy
}

fn of(encounter: &str, events: &[ValidatedUsage]) -> Vec<String> {
    let own = events.iter().filter(|event| event.encounter_ref == encounter);
    own.map(|event| event.quantity.normalize().to_string()).collect()
}

/// Events of copies that are on the audit topic as such.
fn copies(audits: &[Audit]) -> Vec<&str> {
    let copies = audits.iter().filter(|audit| audit.kind == AuditKind::Duplicate && audit.code == "source.copy");
    copies.filter_map(|audit| audit.event_id.as_deref()).collect()
}

fn doubled(events: &[ValidatedUsage]) -> Vec<String> {
    let ids = events.iter().map(|event| event.meta.event_id.as_str());
    check_once(ids).into_iter().map(|found| found.to_string()).collect()
}

/// A room in a process, as one of several instances.
fn start(stack: &Stack, instance: &str) -> RoomProcess {
    let mut config = (*stack.config).clone();
    config.kafka.instance = instance.to_owned();
    let path = stack.dir.path().join(format!("{instance}.yaml"));
    std::fs::write(&path, serde_json::to_string(&config).unwrap().replace("\"***\"", "\"key\"")).unwrap();
    let log = stack.dir.path().join(format!("{instance}.log"));
    RoomProcess::start(env!("CARGO_BIN_EXE_toy-room"), &[toys::VALIDATE, path.to_str().unwrap(), "-"], &log)
}

/// EOS-1, LOSS-1, ORD-1: a copy has its own visible outcome and no other, whatever became of the event that it repeats.
#[tokio::test(flavor = "multi_thread")]
async fn eos_1_what_is_said_twice_is_emitted_once_and_the_copy_is_on_record() {
    let stack = Stack::start().await;
    let (first, waits, dropped) =
        (usage("enc-a", 1, "plain"), usage("enc-wait", 1, "ITEM-7"), usage("enc-d", 1, "DROP"));
    stack
        .publish(&[
            first.clone(),
            again(&first),
            usage("enc-a", 2, "plain"),
            again(&first),
            waits.clone(),
            again(&waits),
            usage("enc-wait", 2, "plain"),
            dropped.clone(),
            again(&dropped),
        ])
        .await;
    let running = stack.run(vec![toys::validate()]).await;
    let audits = stack.until::<Audit>("every copy on record", |audits| copies(audits).len() >= 4).await;
    let mut known = copies(&audits);
    known.sort_unstable();
    assert_eq!(known, ["enc-a-1", "enc-a-1", "enc-d-1", "enc-wait-1"]);
    assert_eq!(audits.iter().filter(|audit| audit.code == "toy.dropped").count(), 1, "one outcome of the first");

    // The key that waits does so behind its first event, and the copy has not overtaken it.
    stack.publish(&[item("ITEM-7")]).await;
    let events = stack.until::<ValidatedUsage>("the key that waited", |events| of("enc-wait", events).len() >= 2).await;
    running.stop().await;
    assert_eq!(
        (of("enc-a", &events), of("enc-wait", &events)),
        (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()])
    );
    assert!(doubled(&events).is_empty(), "{:?}", doubled(&events));

    let lies_at = |record: &Record, audit: &Audit| {
        audit.origin_partition == Some(record.place.partition) && audit.origin_offset == Some(record.place.offset)
    };
    let records = stack.records("clinical.supply-usage.v1").await;
    let named = audits.iter().filter(|audit| audit.code == "source.copy");
    let named = named.filter(|audit| records.iter().any(|record| lies_at(record, audit)));
    assert_eq!(named.count(), 4, "the audit names the place of the copy");
}

/// EOS-1 when the copy comes after a crash, and after partitions have changed hands: what was read before is known.
#[tokio::test(flavor = "multi_thread")]
async fn eos_1_a_crash_and_a_rebalance_forget_no_event() {
    let stack = Stack::with(|config| config.limits.batch_records_max = 20).await;
    let sent: Vec<SupplyUsage> =
        (0..120).map(|number| usage(&format!("enc-{}", number % 24), number, "plain")).collect();
    let copied: Vec<SupplyUsage> = sent.iter().map(again).collect();
    stack.publish(&sent).await;
    let first = start(&stack, "first");
    stack.until::<ValidatedUsage>("all events", |events| events.len() >= sent.len()).await;
    first.kill();

    stack.publish(&copied).await;
    let second = start(&stack, "second");
    stack.until::<Audit>("the copies after the crash", |audits| copies(audits).len() >= sent.len() / 2).await;
    // In the middle of it: some partitions go to the third, and later all of them.
    let third = start(&stack, "third");
    stack.until::<Audit>("the copies after the rebalance", |audits| copies(audits).len() >= sent.len()).await;
    stack.publish(&copied).await;
    stack.until::<Audit>("the copies of two instances", |audits| copies(audits).len() >= sent.len() * 3 / 2).await;
    second.kill();
    let audits = stack.until::<Audit>("all copies", |audits| copies(audits).len() >= sent.len() * 2).await;
    third.kill();

    assert_eq!(copies(&audits).len(), sent.len() * 2, "each copy has one outcome");
    let events = stack.events::<ValidatedUsage>().await;
    assert!(doubled(&events).is_empty(), "{:?}", doubled(&events));
    assert_eq!(events.len(), sent.len(), "LOSS-1");
    let pairs = |key: &str, number: String| (key.to_owned(), number);
    let inputs: Vec<_> =
        sent.iter().map(|one| pairs(&one.encounter_ref, one.quantity.normalize().to_string())).collect();
    let outputs: Vec<_> =
        events.iter().map(|one| pairs(&one.encounter_ref, one.quantity.normalize().to_string())).collect();
    let violations = check_order(
        inputs.iter().map(|(key, id)| (key.as_str(), id.as_str())),
        outputs.iter().map(|(key, id)| (key.as_str(), id.as_str())),
    );
    assert!(violations.is_empty(), "{violations:?}");
}
