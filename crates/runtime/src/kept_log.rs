//! A small log of keys and values on a compacted topic of one partition, for tools that keep their own state in Kafka.
//!
//! These functions block, except [`KeptLog::open`]: call them on a blocking thread.

use crate::admin::{self, AdminError};
use crate::config::KafkaConfig;
use crate::kafka::ClientError;
use crate::outgoing::Outgoing;
use crate::producer::{Delivery, Producer};
use crate::reader::{self, Range, ReadError};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait until an append is confirmed.
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);

/// A key and its value; no value deletes the key.
pub type Pair = (Vec<u8>, Option<Vec<u8>>);

/// A log on a topic. Only one process appends to it at a time.
pub struct KeptLog {
    kafka: KafkaConfig,
    topic: &'static str,
    /// Made anew when it is broken.
    producer: Mutex<Arc<Producer>>,
}

impl KeptLog {
    /// Creates the topic when it is not there.
    ///
    /// # Errors
    /// When Kafka does not answer or refuses the topic.
    pub async fn open(kafka: &KafkaConfig, topic: &'static str) -> Result<Self, AdminError> {
        admin::ensure_compacted(kafka, topic).await?;
        Ok(Self { kafka: kafka.clone(), topic, producer: Mutex::new(Arc::new(Producer::new(kafka, None)?)) })
    }

    /// Appends, and returns when all in-sync replicas have it.
    ///
    /// # Errors
    /// When it is not confirmed in time; it may be in the log all the same.
    pub fn append(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), ClientError> {
        let delivery = Delivery::new();
        let record = Outgoing {
            topic: Cow::Borrowed(self.topic),
            partition: Some(0),
            key: Some(Bytes::copy_from_slice(key)),
            value: value.map(Bytes::copy_from_slice),
            headers: Vec::new(),
            ticket: None,
        };
        let producer = self.producer()?;
        producer.send(&record, &delivery)?;
        delivery.wait(APPEND_TIMEOUT, || producer.last_error())
    }

    /// One that is broken takes no record any more.
    fn producer(&self) -> Result<Arc<Producer>, ClientError> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if producer.is_broken() {
            *producer = Arc::new(Producer::new(&self.kafka, None)?);
        }
        Ok(Arc::clone(&producer))
    }

    /// Everything that is there, oldest first.
    ///
    /// # Errors
    /// When it cannot be read to its end.
    pub fn read_all(&self) -> Result<Vec<Pair>, ReadError> {
        let mut pairs = Vec::new();
        reader::read_range(&self.kafka, &Range::all(self.topic), |record| {
            pairs.push((record.key.unwrap_or_default().into(), record.value.map(Into::into)));
            ControlFlow::Continue(())
        })?;
        Ok(pairs)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    /// librdkafka itself, against brokers of its own that answer as one does that has lost the end of a log.
    #[test]
    fn loss_1_a_log_goes_on_when_its_producer_is_refused_for_good() {
        const TOPIC: &str = "kept";
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic(TOPIC, 1, 1).unwrap();
        let kafka = KafkaConfig { bootstrap: brokers.bootstrap_servers(), ..KafkaConfig::default() };
        let producer = Mutex::new(Arc::new(Producer::new(&kafka, None).unwrap()));
        let log = KeptLog { kafka, topic: TOPIC, producer };
        let append = || log.append(b"a", Some(b"1"));
        append().unwrap();
        brokers
            .request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
        append().unwrap_err();
        // The client may say only now that it takes nothing any more.
        drop(append());
        append().unwrap();
    }
}
