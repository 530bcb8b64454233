//! The group coordinator: classic consumer groups and their offsets, as a state machine.
//!
//! It behaves as Apache Kafka 4 does for the classic protocol. Membership lives in memory: after a restart members are
//! unknown and join again, as clients do when a coordinator forgets them. Offsets are kept, those of open transactions too.

mod admin;
mod fetch;
mod group;
mod join;
mod leave;
mod offsets;
mod positions;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use self::group::Group;
use super::wire::{Request, RequestId, Response};

/// A committed position, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OffsetEntry {
    /// Group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The producer in whose open transaction the position waits; none when it is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<i64>,
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
#[allow(clippy::large_enum_variant, reason = "effects are consumed at once; most of them are answers")]
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
    /// How long a new member may wait in a rebalance before it must ask again, milliseconds.
    pub new_member_timeout_ms: i32,
    /// Most members of a group.
    pub members_max: usize,
    /// Most groups.
    pub groups_max: usize,
    /// Most bytes that a client may store with a position.
    pub offset_metadata_bytes_max: usize,
    /// Most bytes that a member may say about itself, and most bytes of its assignment.
    pub member_bytes_max: usize,
    /// Makes member ids.
    pub seed: u64,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 0,
            new_member_timeout_ms: 300_000,
            members_max: 1_000,
            groups_max: 10_000,
            offset_metadata_bytes_max: 4_096,
            member_bytes_max: 1 << 20,
            seed: 0,
        }
    }
}

/// All groups.
#[derive(Debug)]
pub struct Groups {
    options: GroupOptions,
    groups: BTreeMap<String, Group>,
    /// When each group has something to do next, soonest first; a group stands here at most once.
    timers: BTreeSet<(i64, String)>,
    ids: MemberIds,
    effects: Vec<Effect>,
}

/// What a step of one group needs from outside.
struct Turn<'a> {
    now_ms: i64,
    options: &'a GroupOptions,
    ids: &'a mut MemberIds,
    effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    fn respond(&mut self, id: RequestId, body: ResponseKind) {
        self.effects.push(Effect::Respond(Response { id, body: Some(body) }));
    }

    fn persist(&mut self, entries: Vec<OffsetEntry>) {
        if !entries.is_empty() {
            self.effects.push(Effect::Persist(entries));
        }
    }

    /// The time that is so many milliseconds from now.
    fn after(&self, delay_ms: i32) -> i64 {
        self.now_ms.saturating_add(i64::from(delay_ms))
    }
}

impl Groups {
    /// No group yet.
    #[must_use]
    pub fn new(options: GroupOptions) -> Self {
        let ids = MemberIds { state: options.seed };
        Self { options, groups: BTreeMap::new(), timers: BTreeSet::new(), ids, effects: Vec::new() }
    }

    /// Takes back a kept position at the start.
    pub fn restore(&mut self, entry: OffsetEntry) {
        let id = entry.group.clone();
        let group = self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone()));
        group.positions.restore(entry);
        if group.is_idle() {
            self.groups.remove(&id);
        }
    }

    /// Every kept position, to write the journal anew.
    #[must_use]
    pub fn snapshot(&self) -> Vec<OffsetEntry> {
        self.groups.values().flat_map(|group| group.positions.snapshot(&group.id)).collect()
    }

    /// Answers a request about groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch,
    /// OffsetDelete, TxnOffsetCommit, ListGroups, DescribeGroups, DeleteGroups. Some answers come later, from another call.
    /// A request about anything else has no effect.
    pub fn handle(&mut self, request: &Request, topics: &dyn Topics, now_ms: i64) -> Vec<Effect> {
        match &request.body {
            RequestKind::JoinGroup(body) => self.join_group(request, body, now_ms),
            RequestKind::SyncGroup(body) => self.sync_group(request, body, now_ms),
            RequestKind::Heartbeat(body) => self.heartbeat(request, body, now_ms),
            RequestKind::LeaveGroup(body) => self.leave_group(request, body, now_ms),
            RequestKind::OffsetCommit(body) => self.offset_commit(request, body, topics, now_ms),
            RequestKind::TxnOffsetCommit(body) => self.txn_offset_commit(request, body, topics, now_ms),
            RequestKind::OffsetFetch(body) => self.offset_fetch(request, body),
            RequestKind::OffsetDelete(body) => self.offset_delete(request, body, topics, now_ms),
            RequestKind::ListGroups(body) => self.list_groups(request, body),
            RequestKind::DescribeGroups(body) => self.describe_groups(request, body),
            RequestKind::DeleteGroups(body) => self.delete_groups(request, body, now_ms),
            _ => {}
        }
        std::mem::take(&mut self.effects)
    }

    /// A transaction has ended: what it committed becomes visible, or is forgotten.
    pub fn end_transaction(&mut self, producer_id: i64, commit: bool, _now_ms: i64) -> Vec<Effect> {
        let entries: Vec<OffsetEntry> = self
            .groups
            .values_mut()
            .flat_map(|group| group.positions.end_transaction(&group.id, producer_id, commit))
            .collect();
        if entries.is_empty() { Vec::new() } else { vec![Effect::Persist(entries)] }
    }

    /// A topic is gone, and with it the positions in it.
    pub fn topic_deleted(&mut self, topic: &str) -> Vec<Effect> {
        let entries: Vec<OffsetEntry> =
            self.groups.values_mut().flat_map(|group| group.positions.remove_topic(&group.id, topic)).collect();
        if entries.is_empty() { Vec::new() } else { vec![Effect::Persist(entries)] }
    }

    /// Lets time pass: members that were not heard of are removed, rebalances that waited long enough complete.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Effect> {
        while let Some((due_ms, id)) = self.timers.first().cloned() {
            if due_ms > now_ms {
                break;
            }
            self.with_group(&id, now_ms, |_, _| ());
            if self.timers.first().is_some_and(|timer| *timer == (due_ms, id)) {
                // A step that leaves its own timer in place would be repeated for ever.
                break;
            }
        }
        std::mem::take(&mut self.effects)
    }

    /// When [`Groups::tick`] has something to do, milliseconds since 1970.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.timers.first().map(|(at_ms, _)| *at_ms)
    }

    /// Runs a step of a group that there is, lets what is due happen after it, and notes when it wants to be called again.
    fn with_group<T>(&mut self, id: &str, now_ms: i64, step: impl FnOnce(&mut Group, &mut Turn<'_>) -> T) -> Option<T> {
        let group = self.groups.get_mut(id)?;
        let before = group.deadline_ms();
        let mut turn = Turn { now_ms, options: &self.options, ids: &mut self.ids, effects: &mut self.effects };
        let result = step(group, &mut turn);
        group.expire(&mut turn);
        let after = group.deadline_ms();
        if before != after {
            if let Some(at_ms) = before {
                self.timers.remove(&(at_ms, id.to_owned()));
            }
            if let Some(at_ms) = after {
                self.timers.insert((at_ms, id.to_owned()));
            }
        }
        Some(result)
    }

    /// Makes a group if there is none. When there are as many as there may be, one that is empty and keeps nothing makes way.
    fn ensure_group(&mut self, id: &str) -> Result<(), ResponseError> {
        if self.groups.contains_key(id) {
            return Ok(());
        }
        if self.groups.len() >= self.options.groups_max {
            let idle = self.groups.values().find(|group| group.is_idle()).map(|group| group.id.clone());
            let Some(idle) = idle else { return Err(ResponseError::GroupMaxSizeReached) };
            self.groups.remove(&idle);
        }
        self.groups.insert(id.to_owned(), Group::new(id.to_owned()));
        Ok(())
    }

    fn respond(&mut self, id: RequestId, body: ResponseKind) {
        self.effects.push(Effect::Respond(Response { id, body: Some(body) }));
    }
}

/// Makes ids that nobody guesses by accident, the same ones for the same seed.
#[derive(Debug)]
struct MemberIds {
    state: u64,
}

impl MemberIds {
    fn next(&mut self, prefix: &str) -> String {
        let [high, low] = [self.random(), self.random()];
        format!(
            "{prefix}-{}",
            uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid()
        )
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
