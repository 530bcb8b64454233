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
    /// Positions that an open transaction is going to commit.
    TransactionOffsets(TransactionOffsets),
    /// Committed positions.
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

/// Positions that an open transaction is going to commit, as the client sent them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TransactionOffsets {
    pub transactional_id: String,
    pub producer_id: i64,
    pub epoch: i16,
    pub group: String,
    /// Topic, partition, offset, leader epoch, metadata.
    pub positions: Vec<(String, i32, i64, i32, Option<String>)>,
}

/// Partitions of topics, by the name of the topic.
pub(super) type PartitionSet = BTreeMap<String, BTreeSet<i32>>;
