//! Where a partition begins, ends and was at a time; and records that go before their time.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ResponseKind,
};

use super::super::storage::{BatchHeader, records};
use super::entry::Entry;
use super::fetch::check_leader_epoch;
use super::registry::Partition;
use super::{Core, LEADER_EPOCH, Storage};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const NEWEST: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;

/// A timestamp and an offset; -1 where there is none.
type Place = (i64, i64);

impl Core {
    pub(super) fn list_offsets(&mut self, request: &ListOffsetsRequest) -> ResponseKind {
        let committed_only = request.isolation_level == 1;
        let (storage, registry) = (&mut *self.storage, &mut self.registry);
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let found = match registry.partition_mut(&topic.name, wanted.partition_index) {
                    Some(partition) => check_leader_epoch(wanted.current_leader_epoch)
                        .and_then(|()| partition.offset_at(storage, wanted.timestamp, committed_only)),
                    None => Err(ResponseError::UnknownTopicOrPartition),
                };
                let answer = ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index);
                match found {
                    Ok((timestamp, offset)) => answer
                        .with_timestamp(timestamp)
                        .with_offset(offset)
                        .with_leader_epoch(if offset < 0 { -1 } else { LEADER_EPOCH }),
                    Err(error) => {
                        answer.with_error_code(error.code()).with_timestamp(-1).with_offset(-1).with_leader_epoch(-1)
                    }
                }
            });
            let partitions = partitions.collect();
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        ListOffsetsResponse::default().with_topics(topics.collect()).into()
    }

    pub(super) fn offset_for_leader_epoch(&self, request: &OffsetForLeaderEpochRequest) -> ResponseKind {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let answer = EpochEndOffset::default().with_partition(wanted.partition);
                let known = self.registry.partition(&topic.topic, wanted.partition);
                let known = known.ok_or(ResponseError::UnknownTopicOrPartition);
                let found = check_leader_epoch(wanted.current_leader_epoch).and(known);
                match found {
                    Err(error) => answer.with_error_code(error.code()).with_leader_epoch(-1).with_end_offset(-1),
                    Ok(partition) if wanted.leader_epoch == LEADER_EPOCH => {
                        answer.with_leader_epoch(LEADER_EPOCH).with_end_offset(partition.log.end())
                    }
                    Ok(_) => answer.with_leader_epoch(-1).with_end_offset(-1),
                }
            });
            let partitions = partitions.collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect()).into()
    }

    pub(super) fn delete_records(&mut self, request: DeleteRecordsRequest) -> ResponseKind {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let partitions = topic.partitions.iter().map(|wanted| {
                let outcome = self.delete_before(&topic.name, wanted.partition_index, wanted.offset);
                let answer = DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
                match outcome {
                    Ok(start) => answer.with_low_watermark(start),
                    Err(error) => answer.with_error_code(error.code()).with_low_watermark(-1),
                }
            });
            let partitions = partitions.collect();
            topics.push(DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions));
        }
        DeleteRecordsResponse::default().with_topics(topics).into()
    }

    /// Removes the records before an offset; -1 means all that there are. The new start.
    fn delete_before(&mut self, name: &str, index: i32, offset: i64) -> Result<i64, ResponseError> {
        let topic = self.registry.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        if topic.settings.compact && !topic.settings.delete {
            return Err(ResponseError::PolicyViolation);
        }
        let id = topic.id;
        let partition = self.registry.partition(name, index).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let offset = if offset == -1 { partition.log.end() } else { offset };
        if offset < 0 || offset > partition.log.end() {
            return Err(ResponseError::OffsetOutOfRange);
        }
        let start = partition.log.start();
        if offset <= start {
            return Ok(start);
        }
        self.write(&Entry::LogStart(id, index, offset)).map_err(|_| ResponseError::KafkaStorageError)?;
        let (storage, registry) = (&mut *self.storage, &mut self.registry);
        if let Some(partition) = registry.partition_mut(name, index) {
            partition.log.advance_start(storage, offset);
            self.woken.extend(partition.waiting.iter().copied());
        }
        Ok(offset)
    }
}

impl Partition {
    fn offset_at(
        &mut self,
        storage: &mut dyn Storage,
        timestamp: i64,
        committed_only: bool,
    ) -> Result<Place, ResponseError> {
        match timestamp {
            LATEST => Ok((-1, self.visible_end(committed_only))),
            EARLIEST | EARLIEST_LOCAL => Ok((-1, self.log.start())),
            NEWEST => self.since(storage, self.log.newest(), committed_only),
            0.. => self.since(storage, timestamp, committed_only),
            _ => Ok((-1, -1)),
        }
    }

    /// The first record of this time or later.
    fn since(
        &mut self,
        storage: &mut dyn Storage,
        timestamp: i64,
        committed_only: bool,
    ) -> Result<Place, ResponseError> {
        let end = self.visible_end(committed_only);
        let mut from = self.log.start();
        while timestamp >= 0 && from < end {
            let batch = self.log.first_since(storage, timestamp, from).map_err(|_| ResponseError::KafkaStorageError)?;
            let Some(batch) = batch else { break };
            let header = BatchHeader::parse(&batch).map_err(|_| ResponseError::KafkaStorageError)?;
            if header.is_log_append_time() {
                let offset = header.base_offset.max(from);
                return Ok(if offset < end { (header.max_timestamp, offset) } else { (-1, -1) });
            }
            let inside = records(&header, &batch).map_err(|_| ResponseError::CorruptMessage)?;
            let places =
                inside.iter().map(|r| (header.base_timestamp + r.timestamp_delta, header.base_offset + r.offset_delta));
            if let Some(place) = places.into_iter().find(|(time, offset)| *time >= timestamp && *offset >= from) {
                return Ok(if place.1 < end { place } else { (-1, -1) });
            }
            from = header.last_offset() + 1;
        }
        Ok((-1, -1))
    }
}
