//! What a worker does when as many keys are parked as may be.
//!
//! A key that cannot be parked holds its partition up, whatever is done: to pass its event by would lose it (LOSS-1) or its place in
//! the order (ORD-1). So nothing more is taken in, which is what bounds the memory (BND-1). Parked events are tried meanwhile, and
//! as soon as a key has left, or the event that could not be parked is decided otherwise, the worker goes on by itself.

use super::worker::Worker;
use crate::clock::tick;
use crate::cluster::{Cluster, GroupConsumer, RecordView};
use crate::room::RoomError;
use processor::Processor;
use std::time::Duration;

/// Longest wait for Kafka when the record is put back.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// So long it waits before the record is looked at again: what it waits for may have come.
const PAUSE: Duration = Duration::from_secs(1);

impl<P: Processor, K: Cluster> Worker<P, K> {
    /// Puts back a record whose key cannot be parked, and takes nothing in.
    pub(super) fn stand_still(&mut self, consumer: &K::Consumer, record: &impl RecordView) -> Result<(), RoomError> {
        let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
        self.open.unread(topic, partition, offset);
        consumer.seek(topic, partition, offset, SEEK_TIMEOUT)?;
        consumer.pause(true)?;
        if self.still.replace(tick()).is_none() {
            let most = self.shared.limits.parked_max;
            tracing::error!(
                room = self.desk.room,
                code = "WL-6030",
                most,
                "too many keys are parked, nothing is taken in"
            );
            self.shared.metrics.parked_full.set(1);
        }
        Ok(())
    }

    /// Takes records in again when a key has left, or when the last one may be decided otherwise by now.
    pub(super) fn go_on(&mut self, consumer: &K::Consumer) -> Result<(), RoomError> {
        let Some(since) = self.still else { return Ok(()) };
        if self.is_full() {
            if tick().since(since) < PAUSE {
                return Ok(());
            }
            self.still = Some(tick());
        } else {
            self.takes_in();
            tracing::info!(room = self.desk.room, "records are taken in again");
        }
        Ok(consumer.pause(false)?)
    }

    /// Nothing stands in the way any more.
    pub(super) fn takes_in(&mut self) {
        if self.still.take().is_some() {
            self.shared.metrics.parked_full.set(0);
        }
    }
}
