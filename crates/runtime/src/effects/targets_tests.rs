//! A target after an outage, in virtual time.

use super::*;
use crate::clock::{VirtualTime, now_micros, simulate, tick};
use crate::effects::key_id::KeyId;
use crate::record::{Place, Record};
use connector::effect::{Action, Plan};
use processor::{Reason, Verdict};
use schemas::{ErpPosting, SupplyUsage};
use std::cell::Cell;
use std::num::NonZeroU32;

/// One call takes so long; four go at once, so the target takes forty in a second.
const CALL: Duration = Duration::from_millis(100);
const BOUNDS: Bounds = Bounds { lines_max: 1, calls_max: 4 };
const SECOND: Duration = Duration::from_secs(1);

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(SECOND) };
}

struct TestTime;

impl VirtualTime for TestTime {
    fn since_start(&self) -> Duration {
        NOW.get()
    }

    fn pass(&self, longest: Duration) {
        NOW.set(NOW.get() + longest);
    }
}

#[derive(Clone)]
struct Toy;

impl Effect for Toy {
    type Input = SupplyUsage;
    type Output = ErpPosting;
    type Tables = ();
    type Request = ();
    type Response = ();

    fn prior_key(&self, _input: &SupplyUsage) -> Option<String> {
        None
    }

    fn plan(&self, _input: &SupplyUsage, _prior: Option<&ErpPosting>, _tables: &()) -> Plan<(), ErpPosting> {
        Plan::Decided(Verdict::Emit(Vec::new()))
    }

    fn settle(&self, _input: &SupplyUsage, _request: &(), _response: &()) -> Verdict<ErpPosting> {
        Verdict::Drop(Reason::new(processor::Code::new("WL-4001"), "toy", "toy"))
    }

    fn output_key(&self, output: &ErpPosting) -> String {
        output.effect_key.clone()
    }
}

/// A target with what waits for it, and the calls that were made.
struct World {
    targets: Targets<Toy>,
    beside: Arc<Beside>,
    waiting: BTreeMap<Lane, Item<Toy>>,
    /// Calls under way, by their end.
    running: BTreeMap<(Duration, usize), usize>,
    /// Ends of calls, with the class.
    done: Vec<(Duration, usize)>,
    calls: usize,
}

impl World {
    fn new(pacing: Pacing, most_urgent: usize) -> Self {
        simulate(Some(&TestTime));
        NOW.set(SECOND);
        let beside = Arc::new(Beside::default());
        let mut targets = Targets::new(
            BOUNDS,
            Arc::new(move |_| pacing.clone()),
            Arc::clone(&beside),
            RoomMetrics::new("targets-test"),
        );
        targets.late_after = [2 * SECOND, 60 * SECOND, Duration::MAX];
        targets.most_urgent = most_urgent;
        let (waiting, running) = (BTreeMap::new(), BTreeMap::new());
        Self { targets, beside, waiting, running, done: Vec::new(), calls: 0 }
    }

    /// So many events of a class, of so long ago.
    fn publish(&mut self, below: usize, count: usize, age: Duration) {
        for _ in 0..count {
            self.calls += 1;
            let offset = i64::try_from(self.calls).unwrap();
            let timestamp_ms = now_micros() / 1_000 - i64::try_from(age.as_millis()).unwrap();
            let place = Place { topic: Arc::from("t"), partition: 0, offset };
            let lane = Lane {
                topic: Arc::from("t"),
                partition: 0,
                key: Arc::from(offset.to_string().as_bytes()),
                alone: None,
            };
            let record =
                Record { place, timestamp_ms: Some(timestamp_ms), key: None, value: None, headers: Vec::new() };
            let action =
                Action { effect_key: offset.to_string(), target: "erp".to_owned(), batch_key: None, request: () };
            self.offer(Item {
                lane,
                record: Arc::new(record),
                input: SupplyUsage::default(),
                effect: KeyId::of(&action.effect_key),
                action,
                attempt: 1,
                below,
                intended: None,
            });
        }
    }

    fn offer(&mut self, item: Item<Toy>) {
        if self.targets.admits("erp", item.below, tick()) {
            self.targets.gather(item, true, Duration::ZERO, tick());
        } else {
            self.waiting.insert(item.lane.clone(), item.clone());
            self.targets.wait(item, tick());
        }
    }

    /// Works for so long, as the loop of a room does.
    fn run(&mut self, longest: Duration) {
        let until = NOW.get() + longest;
        while NOW.get() < until {
            for lane in self.targets.released() {
                let item = self.waiting.remove(&lane).unwrap();
                self.targets.begun(&lane);
                self.offer(item);
            }
            for items in self.targets.take_due(tick()) {
                self.calls += 1;
                self.running.insert((NOW.get() + CALL, self.calls), items[0].below);
            }
            NOW.set(NOW.get() + Duration::from_millis(5));
            while let Some(first) = self.running.first_entry().filter(|first| first.key().0 <= NOW.get()) {
                let ((end, _), below) = first.remove_entry();
                self.targets.ended("erp", below, 1, CALL);
                self.done.push((end - SECOND, below));
            }
        }
    }

    /// Calls of a class that have ended before a time.
    fn count(&self, below: usize, before: Duration) -> usize {
        self.done.iter().filter(|(end, class)| *class == below && *end <= before).count()
    }

    /// When the last of so many calls of a class has ended.
    fn drained(&self, below: usize, count: usize) -> Option<Duration> {
        self.done.iter().filter(|(_, class)| *class == below).nth(count - 1).map(|(end, _)| *end)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        simulate(None);
    }
}

impl Clone for Item<Toy> {
    fn clone(&self) -> Self {
        Self {
            lane: self.lane.clone(),
            record: Arc::clone(&self.record),
            input: self.input.clone(),
            action: self.action.clone(),
            effect: self.effect,
            attempt: self.attempt,
            below: self.below,
            intended: None,
        }
    }
}

/// KEY-1: with a backlog in every class the most urgent one drains first, then the next, and each has its turns all the time.
#[test]
fn key_1_after_an_outage_the_urgent_drain_first_and_nobody_starves() {
    let mut world = World::new(Pacing::default(), 0);
    for below in [2, 1, 0] {
        world.publish(below, 400, 600 * SECOND);
    }
    world.run(40 * SECOND);
    let drained = [0, 1, 2].map(|below| world.drained(below, 400).unwrap());
    assert!(drained[0] < drained[1] && drained[1] < drained[2], "{drained:?}");
    // Alone it takes 10 s; each of the others takes a tenth.
    assert!(drained[0] <= Duration::from_millis(13_000), "{drained:?}");
    for below in [1, 2] {
        let meanwhile = world.count(below, drained[0]);
        assert!((30..=60).contains(&meanwhile), "class {below} made {meanwhile} calls meanwhile");
        // From the beginning, and not at the end of the wait.
        assert!(world.count(below, drained[0] / 4) >= 6, "class {below} waits long");
    }
    assert!(drained[2] <= Duration::from_millis(31_500), "the target stood idle: {drained:?}");
}

/// What is not late any more shares: the others need not wait until it is through.
#[test]
fn a_class_that_is_in_time_leaves_every_second_call() {
    let mut world = World::new(Pacing::default(), 0);
    world.publish(1, 100, 600 * SECOND);
    world.publish(0, 40, Duration::ZERO);
    world.run(SECOND + CALL);
    let (urgent, other) = (world.count(0, 2 * SECOND), world.count(1, 2 * SECOND));
    assert!(urgent >= 16 && other >= 16, "{urgent} and {other}");
}

/// KEY-1: also with three classes, none of them late, the most urgent one has its part, and no less than the others.
#[test]
fn key_1_where_every_class_waits_and_none_is_late_each_has_an_even_part() {
    let mut world = World::new(Pacing::default(), 0);
    for below in [2, 1, 0] {
        world.publish(below, 200, Duration::ZERO);
    }
    world.targets.late_after = [Duration::MAX; CLASSES];
    world.run(9 * SECOND);
    let made = [0, 1, 2].map(|below| world.count(below, 10 * SECOND));
    assert!(made.iter().all(|made| (100..=140).contains(made)), "{made:?}");
    assert!(made[0] + 4 >= made[1] && made[0] + 4 >= made[2], "{made:?}");
}

/// A room yields to another one that calls the same endpoint, and is late with what is more urgent.
#[test]
fn key_1_a_room_makes_way_for_another_until_that_one_is_in_time() {
    let pacing = Pacing { yields_to: vec!["erp-post".to_owned()], ..Pacing::default() };
    let mut world = World::new(pacing, 1);
    world.publish(0, 600, 600 * SECOND);
    world.run(CALL);
    world.beside.note("erp-post", Some(0));
    let before = world.count(0, NOW.get());
    world.run(10 * SECOND);
    let made = world.count(0, NOW.get()) - before;
    assert!((30..=50).contains(&made), "one in ten of 400 calls, and those that were under way: {made}");
    // Late with what is no more urgent is no reason to wait.
    world.beside.note("erp-post", Some(1));
    let before = world.count(0, NOW.get());
    world.run(5 * SECOND);
    assert!(world.count(0, NOW.get()) - before >= 190);
    world.beside.note("erp-post", None);
    world.run(10 * SECOND);
    assert!(world.drained(0, 600).is_some());
}

/// BND-1: a lane that was let go on and turns out to have nothing to call for (its effect has happened meanwhile, its event cannot be
/// read, or it was parked) gives its place back: else those behind it would wait for ever.
#[test]
fn bnd_1_who_was_let_go_on_and_does_not_call_keeps_nobody_waiting() {
    let mut world = World::new(Pacing::default(), 0);
    world.publish(0, 100, Duration::ZERO);
    let mut begun = 0;
    while !world.waiting.is_empty() {
        world.targets.take_due(tick()).into_iter().for_each(|_| world.targets.ended("erp", 0, 1, CALL));
        let released = world.targets.released();
        assert!(!released.is_empty(), "{} lanes wait for ever", world.waiting.len());
        for lane in released {
            world.waiting.remove(&lane).unwrap();
            world.targets.begun(&lane);
            begun += 1;
        }
    }
    let held_max = BOUNDS.calls_max * 2;
    assert_eq!(begun, 100 - held_max);
}

/// The same where a budget is what bounds the calls.
#[test]
fn a_turn_counts_by_the_budget_where_there_is_one() {
    let pacing = Pacing { calls_per_minute: NonZeroU32::new(600), burst: NonZeroU32::new(1), ..Pacing::default() };
    let mut world = World::new(pacing, 0);
    world.publish(1, 300, 600 * SECOND);
    world.publish(0, 300, 600 * SECOND);
    world.run(20 * SECOND);
    let (urgent, other) = (world.count(0, 30 * SECOND), world.count(1, 30 * SECOND));
    assert!((170..=190).contains(&urgent) && (15..=25).contains(&other), "{urgent} and {other}");
}
