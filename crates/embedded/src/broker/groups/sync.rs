//! SyncGroup and Heartbeat: the assignment of a generation, and who is still there.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, ResponseKind, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::group::{Group, Member, State, Waiting};
use super::{Groups, Turn};
use crate::broker::wire::Request;

impl Groups {
    pub(super) fn sync_group(&mut self, request: &Request, body: &SyncGroupRequest, now_ms: i64) {
        let outcome = if body.group_id.is_empty() {
            Err(ResponseError::InvalidGroupId)
        } else {
            let step = |group: &mut Group, turn: &mut Turn<'_>| group.sync(request, body, turn);
            self.with_group(&body.group_id, now_ms, step).unwrap_or(Err(ResponseError::UnknownMemberId))
        };
        if let Err(error) = outcome {
            self.respond(request.id, refusal(error));
        }
    }

    pub(super) fn heartbeat(&mut self, request: &Request, body: &HeartbeatRequest, now_ms: i64) {
        let outcome = if body.group_id.is_empty() {
            Err(ResponseError::InvalidGroupId)
        } else {
            let step = |group: &mut Group, turn: &mut Turn<'_>| group.heartbeat(body, turn.now_ms);
            self.with_group(&body.group_id, now_ms, step).unwrap_or(Err(ResponseError::UnknownMemberId))
        };
        let code = outcome.err().map_or(0, |error| error.code());
        self.respond(request.id, HeartbeatResponse::default().with_error_code(code).into());
    }
}

impl Member {
    /// Ends a sync that the member waits for with an error. From then on it must be heard of again.
    pub(super) fn refuse_sync(&mut self, error: ResponseError, turn: &mut Turn<'_>) {
        if let Some(waiting) = self.syncing.take() {
            turn.respond(waiting.id, refusal(error));
            self.deadline_ms = turn.after(self.session_timeout_ms);
        }
    }
}

impl Group {
    fn sync(&mut self, request: &Request, body: &SyncGroupRequest, turn: &mut Turn<'_>) -> Result<(), ResponseError> {
        self.check_member(&body.member_id, body.group_instance_id.as_ref())?;
        if body.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |said: &Option<StrBytes>, is: &Option<StrBytes>| said.is_some() && said != is;
        if differs(&body.protocol_type, &self.protocol_type) || differs(&body.protocol_name, &self.protocol) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if body.assignments.iter().any(|assignment| assignment.assignment.len() > turn.options.member_bytes_max) {
            return Err(ResponseError::InvalidRequest);
        }
        match self.state {
            State::Empty => return Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => return Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance => {
                let waiting = Waiting { id: request.id, version: request.api_version };
                self.await_assignment(&body.member_id, waiting, turn);
                if self.is_leader(&body.member_id) {
                    let assignments = body.assignments.iter();
                    let assignments =
                        assignments.map(|line| (line.member_id.clone(), line.assignment.clone())).collect();
                    self.assign(assignments, turn);
                }
            }
            State::Stable => {
                let assignment = self.members.get_mut(&body.member_id).map_or_else(Bytes::new, |member| {
                    member.owes_sync = false;
                    member.assignment.clone()
                });
                turn.respond(request.id, self.assignment_answer(assignment));
            }
        }
        if self.members.values().all(|member| !member.owes_sync) {
            self.sync_deadline_ms = None;
        }
        Ok(())
    }

    fn await_assignment(&mut self, id: &StrBytes, waiting: Waiting, turn: &mut Turn<'_>) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.owes_sync = false;
        // A sync that it still waits for was given up by its client.
        member.refuse_sync(ResponseError::RebalanceInProgress, turn);
        member.syncing = Some(waiting);
    }

    /// Gives each member what the leader has for it, and lets the generation work.
    fn assign(&mut self, mut assignments: BTreeMap<StrBytes, Bytes>, turn: &mut Turn<'_>) {
        self.state = State::Stable;
        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let assignment = assignments.remove(&id).unwrap_or_default();
            let answer = self.assignment_answer(assignment.clone());
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment = assignment;
            if let Some(waiting) = member.syncing.take() {
                turn.respond(waiting.id, answer);
                member.deadline_ms = turn.after(member.session_timeout_ms);
            }
        }
    }

    fn assignment_answer(&self, assignment: Bytes) -> ResponseKind {
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.clone())
            .with_protocol_name(self.protocol.clone())
            .with_assignment(assignment)
            .into()
    }

    fn heartbeat(&mut self, body: &HeartbeatRequest, now_ms: i64) -> Result<(), ResponseError> {
        self.check_member(&body.member_id, body.group_instance_id.as_ref())?;
        if body.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.heard_of(&body.member_id, now_ms);
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }
}

fn refusal(error: ResponseError) -> ResponseKind {
    SyncGroupResponse::default().with_error_code(error.code()).into()
}
