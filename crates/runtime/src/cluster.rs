//! The ports of the loops: what they need of a Kafka cluster, and nothing more.
//!
//! Production is librdkafka (`librdkafka.rs`, `producer.rs`). The seeded simulation brings clients of its own, so that the
//! very same loops run under it. Everything is dispatched statically, and a record is handed out without being copied.

use crate::kafka::ClientError;
use crate::outgoing::{Lineage, Outgoing};
use crate::pieces;
use crate::producer::Delivery;
use crate::reader::{Range, ReadError};
use crate::record::{Place, Record};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A Kafka cluster. Cheap to clone.
pub trait Cluster: Clone + Send + Sync + 'static {
    /// A member of a consumer group.
    type Consumer: GroupConsumer;
    /// A producer.
    type Producer: RecordProducer<Membership = Membership<Self>>;
    /// A reader without a group.
    type Reader: PartitionReader;

    /// Joins a group and subscribes to topics. Changes of the assignment are told to `told` while the consumer is polled.
    ///
    /// # Errors
    /// When the client refuses its settings.
    fn consumer(
        &self,
        group: &str,
        topics: &[&str],
        told: Arc<dyn Rebalances<Membership<Self>>>,
    ) -> Result<Self::Consumer, ClientError>;

    /// A producer, transactional when it has an id.
    ///
    /// # Errors
    /// When the client refuses its settings.
    fn producer(&self, transactional_id: Option<&str>) -> Result<Self::Producer, ClientError>;

    /// A reader that fetches up to about `ahead` records ahead, and lets the broker wait up to `wait` for what is to come.
    ///
    /// # Errors
    /// When the client refuses its settings.
    fn reader(&self, ahead: usize, wait: Duration) -> Result<Self::Reader, ClientError>;

    /// Visits the committed records of a range, in order per partition, until the end or until `visit` breaks.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn read_range(&self, range: &Range, visit: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<u64, ReadError>;

    /// Waits until every transaction that has written to these partitions by now has ended. What a `read_committed` reader
    /// finds until then may lack what was committed long ago, because it stands behind what is still open.
    ///
    /// # Errors
    /// When a transaction is still open after `longest`, or the cluster does not answer.
    fn settled(&self, topic: &str, partitions: &BTreeSet<i32>, longest: Duration) -> Result<(), ClientError>;

    /// Waits until no position of a group in these topics is part of an open transaction, and gives the positions. Whoever was
    /// thrown out of the group before cannot commit anything after that: its proof of membership was taken earlier, and is decided,
    /// or comes too late.
    ///
    /// # Errors
    /// When a transaction is still open after `longest`, or the cluster does not answer.
    fn decided(&self, group: &str, topics: &[&str], longest: Duration) -> Result<Positions, ClientError>;

    /// Whether a record of a topic that was written before this time, milliseconds since 1970, still waits for a group. A group
    /// that has never committed a position is not there, and nothing waits for it.
    ///
    /// # Errors
    /// When the cluster does not answer.
    fn is_late(&self, group: &str, topic: &str, before_ms: i64) -> Result<bool, ReadError>;

    /// A name for this start of a room that no other start ever had.
    fn session(&self) -> String;
}

/// Proves that partitions belong to a member of a group, of the group's present generation.
pub type Membership<K> = <<K as Cluster>::Consumer as GroupConsumer>::Membership;

/// Where a group goes on in each partition; 0 where it has committed nothing.
pub type Positions = BTreeMap<(String, i32), i64>;

/// What waiting for a record ended with.
pub enum Polled<M> {
    /// This record.
    Record(M),
    /// Nothing came in time.
    Nothing,
    /// All that is committed to this partition was read; told to readers alone.
    End(i32),
    /// The client complains; it goes on by itself. A member that its group has shut out does not, and hears of it in each poll.
    Failed(ClientError),
}

/// A member of a consumer group. Offsets are committed by producers.
pub trait GroupConsumer {
    /// Proof of membership for a transaction.
    type Membership: Send + Sync + 'static;
    /// A record as it is handed out.
    type Message<'a>: RecordView
    where
        Self: 'a;

    /// Waits up to `patience` for a record. Changes of the assignment are told meanwhile; a poll that has told one hands out
    /// no record.
    fn poll(&self, patience: Duration) -> Polled<Self::Message<'_>>;

    /// The partitions that are ours.
    ///
    /// # Errors
    /// When the client does not know.
    fn assignment(&self) -> Result<Vec<(String, i32)>, ClientError>;

    /// Goes on reading at an offset.
    ///
    /// # Errors
    /// When the partition is not ours, or the client does not answer in time.
    fn seek(&self, topic: &str, partition: i32, offset: i64, longest: Duration) -> Result<(), ClientError>;

    /// Stops or goes on fetching from all partitions that are ours now. Polling must go on.
    ///
    /// # Errors
    /// When the client refuses.
    fn pause(&self, paused: bool) -> Result<(), ClientError>;

    /// Lets partitions go that [`Rebalances::parting`] has named. Clients that share all at once never name any.
    ///
    /// # Errors
    /// When the client refuses.
    fn let_go(&self, _partitions: &[(String, i32)]) -> Result<(), ClientError> {
        Ok(())
    }

    /// Proof of membership as the client has it now, where it is renewed without a change of the assignment; none where each
    /// renewal is told.
    fn membership(&self) -> Option<Self::Membership> {
        None
    }

    /// Stops or goes on fetching from the partitions of these topics that are ours now.
    ///
    /// # Errors
    /// When the client refuses.
    fn pause_topics(&self, topics: &[&str], paused: bool) -> Result<(), ClientError>;

    /// Leaves the group.
    fn leave(&self);
}

/// Is told of changes of the assignment, from within [`GroupConsumer::poll`] and [`GroupConsumer::leave`].
pub trait Rebalances<M>: Send + Sync {
    /// Whether it follows partitions that come and go while others stay. Where it does not, all go before any come.
    fn in_parts(&self) -> bool {
        false
    }

    /// These partitions are ours beside those that stay. The membership takes the place of the last one.
    fn added(&self, _partitions: Vec<(String, i32)>, _membership: Option<M>) {}

    /// These partitions are to go. They stay ours, and the others as well, until [`GroupConsumer::let_go`]. The membership takes
    /// the place of the last one.
    fn parting(&self, _partitions: Vec<(String, i32)>, _membership: Option<M>) {}

    /// All partitions go as soon as this returns.
    fn revoking(&self) {}

    /// All partitions have gone.
    fn revoked(&self) {}

    /// These partitions are ours now; the membership proves it for transactions until the next change.
    fn assigned(&self, partitions: Vec<(String, i32)>, membership: Option<M>);
}

/// Sends records and confirms them with acks=all, in order, once. See [`crate::producer::Producer`].
pub trait RecordProducer: Send + Sync + 'static {
    /// Proof of membership of the consumer whose offsets are committed.
    type Membership;

    /// Queues a record; its fate is told to `delivery`.
    ///
    /// # Errors
    /// When the record is refused at once or the queue stays full.
    fn send(&self, record: &Outgoing, delivery: &Arc<Delivery>) -> Result<(), ClientError>;

    /// Takes over the transactional id: fences an older holder and aborts what it left open.
    ///
    /// # Errors
    /// When the coordinator does not answer in time.
    fn init_transactions(&self, longest: Duration) -> Result<(), ClientError>;

    /// Opens a transaction.
    ///
    /// # Errors
    /// When one is open already or this producer was fenced.
    fn begin(&self) -> Result<(), ClientError>;

    /// Commits what was sent since [`RecordProducer::begin`] together with positions (topic, partition, next offset to
    /// read).
    ///
    /// # Errors
    /// When a record failed, the group has moved on or this producer was fenced; then call [`RecordProducer::abort`].
    fn commit(
        &self,
        delivery: &Delivery,
        next: &[(Arc<str>, i32, i64)],
        group: Option<&Self::Membership>,
        longest: Duration,
    ) -> Result<(), ClientError>;

    /// Aborts the open transaction.
    ///
    /// # Errors
    /// When this producer was fenced or the coordinator does not answer.
    fn abort(&self, longest: Duration) -> Result<(), ClientError>;
}

/// Reads partitions without a group, `read_committed`, and tells where each ends.
pub trait PartitionReader: Send {
    /// A record as it is handed out.
    type Message<'a>: RecordView
    where
        Self: 'a;

    /// The partitions of a topic.
    ///
    /// # Errors
    /// When the cluster does not answer or the topic is missing.
    fn partitions(&self, topic: &str) -> Result<Vec<i32>, ClientError>;

    /// Reads these partitions from these offsets on, and nothing else; no offset is the oldest record.
    ///
    /// # Errors
    /// When the client refuses.
    fn assign(&self, topic: &str, partitions: &[(i32, Option<i64>)]) -> Result<(), ClientError>;

    /// Waits up to `patience` for a record or the end of a partition.
    fn poll(&self, patience: Duration) -> Polled<Self::Message<'_>>;
}

/// A record as a client hands it out, before anything is copied.
pub trait RecordView {
    /// Topic.
    fn topic(&self) -> &str;
    /// Partition.
    fn partition(&self) -> i32;
    /// Offset.
    fn offset(&self) -> i64;
    /// Broker or producer time, milliseconds since 1970, when known.
    fn timestamp_ms(&self) -> Option<i64>;
    /// Key bytes.
    fn key(&self) -> Option<&[u8]>;
    /// Value bytes.
    fn value(&self) -> Option<&[u8]>;
    /// Visits the headers in order.
    fn visit_headers(&self, visit: impl FnMut(&str, Option<&[u8]>));

    /// An owned copy. Its small parts lie in one piece: they are made on one thread and freed on another.
    fn to_record(&self) -> Record {
        let place = Place { topic: shared(self.topic()), partition: self.partition(), offset: self.offset() };
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            let key = self.key().map(|key| appended(scratch, key));
            let mut headers = Vec::with_capacity(schemas::headers::CLOUD_EVENT_HEADERS_MAX);
            self.visit_headers(|name, value| {
                headers.push((schemas::headers::name(name), value.map(|value| appended(scratch, value))))
            });
            let whole = Bytes::copy_from_slice(scratch);
            // One huge header shall not take its room for ever.
            scratch.shrink_to(pieces::CHUNK_BYTES);
            let part = |at: std::ops::Range<usize>| whole.slice(at);
            Record {
                place,
                timestamp_ms: self.timestamp_ms(),
                key: key.map(part),
                value: self.value().map(Bytes::copy_from_slice),
                headers: headers.into_iter().map(|(name, at)| (name, at.map(part))).collect(),
            }
        })
    }

    /// What the next event inherits.
    fn lineage(&self) -> Lineage {
        let mut lineage = Lineage::default();
        self.visit_headers(|name, value| lineage.inherit(name, value, || value.map(pieces::cut_bytes)));
        lineage.completed()
    }
}

/// A change of the assignment.
pub enum Change<M> {
    /// These partitions are ours now.
    Assigned(Vec<(String, i32)>, Option<M>),
    /// These partitions are ours beside the others.
    Added(Vec<(String, i32)>, Option<M>),
    /// These partitions go when they are let go.
    Parting(Vec<(String, i32)>, Option<M>),
    /// All partitions were taken away.
    Revoked,
}

/// Keeps changes of the assignment for a loop that follows them after each poll.
pub struct Changes<M> {
    waiting: Mutex<VecDeque<Change<M>>>,
    /// Asked after each record, so it takes no lock.
    any: AtomicBool,
}

impl<M> Changes<M> {
    /// Takes the oldest change.
    pub fn next(&self) -> Option<Change<M>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let change = waiting.pop_front();
        self.any.store(!waiting.is_empty(), Ordering::Release);
        change
    }

    /// Whether no change waits to be followed.
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    fn push(&self, change: Change<M>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(change);
        self.any.store(true, Ordering::Release);
    }
}

impl<M> Default for Changes<M> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), any: AtomicBool::default() }
    }
}

impl<M: Send> Rebalances<M> for Changes<M> {
    fn added(&self, partitions: Vec<(String, i32)>, membership: Option<M>) {
        self.push(Change::Added(partitions, membership));
    }

    fn parting(&self, partitions: Vec<(String, i32)>, membership: Option<M>) {
        self.push(Change::Parting(partitions, membership));
    }

    fn revoked(&self) {
        self.push(Change::Revoked);
    }

    fn assigned(&self, partitions: Vec<(String, i32)>, membership: Option<M>) {
        self.push(Change::Assigned(partitions, membership));
    }
}

impl RecordView for Record {
    fn topic(&self) -> &str {
        &self.place.topic
    }

    fn partition(&self) -> i32 {
        self.place.partition
    }

    fn offset(&self) -> i64 {
        self.place.offset
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn visit_headers(&self, mut visit: impl FnMut(&str, Option<&[u8]>)) {
        self.headers.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}

thread_local! {
    /// Where the small parts of a record come together.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Puts bytes at the end, and says where they are.
fn appended(scratch: &mut Vec<u8>, bytes: &[u8]) -> std::ops::Range<usize> {
    let from = scratch.len();
    scratch.extend_from_slice(bytes);
    from..scratch.len()
}

/// The name of a topic, in one piece with that of the record before it on this thread where it is the same.
fn shared(topic: &str) -> Arc<str> {
    thread_local! {
        static LAST: RefCell<Arc<str>> = RefCell::new(Arc::from(""));
    }
    LAST.with_borrow_mut(|last| {
        if **last != *topic {
            *last = Arc::from(topic);
        }
        Arc::clone(last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::headers::{CORRELATION_ID, ID, TRACEPARENT};
    use std::borrow::Cow;

    fn record(headers: Vec<(&'static str, Option<&'static [u8]>)>) -> Record {
        Record {
            place: Place { topic: Arc::from("t"), partition: 3, offset: 7 },
            timestamp_ms: Some(1),
            key: Some(Bytes::from_static(b"key")),
            value: None,
            headers: headers
                .into_iter()
                .map(|(name, value)| (Cow::Borrowed(name), value.map(Bytes::from_static)))
                .collect(),
        }
    }

    #[test]
    fn raw_1_an_owned_copy_has_every_byte_and_knows_null_from_empty() {
        let odd = vec![(ID, Some(&b"1"[..])), ("x-own", None), ("", Some(&b""[..])), (ID, Some(&b"\xff\0"[..]))];
        let first = record(odd);
        let second = Record { key: None, value: Some(Bytes::from_static(b"")), ..record(Vec::new()) };
        let bare = Record { key: Some(Bytes::new()), ..record(Vec::new()) };
        for one in [first, second, bare] {
            assert_eq!(one.to_record(), one);
        }
    }

    #[test]
    fn an_event_inherits_the_first_of_two_headers_and_no_bytes_that_are_no_text() {
        let cause = record(vec![(ID, Some(&b"1"[..])), (ID, Some(&b"2"[..])), (TRACEPARENT, Some(&b"\xff"[..]))]);
        let lineage = cause.lineage();
        assert_eq!(lineage, Lineage::of(&cause.headers));
        assert_eq!(
            (lineage.causation_id.as_deref(), lineage.correlation_id.as_deref()),
            (Some(&b"1"[..]), Some(&b"1"[..]))
        );
        assert_eq!(lineage.traceparent, None);
        let later = record(vec![(CORRELATION_ID, Some(&b"0"[..])), (ID, Some(&b"1"[..]))]).lineage();
        assert_eq!(later.correlation_id.as_deref(), Some(&b"0"[..]));
    }
}
