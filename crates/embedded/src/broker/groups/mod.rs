//! The group coordinator: classic consumer groups and their offsets, as a state machine.

use super::wire::{Request, Response};

/// A committed position, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OffsetEntry {
    /// Group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The position; none deletes it.
    pub position: Option<Position>,
}

/// Where a group goes on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Next offset to read.
    pub offset: i64,
    /// Epoch of the leader that the client saw, or -1.
    pub leader_epoch: i32,
    /// The client's own words.
    pub metadata: String,
    /// When it was committed, milliseconds since 1970.
    pub committed_ms: i64,
}

/// What the coordinator wants done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Keep positions before anything that follows is done.
    Persist(Vec<OffsetEntry>),
    /// Answer.
    Respond(Response),
}

/// Which topics and partitions there are.
pub trait Topics {
    /// Number of partitions of a topic, when there is one.
    fn partitions(&self, topic: &str) -> Option<i32>;
    /// Whether a producer id with this epoch is current: 0 when it is, or the error code to answer with.
    fn producer_error(&self, transactional_id: &str, producer_id: i64, epoch: i16) -> i16;
}

/// Bounds of the coordinator.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// Shortest session time-out a member may ask for, milliseconds.
    pub session_timeout_min_ms: i32,
    /// Longest.
    pub session_timeout_max_ms: i32,
    /// How long a first rebalance waits for more members, milliseconds.
    pub initial_rebalance_delay_ms: i32,
    /// Makes member ids.
    pub seed: u64,
}

/// All groups.
#[derive(Debug)]
pub struct Groups {
    options: GroupOptions,
}

impl Groups {
    /// No group yet.
    #[must_use]
    pub fn new(options: GroupOptions) -> Self {
        Self { options }
    }

    /// Takes back a kept position at the start.
    pub fn restore(&mut self, _entry: OffsetEntry) {}

    /// Every kept position, to write the journal anew.
    #[must_use]
    pub fn snapshot(&self) -> Vec<OffsetEntry> {
        Vec::new()
    }

    /// Answers a request about groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch,
    /// OffsetDelete, TxnOffsetCommit, ListGroups, DescribeGroups, DeleteGroups. Some answers come later, from another call.
    pub fn handle(&mut self, _request: &Request, _topics: &dyn Topics, _now_ms: i64) -> Vec<Effect> {
        Vec::new()
    }

    /// A transaction has ended: what it committed becomes visible, or is forgotten.
    pub fn end_transaction(&mut self, _producer_id: i64, _commit: bool, _now_ms: i64) -> Vec<Effect> {
        Vec::new()
    }

    /// A topic is gone, and with it the positions in it.
    pub fn topic_deleted(&mut self, _topic: &str) -> Vec<Effect> {
        Vec::new()
    }

    /// Lets time pass: members that were not heard of are removed, rebalances that waited long enough complete.
    pub fn tick(&mut self, _now_ms: i64) -> Vec<Effect> {
        Vec::new()
    }

    /// When [`Groups::tick`] has something to do, milliseconds since 1970.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let _ = &self.options;
        None
    }
}
