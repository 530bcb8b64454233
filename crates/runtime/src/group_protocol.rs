//! How the members of a group share partitions.

use serde::{Deserialize, Serialize};

/// How members of a room that works in transactions share its partitions. All members of a room must say the same: a group
/// has one protocol, so it is changed while the room stands still. A room that reads several topics shares eagerly whatever is
/// said here, because the parking lot needs the partitions of one number in one hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupProtocol {
    /// All partitions go when any moves, and are shared out in ranges.
    #[default]
    Eager,
    /// Only what moves goes; the others flow on (KIP-429, `cooperative-sticky`).
    Cooperative,
    /// As `cooperative`, and the broker shares out (KIP-848). Kafka 4.0 or newer: with an older one a room gets no partitions. How
    /// long a silent member is waited for is the broker's `group.consumer.session.timeout.ms`, not `session_timeout_ms`.
    Consumer,
}

impl GroupProtocol {
    /// What a room that reads so many topics shares by.
    #[must_use]
    pub fn for_topics(self, topics: usize) -> Self {
        if topics == 1 { self } else { Self::Eager }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GroupProtocol::{Consumer, Cooperative, Eager};

    #[test]
    fn partitions_of_one_number_stay_in_one_hand() {
        for (said, topics, shared) in [
            (Eager, 1, Eager),
            (Cooperative, 1, Cooperative),
            (Consumer, 1, Consumer),
            (Cooperative, 2, Eager),
            (Consumer, 0, Eager),
        ] {
            assert_eq!(said.for_topics(topics), shared, "{said:?} with {topics} topics");
        }
    }
}
