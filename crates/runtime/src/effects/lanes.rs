//! The lanes: which event of which key is being worked on, which wait behind it.

use super::turns::{CLASSES, Classes};
use crate::Map;
use crate::clock::Tick;
use crate::parking::{Entry, Lane};
use crate::record::{Place, Record};
use schemas::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Of so many lanes that start one is of the least urgent class that has any.
const LEAST_URGENT: usize = 10;

/// So many events behind the head of a lane are planned while it is worked on: as many as fast calls get through while their
/// effect records are written.
pub(super) const AHEAD: usize = 4;

/// An event that may be planned before its turn.
#[derive(Debug)]
pub(super) struct Soon {
    /// Its lane.
    pub lane: Lane,
    /// Its record.
    pub record: Arc<Record>,
    /// The effect of the event in front of it.
    pub after: Arc<str>,
}

/// One event on its way.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// The record.
    pub record: Arc<Record>,
    /// Its place in the parking lot, when it comes from there.
    pub parked: Option<Entry>,
    /// When it was taken in, wall clock in microseconds; the budget of its class counts from here.
    pub since_micros: i64,
    /// When it was taken in.
    pub taken: Tick,
    /// Calls made for it.
    pub attempts: u32,
    /// Must not share a document: a shared one was refused without naming the culprit.
    pub solo: bool,
    /// Its effect, once its call was planned.
    pub effect: Option<Arc<str>>,
    /// It was looked at while it was behind the head.
    pub foreseen: bool,
    /// When that was decided which it is tried for; a decision that comes later is not used up by this try.
    pub decided_at: Option<Timestamp>,
}

impl Work {
    /// An event that was just taken in, or brought back from the parking lot.
    pub fn new(record: Arc<Record>, parked: Option<Entry>, since_micros: i64, taken: Tick) -> Self {
        Self {
            record,
            parked,
            since_micros,
            taken,
            attempts: 0,
            solo: false,
            effect: None,
            foreseen: false,
            decided_at: None,
        }
    }
}

/// A lane that has work.
#[derive(Debug, Default)]
pub(super) struct LaneState {
    /// Events in order; the first one is being worked on.
    pub queue: VecDeque<Work>,
    /// The first event is in a call, a batch or a back-off.
    pub busy: bool,
}

/// All lanes with work, and the timers of those in a back-off.
#[derive(Debug)]
pub(super) struct Lanes {
    classes: Classes,
    active: Map<Lane, LaneState>,
    /// By class, the most urgent first.
    ready: [VecDeque<Lane>; CLASSES],
    /// Lanes at work in which something may be planned behind the head.
    soon: VecDeque<Lane>,
    /// Lanes that have started, to count who starts next.
    started: usize,
    timers: BTreeMap<(Tick, u64), Lane>,
    next_timer: u64,
    /// Events that come from the parking lot.
    parked: usize,
}

impl Lanes {
    /// No lanes yet.
    pub fn new(classes: Classes) -> Self {
        Self {
            classes,
            active: Map::default(),
            ready: Default::default(),
            soon: VecDeque::new(),
            started: 0,
            timers: BTreeMap::new(),
            next_timer: 0,
            parked: 0,
        }
    }

    /// Adds an event at the end of its lane.
    pub fn push(&mut self, lane: Lane, work: Work) {
        self.parked += usize::from(work.parked.is_some());
        let state = self.active.entry(lane.clone()).or_default();
        state.queue.push_back(work);
        if !state.busy && state.queue.len() == 1 {
            self.get_ready(lane);
        } else if state.busy && state.queue.len() <= AHEAD + 1 {
            self.soon.push_back(lane);
        }
    }

    /// The next lane whose first event may start, of the most urgent class that has any; now and then of the least urgent one,
    /// which would else never start. It is busy from now on.
    pub fn next_ready(&mut self) -> Option<Lane> {
        let is_for_the_least = self.started % LEAST_URGENT == LEAST_URGENT - 1;
        for number in 0..CLASSES {
            let class = if is_for_the_least { CLASSES - 1 - number } else { number };
            while let Some(lane) = self.ready[class].pop_front() {
                if let Some(state) = self.active.get_mut(&lane)
                    && !state.busy
                    && !state.queue.is_empty()
                {
                    state.busy = true;
                    if state.queue.len() > 1 {
                        self.soon.push_back(lane.clone());
                    }
                    self.started = self.started.wrapping_add(1);
                    return Some(lane);
                }
            }
        }
        None
    }

    /// The next event that may be planned behind a head that is being worked on, where the event in front of it was planned. It
    /// is given out once. Nothing behind an event from the parking lot is: whether it goes on is not known.
    pub fn next_soon(&mut self) -> Option<Soon> {
        while let Some(lane) = self.soon.front() {
            if let Some(state) = self.active.get_mut(lane)
                && state.busy
                && state.queue.front().is_some_and(|head| head.parked.is_none())
                && let Some(at) = (1..state.queue.len().min(AHEAD + 1)).find(|at| !state.queue[*at].foreseen)
                && let Some(after) = state.queue[at - 1].effect.clone()
            {
                let work = &mut state.queue[at];
                work.foreseen = true;
                return Some(Soon { lane: lane.clone(), record: Arc::clone(&work.record), after });
            }
            self.soon.pop_front();
        }
        None
    }

    /// The call of an event is planned, at its place in its lane: its effect is this.
    pub fn planned(&mut self, lane: &Lane, place: &Place, effect_key: impl AsRef<str> + Into<Arc<str>>) {
        // Behind what is alone nothing is planned.
        let Some(state) = self.active.get_mut(lane).filter(|state| state.queue.len() > 1) else { return };
        let ours = |work: &&mut Work| work.record.place.offset == place.offset;
        if let Some(work) = state.queue.iter_mut().take(AHEAD + 1).find(ours)
            && work.effect.as_deref() != Some(effect_key.as_ref())
        {
            work.effect = Some(effect_key.into());
        }
    }

    fn get_ready(&mut self, lane: Lane) {
        let class = self.classes.below(&lane.topic).min(CLASSES - 1);
        self.ready[class].push_back(lane);
    }

    /// The event at the head of a lane.
    pub fn head(&self, lane: &Lane) -> Option<&Work> {
        self.active.get(lane)?.queue.front()
    }

    /// The event at the head of a lane.
    pub fn head_mut(&mut self, lane: &Lane) -> Option<&mut Work> {
        self.active.get_mut(lane)?.queue.front_mut()
    }

    /// Whether a lane has work.
    pub fn contains(&self, lane: &Lane) -> bool {
        self.active.contains_key(lane)
    }

    /// The head is settled: takes it off, and lets the next one start.
    pub fn advance(&mut self, lane: &Lane) -> Option<Work> {
        let state = self.active.get_mut(lane)?;
        let done = state.queue.pop_front();
        self.parked -= usize::from(done.as_ref().is_some_and(|done| done.parked.is_some()));
        state.busy = false;
        if state.queue.is_empty() {
            self.active.remove(lane);
        } else {
            self.get_ready(lane.clone());
        }
        done
    }

    /// Takes a whole lane off: its key is parked.
    pub fn take(&mut self, lane: &Lane) -> VecDeque<Work> {
        let taken = self.active.remove(lane).map(|state| state.queue).unwrap_or_default();
        self.parked -= taken.iter().filter(|work| work.parked.is_some()).count();
        taken
    }

    /// Lets the head of a lane start again at once; says whether it is still there.
    pub fn again(&mut self, lane: &Lane) -> bool {
        let Some(state) = self.active.get_mut(lane) else { return false };
        state.busy = false;
        self.get_ready(lane.clone());
        true
    }

    /// Lets the head of a lane start again at a time.
    pub fn again_at(&mut self, lane: &Lane, due: Tick) {
        self.next_timer += 1;
        self.timers.insert((due, self.next_timer), lane.clone());
    }

    /// Moves the lanes whose back-off is over to the ready ones.
    pub fn wake_due(&mut self, now: Tick) {
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            let lane = first.remove();
            self.again(&lane);
        }
    }

    /// Number of events that come from the parking lot.
    pub fn parked(&self) -> usize {
        self.parked
    }

    /// When the next back-off is over.
    pub fn next_due(&self) -> Option<Tick> {
        self.timers.keys().next().map(|(due, _)| *due)
    }

    /// Whether a lane may start now.
    pub fn has_ready(&self) -> bool {
        self.ready.iter().any(|lanes| !lanes.is_empty())
    }

    /// Forgets everything: the partitions have gone.
    pub fn clear(&mut self) {
        *self = Self { next_timer: self.next_timer, ..Self::new(self.classes.clone()) };
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

    fn work(offset: i64) -> Work {
        let place = Place { topic: Arc::from("t"), partition: 0, offset };
        let record = Record { place, timestamp_ms: None, key: None, value: None, headers: Vec::new() };
        Work::new(Arc::new(record), None, 0, Tick::default())
    }

    #[test]
    fn ord_1_the_second_event_of_a_key_starts_after_the_first_is_settled() {
        let mut lanes = Lanes::new(Classes::default());
        lanes.push(lane("a"), work(1));
        lanes.push(lane("a"), work(2));
        lanes.push(lane("b"), work(3));
        assert_eq!(lanes.next_ready(), Some(lane("a")));
        assert_eq!(lanes.next_ready(), Some(lane("b")));
        assert_eq!(lanes.next_ready(), None);
        lanes.advance(&lane("a"));
        assert_eq!(lanes.next_ready(), Some(lane("a")));
        assert_eq!(lanes.head(&lane("a")).unwrap().record.place.offset, 2);
    }

    #[test]
    fn the_urgent_start_first_and_the_others_now_and_then() {
        let mut lanes = Lanes::new(Classes::new([("less", 1)]));
        let less = |key: &str| Lane { topic: Arc::from("less"), ..lane(key) };
        for number in 0..30 {
            lanes.push(less(&number.to_string()), work(number));
            lanes.push(lane(&number.to_string()), work(number));
        }
        let started: Vec<bool> = std::iter::from_fn(|| lanes.next_ready()).map(|lane| &*lane.topic == "less").collect();
        let less_before = |end: usize| started[..end].iter().filter(|less| **less).count();
        assert_eq!((started.len(), less_before(9), less_before(10), less_before(33)), (60, 0, 1, 3));
        assert!(started[34..].iter().all(|less| *less), "the urgent ones are all through");
    }

    #[test]
    fn what_waits_behind_a_planned_head_is_given_out_once_and_in_order() {
        let mut lanes = Lanes::new(Classes::default());
        let key = lane("a");
        (1..=8).for_each(|offset| lanes.push(key.clone(), work(offset)));
        assert!(lanes.next_soon().is_none(), "the head is not worked on");
        assert_eq!(lanes.next_ready(), Some(key.clone()));
        assert!(lanes.next_soon().is_none(), "nor is its call planned");
        lanes.again(&key);
        assert_eq!(lanes.next_ready(), Some(key.clone()));
        let mut given = Vec::new();
        lanes.planned(&key, &work(1).record.place, "effect-1");
        while let Some(soon) = lanes.next_soon() {
            given.push((soon.record.place.offset, soon.after.to_string()));
            // The third needs something that is not known yet: nothing behind it is planned.
            if soon.record.place.offset < 3 {
                lanes.planned(&key, &soon.record.place, format!("effect-{}", soon.record.place.offset));
            }
        }
        assert_eq!(given, [(2, "effect-1".to_owned()), (3, "effect-2".to_owned())]);
        lanes.advance(&key);
        assert_eq!(lanes.next_ready(), Some(key.clone()));
        assert!(lanes.next_soon().is_none(), "each is given out once");
    }

    #[test]
    fn key_1_a_back_off_holds_its_own_lane_only() {
        let mut lanes = Lanes::new(Classes::default());
        lanes.push(lane("a"), work(1));
        assert_eq!(lanes.next_ready(), Some(lane("a")));
        lanes.again_at(&lane("a"), Tick::at(Duration::from_secs(1)));
        lanes.push(lane("b"), work(2));
        assert_eq!(lanes.next_ready(), Some(lane("b")));
        lanes.wake_due(Tick::at(Duration::from_secs(1)));
        assert_eq!(lanes.next_ready(), Some(lane("a")));
    }
}
