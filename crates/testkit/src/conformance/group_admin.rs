//! What those who look after groups see and may do.

use super::Target;
use super::clients::{PATIENCE, admin, consumer, fresh, one, options, put, topic, wait};
use super::group_protocol::commit;
use super::members::{Member, work};
use super::raw::{Raw, text};
use super::same;
use anyhow::{Context, Result, ensure};
use kafka_protocol::messages::{DescribeGroupsRequest, ListGroupsRequest};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

/// A group is listed with its state and described with its members.
pub(super) fn describes_groups(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 2, &[])?, fresh("group"));
    let member = Member::join(target, &group, &topic, &[("client.id", "ward-7")])?;
    work("it owns all", &[&member], || Ok(member.owned()?.len() == 2))?;
    let admin = admin(target)?;
    let list = admin.inner().fetch_group_list(Some(&group), PATIENCE)?;
    let described = list.groups().first().context("the group is missing")?;
    same("name", described.name(), group.as_str())?;
    same("state", described.state(), "Stable")?;
    same("protocol type", described.protocol_type(), "consumer")?;
    same("protocol", described.protocol(), "range")?;
    let known = described.members().first().context("no member")?;
    same("members", described.members().len(), 1)?;
    same("client", known.client_id(), "ward-7")?;
    same("host", known.client_host(), "/127.0.0.1")?;
    ensure!(known.id().starts_with("ward-7-"), "member id {}", known.id());
    ensure!(known.assignment().is_some_and(|bytes| contains(bytes, topic.as_bytes())), "no assignment");
    ensure!(known.metadata().is_some_and(|bytes| contains(bytes, topic.as_bytes())), "no metadata");
    let all = admin.inner().fetch_group_list(None, PATIENCE)?;
    ensure!(all.groups().iter().any(|listed| listed.name() == group), "the group is not listed");
    Ok(())
}

/// Groups are listed by state; one without members is empty, one that never was is dead.
pub(super) fn lists_groups_by_state(target: &dyn Target) -> Result<()> {
    let (topic, working, resting) = (topic(target, 1, &[])?, fresh("working"), fresh("resting"));
    let member = Member::join(target, &working, &topic, &[])?;
    work("it owns all", &[&member], || Ok(member.owned()?.len() == 1))?;
    let mut raw = Raw::connect(target)?;
    same("commit", commit(&mut raw, &resting, ("", -1), &topic, 1, "")?, 0)?;
    for (states, expected) in [
        (vec!["Stable"], (true, false)),
        (vec!["Empty"], (false, true)),
        (vec!["Empty", "Stable"], (true, true)),
        (vec![], (true, true)),
    ] {
        let request = ListGroupsRequest::default().with_states_filter(states.iter().map(|state| text(state)).collect());
        let response = raw.call(4, &request)?;
        same("error", response.error_code, 0)?;
        let listed = |name: &str| response.groups.iter().any(|group| group.group_id.as_str() == name);
        same("listed", (listed(&working), listed(&resting)), expected)?;
    }
    let unknown = fresh("unknown");
    for (name, state) in [(&working, "Stable"), (&resting, "Empty"), (&unknown, "Dead")] {
        let request = DescribeGroupsRequest::default().with_groups(vec![text(name).into()]);
        let response = raw.call(4, &request)?;
        let described = response.groups.first().context("no group in the answer")?;
        same("error", described.error_code, 0)?;
        same(name, described.group_state.as_str(), state)?;
    }
    Ok(())
}

/// An empty group is deleted with what it had committed; one with members and one that is not there are not.
pub(super) fn deletes_groups(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 1, &[])?, fresh("group"));
    put(target, &topic, 0, &["a"])?;
    let member = Member::join(target, &group, &topic, &[])?;
    work("it has read", &[&member], || Ok(member.count() == 1))?;
    member.commit_read()?;
    let admin = admin(target)?;
    let delete = |name: &str| -> Result<Option<RDKafkaErrorCode>> {
        Ok(one(wait(admin.delete_groups(&[name], &options()))??).err())
    };
    same("with a member", delete(&group)?, Some(RDKafkaErrorCode::NonEmptyGroup))?;
    drop(member);
    same("empty", delete(&group)?, None)?;
    same("again", delete(&group)?, Some(RDKafkaErrorCode::GroupIdNotFound))?;
    let reader = consumer(target, &[("group.id", &group)])?;
    let mut asked = rdkafka::TopicPartitionList::new();
    asked.add_partition(&topic, 0);
    let committed = reader.committed_offsets(asked, PATIENCE)?;
    let element = committed.find_partition(&topic, 0).context("no partition in the answer")?;
    same("committed", element.offset(), rdkafka::Offset::Invalid)?;
    let all = admin.inner().fetch_group_list(None, PATIENCE)?;
    ensure!(all.groups().iter().all(|listed| listed.name() != group), "the group is still listed");
    Ok(())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
