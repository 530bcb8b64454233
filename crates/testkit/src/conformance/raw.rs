//! The protocol itself: what librdkafka cannot say, or would never say.

use super::clients::PATIENCE;
use super::clock::until;
use super::{Target, same};
use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ApiKey, FindCoordinatorRequest, RequestHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The newest version of Produce that both brokers speak and that names topics by name.
pub(super) const PRODUCE: i16 = 9;
/// The same of Fetch.
pub(super) const FETCH: i16 = 11;

/// A connection.
pub(super) struct Raw {
    stream: TcpStream,
    next: i32,
}

impl Raw {
    pub(super) fn connect(target: &dyn Target) -> Result<Self> {
        let stream = TcpStream::connect(target.bootstrap())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, next: 0 })
    }

    /// Asks and waits for the answer.
    pub(super) fn call<R: Request>(&mut self, version: i16, body: &R) -> Result<R::Response> {
        let id = self.send(version, body)?;
        let (answered, response) = self.receive::<R>(version)?;
        same("correlation id", answered, id)?;
        Ok(response)
    }

    /// Asks and gives the correlation id.
    pub(super) fn send<R: Request>(&mut self, version: i16, body: &R) -> Result<i32> {
        let (id, frame) = self.frame(version, body)?;
        self.stream.write_all(&frame)?;
        Ok(id)
    }

    /// A request as it goes over the wire, with its length in front.
    pub(super) fn frame<R: Request>(&mut self, version: i16, body: &R) -> Result<(i32, BytesMut)> {
        self.next += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.next)
            .with_client_id(Some(text("conformance-raw")));
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes, R::header_version(version))?;
        body.encode(&mut bytes, version)?;
        let mut frame = BytesMut::from(&i32::try_from(bytes.len())?.to_be_bytes()[..]);
        frame.extend_from_slice(&bytes);
        Ok((self.next, frame))
    }

    /// Sends bytes as they are.
    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// The next answer with its correlation id.
    pub(super) fn receive<R: Request>(&mut self, version: i16) -> Result<(i32, R::Response)> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).context("no answer")?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length))?];
        self.stream.read_exact(&mut frame).context("half an answer")?;
        let mut bytes = Bytes::from(frame);
        ensure!(bytes.len() >= 4, "an answer without a correlation id");
        let id = bytes.split_to(4);
        // The rest of a flexible header is its tagged fields.
        if R::Response::header_version(version) >= 1 {
            ensure!(!bytes.is_empty() && bytes.split_to(1)[0] == 0, "tagged fields in the header of an answer");
        }
        let id = i32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        let response = R::Response::decode(&mut bytes, version)?;
        ensure!(bytes.is_empty(), "{} bytes behind the answer to {:?}", bytes.len(), ApiKey::try_from(R::KEY));
        Ok((id, response))
    }

    /// Fails unless the broker closes the connection without an answer.
    pub(super) fn is_closed(&mut self) -> Result<()> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            other => Err(anyhow::anyhow!("the connection should be closed: {other:?}")),
        }
    }

    /// Appends a batch to partition 0 and gives what the broker says.
    pub(super) fn produce(&mut self, topic: &str, acks: i16, batch: Bytes) -> Result<PartitionProduceResponse> {
        self.call(PRODUCE, &produce_request(topic, acks, None, batch)).and_then(first_produced)
    }

    /// The same in a transaction.
    pub(super) fn produce_in(
        &mut self,
        transactional_id: &str,
        topic: &str,
        batch: Bytes,
    ) -> Result<PartitionProduceResponse> {
        self.call(PRODUCE, &produce_request(topic, -1, Some(transactional_id), batch)).and_then(first_produced)
    }

    /// Reads partition 0.
    pub(super) fn fetch(&mut self, fetch: &Fetch<'_>) -> Result<PartitionData> {
        first_fetched(self.call(FETCH, &fetch.request())?)
    }

    /// Finds the coordinator of a group (0) or of a transactional id (1), so that it begins to work.
    pub(super) fn find_coordinator(&mut self, key_type: i8, key: &str) -> Result<()> {
        let request = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(key_type);
        until("the coordinator is found", || Ok(self.call(2, &request)?.error_code == 0))
    }

    /// A new producer id; with a transactional id the newest epoch of it.
    pub(super) fn producer_id(&mut self, transactional_id: Option<&str>) -> Result<InitProducerIdResponse> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(|id| text(id).into()))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        if let Some(id) = transactional_id {
            self.find_coordinator(1, id)?;
        }
        let mut response = self.call(4, &request)?;
        // Coordinator not available, not coordinator, loading, concurrent transactions: the same question again.
        let watch = super::clock::Stopwatch::start();
        while matches!(response.error_code, 14..=16 | 51) && watch.elapsed() < PATIENCE {
            super::clock::pause(Duration::from_millis(20));
            response = self.call(4, &request)?;
        }
        same("error of InitProducerId", response.error_code, 0)?;
        Ok(response)
    }
}

/// What of partition 0 of a topic is read, and how.
#[derive(Clone, Copy)]
pub(super) struct Fetch<'a> {
    pub(super) topic: &'a str,
    pub(super) offset: i64,
    pub(super) max_wait_ms: i32,
    pub(super) min_bytes: i32,
    pub(super) max_bytes: i32,
    pub(super) committed: bool,
}

impl<'a> Fetch<'a> {
    /// Everything from an offset, now.
    pub(super) fn new(topic: &'a str, offset: i64) -> Self {
        Self { topic, offset, max_wait_ms: 0, min_bytes: 1, max_bytes: 16 * 1024 * 1024, committed: false }
    }

    pub(super) fn request(&self) -> FetchRequest {
        let partition = FetchPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(self.offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(self.max_bytes);
        FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(self.max_wait_ms)
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.max_bytes)
            .with_isolation_level(i8::from(self.committed))
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_topics(vec![FetchTopic::default().with_topic(name(self.topic)).with_partitions(vec![partition])])
    }
}

/// What there is about the only partition in an answer.
pub(super) fn first_fetched(response: FetchResponse) -> Result<PartitionData> {
    same("error of Fetch", response.error_code, 0)?;
    let topic = response.responses.into_iter().next().context("no topic in the answer")?;
    topic.partitions.into_iter().next().context("no partition in the answer")
}

fn first_produced(response: kafka_protocol::messages::ProduceResponse) -> Result<PartitionProduceResponse> {
    let topic = response.responses.into_iter().next().context("no topic in the answer")?;
    topic.partition_responses.into_iter().next().context("no partition in the answer")
}

/// A request that appends a batch to partition 0.
pub(super) fn produce_request(topic: &str, acks: i16, transactional_id: Option<&str>, batch: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    ProduceRequest::default()
        .with_transactional_id(transactional_id.map(|id| text(id).into()))
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![partition])])
}

/// Who writes a batch.
#[derive(Clone, Copy)]
pub(super) struct Writer {
    pub(super) id: i64,
    pub(super) epoch: i16,
    pub(super) sequence: i32,
    pub(super) transactional: bool,
}

impl Writer {
    /// Nobody in particular.
    pub(super) const PLAIN: Self =
        Self { id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH, sequence: -1, transactional: false };

    /// An idempotent producer.
    pub(super) fn idempotent(producer: &InitProducerIdResponse, sequence: i32) -> Self {
        Self { id: producer.producer_id.0, epoch: producer.producer_epoch, sequence, transactional: false }
    }

    /// A transactional one.
    pub(super) fn transactional(producer: &InitProducerIdResponse, sequence: i32) -> Self {
        Self { transactional: true, ..Self::idempotent(producer, sequence) }
    }
}

/// A batch of these keys and values, with this time.
pub(super) fn batch(
    writer: Writer,
    compression: Compression,
    timestamp: i64,
    pairs: &[(Option<&str>, &str)],
) -> Result<Bytes> {
    let mut records = Vec::new();
    for (number, (key, value)) in pairs.iter().enumerate() {
        let offset = i32::try_from(number)?;
        records.push(Record {
            transactional: writer.transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: writer.id,
            producer_epoch: writer.epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(offset),
            sequence: writer.sequence + offset,
            timestamp,
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Default::default(),
        });
    }
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, records.iter(), &RecordEncodeOptions { version: 2, compression })?;
    Ok(bytes.freeze())
}

/// A batch of one plain record.
pub(super) fn plain(value: &str) -> Result<Bytes> {
    batch(Writer::PLAIN, Compression::None, super::clock::now_ms()?, &[(None, value)])
}

/// A text of the protocol.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic of the protocol.
pub(super) fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}
