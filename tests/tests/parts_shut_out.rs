//! A member that the group does not take any more says so, starts again, and loses nothing (WL-6080).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use runtime::config::Config;
use schemas::{SupplyUsage, ValidatedUsage};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::events::{item, usage};
use wardline_tests::processes::RoomProcess;
use wardline_tests::toys;

/// Usages before and after.
const USAGES: usize = 20;

/// One instance of the room that calls itself by the name of a static member, and its log.
fn start(stack: &Stack, name: &str) -> (RoomProcess, PathBuf) {
    let mut config = Config::clone(&stack.config);
    config.kafka.instance = name.to_owned();
    config.kafka.properties.insert("group.instance.id".to_owned(), "ward-7".to_owned());
    let (file, log) = (stack.dir.path().join(format!("{name}.yaml")), stack.dir.path().join(format!("{name}.log")));
    std::fs::write(&file, serde_json::to_string(&config).unwrap().replace("\"***\"", "\"key\"")).unwrap();
    let arguments = [toys::VALIDATE, file.to_str().unwrap(), "-"];
    (RoomProcess::start(env!("CARGO_BIN_EXE_toy-room"), &arguments, &log), log)
}

fn says_so(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains("WL-6080") && text.contains("starting it again"))
}

fn usages(visit: &str) -> Vec<SupplyUsage> {
    (1..=USAGES).map(|number| usage(visit, number, "plain")).collect()
}

/// LOSS-1, EOS-1: two instances were given the name of one static member, so Kafka fences the one that came first.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_who_is_shut_out_of_the_group_says_so_and_starts_again() {
    let stack = Stack::start().await;
    stack.publish(&[item("plain")]).await;
    let (older, log) = start(&stack, "older");
    stack.publish(&usages("enc-1")).await;
    stack.until::<ValidatedUsage>("the first usages", |events| events.len() >= USAGES).await;
    let (newer, _) = start(&stack, "newer");
    until("the older one says that it is shut out", || says_so(&log)).await;
    // What it does then, it does with nobody in its way.
    newer.kill();
    stack.publish(&usages("enc-2")).await;
    let events = stack.until::<ValidatedUsage>("all usages", |events| events.len() >= 2 * USAGES).await;
    older.terminate();
    let keys: HashSet<&str> = events.iter().map(|event| event.meta.business_key.as_str()).collect();
    assert_eq!((events.len(), keys.len()), (2 * USAGES, 2 * USAGES), "EOS-1");
}
