//! What the journal keeps: everything that is not a record of a topic.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::groups::OffsetEntry;
use super::transactions::Transaction;

/// One entry of the journal. A later one about the same thing replaces an earlier one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Entry {
    /// Name of the cluster, once.
    Cluster(String),
    /// How many ids were given so far, to topics and to producers.
    Counters(Counters),
    /// A topic as it is now.
    Topic(TopicEntry),
    /// A topic is gone.
    TopicDeleted(Uuid),
    /// Records before this offset are gone.
    LogStart(Uuid, i32, i64),
    /// A transactional id as it is now.
    Transaction(String, Transaction),
    /// A transactional id was not used for long.
    TransactionForgotten(String),
    /// Positions of groups, committed and of open transactions.
    Offsets(Vec<OffsetEntry>),
    /// Settings of the broker that were changed.
    BrokerConfigs(BTreeMap<String, String>),
}

/// How many ids were given so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    pub topics: u64,
    pub producers: i64,
}

/// A topic, but for its records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TopicEntry {
    pub name: String,
    pub id: Uuid,
    pub partitions: i32,
    pub configs: BTreeMap<String, String>,
}

/// Partitions of topics, by the name of the topic.
pub(super) type PartitionSet = BTreeMap<String, BTreeSet<i32>>;
