//! Follows events from a start to their end, over the events in between, by what each says it follows from.
//!
//! The id of a message is shared by all that the message said, so it cannot tell which of three usages was posted. The cause of
//! each event can: what waits is known by the newest event of its chain, and is renamed when the next one comes. Records of
//! several topics are read in any order, so what comes before its cause is kept for a while.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most events that wait; beyond it the oldest is given up and counts as missed.
    pub waiting_max: usize,
    /// Most settled ones that are remembered, so that a second record about one does not count again.
    pub settled_max: usize,
    /// Most records that came before their cause.
    pub early_max: usize,
    /// An event that waits for longer is given up and counts as missed, milliseconds.
    pub age_max_ms: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { waiting_max: 200_000, settled_max: 50_000, early_max: 50_000, age_max_ms: 7 * 24 * 3_600_000 }
    }
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It arrived.
    Done,
    /// A rule or a person left it out, or it was a duplicate: it will not arrive and need not.
    LeftOut,
    /// It cannot arrive any more: a dead letter, or given up after a bound.
    Lost,
}

/// One fact about a chain, with times in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// An event that starts waiting.
    Started { id: u128, at_ms: i64 },
    /// An event on the way.
    Stepped { id: u128, cause: u128 },
    /// The end of waiting for what this cause belongs to.
    Ended { cause: u128, at_ms: i64, how: How },
}

/// What waiting became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub start_ms: i64,
    pub end_ms: i64,
    pub how: How,
    /// What it was taken for before: a note about it had been read before its event.
    pub instead_of: Option<(How, i64)>,
}

/// Everything that waits on one way.
#[derive(Debug)]
pub(super) struct Tracker {
    bounds: Bounds,
    waiting: HashMap<u128, Waiting>,
    /// Oldest first.
    order: BTreeSet<(i64, u128)>,
    settled: Recent<Ending>,
    early: Recent<Early>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    start: u128,
    start_ms: i64,
    /// What it was taken for before its next event was read.
    instead_of: Option<(How, i64)>,
}

/// How something ended.
#[derive(Clone, Copy, Debug)]
struct Ending {
    start_ms: i64,
    how: How,
    end_ms: i64,
    /// An event that follows from it waits again in its place.
    goes_on: bool,
}

#[derive(Clone, Copy, Debug)]
enum Early {
    Step(u128),
    End(i64, How),
}

impl Tracker {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            waiting: HashMap::new(),
            order: BTreeSet::new(),
            settled: Recent::new(bounds.settled_max),
            early: Recent::new(bounds.early_max),
        }
    }

    /// Takes a fact; `settle` is told of what ended by it.
    pub fn take(&mut self, fact: Fact, mut settle: impl FnMut(Settled)) {
        match fact {
            Fact::Started { id, at_ms } => {
                if self.waiting.contains_key(&id) || self.settled.get(id).is_some() {
                    return;
                }
                self.open(id, Waiting { start: id, start_ms: at_ms, instead_of: None });
                self.catch_up(id, &mut settle);
                while self.waiting.len() > self.bounds.waiting_max
                    && let Some((_, oldest)) = self.order.first().copied()
                {
                    self.end(oldest, at_ms, How::Lost, &mut settle);
                }
            }
            Fact::Stepped { id, cause } => match self.close(cause).or_else(|| self.reopened(id, cause)) {
                Some(waiting) => {
                    self.open(id, waiting);
                    self.catch_up(id, &mut settle);
                }
                None if self.settled.get(cause).is_some() => {}
                None => self.early.put(cause, Early::Step(id)),
            },
            Fact::Ended { cause, at_ms, how } => {
                if !self.end(cause, at_ms, how, &mut settle) {
                    self.early.put(cause, Early::End(at_ms, how));
                }
            }
        }
    }

    /// Gives up what has waited for longer than anything may.
    pub fn expire(&mut self, now_ms: i64, mut settle: impl FnMut(Settled)) {
        while let Some((start_ms, id)) = self.order.first().copied() {
            if now_ms - start_ms <= self.bounds.age_max_ms {
                return;
            }
            self.end(id, now_ms, How::Lost, &mut settle);
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When each of what waits began, oldest first, milliseconds since 1970.
    pub fn starts_ms(&self) -> impl Iterator<Item = i64> {
        self.order.iter().map(|(start_ms, _)| *start_ms)
    }

    /// Follows what had come before its cause.
    fn catch_up(&mut self, mut id: u128, settle: &mut impl FnMut(Settled)) {
        while let Some(early) = self.early.remove(id) {
            match early {
                Early::End(at_ms, how) => {
                    self.end(id, at_ms, how, settle);
                    return;
                }
                Early::Step(next) => {
                    let Some(waiting) = self.close(id) else { return };
                    self.open(next, waiting);
                    id = next;
                }
            }
        }
    }

    /// Whether the cause is known.
    fn end(&mut self, id: u128, end_ms: i64, how: How, settle: &mut impl FnMut(Settled)) -> bool {
        if let Some(waiting) = self.close(id) {
            let Waiting { start, start_ms, instead_of } = waiting;
            settle(Settled { start_ms, end_ms, how, instead_of });
            let ending = Ending { start_ms, how, end_ms, goes_on: false };
            self.settled.put(id, ending);
            self.settled.put(start, ending);
            return true;
        }
        let Some(before) = self.settled.get(id) else { return false };
        if how == How::Done && before.how != How::Done && !before.goes_on {
            let start_ms = before.start_ms;
            settle(Settled { start_ms, end_ms, how, instead_of: Some((before.how, before.end_ms)) });
            self.settled.put(id, Ending { how, end_ms, ..before });
        }
        true
    }

    /// What was taken for left out or lost goes on, when an event that nobody has read yet follows from it: the topics are read in
    /// any order, and a note about an event may be read before what its room gave for it.
    fn reopened(&mut self, id: u128, cause: u128) -> Option<Waiting> {
        let is_known = self.waiting.contains_key(&id) || self.settled.get(id).is_some();
        let before =
            self.settled.get(cause).filter(|before| before.how != How::Done && !before.goes_on && !is_known)?;
        self.settled.put(cause, Ending { goes_on: true, ..before });
        Some(Waiting { start: cause, start_ms: before.start_ms, instead_of: Some((before.how, before.end_ms)) })
    }

    /// What came twice under one id is one chain, from the earlier start on.
    fn open(&mut self, id: u128, waiting: Waiting) {
        let waiting = match self.close(id) {
            Some(before) if before.start_ms <= waiting.start_ms => before,
            _ => waiting,
        };
        self.order.insert((waiting.start_ms, id));
        self.waiting.insert(id, waiting);
    }

    fn close(&mut self, id: u128) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.order.remove(&(waiting.start_ms, id));
        Some(waiting)
    }
}

/// The newest entries, up to a bound.
#[derive(Debug)]
struct Recent<V> {
    most: usize,
    /// Each with its turn: the lower, the longer ago it came.
    entries: HashMap<u128, (u64, V)>,
    order: BTreeMap<u64, u128>,
    next: u64,
}

impl<V: Copy> Recent<V> {
    fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    fn get(&self, id: u128) -> Option<V> {
        self.entries.get(&id).map(|(_, value)| *value)
    }

    /// What is known already keeps its turn.
    fn put(&mut self, id: u128, value: V) {
        if let Some((_, known)) = self.entries.get_mut(&id) {
            *known = value;
            return;
        }
        self.entries.insert(id, (self.next, value));
        self.order.insert(self.next, id);
        self.next += 1;
        while self.order.len() > self.most {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.entries.remove(&oldest);
            }
        }
    }

    /// Its turn goes with it: one that stayed would end an entry of the same id that comes later before its time.
    fn remove(&mut self, id: u128) -> Option<V> {
        let (turn, value) = self.entries.remove(&id)?;
        self.order.remove(&turn);
        Some(value)
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
