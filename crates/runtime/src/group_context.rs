//! What the callbacks of a group member tell, and who answers them.

use crate::cluster::Rebalances;
use crate::group_protocol::GroupProtocol;
use crate::kafka::{ClientError, GroupProof};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Hands what the callbacks of a consumer say to whoever asked for it.
pub struct GroupContext {
    told: Arc<dyn Rebalances<GroupProof>>,
    protocol: GroupProtocol,
    /// What is to go, until it is let go: librdkafka waits for that before it goes on.
    parting: Mutex<Option<TopicPartitionList>>,
    /// Nobody lets anything go any more.
    leaving: AtomicBool,
}

impl GroupContext {
    /// Tells changes of the assignment to `told`.
    pub fn new(told: Arc<dyn Rebalances<GroupProof>>, protocol: GroupProtocol) -> Self {
        Self { told, protocol, parting: Mutex::default(), leaving: AtomicBool::default() }
    }

    /// Whether the proof of membership changes without a call of ours: with KIP-848 each change of the group makes an epoch, and
    /// only members whose partitions change are called. A member that was thrown out keeps its epoch 0 until all it had is
    /// unassigned, so what is taken at any time is never newer than what was told.
    pub(crate) fn renews_unsaid(&self) -> bool {
        self.protocol == GroupProtocol::Consumer
    }

    /// Lets go of what was to go; nothing when nothing is.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub(crate) fn let_go(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let parting = self.parting.lock().unwrap_or_else(PoisonError::into_inner).take();
        parting.map_or(Ok(()), |list| consumer.incremental_unassign(&list))
    }

    /// Answers everything by itself from now on: whoever follows the changes has ended.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub(crate) fn leave(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        self.leaving.store(true, Ordering::Release);
        self.let_go(consumer)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    fn all_at_once(&self, consumer: &BaseConsumer<Self>, change: Change, list: &TopicPartitionList) -> KafkaResult<()> {
        match change {
            // It comes while the consumer is being closed. Nobody follows any more, and whoever asks for a proof of membership then
            // waits for ever: librdkafka has ended what answers.
            Change::Assign if self.is_leaving() => consumer.unassign()?,
            Change::Assign => {
                consumer.assign(list)?;
                self.resume(consumer, list);
                self.told.assigned(places(list), proof(consumer));
            }
            Change::Revoke | Change::Other => {
                if change == Change::Revoke {
                    self.told.revoking();
                }
                let outcome = consumer.unassign();
                self.told.revoked();
                outcome?;
            }
        }
        Ok(())
    }

    fn in_parts(&self, consumer: &BaseConsumer<Self>, change: Change, list: &TopicPartitionList) -> KafkaResult<()> {
        match change {
            Change::Assign if self.is_leaving() => consumer.incremental_assign(list)?,
            Change::Assign => {
                consumer.incremental_assign(list)?;
                self.resume(consumer, list);
                self.told.added(places(list), proof(consumer));
            }
            Change::Revoke if !consumer.assignment_lost() && !self.is_leaving() => {
                *self.parting.lock().unwrap_or_else(PoisonError::into_inner) = Some(list.clone());
                self.told.parting(places(list), proof(consumer));
            }
            // They are somebody else's already, or nobody asks for them any more.
            Change::Revoke | Change::Other => {
                let outcome = consumer.incremental_unassign(list);
                self.told.revoked();
                outcome?;
            }
        }
        Ok(())
    }

    /// librdkafka remembers that a partition was paused when it goes and comes back, and nothing would be fetched from it;
    /// whoever is told takes all as fetched from.
    fn resume(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        if let Err(error) = consumer.resume(list) {
            tracing::warn!(%error, "cannot resume what was assigned");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Assign,
    Revoke,
    /// An error, after which nothing is ours.
    Other,
}

impl ClientContext for GroupContext {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka consumer");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let change = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assign,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => Change::Revoke,
            _ => {
                let error: RDKafkaErrorCode = error.into();
                tracing::warn!(%error, "the group cannot share its partitions");
                Change::Other
            }
        };
        let outcome = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.in_parts(consumer, change, list),
            RebalanceProtocol::None | RebalanceProtocol::Eager => self.all_at_once(consumer, change, list),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "partitions do not change as the group wants it");
        }
    }
}

/// Why the group takes this member no more, once the client knows it. That takes the partitions away without a callback, tells one poll
/// alone, and joins no group and fetches nothing from then on. So it is asked for after each poll without a record: what one poll has told
/// may be passed over in what else came of that poll.
pub(crate) fn shut_out(consumer: &BaseConsumer<GroupContext>) -> Option<ClientError> {
    let (code, _) = consumer.client().fatal_error()?;
    Some(ClientError::ShutOut(KafkaError::MessageConsumptionFatal(code)))
}

/// Taken in the callback: later the member may already have lost its generation, and metadata without a generation would let a
/// zombie commit offsets.
fn proof(consumer: &BaseConsumer<GroupContext>) -> Option<GroupProof> {
    consumer.group_metadata().map(Arc::new)
}

fn places(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::clock::tick;
    use crate::cluster::{Changes, Cluster as _, GroupConsumer, Polled};
    use crate::config::KafkaConfig;
    use crate::librdkafka::Librdkafka;
    use crate::producer::{Delivery, Producer};
    use rdkafka::message::BorrowedMessage;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::RDKafkaApiKey;
    use std::time::Duration;

    const TOPIC: &str = "shut-out";
    const PATIENCE: Duration = Duration::from_secs(60);
    /// What brokers say when the name of a static member is another one's.
    const FENCED: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;

    /// The brokers that librdkafka brings along.
    struct Brokers {
        cluster: MockCluster<'static, DefaultProducerContext>,
        config: KafkaConfig,
    }

    impl Brokers {
        fn start() -> Self {
            let cluster = MockCluster::new(1).unwrap();
            cluster.create_topic(TOPIC, 1, 1).unwrap();
            let bootstrap = cluster.bootstrap_servers();
            let mut config = KafkaConfig { bootstrap, session_timeout_ms: 3_000, ..KafkaConfig::default() };
            // Else the client takes no refusal for final, and closing it would wait for ever behind this one.
            config.properties.insert("group.instance.id".to_owned(), "ward-7".to_owned());
            Self { cluster, config }
        }

        fn member(&self) -> (BaseConsumer<GroupContext>, Arc<Changes<GroupProof>>) {
            let changes = Arc::new(Changes::default());
            let told: Arc<dyn Rebalances<GroupProof>> = Arc::clone(&changes) as _;
            (Librdkafka::new(&self.config).consumer("room", &[TOPIC], told).unwrap(), changes)
        }
    }

    fn poll(consumer: &BaseConsumer<GroupContext>) -> Polled<BorrowedMessage<'_>> {
        GroupConsumer::poll(consumer, Duration::from_millis(20))
    }

    fn says_so(polled: &Polled<BorrowedMessage<'_>>) -> bool {
        matches!(polled, Polled::Failed(error) if error.shut_out() && error.to_string().starts_with("WL-6080: "))
    }

    #[test]
    fn loss_1_a_member_that_is_shut_out_says_so_in_each_poll_from_then_on() {
        let brokers = Brokers::start();
        let (consumer, changes) = brokers.member();
        let began = tick();
        while changes.is_empty() {
            assert!(!says_so(&poll(&consumer)) && tick().since(began) < PATIENCE, "it gets its partition first");
        }
        brokers.cluster.request_errors(RDKafkaApiKey::Heartbeat, &[FENCED]);
        let began = tick();
        while !says_so(&poll(&consumer)) {
            assert!(tick().since(began) < PATIENCE, "it hears of it with a heartbeat");
        }
        let goes_on = (0..3).all(|_| says_so(&poll(&consumer)));
        GroupConsumer::leave(&consumer);
        assert!(goes_on);
    }

    #[test]
    fn loss_1_a_member_whose_positions_are_refused_because_its_name_is_another_ones_is_shut_out() {
        let brokers = Brokers::start();
        let (consumer, _) = brokers.member();
        let group = proof(&consumer).unwrap();
        let producer = Producer::new(&brokers.config, Some("room.0")).unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin().unwrap();
        brokers.cluster.request_errors(RDKafkaApiKey::TxnOffsetCommit, &[FENCED]);
        let refused = producer.commit(&Delivery::new(), &[(Arc::from(TOPIC), 0, 1)], Some(&group), PATIENCE);
        GroupConsumer::leave(&consumer);
        assert!(refused.as_ref().is_err_and(ClientError::shut_out), "{refused:?}");
    }
}
