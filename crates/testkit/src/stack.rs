//! What a test of rooms needs around them: a broker and a registry of its own, with all topics and schemas.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of tests: a part that does not start fails the test"
)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use runtime::admin::{Cluster, apply_topics, plan_topics};
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::health::Health;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::Publisher;
use runtime::reader::{Range, read_range};
use runtime::record::Record;
use runtime::{Room, RoomError, ShutdownTrigger, run_rooms, shutdown};
use schemas::Event;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::parts::{Kafka, Registry, SESSION_TIMEOUT_MS};
use crate::until_found;

/// How long anything may take before a test fails. Far longer than what works takes, so that a busy machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at a topic.
const LOOK: Duration = Duration::from_millis(20);

/// The topics of this repository.
const TOPICS: &str = include_str!("../../../topics.yaml");

/// A broker, a registry and a configuration that points at them.
pub struct Stack {
    /// Lives as long as the stack.
    pub dir: TempDir,
    /// The broker, to break and to start again.
    pub kafka: Kafka,
    /// The schema registry.
    pub registry: Registry,
    /// What rooms are started with. Members are missed and dead transactions end quickly.
    pub config: Arc<Config>,
    /// Reads events.
    pub codec: Arc<Codec>,
}

/// Rooms that run in this process until they are stopped.
pub struct Running {
    /// What they say of themselves.
    pub health: Health,
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), RoomError>>,
}

impl Stack {
    /// Starts the parts and creates all topics.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other bounds.
    pub async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let dir = TempDir::new().unwrap();
            let kafka = Kafka::start(&dir.path().join("kafka"));
            let registry = Registry::of_this_run(&dir.path().join("registry"));
            let filling = registry.filling();
            (dir, kafka, registry, filling)
        });
        let (dir, kafka, registry, filling) = started.await.unwrap();
        let mut config = Config::default();
        config.kafka.bootstrap = kafka.bootstrap();
        config.kafka.session_timeout_ms = SESSION_TIMEOUT_MS.into();
        config.kafka.transaction_timeout_ms = 10_000;
        config.registry.url = registry.url();
        adjust(&mut config);
        let cluster = Cluster { kafka: config.kafka.clone(), registry: config.registry.clone(), replication: 1 };
        let catalogue = schemas::catalogue::parse(TOPICS).unwrap();
        apply_topics(&plan_topics(&catalogue, &cluster).await.unwrap(), &cluster).await.unwrap();
        if let Some(filling) = filling {
            assert_eq!(config.registry.url, registry.url(), "the shared registry is the one that was filled");
            filling.done();
        }
        let all_told = async || plan_topics(&catalogue, &cluster).await.is_ok_and(|left| left.is_empty()).then_some(());
        // A broker answers before all that it tells of its topics is up to date.
        until_found("all topics, as the broker tells of them", all_told).await;
        let codec = Arc::new(Codec::new(&config.registry).unwrap());
        Self { dir, kafka, registry, config: Arc::new(config), codec }
    }

    /// Sets the configuration block of a room, for the rooms that start from now on.
    pub fn configure(&mut self, room: &str, block: serde_json::Value) {
        Arc::make_mut(&mut self.config).rooms.insert(room.to_owned(), block);
    }

    /// Publishes events, confirmed.
    pub async fn publish<T: Event>(&self, events: &[T]) {
        let publisher = self.publisher::<T>().await;
        let records: Vec<Outgoing> =
            events.iter().map(|event| publisher.event(event, &Lineage::default()).unwrap()).collect();
        publisher.publish(&records).await.unwrap();
    }

    /// Publishes records as they are.
    pub async fn publish_raw(&self, records: &[Outgoing]) {
        let publisher = Publisher::connect(&self.config, Arc::clone(&self.codec), &[]).await.unwrap();
        publisher.publish(records).await.unwrap();
    }

    /// All committed records of a topic, in order per partition.
    pub async fn records(&self, topic: &str) -> Vec<Record> {
        let (config, topic) = (Arc::clone(&self.config), topic.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            let mut records = Vec::new();
            read_range(&config.kafka, &Range::all(topic), |record| {
                records.push(record);
                ControlFlow::Continue(())
            })
            .unwrap();
            records
        });
        reading.await.unwrap()
    }

    /// All committed events of a type; tombstones are left out.
    pub async fn events<T: Event>(&self) -> Vec<T> {
        let mut events = Vec::new();
        for record in self.records(T::topic().name).await {
            let Some(value) = &record.value else { continue };
            let (writer, body) = self.codec.open(value).await.unwrap();
            events.push(schemas::codec::decode(&writer, body).unwrap());
        }
        events
    }

    /// Waits until the events of a type are as wished.
    pub async fn until<T: Event>(&self, what: &str, wish: impl Fn(&[T]) -> bool) -> Vec<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events::<T>().await;
            if wish(&events) {
                return events;
            }
            assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}; there are {}", events.len());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Runs rooms in this process and waits until they are ready.
    pub async fn run(&self, rooms: Vec<Room>) -> Running {
        let (trigger, stop) = shutdown();
        let health = Health::new();
        let (config, known) = (Arc::clone(&self.config), health.clone());
        let task = tokio::spawn(async move { run_rooms(config, rooms, &known, stop).await });
        tokio::time::timeout(PATIENCE, health.wait_ready()).await.expect("rooms are ready in time").unwrap();
        Running { health, trigger, task }
    }

    async fn publisher<T: Event>(&self) -> Publisher {
        Publisher::connect(&self.config, Arc::clone(&self.codec), &[T::topic()]).await.unwrap()
    }
}

impl Running {
    /// Drains and stops.
    pub async fn stop(self) {
        self.trigger.stop();
        tokio::time::timeout(PATIENCE, self.task).await.expect("rooms stop in time").unwrap().unwrap();
    }

    /// As a crash: nothing is finished, an open transaction stays open.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|ended| ended.is_cancelled()), "the rooms had ended before");
    }
}
