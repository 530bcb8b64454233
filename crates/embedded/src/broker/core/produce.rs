//! Produce: a batch is checked, placed and appended as it came.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::{LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse, ResponseKind, TopicName};

use super::super::storage::{BatchError, BatchHeader, Sequence, records};
use super::registry::{Partition, text, topic_name};
use super::settings::TopicSettings;
use super::{Core, LEADER_EPOCH};

/// Version from which topics are named by their id.
const BY_ID: i16 = 13;

/// What became of a batch that was not refused.
struct Appended {
    base_offset: i64,
    /// When it was appended, where the topic wants that as the timestamp; else -1.
    append_time: i64,
}

/// Why a batch was refused.
type Refusal = (ResponseError, &'static str);

impl Core {
    pub(super) fn produce(&mut self, version: i16, request: ProduceRequest, now_ms: i64) -> Option<ResponseKind> {
        let transactional_id = request.transactional_id.as_ref().map(|id| id.0.to_string());
        let mut responses = Vec::with_capacity(request.topic_data.len());
        for topic in request.topic_data {
            let name = if version >= BY_ID {
                self.registry.name_of(topic.topic_id).map(str::to_owned)
            } else {
                Some(topic.name.to_string())
            };
            let partitions = topic.partition_data.into_iter().map(|data| {
                let outcome = match &name {
                    _ if !(-1..=1).contains(&request.acks) => Err((ResponseError::InvalidRequiredAcks, "acks")),
                    Some(name) => {
                        let records = data.records.unwrap_or_default();
                        let place = (name.as_str(), data.index);
                        self.append(place, &records, transactional_id.as_deref(), request.acks, now_ms)
                    }
                    None => Err((ResponseError::UnknownTopicId, "no topic has this id")),
                };
                self.partition_response(name.as_deref().unwrap_or_default(), data.index, outcome)
            });
            let partitions = partitions.collect();
            let answer = TopicProduceResponse::default().with_topic_id(topic.topic_id);
            let name = name.as_deref().map_or_else(TopicName::default, topic_name);
            responses.push(answer.with_name(name).with_partition_responses(partitions));
        }
        (request.acks != 0).then(|| ProduceResponse::default().with_responses(responses).into())
    }

    fn partition_response(
        &self,
        topic: &str,
        index: i32,
        outcome: Result<Appended, Refusal>,
    ) -> PartitionProduceResponse {
        let leader = LeaderIdAndEpoch::default().with_leader_id(BrokerId(-1)).with_leader_epoch(-1);
        let answer = PartitionProduceResponse::default().with_index(index).with_current_leader(leader);
        match outcome {
            Ok(appended) => answer
                .with_base_offset(appended.base_offset)
                .with_log_append_time_ms(appended.append_time)
                .with_log_start_offset(self.registry.partition(topic, index).map_or(-1, |found| found.log.start())),
            Err((error, reason)) => answer
                .with_error_code(error.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
                .with_error_message(Some(text(reason))),
        }
    }

    fn append(
        &mut self,
        (name, index): (&str, i32),
        batch: &Bytes,
        transactional_id: Option<&str>,
        acks: i16,
        now_ms: i64,
    ) -> Result<Appended, Refusal> {
        let topic = self.registry.get(name);
        let topic = topic.ok_or((ResponseError::UnknownTopicOrPartition, "there is no such topic"))?;
        if acks == -1 && topic.min_insync() > 1 {
            return Err((ResponseError::NotEnoughReplicas, "there is one replica, and min.insync.replicas wants more"));
        }
        let header = check_batch(batch, &topic.settings, now_ms)?;
        if topic.settings.compact && !has_keys(&header, batch) {
            return Err((ResponseError::InvalidRecord, "every record of a compacted topic must have a key"));
        }
        if header.is_transactional() {
            self.admit_transactional(transactional_id, &header, (name, index))?;
        }
        let producers_max = self.options.producers_max;
        let (storage, registry) = (&mut *self.storage, &mut self.registry);
        let topic = registry.get_mut(name);
        let topic = topic.ok_or((ResponseError::UnknownTopicOrPartition, "there is no such topic"))?;
        let settings = topic.settings.clone();
        let partition = usize::try_from(index).ok().and_then(|index| topic.partitions.get_mut(index));
        let partition = partition.ok_or((ResponseError::UnknownTopicOrPartition, "there is no such partition"))?;
        if let Some(base_offset) = judge_sequence(partition, &header)? {
            return Ok(Appended { base_offset, append_time: -1 });
        }
        let append_time = settings.log_append_time.then_some(now_ms);
        let base_offset = partition.log.end();
        if base_offset.checked_add(i64::from(header.last_offset_delta) + 1).is_none() {
            return Err((ResponseError::KafkaStorageError, "no offsets are left"));
        }
        let kept = partition.place(storage, &header, batch, &settings, append_time, now_ms);
        kept.map_err(|error| {
            tracing::error!(%error, topic = name, partition = index, "batch not kept");
            (ResponseError::KafkaStorageError, "the storage refused the batch")
        })?;
        while partition.producers.len() > producers_max {
            partition.producers.expire_oldest();
        }
        self.woken.extend(partition.waiting.iter().copied());
        Ok(Appended { base_offset, append_time: append_time.unwrap_or(-1) })
    }

    fn admit_transactional(
        &self,
        transactional_id: Option<&str>,
        header: &BatchHeader,
        (topic, index): (&str, i32),
    ) -> Result<(), Refusal> {
        let unknown = (ResponseError::InvalidProducerIdMapping, "the transactional id does not have this producer id");
        let id = transactional_id.ok_or((ResponseError::InvalidTxnState, "the request has no transactional id"))?;
        let transaction = self.transactions.get(id).ok_or(unknown)?;
        if transaction.producer_id != header.producer_id {
            return Err(unknown);
        }
        if transaction.epoch != header.producer_epoch {
            return Err((ResponseError::InvalidProducerEpoch, "there is a newer producer of this transactional id"));
        }
        if !transaction.has(topic, index) {
            return Err((ResponseError::InvalidTxnState, "the partition is not part of an open transaction"));
        }
        Ok(())
    }
}

impl Partition {
    /// Appends a batch at the end of the log, and notes it.
    pub(super) fn place(
        &mut self,
        storage: &mut dyn super::Storage,
        header: &BatchHeader,
        batch: &Bytes,
        settings: &TopicSettings,
        append_time: Option<i64>,
        now_ms: i64,
    ) -> Result<BatchHeader, super::StorageError> {
        if self.log.is_due_to_roll(header.size, settings.segment_bytes, settings.segment_ms, now_ms) {
            self.log.roll(storage, &self.producers)?;
        }
        let base_offset = self.log.end();
        let parts = header.placed(batch, base_offset, LEADER_EPOCH, append_time);
        let max_timestamp = append_time.unwrap_or(header.max_timestamp);
        let placed = BatchHeader { base_offset, max_timestamp, leader_epoch: LEADER_EPOCH, ..*header };
        self.log.append(storage, &placed, &parts)?;
        self.producers.note(&placed);
        Ok(placed)
    }
}

/// Checks what can be told from the batch and its topic alone.
fn check_batch(batch: &Bytes, settings: &TopicSettings, now_ms: i64) -> Result<BatchHeader, Refusal> {
    let invalid = |reason| Err((ResponseError::InvalidRecord, reason));
    let header = match BatchHeader::parse_checked(batch) {
        Ok(header) => header,
        Err(BatchError::Magic) => return invalid("only record batches of format 2 are taken"),
        Err(BatchError::Checksum | BatchError::Short | BatchError::Malformed) => {
            return Err((ResponseError::CorruptMessage, "the batch is cut or its checksum does not match"));
        }
    };
    if header.size != batch.len() {
        return invalid("there must be one batch for a partition");
    }
    if header.size > settings.batch_bytes_max {
        return Err((ResponseError::MessageTooLarge, "the batch is larger than max.message.bytes"));
    }
    if header.is_control() {
        return invalid("clients must not write control records");
    }
    if header.count == 0 || header.last_offset_delta != header.count - 1 {
        return invalid("the count of records does not match their offsets");
    }
    if header.is_transactional() && header.producer_id < 0 {
        return invalid("a transactional batch must have a producer id");
    }
    if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return invalid("a batch with a producer id must have an epoch and a sequence");
    }
    let newest = header.max_timestamp;
    let early = now_ms.saturating_sub(newest) > settings.timestamp_before_max_ms;
    let late = newest.saturating_sub(now_ms) > settings.timestamp_after_max_ms;
    if !settings.log_append_time && (early || late) {
        return Err((ResponseError::InvalidTimestamp, "the timestamp is too far from the time of the broker"));
    }
    Ok(header)
}

fn has_keys(header: &BatchHeader, batch: &Bytes) -> bool {
    records(header, batch).is_ok_and(|records| records.iter().all(|record| record.key.is_some()))
}

/// The offset of the batch when it is in the log already.
fn judge_sequence(partition: &Partition, header: &BatchHeader) -> Result<Option<i64>, Refusal> {
    if header.producer_id < 0 {
        return Ok(None);
    }
    let open = partition.producers.get(header.producer_id).is_some_and(|known| known.open_since.is_some());
    match partition.producers.judge(header) {
        Sequence::Duplicate { base_offset } => Ok(Some(base_offset)),
        Sequence::OutOfOrder => Err((ResponseError::OutOfOrderSequenceNumber, "a batch before this one is missing")),
        Sequence::Fenced => Err((ResponseError::InvalidProducerEpoch, "there is a newer epoch of this producer")),
        Sequence::Next if open && !header.is_transactional() => {
            Err((ResponseError::InvalidTxnState, "the producer has an open transaction here"))
        }
        Sequence::Next => Ok(None),
    }
}
