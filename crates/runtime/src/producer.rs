//! Sends records and says when all in-sync replicas have them.

use crate::bounded::Bounded;
use crate::clock::tick;
use crate::config::KafkaConfig;
use crate::kafka::{self, ClientError, GroupProof};
use crate::outgoing::{Headers, Outgoing};
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a full local queue may stay full before a send fails.
const QUEUE_FULL_WAIT: Duration = Duration::from_secs(30);
/// By so much librdkafka may be late.
const MARGIN: Duration = Duration::from_secs(1);
/// How often it is looked whether the last records of a transaction are freed.
const LANDING_LOOK: Duration = Duration::from_micros(100);
/// One wait for delivery reports, and the longest time that dropping a producer takes.
const REPORTS_WAIT: Duration = Duration::from_millis(100);

/// A producer with acks=all and idempotence, transactional when it has an id.
pub struct Producer {
    inner: Arc<BaseProducer<DeliveryContext>>,
    context: Arc<Shared>,
    stop: Arc<AtomicBool>,
    reports: Option<JoinHandle<()>>,
    /// Makes the call that may hang.
    positions: Bounded,
}

/// Records sent together; completes when each is confirmed or one has failed.
#[derive(Default)]
pub struct Delivery {
    /// Records whose fate is not known: counted without a lock, once for each record on two threads.
    open: AtomicUsize,
    state: Mutex<DeliveryState>,
    changed: Condvar,
    done: Notify,
    /// What this is the report of, when it is that of one record with a ticket.
    whole: Option<(Arc<Self>, u64)>,
}

/// Offsets that delivered records got: ticket, partition, offset.
pub type TicketOffset = (u64, i32, i64);

impl Producer {
    /// Connects. With a transactional id, call [`Producer::init_transactions`] before the first transaction.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn new(config: &KafkaConfig, transactional_id: Option<&str>) -> Result<Self, ClientError> {
        let context = Arc::new(Shared::default());
        let inner = Arc::new(BaseProducer::from_config_and_context(
            &kafka::producer(config, transactional_id),
            DeliveryContext(Arc::clone(&context)),
        )?);
        let stop = Arc::new(AtomicBool::default());
        let reports = hand_out_reports(Arc::clone(&inner), Arc::clone(&stop));
        let no_thread = |error: std::io::Error| KafkaError::ClientCreation(error.to_string());
        let (reports, positions) = (reports.map_err(no_thread)?, Bounded::start("positions").map_err(no_thread)?);
        Ok(Self { inner, context, stop, reports: Some(reports), positions })
    }

    /// Queues a record; its fate is told to `delivery`. Waits while the local queue is full.
    ///
    /// # Errors
    /// When the record is refused at once or the queue stays full.
    pub fn send(&self, record: &Outgoing, delivery: &Arc<Delivery>) -> Result<(), ClientError> {
        let report = match record.ticket {
            None => Arc::clone(delivery),
            Some(number) => Delivery::of_ticket(delivery, number),
        };
        let mut next = BaseRecord::<[u8], [u8], Arc<Delivery>>::with_opaque_to(&record.topic, report);
        next.key = record.key.as_deref();
        next.payload = record.value.as_deref();
        next.partition = record.partition;
        next.headers = (!record.headers.is_empty()).then(|| owned_headers(&record.headers));
        delivery.expect_one();
        let mut full_since = None;
        loop {
            match self.inner.send(next) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if tick().since(*full_since.get_or_insert_with(tick)) < QUEUE_FULL_WAIT =>
                {
                    next = back;
                    // A delivery frees room; the wait is bounded because the wake-up may be another sender's.
                    self.context.wait_for_room();
                }
                Err((error, _)) => {
                    self.context.note(&error, &error.to_string());
                    delivery.settle(Err(error.to_string()));
                    return Err(error.into());
                }
            }
        }
    }

    /// Takes over the transactional id: fences an older holder and aborts what it left open.
    ///
    /// # Errors
    /// When the coordinator does not answer in time.
    pub fn init_transactions(&self, timeout: Duration) -> Result<(), ClientError> {
        Ok(self.inner.init_transactions(timeout)?)
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// When one is open already or this producer was fenced.
    pub fn begin(&self) -> Result<(), ClientError> {
        Ok(self.inner.begin_transaction()?)
    }

    /// Commits what was sent since [`Producer::begin`] together with the positions in `next` (topic, partition, next
    /// offset to read).
    ///
    /// # Errors
    /// When a record failed, the group has moved on or this producer was fenced; then call [`Producer::abort`].
    pub fn commit(
        &self,
        delivery: &Delivery,
        next: &[(Arc<str>, i32, i64)],
        group: Option<&GroupProof>,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        if let Some(group) = group
            && !next.is_empty()
        {
            let mut offsets = TopicPartitionList::with_capacity(next.len());
            for (topic, partition, offset) in next {
                offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
            }
            self.send_offsets(offsets, group, timeout)?;
        }
        delivery.wait(timeout, || self.context.last_error())?;
        self.land(timeout);
        Ok(self.inner.commit_transaction(timeout)?)
    }

    /// Waits until nothing is in flight: then the flush inside of a commit returns at once, and else it takes a full 100 ms. A
    /// record is in flight until it is freed, which is a moment after its fate is told, and nothing tells that moment.
    fn land(&self, timeout: Duration) {
        let started = tick();
        while self.inner.in_flight_count() > 0 && tick().since(started) < timeout {
            std::thread::park_timeout(LANDING_LOOK);
        }
    }

    /// librdkafka does not keep its bound here: where the coordinator of the group has gone it waits for a change of some broker,
    /// which may never come (its issues 5456 and 5511). A room that starts again finds the coordinator anew, so half of the time
    /// that there is has to do.
    fn send_offsets(
        &self,
        offsets: TopicPartitionList,
        group: &GroupProof,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let (inner, group) = (Arc::clone(&self.inner), Arc::clone(group));
        let timeout = timeout / 2;
        let call = move || inner.send_offsets_to_transaction(&offsets, &group, timeout);
        match self.positions.call(timeout.saturating_add(MARGIN), call) {
            Some(outcome) => Ok(outcome?),
            None => Err(ClientError::Fenced(format!(
                "positions are not taken within {timeout:?}, the producer is given up"
            ))),
        }
    }

    /// Aborts the open transaction.
    ///
    /// # Errors
    /// When this producer was fenced or the coordinator does not answer.
    pub fn abort(&self, timeout: Duration) -> Result<(), ClientError> {
        Ok(self.inner.abort_transaction(timeout)?)
    }

    /// What the client last complained about.
    pub fn last_error(&self) -> String {
        self.context.last_error()
    }

    /// Whether this producer takes no record any more, for as long as it lives.
    pub fn is_broken(&self) -> bool {
        self.context.broken.get().is_some()
    }

    /// Waits until this producer takes no record any more, and says why.
    pub async fn broken(&self) -> String {
        loop {
            let broke = self.context.broke.notified();
            if let Some(why) = self.context.broken.get() {
                return why.clone();
            }
            broke.await;
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reports) = self.reports.take() {
            // A panic of that thread was told when it happened.
            drop(reports.join());
        }
    }
}

impl Delivery {
    /// Nothing sent yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Blocks until all that was sent is confirmed.
    ///
    /// # Errors
    /// When a record failed or time is up.
    pub fn wait(&self, timeout: Duration, last_error: impl Fn() -> String) -> Result<(), ClientError> {
        let mut state = self.lock();
        state.blocking = true;
        let (mut state, waited) = self
            .changed
            .wait_timeout_while(state, timeout, |state| self.is_open() && state.failed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.blocking = false;
        if let Some(reason) = &state.failed {
            return Err(ClientError::Delivery(reason.clone()));
        }
        if waited.timed_out() {
            return Err(ClientError::Unconfirmed { waited_ms: timeout.as_millis(), last_error: last_error() });
        }
        Ok(())
    }

    /// Waits until all that was sent is confirmed. librdkafka bounds the wait by `delivery.timeout.ms`.
    ///
    /// # Errors
    /// When a record failed.
    pub async fn confirmed(&self) -> Result<(), ClientError> {
        loop {
            let notified = self.done.notified();
            if let Some(reason) = &self.lock().failed {
                return Err(ClientError::Delivery(reason.clone()));
            }
            if !self.is_open() {
                return Ok(());
            }
            notified.await;
        }
    }

    /// Takes the offsets of the records that had tickets.
    pub fn take_tickets(&self) -> Vec<TicketOffset> {
        std::mem::take(&mut self.lock().tickets)
    }

    /// One more record was sent: whoever sends calls this first.
    pub fn expect_one(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// The fate of one record: the offset of its ticket when it had one, or why it is not there.
    pub fn settle(&self, result: Result<Option<TicketOffset>, String>) {
        let failed = result.is_err();
        match result {
            Ok(None) => {}
            Ok(Some(ticket)) => self.lock().tickets.push(ticket),
            Err(reason) => {
                self.lock().failed.get_or_insert(reason);
            }
        }
        // What was kept above is there for whoever sees the last one go.
        let last = self.open.fetch_sub(1, Ordering::AcqRel) == 1;
        if last || failed {
            // Under the lock, so that nobody looks before and waits after; waking nobody is a system call all the same.
            if self.lock().blocking {
                self.changed.notify_all();
            }
            self.done.notify_waiters();
        }
    }

    /// The report of one record of `whole`, whose offset is to be told.
    fn of_ticket(whole: &Arc<Self>, number: u64) -> Arc<Self> {
        Arc::new(Self { whole: Some((Arc::clone(whole), number)), ..Self::default() })
    }

    /// The client tells the fate of a record.
    fn told(&self, result: &DeliveryResult<'_>) {
        let failed = |error: &KafkaError| error.to_string();
        match &self.whole {
            None => self.settle(result.as_ref().map(|_| None).map_err(|(error, _)| failed(error))),
            Some((whole, number)) => {
                let place = result.as_ref().map(|message| Some((*number, message.partition(), message.offset())));
                whole.settle(place.map_err(|(error, _)| failed(error)));
            }
        }
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DeliveryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct DeliveryState {
    failed: Option<String>,
    tickets: Vec<TicketOffset>,
    /// A thread waits for the end.
    blocking: bool,
}

#[derive(Default)]
struct Shared {
    last_error: Mutex<Option<String>>,
    room: Condvar,
    room_lock: Mutex<()>,
    /// Senders that found the local queue full.
    waiting: AtomicUsize,
    /// Why nothing is taken any more, once the client has said so: a fatal error does not pass.
    broken: OnceLock<String>,
    broke: Notify,
}

impl Shared {
    fn last_error(&self) -> String {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.unwrap_or_else(|| "none".to_owned())
    }

    /// Remembers an error after which librdkafka refuses every record, for example when a broker has lost the end of a log and
    /// does not know the sequence number any more. Only a new producer helps then.
    fn note(&self, error: &KafkaError, reason: &str) {
        let fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        if fatal && self.broken.set(reason.to_owned()).is_ok() {
            self.broke.notify_waiters();
        }
    }

    fn wait_for_room(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.room_lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.room.wait_timeout(guard, Duration::from_millis(5)));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// A missed wake-up costs no more than the bound of the wait; a wake-up per record would be a system call per record.
    fn made_room(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.room.notify_all();
        }
    }
}

/// Tells the fate of records on a thread of its own.
fn hand_out_reports(
    producer: Arc<BaseProducer<DeliveryContext>>,
    stop: Arc<AtomicBool>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("deliveries".to_owned()).spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            producer.poll(kafka::whole_wait(REPORTS_WAIT));
        }
    })
}

struct DeliveryContext(Arc<Shared>);

impl ClientContext for DeliveryContext {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer");
        *self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        self.0.note(&error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Arc<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Arc<Delivery>) {
        // Before the sender hears of it, who then asks whether the producer is of any use.
        if let Err((error, _)) = result {
            self.0.note(error, &error.to_string());
        }
        report.told(result);
        self.0.made_room();
    }
}

fn owned_headers(headers: &Headers) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
        all.insert(Header { key, value: value.as_deref() })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    const TOPIC: &str = "broken";

    fn record() -> Outgoing {
        Outgoing {
            topic: TOPIC.into(),
            partition: Some(0),
            key: None,
            value: Some(b"value".to_vec().into()),
            headers: Headers::default(),
            ticket: None,
        }
    }

    async fn deliver(producer: &Producer) -> Result<(), ClientError> {
        let delivery = Delivery::new();
        producer.send(&record(), &delivery)?;
        delivery.confirmed().await
    }

    #[test]
    fn a_fatal_error_breaks_the_producer_and_no_other_does() {
        let shared = Arc::new(Shared::default());
        let context = DeliveryContext(Arc::clone(&shared));
        context.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        shared.note(&KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "queue full");
        shared.note(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut), "timed out");
        assert_eq!(shared.broken.get(), None);
        context.error(KafkaError::Global(RDKafkaErrorCode::Fatal), "the sequence is lost");
        assert_eq!(shared.broken.get().map(String::as_str), Some("the sequence is lost"));
        let of_a_record = KafkaError::MessageProduction(RDKafkaErrorCode::Fatal);
        shared.note(&of_a_record, "a later one");
        assert_eq!(shared.broken.get().map(String::as_str), Some("the sequence is lost"), "the first one says most");
        let other = Shared::default();
        other.note(&of_a_record, "what a send and a delivery report say");
        assert!(other.broken.get().is_some());
    }

    /// librdkafka itself, against brokers of its own that answer as one does that has lost the end of a log.
    #[tokio::test]
    async fn loss_1_a_producer_whose_sequence_is_lost_says_that_it_is_broken() {
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic(TOPIC, 1, 1).unwrap();
        let config = KafkaConfig { bootstrap: brokers.bootstrap_servers(), ..KafkaConfig::default() };
        let producer = Producer::new(&config, None).unwrap();
        deliver(&producer).await.unwrap();
        assert!(!producer.is_broken());
        let lost = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        brokers.request_errors(RDKafkaApiKey::Produce, &[lost]);
        assert!(deliver(&producer).await.is_err());
        let refused = deliver(&producer).await;
        let fatal = KafkaError::MessageProduction(RDKafkaErrorCode::Fatal);
        assert!(matches!(&refused, Err(ClientError::Kafka(error)) if *error == fatal), "{refused:?}");
        let why = tokio::time::timeout(Duration::from_secs(30), producer.broken()).await.unwrap();
        assert!(producer.is_broken() && !why.is_empty(), "{why}");
        deliver(&Producer::new(&config, None).unwrap()).await.unwrap();
    }
}
