//! The endpoints that an effect room calls: what waits for each, when it may be called, and how much it takes at once.

use super::beside::Beside;
use super::calls::Item;
use super::turns::{CLASSES, Standing, Turns};
use crate::Map;
use crate::clock::{Tick, now_micros};
use crate::metrics::{EffectOutcome, RoomMetrics, TargetMetrics};
use crate::parking::Lane;
use connector::effect::Effect;
use connector::http::breaker::{Breaker, Permit};
use connector::pacing::{Pacing, Rate};
use processor::Input;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

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
    /// In the order in which they were first heard of.
    all: Vec<Target<E>>,
    by_name: BTreeMap<Arc<str>, usize>,
    pacing_of: PacingOf,
    bounds: Bounds,
    /// Our part of each budget.
    share: f64,
    /// Age beyond which an event of a class is late.
    late_after: [Duration; CLASSES],
    /// How urgent the most urgent class of the room is.
    most_urgent: usize,
    /// Lanes that were let go on and have not begun yet, with the target and the class that they waited for.
    released: Map<Lane, KeptPlace>,
    beside: Arc<Beside>,
    metrics: RoomMetrics,
}

/// One endpoint.
struct Target<E: Effect> {
    name: Arc<str>,
    pacing: Pacing,
    rate: Rate,
    breaker: Breaker,
    /// Calls under way.
    called: usize,
    /// When those that yield call.
    turns: Turns,
    /// A room that calls it too is late with events that are more urgent than those of this class and of the ones below it.
    yields_from: Option<usize>,
    classes: [Queue<E>; CLASSES],
    /// Its calendar was said to hold it.
    is_shut: bool,
    metrics: TargetMetrics,
}

/// A place that is kept for a lane: the target, and the class.
pub(super) type KeptPlace = (usize, usize);

/// What waits for a target, of one class.
struct Queue<E: Effect> {
    /// Documents of several lines, by batch key.
    gathering: BTreeMap<String, Gathering<E>>,
    /// Documents of one line: they wait for nothing but a free call.
    alone: VecDeque<Item<E>>,
    /// Lanes whose turn comes when the target has room, and of when their first events are: an endpoint that is slow or waited for
    /// keeps no other from working.
    waiting: VecDeque<(Lane, Option<i64>)>,
    /// Events that gather or are under way. Each class has room of its own, so that none waits for one that yields.
    held: usize,
    /// Lanes that were let go on and have not begun yet.
    released: usize,
}

struct Gathering<E: Effect> {
    items: Vec<Item<E>>,
    due: Tick,
}

impl<E: Effect> Targets<E> {
    pub fn new(bounds: Bounds, pacing_of: PacingOf, beside: Arc<Beside>, metrics: RoomMetrics) -> Self {
        let topics = E::Input::topics();
        let (late_after, most_urgent) = (super::turns::late_after(&topics), super::turns::most_urgent(&topics));
        let (all, by_name, released) = (Vec::new(), BTreeMap::new(), Map::default());
        Self { all, by_name, pacing_of, bounds, share: 1.0, late_after, most_urgent, released, beside, metrics }
    }

    /// Our part of each budget of calls, from now on.
    pub fn set_share(&mut self, now: Tick, share: f64) {
        self.share = share;
        self.all.iter_mut().for_each(|target| target.rate.set_share(elapsed(now), share));
    }

    /// The name of a target, which all that goes there shares.
    pub fn name(&mut self, name: &str, now: Tick) -> Arc<str> {
        Arc::clone(&self.of(name, now).name)
    }

    /// How long the breaker of a target asks to wait; none lets the call through.
    pub fn barred(&mut self, name: &str, now: Tick) -> Option<Duration> {
        match self.of(name, now).breaker.permit(elapsed(now)) {
            Permit::Go => None,
            Permit::Wait(wait) => Some(wait),
        }
    }

    /// Tells the breaker of a target how a call ended.
    pub fn report(&mut self, name: &str, now: Tick, works: bool) {
        let target = self.of(name, now);
        target.breaker.record(elapsed(now), works);
        target.metrics.breaker.set(i64::from(target.breaker.is_open()));
    }

    /// Counts what became of an effect at a target.
    pub fn count(&mut self, name: &str, now: Tick, outcome: EffectOutcome) {
        self.of(name, now).metrics.effects(outcome).inc();
    }

    /// Nothing is sent to a target for so long: it has asked for it.
    pub fn pause(&mut self, name: &str, now: Tick, delay: Duration) {
        self.of(name, now).rate.pause(elapsed(now), delay);
    }

    /// How long the calendar of a target holds its calls back, or until it is looked at again; none when it does not.
    pub fn shut(&mut self, name: &str, now: Tick) -> Option<Duration> {
        self.of(name, now).shut(now)
    }

    /// Whether a target takes one more event of a class in.
    pub fn admits(&mut self, name: &str, below: usize, now: Tick) -> bool {
        let held_max = self.held_max();
        let queue = self.of(name, now).queue(below);
        queue.held + queue.released < held_max
    }

    /// A lane waits until the target of its first event takes more in.
    pub fn wait(&mut self, item: Item<E>, now: Tick) {
        let queue = self.of(&item.action.target, now).queue(item.below);
        queue.waiting.push_back((item.lane, item.record.timestamp_ms));
    }

    /// The lanes whose target takes them in now, the urgent ones first. Their places are kept until they have begun.
    pub fn released(&mut self) -> Vec<Lane> {
        let held_max = self.held_max();
        let mut released = Vec::new();
        for (number, target) in self.all.iter_mut().enumerate() {
            for (below, queue) in target.classes.iter_mut().enumerate() {
                let room = held_max.saturating_sub(queue.held + queue.released);
                let taken = queue.waiting.len().min(room);
                for (lane, _) in queue.waiting.drain(..taken) {
                    self.released.insert(lane.clone(), (number, below));
                    released.push(lane);
                }
                queue.released += taken;
            }
        }
        released
    }

    /// A lane begins, or is gone: the place that was kept for it is free, whatever becomes of its first event. It may turn out that
    /// nothing is to be called for.
    pub fn begun(&mut self, lane: &Lane) -> Option<KeptPlace> {
        let (number, below) = self.released.remove(lane)?;
        let queue = self.all.get_mut(number)?.queue(below);
        queue.released = queue.released.saturating_sub(1);
        Some((number, below))
    }

    /// Keeps a place for a lane that had it and cannot use it yet.
    pub fn keep(&mut self, lane: &Lane, place: Option<KeptPlace>) {
        let Some((number, below)) = place else { return };
        let Some(target) = self.all.get_mut(number) else { return };
        target.queue(below).released += 1;
        self.released.insert(lane.clone(), (number, below));
    }

    /// Adds a line to the document that gathers under its batch key, or starts one of its own.
    pub fn gather(&mut self, item: Item<E>, solo: bool, linger: Duration, now: Tick) {
        let target = self.of(&item.action.target, now);
        let queue = target.queue(item.below);
        queue.held += 1;
        let Some(key) = item.action.batch_key.as_ref().filter(|_| !solo) else {
            return queue.alone.push_back(item);
        };
        let due = now.after(linger);
        let started = || Gathering { items: Vec::new(), due };
        queue.gathering.entry(key.clone()).or_insert_with(started).items.push(item);
    }

    /// Takes the events that gather and have not begun.
    pub fn take_gathered(&mut self) -> Vec<Item<E>> {
        let queues = self.all.iter_mut().flat_map(|target| &mut target.classes);
        let mut gathered = Vec::new();
        for queue in queues {
            let documents = std::mem::take(&mut queue.gathering).into_values().flat_map(|gathering| gathering.items);
            gathered.extend(documents.chain(queue.alone.drain(..)));
        }
        gathered
    }

    /// The documents that should be sent now.
    pub fn take_due(&mut self, now: Tick) -> Vec<Vec<Item<E>>> {
        let (bounds, late_after) = (self.bounds, self.late_after);
        let mut due = Vec::new();
        for target in &mut self.all {
            if target.has_documents() && target.shut(now).is_none() {
                let late = self.beside.late(&target.pacing.yields_to);
                // Classes of ours from this one on are less urgent.
                target.yields_from = late.map(|late| (late + 1).saturating_sub(self.most_urgent));
                target.take_due(now, bounds, late_after, &mut due);
            }
        }
        due
    }

    /// When the next document may be sent.
    pub fn next_due(&self, now: Tick) -> Option<Tick> {
        let free = self.all.iter().filter(|target| target.called < self.bounds.calls_max);
        free.filter_map(|target| target.next_due(now)).min()
    }

    /// A look-up has begun. It does not wait for its turn: others of its key wait for it.
    pub fn looks_up(&mut self, name: &str, below: usize, now: Tick) {
        let target = self.of(name, now);
        target.queue(below).held += 1;
        target.called += 1;
        target.rate.spend(1);
    }

    /// A call about so many events of a class has ended, after so long.
    pub fn ended(&mut self, name: &str, below: usize, items: usize, took: Duration) {
        let calls_max = self.bounds.calls_max;
        if let Some(target) = self.by_name.get(name).and_then(|number| self.all.get_mut(*number)) {
            target.called = target.called.saturating_sub(1);
            let queue = target.queue(below);
            queue.held = queue.held.saturating_sub(items);
            target.turns.took(took, calls_max);
        }
    }

    /// What was taken for a call about so many events of a class is not called for.
    pub fn spared(&mut self, name: &str, below: usize, items: usize) {
        if let Some(target) = self.by_name.get(name).and_then(|number| self.all.get_mut(*number)) {
            target.called = target.called.saturating_sub(1);
            let queue = target.queue(below);
            queue.held = queue.held.saturating_sub(items);
        }
    }

    /// Forgets all that waits and is under way, and nothing of what is known of the endpoints.
    pub fn clear(&mut self) {
        self.released.clear();
        for target in &mut self.all {
            target.called = 0;
            target.classes = Default::default();
        }
    }

    fn of(&mut self, name: &str, now: Tick) -> &mut Target<E> {
        let number = match self.by_name.get(name) {
            Some(number) => *number,
            None => {
                let pacing = (self.pacing_of)(name);
                pacing.yields_to.iter().for_each(|room| self.beside.watch(room));
                let metrics = self.metrics.target(name);
                let name: Arc<str> = Arc::from(name);
                self.all.push(Target::new(Arc::clone(&name), pacing, metrics, now, self.share));
                self.by_name.insert(name, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        &mut self.all[number]
    }

    /// Twice what a target takes: the next documents gather while these are under way.
    fn held_max(&self) -> usize {
        self.bounds.lines_max.saturating_mul(self.bounds.calls_max).saturating_mul(2)
    }
}

impl<E: Effect> Target<E> {
    fn new(name: Arc<str>, pacing: Pacing, metrics: TargetMetrics, now: Tick, share: f64) -> Self {
        let mut rate = Rate::new(&pacing, elapsed(now));
        rate.set_share(elapsed(now), share);
        let (breaker, turns) = (Breaker::new(pacing.breaker), Turns::default());
        let (yields_from, classes) = (None, Default::default());
        Self { name, pacing, rate, breaker, called: 0, turns, yields_from, classes, is_shut: false, metrics }
    }

    fn shut(&mut self, now: Tick) -> Option<Duration> {
        if self.pacing.calendar.is_empty() {
            return None;
        }
        let wall = jiff::Timestamp::from_microsecond(now_micros()).unwrap_or_default();
        let shut = self.pacing.calendar.shut(wall);
        match &shut {
            Some(shut) if !self.is_shut => {
                let (until, reason) = (shut.until.to_string(), shut.reason);
                tracing::warn!(target = &*self.name, until, reason, "the calendar holds calls back");
            }
            None if self.is_shut => tracing::info!(target = &*self.name, "the calendar lets calls through again"),
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

    /// The urgent first; but whoever yields to them and whose turn has come goes before them, or would never have one.
    fn take_due(&mut self, now: Tick, bounds: Bounds, late_after: [Duration; CLASSES], due: &mut Vec<Vec<Item<E>>>) {
        let waiting = self.classes.iter().filter(|queue| queue.wants(now, bounds.lines_max)).count();
        for below in 0..CLASSES {
            let standing = self.standing(now, below, bounds, late_after);
            while standing != Standing::Free
                && self.turns.has_come(below, now)
                && self.take_class(now, below, bounds, 1, 0, due) > 0
            {
                self.turns.taken(below, standing, waiting, now, self.rate.gap());
            }
        }
        for below in 0..self.yields_from.map_or(CLASSES, |from| from.min(CLASSES)) {
            self.take_class(now, below, bounds, usize::MAX, below, due);
        }
    }

    /// Takes up to `most` documents of a class, of what a class may that is `below` the most urgent one; gives how many.
    fn take_class(
        &mut self,
        now: Tick,
        class: usize,
        bounds: Bounds,
        most: usize,
        below: usize,
        due: &mut Vec<Vec<Item<E>>>,
    ) -> usize {
        let free = bounds.calls_max.saturating_sub(self.called).min(self.rate.allowed(elapsed(now), below));
        let before = due.len();
        self.queue(class).take_due(now, bounds.lines_max, free.min(most), due);
        let calls = due.len() - before;
        self.called += calls;
        self.rate.spend(calls);
        calls
    }

    /// Whether a class makes way for another room: beside its turns it calls nothing.
    fn yields_elsewhere(&self, below: usize) -> bool {
        self.yields_from.is_some_and(|from| below >= from)
    }

    /// How a class stands to the more urgent ones, which want to call as well.
    fn standing(&self, now: Tick, below: usize, bounds: Bounds, late_after: [Duration; CLASSES]) -> Standing {
        if self.yields_elsewhere(below) {
            return Standing::BehindLate;
        }
        let urgent = self.classes.iter().zip(late_after).take(below);
        let standings = urgent.filter(|(queue, _)| queue.wants(now, bounds.lines_max)).map(|(queue, late_after)| {
            let age_ms = queue.oldest_ms().map_or(0, |oldest| now_micros() / 1_000 - oldest);
            let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or_default());
            if age > late_after { Standing::BehindLate } else { Standing::Behind }
        });
        standings.max().unwrap_or_default()
    }

    fn next_due(&self, now: Tick) -> Option<Tick> {
        let classes = self.classes.iter().enumerate();
        let due = classes.filter_map(|(below, queue)| {
            let paced = now.after(self.rate.wait(elapsed(now), below));
            let turn = if self.yields_elsewhere(below) { self.turns.next(below) } else { now };
            queue.next_due(now).map(|due| due.max(paced).max(turn))
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

    /// Whether it would call now if it could.
    fn wants(&self, now: Tick, lines_max: usize) -> bool {
        let is_due = |gathering: &Gathering<E>| gathering.items.len() >= lines_max || gathering.due <= now;
        !self.alone.is_empty() || !self.waiting.is_empty() || self.gathering.values().any(is_due)
    }

    /// About of when its oldest event is: each part is in the order in which they came.
    fn oldest_ms(&self) -> Option<i64> {
        let of = |item: &Item<E>| item.record.timestamp_ms;
        let gathering = self.gathering.values().filter_map(|gathering| gathering.items.first().and_then(of));
        let alone = self.alone.front().and_then(of);
        let waiting = self.waiting.front().and_then(|(_, timestamp_ms)| *timestamp_ms);
        gathering.chain(alone).chain(waiting).min()
    }

    fn next_due(&self, now: Tick) -> Option<Tick> {
        let alone = (!self.alone.is_empty()).then_some(now);
        self.gathering.values().map(|gathering| gathering.due).chain(alone).min()
    }
}

impl<E: Effect> Default for Queue<E> {
    fn default() -> Self {
        Self { gathering: BTreeMap::new(), alone: VecDeque::new(), waiting: VecDeque::new(), held: 0, released: 0 }
    }
}

/// A tick as the pure parts count time.
fn elapsed(now: Tick) -> Duration {
    now.since(Tick::default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test")]
#[path = "targets_tests.rs"]
mod tests;
