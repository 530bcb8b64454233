//! Kafka as the sink.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runtime::bursts::Bursts;
use runtime::config::KafkaConfig;
use runtime::kafka::ClientError;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::{PublishError, Publisher};
use runtime::reader::{self, From as RangeFrom, Range, ReadError, Until};
use runtime::record::Record;
use runtime::source_bytes;
use runtime::telemetry::{Attribute, start_span};
use runtime::{RoomContext, RoomError};
use schemas::{Event, Receipt, Timestamp, TopicInfo, topics};

use super::batch::{Batch, CONTENT_TYPE, PART, RECEIPT};
use super::intake::{Confirmation, NotStarted, Sink};
use super::ledger::Ledger;
use super::room::NAME;
use crate::mapping::{MappedEvent, Refusal};

/// The clock of the broker may differ from ours by as much.
const CLOCK_TOLERANCE_MS: i64 = 60_000;

/// Topics that this room writes with a schema.
pub(super) fn written() -> Vec<&'static TopicInfo> {
    vec![
        topics::CLINICAL_ENCOUNTER_V1.info(),
        topics::CLINICAL_SUPPLY_USAGE_V1.info(),
        topics::OPS_EXCEPTION_V1.info(),
        topics::OPS_RECEIPT_V1.info(),
    ]
}

/// Publishes batches.
pub(super) struct KafkaSink {
    publisher: Publisher,
    bursts: Bursts,
    kafka: KafkaConfig,
    /// Receipts written, for the choice of their partition.
    receipts: AtomicU64,
}

/// So many receipts in a row go to one partition. Nobody needs them in an order, and spread over all partitions by their key
/// they would be a request to the broker each instead of one for all that are written at the same time.
const RECEIPTS_IN_A_ROW: u64 = 1_000;

impl KafkaSink {
    /// Connects. While records are on their way, those of other messages gather for `gather`.
    pub(super) async fn connect(context: &RoomContext, gather: Duration) -> Result<Self, RoomError> {
        let publisher = Publisher::connect(&context.config, Arc::clone(&context.codec), &written()).await?;
        let bursts = Bursts::start(publisher.clone(), gather);
        Ok(Self { publisher, bursts, kafka: context.config.kafka.clone(), receipts: AtomicU64::new(0) })
    }

    /// Waits until no record is taken any more, for as long as this sink lives. Its own handle, because the sink goes to the intake.
    pub(super) fn broken(&self) -> impl Future<Output = ClientError> + Send + use<> {
        let publisher = self.publisher.clone();
        async move { publisher.broken().await }
    }

    fn encode(&self, batch: &Batch, traceparent: &str) -> Result<Vec<Outgoing>, PublishError> {
        let lineage = Lineage {
            traceparent: Some(traceparent.to_owned().into()),
            correlation_id: Some(batch.receipt.receipt_id.clone().into()),
            causation_id: None,
        };
        let mut records = Vec::with_capacity(batch.events.len() + 2);
        for event in &batch.events {
            records.push(match event {
                MappedEvent::Encounter(event) => self.publisher.event(event.as_ref(), &lineage)?,
                MappedEvent::SupplyUsage(event) => self.publisher.event(event.as_ref(), &lineage)?,
            });
        }
        if let Some(exception) = &batch.exception {
            records.push(self.publisher.event(exception, &lineage)?);
        }
        for letter in &batch.dead_letters {
            let headers = letter.headers.iter().map(|(name, text)| (Cow::Borrowed(*name), Some(text.clone().into())));
            records.push(Outgoing {
                topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
                partition: None,
                key: Some(batch.receipt.receipt_id.clone().into()),
                value: Some(letter.bytes.clone().into()),
                headers: headers.collect(),
                ticket: None,
            });
        }
        let partition = self.receipt_partition();
        if let Some(bytes) = &batch.source {
            records.extend(source_bytes::records(&batch.receipt.content_hash, bytes, CONTENT_TYPE, partition));
        }
        let mut receipt = self.publisher.event(&batch.receipt, &lineage)?;
        receipt.partition = partition;
        records.push(receipt);
        Ok(records)
    }

    fn receipt_partition(&self) -> Option<i32> {
        let partitions = u64::from(Receipt::topic().partitions.max(1));
        let number = self.receipts.fetch_add(1, Ordering::Relaxed) / RECEIPTS_IN_A_ROW;
        i32::try_from(number % partitions).ok()
    }
}

impl Sink for KafkaSink {
    fn start(&self, batch: &Batch) -> Result<Confirmation, NotStarted> {
        let kind = Attribute::MessageType(&batch.receipt.message_type);
        let span = start_span("hl7v2 message", None, &[Attribute::Room(NAME), kind]);
        let records = self.encode(batch, span.traceparent()).map_err(not_started)?;
        let delivery = self.bursts.send(records);
        Ok(Box::pin(async move {
            let result = delivery.confirmed().await.map_err(|error| error.to_string());
            drop(span);
            result
        }))
    }

    fn look_up(&self, since: Timestamp, ledger: &Arc<Ledger>) -> Confirmation {
        let (kafka, ledger) = (self.kafka.clone(), Arc::clone(ledger));
        let since_ms = since.micros() / 1_000 - CLOCK_TOLERANCE_MS;
        Box::pin(async move {
            let reading = tokio::task::spawn_blocking(move || find_published(&kafka, since_ms, &ledger));
            reading.await.map_err(|stopped| stopped.to_string())?.map_err(|error| error.to_string())
        })
    }
}

fn not_started(error: PublishError) -> NotStarted {
    let unfit = if let PublishError::Wire(error) = &error { error.unfit() } else { None };
    match unfit {
        Some(reason) => NotStarted::Unfit(Box::new(Refusal::unfit(reason.code.as_str(), reason.rule, reason.message))),
        None => NotStarted::Failed(error.to_string()),
    }
}

/// Tells the ledger which records are on their topics without the receipt of their message: a crash between the two
/// confirmations, or a confirmation that did not come.
pub(super) fn find_published(kafka: &KafkaConfig, since_ms: i64, ledger: &Ledger) -> Result<(), ReadError> {
    let read = |topic: &str, receipt: &str, record_id: &str| {
        let range = since(topic, since_ms);
        let visit = |record: Record| {
            if let (Some(receipt), Some(id)) = (record.header(receipt), record.header(record_id)) {
                ledger.published(receipt, id);
            }
            ControlFlow::Continue(())
        };
        reader::read_range(kafka, &range, visit).map(drop)
    };
    for topic in [topics::CLINICAL_ENCOUNTER_V1.name(), topics::CLINICAL_SUPPLY_USAGE_V1.name()] {
        read(topic, schemas::headers::CORRELATION_ID, schemas::headers::ID)?;
    }
    read(topics::OPS_DEAD_LETTER_V1.name(), RECEIPT, PART)
}

fn since(topic: &str, since_ms: i64) -> Range {
    Range { topic: topic.to_owned(), partitions: Vec::new(), from: RangeFrom::TimeMs(since_ms), until: Until::EndNow }
}
