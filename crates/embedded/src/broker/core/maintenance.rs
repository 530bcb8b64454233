//! What is done from time to time: retention, compaction, and forgetting who has not been heard of for long.

use super::super::storage::CompactionPolicy;
use super::entry::Entry;
use super::registry::Partition;
use super::settings::TopicSettings;
use super::transactions::State;
use super::{Core, CoreOptions, Storage, StorageError};

impl Core {
    pub(super) fn maintain(&mut self, now_ms: i64) {
        if now_ms < self.maintenance_ms {
            return;
        }
        self.maintenance_ms = now_ms.saturating_add(self.options.retention_check_interval_ms.max(1));
        let mut moved = Vec::new();
        let (storage, options) = (&mut *self.storage, &self.options);
        for (name, topic) in self.registry.iter_mut() {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                let before = partition.log.start();
                if let Err(error) = partition.maintain(storage, &topic.settings, options, now_ms) {
                    tracing::warn!(%error, topic = name, partition = index, "retention or compaction has to wait");
                }
                if partition.log.start() > before {
                    moved.push(Entry::LogStart(topic.id, index, partition.log.start()));
                    self.woken.extend(partition.waiting.iter().copied());
                }
            }
        }
        for entry in moved {
            // The segments are gone: without the entry, the next start finds the same beginning by them.
            let _ = self.write(&entry);
        }
        self.forget_transactional_ids(now_ms);
    }

    fn forget_transactional_ids(&mut self, now_ms: i64) {
        let before_ms = now_ms.saturating_sub(self.options.transactional_id_expiry_ms);
        let idle = self.transactions.iter().filter(|(_, known)| {
            let ended = matches!(known.state, State::Empty | State::CompleteCommit | State::CompleteAbort);
            ended && known.updated_ms < before_ms
        });
        let ids: Vec<String> = idle.map(|(id, _)| id.clone()).collect();
        for id in ids {
            if self.write(&Entry::TransactionForgotten(id.clone())).is_ok() {
                self.transactions.remove(&id);
            }
        }
    }
}

impl Partition {
    fn maintain(
        &mut self,
        storage: &mut dyn Storage,
        settings: &TopicSettings,
        options: &CoreOptions,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        self.producers.expire(now_ms.saturating_sub(options.producer_id_expiry_ms));
        let expired = settings.delete && self.log.is_active_expired(settings.retention_ms, now_ms);
        if expired || self.log.is_due_to_roll(0, settings.segment_bytes, settings.segment_ms, now_ms) {
            self.log.roll(storage, &self.producers)?;
        }
        let stable = self.last_stable();
        if settings.delete {
            let from = self.log.retained_from(settings.retention_ms, settings.retention_bytes, stable, now_ms);
            self.log.advance_start(storage, from);
        }
        if settings.compact {
            let policy = CompactionPolicy {
                now_ms,
                stable,
                lag_min_ms: settings.compaction_lag_min_ms,
                lag_max_ms: settings.compaction_lag_max_ms,
                dirty_ratio_min: settings.dirty_ratio_min,
                delete_retention_ms: settings.delete_retention_ms,
                segment_bytes: settings.segment_bytes,
                keys_max: options.compaction_keys_max,
            };
            self.log.compact(storage, &policy)?;
        }
        Ok(())
    }
}
