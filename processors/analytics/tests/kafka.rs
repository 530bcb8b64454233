//! The room on real Kafka and a real registry: each record is one row or one dead letter, across restarts, leftovers of a
//! crash and a disk that goes away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use components::{Installation, Kafka, KafkaOptions, Part, Progress, Registry, RegistryOptions};
use parquet::file::reader::SerializedFileReader;
use parquet::record::RowAccessor;
use parquet::record::reader::RowIter;
use processor::laws::check_effects;
use runtime::admin::{Cluster, apply_topics, plan_topics};
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::health::Health;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::Publisher;
use runtime::reader::{Range, read_range};
use runtime::{RoomError, ShutdownTrigger, run_rooms, shutdown};
use schemas::{EnrichedUsage, EventMeta, MasterItem, topics};
use serde_json::json;
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::until;
use tokio::task::JoinHandle;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(90);

struct Stack {
    dir: TempDir,
    _kafka: Kafka,
    _registry: Registry,
    config: Arc<Config>,
    publisher: Publisher,
}

struct Running {
    trigger: ShutdownTrigger,
    health: Health,
    task: JoinHandle<Result<(), RoomError>>,
}

impl Stack {
    async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let dir = TempDir::new().unwrap();
            let installation = Installation::ensure(&[Part::Kafka, Part::Registry], &Progress::stderr()).unwrap();
            let kafka = Kafka::start(&installation, KafkaOptions::in_dir(dir.path().join("kafka"))).unwrap();
            let options = RegistryOptions::in_dir(dir.path().join("registry"));
            let registry = Registry::start(&installation, options).unwrap();
            (dir, kafka, registry)
        });
        let (dir, kafka, registry) = started.await.unwrap();
        let mut config = Config::default();
        config.kafka.bootstrap = kafka.bootstrap();
        config.kafka.session_timeout_ms = 6_000;
        config.registry.url = registry.url();
        config.limits.workers = 2;
        let lake = json!({"directory": dir.path().join("lake"), "file_wait_ms": 200});
        config.rooms.insert("analytics".to_owned(), lake);
        let cluster = Cluster { kafka: config.kafka.clone(), registry: config.registry.clone(), replication: 1 };
        let catalogue = schemas::catalogue::parse(include_str!("../../../topics.yaml")).unwrap();
        apply_topics(&plan_topics(&catalogue, &cluster).await.unwrap(), &cluster).await.unwrap();
        let codec = Arc::new(Codec::new(&config.registry).unwrap());
        let written = [topics::SUPPLY_USAGE_ENRICHED_V1.info(), topics::MASTER_ITEM_V1.info()];
        let publisher = Publisher::connect(&config, codec, &written).await.unwrap();
        Self { dir, _kafka: kafka, _registry: registry, config: Arc::new(config), publisher }
    }

    async fn run(&self) -> Running {
        let (trigger, stop) = shutdown();
        let health = Health::new();
        let (config, known) = (Arc::clone(&self.config), health.clone());
        let room = wardline_analytics::room();
        let task = tokio::spawn(async move { run_rooms(config, vec![room], &known, stop).await });
        tokio::time::timeout(PATIENCE, health.wait_ready()).await.unwrap().unwrap();
        Running { trigger, health, task }
    }

    async fn publish(&self, numbers: std::ops::Range<usize>) {
        let records: Vec<Outgoing> = numbers
            .map(|number| {
                let meta = EventMeta { event_id: format!("e{number}"), ..EventMeta::default() };
                let usage =
                    EnrichedUsage { meta, encounter_ref: format!("enc_{}", number % 17), ..EnrichedUsage::default() };
                self.publisher.event(&usage, &Lineage::default()).unwrap()
            })
            .collect();
        self.publisher.publish(&records).await.unwrap();
    }

    fn lake(&self) -> PathBuf {
        self.dir.path().join("lake")
    }

    /// Waits until the lake holds exactly the usages with these numbers, each once.
    async fn until(&self, count: usize) {
        let expected: Vec<String> = (0..count).map(|number| format!("e{number}")).collect();
        let complete = || {
            let ids = ids(&self.lake().join("supply.usage-enriched.v1"));
            assert!(ids.len() <= count, "{} rows of {count} usages", ids.len());
            check_effects(expected.iter().map(String::as_str), ids.iter().map(String::as_str)).is_empty()
        };
        until("one row of each usage", complete).await;
    }

    async fn count(&self, topic: &'static str) -> usize {
        let config = Arc::clone(&self.config);
        let reading = tokio::task::spawn_blocking(move || {
            let mut count = 0;
            read_range(&config.kafka, &Range::all(topic), |_| {
                count += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
            count
        });
        reading.await.unwrap()
    }
}

impl Running {
    async fn stop(self) {
        self.trigger.stop();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Event ids of all rows of a topic.
fn ids(topic: &Path) -> Vec<String> {
    let mut ids = Vec::new();
    let Ok(partitions) = std::fs::read_dir(topic) else { return ids };
    for partition in partitions {
        for file in std::fs::read_dir(partition.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                continue;
            }
            // A file of the room may be renamed between the listing and the reading.
            let Ok(file) = SerializedFileReader::try_from(path.as_path()) else { continue };
            ids.extend(RowIter::from_file_into(Box::new(file)).map(|row| row.unwrap().get_string(3).unwrap().clone()));
        }
    }
    ids
}

/// LOSS-1, FX-1, RAW-1.
#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_one_row_or_one_dead_letter() {
    let stack = Stack::start().await;
    stack.publish(0..40).await;
    let bad = Outgoing {
        topic: Cow::Borrowed("supply.usage-enriched.v1"),
        partition: None,
        key: Some(b"enc_0".to_vec()),
        value: Some(vec![0xff]),
        headers: Vec::new(),
        ticket: None,
    };
    let deletion = Outgoing::tombstone("master.item.v1", None, b"GONE".to_vec());
    stack.publisher.publish(&[bad, deletion]).await.unwrap();
    let item = MasterItem { item_id: "I1".to_owned(), ..MasterItem::default() };
    let item = stack.publisher.event(&item, &Lineage::default()).unwrap();
    stack.publisher.publish(&[item]).await.unwrap();

    let running = stack.run().await;
    stack.until(40).await;
    stack.publish(40..60).await;
    stack.until(60).await;
    running.stop().await;
    assert_eq!(ids(&stack.lake().join("master.item.v1")).len(), 1);
    assert_eq!(stack.count("ops.dead-letter.v1").await, 1);

    // A process died after it had written a file and before it committed: the file goes, its records come again.
    let partition = stack.lake().join("supply.usage-enriched.v1/p0");
    let written = std::fs::read_dir(&partition).unwrap().next().unwrap().unwrap().path();
    let leftover = partition.join("00000000000000001000-00000000000000001001.parquet");
    std::fs::copy(&written, &leftover).unwrap();
    std::fs::write(partition.join(".unfinished-x.parquet"), b"half").unwrap();
    let running = stack.run().await;
    stack.publish(60..80).await;
    stack.until(80).await;
    assert!(!leftover.exists());

    // The disk goes away and comes back.
    let away = stack.dir.path().join("away");
    std::fs::rename(stack.lake(), &away).unwrap();
    std::fs::write(stack.lake(), b"in the way").unwrap();
    stack.publish(80..100).await;
    until("a room that cannot write is not ready", || !running.health.is_ready()).await;
    std::fs::remove_file(stack.lake()).unwrap();
    std::fs::rename(&away, stack.lake()).unwrap();
    stack.until(100).await;
    assert_eq!(stack.count("ops.dead-letter.v1").await, 1);
    running.stop().await;
}
