//! The world of one run: virtual time, who works when, who is dead, and what goes wrong.
//!
//! Everything happens on one thread. An actor works turn by turn. Inside a turn each call of a port is a gate: the process
//! may die there, before or after the effect of the call, or stand still while others work, as deep in its own work as the
//! call is. So a worker can be caught in the middle of its transaction by a rebalance that its siblings go through.

use super::broker::Broker;
use super::client::Members;
use super::prng::Prng;
use super::trace::Trace;
use runtime::clock::VirtualTime;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

/// A process: what dies as a whole.
pub(crate) type Pid = u32;

/// Whoever is outside of all processes. Never dies.
pub(crate) const OUTSIDE: Pid = 0;
/// Deepest nesting of turns inside turns.
const DEPTH_MAX: u32 = 3;
/// Most ticks of the broker in one step of time.
const TICKS_MAX: usize = 100_000;
/// Longest time a call of a port takes when nothing is wrong.
const CALL_MAX: Duration = Duration::from_micros(1_500);

/// What a turn ended with.
pub(crate) enum Turn {
    /// The next one is due after so long, or when somebody wakes the actor.
    After(Duration),
    /// There is no next one.
    Done,
}

/// Whoever works in the world.
pub(crate) trait Actor {
    fn turn(&mut self) -> Turn;
}

/// How often things go wrong, of 10,000 gates.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The process dies.
    pub kill: u64,
    /// The process stands still while others work.
    pub stall: u64,
    /// A request or its answer is lost.
    pub lose: u64,
}

/// What the consumers of the effect room handed out, in order.
#[derive(Clone, Debug)]
pub(crate) enum Handed {
    /// A record, to a consumer of a process.
    Record { pid: Pid, consumer: u64, at_ms: i64, event: String },
    /// The partitions of a consumer have gone, and what it had with them.
    Left { consumer: u64 },
    /// A process is dead.
    Gone { pid: Pid },
}

/// Thrown through the stack of a process that dies.
struct Killed;

struct Slot {
    pid: Option<Pid>,
    name: &'static str,
    due: Duration,
    body: Option<Box<dyn Actor>>,
}

/// The world of one run.
pub(crate) struct World {
    now: Cell<Duration>,
    prng: RefCell<Prng>,
    actors: RefCell<BTreeMap<u64, Slot>>,
    next: Cell<u64>,
    depth: Cell<u32>,
    dead: RefCell<BTreeSet<Pid>>,
    /// Processes that get no time, and until when.
    frozen: RefCell<BTreeMap<Pid, Duration>>,
    faults: Cell<Faults>,
    turns: Cell<u64>,
    pub broker: RefCell<Broker>,
    pub members: RefCell<Members>,
    pub trace: RefCell<Trace>,
    pub handed: RefCell<Vec<Handed>>,
    /// What must not happen, whatever the laws say: a panic of what is tested.
    pub broken: RefCell<Vec<String>>,
}

thread_local! {
    static WORLD: RefCell<Rc<World>> = RefCell::new(Rc::new(World::new(0, Trace::default())));
}

/// The world of this thread.
pub(crate) fn world() -> Rc<World> {
    WORLD.with(|world| Rc::clone(&world.borrow()))
}

/// The clock of the runtime while a world lives on this thread.
pub(crate) struct WorldTime;

impl VirtualTime for WorldTime {
    fn since_start(&self) -> Duration {
        world().now()
    }

    fn pass(&self, longest: Duration) {
        world().pass(longest);
    }
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        Self {
            now: Cell::new(Duration::from_secs(1)),
            prng: RefCell::new(Prng::new(seed)),
            actors: RefCell::default(),
            next: Cell::new(0),
            depth: Cell::new(0),
            dead: RefCell::default(),
            frozen: RefCell::default(),
            faults: Cell::default(),
            turns: Cell::new(0),
            broker: RefCell::default(),
            members: RefCell::default(),
            trace: RefCell::new(trace),
            handed: RefCell::default(),
            broken: RefCell::default(),
        }
    }

    /// Makes a new world and puts it in the place of the one of this thread.
    pub fn begin(seed: u64, trace: Trace) -> Rc<Self> {
        let world = Rc::new(Self::new(seed, trace));
        WORLD.with(|place| *place.borrow_mut() = Rc::clone(&world));
        runtime::clock::simulate(Some(&WorldTime));
        world
    }

    /// Ends the world of this thread: everything that is in it is dropped.
    pub fn end() {
        let actors = std::mem::take(&mut *world().actors.borrow_mut());
        drop(actors);
        WORLD.with(|place| *place.borrow_mut() = Rc::new(Self::new(0, Trace::default())));
        runtime::clock::simulate(None);
    }

    pub fn now(&self) -> Duration {
        self.now.get()
    }

    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    pub fn random<T>(&self, pick: impl FnOnce(&mut Prng) -> T) -> T {
        pick(&mut self.prng.borrow_mut())
    }

    pub fn chance(&self, times: u64) -> bool {
        self.random(|prng| prng.chance(times))
    }

    pub fn number(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.faults.set(faults);
    }

    pub fn faults(&self) -> Faults {
        self.faults.get()
    }

    /// Writes down what happened; the hash of all of it tells whether two runs are the same.
    pub fn note(&self, what: &str, detail: impl FnOnce() -> String) {
        self.trace.borrow_mut().note(self.now(), what, detail);
    }

    /// Tells whoever reads along what happened.
    pub fn tell(&self, what: &str, detail: impl FnOnce() -> String) {
        self.trace.borrow_mut().tell(self.now(), what, detail);
    }

    /// Adds an actor that has its first turn after `delay`.
    pub fn spawn(&self, pid: Option<Pid>, name: &'static str, delay: Duration, body: Box<dyn Actor>) -> u64 {
        let number = self.number();
        let slot = Slot { pid, name, due: self.now() + delay, body: Some(body) };
        self.actors.borrow_mut().insert(number, slot);
        number
    }

    /// Gives an actor its turn now.
    pub fn wake(&self, actor: u64) {
        let now = self.now();
        if let Some(slot) = self.actors.borrow_mut().get_mut(&actor) {
            slot.due = slot.due.min(now);
        }
    }

    pub fn is_dead(&self, pid: Pid) -> bool {
        self.dead.borrow().contains(&pid)
    }

    /// A process dies: nothing of it works any more, and what it said may or may not have been heard.
    pub fn kill(&self, pid: Pid) {
        if self.dead.borrow_mut().insert(pid) {
            self.note("kill", || pid.to_string());
            let gone: Vec<u64> =
                self.actors.borrow().iter().filter(|(_, slot)| slot.pid == Some(pid)).map(|(n, _)| *n).collect();
            for number in gone {
                // Taken out first: dropping it may look at the world.
                let slot = self.actors.borrow_mut().remove(&number);
                drop(slot);
            }
            self.members.borrow_mut().process_died(pid);
            self.handed.borrow_mut().push(Handed::Gone { pid });
        }
    }

    /// A process gets no time for so long; its heartbeats stop too.
    pub fn freeze(&self, pid: Pid, longest: Duration) {
        self.note("freeze", || pid.to_string());
        self.frozen.borrow_mut().insert(pid, self.now() + longest);
    }

    pub fn is_frozen(&self, pid: Pid) -> bool {
        self.frozen.borrow().get(&pid).is_some_and(|until| *until > self.now())
    }

    /// Everything goes well from now on.
    pub fn heal(&self) {
        self.faults.set(Faults::default());
        self.frozen.borrow_mut().clear();
    }

    /// A place where a process may die, stand still or lose time.
    pub fn gate(&self, pid: Pid, what: &'static str) {
        self.die_if_dead(pid);
        self.trace.borrow_mut().step(pid, what);
        let faults = self.faults();
        let (took, kill, stall) = self.random(|prng| {
            let outside = pid == OUTSIDE;
            (
                prng.between(Duration::ZERO, CALL_MAX),
                !outside && prng.chance(faults.kill),
                !outside && prng.chance(faults.stall),
            )
        });
        self.advance_to(self.now() + took);
        if kill {
            self.kill(pid);
            resume_unwind(Box::new(Killed));
        }
        if stall && self.depth.get() < DEPTH_MAX {
            self.stall(pid);
        }
        self.die_if_dead(pid);
    }

    fn die_if_dead(&self, pid: Pid) {
        if self.is_dead(pid) {
            resume_unwind(Box::new(Killed));
        }
    }

    /// Others work, for a few turns or for longer than a session lasts.
    fn stall(&self, pid: Pid) {
        let (longest, turns, frozen) = self.random(|prng| {
            let longest = if prng.chance(1_500) { Duration::from_secs(15) } else { Duration::from_millis(300) };
            (prng.between(Duration::ZERO, longest), 1 + prng.below(60), prng.chance(3_000))
        });
        if frozen {
            self.freeze(pid, longest);
        }
        let until = self.now() + longest;
        self.nested(|| {
            for _ in 0..turns {
                if !self.run_next(until) {
                    break;
                }
            }
        });
        if frozen {
            self.advance_to(until);
        }
    }

    /// Lets time pass up to `longest`; returns early when another actor had a turn meanwhile.
    pub fn pass(&self, longest: Duration) {
        let until = self.now() + longest;
        if self.depth.get() < DEPTH_MAX {
            self.nested(|| self.run_next(until));
        } else {
            self.advance_to(until);
        }
    }

    fn nested<T>(&self, run: impl FnOnce() -> T) -> T {
        self.depth.set(self.depth.get() + 1);
        let done = run();
        self.depth.set(self.depth.get() - 1);
        done
    }

    /// Gives one actor its turn whose time comes before `until`; false when time is up.
    pub fn run_next(&self, until: Duration) -> bool {
        let Some(first) = self.soonest() else {
            self.advance_to(until);
            return false;
        };
        if first > until {
            self.advance_to(until);
            return false;
        }
        self.advance_to(first.max(self.now()));
        let ready = self.ready();
        let Some(number) = self.random(|prng| ready.get(prng.index(ready.len())).copied()) else { return true };
        self.run(number);
        true
    }

    fn soonest(&self) -> Option<Duration> {
        let frozen = self.frozen.borrow();
        let due = |slot: &Slot| {
            let thawed = slot.pid.and_then(|pid| frozen.get(&pid).copied()).unwrap_or_default();
            slot.due.max(thawed)
        };
        self.actors.borrow().values().filter(|slot| slot.body.is_some()).map(due).min()
    }

    fn ready(&self) -> Vec<u64> {
        let now = self.now();
        let awake = |slot: &&Slot| slot.body.is_some() && slot.due <= now;
        let able = |slot: &Slot| slot.pid.is_none_or(|pid| !self.is_frozen(pid));
        let actors = self.actors.borrow();
        actors.iter().filter(|(_, slot)| awake(slot) && able(slot)).map(|(number, _)| *number).collect()
    }

    fn run(&self, number: u64) {
        let taken = self.actors.borrow_mut().get_mut(&number).and_then(|slot| Some((slot.body.take()?, slot.name)));
        let Some((mut body, name)) = taken else { return };
        self.turns.set(self.turns.get() + 1);
        self.trace.borrow_mut().step(u32::MAX, name);
        if let Some(slot) = self.actors.borrow_mut().get_mut(&number) {
            // Whoever is woken during its own turn has another one.
            slot.due = Duration::MAX;
        }
        let depth = self.depth.get();
        let ended = catch_unwind(AssertUnwindSafe(|| body.turn()));
        self.depth.set(depth);
        let next = match ended {
            Ok(Turn::After(delay)) => Some(self.now() + delay),
            Ok(Turn::Done) => None,
            Err(cause) => {
                if !cause.is::<Killed>() {
                    self.broken.borrow_mut().push(format!("{name} panicked: {}", text_of(&*cause)));
                }
                None
            }
        };
        let mut actors = self.actors.borrow_mut();
        match (actors.get_mut(&number), next) {
            (Some(slot), Some(next)) => {
                slot.due = slot.due.min(next);
                slot.body = Some(body);
            }
            (_, _) => {
                actors.remove(&number);
                drop(actors);
                drop(body);
            }
        }
    }

    /// Runs a part of a process that may die in it; none when it did.
    pub fn survives<T>(&self, run: impl FnOnce() -> T) -> Option<T> {
        let depth = self.depth.get();
        let ended = catch_unwind(AssertUnwindSafe(run));
        self.depth.set(depth);
        match ended {
            Ok(value) => Some(value),
            Err(cause) => {
                if !cause.is::<Killed>() {
                    self.broken.borrow_mut().push(format!("start panicked: {}", text_of(&*cause)));
                }
                None
            }
        }
    }

    /// Time goes on: the broker and the heartbeats of the clients get their turns.
    pub fn advance_to(&self, until: Duration) {
        for _ in 0..TICKS_MAX {
            let broker = self.broker.borrow().next_deadline();
            let heartbeat = self.members.borrow().next_heartbeat();
            let Some(next) = broker.into_iter().chain(heartbeat).min().filter(|next| *next <= until) else { break };
            self.now.set(self.now().max(next));
            if broker.is_some_and(|due| due <= self.now()) {
                self.broker.borrow_mut().tick(self.now());
            }
            super::client::beat(self);
        }
        if self.now() < until && self.broker.borrow().next_deadline().is_some_and(|due| due <= self.now()) {
            self.broken.borrow_mut().push("the broker asks for a tick and does nothing with it".to_owned());
        }
        self.now.set(self.now().max(until));
    }
}

fn text_of(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}
