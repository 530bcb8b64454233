//! Where the groups of rooms stand: who is in them, what they have not finished, and how old the oldest of that is.

use runtime::groups::{self, Group};
use runtime::reader::{self, PartitionLag, ReadError};
use runtime::{Config, RoomInfo, clock, scan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The group of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupStanding {
    /// The room; its group has the same name.
    pub room: &'static str,
    /// What Kafka calls its state, for example `Stable` or `Empty`; none of a group that Kafka does not know.
    pub state: Option<String>,
    /// Client ids of its members.
    pub members: Vec<String>,
    /// Records not finished, of all partitions.
    pub lag_records: i64,
    /// Age of the oldest of them, seconds; 0 when there is none.
    pub oldest_s: u64,
    /// Partition by partition.
    pub partitions: Vec<PartitionStanding>,
}

/// A group in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStanding {
    /// How far it has got.
    #[serde(flatten)]
    pub lag: PartitionLag,
    /// Age of the oldest record that is not finished, seconds; 0 when there is none.
    pub oldest_s: u64,
}

/// Where the group of a room stands. Blocks.
///
/// # Errors
/// When Kafka does not answer.
pub fn standing(config: &Config, info: &RoomInfo) -> Result<GroupStanding, ReadError> {
    let group = groups::group(&config.kafka, info.name)?;
    let lags = reader::group_lag(&config.kafka, info.name, &info.reads)?;
    let oldest = scan::oldest_open(&config.kafka, &lags)?;
    Ok(summed(info.name, group, lags, &oldest, clock::now_micros() / 1_000))
}

fn summed(
    room: &'static str,
    group: Group,
    lags: Vec<PartitionLag>,
    oldest_ms: &BTreeMap<(String, i32), i64>,
    now_ms: i64,
) -> GroupStanding {
    let one = |lag: PartitionLag| {
        let oldest = oldest_ms.get(&(lag.topic.clone(), lag.partition));
        // A clock that is behind the broker's says 0 rather than a large number.
        let oldest_s = oldest.map_or(0, |oldest| u64::try_from((now_ms - oldest) / 1_000).unwrap_or_default());
        PartitionStanding { lag, oldest_s }
    };
    let partitions: Vec<PartitionStanding> = lags.into_iter().map(one).collect();
    GroupStanding {
        room,
        state: group.state,
        members: group.members,
        lag_records: partitions.iter().map(|one| one.lag.lag).sum(),
        oldest_s: partitions.iter().map(|one| one.oldest_s).max().unwrap_or_default(),
        partitions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_record_of_all_partitions_counts_and_an_idle_one_reads_0() {
        let lag = |partition, lag| PartitionLag {
            topic: "a.b.v1".to_owned(),
            partition,
            committed: Some(5),
            end: 5 + lag,
            lag,
        };
        let group = Group { state: Some("Stable".to_owned()), members: vec!["one".to_owned()] };
        let oldest = BTreeMap::from([(("a.b.v1".to_owned(), 0), 90_000), (("a.b.v1".to_owned(), 1), 40_000)]);
        let told = |now_ms| summed("r", group.clone(), vec![lag(0, 2), lag(1, 1), lag(2, 0)], &oldest, now_ms);
        let seen = told(100_500);
        assert_eq!((seen.lag_records, seen.oldest_s, seen.members.len()), (3, 60, 1));
        assert_eq!(seen.partitions.iter().map(|one| one.oldest_s).collect::<Vec<_>>(), [10, 60, 0]);
        assert_eq!(told(1_000).oldest_s, 0);
    }
}
