//! The seeded simulation: the broker's core, the runtime's loops and the world outside on one thread, in virtual time.
//!
//! A seed decides everything: what events come and what becomes of them, who works when, which process dies at which call,
//! what is lost on the way. When the storm is over everything heals, and what is left on the topics and in the ERP must keep
//! every law. The same seed gives the same run, so a failure can be looked at as often as it takes.

mod broker;
mod chaos;
mod checks;
mod client;
mod cluster;
mod erp;
mod evidence;
mod instance;
mod log;
mod people;
mod prng;
mod story;
mod task;
mod toy;
mod trace;
mod variant;
mod world;

pub use variant::Variant;

use chaos::{Chaos, ErpUp};
use checks::Run;
use erp::Erp;
use evidence::Evidence;
use instance::{Instance, Kind, Shared};
use people::{MasterData, Operator, Replayer, Source};
use prng::Prng;
use processor::laws::Violation;
use runtime::codec::Codec;
use runtime::kafka::ClientError;
use schemas::{TopicInfo, topics};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use story::{STORM, Story};
use trace::Trace;
use world::World;

/// Everything must be done so long after the storm.
const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether everything is done.
const LOOK: Duration = Duration::from_secs(4);

/// What came of one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Laws that were broken.
    pub violations: Vec<Violation>,
    /// What else must not happen: a panic, an answer that makes no sense.
    pub broken: Vec<String>,
    /// Hash of everything that happened: the same for the same seed and the same code.
    pub hash: u64,
    /// Turns that actors had.
    pub turns: u64,
    /// Virtual time that passed, seconds.
    pub virtual_seconds: u64,
    /// What happened, line by line, when that was asked for.
    pub lines: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.broken.is_empty()
    }
}

/// What all runs share: schemas are compiled once.
#[derive(Clone)]
pub struct Simulator {
    codec: Arc<Codec>,
    threads: Arc<tokio::runtime::Runtime>,
}

impl Simulator {
    /// Compiles the schemas.
    ///
    /// # Errors
    /// When a contract does not compile.
    pub fn new() -> anyhow::Result<Self> {
        let written: Vec<(&'static TopicInfo, u32)> =
            all_topics().into_iter().filter(|topic| !topic.schema.is_empty()).zip(1..).collect();
        let threads = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { codec: Arc::new(Codec::fixed(&written)?), threads: Arc::new(threads) })
    }

    /// Runs a seed with a variant of the runtime; `keep_lines` tells what happened.
    pub fn run(&self, seed: u64, variant: Variant, keep_lines: bool) -> Report {
        log::captured(|| self.run_captured(seed, variant, keep_lines))
    }

    fn run_captured(&self, seed: u64, variant: Variant, keep_lines: bool) -> Report {
        let mut prng = Prng::new(seed);
        let story = Rc::new(Story::of(&mut prng));
        let world = World::begin(prng.next(), Trace::new(keep_lines));
        let violations = match self.play(&world, &story, variant) {
            Ok(violations) => violations,
            Err(error) => {
                world.broken.borrow_mut().push(error.to_string());
                Vec::new()
            }
        };
        let mut broken = std::mem::take(&mut *world.broken.borrow_mut());
        broken.append(&mut world.broker.borrow_mut().trouble);
        let (hash, lines) = {
            let mut trace = world.trace.borrow_mut();
            (trace.hash(), trace.take_lines())
        };
        let (turns, virtual_seconds) = (world.turns(), world.now().as_secs());
        let report = Report { seed, violations, broken, hash, turns, virtual_seconds, lines };
        World::end();
        report
    }

    fn play(&self, world: &World, story: &Rc<Story>, variant: Variant) -> Result<Vec<Violation>, ClientError> {
        let codec = || Arc::clone(&self.codec);
        let now = world.now();
        world.broker.borrow_mut().start(now);
        client::create_topics(&all_topics().iter().map(|topic| topic.name).collect::<Vec<_>>())?;

        let erp = Erp::default();
        erp.set_trouble(story.trouble);
        let shared = Shared { codec: codec(), handle: self.threads.handle().clone(), erp: erp.clone(), variant };
        let mut controls = Vec::new();
        let rooms =
            (0..story.validators).map(|n| (Kind::Validate, n)).chain((0..story.posters).map(|n| (Kind::Post, n)));
        for (kind, number) in rooms {
            let (instance, control) = Instance::new(kind, number, shared.clone());
            controls.push(control);
            let delay = world.random(|prng| prng.between(Duration::ZERO, Duration::from_secs(2)));
            world.spawn(None, "instance", delay, Box::new(instance));
        }
        let start = Duration::from_secs(2);
        world.spawn(None, "source", start, Box::new(Source::open(codec(), story)?));
        world.spawn(None, "master-data", start, Box::new(MasterData::open(codec(), story)?));
        let diligent = Rc::new(RefCell::new(false));
        let operator = Operator::open(codec(), erp.clone(), Rc::clone(story), Rc::clone(&diligent))?;
        world.spawn(None, "operator", start, Box::new(operator));
        let replayed = Rc::new(RefCell::new(Vec::new()));
        let replayer = Replayer { codec: codec(), left: story.replays, replayed: Rc::clone(&replayed) };
        world.spawn(None, "replayer", STORM / 3, Box::new(replayer));

        world.set_faults(story.faults);
        if !story.calm {
            world.spawn(None, "chaos", start, Box::new(Chaos { instances: controls, erp: erp.clone(), until: STORM }));
        }
        if story.flood {
            let before = erp.trouble();
            erp.set_trouble(erp::Trouble { down: true, ..before });
            world.spawn(None, "erp-up", STORM / 2, Box::new(ErpUp(erp.clone())));
        }
        while world.run_next(STORM) {}

        self.heal(world, &erp);
        *diligent.borrow_mut() = true;
        let evidence = self.settle(world, story, &erp)?;
        let log = std::mem::take(&mut world.trace.borrow_mut().log);
        let run = Run {
            story,
            evidence: &evidence,
            erp: &erp,
            replayed: &replayed.borrow(),
            replays: usize::from(!replayed.borrow().is_empty()),
            handed: &world.handed.borrow(),
            log: &log,
        };
        Ok(run.violations())
    }

    /// Everything that can heal does.
    fn heal(&self, world: &World, erp: &Erp) {
        world.note("heal", String::new);
        world.heal();
        let now = world.now();
        world.broker.borrow_mut().start(now);
        erp.set_trouble(erp::Trouble::default());
    }

    /// Goes on until every event has its outcome and nothing is parked, or time is up.
    fn settle(&self, world: &World, story: &Story, erp: &Erp) -> Result<Evidence, ClientError> {
        let until = world.now() + QUIET_WITHIN;
        let gather = || Evidence::gather(&self.codec).map_err(|error| ClientError::Delivery(error.to_string()));
        loop {
            let next = world.now() + LOOK;
            while world.run_next(next) {}
            let evidence = gather()?;
            let run = Run { story, evidence: &evidence, erp, replayed: &[], replays: 0, handed: &[], log: &[] };
            let lost = run.loss().len();
            let done = lost == 0 && evidence.parked.is_empty() && erp.is_quiet();
            if !done && world.now() >= until {
                world.broken.borrow_mut().push(unsettled(&evidence, lost, erp.is_quiet()));
            }
            if done || world.now() >= until {
                let last = world.now() + LOOK;
                while world.run_next(last) {}
                let names: Vec<&str> = all_topics().iter().map(|topic| topic.name).collect();
                let undecided = client::undecided(world::OUTSIDE, &names).into_iter();
                let hanging = undecided.map(|place| format!("a transaction is never ended: {place}"));
                world.broken.borrow_mut().extend(hanging);
                return gather();
            }
        }
    }
}

/// What has not come to its end. At the end everybody who decides is diligent, so nothing may wait for a person either.
fn unsettled(evidence: &Evidence, lost: usize, erp_is_quiet: bool) -> String {
    let parked = evidence.parked.iter();
    let parked = parked.map(|one| {
        format!("{} in {}, {}", one.id, one.room, if one.asked { "a person is asked" } else { "nobody is asked" })
    });
    let parked: Vec<String> = parked.collect();
    format!(
        "after {} s {} events are still parked ({}), {lost} have not one outcome, the ERP is {}",
        QUIET_WITHIN.as_secs(),
        parked.len(),
        parked.join("; "),
        if erp_is_quiet { "quiet" } else { "not quiet" }
    )
}

fn all_topics() -> Vec<&'static TopicInfo> {
    vec![
        topics::CLINICAL_SUPPLY_USAGE_V1.info(),
        topics::SUPPLY_USAGE_VALIDATED_V1.info(),
        topics::ERP_POSTING_V1.info(),
        topics::MASTER_ITEM_V1.info(),
        topics::OPS_EXCEPTION_V1.info(),
        topics::OPS_PARKED_V1.info(),
        topics::OPS_AUDIT_V1.info(),
        topics::OPS_EFFECT_V1.info(),
        topics::OPS_DEAD_LETTER_V1.info(),
    ]
}
