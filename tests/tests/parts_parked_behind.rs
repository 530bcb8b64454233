//! A parked event that cannot be read back yet, because somebody else has a transaction open before it, holds up nobody else's.

#![allow(clippy::unwrap_used, reason = "test")]

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use runtime::kafka;
use schemas::{Event as _, Parked, SupplyUsage, ValidatedUsage, topics};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::stack::{PATIENCE, Stack};
use tokio::time::Instant;
use wardline_tests::events::{item, usage};
use wardline_tests::toys;

/// Enough keys for two of them in one partition.
const KEYS: usize = 20;
/// Several times as long as it takes until a parked event is tried again by itself.
const MEANWHILE: Duration = Duration::from_secs(3);

fn has(events: &[ValidatedUsage], key: &str, number: usize) -> bool {
    let number = number.to_string();
    events.iter().any(|event| event.encounter_ref == key && event.quantity.normalize().to_string() == number)
}

/// Somebody's transaction on a partition of the parking topic, which the broker does not end while the test runs.
async fn open(stack: &Stack, partition: i32) -> BaseProducer {
    let mut config = stack.config.kafka.clone();
    config.transaction_timeout_ms = 300_000;
    let opening = tokio::task::spawn_blocking(move || {
        let other: BaseProducer = kafka::producer(&config, Some("another room")).create().unwrap();
        other.init_transactions(PATIENCE).unwrap();
        other.begin_transaction().unwrap();
        let topic = topics::OPS_PARKED_V1.name();
        other.send(BaseRecord::to(topic).partition(partition).key("another").payload("")).unwrap();
        other.flush(PATIENCE).unwrap();
        other
    });
    opening.await.unwrap()
}

/// KEY-1: the key behind the open transaction waits for it; one of another partition is let go, again and again, and then it is, too.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_a_parked_event_behind_an_open_transaction_holds_only_its_partition_up() {
    // All partitions are of one worker, which has one reading.
    let stack = Stack::with(|config| config.limits.workers = 1).await;
    let running = stack.run(vec![toys::validate()]).await;
    let plain: Vec<SupplyUsage> = (0..KEYS).map(|number| usage(&format!("enc-{number}"), 1, "plain")).collect();
    stack.publish(&plain).await;
    stack.until::<ValidatedUsage>("the partitions are read", |events| events.len() == KEYS).await;

    let mut keys: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for record in stack.records(SupplyUsage::topic().name).await {
        let key = record.header("ce_id").unwrap().strip_suffix("-1").unwrap().to_owned();
        keys.entry(record.place.partition).or_default().push(key);
    }
    let (shut, of_shut) = keys.iter().find(|(_, keys)| keys.len() > 1).unwrap();
    let (behind, beside) = (&of_shut[0], &of_shut[1]);
    let (_, of_free) = keys.iter().find(|(partition, _)| *partition != shut).unwrap();
    let free = &of_free[0];

    let other = open(&stack, *shut).await;
    stack.publish(&[usage(behind, 2, "ITEM-BEHIND"), usage(beside, 2, "plain")]).await;
    stack.until::<ValidatedUsage>("what comes after what is parked", |events| has(events, beside, 2)).await;

    let (started, mut number) = (Instant::now(), 1);
    while started.elapsed() < MEANWHILE {
        number += 1;
        let code = format!("ITEM-{number}");
        stack.publish(&[usage(free, number, &code)]).await;
        stack.until::<Parked>("it is parked", |parked| parked.len() >= number - 1).await;
        stack.publish(&[item(&code)]).await;
        stack.until::<ValidatedUsage>("the key of another partition", |events| has(events, free, number)).await;
    }

    stack.publish(&[item("ITEM-BEHIND")]).await;
    let parked = stack.records(topics::OPS_PARKED_V1.name()).await;
    assert!(parked.iter().all(|record| record.place.partition != *shut), "the transaction is still open");
    assert!(!has(&stack.events::<ValidatedUsage>().await, behind, 2), "it cannot be read");
    tokio::task::spawn_blocking(move || other.abort_transaction(PATIENCE).unwrap()).await.unwrap();
    stack.until::<ValidatedUsage>("the key behind the transaction", |events| has(events, behind, 2)).await;
    running.stop().await;
}
