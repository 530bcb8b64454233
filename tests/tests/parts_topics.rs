//! Bringing a cluster to another `topics.yaml`: what would part the events of a key is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use runtime::admin::{Change, Cluster, apply_topics, plan_topics};
use runtime::reader;
use schemas::catalogue::{Catalogue, parse};
use std::time::Duration;
use testkit::stack::Stack;

/// Looks until a change must have been made.
const LOOKS_MAX: usize = 200;

/// The registry of this project with twice as many partitions of these topics.
fn doubled(topics: &[&str]) -> Catalogue {
    let mut catalogue = parse(include_str!("../../topics.yaml")).unwrap();
    for topic in &mut catalogue.topics {
        topic.partitions *= if topics.contains(&topic.name.as_str()) { 2 } else { 1 };
    }
    catalogue
}

/// ORD-1, FX-1: among more partitions a key has another one: later events would not wait behind a parked one of it, and what was done
/// of the earlier ones would not be found. What keeps the number of its event may grow, so that a topic that is too narrow is mended.
#[tokio::test(flavor = "multi_thread")]
async fn ord_1_no_topic_grows_whose_keys_decide_about_the_partition() {
    let stack = Stack::start().await;
    let (kafka, registry) = (stack.config.kafka.clone(), stack.config.registry.clone());
    let cluster = Cluster { kafka: kafka.clone(), registry, replication: 1 };
    let keyed = [
        "supply.usage-enriched.v1",
        "erp.posting.v1",
        "master.item.v1",
        "ops.audit.v1",
        "ops.cursor.v1",
        "ops.exception.v1",
        "ops.receipt.v1",
    ];
    for topic in keyed {
        let refused = plan_topics(&doubled(&[topic]), &cluster).await.unwrap_err().to_string();
        assert!(refused.starts_with(&format!("WL-6019: topic {topic} has ")), "{refused}");
    }
    let wide = ["ops.dead-letter.v1", "ops.effect.v1", "ops.parked.v1", "ops.source.v1"];
    let changes = plan_topics(&doubled(&wide), &cluster).await.unwrap();
    let grown = |topic: &&str| Change::AddPartitions { topic: (*topic).to_owned(), from: 6, to: 12 };
    assert_eq!(changes, wide.iter().map(grown).collect::<Vec<_>>());
    apply_topics(&changes, &cluster).await.unwrap();
    // A broker answers before all that it tells of its topics is up to date.
    let mut again = tokio::time::interval(Duration::from_millis(100));
    for look in 0.. {
        again.tick().await;
        let left = plan_topics(&doubled(&wide), &cluster).await.unwrap();
        if left.is_empty() {
            break;
        }
        assert!(look < LOOKS_MAX, "still to be changed: {left:?}");
    }
    // One that has more than the registry says is told as before.
    let fewer = plan_topics(&doubled(&[]), &cluster).await.unwrap_err().to_string();
    assert!(fewer.starts_with("WL-6017: topic ops.dead-letter.v1 has 12 "), "{fewer}");
    let sizes = tokio::task::spawn_blocking(move || reader::topics(&kafka)).await.unwrap().unwrap();
    assert_eq!((sizes["ops.parked.v1"], sizes["supply.usage-enriched.v1"]), (12, 6));
}
