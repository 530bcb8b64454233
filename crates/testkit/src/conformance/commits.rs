//! Positions that groups commit.

use super::Target;
use super::clients::{PATIENCE, consumer, delete, fresh, put, topic};
use super::clock::until;
use super::group_protocol::commit;
use super::members::{Member, work};
use super::raw::{Raw, name, text};
use super::same;
use anyhow::{Context, Result, ensure};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

/// A group goes on where it was, and keeps its own words beside the position.
pub(super) fn a_group_goes_on_where_it_was(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 1, &[])?, fresh("group"));
    put(target, &topic, 0, &["0", "1", "2", "3"])?;
    let first = Member::join(target, &group, &topic, &[])?;
    work("all is read", &[&first], || Ok(first.count() == 4))?;
    let mut offsets = TopicPartitionList::new();
    let mut element = offsets.add_partition(&topic, 0);
    element.set_offset(Offset::Offset(2))?;
    element.set_metadata("until the second, ümlaut");
    first.client().commit(&offsets, CommitMode::Sync)?;
    let committed = first.client().committed(PATIENCE)?;
    let element = committed.find_partition(&topic, 0).context("no partition in the answer")?;
    same("committed", element.offset(), Offset::Offset(2))?;
    same("words", element.metadata(), "until the second, ümlaut")?;
    drop(first);
    let second = Member::join(target, &group, &topic, &[])?;
    work("the rest is read", &[&second], || Ok(second.count() == 2))?;
    same("rest", second.values(), ["2", "3"])
}

/// A group that has never committed has no position, and begins where it was told to.
pub(super) fn a_new_group_has_no_position(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 1, &[])?, fresh("group"));
    put(target, &topic, 0, &["before"])?;
    same("committed", position(target, &group, &topic)?, Offset::Invalid)?;
    let latest = Member::join(target, &group, &topic, &[("auto.offset.reset", "latest")])?;
    work("it owns the partition and stands at its end", &[&latest], || {
        let positions = latest.client().position()?;
        Ok(positions.find_partition(&topic, 0).is_some() && latest.owned()?.len() == 1)
    })?;
    // It is asked where the end is only when it has begun to read.
    super::members::work_for(std::time::Duration::from_millis(500), &[&latest])?;
    put(target, &topic, 0, &["after"])?;
    work("it reads", &[&latest], || Ok(latest.count() == 1))?;
    same("values", latest.values(), ["after"])
}

/// What is read is committed by itself where the client says so.
pub(super) fn commits_by_itself(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 1, &[])?, fresh("group"));
    put(target, &topic, 0, &["a", "b"])?;
    let settings = [("enable.auto.commit", "true"), ("auto.commit.interval.ms", "100")];
    let member = Member::join(target, &group, &topic, &settings)?;
    work("all is read", &[&member], || Ok(member.count() == 2))?;
    drop(member);
    same("committed", position(target, &group, &topic)?, Offset::Offset(2))
}

/// Positions of different groups and topics are told apart, asked for one by one and all together.
pub(super) fn keeps_positions_apart(target: &dyn Target) -> Result<()> {
    let (first, second) = (topic(target, 1, &[])?, topic(target, 1, &[])?);
    let (group, other) = (fresh("group"), fresh("group"));
    let mut raw = Raw::connect(target)?;
    for (group, topic, offset) in [(&group, &first, 1), (&group, &second, 2), (&other, &first, 3)] {
        same("commit", commit(&mut raw, group, ("", -1), topic, offset, "m")?, 0)?;
    }
    let asked = OffsetFetchRequestTopic::default().with_name(name(&second)).with_partition_indexes(vec![0, 7]);
    let request = OffsetFetchRequest::default().with_group_id(text(&group).into()).with_topics(Some(vec![asked]));
    for version in [1, 5, 7] {
        let response = raw.call(version, &request)?;
        let mut answers: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|part| (part.partition_index, part.committed_offset, part.error_code))
            .collect();
        answers.sort_unstable();
        same("asked for", answers, [(0, 2, 0), (7, -1, 0)])?;
    }
    let request = OffsetFetchRequest::default().with_group_id(text(&group).into()).with_topics(None);
    let all = raw.call(7, &request)?;
    let mut names: Vec<_> = all.topics.iter().map(|topic| topic.name.as_str()).collect();
    names.sort_unstable();
    let mut expected = [first.as_str(), second.as_str()];
    expected.sort_unstable();
    same("all", names, expected)?;
    let groups = [&group, &other]
        .map(|group| OffsetFetchRequestGroup::default().with_group_id(text(group).into()).with_topics(None));
    let both = raw.call(8, &OffsetFetchRequest::default().with_groups(groups.to_vec()))?;
    let counts: Vec<_> = both.groups.iter().map(|answer| (answer.group_id.to_string(), answer.topics.len())).collect();
    same("both groups", counts, [(group, 2), (other, 1)])
}

/// A commit that cannot be kept is refused.
pub(super) fn refuses_commits_that_cannot_be(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 1, &[])?, fresh("group"));
    let mut raw = Raw::connect(target)?;
    same("unknown topic", commit(&mut raw, &group, ("", -1), &fresh("unknown"), 1, "")?, 3)?;
    same("long words", commit(&mut raw, &group, ("", -1), &topic, 1, &"x".repeat(5_000))?, 12)?;
    same("committed", position(target, &group, &topic)?, Offset::Invalid)
}

/// A position can be taken back, and goes with its topic.
pub(super) fn forgets_positions(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 1, &[])?, fresh("group"));
    let mut raw = Raw::connect(target)?;
    same("commit", commit(&mut raw, &group, ("", -1), &topic, 1, "")?, 0)?;
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let asked = OffsetDeleteRequestTopic::default().with_name(name(&topic)).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(text(&group).into()).with_topics(vec![asked]);
    let response = raw.call(0, &request)?;
    same("error", response.error_code, 0)?;
    same("partition", response.topics[0].partitions[0].error_code, 0)?;
    same("committed", position(target, &group, &topic)?, Offset::Invalid)?;
    same("commit", commit(&mut raw, &group, ("", -1), &topic, 2, "")?, 0)?;
    same("committed", position(target, &group, &topic)?, Offset::Offset(2))?;
    delete(target, &topic)?;
    super::clients::create(target, &topic, 1, &[])?;
    until("the position has gone with the topic", || Ok(position(target, &group, &topic)? == Offset::Invalid))
}

/// Where a group is in partition 0.
pub(super) fn position(target: &dyn Target, group: &str, topic: &str) -> Result<Offset> {
    Ok(known(target, group, topic)?.0)
}

/// Where a group is in partition 0, and its words beside.
pub(super) fn known(target: &dyn Target, group: &str, topic: &str) -> Result<(Offset, String)> {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    let reader = consumer(target, &[("group.id", group)])?;
    let mut found = None;
    until("the coordinator answers", || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let committed = match reader.committed_offsets(asked, PATIENCE) {
            Ok(committed) => committed,
            Err(error) => {
                let code = error.rdkafka_error_code();
                let passes = [NotCoordinator, CoordinatorLoadInProgress, CoordinatorNotAvailable];
                ensure!(code.is_some_and(|code| passes.contains(&code)), "committed: {error}");
                return Ok(false);
            }
        };
        let element = committed.find_partition(topic, 0).context("no partition in the answer")?;
        ensure!(element.error().is_ok(), "committed: {:?}", element.error());
        found = Some((element.offset(), element.metadata().to_owned()));
        Ok(true)
    })?;
    found.context("no answer")
}
