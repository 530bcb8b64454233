//! Partitions come and go: all at once, or some while the others flow on.
//!
//! Where some go, what was decided is committed first; then they are let go, which is what the group waits for. Each change of
//! the group makes a generation, also for members whose partitions stay, and the group refuses positions that show an older
//! one. The client tells of the newer one a moment later: until then nothing is handed over, and what was refused is decided
//! again. A member that was thrown out never gets there: it is told that all its partitions have gone before it is in the group
//! again.

use super::open::{Firsts, Open};
use super::worker::{SEEK_TIMEOUT, StepError, Worker};
use crate::clock::{Tick, tick};
use crate::cluster::{Change, Cluster, GroupConsumer, Polled, RecordView as _};
use crate::kafka::ClientError;
use crate::room::RoomError;
use crate::turn::{Next, PATIENCE};
use processor::Processor;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the newer generation that the group has.
const RENEWED_WITHIN: Duration = Duration::from_secs(60);

/// Partitions that are to go.
pub(super) struct Parting {
    places: Vec<(String, i32)>,
    since: Tick,
}

impl<P: Processor, K: Cluster> Worker<P, K> {
    /// Follows what the group has changed.
    pub(super) fn follow_rebalance(&mut self) -> Result<(), RoomError> {
        while let Some(change) = self.drain.changes.next() {
            match change {
                Change::Revoked => {
                    self.group = None;
                    self.outdated = None;
                    self.parting = None;
                    self.store.clear();
                    self.lot.forget(|_| true);
                    self.open = Open::default();
                    self.takes_in();
                    self.trouble = None;
                    if let Some(under_way) = &mut self.under_way {
                        under_way.void = true;
                    }
                }
                Change::Assigned(partitions, group) => {
                    tracing::info!(room = self.desk.room, partitions = partitions.len(), "assigned");
                    self.store.load(&mut self.lot, numbers(&partitions), tick(), |_, _, _| {})?;
                    self.copies.unsure();
                    self.group = group.map(Arc::new);
                }
                Change::Added(partitions, group) => {
                    tracing::info!(room = self.desk.room, partitions = partitions.len(), "added");
                    self.store.add(&mut self.lot, numbers(&partitions), tick(), |_, _, _| {})?;
                    self.copies.unsure();
                    self.group = group.map(Arc::new);
                    self.outdated = None;
                }
                Change::Parting(places, group) => {
                    tracing::info!(room = self.desk.room, partitions = places.len(), "parting");
                    self.group = group.map(Arc::new);
                    self.outdated = None;
                    self.parting = Some(Parting { places, since: tick() });
                }
            }
        }
        Ok(())
    }

    /// Lets partitions go once all that was read is committed, or time is up.
    pub(super) fn part(
        &mut self,
        consumer: &K::Consumer,
        parting: Parting,
        patience: Duration,
    ) -> Result<Next, RoomError> {
        if tick().since(parting.since) < self.drain.longest && self.trouble.is_none() {
            let ended = self.under_way.is_none() || self.hear(patience)?;
            if ended && self.trouble.is_none() {
                self.hand_over(consumer)?;
            }
            if self.under_way.is_some() || (self.trouble.is_none() && !self.open.is_empty()) {
                self.parting = Some(parting);
                return Ok(Next::Within(PATIENCE));
            }
        }
        if !self.open.is_empty() {
            // With a newer proof it would be committed for partitions that are somebody else's by then.
            self.trouble.get_or_insert((StepError::Parted, Firsts::default()));
        }
        let Parting { places, since } = parting;
        let (room, partitions, waited_ms) = (self.desk.room, places.len(), tick().since(since).as_millis());
        if self.under_way.is_some() || self.trouble.is_some() {
            tracing::warn!(room, partitions, waited_ms, "partitions go before all that was read is committed");
        }
        if let Some(under_way) = &mut self.under_way {
            // They may be ours again by the time it is told that this one was refused: what was done there meanwhile is not done again.
            under_way.firsts.forget(&places);
        }
        self.store.let_go(&mut self.lot, &numbers(&places))?;
        consumer.let_go(&places)?;
        tracing::info!(room, partitions, waited_ms, "let go");
        Ok(Next::Within(Duration::ZERO))
    }

    /// Takes nothing in until the group's newer generation is told, which comes with a poll: a worker that has its hands full
    /// would not poll, and hold up everybody who shares with it.
    ///
    /// # Errors
    /// When it is not told for too long.
    pub(super) fn renew(&mut self, consumer: &K::Consumer, patience: Duration) -> Result<Next, RoomError> {
        if self.is_behind(consumer)? {
            match consumer.poll(patience.min(PATIENCE)) {
                // Fetching is paused; what comes nevertheless is put back (LOSS-1).
                Polled::Record(record) => {
                    consumer.seek(record.topic(), record.partition(), record.offset(), SEEK_TIMEOUT)?;
                }
                Polled::Failed(error @ ClientError::ShutOut(_)) => return Err(error.into()),
                Polled::Failed(error) => tracing::warn!(%error, "consumer"),
                Polled::Nothing | Polled::End(_) => {}
            }
            self.follow_rebalance()?;
        }
        if self.outdated.is_none() && self.still.is_none() {
            consumer.pause(false)?;
        }
        Ok(Next::Within(Duration::ZERO))
    }

    /// Whether the group has a newer generation than we can show. The proof is renewed first where that is not told.
    ///
    /// # Errors
    /// When it is not told for too long.
    pub(super) fn is_behind(&mut self, consumer: &K::Consumer) -> Result<bool, RoomError> {
        if let Some(group) = consumer.membership() {
            // Of a member whose partitions have gone it proves nothing.
            self.group = self.group.as_ref().map(|_| Arc::new(group));
            self.outdated = None;
        }
        match self.outdated {
            Some(since) if tick().since(since) > RENEWED_WITHIN => {
                let waited_s = RENEWED_WITHIN.as_secs();
                let why = format!("the group has gone on, and its new generation is not told for {waited_s} s");
                Err(RoomError::Unrenewed(why))
            }
            outdated => Ok(outdated.is_some()),
        }
    }
}

fn numbers(places: &[(String, i32)]) -> BTreeSet<i32> {
    places.iter().map(|(_, partition)| *partition).collect()
}
