//! One worker: gathers, decides, hands over, and follows what becomes of it.

use super::Drain;
use super::moves::Parting;
use super::open::{Firsts, Open};
use crate::clock::{Tick, now_micros, tick};
use crate::cluster::{Cluster, GroupConsumer, Membership, Polled, RecordView as _};
use crate::codec::WireError;
use crate::committer::{Commit, Commits, Ended};
use crate::config::Limits;
use crate::copies::{Copies, CopiesError};
use crate::decisions::Decisions;
use crate::desk::Desk;
use crate::kafka::ClientError;
use crate::metrics::RoomMetrics;
use crate::parking::ParkingLot;
use crate::parking_store::{ParkingError, ParkingStore};
use crate::room::RoomError;
use crate::shutdown::Shutdown;
use crate::turn::{Loop, Next, PATIENCE};
use crate::wake::WakeInbox;
use processor::{Processor, Wiring};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Longest wait for Kafka when rewinding.
pub(super) const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of the parking topic comes in a moment.
const SWEEP_PATIENCE: Duration = Duration::from_millis(1);
/// The clock is read after so many records.
const LOOK_EVERY: usize = 16;

/// A worker with its place in the group.
pub(super) struct Member<P: Processor, K: Cluster> {
    pub consumer: K::Consumer,
    pub worker: Worker<P, K>,
    pub stop: Shutdown,
}

impl<P: Processor, K: Cluster> Loop for Member<P, K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        if self.stop.requested() {
            self.worker.finish(&self.consumer, patience)
        } else {
            self.worker.turn(&self.consumer, patience)
        }
    }

    fn leave(&mut self) {
        self.consumer.leave();
    }
}

/// What a worker shares with its siblings, and its inbox.
pub(super) struct Shared<P: Processor> {
    pub wiring: Arc<Wiring<P>>,
    pub tables: Arc<P::Tables>,
    pub decisions: Arc<Decisions>,
    pub metrics: RoomMetrics,
    pub limits: Limits,
    pub inbox: WakeInbox,
}

/// All that a worker decides with.
pub(super) struct Worker<P: Processor, K: Cluster> {
    pub shared: Shared<P>,
    pub desk: Desk,
    pub store: ParkingStore<K>,
    pub lot: ParkingLot,
    /// Recognises what a sender has said again.
    pub copies: Copies<K>,
    /// What is decided and not handed over.
    pub open: Open,
    pub handle: Handle,
    commits: Commits<Membership<K>>,
    pub under_way: Option<UnderWay<Membership<K>>>,
    /// Why all since the last commit must be read again, and what of it was handed over.
    pub trouble: Option<(StepError, Firsts)>,
    pub drain: Arc<Drain<Membership<K>>>,
    pub group: Option<Arc<Membership<K>>>,
    /// Partitions that are to go.
    pub parting: Option<Parting>,
    /// Since when the group has a newer generation than `group` is of. Nothing is taken in until it is told.
    pub outdated: Option<Tick>,
    /// Transactions given up in a row.
    failures: u32,
    /// Since when nothing is taken in because no more keys can be parked.
    pub still: Option<Tick>,
}

/// What the committer is at.
pub(super) struct UnderWay<M> {
    pub firsts: Firsts,
    /// What it shows the group.
    shown: Arc<M>,
    /// The partitions have gone meanwhile: what became of it is the new owner's concern.
    pub void: bool,
}

/// Why a batch was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Kafka(#[from] ClientError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Parking(#[from] ParkingError),
    /// The record was not decided about.
    #[error("WL-6030: as many keys are parked as limits.parked_max allows")]
    Full,
    #[error(transparent)]
    Copies(#[from] CopiesError),
    #[error("partitions went before what was decided about them was committed")]
    Parted,
}

impl<P: Processor, K: Cluster> Worker<P, K> {
    pub fn new(
        shared: Shared<P>,
        desk: Desk,
        store: ParkingStore<K>,
        copies: Copies<K>,
        commits: Commits<Membership<K>>,
        drain: Arc<Drain<Membership<K>>>,
        handle: Handle,
    ) -> Self {
        let lot = ParkingLot::new(shared.limits.parked_places_max);
        Self {
            shared,
            desk,
            store,
            lot,
            copies,
            open: Open::default(),
            handle,
            commits,
            under_way: None,
            trouble: None,
            drain,
            group: None,
            parting: None,
            outdated: None,
            failures: 0,
            still: None,
        }
    }

    /// Decides about what has come, and hands it over as soon as the transaction before it has ended. A caught-up worker
    /// commits at once; a loaded one finds more each time and batches by itself.
    fn turn(&mut self, consumer: &K::Consumer, patience: Duration) -> Result<Next, RoomError> {
        let again = Ok(Next::Within(PATIENCE));
        if let Some(parting) = self.parting.take() {
            return self.part(consumer, parting, patience);
        }
        if self.outdated.is_some() && self.trouble.is_none() {
            return self.renew(consumer, patience);
        }
        self.go_on(consumer)?;
        let idle = self.open.is_empty() && self.under_way.is_none();
        let wait = if idle { patience.min(self.patience()) } else { Duration::ZERO };
        if !self.gather(consumer, wait)? {
            return again;
        }
        // What has come while it was waited for shall not wait for the next transaction.
        if self.under_way.is_some() && (!self.hear(patience)? || !self.gather(consumer, Duration::ZERO)?) {
            return again;
        }
        if self.trouble.is_none()
            && self.group.is_some()
            && let Err(error) = self.redrive_due()
        {
            self.trouble = Some((error, Firsts::default()));
        }
        if let Some((error, lost)) = self.trouble.take() {
            return self.read_again(consumer, &error, lost);
        }
        self.hand_over(consumer)?;
        if self.under_way.is_some() { again } else { Ok(Next::Within(self.patience())) }
    }

    /// Hands over what is decided, and ends when it is committed.
    fn finish(&mut self, consumer: &K::Consumer, patience: Duration) -> Result<Next, RoomError> {
        if self.under_way.is_some() && !self.hear(patience)? {
            return Ok(Next::Within(PATIENCE));
        }
        if self.trouble.is_some() || self.group.is_none() || self.outdated.is_some() || self.open.is_empty() {
            // Whoever comes next reads the rest again.
            return Ok(Next::Ended);
        }
        self.hand_over(consumer)?;
        Ok(Next::Within(PATIENCE))
    }

    /// How long the gathering may wait for a first record.
    fn patience(&self) -> Duration {
        if self.lot.is_awake() {
            return SWEEP_PATIENCE;
        }
        self.lot.next_due().map_or(PATIENCE, |due| due.since(tick()).min(PATIENCE))
    }

    /// Waits up to `wait` for a record, then decides about what is there, up to the bounds; false when the assignment has changed.
    fn gather(&mut self, consumer: &K::Consumer, mut wait: Duration) -> Result<bool, RoomError> {
        let (mut started, now) = (tick(), now_micros());
        let longest = Duration::from_millis(self.shared.limits.batch_gather_ms);
        let mut taken = 0;
        while self.trouble.is_none() && !self.open.is_full(&self.shared.limits) {
            let polled = consumer.poll(wait);
            if !self.drain.changes.is_empty() {
                self.follow_rebalance()?;
                return Ok(false);
            }
            match polled {
                Polled::Record(message) => {
                    if self.group.is_none() {
                        // Going on would skip these records; starting again reads them from the committed offset.
                        return Err(RoomError::Worker("records without proof of group membership".to_owned()));
                    }
                    let topic = message.topic();
                    self.open.read(topic, &message);
                    match self.one(topic, &message, now) {
                        Ok(()) => {}
                        Err(StepError::Full) => {
                            self.stand_still(consumer, &message)?;
                            break;
                        }
                        Err(error) => self.trouble = Some((error, Firsts::default())),
                    }
                }
                Polled::Failed(error @ ClientError::ShutOut(_)) => return Err(error.into()),
                Polled::Failed(error) => tracing::warn!(%error, "consumer"),
                Polled::Nothing | Polled::End(_) => break,
            }
            if taken == 0 {
                started = tick();
            }
            taken += 1;
            wait = Duration::ZERO;
            if taken % LOOK_EVERY == 0 && tick().since(started) > longest {
                break;
            }
        }
        Ok(true)
    }

    /// Waits up to `longest` for the end of the transaction under way; false when it has not ended.
    pub fn hear(&mut self, longest: Duration) -> Result<bool, RoomError> {
        let Some(Ended { outcome, took }) = self.commits.ended(longest)? else { return Ok(false) };
        let Some(UnderWay { firsts, shown, void }) = self.under_way.take() else { return Ok(true) };
        match outcome {
            Ok(tickets) => {
                self.failures = 0;
                for (ticket, _, offset) in tickets {
                    self.lot.placed(ticket, offset);
                }
                let (metrics, lot) = (&self.shared.metrics, &self.lot);
                metrics.committed(took);
                metrics.parked(lot.lane_count(), lot.entry_count(), lot.oldest_micros(), now_micros());
            }
            Err(error) if error.fenced() => return Err(error.into()),
            Err(error) if void => {
                tracing::info!(room = self.desk.room, %error, "a transaction ended with its partitions")
            }
            Err(error) => {
                // Else the newer generation was told while this one was refused.
                let newest = self.group.as_ref().is_some_and(|group| Arc::ptr_eq(group, &shown));
                if self.drain.in_parts && newest && error.outdated() {
                    self.outdated.get_or_insert_with(tick);
                }
                self.trouble = Some((error.into(), firsts));
            }
        }
        Ok(true)
    }

    /// Has what is decided committed. A transaction that has no position of its own takes that of the parking topic.
    pub fn hand_over(&mut self, consumer: &K::Consumer) -> Result<(), RoomError> {
        if self.open.is_empty() || self.is_behind(consumer)? {
            return Ok(());
        }
        let Some(group) = self.group.as_ref() else { return Ok(()) };
        let (records, mut offsets, firsts) = self.open.take();
        if offsets.is_empty() {
            offsets.extend(self.store.position());
        }
        let shown = Arc::clone(group);
        self.commits.ask(Commit { records, offsets, group: Arc::clone(group) })?;
        self.under_way = Some(UnderWay { firsts, shown, void: false });
        Ok(())
    }

    /// Goes back to the first record that is not committed and rebuilds the index of the parking lot.
    fn read_again(&mut self, consumer: &K::Consumer, error: &StepError, lost: Firsts) -> Result<Next, RoomError> {
        self.failures += 1;
        tracing::warn!(room = self.desk.room, %error, failures = self.failures, "given up, reading again");
        let (_, _, open) = self.open.take();
        let (lost, ours) = (lost.join(open), consumer.assignment()?);
        let is_ours = |topic, partition| ours.iter().any(|(name, number)| name == topic && *number == partition);
        for (topic, partition, offset) in lost.places() {
            // A partition that was taken away meanwhile cannot be sought: its new owner reads on.
            if !is_ours(topic, partition) {
                continue;
            }
            // Else it would read on behind what was given up; the room starts again from what is committed (LOSS-1).
            consumer.seek(topic, partition, offset, SEEK_TIMEOUT)?;
        }
        if lost.moved_lot() || !matches!(error, StepError::Kafka(_) | StepError::Parted) {
            let numbers = ours.into_iter().map(|(_, partition)| partition).collect();
            self.store.load(&mut self.lot, numbers, tick(), |_, _, _| {})?;
        }
        if self.outdated.is_some() {
            // Nothing is wrong; the group tells in a moment.
            consumer.pause(true)?;
            return Ok(Next::Within(Duration::ZERO));
        }
        Ok(Next::After(self.shared.limits.retry_delay(self.failures)))
    }
}
