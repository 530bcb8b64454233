//! Questions that are asked again while the cluster moves what they are about, or is away.

use crate::clock::tick;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::Duration;

/// Pause before the same question is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the answer is not that the broker is away or that a leader or coordinator is on its way, for `longest` at most.
/// A broker that is killed takes its connections with it, needs a quarter of a minute or more to come back, and may then lead its
/// partitions, lose them and lead them again within a second; librdkafka gives up before.
///
/// # Errors
/// What the last answer was.
pub(crate) fn ask<T>(longest: Duration, mut question: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let started = tick();
    loop {
        match question() {
            Err(error) if is_passing(&error) && tick().since(started) < longest => std::thread::park_timeout(PAUSE),
            answer => return answer,
        }
    }
}

/// Whether the cluster may answer otherwise soon: the broker is away, or leader or coordinator are about to be somewhere else.
pub(crate) fn is_passing(error: &KafkaError) -> bool {
    let passing = [
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::AllBrokersDown,
        RDKafkaErrorCode::OperationTimedOut,
        RDKafkaErrorCode::RequestTimedOut,
        RDKafkaErrorCode::Resolve,
        RDKafkaErrorCode::NotLeaderForPartition,
        RDKafkaErrorCode::LeaderNotAvailable,
        RDKafkaErrorCode::FencedLeaderEpoch,
        RDKafkaErrorCode::UnknownLeaderEpoch,
        RDKafkaErrorCode::NotCoordinator,
        RDKafkaErrorCode::CoordinatorNotAvailable,
        RDKafkaErrorCode::CoordinatorLoadInProgress,
    ];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVING: KafkaError = KafkaError::MetadataFetch(RDKafkaErrorCode::NotLeaderForPartition);

    #[test]
    fn asks_again_while_the_leader_moves() {
        let mut answers = vec![Ok(7), Err(MOVING), Err(MOVING)];
        assert_eq!(ask(Duration::from_secs(60), || answers.pop().unwrap()), Ok(7));
    }

    #[test]
    fn tells_other_errors_at_once_and_gives_up_in_the_end() {
        let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
        let mut answers = vec![Ok(()), Err(unknown.clone())];
        assert_eq!(ask(Duration::from_secs(60), || answers.pop().unwrap()), Err(unknown));
        assert_eq!(ask(Duration::ZERO, || Err::<(), _>(MOVING)), Err(MOVING));
    }
}
