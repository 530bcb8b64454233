//! OffsetFetch: where groups go on.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Groups;
use super::group::Group;
use crate::broker::wire::Request;

/// First version that asks for several groups at once.
const BATCH_SINCE: i16 = 8;

/// A position as it is answered.
struct Found {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: StrBytes,
    code: i16,
}

impl Found {
    fn nothing(partition: i32, code: i16) -> Self {
        Self { partition, offset: -1, leader_epoch: -1, metadata: StrBytes::new(), code }
    }
}

impl From<Found> for OffsetFetchResponsePartition {
    fn from(found: Found) -> Self {
        Self::default()
            .with_partition_index(found.partition)
            .with_committed_offset(found.offset)
            .with_committed_leader_epoch(found.leader_epoch)
            .with_metadata(Some(found.metadata))
            .with_error_code(found.code)
    }
}

impl From<Found> for OffsetFetchResponsePartitions {
    fn from(found: Found) -> Self {
        Self::default()
            .with_partition_index(found.partition)
            .with_committed_offset(found.offset)
            .with_committed_leader_epoch(found.leader_epoch)
            .with_metadata(Some(found.metadata))
            .with_error_code(found.code)
    }
}

impl Groups {
    pub(super) fn offset_fetch(&mut self, request: &Request, body: &OffsetFetchRequest) {
        let answer = if request.api_version < BATCH_SINCE { self.fetch_one(body) } else { self.fetch_many(body) };
        self.respond(request.id, answer.into());
    }

    fn fetch_one(&self, body: &OffsetFetchRequest) -> OffsetFetchResponse {
        let wanted = body.topics.as_ref();
        let wanted = wanted.map(|topics| topics.iter().map(|topic| (&topic.name, topic.partition_indexes.as_slice())));
        let topics = self.find(&body.group_id, wanted, body.require_stable);
        let topic = |(name, partitions): (TopicName, Vec<Found>)| {
            let partitions = partitions.into_iter().map(Into::into).collect();
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
        };
        OffsetFetchResponse::default().with_topics(topics.into_iter().map(topic).collect())
    }

    fn fetch_many(&self, body: &OffsetFetchRequest) -> OffsetFetchResponse {
        let topic = |(name, partitions): (TopicName, Vec<Found>)| {
            let partitions = partitions.into_iter().map(Into::into).collect();
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
        };
        let groups = body.groups.iter().map(|group| {
            let wanted = group.topics.as_ref();
            let wanted =
                wanted.map(|topics| topics.iter().map(|topic| (&topic.name, topic.partition_indexes.as_slice())));
            let topics = self.find(&group.group_id, wanted, body.require_stable);
            let topics = topics.into_iter().map(topic).collect();
            OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone()).with_topics(topics)
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    }

    /// The positions of the wanted topics and partitions, or all there are.
    fn find<'a>(
        &self,
        group: &str,
        wanted: Option<impl Iterator<Item = (&'a TopicName, &'a [i32])>>,
        stable: bool,
    ) -> Vec<(TopicName, Vec<Found>)> {
        let group = self.groups.get(group);
        match (wanted, group) {
            (Some(topics), group) => topics
                .map(|(name, partitions)| {
                    let found = partitions.iter().map(|partition| position(group, name, *partition, stable));
                    (name.clone(), found.collect())
                })
                .collect(),
            (None, None) => Vec::new(),
            (None, Some(group)) => {
                let mut topics: BTreeMap<&str, Vec<Found>> = BTreeMap::new();
                for (topic, partition) in group.positions.committed().keys() {
                    topics.entry(topic).or_default().push(position(Some(group), topic, *partition, stable));
                }
                let named =
                    |(name, found): (&str, Vec<Found>)| (TopicName(StrBytes::from_string(name.to_owned())), found);
                topics.into_iter().map(named).collect()
            }
        }
    }
}

fn position(group: Option<&Group>, topic: &str, partition: i32, stable: bool) -> Found {
    let Some(group) = group else { return Found::nothing(partition, 0) };
    if stable && group.positions.is_pending(topic, partition) {
        return Found::nothing(partition, ResponseError::UnstableOffsetCommit.code());
    }
    let Some(position) = group.positions.get(topic, partition) else { return Found::nothing(partition, 0) };
    Found {
        partition,
        offset: position.offset,
        leader_epoch: position.leader_epoch,
        metadata: StrBytes::from_string(position.metadata.clone()),
        code: 0,
    }
}
