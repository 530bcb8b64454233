//! Instances of rooms: started, watched, started again after a failure or a death, as an orchestrator and the supervisor of
//! the runtime do.

use super::cluster::{SimCluster, TRANSACTION};
use super::erp::{Client, Erp};
use super::task;
use super::toy::{POST, Post, VALIDATE, Validate};
use super::variant::Variant;
use super::world::{Actor, Pid, Turn, world};
use connector::effect::EffectClient;
use processor::{TableFeed, Wiring};
use runtime::codec::Codec;
use runtime::config::{Config, KafkaConfig, Limits, WaitBudget};
use runtime::health::Health;
use runtime::metrics::RoomMetrics;
use runtime::wake::WakeInbox;
use runtime::{
    EffectRoom, Loop, Next, ProcessorRoom, RoomContext, RoomError, Shutdown, ShutdownTrigger, TableReader, shutdown,
};
use schemas::topics;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Most records that an effect room holds.
pub(crate) const IN_FLIGHT_MAX: usize = 12;
/// How long an event may wait before its key is parked behind an exception.
pub(crate) const WAIT_BUDGET: Duration = Duration::from_secs(6);
/// How often an instance is looked at.
const WATCH: Duration = Duration::from_millis(250);
/// A process that was asked to stop is killed after so long.
const GRACE: Duration = Duration::from_secs(8);

/// Which room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Validate,
    Post,
}

/// What all instances of a run share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub codec: Arc<Codec>,
    pub handle: Handle,
    pub erp: Erp,
    pub variant: Variant,
}

/// What others may ask of an instance.
#[derive(Default)]
pub(crate) struct Control {
    /// The process that it is now.
    pub pid: Cell<Option<Pid>>,
    /// It should stop, and start again after so long.
    pub stop: Cell<Option<Duration>>,
}

/// One instance of a room.
pub(crate) struct Instance {
    kind: Kind,
    name: String,
    shared: Shared,
    control: Rc<Control>,
    phase: Phase,
    failures: u32,
}

enum Phase {
    /// No process; one starts at this time.
    Down(Duration),
    /// The tables are being filled.
    Filling(Box<Start>),
    /// The loops work.
    Running(Box<Start>),
    /// A loop has failed; the room starts again in the same process at this time.
    Failed(Pid, Duration),
    /// The process was asked to stop: killed after the first time, started again that long after its end.
    Stopping(Box<Start>, Duration, Duration),
}

/// One start of a room in a process.
struct Start {
    pid: Pid,
    context: RoomContext,
    trigger: ShutdownTrigger,
    status: Rc<Status>,
    room: Room,
}

enum Room {
    Validate(ProcessorRoom<Validate>),
    Post(EffectRoom<Post>),
}

/// What the loops of one start report.
#[derive(Default)]
struct Status {
    /// Table readers that are not caught up.
    behind: Cell<usize>,
    /// Loops that have not ended.
    loops: Cell<usize>,
    failed: RefCell<Option<String>>,
}

impl Instance {
    pub fn new(kind: Kind, number: usize, shared: Shared) -> (Self, Rc<Control>) {
        let control = Rc::new(Control::default());
        let instance = Self {
            kind,
            name: format!("pod-{number}"),
            shared,
            control: Rc::clone(&control),
            phase: Phase::Down(Duration::ZERO),
            failures: 0,
        };
        (instance, control)
    }

    fn start(&mut self, pid: Pid) -> Phase {
        self.control.pid.set(Some(pid));
        let started = world().survives(|| self.open_tables(pid));
        match started {
            None => self.down_later(),
            Some(Ok(start)) => Phase::Filling(Box::new(start)),
            Some(Err(error)) => self.fail(pid, &error.to_string()),
        }
    }

    fn open_tables(&self, pid: Pid) -> Result<Start, RoomError> {
        let (trigger, stop) = shutdown();
        let config = Arc::new(config(&self.name));
        let name = if self.kind == Kind::Validate { VALIDATE } else { POST };
        let context = RoomContext {
            config: Arc::clone(&config),
            codec: Arc::clone(&self.shared.codec),
            shutdown: stop,
            health: Health::new().room(name),
            metrics: RoomMetrics::new(name),
        };
        let status = Rc::new(Status::default());
        let room = match self.kind {
            Kind::Validate => {
                let wiring = Wiring::new(VALIDATE, "a processor", Validate, topics::SUPPLY_USAGE_VALIDATED_V1);
                Room::Validate(ProcessorRoom::new(Arc::new(wiring), &config))
            }
            Kind::Post => {
                let client = Client { erp: self.shared.erp.clone(), variant: self.shared.variant };
                let client: Arc<dyn EffectClient<_, _>> = Arc::new(client);
                Room::Post(EffectRoom::new(POST, Arc::new(Post), client, &config))
            }
        };
        let (feeds, inboxes) = match &room {
            Room::Validate(room) => (room.feeds().to_vec(), room.inboxes().to_vec()),
            Room::Post(room) => (room.feeds().to_vec(), room.inboxes().to_vec()),
        };
        let start = Start { pid, context, trigger, status, room };
        for feed in feeds {
            self.open_table(&start, feed, inboxes.clone())?;
        }
        Ok(start)
    }

    fn open_table(&self, start: &Start, feed: Arc<dyn TableFeed>, inboxes: Vec<WakeInbox>) -> Result<(), RoomError> {
        let cluster = SimCluster::new(start.pid, self.shared.variant);
        let codec = Arc::clone(&self.shared.codec);
        let stop = start.context.shutdown.clone();
        let inboxes = if self.shared.variant == Variant::NeverUnpark { Vec::new() } else { inboxes };
        let reader = TableReader::open(&cluster, feed, codec, inboxes, stop, self.shared.handle.clone())?;
        let status = Rc::clone(&start.status);
        status.behind.set(status.behind.get() + 1);
        let caught_up = Cell::new(false);
        let look = move |reader: &TableReader<_>| {
            if reader.is_caught_up() && !caught_up.replace(true) {
                status.behind.set(status.behind.get() - 1);
            }
        };
        start.spawn("table", reader, look);
        Ok(())
    }

    fn open_loops(&self, start: &Start) -> Result<(), RoomError> {
        let cluster = SimCluster::new(start.pid, self.shared.variant);
        let handle = self.shared.handle.clone();
        match &start.room {
            Room::Validate(room) => {
                let (worker, committer) = room.worker(0, &cluster, &start.context, handle)?;
                start.spawn("worker", worker, |_| ());
                start.spawn("committer", committer, |_| ());
            }
            Room::Post(room) => {
                let pid = start.pid;
                let calls = Arc::new(move |call| task::spawn(pid, call));
                let loops = room.open(&cluster, &start.context, calls, handle)?;
                let (engine, intake, intents, settler, recall) = loops.split();
                start.spawn("engine", engine, |_| ());
                start.spawn("intake", intake, |_| ());
                start.spawn("intents", intents, |_| ());
                start.spawn("settler", settler, |_| ());
                start.spawn("recall", recall, |_| ());
            }
        }
        Ok(())
    }

    /// Gets the loops going when the tables are filled.
    fn fill(&mut self, start: Box<Start>) -> Phase {
        if start.status.behind.get() > 0 {
            return Phase::Filling(start);
        }
        match world().survives(|| self.open_loops(&start)) {
            None => self.down_later(),
            Some(Ok(())) => Phase::Running(start),
            Some(Err(error)) => {
                start.trigger.stop();
                self.fail(start.pid, &error.to_string())
            }
        }
    }

    fn watch(&mut self, start: Box<Start>) -> Phase {
        if let Some(pause) = self.control.stop.take() {
            world().note("stop", || format!("{} {}", self.name, start.pid));
            start.trigger.stop();
            return Phase::Stopping(start, world().now() + GRACE, pause);
        }
        let failed = start.status.failed.borrow().clone();
        match failed {
            None => Phase::Running(start),
            Some(reason) => {
                // Whatever the room has started ends with it.
                start.trigger.stop();
                self.fail(start.pid, &reason)
            }
        }
    }

    fn fail(&mut self, pid: Pid, reason: &str) -> Phase {
        self.failures += 1;
        world().note("room-failed", || format!("{} {pid} {reason}", self.name));
        Phase::Failed(pid, world().now() + Duration::from_millis(200 << self.failures.min(4)))
    }

    fn down_later(&self) -> Phase {
        let pause = world().random(|prng| prng.between(Duration::from_millis(100), Duration::from_secs(4)));
        Phase::Down(world().now() + pause)
    }
}

impl Actor for Instance {
    fn turn(&mut self) -> Turn {
        let world = world();
        let dead = |pid: Pid| world.is_dead(pid);
        let phase = std::mem::replace(&mut self.phase, Phase::Down(Duration::MAX));
        self.phase = match phase {
            Phase::Down(at) if world.now() >= at => {
                let pid = Pid::try_from(world.number()).unwrap_or_default();
                world.note("start", || format!("{:?} {} {pid}", self.kind, self.name));
                self.failures = 0;
                self.start(pid)
            }
            Phase::Down(at) => Phase::Down(at),
            Phase::Filling(start) | Phase::Running(start) | Phase::Stopping(start, _, _) if dead(start.pid) => {
                self.down_later()
            }
            Phase::Failed(pid, _) if dead(pid) => self.down_later(),
            Phase::Filling(start) => self.fill(start),
            Phase::Running(start) => self.watch(start),
            Phase::Failed(pid, at) if world.now() >= at => self.start(pid),
            Phase::Failed(pid, at) => Phase::Failed(pid, at),
            Phase::Stopping(start, until, pause) => {
                if start.status.loops.get() == 0 || world.now() >= until {
                    world.kill(start.pid);
                    Phase::Down(world.now() + pause)
                } else {
                    Phase::Stopping(start, until, pause)
                }
            }
        };
        Turn::After(WATCH)
    }
}

impl Start {
    fn spawn<L: Loop + 'static>(&self, name: &'static str, one: L, look: impl Fn(&L) + 'static) {
        self.status.loops.set(self.status.loops.get() + 1);
        let turns =
            Turns { one, look, status: Rc::clone(&self.status), stop: self.context.shutdown.clone(), failed: None };
        world().spawn(Some(self.pid), name, Duration::ZERO, Box::new(turns));
    }
}

/// Gives a loop of the runtime its turns.
struct Turns<L, W> {
    one: L,
    look: W,
    status: Rc<Status>,
    stop: Shutdown,
    failed: Option<String>,
}

impl<L: Loop, W: Fn(&L)> Actor for Turns<L, W> {
    fn turn(&mut self) -> Turn {
        let next = self.one.turn(Duration::ZERO);
        (self.look)(&self.one);
        match next {
            Ok(Next::Within(longest)) => {
                // The system gives turns when it likes.
                Turn::After(world().random(|prng| {
                    let spread = longest * 2 + Duration::from_micros(200);
                    prng.between(Duration::ZERO, spread)
                }))
            }
            Ok(Next::After(_)) if self.stop.requested() => Turn::After(Duration::ZERO),
            Ok(Next::After(delay)) => Turn::After(delay),
            Ok(Next::Ended) => self.end(),
            Err(error) => {
                self.failed = Some(error.to_string());
                self.end()
            }
        }
    }
}

impl<L: Loop, W: Fn(&L)> Turns<L, W> {
    fn end(&mut self) -> Turn {
        self.one.leave();
        self.status.loops.set(self.status.loops.get().saturating_sub(1));
        if let Some(reason) = self.failed.take() {
            self.status.failed.borrow_mut().get_or_insert(reason);
        }
        Turn::Done
    }
}

fn config(instance: &str) -> Config {
    let budget = u64::try_from(WAIT_BUDGET.as_millis()).unwrap_or(u64::MAX);
    Config {
        kafka: KafkaConfig {
            instance: instance.to_owned(),
            session_timeout_ms: 6_000,
            transaction_timeout_ms: u32::try_from(TRANSACTION.as_millis()).unwrap_or(u32::MAX),
            ..KafkaConfig::default()
        },
        limits: Limits {
            batch_records_max: 8,
            lanes_max: 6,
            records_in_flight_max: IN_FLIGHT_MAX,
            retry_delay_ms: 100,
            retry_delay_max_ms: 1_500,
            wait_budget_ms: WaitBudget { patient_adjacent: budget, operational: budget, analytical: budget },
            parked_max: 10_000,
            parked_places_max: 2,
            effects_max: 10_000,
            drain_ms: 2_000,
            ..Limits::default()
        },
        ..Config::default()
    }
}
