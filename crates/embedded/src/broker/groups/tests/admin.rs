//! What an administrator sees and may do.

use kafka_protocol::messages::{DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest};

use super::*;

fn listed(driver: &mut Driver, states: &[&str], types: &[&str]) -> Vec<(String, String, String)> {
    let filter = |names: &[&str]| names.iter().map(|name| text(name)).collect();
    let body = ListGroupsRequest::default().with_states_filter(filter(states)).with_types_filter(filter(types));
    match driver.ask(5, body) {
        ResponseKind::ListGroups(answer) => {
            let line = |group: &kafka_protocol::messages::list_groups_response::ListedGroup| {
                (group.group_id.to_string(), group.protocol_type.to_string(), group.group_state.to_string())
            };
            answer.groups.iter().map(line).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn describe(driver: &mut Driver, version: i16) -> kafka_protocol::messages::describe_groups_response::DescribedGroup {
    match driver.ask(version, DescribeGroupsRequest::default().with_groups(vec![group()])) {
        ResponseKind::DescribeGroups(mut answer) => answer.groups.remove(0),
        other => panic!("{other:?}"),
    }
}

fn delete(driver: &mut Driver, name: &str) -> i16 {
    match driver.ask(2, DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(name))])) {
        ResponseKind::DeleteGroups(answer) => answer.results[0].error_code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut driver = Driver::new();
    assert!(listed(&mut driver, &[], &[]).is_empty());
    driver.working();
    let line = ("group".to_owned(), "consumer".to_owned(), "Stable".to_owned());
    assert_eq!(listed(&mut driver, &[], &[]), vec![line.clone()]);
    assert_eq!(listed(&mut driver, &["stable", "Empty"], &["Classic"]), vec![line]);
    assert!(listed(&mut driver, &["Empty"], &[]).is_empty());
    assert!(listed(&mut driver, &[], &["consumer"]).is_empty());
}

#[test]
fn a_group_is_described_with_its_members() {
    let mut driver = Driver::new();
    let unknown = describe(&mut driver, 6);
    assert_eq!((unknown.error_code, &*unknown.group_state), (ResponseError::GroupIdNotFound.code(), "Dead"));
    assert_eq!(describe(&mut driver, 5).error_code, 0);
    let (member, _) = driver.working();
    let described = describe(&mut driver, 6);
    assert_eq!((described.error_code, &*described.group_state), (0, "Stable"));
    assert_eq!((&*described.protocol_type, &*described.protocol_data), ("consumer", "range"));
    let line = &described.members[0];
    assert_eq!((&line.member_id, &*line.client_id, &*line.client_host), (&member, "client", "/127.0.0.1"));
    assert_eq!((&*line.member_metadata, &*line.member_assignment), (&b"metadata of range"[..], &b"all"[..]));
    driver.enter();
    let described = describe(&mut driver, 6);
    assert_eq!((&*described.group_state, described.members.len()), ("PreparingRebalance", 2));
    assert!(described.members.iter().all(|member| member.member_metadata.is_empty()));
}

#[test]
fn only_empty_groups_are_deleted() {
    let mut driver = Driver::new();
    assert_eq!(delete(&mut driver, ""), ResponseError::InvalidGroupId.code());
    assert_eq!(delete(&mut driver, "group"), ResponseError::GroupIdNotFound.code());
    let (member, generation) = driver.working();
    assert_eq!(delete(&mut driver, "group"), ResponseError::NonEmptyGroup.code());
    let commit = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(member.clone())
        .with_generation_id_or_member_epoch(generation);
    driver.ask(9, commit);
    driver.ask(5, leave(&[(&member, None)]));
    assert_eq!(delete(&mut driver, "group"), 0);
    assert_eq!(delete(&mut driver, "group"), ResponseError::GroupIdNotFound.code());
    assert_eq!(driver.groups.next_deadline_ms(), None);
}
