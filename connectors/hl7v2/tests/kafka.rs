//! The room on real Kafka and a real registry: what is answered is there, a restart forgets no resend, an outage loses nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use common::charge;
use components::{Installation, Kafka, KafkaOptions, Part, Progress, Registry, RegistryOptions};
use hl7v2::mllp::{Ack, AckCode, ClientOptions, MllpClient};
use runtime::admin::{Cluster, apply_topics, plan_topics};
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::health::Health;
use runtime::reader::{Range, read_range};
use runtime::{RoomError, ShutdownTrigger, run_rooms, shutdown};
use schemas::{Encounter, Event, Exception, Receipt, ReceiptOutcome, SupplyUsage};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(90);

struct Stack {
    _dir: TempDir,
    kafka: Kafka,
    _registry: Registry,
    config: Arc<Config>,
    codec: Codec,
    address: String,
}

struct Running {
    trigger: ShutdownTrigger,
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
        let address = format!("127.0.0.1:{}", components::free_port().unwrap());
        let mut config = Config::default();
        config.kafka.bootstrap = kafka.bootstrap();
        config.registry.url = registry.url();
        config.rooms.insert("hl7v2".to_owned(), json!({"listen": address, "limits": {"confirm_ms": 4_000}}));
        let cluster = Cluster { kafka: config.kafka.clone(), registry: config.registry.clone(), replication: 1 };
        let catalogue = schemas::catalogue::parse(include_str!("../../../topics.yaml")).unwrap();
        apply_topics(&plan_topics(&catalogue, &cluster).await.unwrap(), &cluster).await.unwrap();
        let codec = Codec::new(&config.registry).unwrap();
        Self { _dir: dir, kafka, _registry: registry, config: Arc::new(config), codec, address }
    }

    async fn run(&self) -> Running {
        let (trigger, stop) = shutdown();
        let health = Health::new();
        let (config, known) = (Arc::clone(&self.config), health.clone());
        let task = tokio::spawn(async move { run_rooms(config, vec![hl7v2::room()], &known, stop).await });
        tokio::time::timeout(PATIENCE, health.wait_ready()).await.unwrap().unwrap();
        Running { trigger, task }
    }

    async fn send(&self, message: &[u8]) -> Ack {
        let options = ClientOptions { timeout: PATIENCE, ..ClientOptions::default() };
        MllpClient::connect(&self.address, options).await.unwrap().send(message).await.unwrap()
    }

    async fn events<T: Event>(&self) -> Vec<T> {
        let config = Arc::clone(&self.config);
        let reading = tokio::task::spawn_blocking(move || {
            let mut values = Vec::new();
            read_range(&config.kafka, &Range::all(T::topic().name), |record| {
                values.extend(record.value);
                ControlFlow::Continue(())
            })
            .unwrap();
            values
        });
        let mut events = Vec::new();
        for value in reading.await.unwrap() {
            let (writer, body) = self.codec.open(&value).await.unwrap();
            events.push(schemas::codec::decode(&writer, body).unwrap());
        }
        events
    }
}

impl Running {
    async fn stop(self) {
        self.trigger.stop();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_on_kafka_once_and_survives_restart_and_outage() {
    let mut stack = Stack::start().await;
    let running = stack.run().await;

    let admit = b"MSH|^~\\&|EHR|NORTH|||20260914||ADT^A01|a1|P|2.5.1|||AL|NE\rEVN|A01|20260914\rPID|1||7^^^N^MR\rPV1|1|I|W||||||||||||||||V7\r";
    assert_eq!(stack.send(admit).await.code, Some(AckCode::Ca));
    let first = stack.send(&charge("1", "p")).await;
    assert_eq!(first.code, Some(AckCode::Aa));
    let unusable = b"MSH|^~\\&|EHR|NORTH|||20260914||ADT^A01|a2|P|2.5.1\rPID|1||7\rPV1|1|I\r";
    assert_eq!(stack.send(unusable).await.code, Some(AckCode::Ae));
    assert_eq!(stack.events::<Encounter>().await.len(), 1);
    let usages = stack.events::<SupplyUsage>().await;
    assert_eq!(usages.len(), 1);
    let exceptions = stack.events::<Exception>().await;
    assert_eq!(exceptions[0].raw_value.as_ref().unwrap().as_slice(), unusable);
    let receipts = stack.events::<Receipt>().await;
    let outcome = |id: &str| receipts.iter().find(|receipt| receipt.message_id == id).map(|receipt| receipt.outcome);
    assert_eq!(outcome("a1"), Some(ReceiptOutcome::Events));
    assert_eq!(outcome("a2"), Some(ReceiptOutcome::Exception));
    running.stop().await;

    // The memory of resends is on Kafka.
    let running = stack.run().await;
    assert_eq!(stack.send(&charge("1", "p")).await.raw, first.raw);
    assert_eq!(stack.events::<SupplyUsage>().await.len(), 1);

    // LOSS-1: without Kafka there is no positive answer, and the repeated message arrives.
    stack.kafka.kill().unwrap();
    let refused = stack.send(&charge("2", "p")).await;
    assert_eq!(refused.code, Some(AckCode::Ae));
    assert!(refused.error.unwrap().contains("207"));
    stack.kafka.restart().unwrap();
    let mut answer = stack.send(&charge("2", "p")).await;
    for _ in 0..10 {
        if answer.code == Some(AckCode::Aa) {
            break;
        }
        answer = stack.send(&charge("2", "p")).await;
    }
    assert_eq!(answer.code, Some(AckCode::Aa));
    let mut ids: Vec<String> =
        stack.events::<SupplyUsage>().await.into_iter().map(|usage| usage.meta.event_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2, "a message was lost or got a second identity");
    running.stop().await;
}
