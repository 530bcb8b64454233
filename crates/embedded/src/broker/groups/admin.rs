//! ListGroups, DescribeGroups, DeleteGroups: what an administrator sees.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    ListGroupsRequest, ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::Groups;
use super::group::{Group, Member, State};
use crate::broker::wire::Request;

/// The one type of group that there is here.
const GROUP_TYPE: &str = "classic";

/// First version of DescribeGroups that says that a group is not there.
const NOT_FOUND_SINCE: i16 = 6;

/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, one bit each: everybody may do everything here.
const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

impl Groups {
    pub(super) fn list_groups(&mut self, request: &Request, body: &ListGroupsRequest) {
        let wanted = |filter: &[StrBytes], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let groups = self
            .groups
            .values()
            .filter(|group| wanted(&body.states_filter, group.state.name()) && wanted(&body.types_filter, GROUP_TYPE));
        let line = |group: &Group| {
            ListedGroup::default()
                .with_group_id(group_id(&group.id))
                .with_protocol_type(group.protocol_type.clone().unwrap_or_default())
                .with_group_state(StrBytes::from_static_str(group.state.name()))
                .with_group_type(StrBytes::from_static_str(GROUP_TYPE))
        };
        let groups = groups.map(line).collect();
        self.respond(request.id, ListGroupsResponse::default().with_groups(groups).into());
    }

    pub(super) fn describe_groups(&mut self, request: &Request, body: &DescribeGroupsRequest) {
        let operations = if body.include_authorized_operations { ALL_OPERATIONS } else { i32::MIN };
        let groups = body.groups.iter().map(|id| {
            let described = match self.groups.get(id.as_str()) {
                Some(group) => group.describe(),
                None if request.api_version >= NOT_FOUND_SINCE => DescribedGroup::default()
                    .with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_error_message(Some(StrBytes::from_string(format!("Group {} not found.", id.as_str()))))
                    .with_group_state(StrBytes::from_static_str("Dead")),
                None => DescribedGroup::default().with_group_state(StrBytes::from_static_str("Dead")),
            };
            described.with_group_id(id.clone()).with_authorized_operations(operations)
        });
        let groups = groups.collect();
        self.respond(request.id, DescribeGroupsResponse::default().with_groups(groups).into());
    }

    pub(super) fn delete_groups(&mut self, request: &Request, body: &DeleteGroupsRequest, now_ms: i64) {
        let mut results = Vec::new();
        for id in &body.groups_names {
            let code = self.delete_group(id, now_ms).err().map_or(0, |error| error.code());
            results.push(DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(code));
        }
        self.respond(request.id, DeleteGroupsResponse::default().with_results(results).into());
    }

    fn delete_group(&mut self, id: &str, now_ms: i64) -> Result<(), ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let deleted = self.with_group(id, now_ms, |group, turn| {
            if group.state != State::Empty {
                return Err(ResponseError::NonEmptyGroup);
            }
            group.expected.clear();
            turn.persist(group.positions.remove_all(&group.id));
            Ok(())
        });
        deleted.unwrap_or(Err(ResponseError::GroupIdNotFound))?;
        self.groups.remove(id);
        Ok(())
    }
}

impl Group {
    fn describe(&self) -> DescribedGroup {
        let stable = self.state == State::Stable;
        let line = |member: &Member| {
            let described = DescribedGroupMember::default()
                .with_member_id(member.id.clone())
                .with_group_instance_id(member.instance.clone())
                .with_client_id(StrBytes::from_string(member.client_id.clone()))
                .with_client_host(StrBytes::from_string(member.client_host.clone()));
            if !stable {
                return described;
            }
            described
                .with_member_metadata(member.metadata(self.protocol.as_ref()))
                .with_member_assignment(member.assignment.clone())
        };
        let protocol = self.protocol.clone().filter(|_| stable).unwrap_or_default();
        DescribedGroup::default()
            .with_group_state(StrBytes::from_static_str(self.state.name()))
            .with_protocol_type(self.protocol_type.clone().unwrap_or_default())
            .with_protocol_data(protocol)
            .with_members(self.members.values().map(line).collect())
    }
}

fn group_id(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}
