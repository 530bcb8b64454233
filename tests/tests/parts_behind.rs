//! A member whose group has gone on without its being told: it commits nothing, says so with a code, and the others go on from what
//! is committed. Client, group and refusals are real; only the telling is lost, and a minute is three seconds for that member.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "test")]

use processor::{Processor, Verdict, Wiring, derived};
use runtime::clock::{self, VirtualTime};
use runtime::cluster::{Cluster, Positions, Rebalances};
use runtime::config::Config;
use runtime::group_protocol::GroupProtocol;
use runtime::health::Health;
use runtime::kafka::{ClientError, GroupProof};
use runtime::librdkafka::Librdkafka;
use runtime::metrics::RoomMetrics;
use runtime::reader::{Range, ReadError};
use runtime::record::Record;
use runtime::{Loop, Next, ProcessorRoom, RoomContext, RoomError, Shutdown, shutdown};
use schemas::{SupplyUsage, ValidatedUsage, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use testkit::stack::Stack;
use tokio::runtime::Handle;
use wardline_tests::events::usage;

const ROOM: &str = "behind";
/// Keys; their partitions are all partitions.
const KEYS: usize = 48;
/// One wait of a loop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Time that goes twenty times as fast, for the thread that takes it.
struct Fast;

const TIMES: u32 = 20;
static FAST: Fast = Fast;
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

impl VirtualTime for Fast {
    fn since_start(&self) -> Duration {
        STARTED.elapsed() * TIMES
    }

    fn pass(&self, longest: Duration) {
        std::thread::park_timeout((longest / TIMES).min(Duration::from_millis(1)));
    }
}

/// A cluster whose members are not told any more what changes in their group, once they are deaf.
#[derive(Clone)]
struct Deafening {
    inner: Librdkafka,
    is_deaf: Arc<AtomicBool>,
    /// Something was not told.
    lost: Arc<AtomicBool>,
    /// Partitions that it has, as it was told.
    has: Arc<AtomicUsize>,
}

impl Deafening {
    fn over(stack: &Stack) -> Self {
        let inner = Librdkafka::new(&stack.config.kafka);
        Self { inner, is_deaf: Arc::default(), lost: Arc::default(), has: Arc::default() }
    }

    fn has(&self) -> usize {
        self.has.load(Ordering::Acquire)
    }
}

struct Told {
    to: Arc<dyn Rebalances<GroupProof>>,
    by: Deafening,
}

impl Told {
    fn is_lost(&self) -> bool {
        let is_deaf = self.by.is_deaf.load(Ordering::Acquire);
        self.by.lost.fetch_or(is_deaf, Ordering::AcqRel);
        is_deaf
    }
}

impl Rebalances<GroupProof> for Told {
    fn in_parts(&self) -> bool {
        self.to.in_parts()
    }

    fn added(&self, partitions: Vec<(String, i32)>, membership: Option<GroupProof>) {
        if !self.is_lost() {
            self.by.has.fetch_add(partitions.len(), Ordering::AcqRel);
            self.to.added(partitions, membership);
        }
    }

    fn parting(&self, partitions: Vec<(String, i32)>, membership: Option<GroupProof>) {
        if !self.is_lost() {
            self.by.has.fetch_sub(partitions.len(), Ordering::AcqRel);
            self.to.parting(partitions, membership);
        }
    }

    fn revoking(&self) {
        self.to.revoking();
    }

    fn revoked(&self) {
        self.to.revoked();
    }

    fn assigned(&self, partitions: Vec<(String, i32)>, membership: Option<GroupProof>) {
        self.to.assigned(partitions, membership);
    }
}

impl Cluster for Deafening {
    type Consumer = <Librdkafka as Cluster>::Consumer;
    type Producer = <Librdkafka as Cluster>::Producer;
    type Reader = <Librdkafka as Cluster>::Reader;

    fn consumer(
        &self,
        group: &str,
        topics: &[&str],
        told: Arc<dyn Rebalances<GroupProof>>,
    ) -> Result<Self::Consumer, ClientError> {
        self.inner.consumer(group, topics, Arc::new(Told { to: told, by: self.clone() }))
    }

    fn producer(&self, transactional_id: Option<&str>) -> Result<Self::Producer, ClientError> {
        self.inner.producer(transactional_id)
    }

    fn reader(&self, ahead: usize, wait: Duration) -> Result<Self::Reader, ClientError> {
        self.inner.reader(ahead, wait)
    }

    fn read_range(&self, range: &Range, visit: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<u64, ReadError> {
        self.inner.read_range(range, visit)
    }

    fn settled(&self, topic: &str, partitions: &BTreeSet<i32>, longest: Duration) -> Result<(), ClientError> {
        self.inner.settled(topic, partitions, longest)
    }

    fn decided(&self, group: &str, topics: &[&str], longest: Duration) -> Result<Positions, ClientError> {
        self.inner.decided(group, topics, longest)
    }

    fn is_late(&self, group: &str, topic: &str, before_ms: i64) -> Result<bool, ReadError> {
        self.inner.is_late(group, topic, before_ms)
    }

    fn session(&self) -> String {
        self.inner.session()
    }
}

struct Passes;

impl Processor for Passes {
    type Input = SupplyUsage;
    type Output = ValidatedUsage;
    type Tables = ();

    fn process(&self, usage: SupplyUsage, _: &()) -> Verdict<ValidatedUsage> {
        Verdict::emit(ValidatedUsage {
            meta: derived::<ValidatedUsage>(&usage, ROOM),
            encounter_ref: usage.encounter_ref,
            quantity: usage.quantity,
            ..ValidatedUsage::default()
        })
    }
}

/// One worker of the room on threads of its own, until it ends.
fn start<K: Cluster>(
    stack: &Stack,
    name: &str,
    cluster: K,
    stop: Shutdown,
    is_fast: bool,
) -> JoinHandle<Result<(), RoomError>> {
    let mut config = Config::clone(&stack.config);
    config.kafka.instance = name.to_owned();
    let context = RoomContext {
        config: Arc::new(config),
        codec: Arc::clone(&stack.codec),
        shutdown: stop,
        health: Health::new().room(ROOM),
        metrics: RoomMetrics::new(ROOM),
    };
    let handle = Handle::current();
    std::thread::spawn(move || {
        if is_fast {
            clock::simulate(Some(&FAST));
        }
        let wiring = Wiring::new(ROOM, "passes", Passes, topics::SUPPLY_USAGE_VALIDATED_V1);
        let room = ProcessorRoom::new(Arc::new(wiring), &context.config);
        let (worker, committer) = room.worker(0, &cluster, &context, handle)?;
        // It ends with its worker.
        let committing = std::thread::spawn(move || drop(driven(committer)));
        let outcome = driven(worker);
        committing.join().unwrap();
        outcome
    })
}

fn driven(mut one: impl Loop) -> Result<(), RoomError> {
    let outcome = loop {
        match one.turn(PATIENCE) {
            Ok(Next::Within(_)) => {}
            Ok(Next::After(delay)) => std::thread::park_timeout(delay),
            Ok(Next::Ended) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    one.leave();
    outcome
}

fn part(number: usize) -> Vec<SupplyUsage> {
    (0..KEYS).map(|key| usage(&format!("enc-{key}"), number, "plain")).collect()
}

/// LOSS-1, EOS-1: WL-6081 ends the member that is behind, and the one that is not has everything once.
#[tokio::test(flavor = "multi_thread")]
async fn eos_1_a_member_that_is_behind_its_group_commits_nothing_and_ends_with_its_code() {
    let stack = Stack::with(|config| {
        config.kafka.group_protocol = GroupProtocol::Cooperative;
        config.limits.workers = 1;
    })
    .await;
    stack.codec.prepare(&[topics::SUPPLY_USAGE_VALIDATED_V1.info()]).await.unwrap();
    let (_trigger, stop) = shutdown();
    let deafening = Deafening::over(&stack);
    let first = start(&stack, "first", deafening.clone(), stop, true);
    let other = Deafening::over(&stack);
    let (leaves, stop) = shutdown();
    let second = start(&stack, "second", other.clone(), stop, false);
    testkit::until("two share", || deafening.has() == 3 && other.has() == 3).await;
    stack.publish(&part(1)).await;
    stack.until::<ValidatedUsage>("the first part", |events| events.len() == KEYS).await;

    // What the second leaves comes to the first, in a new generation of the group of which it is not told.
    deafening.is_deaf.store(true, Ordering::Release);
    leaves.stop();
    testkit::until("the group has gone on and the first is not told", || deafening.lost.load(Ordering::Acquire)).await;
    second.join().unwrap().unwrap();
    stack.publish(&part(2)).await;
    testkit::until("the first has ended", || first.is_finished()).await;
    let why = first.join().unwrap().unwrap_err();
    assert!(matches!(why, RoomError::Unrenewed(_)), "{why}");
    assert!(why.to_string().starts_with("WL-6081: the group has gone on"), "{why}");
    assert_eq!(stack.events::<ValidatedUsage>().await.len(), KEYS, "what was refused was not committed");

    let (ends, stop) = shutdown();
    let third = start(&stack, "third", Deafening::over(&stack), stop, false);
    stack.publish(&part(3)).await;
    stack.until::<ValidatedUsage>("all parts", |events| events.len() >= 3 * KEYS).await;
    ends.stop();
    third.join().unwrap().unwrap();
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in stack.events::<ValidatedUsage>().await {
        by_key.entry(event.encounter_ref).or_default().push(event.quantity.normalize().to_string());
    }
    assert_eq!(by_key.len(), KEYS);
    for (key, quantities) in by_key {
        assert_eq!(quantities, ["1", "2", "3"], "{key}: each once, and in order");
    }
}
