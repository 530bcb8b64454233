//! JoinGroup: who is in, and who leads.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::group::{Group, Member, State, Waiting};
use super::{GroupOptions, Groups, Turn};
use crate::broker::wire::Request;

/// First version in which a new member must come back with the id it is given.
const MEMBER_ID_REQUIRED_SINCE: i16 = 4;

/// First version in which the name of a protocol may be left out of an answer.
const NO_PROTOCOL_SINCE: i16 = 7;

/// First version in which a leader can be told to leave the assignment as it is.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

/// An answer to JoinGroup, before it is put into the words of a version.
#[derive(Debug, Default)]
pub(super) struct JoinAnswer {
    pub(super) error: Option<ResponseError>,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<StrBytes>,
    pub(super) protocol: Option<StrBytes>,
    pub(super) leader: StrBytes,
    pub(super) member: StrBytes,
    pub(super) members: Vec<JoinGroupResponseMember>,
    pub(super) skip_assignment: bool,
}

impl JoinAnswer {
    pub(super) fn refusal(member: &StrBytes, error: ResponseError) -> Self {
        Self { error: Some(error), generation: -1, member: member.clone(), ..Self::default() }
    }

    pub(super) fn encode(self, version: i16) -> ResponseKind {
        let protocol =
            if version < NO_PROTOCOL_SINCE { Some(self.protocol.unwrap_or_default()) } else { self.protocol };
        JoinGroupResponse::default()
            .with_error_code(self.error.map_or(0, |error| error.code()))
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type)
            .with_protocol_name(protocol)
            .with_leader(self.leader)
            .with_skip_assignment(self.skip_assignment)
            .with_member_id(self.member)
            .with_members(self.members)
            .into()
    }
}

/// Why a member may not join, and the member id to tell it.
#[derive(Debug)]
struct Refusal {
    member: StrBytes,
    error: ResponseError,
}

impl Refusal {
    fn new(member: &StrBytes, error: ResponseError) -> Self {
        Self { member: member.clone(), error }
    }
}

/// What a JoinGroup asks for.
struct Join<'a> {
    request: &'a Request,
    member: &'a StrBytes,
    instance: Option<&'a StrBytes>,
    protocol_type: &'a StrBytes,
    protocols: Vec<(StrBytes, Bytes)>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
}

impl<'a> Join<'a> {
    fn new(request: &'a Request, body: &'a JoinGroupRequest) -> Self {
        let protocols =
            body.protocols.iter().map(|protocol| (protocol.name.clone(), protocol.metadata.clone())).collect();
        // Clients of version 0 know one time-out for both.
        let rebalance_timeout_ms =
            if request.api_version == 0 { body.session_timeout_ms } else { body.rebalance_timeout_ms.max(0) };
        Self {
            request,
            member: &body.member_id,
            instance: body.group_instance_id.as_ref(),
            protocol_type: &body.protocol_type,
            protocols,
            session_timeout_ms: body.session_timeout_ms,
            rebalance_timeout_ms,
        }
    }

    fn waiting(&self) -> Waiting {
        Waiting { id: self.request.id, version: self.request.api_version }
    }
}

impl Groups {
    pub(super) fn join_group(&mut self, request: &Request, body: &JoinGroupRequest, now_ms: i64) {
        if let Err(error) = self.admit(body) {
            let answer = JoinAnswer::refusal(&body.member_id, error);
            self.respond(request.id, answer.encode(request.api_version));
            return;
        }
        self.with_group(&body.group_id, now_ms, |group, turn| {
            let join = Join::new(request, body);
            if let Err(refusal) = group.join(&join, turn) {
                let answer = JoinAnswer::refusal(&refusal.member, refusal.error);
                turn.respond(request.id, answer.encode(request.api_version));
            }
        });
    }

    /// Checks what can be said without looking into the group, and sees to it that there is one.
    fn admit(&mut self, body: &JoinGroupRequest) -> Result<(), ResponseError> {
        let GroupOptions { session_timeout_min_ms, session_timeout_max_ms, member_bytes_max, .. } = self.options;
        if body.group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        if !(session_timeout_min_ms..=session_timeout_max_ms).contains(&body.session_timeout_ms) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        let size: usize = body.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum();
        if size > member_bytes_max {
            return Err(ResponseError::InvalidRequest);
        }
        if !self.groups.contains_key(body.group_id.as_str()) && !body.member_id.is_empty() {
            return Err(ResponseError::UnknownMemberId);
        }
        self.ensure_group(&body.group_id)
    }
}

impl Member {
    /// Ends whatever the member waits for with an error.
    pub(super) fn refuse(&mut self, error: ResponseError, turn: &mut Turn<'_>) {
        if let Some(waiting) = self.joining.take() {
            turn.respond(waiting.id, JoinAnswer::refusal(&self.id, error).encode(waiting.version));
        }
        self.refuse_sync(error, turn);
    }

    /// Takes over what a join says. A join that the member still waits for was given up by its client.
    fn update(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) {
        if let Some(waiting) = self.joining.replace(join.waiting()) {
            let refusal = JoinAnswer::refusal(&self.id, ResponseError::RebalanceInProgress);
            turn.respond(waiting.id, refusal.encode(waiting.version));
        }
        self.protocols.clone_from(&join.protocols);
        self.session_timeout_ms = join.session_timeout_ms;
        self.rebalance_timeout_ms = join.rebalance_timeout_ms;
    }
}

impl Group {
    fn join(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        if !self.has_room_for(join.member, turn.options.members_max) {
            let known = join.member.clone();
            self.expected.remove(&known);
            return Err(Refusal::new(&StrBytes::new(), ResponseError::GroupMaxSizeReached));
        }
        if !self.accepts(join.protocol_type, &join.protocols) {
            return Err(Refusal::new(join.member, ResponseError::InconsistentGroupProtocol));
        }
        if join.member.is_empty() {
            self.join_new(join, turn)?;
        } else {
            self.join_known(join, turn)?;
        }
        self.complete_join_if_all_joined(turn);
        Ok(())
    }

    fn has_room_for(&self, member: &StrBytes, members_max: usize) -> bool {
        let known = self.members.get(member);
        match self.state {
            State::Empty => self.expected.len() < members_max || self.expected.contains_key(member),
            State::PreparingRebalance => {
                known.is_some_and(|member| member.joining.is_some()) || self.joining() < members_max
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members.len() < members_max,
        }
    }

    fn join_new(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let prefix = join.instance.map_or(join.request.client_id.as_str(), StrBytes::as_str);
        let id = StrBytes::from_string(turn.ids.next(prefix));
        if let Some(instance) = join.instance {
            if let Some(replaced) = self.instances.get(instance).cloned() {
                self.replace_static(&replaced, id, join, turn);
                return Ok(());
            }
        } else if join.request.api_version >= MEMBER_ID_REQUIRED_SINCE {
            if self.expected.len() >= turn.options.members_max {
                return Err(Refusal::new(&StrBytes::new(), ResponseError::GroupMaxSizeReached));
            }
            self.expected.insert(id.clone(), turn.after(join.session_timeout_ms));
            return Err(Refusal::new(&id, ResponseError::MemberIdRequired));
        }
        self.add_and_rebalance(id, join, turn);
        Ok(())
    }

    fn join_known(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        if join.instance.is_none() && self.expected.contains_key(join.member) {
            self.add_and_rebalance(join.member.clone(), join, turn);
            return Ok(());
        }
        self.check_member(join.member, join.instance).map_err(|error| Refusal::new(join.member, error))?;
        let Some(member) = self.members.get_mut(join.member) else { return Ok(()) };
        let same = member.protocols == join.protocols;
        let keeps_generation = match self.state {
            // It may not have got the answer to its last join.
            State::CompletingRebalance => same,
            // A leader joins again when it wants another assignment.
            State::Stable => same && self.leader.as_ref() != Some(join.member),
            State::PreparingRebalance | State::Empty => false,
        };
        if keeps_generation {
            let answer = self.join_answer(join.member);
            turn.respond(join.request.id, answer.encode(join.request.api_version));
        } else {
            member.update(join, turn);
            self.rebalance_or_complete_join(turn);
        }
        Ok(())
    }

    fn add_and_rebalance(&mut self, id: StrBytes, join: &Join<'_>, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && self.generation == 0 {
            self.newcomer = true;
        }
        let member = Member {
            id,
            instance: join.instance.cloned(),
            client_id: join.request.client_id.clone(),
            client_host: join.request.client_host.clone(),
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            joining: Some(join.waiting()),
            syncing: None,
            is_new: true,
            owes_sync: false,
            deadline_ms: turn.after(turn.options.new_member_timeout_ms),
        };
        self.add_member(member, join.protocol_type);
        self.rebalance_or_complete_join(turn);
    }

    /// A static member has come back under a new id: it takes the place of its former self, without a rebalance if nothing
    /// else changes.
    fn replace_static(&mut self, old: &StrBytes, new: StrBytes, join: &Join<'_>, turn: &mut Turn<'_>) {
        let Some(mut member) = self.members.remove(old) else { return };
        let leader_before = self.leader.clone().unwrap_or_default();
        member.refuse(ResponseError::FencedInstanceId, turn);
        member.id = new.clone();
        member.owes_sync = false;
        member.is_new = false;
        member.client_id.clone_from(&join.request.client_id);
        member.client_host.clone_from(&join.request.client_host);
        member.update(join, turn);
        member.deadline_ms = turn.after(member.session_timeout_ms);
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), new.clone());
        }
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        self.members.insert(new.clone(), member);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => self.welcome_back(&new, leader_before, turn),
            // The leader may be assigning to the old id: its assignment would miss the new one.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
            State::PreparingRebalance | State::Empty => {}
        }
    }

    fn welcome_back(&mut self, id: &StrBytes, leader_before: StrBytes, turn: &mut Turn<'_>) {
        let mut answer = self.join_answer(id);
        let Some(waiting) = self.members.get_mut(id).and_then(|member| member.joining.take()) else { return };
        if waiting.version >= SKIP_ASSIGNMENT_SINCE {
            answer.skip_assignment = self.is_leader(id);
        } else {
            // Older clients would assign anew if they saw themselves as the leader.
            answer.leader = leader_before;
            answer.members.clear();
        }
        turn.respond(waiting.id, answer.encode(waiting.version));
    }
}
