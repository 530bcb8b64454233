//! Consumer groups from outside: who is in one, and where it stands. For tools; rooms commit with their transactions.

use crate::ask::ask;
use crate::config::KafkaConfig;
use crate::kafka;
use crate::reader::{ReadError, group_lag};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest wait for one answer of the coordinator.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a coordinator that is on its way.
const PATIENCE: Duration = Duration::from_secs(60);

/// A partition of a topic.
pub type Partition = (String, i32);

/// Why a position was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The group has members: only they may commit.
    #[error("the group has members")]
    Members,
    /// Kafka refused or gave up.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The positions cannot be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Kafka has confirmed, and the group stands elsewhere.
    #[error("the group stands at {now:?} of {topic} partition {partition} and not at {wanted}")]
    Elsewhere {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What was asked for.
        wanted: i64,
        /// Where it stands.
        now: Option<i64>,
    },
}

/// A group as Kafka knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// What Kafka calls its state, for example `Stable` or `Empty`; none when there is no such group.
    pub state: Option<String>,
    /// Client ids of its members.
    pub members: Vec<String>,
}

/// What Kafka knows of a group.
///
/// # Errors
/// When Kafka does not answer.
pub fn group(kafka: &KafkaConfig, group: &str) -> Result<Group, ReadError> {
    let consumer = client(kafka, group)?;
    let found = ask(PATIENCE, || consumer.fetch_group_list(Some(group), ANSWER_TIMEOUT))?;
    let known = found.groups().iter().find(|found| found.name() == group);
    let members = known.iter().flat_map(|found| found.members()).map(|member| member.client_id().to_owned()).collect();
    let state = known.map(|found| found.state().to_owned()).filter(|state| !state.is_empty() && state != "Dead");
    Ok(Group { state, members })
}

/// Client ids of the members of a group; none when there is no such group.
///
/// # Errors
/// When Kafka does not answer.
pub fn members(kafka: &KafkaConfig, group: &str) -> Result<Vec<String>, ReadError> {
    Ok(self::group(kafka, group)?.members)
}

/// Sets where a group goes on. Kafka refuses it while the group has members, so that nobody's position changes under them.
/// Returns when the positions are read back. Whatever a position was committed with is gone with it.
///
/// # Errors
/// See [`SetError`].
pub fn set_positions(kafka: &KafkaConfig, group: &str, wanted: &BTreeMap<Partition, i64>) -> Result<(), SetError> {
    let consumer = client(kafka, group)?;
    let mut positions = TopicPartitionList::with_capacity(wanted.len());
    for ((topic, partition), offset) in wanted {
        positions.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    ask(PATIENCE, || consumer.commit(&positions, CommitMode::Sync)).map_err(|error| {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => SetError::Members,
            _ => SetError::Kafka(error),
        }
    })?;
    let mut topics: Vec<&str> = wanted.keys().map(|(topic, _)| topic.as_str()).collect();
    topics.dedup();
    let standing: BTreeMap<Partition, Option<i64>> =
        group_lag(kafka, group, &topics)?.into_iter().map(|lag| ((lag.topic, lag.partition), lag.committed)).collect();
    for ((topic, partition), offset) in wanted {
        let now = standing.get(&(topic.clone(), *partition)).copied().flatten();
        if now != Some(*offset) {
            return Err(SetError::Elsewhere { topic: topic.clone(), partition: *partition, wanted: *offset, now });
        }
    }
    Ok(())
}

fn client(kafka: &KafkaConfig, group: &str) -> Result<kafka::Reader, KafkaError> {
    let mut client = kafka::reader(kafka);
    client.set("group.id", group);
    kafka::open_reader(&client)
}
