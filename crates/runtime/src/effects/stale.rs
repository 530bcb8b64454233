//! Records that an event was passed over by which nobody needs any more.
//!
//! `passed|room|place` is needed above the position of its partition alone: what lies below is not read again. No two of these keys are
//! the same, so compaction would keep each of them for ever, and every assignment would read them all.

use super::settled::Settled;
use super::verdicts::PASSED;
use crate::outgoing::Outgoing;
use crate::record::Record;
use bytes::Bytes;
use schemas::{Effect, topics};
use std::collections::BTreeSet;

/// Most that are deleted after one assignment. Those beyond have their turn after the next one.
const MOST: usize = 50_000;
/// Most that go into one transaction.
const AT_ONCE: usize = 1_000;

/// Partitions and keys of records that lie below the position.
#[derive(Debug, Default)]
pub(super) struct Stale(BTreeSet<(i32, Bytes)>);

impl Stale {
    /// A record of the topic of effects that says that an event was passed: kept in mind when that is not read again.
    pub fn take(&mut self, record: &Record, effect: &Effect, settled: &Settled) {
        let origin = (effect.origin_topic.as_deref(), effect.origin_partition, effect.origin_offset);
        let (Some(topic), Some(partition), Some(offset)) = origin else { return };
        let is_of_ours = effect.effect_key.starts_with(PASSED) && partition == record.place.partition;
        if let Some(key) = record.key.as_deref().filter(|_| is_of_ours && settled.is_below(topic, partition, offset))
            && self.0.len() < MOST
        {
            // The key may be a part of something larger.
            self.0.insert((partition, Bytes::copy_from_slice(key)));
        }
    }

    /// A record was deleted before.
    pub fn deleted(&mut self, record: &Record) {
        if let Some(key) = record.key.clone() {
            self.0.remove(&(record.place.partition, key));
        }
    }

    /// Deletions for one transaction.
    pub fn part(&mut self) -> impl Iterator<Item = Outgoing> {
        let tombstone = |(partition, key)| Outgoing::tombstone(topics::OPS_EFFECT_V1.name(), Some(partition), key);
        std::iter::from_fn(|| self.0.pop_first()).take(AT_ONCE).map(tombstone)
    }

    /// The partitions are not ours any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Place;
    use std::sync::Arc;

    fn settled() -> Settled {
        Settled::above([((Arc::from("t"), 3), 10)])
    }

    fn record(key: &str, partition: i32) -> Record {
        let place = Place { topic: Arc::from("ops.effect.v1"), partition, offset: 0 };
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        Record { place, timestamp_ms: None, key, value: None, headers: Vec::new() }
    }

    fn effect(key: &str, topic: &str, partition: i32, offset: i64) -> Effect {
        Effect {
            effect_key: key.to_owned(),
            origin_topic: Some(topic.to_owned()),
            origin_partition: Some(partition),
            origin_offset: Some(offset),
            ..Effect::default()
        }
    }

    fn found(records: &[(&str, &str, i32, i64)]) -> Vec<String> {
        let mut stale = Stale::default();
        for (key, topic, partition, offset) in records {
            stale.take(&record(key, 3), &effect(key, topic, *partition, *offset), &settled());
        }
        stale.part().map(|gone| String::from_utf8_lossy(gone.key.as_deref().unwrap_or_default()).into_owned()).collect()
    }

    #[test]
    fn loss_1_only_what_is_not_read_again_is_deleted() {
        let below = ("passed|room|t-3@9", "t", 3, 9);
        let kept = [
            ("passed|room|t-3@10", "t", 3, 10),
            ("passed|room|t-3@11", "t", 3, 11),
            ("passed|room|t-4@9", "t", 4, 9),
            ("passed|room|other-3@9", "other", 3, 9),
            ("usage/a/0/erp", "t", 3, 9),
            ("decided|room|e1", "t", 3, 9),
        ];
        assert_eq!(found(&kept), [""; 0]);
        assert_eq!(found(&[kept.as_slice(), &[below]].concat()), [below.0]);
    }

    #[test]
    fn what_is_deleted_is_deleted_once_in_its_partition() {
        let key = "passed|room|t-3@9";
        let mut stale = Stale::default();
        stale.take(&record(key, 3), &effect(key, "t", 3, 9), &settled());
        assert_eq!(stale.part().map(|gone| (gone.partition, gone.value)).collect::<Vec<_>>(), [(Some(3), None)]);
        assert_eq!(stale.part().count(), 0);
        stale.take(&record(key, 3), &effect(key, "t", 3, 9), &settled());
        stale.deleted(&record(key, 3));
        assert_eq!(stale.part().count(), 0);
    }

    #[test]
    fn bnd_1_no_more_are_kept_in_mind_than_the_bound() {
        let mut stale = Stale::default();
        for number in 0..=MOST {
            let key = format!("passed|room|{number}");
            stale.take(&record(&key, 3), &effect(&key, "t", 3, 9), &settled());
        }
        assert_eq!((stale.0.len(), stale.part().count()), (MOST, AT_ONCE));
        stale.clear();
        assert_eq!(stale.part().count(), 0);
    }
}
