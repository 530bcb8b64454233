//! The room on real Kafka with real receivers: one that is gone, one that answers too late, one that works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use components::{Installation, Kafka, KafkaOptions, Part, Progress, Registry, RegistryOptions};
use runtime::admin::{Cluster, apply_topics, plan_topics};
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::health::Health;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::Publisher;
use runtime::reader::{Range, read_range};
use runtime::{RoomError, ShutdownTrigger, run_rooms, shutdown};
use schemas::{
    Audit, Decimal, EnrichedUsage, Event, EventMeta, Exception, ExceptionKind, ExceptionState, MasterSupplier,
    SupplierNotice,
};
use serde_json::json;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::supplier::{Fault, SECRET, Supplier};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(90);

struct Stack {
    _dir: TempDir,
    _kafka: Kafka,
    _registry: Registry,
    config: Arc<Config>,
    codec: Arc<Codec>,
}

struct Running {
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), RoomError>>,
}

impl Stack {
    async fn start(profiles: serde_json::Value) -> Self {
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
        config.registry.url = registry.url();
        let room = json!({"profiles": profiles, "timeout_ms": 1_000});
        config.rooms.insert("supplier-fanout".to_owned(), room);
        let cluster = Cluster { kafka: config.kafka.clone(), registry: config.registry.clone(), replication: 1 };
        let catalogue = schemas::catalogue::parse(include_str!("../../../topics.yaml")).unwrap();
        apply_topics(&plan_topics(&catalogue, &cluster).await.unwrap(), &cluster).await.unwrap();
        let codec = Arc::new(Codec::new(&config.registry).unwrap());
        Self { _dir: dir, _kafka: kafka, _registry: registry, config: Arc::new(config), codec }
    }

    async fn publish<T: Event>(&self, events: &[T]) {
        let publisher = Publisher::connect(&self.config, Arc::clone(&self.codec), &[T::topic()]).await.unwrap();
        let records: Vec<Outgoing> =
            events.iter().map(|event| publisher.event(event, &Lineage::default()).unwrap()).collect();
        publisher.publish(&records).await.unwrap();
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

    async fn until<T: Event>(&self, what: &str, wish: impl Fn(&[T]) -> bool) -> Vec<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events::<T>().await;
            if wish(&events) {
                return events;
            }
            assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}: {events:?}");
        }
    }

    async fn run(&self) -> Running {
        let (trigger, stop) = shutdown();
        let health = Health::new();
        let (config, known) = (Arc::clone(&self.config), health.clone());
        let room = wardline_supplier_fanout::room();
        let task = tokio::spawn(async move { run_rooms(config, vec![room], &known, stop).await });
        tokio::time::timeout(PATIENCE, health.wait_ready()).await.unwrap().unwrap();
        Running { trigger, task }
    }
}

impl Running {
    async fn stop(self) {
        self.trigger.stop();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn usage(visit: &str, number: i64, supplier: &str) -> EnrichedUsage {
    EnrichedUsage {
        meta: EventMeta {
            event_id: format!("{visit}-{number}"),
            business_key: format!("usage/{visit}/{number}"),
            ..EventMeta::default()
        },
        encounter_ref: visit.to_owned(),
        supplier_id: Some(supplier.to_owned()),
        consigned: true,
        base_quantity: Some(Decimal::from(number)),
        ..EnrichedUsage::default()
    }
}

fn quantities(supplier: &Supplier) -> Vec<String> {
    supplier.notices().iter().map(|notice| notice.body["quantity"].as_str().unwrap_or_default().to_owned()).collect()
}

/// FX-1, KEY-1, ORD-1, RAW-1: a supplier that is gone holds only its own visit, a late answer makes one notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_that_is_gone_holds_nobody_else() {
    let (gone, late, well) =
        (Supplier::start().await.unwrap(), Supplier::start().await.unwrap(), Supplier::start().await.unwrap());
    gone.fail_next(Fault::Status(410));
    late.fail_next(Fault::LateAnswer(Duration::from_secs(4)));
    let profile = |supplier: &Supplier| json!({"url": supplier.url(), "secret": SECRET});
    let profiles = json!({"GONE": profile(&gone), "LATE": profile(&late), "WELL": profile(&well)});
    let stack = Stack::start(profiles).await;
    stack.publish(&[MasterSupplier { supplier_id: "MUTE".to_owned(), ..MasterSupplier::default() }]).await;
    stack
        .publish(&[
            usage("enc_gone", 1, "GONE"),
            usage("enc_gone", 2, "GONE"),
            usage("enc_late", 3, "LATE"),
            usage("enc_well", 4, "WELL"),
            usage("enc_mute", 5, "MUTE"),
        ])
        .await;
    let running = stack.run().await;

    let notices = stack.until::<SupplierNotice>("notices of the others", |notices| notices.len() >= 2).await;
    let mut told: Vec<&str> = notices.iter().map(|notice| notice.supplier_id.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["LATE", "WELL"]);
    assert_eq!((quantities(&late), quantities(&well)), (vec!["3".to_owned()], vec!["4".to_owned()]));
    let dropped = stack.until::<Audit>("the rule that drops", |audits| !audits.is_empty()).await;
    assert_eq!(dropped[0].code, "supplier.no-profile");
    let raised = stack.until::<Exception>("the exception", |exceptions| !exceptions.is_empty()).await;
    assert_eq!((raised.len(), raised[0].code.as_str()), (1, "WL-5102"));
    assert_eq!(raised[0].origin_event_id.as_deref(), Some("enc_gone-1"));
    assert!(raised[0].raw_value.as_ref().is_some_and(|raw| raw.as_slice().len() > 5), "RAW-1");
    assert!(gone.notices().is_empty());

    let retry = Exception {
        kind: ExceptionKind::RetryRequested,
        state: ExceptionState::Retrying,
        actor: Some("operator".to_owned()),
        ..raised[0].clone()
    };
    stack.publish(&[retry]).await;
    stack.until::<SupplierNotice>("the parked notices", |notices| notices.len() >= 4).await;
    assert_eq!(quantities(&gone), ["1", "2"], "ORD-1");
    running.stop().await;

    // What was told stays told over a restart.
    let running = stack.run().await;
    stack.publish(&[usage("enc_well", 6, "WELL")]).await;
    stack.until::<SupplierNotice>("one more notice", |notices| notices.len() >= 5).await;
    running.stop().await;
    for supplier in [&gone, &late, &well] {
        assert!(supplier.notices().iter().all(|notice| notice.times == 1), "FX-1");
        assert_eq!(supplier.forged(), 0);
    }
}
