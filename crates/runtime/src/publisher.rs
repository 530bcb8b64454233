//! How a source puts events on Kafka: confirmed by all in-sync replicas before anybody is told (LOSS-1).

use crate::codec::{Codec, WireError};
use crate::config::{Config, KafkaConfig};
use crate::kafka::ClientError;
use crate::outgoing::{Lineage, Outgoing};
use crate::pieces;
use crate::producer::{Delivery, Producer};
use schemas::{Event, TopicInfo};
use std::sync::Arc;
use std::time::Duration;

/// Publishes events; cheap to clone. Records sent by one caller in one call keep their order per key.
#[derive(Clone)]
pub struct Publisher {
    codec: Arc<Codec>,
    producer: Arc<Producer>,
    tenant: &'static str,
}

/// Publishes events in transactions: for sources that stage a cursor, so that events and cursor are one step.
pub struct TransactionalPublisher {
    codec: Arc<Codec>,
    producer: Arc<Producer>,
    tenant: &'static str,
    timeout: Duration,
}

/// Why nothing was confirmed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Encoding failed or the registry does not answer.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Kafka did not confirm. Some records may be on their topics; publishing again gives the same event ids.
    #[error(transparent)]
    Kafka(#[from] ClientError),
}

impl Publisher {
    /// Connects and learns the schema ids of the topics that will be written.
    ///
    /// # Errors
    /// When the registry does not answer or refuses a schema.
    pub async fn connect(
        config: &Config,
        codec: Arc<Codec>,
        topics: &[&'static TopicInfo],
    ) -> Result<Self, PublishError> {
        codec.prepare(topics).await?;
        let producer = Arc::new(Producer::new(&config.kafka, None)?);
        Ok(Self { codec, producer, tenant: pieces::kept(&config.identity.tenant) })
    }

    /// Encodes an event with its CloudEvents headers.
    ///
    /// # Errors
    /// When the topic was not named at [`Publisher::connect`] or a value does not fit the schema.
    pub fn event<T: Event>(&self, event: &T, lineage: &Lineage) -> Result<Outgoing, PublishError> {
        Ok(Outgoing::event(event, self.codec.encode(event)?, lineage, self.tenant))
    }

    /// Sends all records and returns when each is confirmed with acks=all.
    ///
    /// # Errors
    /// When any is not confirmed within the delivery time-out.
    pub async fn publish(&self, records: &[Outgoing]) -> Result<(), PublishError> {
        self.start(records)?.confirmed().await?;
        Ok(())
    }

    /// Queues all records now, in this order, and returns what to await. For senders that keep a window open.
    ///
    /// # Errors
    /// When the local queue stays full.
    pub fn start(&self, records: &[Outgoing]) -> Result<Arc<Delivery>, PublishError> {
        let delivery = Delivery::new();
        self.queue(records, &delivery)?;
        Ok(delivery)
    }

    /// Whether this publisher is of no use any more, see [`Publisher::broken`].
    pub fn is_broken(&self) -> bool {
        self.producer.is_broken()
    }

    /// Waits until this publisher is of no use any more: after a fatal error of its producer every record is refused, for as long
    /// as it lives. Whoever keeps a publisher for long has to connect anew then.
    pub async fn broken(&self) -> ClientError {
        ClientError::Fenced(format!("the producer takes no record any more: {}", self.producer.broken().await))
    }

    /// Queues records whose fate is told to `delivery`; the first error ends it, and is told there too.
    pub(crate) fn queue(&self, records: &[Outgoing], delivery: &Arc<Delivery>) -> Result<(), ClientError> {
        records.iter().try_for_each(|record| self.producer.send(record, delivery))
    }
}

impl TransactionalPublisher {
    /// Connects, takes over the transactional id and learns the schema ids. The id is that of the work and not of the instance:
    /// whoever takes it over fences every older holder, wherever that runs, and aborts what it left open. What it had committed can
    /// be read by then.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer.
    pub async fn take_over(
        config: &Config,
        codec: Arc<Codec>,
        id: String,
        topics: &[&'static TopicInfo],
    ) -> Result<Self, PublishError> {
        codec.prepare(topics).await?;
        let kafka: KafkaConfig = config.kafka.clone();
        let timeout = Duration::from_millis(u64::from(kafka.transaction_timeout_ms));
        let producer = blocking(move || {
            let producer = Producer::new(&kafka, Some(&id))?;
            producer.init_transactions(timeout)?;
            Ok(producer)
        })
        .await?;
        Ok(Self { codec, producer: Arc::new(producer), tenant: pieces::kept(&config.identity.tenant), timeout })
    }

    /// Encodes an event with its CloudEvents headers.
    ///
    /// # Errors
    /// As [`Publisher::event`].
    pub fn event<T: Event>(&self, event: &T, lineage: &Lineage) -> Result<Outgoing, PublishError> {
        Ok(Outgoing::event(event, self.codec.encode(event)?, lineage, self.tenant))
    }

    /// Publishes all records in one transaction, or none.
    ///
    /// # Errors
    /// When the transaction was aborted (nothing is visible) or this instance was fenced by another.
    pub async fn commit(&mut self, records: Vec<Outgoing>) -> Result<(), PublishError> {
        let producer = Arc::clone(&self.producer);
        let timeout = self.timeout;
        blocking(move || {
            producer.begin()?;
            let delivery = Delivery::new();
            let sent = records.iter().try_for_each(|record| producer.send(record, &delivery));
            match sent.and_then(|()| producer.commit(&delivery, &[], None, timeout)) {
                Ok(()) => Ok(()),
                Err(error) => {
                    if !error.fenced() {
                        producer.abort(timeout)?;
                    }
                    Err(error)
                }
            }
        })
        .await?;
        Ok(())
    }
}

/// Runs a blocking client call off the async threads.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, ClientError> + Send + 'static,
) -> Result<T, ClientError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result,
        Err(stopped) => Err(ClientError::Delivery(stopped.to_string())),
    }
}
