//! Collects the records of the next transaction while no transaction is open.

use crate::clock::tick;
use crate::cluster::{Changes, GroupConsumer, Polled, RecordView};
use crate::config::Limits;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Records of one transaction, in the order of arrival.
pub(super) struct Batch<M> {
    messages: Vec<M>,
}

/// What gathering ended with.
pub(super) enum Gathered<M> {
    /// Records, possibly none.
    Batch(Batch<M>),
    /// The assignment changed: whatever was gathered is void.
    Rebalanced,
}

/// Waits up to `patience` for a first record, then takes what is there, up to the bounds.
pub(super) fn gather<'a, C: GroupConsumer>(
    consumer: &'a C,
    changes: &Changes<C::Membership>,
    limits: &Limits,
    patience: Duration,
) -> Gathered<C::Message<'a>> {
    let mut batch = Batch { messages: Vec::new() };
    let gather_time = Duration::from_millis(limits.batch_gather_ms);
    let mut wait = patience;
    let mut started = tick();
    while batch.messages.len() < limits.batch_records_max {
        let polled = consumer.poll(wait);
        if !changes.is_empty() {
            return Gathered::Rebalanced;
        }
        match polled {
            Polled::Record(message) => {
                if batch.messages.is_empty() {
                    started = tick();
                    // A caught-up loop commits at once; a loaded one finds the queue full and batches by itself.
                    wait = Duration::ZERO;
                }
                batch.messages.push(message);
            }
            Polled::Failed(error) => tracing::warn!(%error, "consumer"),
            Polled::Nothing | Polled::End(_) => break,
        }
        if tick().since(started) > gather_time && !batch.messages.is_empty() {
            break;
        }
    }
    Gathered::Batch(batch)
}

impl<M: RecordView> Batch<M> {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn messages(&self) -> &[M] {
        &self.messages
    }

    /// Per partition the offset after the last record: where reading goes on.
    pub(super) fn next_offsets(&self) -> Vec<(Arc<str>, i32, i64)> {
        self.fold(|known, offset| known.max(offset + 1), |offset| offset + 1)
    }

    /// Per partition the offset of the first record.
    pub(super) fn first_offsets(&self) -> Vec<(Arc<str>, i32, i64)> {
        self.fold(i64::min, |offset| offset)
    }

    fn fold(&self, join: impl Fn(i64, i64) -> i64, first: impl Fn(i64) -> i64) -> Vec<(Arc<str>, i32, i64)> {
        let mut offsets: HashMap<(&str, i32), i64> = HashMap::new();
        for message in &self.messages {
            offsets
                .entry((message.topic(), message.partition()))
                .and_modify(|known| *known = join(*known, message.offset()))
                .or_insert_with(|| first(message.offset()));
        }
        let mut offsets: Vec<_> = offsets.into_iter().collect();
        offsets.sort_unstable();
        offsets.into_iter().map(|((topic, partition), offset)| (Arc::from(topic), partition, offset)).collect()
    }
}
