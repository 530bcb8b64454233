//! Kafka as the sink, and the receipts on it as the memory of the connector.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use runtime::codec::Codec;
use runtime::config::KafkaConfig;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::{PublishError, Publisher};
use runtime::reader::{self, From as RangeFrom, Range, Until};
use runtime::record::Record;
use runtime::telemetry::{Attribute, start_span};
use runtime::{RoomContext, RoomError};
use schemas::{Event, Receipt, TopicInfo, topics};

use super::batch::Batch;
use super::intake::{Confirmation, Sink};
use super::ledger::Ledger;
use super::room::NAME;
use crate::mapping::MappedEvent;

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
}

impl KafkaSink {
    /// Connects.
    pub(super) async fn connect(context: &RoomContext) -> Result<Self, RoomError> {
        let publisher = Publisher::connect(&context.config, Arc::clone(&context.codec), &written()).await?;
        Ok(Self { publisher })
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
            let headers =
                letter.headers.iter().map(|(name, text)| (Cow::Borrowed(*name), Some(text.clone().into_bytes())));
            records.push(Outgoing {
                topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
                partition: None,
                key: Some(batch.receipt.receipt_id.clone().into_bytes()),
                value: Some(letter.bytes.clone()),
                headers: headers.collect(),
                ticket: None,
            });
        }
        records.push(self.publisher.event(&batch.receipt, &lineage)?);
        Ok(records)
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
}

/// Reads the receipts of the last hours into the ledger; returns the time from which to read on.
pub(super) async fn load(ledger: &Arc<Ledger>, context: &RoomContext, since_ms: i64) -> Result<u64, RoomError> {
    let range = Range {
        topic: topics::OPS_RECEIPT_V1.name().to_owned(),
        partitions: Vec::new(),
        from: RangeFrom::TimeMs(since_ms),
        until: Until::EndNow,
    };
    let (kafka, codec, ledger): (KafkaConfig, Arc<Codec>, _) =
        (context.config.kafka.clone(), Arc::clone(&context.codec), Arc::clone(ledger));
    let handle = tokio::runtime::Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        reader::read_range(&kafka, &range, |record| {
            match decode(&handle, &codec, &record) {
                Some(receipt) if receipt.source.starts_with(NAME) => ledger.remember(&receipt),
                Some(_) => {}
                None => tracing::warn!(place = %record.place, "a receipt could not be read and was left out"),
            }
            ControlFlow::Continue(())
        })
    });
    match reading.await {
        Ok(Ok(count)) => Ok(count),
        Ok(Err(error)) => Err(RoomError::Room(error.to_string())),
        Err(stopped) => Err(RoomError::Worker(stopped.to_string())),
    }
}

fn decode(handle: &tokio::runtime::Handle, codec: &Codec, record: &Record) -> Option<Receipt> {
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
