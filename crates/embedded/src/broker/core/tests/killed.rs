//! The process dies at every byte it writes, and the disk fills up: what was acknowledged is there, in order, once.

use proptest::prelude::*;

use super::transactions::{Producer, position};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Plain(u8),
    Idempotent(u8),
    Begin,
    Transactional(u8),
    End(bool),
    Wait,
    Restart,
    Full(u16),
    Free,
    Kill(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4_u8).prop_map(Step::Plain),
        4 => (1..4_u8).prop_map(Step::Idempotent),
        3 => Just(Step::Begin),
        5 => (1..4_u8).prop_map(Step::Transactional),
        4 => any::<bool>().prop_map(Step::End),
        1 => Just(Step::Wait),
        1 => Just(Step::Restart),
        1 => (0..400_u16).prop_map(Step::Full),
        1 => Just(Step::Free),
        2 => (0..800_u16).prop_map(Step::Kill),
    ]
}

/// What must be seen, and what may be.
#[derive(Default)]
struct Model {
    /// Acknowledged outside of transactions, and in those that have committed.
    certain: Vec<String>,
    /// Sent, and not acknowledged: they may be there.
    possible: Vec<String>,
    open: Vec<String>,
    /// An end whose answer was lost.
    in_doubt: Vec<String>,
}

struct Story {
    bench: Bench,
    model: Model,
    producer: Option<Producer>,
    sequence: i32,
    n: u32,
}

impl Story {
    fn new() -> Self {
        let options = CoreOptions { segment_bytes: 700, ..CoreOptions::default() };
        let mut bench = Bench::over(MemoryStorage::new(), options);
        bench.create("t", 1, &[]);
        bench.create("u", 1, &[]);
        Self { bench, model: Model::default(), producer: None, sequence: 0, n: 0 }
    }

    fn values(&mut self, count: u8) -> Vec<String> {
        let values = (0..count).map(|i| format!("v{}", self.n + u32::from(i)));
        let values = values.collect();
        self.n += u32::from(count);
        values
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Plain(count) => {
                let values = self.values(*count);
                let (code, _) = self.bench.produce("t", &refs(&values));
                let sent = if code == 0 { &mut self.model.certain } else { &mut self.model.possible };
                sent.extend(values);
            }
            Step::Idempotent(count) => self.idempotent(*count),
            Step::Begin => self.begin(),
            Step::Transactional(count) => self.transactional(*count),
            Step::End(commit) => self.end(*commit),
            Step::Wait => {
                self.bench.now_ms += 10_000;
                self.bench.core.tick(self.bench.now_ms);
            }
            Step::Restart => self.restart(),
            Step::Full(room) => {
                self.bench.storage.set_capacity(Some(self.bench.storage.used() + u64::from(*room)));
            }
            Step::Free => self.free(),
            Step::Kill(bytes) => self.bench.storage.kill_after(u64::from(*bytes)),
        }
        if self.bench.storage.is_dead() {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.bench.storage.set_capacity(None);
        self.bench.restart();
    }

    /// The disk has room again while the broker goes on: what was to end has ended, and the next producer is let in.
    fn free(&mut self) {
        self.bench.storage.set_capacity(None);
        self.bench.now_ms += 1_000;
        self.bench.core.tick(self.bench.now_ms);
        if self.producer.is_none() {
            let admitted = Producer::try_new(&mut self.bench, "p").is_some();
            assert!(admitted || self.bench.storage.is_dead(), "a transaction never ends");
        }
    }

    /// Sends until it is acknowledged, as a client with idempotence does.
    fn idempotent(&mut self, count: u8) {
        let values = self.values(count);
        let writer = Writer { id: 1_000, epoch: 0, sequence: self.sequence, transactional: false };
        let records = batch(writer, &refs(&values), self.bench.now_ms);
        for attempt in 0.. {
            let code = self.bench.produce_raw("t", None, records.clone()).error_code;
            if code == 0 {
                break;
            }
            assert!(attempt < 2, "still refused with {code}");
            self.restart();
        }
        self.sequence += i32::from(count);
        self.model.certain.extend(values);
    }

    fn begin(&mut self) {
        if self.producer.is_some() {
            return;
        }
        if self.bench.storage.is_dead() {
            self.restart();
        }
        let producer = Producer::try_new(&mut self.bench, "p");
        let add = |producer: &Producer| ["t", "u"].iter().all(|topic| producer.add(&mut self.bench, topic) == 0);
        self.producer = producer.filter(add);
    }

    fn transactional(&mut self, count: u8) {
        let values = self.values(count);
        let Some(producer) = &mut self.producer else { return };
        if producer.write(&mut self.bench, "t", &refs(&values)) == 0 {
            self.model.open.extend(values);
        } else {
            // A client aborts then. What was sent may be in the log, and must never be seen.
            self.restart();
            self.producer = None;
            self.model.open.clear();
            assert!(Producer::try_new(&mut self.bench, "p").is_some(), "this aborts what was open");
        }
    }

    fn end(&mut self, commit: bool) {
        let Some(producer) = self.producer.take() else { return };
        let mut code = producer.end(&mut self.bench, commit);
        if code != 0 {
            self.restart();
            code = producer.end(&mut self.bench, commit);
        }
        assert!(code == 0, "{code}");
        let open = std::mem::take(&mut self.model.open);
        if commit {
            self.model.certain.extend(open);
        }
    }

    fn check(&mut self) {
        self.restart();
        if self.producer.take().is_some() {
            self.model.open.clear();
            assert!(Producer::try_new(&mut self.bench, "p").is_some());
        }
        let seen = self.bench.values("t", true);
        let unique: std::collections::BTreeSet<&String> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len(), "seen twice: {seen:?}");
        let allowed = self.model.certain.iter().chain(&self.model.possible).chain(&self.model.in_doubt);
        let allowed: std::collections::BTreeSet<&String> = allowed.collect();
        assert!(unique.is_subset(&allowed), "seen, but aborted or never sent: {:?}", unique.difference(&allowed));
        let certain: std::collections::BTreeSet<&String> = self.model.certain.iter().collect();
        assert!(certain.is_subset(&unique), "lost: {:?}", certain.difference(&unique));
        let order: Vec<u32> = seen.iter().map(|value| value[1..].parse().unwrap()).collect();
        assert!(order.is_sorted(), "out of order: {seen:?}");
    }
}

fn refs(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_was_acknowledged_is_there_in_order_once(steps in proptest::collection::vec(step(), 1..60)) {
        let mut story = Story::new();
        for step in &steps {
            story.run(step);
        }
        story.check();
    }
}

#[test]
fn a_story_killed_at_every_byte_keeps_its_promises() {
    for bytes in 0..9_000 {
        let mut story = Story::new();
        story.bench.storage.kill_after(bytes);
        for step in [
            Step::Plain(2),
            Step::Begin,
            Step::Transactional(2),
            Step::Idempotent(3),
            Step::End(true),
            Step::Begin,
            Step::Transactional(1),
            Step::Plain(1),
            Step::End(false),
            Step::Idempotent(2),
            Step::Begin,
            Step::Transactional(3),
            Step::End(true),
        ] {
            story.run(&step);
        }
        let survived = !story.bench.storage.is_dead() && story.bench.storage.writes_left() != Some(0);
        let finished = survived && story.bench.storage.writes_left().is_some();
        story.check();
        if finished {
            assert!(bytes > 1_000);
            return;
        }
    }
    panic!("the story never came to its end");
}

/// What a transaction over two topics and the positions of a group has come to, after the disk was full while it ended.
fn ended_on_a_full_disk(room: u64) -> bool {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    bench.create("u", 1, &[]);
    let mut producer = Producer::try_new(&mut bench, "p").unwrap();
    assert_eq!((producer.add(&mut bench, "t"), producer.add(&mut bench, "u")), (0, 0));
    producer.commit_position(&mut bench, "g", "t", 7);
    assert_eq!(producer.write(&mut bench, "t", &["a"]), 0);
    bench.storage.set_capacity(Some(bench.storage.used() + room));
    let code = producer.end(&mut bench, true);
    let stuck = code == 0 && Producer::try_new(&mut bench, "p").is_none();
    bench.storage.set_capacity(None);
    bench.now_ms += 1_000;
    bench.core.tick(bench.now_ms);
    if code != 0 {
        assert_eq!(
            producer.end(&mut bench, true),
            0,
            "{room} bytes: nothing was decided, so it can be asked for again"
        );
    }
    for _ in 0..2 {
        assert_eq!(bench.values("t", true), ["a"], "{room} bytes");
        assert_eq!(position(&mut bench, "g", "t"), 7, "{room} bytes");
        assert!(Producer::try_new(&mut bench, "p").is_some(), "{room} bytes: the transaction never ends");
        bench.restart();
    }
    stuck
}

#[test]
fn a_transaction_that_a_full_disk_has_interrupted_ends_when_there_is_room_again() {
    let stuck = (0..1_500).filter(|room| ended_on_a_full_disk(*room)).count();
    assert!(stuck > 100, "the end of a transaction was hardly ever interrupted: {stuck}");
}
