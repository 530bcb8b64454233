//! What the callbacks of a group member tell, and who answers them.

use crate::cluster::Rebalances;
use crate::group_protocol::GroupProtocol;
use crate::kafka::GroupProof;
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

/// Taken in the callback: later the member may already have lost its generation, and metadata without a generation would let a
/// zombie commit offsets.
fn proof(consumer: &BaseConsumer<GroupContext>) -> Option<GroupProof> {
    consumer.group_metadata().map(Arc::new)
}

fn places(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}
