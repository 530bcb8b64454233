//! How old the oldest record is that a room has not finished: what people feel of a lag.

use runtime::Config;
use runtime::reader::PartitionLag;
use runtime::{clock, scan};
use serde::Serialize;
use std::collections::BTreeMap;

use super::SightError;

/// How far a room is behind on one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicLag {
    /// Topic.
    pub topic: String,
    /// Records not finished, of all partitions.
    pub lag_records: i64,
    /// Age of the oldest of them, seconds; 0 when there is none.
    pub oldest_s: u64,
}

/// How far a room is behind, topic by topic, from where it stands in each partition. An idle topic reads 0.
///
/// # Errors
/// When a topic cannot be read.
pub async fn by_topic(config: &Config, lags: Vec<PartitionLag>) -> Result<Vec<TopicLag>, SightError> {
    let kafka = config.kafka.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let oldest = scan::oldest_open(&kafka, &lags)?;
        Ok(sum(&lags, &oldest, clock::now_micros() / 1_000))
    });
    reading.await.map_err(|error| SightError::Stopped(error.to_string()))?
}

fn sum(lags: &[PartitionLag], oldest_ms: &BTreeMap<(String, i32), i64>, now_ms: i64) -> Vec<TopicLag> {
    let mut topics: BTreeMap<&str, TopicLag> = BTreeMap::new();
    for lag in lags {
        let oldest_ms = oldest_ms.get(&(lag.topic.clone(), lag.partition)).copied();
        let age_s = oldest_ms.map_or(0, |oldest| u64::try_from((now_ms - oldest) / 1_000).unwrap_or_default());
        let nothing = || TopicLag { topic: lag.topic.clone(), lag_records: 0, oldest_s: 0 };
        let topic = topics.entry(&lag.topic).or_insert_with(nothing);
        topic.lag_records += lag.lag;
        topic.oldest_s = topic.oldest_s.max(age_s);
    }
    topics.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_record_of_all_partitions_counts_and_an_idle_topic_reads_0() {
        let lag = |topic: &str, partition, lag| PartitionLag {
            topic: topic.to_owned(),
            partition,
            committed: Some(5),
            end: 5 + lag,
            lag,
        };
        let lags = [lag("a.b.v1", 0, 2), lag("a.b.v1", 1, 1), lag("c.d.v1", 0, 0)];
        let oldest = BTreeMap::from([(("a.b.v1".to_owned(), 0), 90_000), (("a.b.v1".to_owned(), 1), 40_000)]);
        let told = sum(&lags, &oldest, 100_500);
        let shown: Vec<_> = told.iter().map(|lag| (lag.topic.as_str(), lag.lag_records, lag.oldest_s)).collect();
        assert_eq!(shown, [("a.b.v1", 3, 60), ("c.d.v1", 0, 0)]);
        // A clock that is behind the broker's says 0 rather than a large number.
        assert_eq!(sum(&lags, &oldest, 1_000)[0].oldest_s, 0);
    }
}
