//! Rooms that call one endpoint, which is away for a while.

use connector::effect::{Action, BoxFuture, CallError, Effect, EffectClient, Plan};
use connector::pacing::{BreakerConfig, Pacing};
use processor::{Input, Verdict, derived};
use runtime::{Room, RoomInfo};
use schemas::catalogue::Criticality;
use schemas::codec::{CodecError, WriterSchema};
use schemas::{Document, ErpPosting, Event, EventMeta, GoodsReceipt, PurchaseOrder, SupplyUsage, TopicInfo};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Calls that the endpoint takes at once.
pub const CALLS_MAX: usize = 2;
/// How long each takes.
const CALL: Duration = Duration::from_millis(20);

/// What rooms call, as long as it is there.
pub struct Endpoint {
    up: AtomicBool,
    places: Semaphore,
    /// Topics of the events that it took, in order.
    taken: Mutex<Vec<String>>,
}

impl Endpoint {
    pub fn away() -> Arc<Self> {
        Arc::new(Self { up: AtomicBool::default(), places: Semaphore::new(CALLS_MAX), taken: Mutex::default() })
    }

    pub fn comes_back(&self) {
        self.up.store(true, Ordering::Relaxed);
    }

    pub fn goes_away(&self) {
        self.up.store(false, Ordering::Relaxed);
    }

    pub fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

/// An event of each class, in one room. No topic of the catalogue is analytical, so the three are read as if their topics were of
/// the three classes; and as if they promised either nothing, so that everything is late, or an hour, so that nothing is.
#[derive(Clone)]
pub enum Every<const IN_TIME: bool> {
    Usage(Box<SupplyUsage>),
    Order(Box<PurchaseOrder>),
    Receipt(Box<GoodsReceipt>),
}

/// What the room is told of its topics: usages, orders and receipts.
fn read_as(latency_p99_ms: u64) -> [TopicInfo; 3] {
    let classes = [Criticality::PatientAdjacent, Criticality::Operational, Criticality::Analytical];
    let topics = [SupplyUsage::topic(), PurchaseOrder::topic(), GoodsReceipt::topic()];
    std::array::from_fn(|rank| TopicInfo { class: classes[rank], latency_p99_ms, ..*topics[rank] })
}

static ALWAYS_LATE: LazyLock<[TopicInfo; 3]> = LazyLock::new(|| read_as(0));
static NEVER_LATE: LazyLock<[TopicInfo; 3]> = LazyLock::new(|| read_as(3_600_000));

impl<const IN_TIME: bool> Input for Every<IN_TIME> {
    fn topics() -> Vec<&'static TopicInfo> {
        let topics: &'static LazyLock<[TopicInfo; 3]> = if IN_TIME { &NEVER_LATE } else { &ALWAYS_LATE };
        topics.iter().collect()
    }

    fn decode(topic: &str, writer: &WriterSchema, body: &[u8]) -> Result<Self, CodecError> {
        Ok(match topic {
            name if name == SupplyUsage::topic().name => Self::Usage(Box::new(schemas::codec::decode(writer, body)?)),
            name if name == PurchaseOrder::topic().name => Self::Order(Box::new(schemas::codec::decode(writer, body)?)),
            _ => Self::Receipt(Box::new(schemas::codec::decode(writer, body)?)),
        })
    }

    fn to_json(&self) -> Result<serde_json::Value, CodecError> {
        match self {
            Self::Usage(usage) => processor::told(usage.as_ref()),
            Self::Order(order) => processor::told(order.as_ref()),
            Self::Receipt(receipt) => processor::told(receipt.as_ref()),
        }
    }

    fn from_json(topic: &str, event: serde_json::Value) -> Result<Self, CodecError> {
        Ok(match topic {
            name if name == SupplyUsage::topic().name => Self::Usage(Box::new(schemas::codec::from_json(event)?)),
            name if name == PurchaseOrder::topic().name => Self::Order(Box::new(schemas::codec::from_json(event)?)),
            _ => Self::Receipt(Box::new(schemas::codec::from_json(event)?)),
        })
    }

    fn envelope(&self) -> Option<&EventMeta> {
        match self {
            Self::Usage(usage) => usage.meta(),
            Self::Order(order) => order.meta(),
            Self::Receipt(receipt) => receipt.meta(),
        }
    }
}

/// What can be called for.
pub trait Called: Input + Clone {
    fn posting(&self) -> ErpPosting;
    fn topic_name(&self) -> &'static str;
}

impl<T: Event + Clone> Called for T {
    fn posting(&self) -> ErpPosting {
        let meta = derived::<ErpPosting>(self, "recovery");
        ErpPosting { meta, encounter_ref: self.key(), ..ErpPosting::default() }
    }

    fn topic_name(&self) -> &'static str {
        T::topic().name
    }
}

impl<const IN_TIME: bool> Called for Every<IN_TIME> {
    fn posting(&self) -> ErpPosting {
        match self {
            Self::Usage(usage) => usage.posting(),
            Self::Order(order) => order.posting(),
            Self::Receipt(receipt) => receipt.posting(),
        }
    }

    fn topic_name(&self) -> &'static str {
        match self {
            Self::Usage(usage) => usage.topic_name(),
            Self::Order(order) => order.topic_name(),
            Self::Receipt(receipt) => receipt.topic_name(),
        }
    }
}

/// Calls the endpoint once for each event.
struct Calls<I>(PhantomData<fn() -> I>);

impl<I: Called> Effect for Calls<I> {
    type Input = I;
    type Output = ErpPosting;
    type Tables = ();
    type Request = String;
    type Response = String;

    fn prior_key(&self, _input: &I) -> Option<String> {
        None
    }

    fn plan(&self, input: &I, _prior: Option<&ErpPosting>, _tables: &()) -> Plan<String, ErpPosting> {
        let effect_key = input.envelope().map(|meta| meta.event_id.clone()).unwrap_or_default();
        let request = input.topic_name().to_owned();
        Plan::Act(Action { effect_key, target: "erp".to_owned(), batch_key: None, request })
    }

    fn settle(&self, input: &I, _request: &String, _response: &String) -> Verdict<ErpPosting> {
        Verdict::emit(input.posting())
    }

    fn output_key(&self, output: &ErpPosting) -> String {
        output.meta.event_id.clone()
    }
}

struct Client {
    endpoint: Arc<Endpoint>,
    pacing: Pacing,
}

impl EffectClient<String, String> for Client {
    fn call<'a>(
        &'a self,
        _document_key: &'a str,
        requests: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<String>, CallError>> {
        Box::pin(async move {
            if !self.endpoint.up.load(Ordering::Relaxed) {
                return Err(CallError::Transient { retry_after: None, reason: "the endpoint is away".to_owned() });
            }
            let place = self.endpoint.places.acquire().await.unwrap();
            tokio::time::sleep(CALL).await;
            self.endpoint.taken.lock().unwrap().extend(requests.iter().cloned());
            drop(place);
            Ok(requests.to_vec())
        })
    }

    fn look_up<'a>(
        &'a self,
        _document_key: &'a str,
        _requests: &'a [String],
        _certain: bool,
    ) -> BoxFuture<'a, Result<Option<Vec<String>>, CallError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn certain_after(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn batch_max(&self) -> usize {
        1
    }

    fn calls_max(&self) -> usize {
        CALLS_MAX
    }

    fn pacing(&self, _target: &str) -> Pacing {
        self.pacing.clone()
    }

    fn documents(&self, _answer: &String) -> Vec<Document> {
        Vec::new()
    }
}

/// A room that calls the endpoint for each event that it reads, and yields to others there.
pub fn room<I: Called>(name: &'static str, endpoint: &Arc<Endpoint>, yields_to: &[&str]) -> Room {
    let yields_to = yields_to.iter().map(|room| (*room).to_owned()).collect();
    let breaker = BreakerConfig { open_ms: 200, open_ms_max: 500, ..BreakerConfig::default() };
    let (endpoint, pacing) = (Arc::clone(endpoint), Pacing { yields_to, breaker, ..Pacing::default() });
    Room::effect(RoomInfo::of_effect::<Calls<I>>(name, "toy"), move |_| {
        let client = Client { endpoint: Arc::clone(&endpoint), pacing: pacing.clone() };
        Ok((Calls::<I>(PhantomData), Arc::new(client) as Arc<dyn EffectClient<String, String>>))
    })
}
