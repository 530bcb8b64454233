//! One group: its members, its generation, and its way from one generation to the next.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::protocol::StrBytes;

use super::Turn;
use super::join::JoinAnswer;
use super::positions::Positions;
use super::subscription;
use crate::broker::wire::RequestId;

/// Where a group stands. There is no dead state: a group that is deleted is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No members.
    Empty,
    /// Waits until all members have joined.
    PreparingRebalance,
    /// Waits for the leader's assignment.
    CompletingRebalance,
    /// Members work.
    Stable,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A request that is answered later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) id: RequestId,
    pub(super) version: i16,
}

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: StrBytes,
    /// Name that survives restarts of the client, if it is a static member.
    pub(super) instance: Option<StrBytes>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    /// What it can do, best first, each with what it says about itself.
    pub(super) protocols: Vec<(StrBytes, Bytes)>,
    pub(super) assignment: Bytes,
    pub(super) joining: Option<Waiting>,
    pub(super) syncing: Option<Waiting>,
    /// Whether it has never been in a generation.
    pub(super) is_new: bool,
    /// Whether it has been told of the generation and has not yet asked for its assignment.
    pub(super) owes_sync: bool,
    /// When it is removed unless it is heard of.
    pub(super) deadline_ms: i64,
}

impl Member {
    /// A member that waits for an answer is alive by that; a new one only for so long, as its client may have gone.
    fn expires_ms(&self) -> Option<i64> {
        let waits = self.joining.is_some() || self.syncing.is_some();
        (self.is_new || !waits).then_some(self.deadline_ms)
    }

    fn supports(&self, protocol: &StrBytes) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn metadata(&self, protocol: Option<&StrBytes>) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| Some(name) == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }
}

/// When the time of joining ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum JoinTimer {
    /// The first members of an empty group wait for others.
    Initial { at_ms: i64, delay_ms: i32, remaining_ms: i32 },
    /// Members of the last generation have until then to join.
    Rejoin { at_ms: i64 },
}

impl JoinTimer {
    fn at_ms(self) -> i64 {
        match self {
            Self::Initial { at_ms, .. } | Self::Rejoin { at_ms } => at_ms,
        }
    }
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<StrBytes>,
    pub(super) protocol: Option<StrBytes>,
    pub(super) leader: Option<StrBytes>,
    pub(super) members: BTreeMap<StrBytes, Member>,
    /// Members that were given an id and must join with it, and until when.
    pub(super) expected: BTreeMap<StrBytes, i64>,
    /// Member id by instance id.
    pub(super) instances: BTreeMap<StrBytes, StrBytes>,
    pub(super) join_timer: Option<JoinTimer>,
    /// When members that owe a SyncGroup are removed.
    pub(super) sync_deadline_ms: Option<i64>,
    /// Whether somebody joined since the initial delay was last extended.
    pub(super) newcomer: bool,
    pub(super) positions: Positions,
}

impl Group {
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            expected: BTreeMap::new(),
            instances: BTreeMap::new(),
            join_timer: None,
            sync_deadline_ms: None,
            newcomer: false,
            positions: Positions::default(),
        }
    }

    /// Whether nothing would be lost with the group.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Empty && self.expected.is_empty() && self.positions.is_empty()
    }

    pub(super) fn is_leader(&self, member: &StrBytes) -> bool {
        self.leader.as_ref() == Some(member)
    }

    pub(super) fn joining(&self) -> usize {
        self.members.values().filter(|member| member.joining.is_some()).count()
    }

    /// The next time at which [`Group::expire`] has something to do.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        let members = self.members.values().filter_map(Member::expires_ms).min();
        let expected = self.expected.values().min().copied();
        let join = self.join_timer.map(JoinTimer::at_ms);
        [members, expected, join, self.sync_deadline_ms].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        let now_ms = turn.now_ms;
        let expected: Vec<StrBytes> = keys_where(&self.expected, |at_ms| *at_ms <= now_ms);
        for member in &expected {
            self.expected.remove(member);
        }
        if !expected.is_empty() {
            self.complete_join_if_all_joined(turn);
        }
        let silent =
            keys_where(&self.members, |member: &Member| member.expires_ms().is_some_and(|at_ms| at_ms <= now_ms));
        for member in silent {
            self.remove_member(&member, turn);
            self.rebalance_after_leave(turn);
        }
        if self.join_timer.is_some_and(|timer| timer.at_ms() <= now_ms) {
            self.end_of_joining(turn);
        }
        if self.sync_deadline_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.end_of_syncing(turn);
        }
    }

    /// Whether a member with these protocols fits the others.
    pub(super) fn accepts(&self, protocol_type: &StrBytes, protocols: &[(StrBytes, Bytes)]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.members.values().all(|member| member.supports(name)))
    }

    /// Checks that a request comes from a member that is in the group and is not replaced.
    pub(super) fn check_member(&self, member: &StrBytes, instance: Option<&StrBytes>) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(current) if current != member => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    /// Notes that a member was heard of.
    pub(super) fn heard_of(&mut self, member: &StrBytes, now_ms: i64) {
        if let Some(member) = self.members.get_mut(member) {
            member.deadline_ms = now_ms.saturating_add(i64::from(member.session_timeout_ms));
        }
    }

    pub(super) fn add_member(&mut self, member: Member, protocol_type: &StrBytes) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), member.id.clone());
        }
        self.expected.remove(&member.id);
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out and answers what it waits for. The caller decides on a rebalance.
    pub(super) fn remove_member(&mut self, id: &StrBytes, turn: &mut Turn<'_>) {
        let Some(mut member) = self.members.remove(id) else { return };
        member.refuse(ResponseError::UnknownMemberId, turn);
        if let Some(instance) = &member.instance
            && self.instances.get(instance) == Some(id)
        {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Starts a rebalance after members went, or lets one complete that only waited for them.
    pub(super) fn rebalance_after_leave(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Empty => {}
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
            State::PreparingRebalance => self.complete_join_if_all_joined(turn),
        }
    }

    pub(super) fn rebalance_or_complete_join(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance {
            self.complete_join_if_all_joined(turn);
        } else {
            self.prepare_rebalance(turn);
        }
    }

    /// Asks all members to join again.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::CompletingRebalance {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
                member.refuse_sync(ResponseError::RebalanceInProgress, turn);
            }
        }
        self.sync_deadline_ms = None;
        let initial = self.state == State::Empty;
        self.state = State::PreparingRebalance;
        if initial {
            let delay_ms = turn.options.initial_rebalance_delay_ms;
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.newcomer = false;
            self.join_timer = Some(JoinTimer::Initial { at_ms: turn.after(delay_ms), delay_ms, remaining_ms });
        } else {
            self.join_timer = Some(JoinTimer::Rejoin { at_ms: turn.after(self.rebalance_timeout_ms()) });
            self.complete_join_if_all_joined(turn);
        }
    }

    pub(super) fn complete_join_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        let rejoining =
            self.state == State::PreparingRebalance && !matches!(self.join_timer, Some(JoinTimer::Initial { .. }));
        if rejoining && self.expected.is_empty() && self.joining() == self.members.len() {
            self.complete_join(turn);
        }
    }

    fn end_of_joining(&mut self, turn: &mut Turn<'_>) {
        if let Some(JoinTimer::Initial { delay_ms, remaining_ms, .. }) = self.join_timer
            && self.newcomer
            && remaining_ms > 0
        {
            self.newcomer = false;
            let next_ms = turn.options.initial_rebalance_delay_ms.min(remaining_ms);
            let at_ms = turn.after(next_ms);
            self.join_timer =
                Some(JoinTimer::Initial { at_ms, delay_ms: next_ms, remaining_ms: (remaining_ms - delay_ms).max(0) });
            return;
        }
        self.complete_join(turn);
    }

    /// Begins the next generation with whoever has joined.
    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.join_timer = None;
        let left = keys_where(&self.members, |member: &Member| member.joining.is_none() && member.instance.is_none());
        for member in left {
            self.remove_member(&member, turn);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Static members alone are left and none has joined: they keep their places until their sessions end.
            self.join_timer = Some(JoinTimer::Rejoin { at_ms: turn.after(self.rebalance_timeout_ms()) });
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.state = State::Empty;
            self.protocol = None;
            return;
        }
        self.protocol = self.select_protocol();
        self.state = State::CompletingRebalance;
        self.sync_deadline_ms = Some(turn.after(self.rebalance_timeout_ms()));
        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.join_answer(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            member.owes_sync = true;
            member.deadline_ms = turn.after(member.session_timeout_ms);
            if let Some(waiting) = member.joining.take() {
                turn.respond(waiting.id, answer.encode(waiting.version));
            }
        }
    }

    fn end_of_syncing(&mut self, turn: &mut Turn<'_>) {
        self.sync_deadline_ms = None;
        let late = keys_where(&self.members, |member: &Member| member.owes_sync);
        for member in &late {
            self.remove_member(member, turn);
        }
        if !late.is_empty() {
            self.rebalance_after_leave(turn);
        }
    }

    /// What a member is told of the generation.
    pub(super) fn join_answer(&self, member: &StrBytes) -> JoinAnswer {
        let leader = self.leader.clone().unwrap_or_default();
        let members = if self.is_leader(member) { self.roll_call() } else { Vec::new() };
        JoinAnswer {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            member: member.clone(),
            members,
            ..JoinAnswer::default()
        }
    }

    /// All members with what they say about themselves, for the leader.
    pub(super) fn roll_call(&self) -> Vec<JoinGroupResponseMember> {
        let line = |member: &Member| {
            JoinGroupResponseMember::default()
                .with_member_id(member.id.clone())
                .with_group_instance_id(member.instance.clone())
                .with_metadata(member.metadata(self.protocol.as_ref()))
        };
        self.members.values().map(line).collect()
    }

    /// The protocol that most members like best among those that all of them support; the first by name among equals.
    pub(super) fn select_protocol(&self) -> Option<StrBytes> {
        let mut votes: BTreeMap<&StrBytes, usize> = BTreeMap::new();
        for member in self.members.values() {
            let common = |name: &StrBytes| self.members.values().all(|other| other.supports(name));
            if let Some((best, _)) = member.protocols.iter().find(|(name, _)| common(name)) {
                *votes.entry(best).or_default() += 1;
            }
        }
        let most = votes.values().max().copied()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.clone())
    }

    /// Whether a member reads this topic, as far as members of a consumer group say.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        self.protocol_type.as_deref() == Some(subscription::PROTOCOL_TYPE)
            && self.members.values().any(|member| {
                let metadata = member.metadata(self.protocol.as_ref());
                subscription::topics(&metadata).is_some_and(|topics| topics.contains(&topic))
            })
    }

    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or_default()
    }

    /// Makes sure that the leader is one who has joined. None has: false.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &StrBytes| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let next = self.members.values().find(|member| member.joining.is_some()).map(|member| member.id.clone());
            if next.is_none() {
                return false;
            }
            self.leader = next;
        }
        true
    }
}

/// The keys of a map whose values fit.
fn keys_where<V>(map: &BTreeMap<StrBytes, V>, fits: impl Fn(&V) -> bool) -> Vec<StrBytes> {
    map.iter().filter(|(_, value)| fits(value)).map(|(key, _)| key.clone()).collect()
}
