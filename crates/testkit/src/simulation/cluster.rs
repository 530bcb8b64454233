//! The ports of the runtime in the world. A broken variant does here what a faulty runtime would do.

use super::client::{Proof, SimConsumer, SimProducer, SimReader, decided, is_late, read_range, settled};
use super::variant::Variant;
use super::world::{Pid, world};
use bytes::Bytes;
use runtime::cluster::{Cluster, GroupConsumer, PartitionReader, Polled, Positions, Rebalances, RecordProducer};
use runtime::kafka::ClientError;
use runtime::outgoing::Outgoing;
use runtime::producer::Delivery;
use runtime::reader::{Range, ReadError};
use runtime::record::Record;
use schemas::{Event, topics};
use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Keys of parked records by partition, shared by the clients of one instance.
type ParkedKeys = Arc<Mutex<BTreeSet<(i32, Bytes)>>>;

/// What a person is called in the events; it must not get anywhere else.
pub(crate) const NAME: &str = "Muster^Anna";
/// How long a transaction may stay open.
pub(crate) const TRANSACTION: Duration = Duration::from_secs(10);

/// The cluster as one process sees it.
#[derive(Clone)]
pub(crate) struct SimCluster {
    pid: Pid,
    variant: Variant,
    /// Records that are parked, for the variant that holds up a whole partition.
    parked: ParkedKeys,
}

impl SimCluster {
    pub fn new(pid: Pid, variant: Variant) -> Self {
        Self { pid, variant, parked: Arc::default() }
    }
}

impl Cluster for SimCluster {
    type Consumer = Consumer;
    type Producer = Producer;
    type Reader = Reader;

    fn consumer(
        &self,
        group: &str,
        topics: &[&str],
        told: Arc<dyn Rebalances<Proof>>,
    ) -> Result<Consumer, ClientError> {
        let committed = self.variant != Variant::DirtyRead;
        let inner = SimConsumer::open(self.pid, group, topics, told, committed);
        Ok(Consumer { inner, variant: self.variant, parked: Arc::clone(&self.parked) })
    }

    fn producer(&self, transactional_id: Option<&str>) -> Result<Producer, ClientError> {
        let inner = SimProducer::open(self.pid, transactional_id, TRANSACTION)?;
        Ok(Producer { inner, variant: self.variant, parked: Arc::clone(&self.parked) })
    }

    fn reader(&self, _ahead: usize, _wait: Duration) -> Result<Reader, ClientError> {
        Ok(Reader { inner: SimReader::open(self.pid), variant: self.variant, held: Mutex::default() })
    }

    fn read_range(&self, range: &Range, visit: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<u64, ReadError> {
        if self.variant == Variant::ForgetOnLoad && range.topic == topics::OPS_EFFECT_V1.name() {
            return Ok(0);
        }
        if self.variant == Variant::ForgetCopies && range.topic == topics::CLINICAL_SUPPLY_USAGE_V1.name() {
            return Ok(0);
        }
        read_range(self.pid, range, visit)
    }

    fn settled(&self, topic: &str, partitions: &BTreeSet<i32>, longest: Duration) -> Result<(), ClientError> {
        settled(self.pid, topic, partitions, longest)
    }

    fn decided(&self, group: &str, topics: &[&str], longest: Duration) -> Result<Positions, ClientError> {
        decided(self.pid, group, topics, longest)
    }

    fn is_late(&self, group: &str, topic: &str, before_ms: i64) -> Result<bool, ReadError> {
        is_late(self.pid, group, topic, before_ms)
    }

    fn session(&self) -> String {
        format!("session-{}", world().number())
    }
}

/// A group member.
pub(crate) struct Consumer {
    inner: SimConsumer,
    variant: Variant,
    parked: ParkedKeys,
}

impl GroupConsumer for Consumer {
    type Membership = Proof;
    type Message<'a> = Record;

    fn poll(&self, patience: Duration) -> Polled<Record> {
        if self.variant == Variant::ParkPartition {
            let parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            let partitions: BTreeSet<i32> = parked.iter().map(|(partition, _)| *partition).collect();
            drop(parked);
            self.inner.withhold(&partitions);
        }
        self.inner.poll(patience)
    }

    fn assignment(&self) -> Result<Vec<(String, i32)>, ClientError> {
        self.inner.assignment()
    }

    fn seek(&self, topic: &str, partition: i32, offset: i64, longest: Duration) -> Result<(), ClientError> {
        if self.variant == Variant::SkipOnRewind {
            return Ok(());
        }
        self.inner.seek(topic, partition, offset, longest)
    }

    fn pause(&self, paused: bool) -> Result<(), ClientError> {
        if self.variant == Variant::UnboundedQueue {
            return Ok(());
        }
        self.inner.pause(paused)
    }

    fn pause_topics(&self, topics: &[&str], paused: bool) -> Result<(), ClientError> {
        self.inner.pause_topics(topics, paused)
    }

    fn leave(&self) {
        self.inner.leave();
    }
}

/// A producer.
pub(crate) struct Producer {
    inner: SimProducer,
    variant: Variant,
    parked: ParkedKeys,
}

impl Producer {
    fn falsified(&self, record: &Outgoing) -> Outgoing {
        let mut record = record.clone();
        let is = |topic: &str| record.topic == topic;
        match self.variant {
            Variant::BareDeadLetter if is(topics::OPS_DEAD_LETTER_V1.name()) => record.value = None,
            Variant::NameInHeader if is(topics::SUPPLY_USAGE_VALIDATED_V1.name()) => {
                record.headers.push((Cow::Borrowed("patient"), Some(Bytes::from_static(NAME.as_bytes()))));
            }
            Variant::NameInKey if is(topics::ERP_POSTING_V1.name()) => {
                record.key = Some(Bytes::from_static(NAME.as_bytes()))
            }
            Variant::NameInLog if is(topics::SUPPLY_USAGE_VALIDATED_V1.name()) => {
                tracing::info!(patient = NAME, "sending");
            }
            Variant::ParkPartition if is(topics::OPS_PARKED_V1.name()) => self.follow_parked(&record),
            _ => {}
        }
        record
    }

    fn follow_parked(&self, record: &Outgoing) {
        let entry = (record.partition.unwrap_or_default(), record.key.clone().unwrap_or_default());
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if record.value.is_some() {
            parked.insert(entry);
        } else {
            parked.remove(&entry);
        }
    }
}

/// Whether this is an effect record that is written ahead of its turn.
fn is_ahead(record: &Outgoing) -> bool {
    event_in::<schemas::Effect>(record).is_some_and(|effect| effect.after.is_some())
}

/// Whether this is an exception that is raised, and not what is said of it later.
fn is_raised(record: &Outgoing) -> bool {
    event_in::<schemas::Exception>(record).is_some_and(|exception| exception.kind == schemas::ExceptionKind::Raised)
}

/// The event in a record, when it is of this kind.
fn event_in<T: Event>(record: &Outgoing) -> Option<T> {
    let value = record.value.as_deref().filter(|_| record.topic == T::topic().name)?;
    let (_, body) = schemas::codec::split_frame(value).ok()?;
    schemas::codec::decode(T::contract().ok()?, body).ok()
}

impl RecordProducer for Producer {
    type Membership = Proof;

    fn send(&self, record: &Outgoing, delivery: &Arc<Delivery>) -> Result<(), ClientError> {
        let lost = match self.variant {
            Variant::ForgetEffectRecord => record.topic == topics::OPS_EFFECT_V1.name(),
            Variant::ForgetAhead => is_ahead(record),
            Variant::SilentDrop => record.topic == topics::OPS_AUDIT_V1.name(),
            _ => false,
        };
        if lost {
            delivery.expect_one();
            delivery.settle(Ok(record.ticket.map(|ticket| (ticket, 0, 0))));
            return Ok(());
        }
        if self.variant == Variant::Honest {
            return self.inner.send(record, delivery);
        }
        let is_doubled = match self.variant {
            Variant::DoubleLetter => record.topic == topics::OPS_DEAD_LETTER_V1.name(),
            Variant::DoubleException => is_raised(record),
            _ => false,
        };
        if is_doubled {
            self.inner.send(&Outgoing { ticket: None, ..record.clone() }, delivery)?;
        }
        self.inner.send(&self.falsified(record), delivery)
    }

    fn init_transactions(&self, longest: Duration) -> Result<(), ClientError> {
        self.inner.init_transactions(longest)
    }

    fn begin(&self) -> Result<(), ClientError> {
        self.inner.begin()
    }

    fn commit(
        &self,
        delivery: &Delivery,
        next: &[(Arc<str>, i32, i64)],
        group: Option<&Proof>,
        longest: Duration,
    ) -> Result<(), ClientError> {
        match self.variant {
            Variant::OffsetsFirst => {
                self.inner.commit_early(next, group, longest)?;
                self.inner.commit(delivery, &[], None, longest)
            }
            Variant::NoProof => {
                let nobody =
                    group.map(|group| Proof { group: group.group.clone(), member: String::new(), generation: -1 });
                self.inner.commit(delivery, next, nobody.as_ref(), longest)
            }
            _ => self.inner.commit(delivery, next, group, longest),
        }
    }

    fn abort(&self, longest: Duration) -> Result<(), ClientError> {
        self.inner.abort(longest)
    }
}

/// A reader without a group.
pub(crate) struct Reader {
    inner: SimReader,
    variant: Variant,
    held: Mutex<Held>,
}

/// What a broken reader of the whole parking topic has read and not handed out.
#[derive(Default)]
struct Held {
    whole: bool,
    polled: VecDeque<Polled<Record>>,
}

impl Reader {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read up to now, the newest parked event first, and what releases them after it.
    fn backwards(&self, patience: Duration) -> Polled<Record> {
        let mut held = self.held();
        if held.polled.is_empty() {
            let (mut parked, mut released) = (VecDeque::new(), Vec::new());
            let rest = loop {
                match self.inner.poll(patience) {
                    Polled::Record(record) if record.value.is_some() => parked.push_front(Polled::Record(record)),
                    Polled::Record(record) => released.push(Polled::Record(record)),
                    rest => break rest,
                }
            };
            held.polled = parked;
            held.polled.extend(released);
            held.polled.push_back(rest);
        }
        held.polled.pop_front().unwrap_or(Polled::Nothing)
    }
}

impl PartitionReader for Reader {
    type Message<'a> = Record;

    fn partitions(&self, topic: &str) -> Result<Vec<i32>, ClientError> {
        self.inner.partitions(topic)
    }

    fn assign(&self, topic: &str, partitions: &[(i32, Option<i64>)]) -> Result<(), ClientError> {
        let whole = topic == topics::OPS_PARKED_V1.name() && partitions.iter().all(|(_, from)| from.is_none());
        *self.held() = Held { whole, polled: VecDeque::new() };
        self.inner.assign(topic, partitions)
    }

    fn poll(&self, patience: Duration) -> Polled<Record> {
        let breaks = self.variant == Variant::UnparkOutOfOrder && self.held().whole;
        if breaks { self.backwards(patience) } else { self.inner.poll(patience) }
    }
}
