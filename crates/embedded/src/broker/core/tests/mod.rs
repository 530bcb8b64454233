//! The state machine, through requests as clients send them.

mod admin;
mod housekeeping;
mod killed;
mod produce_and_fetch;
mod transactions;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::super::storage::MemoryStorage;
use super::super::wire::{Request, RequestId, Response};
use super::registry::{text, topic_name};
use super::{Core, CoreOptions};

/// A broker over memory, and the one client of it.
pub(super) struct Bench {
    pub core: Core,
    pub storage: MemoryStorage,
    pub now_ms: i64,
    next: u64,
}

/// Who writes, and with which numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub id: i64,
    pub epoch: i16,
    pub sequence: i32,
    pub transactional: bool,
}

pub(super) const NOBODY: Writer = Writer { id: -1, epoch: -1, sequence: -1, transactional: false };

impl Bench {
    pub(super) fn new() -> Self {
        Self::over(MemoryStorage::new(), CoreOptions::default())
    }

    pub(super) fn over(storage: MemoryStorage, options: CoreOptions) -> Self {
        let now_ms = 1_000_000;
        let core = Core::open(options, Box::new(storage.clone()), now_ms).unwrap();
        Self { core, storage, now_ms, next: 0 }
    }

    /// Kills the broker and starts it again over what it has left.
    pub(super) fn restart(&mut self) {
        self.storage.revive();
        let options = self.core.options.clone();
        self.core = Core::open(options, Box::new(self.storage.clone()), self.now_ms).unwrap();
    }

    /// Sends a request; its name.
    pub(super) fn send(&mut self, api_version: i16, body: impl Into<RequestKind>) -> RequestId {
        self.next += 1;
        let id = RequestId { connection: 1, number: self.next };
        let (client_id, client_host) = ("bench".to_owned(), "/127.0.0.1".to_owned());
        let request = Request { id, api_version, client_id, client_host, body: body.into() };
        self.core.handle(request, self.now_ms);
        id
    }

    pub(super) fn answers(&mut self) -> Vec<Response> {
        self.core.take_responses()
    }

    /// Sends a request that is answered at once.
    pub(super) fn ask(&mut self, api_version: i16, body: impl Into<RequestKind>) -> ResponseKind {
        let id = self.send(api_version, body);
        let answers = self.answers();
        let answer = answers.into_iter().find(|answer| answer.id == id).expect("no answer");
        answer.body.expect("an answer without a body")
    }

    pub(super) fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> i16 {
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        match self.ask(7, CreateTopicsRequest::default().with_topics(vec![topic])) {
            ResponseKind::CreateTopics(answer) => answer.topics[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn produce_raw(&mut self, topic: &str, id: Option<&str>, records: Bytes) -> PartitionProduceResponse {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
        let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_topic_data(vec![topic])
            .with_transactional_id(id.map(|id| TransactionalId(text(id))));
        match self.ask(9, request) {
            ResponseKind::Produce(answer) => answer.responses[0].partition_responses[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Error code and offset.
    pub(super) fn produce(&mut self, topic: &str, values: &[&str]) -> (i16, i64) {
        let answer = self.produce_raw(topic, None, batch(NOBODY, values, self.now_ms));
        (answer.error_code, answer.base_offset)
    }

    pub(super) fn fetch_data(&mut self, topic: &str, from: i64, committed_only: bool) -> PartitionData {
        match self.ask(11, fetch(topic, from, committed_only, 0)) {
            ResponseKind::Fetch(answer) => answer.responses[0].partitions[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Every value that a reader sees, as a client makes it of what it fetches.
    pub(super) fn values(&mut self, topic: &str, committed_only: bool) -> Vec<String> {
        let mut from = self.offset(topic, -2, false);
        let mut values = Vec::new();
        loop {
            let data = self.fetch_data(topic, from, committed_only);
            assert_eq!(data.error_code, 0);
            let seen = visible(&data, from);
            values.extend(seen.0);
            if seen.1 == from {
                return values;
            }
            from = seen.1;
        }
    }

    /// Offset at a time, or at -1 the end, -2 the beginning.
    pub(super) fn offset(&mut self, topic: &str, timestamp: i64, committed_only: bool) -> i64 {
        let wanted = ListOffsetsPartition::default().with_current_leader_epoch(-1).with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![wanted]);
        let request = ListOffsetsRequest::default().with_isolation_level(i8::from(committed_only));
        match self.ask(7, request.with_topics(vec![topic])) {
            ResponseKind::ListOffsets(answer) => {
                assert_eq!(answer.topics[0].partitions[0].error_code, 0);
                answer.topics[0].partitions[0].offset
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn fetch(topic: &str, from: i64, committed_only: bool, max_wait_ms: i32) -> FetchRequest {
    let wanted = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_fetch_offset(from)
        .with_partition_max_bytes(1_000_000);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(10_000_000)
        .with_isolation_level(i8::from(committed_only))
        .with_topics(vec![topic])
}

/// Values in what was fetched and the next offset, by the rules that clients follow: aborted data is left out.
pub(super) fn visible(data: &PartitionData, from: i64) -> (Vec<String>, i64) {
    let mut aborted = data.aborted_transactions.clone().unwrap_or_default();
    aborted.sort_by_key(|range| range.first_offset);
    let mut aborting = std::collections::BTreeSet::new();
    let (mut values, mut next) = (Vec::new(), from);
    let mut bytes = data.records.clone().unwrap_or_default();
    while !bytes.is_empty() {
        for record in RecordBatchDecoder::decode(&mut bytes).unwrap().records {
            while aborted.first().is_some_and(|range| range.first_offset <= record.offset) {
                aborting.insert(aborted.remove(0).producer_id.0);
            }
            next = record.offset + 1;
            if record.control {
                if record.key.as_deref() == Some(&[0, 0, 0, 0][..]) {
                    aborting.remove(&record.producer_id);
                }
            } else if record.offset >= from && !(record.transactional && aborting.contains(&record.producer_id)) {
                values.push(String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap());
            }
        }
    }
    (values, next)
}

pub(super) fn batch(writer: Writer, values: &[&str], timestamp: i64) -> Bytes {
    let pairs: Vec<_> = values.iter().map(|value| (None, Some(*value))).collect();
    batch_of(writer, &pairs, timestamp, Compression::None)
}

pub(super) fn batch_of(
    writer: Writer,
    pairs: &[(Option<&str>, Option<&str>)],
    timestamp: i64,
    compression: Compression,
) -> Bytes {
    let bytes = |text: Option<&str>| text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let records = (0..).zip(pairs).map(|(n, (key, value))| Record {
        transactional: writer.transactional,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: writer.id,
        producer_epoch: writer.epoch,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(n),
        sequence: writer.sequence.wrapping_add(n),
        timestamp,
        key: bytes(*key),
        value: bytes(*value),
        headers: Default::default(),
    });
    let records: Vec<Record> = records.collect();
    let mut encoded = BytesMut::new();
    RecordBatchEncoder::encode(&mut encoded, &records, &RecordEncodeOptions { version: 2, compression }).unwrap();
    encoded.freeze()
}
