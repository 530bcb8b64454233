//! Kafka as the sink, and the receipts on it as the memory of the connector.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use runtime::codec::Codec;
use runtime::config::KafkaConfig;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::{PublishError, Publisher};
use runtime::reader::{self, From as RangeFrom, Range, ReadError, Until};
use runtime::record::Record;
use runtime::telemetry::{Attribute, start_span};
use runtime::{RoomContext, RoomError};
use schemas::{Event, Receipt, Timestamp, TopicInfo, topics};
use tokio::runtime::Handle;

use super::batch::{Batch, PART, RECEIPT};
use super::intake::{Confirmation, Sink};
use super::ledger::Ledger;
use super::room::NAME;
use crate::mapping::MappedEvent;

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
    kafka: KafkaConfig,
    /// Receipts written, for the choice of their partition.
    receipts: AtomicU64,
}

/// So many receipts in a row go to one partition. Nobody needs them in an order, and spread over all partitions by their key
/// they would be a request to the broker each instead of one for all that are written at the same time.
const RECEIPTS_IN_A_ROW: u64 = 1_000;

impl KafkaSink {
    /// Connects.
    pub(super) async fn connect(context: &RoomContext) -> Result<Self, RoomError> {
        let publisher = Publisher::connect(&context.config, Arc::clone(&context.codec), &written()).await?;
        Ok(Self { publisher, kafka: context.config.kafka.clone(), receipts: AtomicU64::new(0) })
    }

    fn encode(&self, batch: &Batch, traceparent: &str) -> Result<Vec<Outgoing>, PublishError> {
        let lineage = Lineage {
            traceparent: Some(traceparent.to_owned()),
            correlation_id: Some(batch.receipt.receipt_id.clone()),
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
        let mut receipt = self.publisher.event(&batch.receipt, &lineage)?;
        receipt.partition = self.receipt_partition();
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
    fn start(&self, batch: &Batch) -> Result<Confirmation, String> {
        let kind = Attribute::MessageType(&batch.receipt.message_type);
        let span = start_span("hl7v2 message", None, &[Attribute::Room(NAME), kind]);
        let records = self.encode(batch, span.traceparent()).map_err(|error| error.to_string())?;
        let delivery = self.publisher.start(&records).map_err(|error| error.to_string())?;
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

/// What was read of the receipts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loaded {
    /// How many.
    pub(super) count: u64,
    /// When the newest was written, milliseconds since 1970.
    pub(super) newest_ms: Option<i64>,
}

/// Reads the receipts of the last hours into the ledger.
pub(super) async fn load(ledger: &Arc<Ledger>, context: &RoomContext, since_ms: i64) -> Result<Loaded, RoomError> {
    let range = since(topics::OPS_RECEIPT_V1.name(), since_ms);
    let (kafka, codec, ledger): (KafkaConfig, Arc<Codec>, _) =
        (context.config.kafka.clone(), Arc::clone(&context.codec), Arc::clone(ledger));
    let handle = Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let mut newest_ms = None;
        let read = reader::read_range(&kafka, &range, |record| {
            newest_ms = newest_ms.max(record.timestamp_ms);
            remember(&ledger, &handle, &codec, &record);
            ControlFlow::Continue(())
        });
        read.map(|count| Loaded { count, newest_ms })
    });
    match reading.await {
        Ok(Ok(loaded)) => Ok(loaded),
        Ok(Err(error)) => Err(RoomError::Room(error.to_string())),
        Err(stopped) => Err(RoomError::Worker(stopped.to_string())),
    }
}

/// Follows the receipts that are written from `since_ms` on, until the stop is asked for; `since_ms` follows the newest one.
pub(super) async fn follow(
    ledger: &Arc<Ledger>,
    context: &RoomContext,
    since_ms: &Arc<AtomicI64>,
) -> Result<(), RoomError> {
    let (kafka, codec, stop) = (context.config.kafka.clone(), Arc::clone(&context.codec), context.shutdown.clone());
    let (ledger, newest, handle) = (Arc::clone(ledger), Arc::clone(since_ms), Handle::current());
    let reading = tokio::task::spawn_blocking(move || {
        let topic = topics::OPS_RECEIPT_V1.name();
        let take = |record: &Record| {
            remember(&ledger, &handle, &codec, record);
            newest.fetch_max(record.timestamp_ms.unwrap_or_default(), Ordering::Relaxed);
        };
        let before = since(topic, newest.load(Ordering::Relaxed));
        let missed = RefCell::new(Ok(0));
        // What was written before the place from which it goes on is read once that place is known.
        let started = || {
            *missed.borrow_mut() = reader::read_range(&kafka, &before, |record| {
                take(&record);
                ControlFlow::Continue(())
            });
        };
        reader::follow(&kafka, topic, started, |record| {
            record.iter().for_each(take);
            // Without what was written before there is a gap: it begins anew.
            let ends = stop.requested() || missed.borrow().is_err();
            if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        missed.into_inner().map(drop)
    });
    match reading.await {
        Ok(read) => read.map_err(|error| RoomError::Room(error.to_string())),
        Err(stopped) => Err(RoomError::Worker(stopped.to_string())),
    }
}

fn remember(ledger: &Ledger, handle: &Handle, codec: &Codec, record: &Record) {
    match decode(handle, codec, record) {
        Some(receipt) if receipt.source.starts_with(NAME) => ledger.remember(&receipt),
        Some(_) => {}
        None => tracing::warn!(place = %record.place, "a receipt could not be read and was left out"),
    }
}

fn decode(handle: &Handle, codec: &Codec, record: &Record) -> Option<Receipt> {
    let value = record.value.as_deref()?;
    let (writer, body) = match codec.open_cached(value).ok()? {
        Some(opened) => opened,
        None => handle.block_on(codec.open(value)).ok()?,
    };
    schemas::codec::decode::<Receipt>(&writer, body).ok()
}

/// The name of the receipt topic, for the description of the room.
pub(super) fn receipt_topic() -> &'static str {
    Receipt::topic().name
}
