//! Fills the tables from their compacted topics: caught up before the first record, then kept up to date.

use crate::codec::Codec;
use crate::config::KafkaConfig;
use crate::kafka::{self, ClientError};
use crate::shutdown::Shutdown;
use crate::wake::WakeInbox;
use processor::TableFeed;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// One wait for records; also how fast a stop is seen.
const POLL: Duration = Duration::from_millis(100);
/// One wait for the cluster.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts one reader per topic and returns when all tables hold everything that was there at the start.
///
/// # Errors
/// When Kafka does not answer or a topic is missing.
pub async fn start(
    feeds: Vec<Arc<dyn TableFeed>>,
    kafka: &KafkaConfig,
    codec: &Arc<Codec>,
    listeners: &[WakeInbox],
    stop: &Shutdown,
) -> Result<(), ClientError> {
    let mut ready = Vec::new();
    for feed in feeds {
        let (caught_up, waiting) = oneshot::channel();
        let reader = Reader {
            consumer: open(kafka, feed.topic().name).await?,
            feed,
            codec: Arc::clone(codec),
            listeners: listeners.to_vec(),
            stop: stop.clone(),
            handle: Handle::current(),
        };
        std::thread::Builder::new()
            .name(format!("table-{}", reader.feed.topic().name))
            .spawn(move || reader.run(caught_up))
            .map_err(|error| ClientError::Delivery(error.to_string()))?;
        ready.push(waiting);
    }
    for waiting in ready {
        // A reader that went away before it was ready did so because of the stop.
        if waiting.await.is_err() && !stop.requested() {
            return Err(ClientError::Delivery("a table reader stopped before it was caught up".to_owned()));
        }
    }
    Ok(())
}

async fn open(kafka: &KafkaConfig, topic: &'static str) -> Result<kafka::Reader, ClientError> {
    let mut settings = kafka::reader(kafka);
    settings.set("enable.partition.eof", "true");
    let opened = tokio::task::spawn_blocking(move || {
        let consumer = kafka::open_reader(&settings)?;
        let partitions = partitions_of(&consumer, topic)?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        Ok(consumer)
    });
    opened.await.unwrap_or_else(|error| Err(ClientError::Delivery(error.to_string())))
}

/// The partitions of a topic.
pub(crate) fn partitions_of<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
) -> Result<Vec<i32>, ClientError> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions: Vec<i32> =
        found.map(|found| found.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
    if partitions.is_empty() {
        let hint = format!("topic {topic} does not exist: run `wardline topics apply`");
        return Err(ClientError::Delivery(hint));
    }
    Ok(partitions)
}

struct Reader {
    consumer: kafka::Reader,
    feed: Arc<dyn TableFeed>,
    codec: Arc<Codec>,
    listeners: Vec<WakeInbox>,
    stop: Shutdown,
    handle: Handle,
}

impl Reader {
    fn run(self, caught_up: oneshot::Sender<()>) {
        let mut caught_up = Some(caught_up);
        let mut behind: HashSet<i32> = self
            .consumer
            .assignment()
            .map(|list| list.elements().iter().map(|element| element.partition()).collect())
            .unwrap_or_default();
        while !self.stop.requested() {
            match self.consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => self.apply(message.key(), message.payload(), message.offset()),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    behind.remove(&partition);
                    if behind.is_empty()
                        && let Some(caught_up) = caught_up.take()
                    {
                        tracing::info!(topic = self.feed.topic().name, rows = self.feed.rows(), "table is caught up");
                        // Nobody waits any more when the room was stopped meanwhile.
                        let _ = caught_up.send(());
                    }
                }
                Some(Err(error)) => tracing::warn!(topic = self.feed.topic().name, %error, "table reader"),
            }
        }
    }

    /// A master record that cannot be read leaves the older version in place and is reported.
    fn apply(&self, key: Option<&[u8]>, value: Option<&[u8]>, offset: i64) {
        let topic = self.feed.topic().name;
        let Some(key) = key else {
            tracing::error!(topic, offset, code = "WL-6020", "master record without a key");
            return;
        };
        let outcome = match value {
            None => self.feed.apply(key, None).map_err(|error| error.to_string()),
            Some(value) => self
                .handle
                .block_on(self.codec.open(value))
                .map_err(|error| error.to_string())
                .and_then(|(writer, body)| self.feed.apply(key, Some((&writer, body))).map_err(|e| e.to_string())),
        };
        match outcome {
            Ok(subjects) => self.listeners.iter().for_each(|listener| listener.push(&subjects)),
            Err(reason) => tracing::error!(topic, offset, reason, code = "WL-6020", "master record cannot be used"),
        }
    }
}
