//! Fetch: whole batches straight from the log, at once or when there is enough.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProducerId, TopicName};

use super::super::storage::{AbortedRange, BatchHeader, ReadLimits};
use super::super::wire::RequestId;
use super::registry::{Partition, topic_name};
use super::{Core, LEADER_EPOCH, Storage, StorageError};

/// Version from which topics are named by their id.
const BY_ID: i16 = 13;
const READ_COMMITTED: i8 = 1;

/// A fetch that waits for more data.
#[derive(Debug)]
pub(super) struct WaitingFetch {
    request: FetchRequest,
    version: i16,
    pub deadline_ms: i64,
}

/// What a fetch finds now.
struct Found {
    response: FetchResponse,
    bytes: usize,
    /// Something went wrong that the client must hear of at once.
    failed: bool,
}

impl Core {
    pub(super) fn fetch(&mut self, id: RequestId, version: i16, request: FetchRequest, now_ms: i64) {
        if request.session_id != 0 && request.session_epoch > 0 {
            let refused = FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
            return self.respond(id, Some(refused.into()));
        }
        let found = self.find(version, &request);
        let wait_ms = i64::from(request.max_wait_ms.min(self.options.fetch_wait_max_ms));
        let full = self.waiting.len() >= self.options.waiting_fetches_max;
        if found.is_enough(&request) || wait_ms <= 0 || full || request.topics.is_empty() {
            return self.respond(id, Some(found.response.into()));
        }
        for (topic, partition) in partitions(&request) {
            let name = self.name(version, topic).unwrap_or_default();
            if let Some(partition) = self.registry.partition_mut(&name, partition.partition) {
                partition.waiting.insert(id);
            }
        }
        self.waiting.insert(id, WaitingFetch { request, version, deadline_ms: now_ms.saturating_add(wait_ms) });
    }

    /// Answers the woken fetches that have waited for long enough, or for what is there now.
    pub(super) fn answer_woken(&mut self, now_ms: i64) {
        for id in std::mem::take(&mut self.woken) {
            let Some(fetch) = self.waiting.remove(&id) else { continue };
            let found = self.find(fetch.version, &fetch.request);
            let enough = found.is_enough(&fetch.request) || fetch.deadline_ms <= now_ms;
            self.waiting.insert(id, fetch);
            if enough {
                self.stop_waiting(id);
                self.respond(id, Some(found.response.into()));
            }
        }
    }

    pub(super) fn stop_waiting(&mut self, id: RequestId) {
        let Some(fetch) = self.waiting.remove(&id) else { return };
        for (topic, partition) in partitions(&fetch.request) {
            let name = self.name(fetch.version, topic).unwrap_or_default();
            if let Some(partition) = self.registry.partition_mut(&name, partition.partition) {
                partition.waiting.remove(&id);
            }
        }
    }

    fn name(&self, version: i16, topic: &kafka_protocol::messages::fetch_request::FetchTopic) -> Option<String> {
        if version >= BY_ID {
            self.registry.name_of(topic.topic_id).map(str::to_owned)
        } else {
            Some(topic.topic.to_string())
        }
    }

    fn find(&mut self, version: i16, request: &FetchRequest) -> Found {
        let mut left = usize::try_from(request.max_bytes.min(self.options.fetch_bytes_max)).unwrap_or(0);
        let mut found = Found { response: FetchResponse::default(), bytes: 0, failed: false };
        for topic in &request.topics {
            let name = self.name(version, topic);
            let mut answer = FetchableTopicResponse::default().with_topic_id(topic.topic_id);
            answer.topic = name.as_deref().map_or_else(TopicName::default, topic_name);
            for wanted in &topic.partitions {
                let (storage, registry) = (&mut *self.storage, &mut self.registry);
                let known = name.as_deref().and_then(|name| registry.partition_mut(name, wanted.partition));
                let max_bytes = left.min(usize::try_from(wanted.partition_max_bytes).unwrap_or(0));
                let limits = (max_bytes, found.bytes == 0);
                let data = match known {
                    Some(partition) => partition.fetch(storage, wanted, request.isolation_level, limits),
                    None if name.is_none() => failed(ResponseError::UnknownTopicId),
                    None => failed(ResponseError::UnknownTopicOrPartition),
                };
                let len = data.records.as_ref().map_or(0, Bytes::len);
                found.bytes += len;
                found.failed |= data.error_code != 0;
                left = left.saturating_sub(len);
                answer.partitions.push(data.with_partition_index(wanted.partition));
            }
            found.response.responses.push(answer);
        }
        found
    }
}

impl Found {
    fn is_enough(&self, request: &FetchRequest) -> bool {
        self.failed || self.bytes >= usize::try_from(request.min_bytes).unwrap_or(0)
    }
}

impl Partition {
    fn fetch(
        &mut self,
        storage: &mut dyn Storage,
        wanted: &FetchPartition,
        isolation: i8,
        limits: (usize, bool),
    ) -> PartitionData {
        if let Err(error) = check_leader_epoch(wanted.current_leader_epoch) {
            return failed(error);
        }
        if wanted.fetch_offset < self.log.start() || wanted.fetch_offset > self.log.end() {
            return self.placed(failed(ResponseError::OffsetOutOfRange));
        }
        let committed_only = isolation == READ_COMMITTED;
        match self.read(storage, wanted.fetch_offset, committed_only, limits) {
            Ok((records, aborted)) => {
                let aborted = aborted.into_iter().map(|range| {
                    let producer_id = ProducerId(range.producer_id);
                    AbortedTransaction::default().with_producer_id(producer_id).with_first_offset(range.first_offset)
                });
                let aborted = committed_only.then(|| aborted.collect());
                let data = PartitionData::default().with_records(Some(records)).with_aborted_transactions(aborted);
                self.placed(data)
            }
            Err(error) => {
                tracing::error!(%error, "log not read");
                failed(ResponseError::KafkaStorageError)
            }
        }
    }

    fn read(
        &mut self,
        storage: &mut dyn Storage,
        from: i64,
        committed_only: bool,
        (max_bytes, at_least_one): (usize, bool),
    ) -> Result<(Bytes, Vec<AbortedRange>), StorageError> {
        let to = self.visible_end(committed_only);
        if from >= to {
            return Ok((Bytes::new(), Vec::new()));
        }
        let records = self.log.read(storage, ReadLimits { from, to, max_bytes, at_least_one })?;
        let end = end_of(&records);
        let aborted = if committed_only && end > from { self.log.aborted(storage, from, end)? } else { Vec::new() };
        Ok((records, aborted))
    }

    fn placed(&self, data: PartitionData) -> PartitionData {
        data.with_high_watermark(self.log.end())
            .with_last_stable_offset(self.last_stable())
            .with_log_start_offset(self.log.start())
    }
}

/// Offset after the last record of some batches.
fn end_of(mut batches: &[u8]) -> i64 {
    let mut end = -1;
    while let Ok(header) = BatchHeader::parse(batches) {
        end = header.last_offset() + 1;
        batches = batches.get(header.size..).unwrap_or_default();
    }
    end
}

/// Whether the client knows the leader that there is.
pub(super) fn check_leader_epoch(epoch: i32) -> Result<(), ResponseError> {
    if epoch > LEADER_EPOCH { Err(ResponseError::UnknownLeaderEpoch) } else { Ok(()) }
}

fn partitions(
    request: &FetchRequest,
) -> impl Iterator<Item = (&kafka_protocol::messages::fetch_request::FetchTopic, &FetchPartition)> {
    request.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)))
}

fn failed(error: ResponseError) -> PartitionData {
    PartitionData::default()
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_records(Some(Bytes::new()))
}
