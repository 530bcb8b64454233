//! A topic as a log for code in the same process.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, FetchRequest, ProduceRequest, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchDecoder,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::local::{LocalClient, LocalError};
use crate::clock;
use crate::registry::{LogError, LogRecord, SchemaLog};

/// Versions that name topics by their names.
const CREATE_VERSION: i16 = 5;
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 11;

/// How long the broker may take, milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// Bytes of records asked for at once.
const FETCH_BYTES: i32 = 4 * 1024 * 1024;

/// A compacted topic of one partition, written and read in the process of its broker.
#[derive(Debug)]
pub struct TopicLog {
    client: LocalClient,
    topic: TopicName,
}

impl TopicLog {
    pub(super) fn open(client: LocalClient, topic: &str) -> Result<Self, LocalError> {
        let topic = TopicName(StrBytes::from_string(topic.to_owned()));
        let config = CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str("cleanup.policy"))
            .with_value(Some(StrBytes::from_static_str("compact")));
        let creation = CreatableTopic::default()
            .with_name(topic.clone())
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(vec![config]);
        let request = CreateTopicsRequest::default().with_topics(vec![creation]).with_timeout_ms(TIMEOUT_MS);
        let answer = client.call(CREATE_VERSION, RequestKind::CreateTopics(request))?;
        let Some(ResponseKind::CreateTopics(answer)) = answer else { return Err(unexpected(&answer)) };
        let code = answer.topics.first().map_or(0, |topic| topic.error_code);
        if code != ResponseError::TopicAlreadyExists.code() {
            check(code)?;
        }
        Ok(Self { client, topic })
    }

    /// Appends a record and returns its offset when it is kept. A record without value deletes its key.
    ///
    /// # Errors
    /// [`LocalError`]; after [`LocalError::Timeout`] it may be there all the same.
    pub fn append(&self, key: &[u8], value: Option<&[u8]>) -> Result<i64, LocalError> {
        let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch(key, value)?));
        let topic = TopicProduceData::default().with_name(self.topic.clone()).with_partition_data(vec![partition]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(TIMEOUT_MS).with_topic_data(vec![topic]);
        let answer = self.client.call(PRODUCE_VERSION, RequestKind::Produce(request))?;
        let Some(ResponseKind::Produce(answer)) = &answer else { return Err(unexpected(&answer)) };
        let partition = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let partition = partition.ok_or_else(|| LocalError::Unexpected("no partition".to_owned()))?;
        check(partition.error_code)?;
        Ok(partition.base_offset)
    }

    /// All records, oldest first, keys and values. Those that a newer one of the same key replaced may be gone.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn read_all(&self) -> Result<Vec<(Bytes, Option<Bytes>)>, LocalError> {
        let mut records = Vec::new();
        let mut offset = 0;
        loop {
            let partition = self.fetch(offset)?;
            let Some(mut bytes) = partition.records.filter(|bytes| !bytes.is_empty()) else { return Ok(records) };
            let batches = RecordBatchDecoder::decode_all(&mut bytes)
                .map_err(|error| LocalError::Unexpected(format!("{error:#}")))?;
            let before = offset;
            for record in batches.into_iter().flat_map(|batch| batch.records) {
                // A batch may begin before the offset that was asked for.
                if record.offset >= offset {
                    offset = record.offset + 1;
                    records.push((record.key.unwrap_or_default(), record.value));
                }
            }
            if offset == before || offset >= partition.high_watermark {
                return Ok(records);
            }
        }
    }

    fn fetch(&self, offset: i64) -> Result<PartitionData, LocalError> {
        let partition = FetchPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(FETCH_BYTES);
        let topic = FetchTopic::default().with_topic(self.topic.clone()).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_bytes(FETCH_BYTES)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let answer = self.client.call(FETCH_VERSION, RequestKind::Fetch(request))?;
        let Some(ResponseKind::Fetch(mut answer)) = answer else { return Err(unexpected(&answer)) };
        check(answer.error_code)?;
        let partition = answer.responses.pop().and_then(|mut topic| topic.partitions.pop());
        let partition = partition.ok_or_else(|| LocalError::Unexpected("no partition".to_owned()))?;
        check(partition.error_code)?;
        Ok(partition)
    }
}

impl SchemaLog for TopicLog {
    fn append(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), LogError> {
        Self::append(self, key, value).map(drop).map_err(|error| LogError(error.to_string()))
    }

    fn read_all(&self) -> Result<Vec<LogRecord>, LogError> {
        let records = Self::read_all(self).map_err(|error| LogError(error.to_string()))?;
        let copied = |(key, value): (Bytes, Option<Bytes>)| (key.to_vec(), value.map(|value| value.to_vec()));
        Ok(records.into_iter().map(copied).collect())
    }
}

fn batch(key: &[u8], value: Option<&[u8]>) -> Result<Bytes, LocalError> {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: clock::now_ms(),
        key: Some(Bytes::copy_from_slice(key)),
        value: value.map(Bytes::copy_from_slice),
        headers: kafka_protocol::indexmap::IndexMap::new(),
    };
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut buffer = BytesMut::new();
    RecordBatchEncoder::encode(&mut buffer, [&record], &options)
        .map_err(|error| LocalError::Unexpected(format!("{error:#}")))?;
    Ok(buffer.freeze())
}

fn check(code: i16) -> Result<(), LocalError> {
    ResponseError::try_from_code(code).map_or(Ok(()), |error| Err(LocalError::Refused(error)))
}

fn unexpected(answer: &Option<ResponseKind>) -> LocalError {
    LocalError::Unexpected(format!("{answer:?}").chars().take(200).collect())
}
