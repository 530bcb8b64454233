//! LeaveGroup: members that go on their own, or are sent away by an administrator.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::group::Group;
use super::{Groups, Turn};
use crate::broker::wire::Request;

/// First version in which several members can leave at once.
const BATCH_SINCE: i16 = 3;

impl Groups {
    pub(super) fn leave_group(&mut self, request: &Request, body: &LeaveGroupRequest, now_ms: i64) {
        if body.group_id.is_empty() {
            let code = ResponseError::InvalidGroupId.code();
            self.respond(request.id, LeaveGroupResponse::default().with_error_code(code).into());
            return;
        }
        let leavers: Vec<(StrBytes, Option<StrBytes>)> = if request.api_version < BATCH_SINCE {
            vec![(body.member_id.clone(), None)]
        } else {
            body.members.iter().map(|member| (member.member_id.clone(), member.group_instance_id.clone())).collect()
        };
        let step = |group: &mut Group, turn: &mut Turn<'_>| group.leave(&leavers, turn);
        let codes = self.with_group(&body.group_id, now_ms, step);
        let codes = codes.unwrap_or_else(|| vec![ResponseError::UnknownMemberId.code(); leavers.len()]);
        let answer = if request.api_version < BATCH_SINCE {
            LeaveGroupResponse::default().with_error_code(codes.first().copied().unwrap_or_default())
        } else {
            let line = |((member, instance), code): (&(StrBytes, Option<StrBytes>), i16)| {
                MemberResponse::default()
                    .with_member_id(member.clone())
                    .with_group_instance_id(instance.clone())
                    .with_error_code(code)
            };
            LeaveGroupResponse::default().with_members(leavers.iter().zip(codes).map(line).collect())
        };
        self.respond(request.id, answer.into());
    }
}

impl Group {
    /// Takes members out, then rebalances once. The error code of each.
    fn leave(&mut self, leavers: &[(StrBytes, Option<StrBytes>)], turn: &mut Turn<'_>) -> Vec<i16> {
        let before = self.members.len();
        let mut codes = Vec::new();
        for (member, instance) in leavers {
            let outcome = self.leave_one(member, instance.as_ref(), turn);
            codes.push(outcome.err().map_or(0, |error| error.code()));
        }
        if self.members.len() < before {
            self.rebalance_after_leave(turn);
        } else {
            self.complete_join_if_all_joined(turn);
        }
        codes
    }

    fn leave_one(
        &mut self,
        member: &StrBytes,
        instance: Option<&StrBytes>,
        turn: &mut Turn<'_>,
    ) -> Result<(), ResponseError> {
        if instance.is_none() && self.expected.remove(member).is_some() {
            return Ok(());
        }
        let current = match instance {
            // An administrator knows a static member by its instance id alone.
            Some(instance) if member.is_empty() => self.instances.get(instance).cloned(),
            _ => Some(member.clone()),
        };
        let current = current.ok_or(ResponseError::UnknownMemberId)?;
        self.check_member(&current, instance)?;
        self.remove_member(&current, turn);
        Ok(())
    }
}
