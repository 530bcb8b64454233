//! The loop of an effect room: one thread, all state, one event at a time.

use super::ahead::Ahead;
use super::calls::Calls;
use super::drafts::Draft;
use super::in_flight::Amount;
use super::index::EffectIndex;
use super::lanes::{Lanes, Work};
use super::pending::Pending;
use super::placing::Placing;
use super::recall::Recollection;
use super::settled::Settled;
use super::stale::Stale;
use super::targets::{Bounds, Targets};
use super::turns::Classes;
use super::watermark::Watermark;
use super::{Event, Parts};
use crate::clock::{Tick, now_micros, tick};
use crate::cluster::{Cluster, Membership, PartitionReader as _};
use crate::codec::WireError;
use crate::kafka::ClientError;
use crate::outgoing::Outgoing;
use crate::parking::ParkingLot;
use crate::parking_store::ParkingStore;
use crate::record::Record;
use crate::room::RoomError;
use crate::turn::{Loop, Next};
use connector::effect::Effect;
use processor::{Code, Input, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Longest sleep of the loop: tables and replays are looked at as often.
const NAP: Duration = Duration::from_millis(50);
/// Sleep while parked events are read back: they come in a moment.
const SWEEP_NAP: Duration = Duration::from_millis(1);
/// So many calls under way end so often that those which end within [`GATHER`] are handled together: to be woken for each costs
/// more than handling it.
const GATHER_FROM: usize = 64;
/// How long ended calls gather.
const GATHER: Duration = Duration::from_micros(300);
/// About the most records in one transaction of settlements.
const COMMIT_RECORDS_MAX: usize = 5_000;

/// All state of an effect room.
pub(super) struct Engine<E: Effect, K: Cluster> {
    pub parts: Parts<E, K>,
    /// How urgent the topics are.
    pub classes: Classes,
    pub store: ParkingStore<K>,
    pub lot: ParkingLot,
    pub lanes: Lanes,
    pub index: EffectIndex,
    pub calls: Calls<E>,
    /// What was planned before its turn.
    pub ahead: Ahead<E>,
    /// Business keys whose effect record gets its offset with a commit under way.
    pub placing: Placing,
    /// Earlier effects that lanes wait for.
    pub recollection: Recollection,
    marks: BTreeMap<(Arc<str>, i32), Watermark>,
    pub pending: Pending,
    /// Events above the watermark that need nothing any more.
    passed: Settled,
    /// Records that say so of events below it, to be deleted while nothing else is to be committed.
    stale: Stale,
    settled: bool,
    /// Records taken in and not settled.
    held: Amount,
    /// Records settled and not part of a commit yet.
    uncommitted: Amount,
    /// A commit is under way, which settles so many records for good.
    committing: Option<Amount>,
    group: Option<Arc<Membership<K>>>,
    draining: Option<Sender<()>>,
    stopped: bool,
    told: Receiver<Event<Membership<K>>>,
    looked: Tick,
}

impl<E: Effect, K: Cluster> Loop for Engine<E, K> {
    /// Handles what has arrived, and ends when the consumer has left the group and everything is committed.
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        match self.told.recv_timeout(self.nap().min(patience)) {
            Ok(event) => {
                self.handle(event)?;
                // What has arrived together is handled together: answers share a commit.
                while let Ok(event) = self.told.try_recv() {
                    self.handle(event)?;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        }
        let now = tick();
        self.lanes.wake_due(now);
        if now.since(self.looked) >= NAP {
            self.looked = now;
            self.look_around()?;
        }
        if self.draining.is_none() {
            if self.group.is_some() && self.lot.is_awake() {
                self.redrive_due()?;
            }
            self.release();
            self.start_ready()?;
            // Before what comes next: those at the head wait for their effect records.
            self.flush_batches();
            self.look_ahead();
        }
        self.commit()?;
        self.finish_drain()?;
        if self.stopped && self.idle() {
            return Ok(Next::Ended);
        }
        let gathers = self.calls.under_way() >= GATHER_FROM && self.draining.is_none();
        Ok(if gathers { Next::After(GATHER) } else { Next::Within(self.nap()) })
    }
}

impl<E: Effect, K: Cluster> Engine<E, K> {
    pub fn new(parts: Parts<E, K>, store: ParkingStore<K>, told: Receiver<Event<Membership<K>>>) -> Self {
        let index = EffectIndex::new(parts.config.limits.effects_max);
        let lot = ParkingLot::new(parts.config.limits.parked_places_max);
        let client = Arc::clone(&parts.client);
        let bounds = Bounds { lines_max: client.batch_max().max(1), calls_max: client.calls_max() };
        let beside = Arc::clone(&parts.beside);
        let classes = Classes::of(&E::Input::topics());
        let lanes = Lanes::new(classes.clone());
        let targets =
            Targets::new(bounds, Arc::new(move |target| client.pacing(target)), beside, parts.metrics.clone());
        Self {
            parts,
            classes,
            store,
            lot,
            lanes,
            index,
            calls: Calls::new(targets),
            ahead: Ahead::new(),
            placing: Placing::default(),
            recollection: Recollection::default(),
            marks: BTreeMap::new(),
            pending: Pending::default(),
            passed: Settled::default(),
            stale: Stale::default(),
            settled: false,
            held: Amount::default(),
            uncommitted: Amount::default(),
            committing: None,
            group: None,
            draining: None,
            stopped: false,
            told,
            looked: tick(),
        }
    }

    fn handle(&mut self, event: Event<Membership<K>>) -> Result<(), RoomError> {
        match event {
            Event::Record(record) => self.take_in(*record)?,
            Event::Assigned(partitions, group) => self.assign(&partitions, group)?,
            Event::Revoking(drained) => self.draining = Some(drained),
            Event::Called(called) => self.called(*called)?,
            Event::Recalled(recalled) => {
                if let Some(lane) = self.recollection.told(*recalled) {
                    self.lanes.again(&lane);
                }
            }
            Event::Committed(outcome, took) => {
                let committed = self.committing.take().unwrap_or_default();
                self.parts.in_flight.sub(committed);
                let tickets = outcome?;
                self.parts.metrics.committed(took);
                for (ticket, partition, offset) in tickets {
                    match self.placing.remove(ticket) {
                        Some(business_key) => self.index.place(business_key, (partition, offset)),
                        None => self.lot.placed(ticket, offset),
                    }
                }
            }
            Event::Lost(error) => return Err(error),
            Event::Stopped => self.stopped = true,
        }
        Ok(())
    }

    /// A record from its topic: into its lane, or behind its parked key.
    fn take_in(&mut self, record: Record) -> Result<(), RoomError> {
        if self.draining.is_some() || self.group.is_none() {
            // Will be read again by whoever owns the partition next.
            self.parts.in_flight.sub(self.amount(&record));
            return Ok(());
        }
        self.held = self.held.plus(self.amount(&record));
        let place = record.place.clone();
        self.marks.entry((Arc::clone(&place.topic), place.partition)).or_default().begin(place.offset);
        if self.passed.passes(&place) {
            self.parts.metrics.duplicate.inc();
            self.done(&record);
            return Ok(());
        }
        let lane =
            self.store.lane(&place.topic, place.partition, record.key.as_deref().unwrap_or_default(), place.offset);
        // Behind live events of its key it goes with them, also when a replay has parked the key meanwhile: parked now, it
        // would be there before them after a crash.
        let follows_live = self.lanes.head(&lane).is_some_and(|head| head.parked.is_none());
        if self.lot.holds(&lane) && !follows_live {
            let reason =
                Reason::new(Code::new("WL-6040"), "behind-parked-key", "an earlier event of the same key is parked");
            self.park_record(&lane, &record, &reason, false)?;
            self.done(&record);
            return Ok(());
        }
        self.lanes.push(lane, Work::new(Arc::new(record), None, now_micros(), tick()));
        Ok(())
    }

    /// Partitions are ours: reads back what is parked there and what was done.
    fn assign(&mut self, partitions: &[(String, i32)], group: Option<Membership<K>>) -> Result<(), RoomError> {
        self.forget();
        self.draining = None;
        let numbers: BTreeSet<i32> = partitions.iter().map(|(_, partition)| *partition).collect();
        // First the parking lot, which waits for whoever had the partitions before.
        let mut parked = Vec::new();
        let seen = |topic: &str, partition, offset| parked.push((Arc::from(topic), partition, offset));
        let positions = self.store.load(&mut self.lot, numbers.clone(), tick(), seen)?;
        let above =
            positions.into_iter().map(|((topic, partition), position)| ((Arc::from(topic), partition), position));
        let mut passed = Settled::above(above);
        parked
            .iter()
            .for_each(|(topic, partition, offset): &(Arc<str>, i32, i64)| passed.insert(topic, *partition, *offset));
        self.index = super::load::effects(&self.parts, &numbers, &mut passed, &mut self.stale)?;
        self.passed = passed;
        if self.parts.client.shares_budget() {
            let share = self.share_of(partitions.len())?;
            self.calls.targets.set_share(tick(), share);
        }
        self.group = group.map(Arc::new);
        tracing::info!(
            room = self.parts.desk.room,
            partitions = partitions.len(),
            parked = self.lot.entry_count(),
            effects = self.index.len(),
            "assigned"
        );
        Ok(())
    }

    /// Our part of a budget that all instances share: that of the partitions.
    fn share_of(&self, owned: usize) -> Result<f64, RoomError> {
        let reader = self.parts.cluster.reader(1, Duration::ZERO)?;
        let counts = E::Input::topics().into_iter().map(|topic| Ok(reader.partitions(topic.name)?.len()));
        let all = counts.sum::<Result<usize, ClientError>>()?;
        let number = |count: usize| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
        Ok(number(owned) / number(all.max(1)))
    }

    /// Proof that the partitions are ours.
    pub fn group(&self) -> Option<Arc<Membership<K>>> {
        self.group.clone()
    }

    fn amount(&self, record: &Record) -> Amount {
        Amount::of(record, self.classes.below(&record.place.topic))
    }

    /// Marks a record as settled; its offset goes with the next commit.
    pub fn done(&mut self, record: &Record) {
        let place = &record.place;
        if let Some(mark) = self.marks.get_mut(&(Arc::clone(&place.topic), place.partition)) {
            mark.settle(place.offset);
        }
        self.pending.cut();
        // It counts until it is committed: what waits for that is in memory too (BND-1).
        let amount = self.amount(record);
        self.held = self.held.minus(amount);
        self.uncommitted = self.uncommitted.plus(amount);
        self.settled = true;
    }

    /// What others have told: tables, people, replays; then the parked lanes whose time has come.
    fn look_around(&mut self) -> Result<(), RoomError> {
        if self.group.is_none() || self.draining.is_some() {
            return Ok(());
        }
        self.store.catch_up(&mut self.lot, tick())?;
        let woken = self.parts.inbox.take();
        if !self.lot.is_empty() {
            woken.subjects.iter().for_each(|subject| self.lot.wake(subject, tick()));
            if woken.all {
                self.lot.wake_all(tick());
            }
        }
        self.redrive_due()?;
        if !self.lot.is_awake() {
            self.store.rest();
        }
        if self.pending.is_empty() {
            self.stale.part().for_each(|gone| self.pending.push(Draft::Written(gone)));
            self.pending.cut();
        }
        self.tell_forgotten();
        let (lanes, events) = (self.lot.lane_count(), self.lot.entry_count());
        self.parts.metrics.parked(lanes, events, self.lot.oldest_micros(), now_micros());
        Ok(())
    }

    /// Effects beyond the bound are forgotten, never silently: a replay of their events would repeat them.
    fn tell_forgotten(&self) {
        let gauge = &self.parts.metrics.effects_forgotten;
        let forgotten = i64::try_from(self.index.forgotten()).unwrap_or(i64::MAX);
        if gauge.set(forgotten) == 0 && forgotten > 0 {
            let (room, most) = (self.parts.desk.room, self.parts.config.limits.effects_max);
            tracing::error!(room, code = "WL-6071", most, "the oldest effects are remembered no more");
        }
    }

    /// Sends what is settled to the committer when it is idle.
    fn commit(&mut self) -> Result<(), RoomError> {
        let Some(group) = self.group.clone() else { return Ok(()) };
        if self.committing.is_some() || !self.settled && self.pending.is_empty() {
            return Ok(());
        }
        // Offsets may only go with all records settled so far, so they wait for the last part.
        let (mut records, whole) = self.pending.take(COMMIT_RECORDS_MAX);
        let mut offsets = Vec::new();
        if whole {
            self.settled = false;
            for ((topic, partition), mark) in &mut self.marks {
                offsets.extend(mark.advance().map(|next| (Arc::clone(topic), *partition, next)));
            }
        }
        records.retain(|draft| !self.is_needless(draft));
        if records.is_empty() && offsets.is_empty() {
            return Ok(());
        }
        if offsets.is_empty() {
            offsets.extend(self.store.position());
        }
        self.committing = Some(if whole { std::mem::take(&mut self.uncommitted) } else { Amount::default() });
        let commit = crate::committer::Commit { records, offsets, group };
        let sent = self.parts.commits.send(commit);
        sent.map_err(|_| RoomError::Worker("the committing thread has stopped".to_owned()))
    }

    /// Whether a record says of an event below the position, which this transaction or one before it commits, that it was passed.
    fn is_needless(&self, draft: &Draft) -> bool {
        let Draft::Passed(place, _) = draft else { return false };
        let mark = self.marks.get(&(Arc::clone(&place.topic), place.partition));
        mark.is_some_and(|mark| mark.covers(place.offset))
    }

    fn finish_drain(&mut self) -> Result<(), RoomError> {
        if self.draining.is_some() && self.calls.is_empty() {
            self.withdraw_all();
        }
        if self.draining.is_some() && self.idle() && self.ahead.is_empty() {
            self.forget();
            if let Some(drained) = self.draining.take() {
                // Nobody waits any more when the drain took longer than its bound.
                let _ = drained.send(());
            }
        }
        Ok(())
    }

    fn idle(&self) -> bool {
        self.calls.is_empty()
            && self.committing.is_none()
            && self.pending.is_empty()
            && !(self.settled && self.group.is_some())
    }

    fn forget(&mut self) {
        self.group = None;
        self.lanes.clear();
        self.lot.forget(|_| true);
        self.marks.clear();
        self.calls.abandon();
        self.ahead.clear();
        self.pending.clear();
        self.stale.clear();
        self.placing.clear();
        self.recollection.clear();
        self.settled = false;
        // Only what this loop holds: what waits in the channel is counted off when it is taken in.
        self.parts.in_flight.sub(std::mem::take(&mut self.held).plus(std::mem::take(&mut self.uncommitted)));
    }

    fn nap(&self) -> Duration {
        if self.lanes.has_ready() && self.draining.is_none() && self.calls.has_room(&self.parts.config.limits) {
            return Duration::ZERO;
        }
        if self.draining.is_none() && self.lot.is_awake() && self.has_room_for_parked() {
            return SWEEP_NAP;
        }
        let now = tick();
        let document = self.calls.targets.next_due(now).filter(|_| self.draining.is_none());
        let timers = [self.lanes.next_due(), document];
        timers.into_iter().flatten().map(|due| due.since(now)).min().unwrap_or(NAP).min(NAP)
    }

    /// A record of the contracts that cannot be encoded is our own fault: stop rather than lose it.
    pub fn queue(&mut self, record: Result<Outgoing, WireError>) -> Result<(), RoomError> {
        self.pending.push(Draft::Written(record?));
        Ok(())
    }
}
