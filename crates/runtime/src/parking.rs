//! The parking lot: which keys wait, for what, and in which order their events lie in `ops.parked.v1`.
//!
//! A failing key is parked, not its partition (KEY-1): the event and all later ones of the key are kept in order
//! (ORD-1) on the parking topic, in the partition with the number of the origin, while everybody else flows. This index
//! is pure: it holds places, not bodies, takes the time as a value, and is rebuilt from the topic after a restart. Of a key it
//! holds the places of its next few events and how many there are behind them, so a million events that wait take what their keys
//! take. Lanes whose time has come are tried in the order in which their events lie on the topic.

mod hold;
mod line;
mod sweep;

use crate::Map;
use crate::clock::Tick;
use line::{Line, Removed};
use processor::Subject;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use sweep::{Met, Sweep};
use uuid::Uuid;

pub use hold::Hold;
pub(crate) use sweep::At;

/// A head whose place is not known yet is looked at again after so long.
const UNPLACED: Duration = Duration::from_millis(50);

/// One ordered stream of events: a key of a topic partition, or a single event where order does not bind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// Topic of the events.
    pub topic: Arc<str>,
    /// Their partition.
    pub partition: i32,
    /// Their key.
    pub key: Arc<[u8]>,
    /// Set for an event that waits alone because its topic does not demand order.
    pub alone: Option<i64>,
}

/// A parked event: where it came from and where it lies now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Offset in the topic it came from.
    pub origin_offset: i64,
    /// Offset in the parking topic; unknown until the transaction that parked it is confirmed.
    pub parked_at: Option<i64>,
    /// Ticket under which the offset will be told.
    pub ticket: Option<u64>,
    /// Put there by a replay rather than by a failure.
    pub replay: bool,
}

/// Index of the parked lanes of one worker.
#[derive(Debug)]
pub struct ParkingLot {
    /// What is large lies beside the table, which is half empty when it has grown.
    lanes: Map<Arc<Lane>, Box<Parked>>,
    by_subject: Map<Arc<Subject>, BTreeSet<Arc<Lane>>>,
    by_exception: Map<Uuid, Arc<Lane>>,
    by_due: BTreeMap<Tick, BTreeSet<Arc<Lane>>>,
    by_since: BTreeMap<i64, usize>,
    tickets: Map<u64, Arc<Lane>>,
    sweep: Sweep,
    entries: usize,
    next_ticket: u64,
    /// Most events of a lane whose places are held.
    near_max: usize,
    /// All places are held, because what is read may still take them out.
    loading: bool,
}

#[derive(Debug)]
struct Parked {
    line: Line,
    hold: Hold,
    /// It is to be tried as soon as the reading comes by its head.
    awake: bool,
}

/// What a record of the parking topic is to the lanes that are to be tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// The head of this lane, which is taken off those that are to be tried.
    Head(Arc<Lane>),
    /// It is to be shown to [`ParkingLot::show`], if it is of this room.
    Unknown,
    /// Nothing that is wanted now.
    Nothing,
    /// The head of a lane should have come before it: its offset.
    Missing(i64),
}

impl ParkingLot {
    /// Nothing is parked. Of a lane the places of about `near_max` events are held.
    pub fn new(near_max: usize) -> Self {
        Self {
            lanes: Map::default(),
            by_subject: Map::default(),
            by_exception: Map::default(),
            by_due: BTreeMap::new(),
            by_since: BTreeMap::new(),
            tickets: Map::default(),
            sweep: Sweep::default(),
            entries: 0,
            next_ticket: 0,
            near_max,
            loading: false,
        }
    }

    /// Whether events of the lane must queue up.
    pub fn holds(&self, lane: &Lane) -> bool {
        self.lanes.contains_key(lane)
    }

    /// Whether nothing is parked: the hot path asks this first.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Number of parked lanes.
    pub fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// Number of parked events.
    pub fn entry_count(&self) -> usize {
        self.entries
    }

    /// When and why a lane waits.
    pub fn hold(&self, lane: &Lane) -> Option<&Hold> {
        self.lanes.get(lane).map(|parked| &parked.hold)
    }

    /// Oldest start of waiting, microseconds since 1970.
    pub fn oldest_micros(&self) -> Option<i64> {
        self.by_since.keys().next().copied()
    }

    /// A number under which the parking offset of a new entry will be told.
    pub fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Puts an event at the end of a lane. A lane that was not parked starts to wait as `hold` says.
    pub fn park(&mut self, lane: &Lane, entry: Entry, hold: impl FnOnce() -> Hold) {
        let most = if self.loading { usize::MAX } else { self.near_max };
        let lane = match self.lanes.get_key_value(lane) {
            // One lane is held, however many events it has.
            Some((known, _)) => Arc::clone(known),
            None => {
                let lane = Arc::new(lane.clone());
                let parked = Parked { line: Line::default(), hold: hold(), awake: false };
                self.lanes.insert(Arc::clone(&lane), Box::new(parked));
                self.link(&lane);
                lane
            }
        };
        let ticket = entry.ticket;
        let (mut added, mut held) = (false, false);
        self.change(&lane, |parked| {
            let before = parked.line.held();
            added = parked.line.push(&entry, most);
            held = parked.line.held() > before;
        });
        self.entries += usize::from(added);
        if let Some(ticket) = ticket.filter(|_| held) {
            self.tickets.insert(ticket, lane);
        }
    }

    /// Tells the offset that a parked event got.
    pub fn placed(&mut self, ticket: u64, offset: i64) {
        let Some(lane) = self.tickets.remove(&ticket) else { return };
        self.change(&lane, |parked| parked.line.placed(ticket, offset));
    }

    /// The event at the head of a lane; none when it is not parked or its head is not held.
    pub fn head(&self, lane: &Lane) -> Option<Entry> {
        self.lanes.get(lane)?.line.front().map(|entry| entry.entry())
    }

    /// Takes the head of a lane off; an empty lane is not parked any more. The next event is to be tried.
    pub fn release(&mut self, lane: &Lane) -> Option<Entry> {
        let (lane, _) = self.lanes.get_key_value(lane)?;
        let lane = Arc::clone(lane);
        self.unlink(&lane);
        let parked = self.lanes.get_mut(&lane)?;
        let entry = parked.line.pop();
        self.entries -= usize::from(entry.is_some());
        if parked.line.len() == 0 {
            self.lanes.remove(&lane);
            self.sweep.forget(&lane);
        } else {
            if entry.is_some() {
                // The next event waits for its own reasons, not for those of the one that went.
                parked.hold.exception_id = None;
                parked.hold.attempts = 0;
                parked.hold.subjects = Vec::new();
                parked.hold.due = None;
                parked.hold.doubted = None;
                parked.awake = true;
            }
            self.link(&lane);
        }
        Some(entry?.entry())
    }

    /// Removes one event wherever it stands in its lane: another session has released it. False when that is not certain,
    /// because not all events of the lane are held.
    pub fn remove_entry(&mut self, lane: &Lane, origin_offset: i64) -> bool {
        let Some(parked) = self.lanes.get_mut(lane) else { return true };
        if parked.line.front().is_some_and(|head| head.origin_offset() == origin_offset) {
            self.release(lane);
            return true;
        }
        let removed = parked.line.remove(origin_offset);
        self.entries -= usize::from(removed == Removed::Gone);
        removed != Removed::Unsure
    }

    /// The lane of an event of a topic partition that another session has released without naming its key. Looks at all.
    pub fn lane_with(&self, topic: &str, partition: i32, origin_offset: i64) -> Option<Arc<Lane>> {
        let of = |lane: &Lane| lane.partition == partition && &*lane.topic == topic;
        let mut lanes = self.lanes.iter().filter(|(lane, _)| of(lane));
        lanes.find(|(_, parked)| parked.line.has(origin_offset)).map(|(lane, _)| Arc::clone(lane))
    }

    /// Changes why and until when a lane waits.
    pub fn rehold(&mut self, lane: &Lane, change: impl FnOnce(&mut Hold)) {
        let Some((lane, _)) = self.lanes.get_key_value(lane) else { return };
        let lane = Arc::clone(lane);
        self.unlink(&lane);
        if let Some(parked) = self.lanes.get_mut(&lane) {
            change(&mut parked.hold);
        }
        self.link(&lane);
    }

    /// When the next lane is due by time.
    pub fn next_due(&self) -> Option<Tick> {
        self.by_due.keys().next().copied()
    }

    /// Makes the lanes due that wait for a subject.
    pub fn wake(&mut self, subject: &Subject, now: Tick) {
        let mut lanes = self.by_subject.get(subject).cloned().unwrap_or_default();
        if subject.kind == schemas::topics::OPS_EXCEPTION_V1.name() {
            lanes.extend(Uuid::parse_str(&subject.key).ok().and_then(|id| self.by_exception.get(&id)).cloned());
        }
        for lane in lanes {
            self.set_due(&lane, now);
        }
    }

    /// Makes every lane due.
    pub fn wake_all(&mut self, now: Tick) {
        let lanes: Vec<_> = self.lanes.keys().cloned().collect();
        for lane in lanes {
            self.set_due(&lane, now);
        }
    }

    /// Takes up to `most` lanes whose time has come among those that are to be tried.
    pub fn rouse(&mut self, now: Tick, most: usize) {
        for _ in 0..most {
            let Some(mut first) = self.by_due.first_entry().filter(|first| *first.key() <= now) else { return };
            let lane = first.get_mut().pop_first();
            if first.get().is_empty() {
                first.remove();
            }
            let Some(lane) = lane else { continue };
            self.change(&lane, |parked| {
                parked.hold.due = None;
                parked.awake = true;
            });
            // Parked in a transaction that is not confirmed: its place is told after the commit.
            if self.lanes.get(&lane).and_then(|parked| parked.line.front()).is_some_and(|head| head.place().is_none()) {
                self.set_due(&lane, now.after(UNPLACED));
            }
        }
    }

    /// Whether any lane is to be tried.
    pub fn is_awake(&self) -> bool {
        !self.sweep.is_empty()
    }

    /// Where the parking topic is to be read next; none when no lane is to be tried.
    pub(crate) fn aim(&mut self) -> Option<At> {
        let before = self.sweep.at();
        let (at, passed_by) = self.sweep.aim()?;
        for lane in passed_by {
            self.change(&lane, |parked| parked.line.searched(before.1));
        }
        Some(at)
    }

    /// The reading comes by a record.
    pub(crate) fn pass(&mut self, partition: i32, offset: i64) -> Passed {
        match self.sweep.meet(partition, offset) {
            Met::Head(lane) => {
                self.asleep(&lane);
                Passed::Head(lane)
            }
            Met::Perhaps => Passed::Unknown,
            Met::Nothing => Passed::Nothing,
            Met::Missing(offset) => Passed::Missing(offset),
        }
    }

    /// Takes a lane off those that are to be tried; false when it was not among them.
    pub(crate) fn take(&mut self, lane: &Lane) -> bool {
        let Some((lane, parked)) = self.lanes.get_key_value(lane) else { return false };
        let (lane, was) = (Arc::clone(lane), parked.awake);
        self.asleep(&lane);
        was
    }

    /// Shows an event of a lane that was come by: it may be one that is not held. Gives the lane when it is the head that was
    /// looked for, which is then taken off those that are to be tried.
    pub(crate) fn show(&mut self, lane: &Lane, entry: &Entry) -> Option<Arc<Lane>> {
        let (lane, is_head) = self.sweep.looks_for(lane)?;
        let most = self.near_max;
        let parked = self.lanes.get_mut(&lane)?;
        if !parked.line.found(entry) {
            return None;
        }
        let goes_on = parked.line.is_hungry(most);
        self.sweep.fed(&lane, goes_on);
        if is_head {
            self.asleep(&lane);
            return Some(lane);
        }
        None
    }

    /// All that is committed to the partition was read: who has found nothing looks again in a moment, and the reading goes on
    /// elsewhere.
    pub(crate) fn end(&mut self, now: Tick) {
        let (_, before) = self.sweep.at();
        let (nothing, noted) = self.sweep.ended();
        for lane in nothing.iter().chain(&noted) {
            self.change(lane, |parked| parked.line.searched(before));
        }
        for lane in nothing {
            self.set_due(&lane, now.after(UNPLACED));
        }
    }

    /// What is parked is read from now on: all places are held until [`ParkingLot::loaded`].
    pub(crate) fn load(&mut self) {
        self.loading = true;
    }

    /// Everything was read. Of each lane only so many places are held from now on.
    pub(crate) fn loaded(&mut self) {
        self.loading = false;
        for parked in self.lanes.values_mut() {
            parked.line.trim(self.near_max);
        }
        self.lanes.shrink_to_fit();
    }

    /// Forgets the lanes of partitions that are no longer ours, or whose transaction was aborted.
    pub fn forget(&mut self, lost: impl Fn(&Lane) -> bool) {
        let gone: Vec<_> = self.lanes.keys().filter(|lane| lost(lane)).cloned().collect();
        for lane in gone {
            self.unlink(&lane);
            self.sweep.forget(&lane);
            if let Some(parked) = self.lanes.remove(&lane) {
                self.entries -= parked.line.len();
            }
        }
        self.tickets.retain(|_, lane| self.lanes.contains_key(lane));
    }

    /// Bytes that the lanes and their events take, without what allocations take beside.
    pub fn bytes(&self) -> usize {
        let of = |lane: &Arc<Lane>, parked: &Parked| {
            let hold = parked.hold.code.len() + size_of_val(&*parked.hold.subjects);
            let handles = 4 * (size_of::<Arc<Lane>>() + size_of::<Uuid>());
            size_of::<Lane>() + lane.key.len() + 32 + size_of::<Parked>() + parked.line.bytes() + hold + handles
        };
        let subjects =
            self.by_subject.keys().map(|subject| size_of::<Subject>() + subject.kind.len() + subject.key.len());
        self.lanes.iter().map(|(lane, parked)| of(lane, parked)).sum::<usize>() + subjects.sum::<usize>()
    }

    /// It is being tried, or waits for something else.
    fn asleep(&mut self, lane: &Arc<Lane>) {
        self.change(lane, |parked| parked.awake = false);
    }

    fn set_due(&mut self, lane: &Arc<Lane>, due: Tick) {
        self.change(lane, |parked| parked.hold.due = Some(due));
    }

    /// Changes when a lane is tried or where its head lies.
    fn change(&mut self, lane: &Arc<Lane>, change: impl FnOnce(&mut Parked)) {
        self.unlink_time(lane);
        if let Some(parked) = self.lanes.get_mut(lane) {
            change(parked);
        }
        self.link_time(lane);
    }

    fn link(&mut self, lane: &Arc<Lane>) {
        let Some(parked) = self.lanes.get_mut(lane) else { return };
        *self.by_since.entry(parked.hold.since_micros).or_default() += 1;
        for subject in &mut parked.hold.subjects {
            // A subject is held once, however many lanes wait for it.
            if let Some((known, _)) = self.by_subject.get_key_value(subject) {
                *subject = Arc::clone(known);
            }
            self.by_subject.entry(Arc::clone(subject)).or_default().insert(Arc::clone(lane));
        }
        if let Some(exception) = parked.hold.exception_id {
            self.by_exception.insert(exception, Arc::clone(lane));
        }
        self.link_time(lane);
    }

    fn unlink(&mut self, lane: &Arc<Lane>) {
        self.unlink_time(lane);
        let Some(parked) = self.lanes.get(lane) else { return };
        if let Some(count) = self.by_since.get_mut(&parked.hold.since_micros) {
            *count -= 1;
            if *count == 0 {
                self.by_since.remove(&parked.hold.since_micros);
            }
        }
        for subject in &parked.hold.subjects {
            if let Some(lanes) = self.by_subject.get_mut(subject) {
                lanes.remove(lane);
                if lanes.is_empty() {
                    self.by_subject.remove(subject);
                }
            }
        }
        if let Some(exception) = parked.hold.exception_id {
            self.by_exception.remove(&exception);
        }
    }

    /// A lane has a time or is to be tried, never both.
    fn link_time(&mut self, lane: &Arc<Lane>) {
        let Some(parked) = self.lanes.get_mut(lane) else { return };
        if let Some(due) = parked.hold.due {
            parked.awake = false;
            self.by_due.entry(due).or_default().insert(Arc::clone(lane));
        } else if parked.awake {
            match parked.line.front().map(|head| head.place()) {
                Some(Some(place)) => self.sweep.add(lane, (lane.partition, place)),
                None => self.sweep.seek(lane, (lane.partition, parked.line.from())),
                Some(None) => {
                    // Its place is told after the commit.
                    parked.awake = false;
                    parked.hold.due = Some(Tick::default());
                    self.by_due.entry(Tick::default()).or_default().insert(Arc::clone(lane));
                }
            }
        }
    }

    fn unlink_time(&mut self, lane: &Arc<Lane>) {
        let Some(parked) = self.lanes.get_mut(lane) else { return };
        if let Some(due) = parked.hold.due {
            if let Some(lanes) = self.by_due.get_mut(&due) {
                lanes.remove(lane);
                if lanes.is_empty() {
                    self.by_due.remove(&due);
                }
            }
        } else if parked.awake {
            let head = parked.line.front().and_then(|head| head.place()).map(|place| (lane.partition, place));
            if self.sweep.remove(lane, head, (lane.partition, parked.line.from())) {
                parked.line.searched(self.sweep.at().1);
            }
        }
    }
}

impl Default for ParkingLot {
    fn default() -> Self {
        Self::new(crate::config::Limits::default().parked_places_max)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests;
