//! The parking lot: which keys wait, for what, and in which order their events lie in `ops.parked.v1`.
//!
//! A failing key is parked, not its partition (KEY-1): the event and all later ones of the key are kept in order
//! (ORD-1) on the parking topic, in the partition with the number of the origin, while everybody else flows. This index
//! is pure: it holds places, not bodies, takes the time as a value, and is rebuilt from the topic after a restart. Of an event
//! it holds 16 bytes and a place in a tree of offsets; the key is held once.

use crate::clock::Tick;
use crate::config::Limits;
use processor::{Reason, Subject};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

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

/// Why and since when a lane waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Stable code of the reason.
    pub code: String,
    /// What would end the waiting.
    pub subjects: Vec<Subject>,
    /// Wall clock when the lane was parked, microseconds since 1970.
    pub since_micros: i64,
    /// The exception raised for it, if the budget is used up or the event was rejected: a person's decision about it reaches the
    /// lane.
    pub exception_id: Option<Uuid>,
    /// Attempts made while parked.
    pub attempts: u32,
    /// Next attempt by time; none waits for a subject or a person.
    pub due: Option<Tick>,
}

/// Index of the parked lanes of one worker.
#[derive(Debug, Default)]
pub struct ParkingLot {
    lanes: HashMap<Arc<Lane>, Parked>,
    by_subject: HashMap<Subject, BTreeSet<Arc<Lane>>>,
    by_exception: HashMap<Uuid, Arc<Lane>>,
    by_due: BTreeMap<Tick, BTreeSet<Arc<Lane>>>,
    by_since: BTreeMap<i64, usize>,
    tickets: HashMap<u64, Arc<Lane>>,
    /// Offsets of each topic partition that events came from.
    by_origin: HashMap<(Arc<str>, i32), BTreeMap<i64, Arc<Lane>>>,
    entries: usize,
    next_ticket: u64,
}

#[derive(Debug)]
struct Parked {
    entries: VecDeque<Packed>,
    hold: Hold,
}

/// An entry in 16 bytes: there may be millions.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// Twice the offset, and 1 more for a replay.
    origin: i64,
    /// Offset in the parking topic; below zero the ticket.
    place: i64,
}

impl Packed {
    fn of(entry: &Entry) -> Self {
        let ticket = entry.ticket.and_then(|ticket| i64::try_from(ticket).ok());
        // Tickets begin with 1; without either nothing will ever tell its place.
        let place = entry.parked_at.unwrap_or_else(|| ticket.map_or(i64::MIN, |ticket| -ticket));
        Self { origin: entry.origin_offset * 2 + i64::from(entry.replay), place }
    }

    fn origin_offset(self) -> i64 {
        self.origin >> 1
    }

    fn entry(self) -> Entry {
        let ticket = self.place.checked_neg().filter(|ticket| *ticket > 0);
        Entry {
            origin_offset: self.origin_offset(),
            parked_at: (self.place >= 0).then_some(self.place),
            ticket: ticket.and_then(|ticket| u64::try_from(ticket).ok()),
            replay: self.origin & 1 == 1,
        }
    }
}

impl ParkingLot {
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
        let lane = match self.lanes.get_key_value(lane) {
            // One lane is held, however many events it has.
            Some((known, _)) => Arc::clone(known),
            None => {
                let lane = Arc::new(lane.clone());
                self.lanes.insert(Arc::clone(&lane), Parked { entries: VecDeque::with_capacity(1), hold: hold() });
                self.link(&lane);
                lane
            }
        };
        if let Some(ticket) = entry.ticket {
            self.tickets.insert(ticket, Arc::clone(&lane));
        }
        let origins = self.by_origin.entry((Arc::clone(&lane.topic), lane.partition)).or_default();
        if origins.insert(entry.origin_offset, Arc::clone(&lane)).is_none()
            && let Some(parked) = self.lanes.get_mut(&lane)
        {
            parked.entries.push_back(Packed::of(&entry));
            self.entries += 1;
        }
    }

    /// Tells the offset that a parked event got.
    pub fn placed(&mut self, ticket: u64, offset: i64) {
        let Some(lane) = self.tickets.remove(&ticket) else { return };
        let Some(parked) = self.lanes.get_mut(&lane) else { return };
        let wanted = i64::try_from(ticket).map_or(0, |ticket| -ticket);
        // What was parked last is told first of all.
        if let Some(entry) = parked.entries.iter_mut().rev().find(|entry| entry.place == wanted) {
            entry.place = offset;
        }
    }

    /// The event at the head of a lane.
    pub fn head(&self, lane: &Lane) -> Option<Entry> {
        self.lanes.get(lane)?.entries.front().map(|entry| entry.entry())
    }

    /// Takes the head of a lane off; an empty lane is not parked any more.
    pub fn release(&mut self, lane: &Lane) -> Option<Entry> {
        let parked = self.lanes.get_mut(lane)?;
        let entry = parked.entries.pop_front()?;
        let is_empty = parked.entries.is_empty();
        self.entries -= 1;
        self.forget_origin(lane, entry.origin_offset());
        self.unlink(lane);
        if is_empty {
            self.lanes.remove(lane);
        } else {
            // The next event waits for its own reasons, not for those of the one that went.
            if let Some(parked) = self.lanes.get_mut(lane) {
                parked.hold.exception_id = None;
                parked.hold.attempts = 0;
                parked.hold.subjects.clear();
                parked.hold.due = Some(Tick::default());
            }
            self.link(lane);
        }
        Some(entry.entry())
    }

    /// Removes one event wherever it stands in its lane: another session has released it.
    pub fn remove_entry(&mut self, topic: &str, partition: i32, origin_offset: i64) {
        let origins = self.by_origin.get(&(Arc::from(topic), partition));
        let Some(lane) = origins.and_then(|origins| origins.get(&origin_offset)).cloned() else { return };
        if self.head(&lane).is_some_and(|head| head.origin_offset == origin_offset) {
            self.release(&lane);
        } else if let Some(parked) = self.lanes.get_mut(&lane) {
            parked.entries.retain(|entry| entry.origin_offset() != origin_offset);
            self.entries -= 1;
            self.forget_origin(&lane, origin_offset);
        }
    }

    /// Changes why and until when a lane waits.
    pub fn rehold(&mut self, lane: &Lane, change: impl FnOnce(&mut Hold)) {
        self.unlink(lane);
        if let Some(parked) = self.lanes.get_mut(lane) {
            change(&mut parked.hold);
        }
        self.link(lane);
    }

    /// Takes up to `most` lanes whose time has come, oldest first. They stay parked; their timer is cleared.
    pub fn take_due(&mut self, now: Tick, most: usize) -> Vec<Lane> {
        let mut due = Vec::new();
        while due.len() < most {
            let Some(mut first) = self.by_due.first_entry() else { break };
            if *first.key() > now {
                break;
            }
            let Some(lane) = first.get_mut().pop_first() else {
                first.remove();
                continue;
            };
            if first.get().is_empty() {
                first.remove();
            }
            if let Some(parked) = self.lanes.get_mut(&lane) {
                parked.hold.due = None;
            }
            due.push(Lane::clone(&lane));
        }
        due
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
            self.rehold(&lane, |hold| hold.due = Some(now));
        }
    }

    /// Makes every lane due that waits for anything but a person.
    pub fn wake_all(&mut self, now: Tick) {
        let lanes: Vec<_> = self.lanes.keys().cloned().collect();
        for lane in lanes {
            self.rehold(&lane, |hold| hold.due = Some(now));
        }
    }

    /// Forgets the lanes of a partition that is no longer ours, or whose transaction was aborted.
    pub fn forget(&mut self, lost: impl Fn(&Lane) -> bool) {
        let gone: Vec<_> = self.lanes.keys().filter(|lane| lost(lane)).cloned().collect();
        for lane in gone {
            self.unlink(&lane);
            if let Some(parked) = self.lanes.remove(&lane) {
                self.entries -= parked.entries.len();
            }
        }
        self.by_origin.retain(|_, origins| {
            origins.retain(|_, lane| self.lanes.contains_key(lane));
            !origins.is_empty()
        });
        self.tickets.retain(|_, lane| self.lanes.contains_key(lane));
    }

    fn forget_origin(&mut self, lane: &Lane, offset: i64) {
        let key = (Arc::clone(&lane.topic), lane.partition);
        if let Some(origins) = self.by_origin.get_mut(&key) {
            origins.remove(&offset);
            if origins.is_empty() {
                self.by_origin.remove(&key);
            }
        }
    }

    fn link(&mut self, lane: &Lane) {
        let Some((lane, parked)) = self.lanes.get_key_value(lane) else { return };
        *self.by_since.entry(parked.hold.since_micros).or_default() += 1;
        for subject in &parked.hold.subjects {
            self.by_subject.entry(subject.clone()).or_default().insert(Arc::clone(lane));
        }
        if let Some(exception) = parked.hold.exception_id {
            self.by_exception.insert(exception, Arc::clone(lane));
        }
        if let Some(due) = parked.hold.due {
            self.by_due.entry(due).or_default().insert(Arc::clone(lane));
        }
    }

    fn unlink(&mut self, lane: &Lane) {
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
        if let Some(due) = parked.hold.due
            && let Some(lanes) = self.by_due.get_mut(&due)
        {
            lanes.remove(lane);
            if lanes.is_empty() {
                self.by_due.remove(&due);
            }
        }
    }
}

impl Hold {
    /// Starts to wait: for the subjects of the reason and, when an exception was raised, for a person.
    pub fn first(reason: &Reason, exception_id: Option<Uuid>, now_micros: i64, due: Option<Tick>) -> Self {
        let (code, subjects) = (reason.code.as_str().to_owned(), reason.subjects.clone());
        Self { code, subjects, since_micros: now_micros, exception_id, attempts: 0, due }
    }

    /// An exception was raised for it before, perhaps by another instance: a person's decision about it reaches the lane.
    pub fn asks(&mut self, exception_id: Uuid) {
        self.exception_id.get_or_insert(exception_id);
    }

    /// Must wait on after another attempt. A rejected event waits for a subject or a person, any other also for time.
    pub fn again(&mut self, reason: &Reason, rejected: bool, raised: Option<Uuid>, now: Tick, limits: &Limits) {
        self.attempts += 1;
        reason.code.as_str().clone_into(&mut self.code);
        self.exception_id = self.exception_id.or(raised);
        self.subjects.clone_from(&reason.subjects);
        self.due = (!rejected).then(|| now.after(limits.retry_delay(self.attempts)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn lane(key: &str) -> Lane {
        Lane { topic: Arc::from("t"), partition: 0, key: Arc::from(key.as_bytes()), alone: None }
    }

    fn entry(offset: i64) -> Entry {
        Entry { origin_offset: offset, parked_at: Some(offset), ticket: None, replay: false }
    }

    fn hold(subject: &str) -> Hold {
        Hold {
            code: "WL-0".to_owned(),
            subjects: vec![Subject::new("items", subject)],
            since_micros: 0,
            exception_id: None,
            attempts: 0,
            due: Some(Tick::at(Duration::from_secs(9))),
        }
    }

    #[test]
    fn ord_1_a_lane_gives_its_events_back_in_order_and_once() {
        let mut lot = ParkingLot::default();
        for offset in [3, 5, 5, 8] {
            lot.park(&lane("a"), entry(offset), || hold("4711"));
        }
        assert_eq!(lot.entry_count(), 3);
        let order: Vec<_> = std::iter::from_fn(|| lot.release(&lane("a"))).map(|entry| entry.origin_offset).collect();
        assert_eq!(order, [3, 5, 8]);
        assert!(lot.is_empty());
    }

    #[test]
    fn a_subject_wakes_who_waits_for_it_and_nobody_else() {
        let mut lot = ParkingLot::default();
        lot.park(&lane("a"), entry(1), || hold("4711"));
        lot.park(&lane("b"), entry(2), || hold("4712"));
        lot.wake(&Subject::new("items", "4711"), Tick::default());
        assert_eq!(lot.take_due(Tick::default(), 10), [lane("a")]);
        assert_eq!(lot.take_due(Tick::default(), 10), []);
        assert_eq!(lot.next_due(), Some(Tick::at(Duration::from_secs(9))));
    }

    #[test]
    fn a_decision_about_an_exception_wakes_its_lane_as_long_as_it_waits() {
        let mut lot = ParkingLot::default();
        let id = Uuid::from_u128(7);
        lot.park(&lane("a"), entry(1), || Hold { exception_id: Some(id), due: None, ..hold("4711") });
        lot.park(&lane("b"), entry(2), || Hold { due: None, ..hold("4711") });
        let decided = Subject::new(schemas::topics::OPS_EXCEPTION_V1.name(), id.to_string());
        lot.wake(&decided, Tick::default());
        assert_eq!(lot.take_due(Tick::default(), 10), [lane("a")]);
        lot.release(&lane("a"));
        lot.wake(&decided, Tick::default());
        assert_eq!(lot.take_due(Tick::default(), 10), []);
        assert!(lot.by_exception.is_empty());
    }

    #[test]
    fn a_confirmed_entry_knows_its_place() {
        let mut lot = ParkingLot::default();
        let ticket = lot.ticket();
        lot.park(&lane("a"), Entry { parked_at: None, ticket: Some(ticket), ..entry(1) }, || hold("x"));
        lot.placed(ticket, 42);
        assert_eq!(lot.head(&lane("a")).unwrap().parked_at, Some(42));
    }

    #[test]
    fn a_lost_partition_is_forgotten_with_its_timers() {
        let mut lot = ParkingLot::default();
        lot.park(&lane("a"), entry(1), || hold("x"));
        lot.forget(|lane| lane.partition == 0);
        assert_eq!((lot.lane_count(), lot.entry_count(), lot.next_due()), (0, 0, None));
        assert!(lot.by_origin.is_empty() && lot.by_since.is_empty() && lot.by_subject.is_empty());
    }

    #[test]
    fn what_another_session_released_goes_from_wherever_it_stands() {
        let mut lot = ParkingLot::default();
        for offset in [3, 5, 8] {
            lot.park(&lane("a"), entry(offset), || hold("4711"));
        }
        for (offset, left) in [(5, 2), (5, 2), (3, 1), (9, 1), (8, 0)] {
            lot.remove_entry("t", 0, offset);
            assert_eq!(lot.entry_count(), left, "{offset}");
        }
        assert!(lot.is_empty() && lot.by_origin.is_empty() && lot.next_due().is_none());
    }

    #[test]
    fn the_oldest_start_of_waiting_is_that_of_who_still_waits() {
        let mut lot = ParkingLot::default();
        let since = |since_micros| move || Hold { since_micros, ..hold("x") };
        lot.park(&lane("a"), entry(1), since(10));
        lot.park(&lane("b"), entry(2), since(20));
        lot.park(&lane("b"), entry(3), since(5));
        assert_eq!(lot.oldest_micros(), Some(10));
        lot.release(&lane("a"));
        assert_eq!(lot.oldest_micros(), Some(20));
        lot.release(&lane("b"));
        assert_eq!(lot.oldest_micros(), Some(20), "its second event waits since its key does");
        lot.release(&lane("b"));
        assert_eq!(lot.oldest_micros(), None);
    }

    #[test]
    fn a_packed_entry_is_the_entry() {
        let parked = entry(7);
        let pending = Entry { parked_at: None, ticket: Some(9), replay: true, ..entry(0) };
        let lost = Entry { parked_at: None, ..entry(2) };
        for entry in [parked, pending, lost] {
            assert_eq!(Packed::of(&entry).entry(), entry);
        }
        assert_eq!(size_of::<Packed>(), 16);
    }
}
