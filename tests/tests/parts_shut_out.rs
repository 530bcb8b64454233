//! A member that the group does not take any more says so, starts again, and loses nothing (WL-6080): with each kind of room that has a
//! group.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use runtime::config::Config;
use schemas::{EnrichedUsage, ErpPosting, SupplyUsage, ValidatedUsage};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::events::{enriched, item, usage};
use wardline_tests::lake::rows;
use wardline_tests::processes::RoomProcess;
use wardline_tests::toys::{self, FileWorld};

/// Usages before and after.
const USAGES: usize = 20;

/// What `toy-post` writes to.
fn ledger(stack: &Stack) -> PathBuf {
    stack.dir.path().join("ledger")
}

/// One instance of a room that calls itself by the name of a static member, and its log.
fn start(stack: &Stack, room: &str, name: &str) -> (RoomProcess, PathBuf) {
    let mut config = Config::clone(&stack.config);
    config.kafka.instance = name.to_owned();
    config.kafka.properties.insert("group.instance.id".to_owned(), "ward-7".to_owned());
    let (file, log) = (stack.dir.path().join(format!("{name}.yaml")), stack.dir.path().join(format!("{name}.log")));
    std::fs::write(&file, serde_json::to_string(&config).unwrap().replace("\"***\"", "\"key\"")).unwrap();
    let ledger = ledger(stack);
    let arguments = [room, file.to_str().unwrap(), ledger.to_str().unwrap()];
    (RoomProcess::start(env!("CARGO_BIN_EXE_toy-room"), &arguments, &log), log)
}

/// It starts again, and for this.
fn says_so(log: &Path) -> bool {
    let starts_again = |line: &str| line.contains("WL-6080") && line.contains("starting it again");
    std::fs::read_to_string(log).is_ok_and(|text| text.lines().any(starts_again))
}

/// Another instance is given the name of the older one, and ends when that has said so: what it does then, it does with nobody in its way.
async fn shut_out(stack: &Stack, room: &str, log: &Path) {
    let (newer, _) = start(stack, room, "newer");
    until("the older one says that it is shut out", || says_so(log)).await;
    newer.kill();
}

fn usages(visit: &str) -> Vec<SupplyUsage> {
    (1..=USAGES).map(|number| usage(visit, number, "plain")).collect()
}

/// LOSS-1, EOS-1: two instances were given the name of one static member, so Kafka fences the one that came first.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_who_is_shut_out_of_the_group_says_so_and_starts_again() {
    let stack = Stack::start().await;
    stack.publish(&[item("plain")]).await;
    let (older, log) = start(&stack, toys::VALIDATE, "older");
    stack.publish(&usages("enc-1")).await;
    stack.until::<ValidatedUsage>("the first usages", |events| events.len() >= USAGES).await;
    shut_out(&stack, toys::VALIDATE, &log).await;
    stack.publish(&usages("enc-2")).await;
    let events = stack.until::<ValidatedUsage>("all usages", |events| events.len() >= 2 * USAGES).await;
    older.terminate();
    let keys: HashSet<&str> = events.iter().map(|event| event.meta.business_key.as_str()).collect();
    assert_eq!((events.len(), keys.len()), (2 * USAGES, 2 * USAGES), "EOS-1");
}

/// LOSS-1, FX-1: the same with a room that has effects. It has nothing to do when it is shut out, so nothing but the poll tells it: it would
/// be ready and without partitions, and post nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_a_room_with_effects_that_is_shut_out_says_so_and_starts_again() {
    let stack = Stack::start().await;
    let (older, log) = start(&stack, toys::POST, "older");
    stack.publish(&usages("enc-1")).await;
    stack.until::<ErpPosting>("the first postings", |postings| postings.len() >= USAGES).await;
    shut_out(&stack, toys::POST, &log).await;
    stack.publish(&usages("enc-2")).await;
    let postings = stack.until::<ErpPosting>("all postings", |postings| postings.len() >= 2 * USAGES).await;
    older.terminate();
    let keys: HashSet<&str> = postings.iter().map(|posting| posting.meta.business_key.as_str()).collect();
    assert_eq!((postings.len(), keys.len()), (2 * USAGES, 2 * USAGES), "EOS-1");
    assert_eq!(FileWorld::ledger(&ledger(&stack)).len(), 2 * USAGES, "FX-1");
}

/// LOSS-1, FX-1: the same with `analytics`, which writes files.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_a_sink_that_is_shut_out_says_so_and_starts_again() {
    let mut stack = Stack::start().await;
    let lake = stack.dir.path().join("lake");
    stack.configure(analytics::NAME, serde_json::json!({"directory": lake, "file_wait_ms": 200}));
    let usages = |number| -> Vec<EnrichedUsage> { (1..=USAGES).map(|visit| enriched(visit, number)).collect() };
    let (older, log) = start(&stack, analytics::NAME, "older");
    stack.publish(&usages(1)).await;
    until("the first rows", || rows(&lake).len() >= USAGES).await;
    shut_out(&stack, analytics::NAME, &log).await;
    stack.publish(&usages(2)).await;
    until("all rows", || rows(&lake).len() >= 2 * USAGES).await;
    older.terminate();
    let rows = rows(&lake);
    let ids: HashSet<&String> = rows.iter().collect();
    assert_eq!((rows.len(), ids.len()), (2 * USAGES, 2 * USAGES), "FX-1");
}
