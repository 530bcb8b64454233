//! Kafka and a schema registry of a test's own, with all topics.

use components::{Installation, Kafka, KafkaOptions, Part, Progress, Registry, RegistryOptions};
use runtime::admin::{Cluster, apply_topics, plan_topics};
use runtime::codec::Codec;
use runtime::config::{Config, Limits};
use runtime::health::Health;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::Publisher;
use runtime::reader::{Range, read_range};
use runtime::record::Record;
use runtime::{Room, ShutdownTrigger, run_rooms, shutdown};
use schemas::Event;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Real Kafka, a real registry, a configuration that points at them.
pub struct Stack {
    pub dir: TempDir,
    pub kafka: Kafka,
    pub registry: Registry,
    pub config: Arc<Config>,
    pub codec: Arc<Codec>,
}

/// Rooms that run in this process until they are dropped or stopped.
pub struct Running {
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), runtime::RoomError>>,
}

impl Stack {
    /// Starts the components and creates all topics.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other bounds.
    pub async fn with(adjust: impl FnOnce(&mut Limits)) -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let dir = TempDir::new().unwrap();
            let installation = Installation::ensure(&[Part::Kafka, Part::Registry], &Progress::stderr()).unwrap();
            let kafka = Kafka::start(&installation, KafkaOptions::in_dir(dir.path().join("kafka"))).unwrap();
            let registry =
                Registry::start(&installation, RegistryOptions::in_dir(dir.path().join("registry"))).unwrap();
            (dir, kafka, registry)
        });
        let (dir, kafka, registry) = started.await.unwrap();
        let mut config = Config::default();
        config.kafka.bootstrap = kafka.bootstrap();
        config.registry.url = registry.url();
        config.kafka.session_timeout_ms = 6_000;
        config.kafka.transaction_timeout_ms = 10_000;
        adjust(&mut config.limits);
        let cluster = Cluster { kafka: config.kafka.clone(), registry: config.registry.clone(), replication: 1 };
        let catalogue = schemas::catalogue::parse(include_str!("../../topics.yaml")).unwrap();
        let changes = plan_topics(&catalogue, &cluster).await.unwrap();
        apply_topics(&changes, &cluster).await.unwrap();
        let codec = Arc::new(Codec::new(&config.registry).unwrap());
        Self { dir, kafka, registry, config: Arc::new(config), codec }
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
        self.publisher::<schemas::SupplyUsage>().await.publish(records).await.unwrap();
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
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let events = self.events::<T>().await;
            if wish(&events) {
                return events;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "no {what} within {PATIENCE:?}; there are {}",
                events.len()
            );
        }
    }

    /// Runs rooms in this process and waits until they are ready.
    pub async fn run(&self, rooms: Vec<Room>) -> Running {
        let (trigger, stop) = shutdown();
        let health = Health::new();
        let (config, known) = (Arc::clone(&self.config), health.clone());
        let task = tokio::spawn(async move { run_rooms(config, rooms, &known, stop).await });
        tokio::time::timeout(PATIENCE, health.wait_ready()).await.expect("rooms are ready in time").unwrap();
        Running { trigger, task }
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
}
