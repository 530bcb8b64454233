//! The endpoints that an effect room calls: what waits for each, when it may be called, and how much it takes at once.

use super::calls::Item;
use crate::clock::{Tick, now_micros};
use crate::parking::Lane;
use connector::effect::Effect;
use connector::http::breaker::{Breaker, Permit};
use connector::pacing::{Pacing, Rate};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Classes of urgency of the events of one room, the most urgent first.
const CLASSES: usize = 3;
/// A closed window is looked at again after so long: the clock of the machine may be set meanwhile.
const SHUT_LOOK: Duration = Duration::from_secs(60);

/// Gives the pace of a target.
pub(super) type PacingOf = Arc<dyn Fn(&str) -> Pacing + Send + Sync>;

/// How much a target takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most lines in one document.
    pub lines_max: usize,
    /// Most calls at once.
    pub calls_max: usize,
}

/// All targets of a room.
pub(super) struct Targets<E: Effect> {
    by_name: BTreeMap<String, Target<E>>,
    pacing_of: PacingOf,
    bounds: Bounds,
    /// Our part of each budget.
    share: f64,
}

/// One endpoint.
struct Target<E: Effect> {
    pacing: Pacing,
    rate: Rate,
    breaker: Breaker,
    /// Events that gather for it or are under way.
    held: usize,
    /// Lanes that were let go on and have not come yet.
    released: usize,
    /// Calls under way.
    called: usize,
    classes: [Queue<E>; CLASSES],
    /// Its calendar was said to hold it.
    is_shut: bool,
}

/// What waits for a target, of one class.
struct Queue<E: Effect> {
    /// Documents of several lines, by batch key.
    gathering: BTreeMap<String, Gathering<E>>,
    /// Documents of one line: they wait for nothing but a free call.
    alone: VecDeque<Item<E>>,
    /// Lanes whose turn comes when the target has room: an endpoint that is slow or waited for keeps no other from working.
    waiting: VecDeque<Lane>,
}

struct Gathering<E: Effect> {
    items: Vec<Item<E>>,
    due: Tick,
}

impl<E: Effect> Targets<E> {
    pub fn new(bounds: Bounds, pacing_of: PacingOf) -> Self {
        Self { by_name: BTreeMap::new(), pacing_of, bounds, share: 1.0 }
    }

    /// Our part of each budget of calls, from now on.
    pub fn set_share(&mut self, now: Tick, share: f64) {
        self.share = share;
        self.by_name.values_mut().for_each(|target| target.rate.set_share(elapsed(now), share));
    }

    /// How long the breaker of a target asks to wait; none lets the call through.
    pub fn barred(&mut self, name: &str, now: Tick) -> Option<Duration> {
        match self.of(name, now).breaker.permit(elapsed(now)) {
            Permit::Go => None,
            Permit::Wait(wait) => Some(wait),
        }
    }

    /// Tells the breaker of a target how a call ended; gives whether calls are held back now.
    pub fn report(&mut self, name: &str, now: Tick, works: bool) -> bool {
        let breaker = &mut self.of(name, now).breaker;
        breaker.record(elapsed(now), works);
        breaker.is_open()
    }

    /// Nothing is sent to a target for so long: it has asked for it.
    pub fn pause(&mut self, name: &str, now: Tick, delay: Duration) {
        self.of(name, now).rate.pause(elapsed(now), delay);
    }

    /// How long the calendar of a target holds its calls back, or until it is looked at again; none when it does not.
    pub fn shut(&mut self, name: &str, now: Tick) -> Option<Duration> {
        self.of(name, now).shut(name, now)
    }

    /// Whether a target takes one more event in.
    pub fn admits(&mut self, name: &str, now: Tick) -> bool {
        let held_max = self.held_max();
        let target = self.of(name, now);
        target.released = target.released.saturating_sub(1);
        target.held < held_max
    }

    /// A lane waits until its target takes more in.
    pub fn wait(&mut self, lane: Lane, name: &str, below: usize, now: Tick) {
        self.of(name, now).queue(below).waiting.push_back(lane);
    }

    /// The lanes whose target takes them in now, the urgent ones first.
    pub fn released(&mut self) -> Vec<Lane> {
        let held_max = self.held_max();
        let mut released = Vec::new();
        for target in self.by_name.values_mut() {
            let mut room = held_max.saturating_sub(target.held + target.released);
            for queue in &mut target.classes {
                let taken = queue.waiting.len().min(room);
                released.extend(queue.waiting.drain(..taken));
                target.released += taken;
                room -= taken;
            }
        }
        released
    }

    /// Adds a line to the document that gathers under its batch key, or starts one of its own.
    pub fn gather(&mut self, item: Item<E>, solo: bool, linger: Duration, now: Tick) {
        let target = self.of(&item.action.target, now);
        target.held += 1;
        let queue = target.queue(item.below);
        let Some(key) = item.action.batch_key.as_ref().filter(|_| !solo) else {
            return queue.alone.push_back(item);
        };
        let due = now.after(linger);
        let started = || Gathering { items: Vec::new(), due };
        queue.gathering.entry(key.clone()).or_insert_with(started).items.push(item);
    }

    /// The documents that should be sent now.
    pub fn take_due(&mut self, now: Tick) -> Vec<Vec<Item<E>>> {
        let bounds = self.bounds;
        let mut due = Vec::new();
        for (name, target) in &mut self.by_name {
            if target.has_documents() && target.shut(name, now).is_none() {
                target.take_due(now, bounds, &mut due);
            }
        }
        due
    }

    /// When the next document may be sent.
    pub fn next_due(&self, now: Tick) -> Option<Tick> {
        let free = self.by_name.values().filter(|target| target.called < self.bounds.calls_max);
        free.filter_map(|target| target.next_due(now)).min()
    }

    /// A look-up has begun. It does not wait for its turn: others of its key wait for it.
    pub fn looks_up(&mut self, name: &str, now: Tick) {
        let target = self.of(name, now);
        target.held += 1;
        target.called += 1;
        target.rate.spend(1);
    }

    /// A call about so many events has ended.
    pub fn ended(&mut self, name: &str, items: usize) {
        if let Some(target) = self.by_name.get_mut(name) {
            target.called = target.called.saturating_sub(1);
            target.held = target.held.saturating_sub(items);
        }
    }

    /// Forgets all that waits and is under way, and nothing of what is known of the endpoints.
    pub fn clear(&mut self) {
        for target in self.by_name.values_mut() {
            (target.held, target.released, target.called) = (0, 0, 0);
            target.classes = Default::default();
        }
    }

    fn of(&mut self, name: &str, now: Tick) -> &mut Target<E> {
        let (pacing_of, share) = (&self.pacing_of, self.share);
        self.by_name.entry(name.to_owned()).or_insert_with(|| Target::new(pacing_of(name), now, share))
    }

    /// Twice what it takes: the next documents gather while these are under way.
    fn held_max(&self) -> usize {
        self.bounds.lines_max.saturating_mul(self.bounds.calls_max).saturating_mul(2)
    }
}

impl<E: Effect> Target<E> {
    fn new(pacing: Pacing, now: Tick, share: f64) -> Self {
        let mut rate = Rate::new(&pacing, elapsed(now));
        rate.set_share(elapsed(now), share);
        let breaker = Breaker::new(pacing.breaker);
        Self { pacing, rate, breaker, held: 0, released: 0, called: 0, classes: Default::default(), is_shut: false }
    }

    fn shut(&mut self, name: &str, now: Tick) -> Option<Duration> {
        if self.pacing.calendar.is_empty() {
            return None;
        }
        let wall = jiff::Timestamp::from_microsecond(now_micros()).unwrap_or_default();
        let shut = self.pacing.calendar.shut(wall);
        match &shut {
            Some(shut) if !self.is_shut => {
                let (until, reason) = (shut.until.to_string(), shut.reason);
                tracing::warn!(target = name, until, reason, "the calendar holds calls back");
            }
            None if self.is_shut => tracing::info!(target = name, "the calendar lets calls through again"),
            _ => {}
        }
        self.is_shut = shut.is_some();
        let left = Duration::try_from(shut?.until.duration_since(wall)).unwrap_or_default().min(SHUT_LOOK);
        self.rate.pause(elapsed(now), left);
        Some(left)
    }

    fn has_documents(&self) -> bool {
        self.classes.iter().any(|queue| !queue.alone.is_empty() || !queue.gathering.is_empty())
    }

    fn take_due(&mut self, now: Tick, bounds: Bounds, due: &mut Vec<Vec<Item<E>>>) {
        for (below, queue) in self.classes.iter_mut().enumerate() {
            let free = bounds.calls_max.saturating_sub(self.called).min(self.rate.allowed(elapsed(now), below));
            let before = due.len();
            queue.take_due(now, bounds.lines_max, free, due);
            let calls = due.len() - before;
            self.called += calls;
            self.rate.spend(calls);
        }
    }

    fn next_due(&self, now: Tick) -> Option<Tick> {
        let classes = self.classes.iter().enumerate();
        let due = classes.filter_map(|(below, queue)| {
            let paced = now.after(self.rate.wait(elapsed(now), below));
            queue.next_due(now).map(|due| due.max(paced))
        });
        due.min()
    }

    fn queue(&mut self, below: usize) -> &mut Queue<E> {
        &mut self.classes[below.min(CLASSES - 1)]
    }
}

impl<E: Effect> Queue<E> {
    /// Up to `free` documents that are full or have waited long enough.
    fn take_due(&mut self, now: Tick, lines_max: usize, mut free: usize, due: &mut Vec<Vec<Item<E>>>) {
        for gathering in self.gathering.values_mut() {
            while free > 0
                && !gathering.items.is_empty()
                && (gathering.items.len() >= lines_max || gathering.due <= now)
            {
                let lines = gathering.items.len().min(lines_max);
                due.push(gathering.items.drain(..lines).collect());
                free -= 1;
            }
        }
        self.gathering.retain(|_, gathering| !gathering.items.is_empty());
        let alone = free.min(self.alone.len());
        due.extend(self.alone.drain(..alone).map(|item| vec![item]));
    }

    fn next_due(&self, now: Tick) -> Option<Tick> {
        let alone = (!self.alone.is_empty()).then_some(now);
        self.gathering.values().map(|gathering| gathering.due).chain(alone).min()
    }
}

impl<E: Effect> Default for Queue<E> {
    fn default() -> Self {
        Self { gathering: BTreeMap::new(), alone: VecDeque::new(), waiting: VecDeque::new() }
    }
}

/// A tick as the pure parts count time.
fn elapsed(now: Tick) -> Duration {
    now.since(Tick::default())
}
