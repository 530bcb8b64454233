//! Members of a transactional room come and go under load: what moves is drained and fenced, the rest flows on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "test")]

use processor::laws::{check_once, check_order};
use runtime::config::Config;
use runtime::group_protocol::GroupProtocol;
use runtime::outgoing::Lineage;
use runtime::publisher::Publisher;
use schemas::{Event, SupplyUsage, ValidatedUsage};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::stack::{PATIENCE, Stack};
use testkit::until;
use wardline_tests::events::{item, usage};
use wardline_tests::processes::RoomProcess;
use wardline_tests::toys;

/// Keys of the load; their partitions are all partitions.
const KEYS: usize = 48;
/// Pause between two parts of the load.
const PACE: Duration = Duration::from_millis(20);
/// Events of one part.
const PART: usize = 12;

/// One instance of the room: its configuration, and its log.
struct Instance {
    config: PathBuf,
    log: PathBuf,
}

impl Instance {
    fn new(stack: &Stack, name: &str) -> Self {
        let mut config = Config::clone(&stack.config);
        config.kafka.instance = name.to_owned();
        let (file, log) = (stack.dir.path().join(format!("{name}.yaml")), stack.dir.path().join(format!("{name}.log")));
        std::fs::write(&file, serde_json::to_string(&config).unwrap().replace("\"***\"", "\"key\"")).unwrap();
        Self { config: file, log }
    }

    fn start(&self) -> RoomProcess {
        let arguments = [toys::VALIDATE, self.config.to_str().unwrap(), "-"];
        RoomProcess::start(env!("CARGO_BIN_EXE_toy-room"), &arguments, &self.log)
    }

    /// Sum of the numbers behind `partitions=` in the lines that say so.
    fn partitions(&self, said: &str) -> u32 {
        partitions(&self.log, said)
    }

    fn has(&self) -> u32 {
        self.partitions("added").saturating_sub(self.partitions("let go"))
    }

    /// What went wrong in the room. That a transaction is refused because the group has gone on is no such thing.
    fn failures(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter(|line| line.contains("ERROR") && !line.contains("TXNERR")).map(str::to_owned).collect()
    }
}

/// Whoever looks at a failure wants to know what each of them did.
impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = strip_colours(&std::fs::read_to_string(&self.log).unwrap_or_default());
            eprintln!("{}:\n{text}", self.log.display());
        }
    }
}

fn partitions(log: &Path, said: &str) -> u32 {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let plain = strip_colours(&text);
    plain.lines().filter(|line| line.contains(&format!(" {said} "))).filter_map(number_of_partitions).sum()
}

fn number_of_partitions(line: &str) -> Option<u32> {
    let rest = line.split("partitions=").nth(1)?;
    rest.split(' ').next()?.parse().ok()
}

fn strip_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut inside = false;
    for letter in text.chars() {
        match letter {
            '\u{1b}' => inside = true,
            'm' if inside => inside = false,
            _ if inside => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Sends until it is told to stop; what it sent, in order.
async fn load(stack: &Stack, stop: Arc<AtomicBool>) -> Vec<SupplyUsage> {
    let publisher = Publisher::connect(&stack.config, Arc::clone(&stack.codec), &[SupplyUsage::topic()]).await.unwrap();
    let mut sent = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    while !stop.load(Ordering::Relaxed) {
        let from = sent.len();
        let part: Vec<SupplyUsage> = (from..from + PART)
            .map(|number| {
                // One key in twelve waits for its item at first, so that parked events move with their partitions.
                let code = if number % 12 == 5 && number < KEYS * 8 { "ITEM-1" } else { "plain" };
                usage(&format!("enc-{}", number % KEYS), number, code)
            })
            .collect();
        let records: Vec<_> = part.iter().map(|event| publisher.event(event, &Lineage::default()).unwrap()).collect();
        publisher.publish(&records).await.unwrap();
        sent.extend(part);
        pace.tick().await;
    }
    sent
}

/// LOSS-1, EOS-1, ORD-1.
fn check(sent: &[SupplyUsage], events: &[ValidatedUsage]) {
    let text = |key: &str, quantity: &schemas::Decimal| (key.to_owned(), quantity.normalize().to_string());
    let inputs: Vec<_> = sent.iter().map(|usage| text(&usage.encounter_ref, &usage.quantity)).collect();
    let outputs: Vec<_> = events.iter().map(|event| text(&event.encounter_ref, &event.quantity)).collect();
    let pairs = |all: &'_ [(String, String)]| all.to_vec();
    let (inputs, outputs) = (pairs(&inputs), pairs(&outputs));
    let violations = check_order(
        inputs.iter().map(|(key, id)| (key.as_str(), id.as_str())),
        outputs.iter().map(|(key, id)| (key.as_str(), id.as_str())),
    );
    assert!(violations.is_empty(), "{violations:?}");
    let doubled = check_once(events.iter().map(|event| event.meta.event_id.as_str()));
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(events.len(), sent.len(), "LOSS-1");
}

/// The longest time without an output in each partition of the input, while there was load, milliseconds.
async fn gaps(stack: &Stack) -> BTreeMap<i32, i64> {
    let origin: HashMap<String, i32> = stack
        .records(SupplyUsage::topic().name)
        .await
        .iter()
        .map(|record| (record.key_text().into_owned(), record.place.partition))
        .collect();
    let mut times: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for record in stack.records(ValidatedUsage::topic().name).await {
        let partition = origin[record.key_text().as_ref()];
        times.entry(partition).or_default().push(record.timestamp_ms.unwrap());
    }
    let longest = |mut times: Vec<i64>| {
        times.sort_unstable();
        times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    };
    times.into_iter().map(|(partition, times)| (partition, longest(times))).collect()
}

/// A third member joins, leaves, joins again and is killed, while two others work.
async fn a_third_comes_and_goes(protocol: GroupProtocol) -> BTreeMap<i32, i64> {
    let stack = Stack::with(|config| {
        config.limits.batch_records_max = 50;
        config.kafka.group_protocol = protocol;
        config.telemetry.log_format = "text".to_owned();
    })
    .await;
    let [first, second, third] = ["first", "second", "third"].map(|name| Instance::new(&stack, name));
    let _running = [first.start(), second.start()];
    let stop = Arc::new(AtomicBool::default());
    let stopping = Arc::clone(&stop);
    let changes = async {
        until("two share", || first.has() == 3 && second.has() == 3).await;
        stack.until::<ValidatedUsage>("a first part", |events| events.len() > KEYS).await;
        let let_go = first.partitions("let go") + second.partitions("let go");
        let process = third.start();
        until("the third has its share", || third.partitions("added") >= 2).await;
        stack.publish(&[item("ITEM-1")]).await;
        let seen = stack.events::<ValidatedUsage>().await.len();
        stack.until::<ValidatedUsage>("progress of three", |events| events.len() > seen + 500).await;
        process.terminate();
        let seen = stack.events::<ValidatedUsage>().await.len();
        stack.until::<ValidatedUsage>("progress of two", |events| events.len() > seen + 500).await;
        let process = third.start();
        until("the third has its share again", || third.partitions("added") >= 4).await;
        process.kill();
        until("the others have taken over", || first.has() == 3 && second.has() == 3).await;
        stopping.store(true, Ordering::Relaxed);
        // Two go to the third each time it comes, and nothing else moves.
        assert_eq!(
            first.partitions("let go") + second.partitions("let go"),
            let_go + 4,
            "{protocol:?}: more went than had to"
        );
    };
    let (sent, ()) = tokio::time::timeout(PATIENCE * 3, async { tokio::join!(load(&stack, stop), changes) })
        .await
        .expect("the changes end in time");
    let events = stack.until::<ValidatedUsage>("all events", |events| events.len() >= sent.len()).await;
    check(&sent, &events);
    for instance in [&first, &second, &third] {
        assert_eq!(instance.partitions("assigned"), 0, "all at once: {}", instance.log.display());
        assert_eq!(instance.failures(), Vec::<String>::new());
    }
    gaps(&stack).await
}

/// LOSS-1, EOS-1, ORD-1, KEY-1: partitions that stay flow on, also while the session of the killed member lasts. By each protocol
/// that the broker offers; the embedded one lacks that of KIP-848.
#[tokio::test(flavor = "multi_thread")]
async fn eos_1_members_come_and_go_and_the_rest_flows_on() {
    let offered: &[GroupProtocol] = if testkit::parts::real() {
        &[GroupProtocol::Cooperative, GroupProtocol::Consumer]
    } else {
        &[GroupProtocol::Cooperative]
    };
    for protocol in offered {
        flows_on(&a_third_comes_and_goes(*protocol).await);
    }
}

fn flows_on(gaps: &BTreeMap<i32, i64>) {
    let mut sorted: Vec<i64> = gaps.values().copied().collect();
    sorted.sort_unstable();
    eprintln!("longest time without an output by partition, ms: {gaps:?}");
    assert_eq!(sorted.len(), 6, "{gaps:?}");
    // Two moved each time; the killed one's stood still until its session was over.
    let session_ms = i64::from(testkit::parts::SESSION_TIMEOUT_MS);
    assert!(sorted[1] < session_ms, "none flowed on: {gaps:?}");
}

#[test]
fn what_the_members_say_is_counted() {
    let log = "\u{1b}[2m10:00\u{1b}[0m INFO added \u{1b}[3mroom\u{1b}[0m=\"a\" partitions=2\n10:01 INFO let go room=\"a\" partitions=1 x=3\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), log).unwrap();
    assert_eq!(["added", "let go", "assigned"].map(|said| partitions(file.path(), said)), [2, 1, 0]);
}
