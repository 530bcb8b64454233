//! Settings of the Kafka clients, and what their callbacks tell us.

use crate::config::KafkaConfig;
use crate::group_protocol::GroupProtocol;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// How long a broker may owe an answer before its connection is given up, milliseconds.
const BROKER_SILENT_MS: u32 = 15_000;

/// What a Kafka operation failed with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// librdkafka refused or gave up.
    #[error("WL-6010: kafka: {0}")]
    Kafka(KafkaError),
    /// Another instance has taken this one's place, or the producer is of no use any more.
    #[error("WL-6010: kafka: {0}")]
    Fenced(String),
    /// The broker did not confirm in time.
    #[error("WL-6011: kafka did not confirm within {waited_ms} ms; last client error: {last_error}")]
    Unconfirmed {
        /// How long was waited.
        waited_ms: u128,
        /// What the client last reported (a wrong password shows only here).
        last_error: String,
    },
    /// A record was refused.
    #[error("WL-6012: kafka refused a record: {0}")]
    Delivery(String),
    /// A transaction is open for longer than any may be.
    #[error("WL-6018: kafka: {0}")]
    Undecided(String),
    /// The group does not take this member as it is. Told by its consumer, that is final; told of positions, it may be of the proof that
    /// was shown: that of a member which has come back under its name since.
    #[error("WL-6080: kafka has shut the member out of its group: {0}")]
    ShutOut(KafkaError),
}

impl ClientError {
    /// Whether another instance has taken this one's place.
    pub fn fenced(&self) -> bool {
        matches!(self, Self::Fenced(_))
    }

    /// Whether the group does not take the member, or the proof of it that was shown.
    pub fn shut_out(&self) -> bool {
        matches!(self, Self::ShutOut(_))
    }

    /// Whether the group has a newer generation than the proof of membership that was shown to it.
    pub fn outdated(&self) -> bool {
        matches!(self, Self::Kafka(KafkaError::Transaction(cause)) if cause.code() == RDKafkaErrorCode::IllegalGeneration)
    }
}

impl From<KafkaError> for ClientError {
    fn from(error: KafkaError) -> Self {
        match &error {
            KafkaError::Transaction(cause) if cause.is_fatal() => Self::Fenced(error.to_string()),
            // The positions of a static member are refused like this when its name is another one's.
            KafkaError::Transaction(cause) if cause.code() == RDKafkaErrorCode::FencedInstanceId => {
                Self::ShutOut(error)
            }
            KafkaError::MessageConsumptionFatal(_) => Self::ShutOut(error),
            _ => Self::Kafka(error),
        }
    }
}

/// The settings that every client shares.
pub fn client(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.bootstrap)
        .set("security.protocol", &config.security_protocol)
        .set("client.id", format!("wardline-{}", config.instance))
        .set("socket.nagle.disable", "true")
        // A broker that is stopped without closing its connections is given up after so long; the default is a minute.
        .set("socket.timeout.ms", BROKER_SILENT_MS.to_string())
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set_log_level(RDKafkaLogLevel::Warning);
    if let Some(mechanism) = &config.sasl_mechanism {
        client.set("sasl.mechanism", mechanism);
    }
    if let Some(username) = &config.username {
        client.set("sasl.username", username);
    }
    if let Some(password) = &config.password {
        client.set("sasl.password", password.expose());
    }
    if let Some(ca_file) = &config.ca_file {
        client.set("ssl.ca.location", ca_file.to_string_lossy());
    }
    for (name, value) in &config.properties {
        client.set(name, value);
    }
    client
}

/// A consumer of a group whose offsets are committed by us alone.
pub fn group_consumer(config: &KafkaConfig, group: &str) -> ClientConfig {
    let mut client = reader(config);
    client
        .set("group.id", group)
        .set("session.timeout.ms", config.session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", (config.session_timeout_ms / 5).max(200).to_string())
        .set("max.poll.interval.ms", "300000")
        // Of one partition at once: a megabyte, which is the default, is held several times over while it is unpacked.
        .set("fetch.message.max.bytes", "262144")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "range");
    client
}

/// A member that shares partitions with others as `protocol` says, see [`GroupProtocol`].
pub fn group_member(config: &KafkaConfig, group: &str, protocol: GroupProtocol) -> ClientConfig {
    let mut client = group_consumer(config, group);
    match protocol {
        GroupProtocol::Eager => {}
        GroupProtocol::Cooperative => {
            client.set("partition.assignment.strategy", "cooperative-sticky");
        }
        GroupProtocol::Consumer => {
            client.set("group.protocol", "consumer");
            // The broker decides about these.
            for name in ["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"] {
                client.remove(name);
            }
        }
    }
    client
}

/// A wait that does not spin. librdkafka waits whole milliseconds, rounded down, and rdkafka asks again for what is left until
/// nothing is: of a wait of 100 ms it spends the last millisecond asking. A little more than whole milliseconds is over when
/// librdkafka comes back.
pub(crate) fn whole_wait(wait: Duration) -> Duration {
    const MORE: Duration = Duration::from_micros(20);
    if wait.is_zero() {
        return wait;
    }
    let whole = u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
    Duration::from_millis(whole).saturating_add(MORE)
}

/// A consumer without a group, for tables, the parking lot and tools.
pub fn reader(config: &KafkaConfig) -> ClientConfig {
    let mut client = client(config);
    client
        .set("group.id", "wardline-reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "100")
        // Per partition. Of many small records some tenths of a second lie ready; of large ones the bytes are bounded.
        .set("queued.min.messages", "5000")
        .set("queued.max.messages.kbytes", "16384")
        .set("check.crcs", "true")
        // The default of 1000 stops fetching for up to a second each time the local queue was full.
        .set("fetch.queue.backoff.ms", "10");
    client
}

/// How often it is looked whether a reader has closed.
const CLOSED_LOOK: Duration = Duration::from_millis(1);

/// Largest record of the topics of operations: they hold records of other topics, with what is said about them.
pub(crate) const OPS_RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest event that is written, so that it fits with key and headers into what topics take by default (1 MiB).
pub(crate) const EVENT_BYTES_MAX: usize = 1_000_000;

/// A producer whose records are confirmed by all in-sync replicas, in order, once.
pub fn producer(config: &KafkaConfig, transactional_id: Option<&str>) -> ClientConfig {
    let mut client = client(config);
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("delivery.timeout.ms", "60000");
    if !config.properties.contains_key("message.max.bytes") {
        // What is too large is for the topic to say: a dead letter holds a whole record and more.
        client.set("message.max.bytes", (2 * OPS_RECORD_BYTES_MAX).to_string());
    }
    if let Some(id) = transactional_id {
        client.set("transactional.id", id).set("transaction.timeout.ms", config.transaction_timeout_ms.to_string());
        if !config.properties.contains_key("socket.timeout.ms") {
            client.set("socket.timeout.ms", BROKER_SILENT_MS.min(config.transaction_timeout_ms / 2).to_string());
        }
        // A record of a transaction cannot outlive the transaction.
        client.set("delivery.timeout.ms", config.transaction_timeout_ms.to_string());
    }
    client
}

/// A consumer without a group.
pub struct Reader(BaseConsumer<ReaderContext>);

/// Proof of membership of a group, shared with the thread that commits.
pub type GroupProof = Arc<ConsumerGroupMetadata>;

/// Context of the readers without a group, which ask to be told of each end of a partition: that is no error to log.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReaderContext;

impl ClientContext for ReaderContext {
    fn error(&self, error: KafkaError, reason: &str) {
        if !matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            tracing::warn!(%error, reason, "kafka reader");
        }
    }
}

impl ConsumerContext for ReaderContext {}

/// A consumer without a group.
///
/// # Errors
/// When librdkafka refuses the settings.
pub fn open_reader(settings: &ClientConfig) -> Result<Reader, KafkaError> {
    settings.create_with_context(ReaderContext).map(Reader)
}

impl Deref for Reader {
    type Target = BaseConsumer<ReaderContext>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Closes it, and looks each millisecond whether it has closed. Left to itself the client closes when it is dropped, waits for an event
/// that nothing brings, and looks every 100 ms: a room that starts closes several.
impl Drop for Reader {
    fn drop(&mut self) {
        if self.0.close_queue().is_ok() {
            while !self.0.closed() {
                drop(self.0.poll(CLOSED_LOOK));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::clock::tick;
    use rdkafka::consumer::Consumer as _;
    use rdkafka::mocking::MockCluster;
    use rdkafka::topic_partition_list::TopicPartitionList;

    #[test]
    fn a_reader_closes_at_once() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let config = KafkaConfig { bootstrap: cluster.bootstrap_servers(), ..KafkaConfig::default() };
        let close = |assigned: bool| {
            let reader = open_reader(&super::reader(&config)).unwrap();
            if assigned {
                let mut list = TopicPartitionList::new();
                list.add_partition("t", 0);
                reader.assign(&list).unwrap();
                drop(reader.poll(Duration::from_millis(20)));
            }
            let started = tick();
            drop(reader);
            tick().since(started)
        };
        // The quickest: the machine may be busy. What waits for the next look takes 100 ms each time.
        for assigned in [false, true] {
            let quickest = (0..5).map(|_| close(assigned)).min().unwrap();
            assert!(quickest < Duration::from_millis(60), "{quickest:?}");
        }
    }

    #[test]
    fn a_wait_is_whole_milliseconds_and_a_little_more() {
        assert_eq!(whole_wait(Duration::ZERO), Duration::ZERO);
        assert_eq!(whole_wait(Duration::from_micros(300)), Duration::from_micros(1_020));
        assert_eq!(whole_wait(Duration::from_millis(100)), Duration::from_micros(100_020));
    }
}
