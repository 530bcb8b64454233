//! Reads the topics of a window once, record by record, and turns them into facts.
//!
//! What rooms say about outcomes is read before the events: an event that leaves the parking lot meanwhile is then seen twice
//! rather than not at all.

use super::books::{Books, record_key};
use super::fact::{
    About, EffectFact, EffectStanding, Output, ParkedFact, PostingFact, RoomFact, SourceFact, Spot, Standing, Told,
    Worth, event_key, text_key,
};
use super::reach::Reach;
use super::scope::{Outside, SLACK_MS, Scope};
use super::spill::SpillError;
use crate::exceptions::Feed;
use crate::replay::{STARTED, reset};
use runtime::codec::{Codec, WireError};
use runtime::reader::{From, Range, ReadError, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use schemas::{
    Audit, AuditKind, Effect, EffectState, ErpPosting, Event, Exception, ExceptionState, NoticeState, Parked, Receipt,
    ReceiptOutcome, SupplierNotice, headers, topics,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Topics by which outcomes are visible, in the order in which they are read.
const OUTCOMES: [&str; 5] =
    ["ops.parked.v1", "ops.exception.v1", "ops.dead-letter.v1", "ops.audit.v1", "ops.effect.v1"];

/// Those of them of which the newest word counts, however old: what has waited longest is told as well.
const FROM_THE_BEGINNING: [&str; 2] = ["ops.parked.v1", "ops.exception.v1"];

/// How far a partition was read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset that was read.
    pub first: i64,
    /// Last offset that was read.
    pub last: i64,
    /// Records read.
    pub records: u64,
}

/// Why topics could not be turned into facts.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Kafka.
    #[error("WL-7183: the comparison cannot read its topics: {0}")]
    Read(#[from] ReadError),
    /// The registry.
    #[error("WL-7183: the comparison cannot decode its topics: {0}")]
    Wire(#[from] WireError),
    /// The temporary files.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// The caller does not wait any more.
    #[error("WL-7189: the comparison was stopped before its end; nothing was raised and nothing resolved")]
    Stopped,
}

/// What a caller is told while topics are read, and how it stops that.
pub trait Watch: Send + Sync {
    /// So many records of a topic are read.
    fn read(&self, topic: &str, records: u64);
    /// Whether to stop.
    fn stopped(&self) -> bool;
}

/// Nobody watches.
pub struct Unwatched;

impl Watch for Unwatched {
    fn read(&self, _topic: &str, _records: u64) {}

    fn stopped(&self) -> bool {
        false
    }
}

/// Reads topics into books.
pub struct Collector<'a> {
    /// Reads the cluster.
    pub readers: Readers,
    /// Decodes.
    pub codec: Arc<Codec>,
    /// Reads what parked events are worth.
    pub feed: Feed,
    /// What is compared. Rooms that were replayed are noted in it.
    pub scope: &'a mut Scope,
    /// Where facts go.
    pub books: &'a mut Books,
    /// Who is told.
    pub watch: &'a dyn Watch,
    /// Records that could not be decoded.
    pub unreadable: u64,
    /// How far each partition was read.
    pub positions: BTreeMap<(String, i32), Position>,
}

impl Collector<'_> {
    /// Reads everything. Blocks: call it on a blocking thread of the runtime of `handle`.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub fn collect(&mut self, handle: &Handle) -> Result<(), CollectError> {
        let (begin_ms, now_ms) = (self.scope.window.from_ms, self.scope.now_ms);
        let read: Vec<&schemas::TopicInfo> = topics::ALL.iter().copied().filter(|topic| self.is_read(topic)).collect();
        for topic in &read {
            self.scope.reaches.extend(Reach::of(&self.readers, topic, begin_ms, now_ms)?);
        }
        for topic in OUTCOMES {
            self.topic(topic, handle)?;
        }
        for topic in read.iter().filter(|topic| !topic.name.starts_with("ops.")) {
            self.topic(topic.name, handle)?;
        }
        // Receipts last: they are written with or after their events.
        self.topic(topics::OPS_RECEIPT_V1.name(), handle)
    }

    /// Whether records of a topic are compared.
    fn is_read(&self, topic: &schemas::TopicInfo) -> bool {
        let number = Spot::new(topic.name, 0, 0).map(|spot| spot.topic);
        let is_used = |numbers: &[u8]| number.is_some_and(|number| numbers.contains(&number));
        let of_rooms = || self.scope.rooms.iter().any(|room| is_used(&room.reads) || is_used(&room.writes));
        match topic.name.starts_with("ops.") {
            true => OUTCOMES.contains(&topic.name) || topic.name == topics::OPS_RECEIPT_V1.name(),
            false => receipted(topic) || of_rooms(),
        }
    }

    fn topic(&mut self, topic: &'static str, handle: &Handle) -> Result<(), CollectError> {
        let since = From::TimeMs(self.scope.window.from_ms.saturating_sub(SLACK_MS).max(0));
        let from = if FROM_THE_BEGINNING.contains(&topic) { From::Earliest } else { since };
        let range = Range { topic: topic.to_owned(), partitions: Vec::new(), from, until: Until::EndNow };
        let mut outcome = Ok(());
        let mut records = 0;
        let readers = self.readers.clone();
        readers.read_range(&range, |record| {
            records += 1;
            if records % 10_000 == 0 {
                self.watch.read(topic, records);
            }
            outcome =
                if self.watch.stopped() { Err(CollectError::Stopped) } else { self.record(topic, &record, handle) };
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.watch.read(topic, records);
        outcome
    }

    fn record(&mut self, topic: &'static str, record: &Record, handle: &Handle) -> Result<(), CollectError> {
        self.seen(record);
        let Some(spot) = Spot::new(topic, record.place.partition, record.place.offset) else { return Ok(()) };
        let at_ms = record.timestamp_ms.unwrap_or(self.scope.window.from_ms);
        let facts = match topic {
            "ops.parked.v1" => self.parked(record, spot, handle),
            "ops.exception.v1" => self.exception(record, handle),
            "ops.dead-letter.v1" => self.dead_letter(record, spot, at_ms),
            "ops.audit.v1" => self.audit(record, spot, at_ms, handle),
            "ops.effect.v1" => self.effect(record, spot, at_ms, handle),
            "ops.receipt.v1" => self.receipt(record, spot, at_ms, handle),
            _ => self.event(record, spot, at_ms, handle),
        };
        match facts {
            // The room that reads it makes a dead letter of it.
            Err(CollectError::Wire(error)) if error.blames_record() => {
                self.unreadable += 1;
                Ok(())
            }
            other => other,
        }
    }

    fn seen(&mut self, record: &Record) {
        let (partition, offset) = (record.place.partition, record.place.offset);
        let key = (record.place.topic.to_string(), partition);
        let position = self.positions.entry(key).or_insert_with(|| Position {
            topic: record.place.topic.to_string(),
            partition,
            first: offset,
            last: offset,
            records: 0,
        });
        position.last = offset;
        position.records += 1;
    }

    fn event(&mut self, record: &Record, spot: Spot, at_ms: i64, handle: &Handle) -> Result<(), CollectError> {
        if record.value.is_none() {
            return Ok(());
        }
        let id = record.header(headers::ID).map(event_key);
        let Some(info) = topics::ALL.get(usize::from(spot.topic)) else { return Ok(()) };
        if let Some(id) = id.filter(|_| receipted(info)) {
            self.books.source(id, &SourceFact::Event { spot, at_ms, receipted: true })?;
        }
        for number in 0..self.scope.rooms.len() {
            let Ok(room) = u8::try_from(number) else { continue };
            let Some(accounted) = self.scope.room(room) else { continue };
            let (reads, writes) = (accounted.reads.contains(&spot.topic), accounted.writes.contains(&spot.topic));
            let outside = accounted.outside;
            if reads && self.scope.window.has(at_ms) {
                let follows = record.header(headers::CAUSATION_ID).filter(|_| outside == Outside::Erp);
                let input = RoomFact::Input { spot, at_ms, named: id.is_some(), cause: follows.map(event_key) };
                self.books.room(room, record_key(room, id, spot), input)?;
            }
            let cause = record.header(headers::CAUSATION_ID).map(event_key).filter(|_| writes);
            if let (Some(cause), Some(event)) = (cause, id) {
                let about = self.about(outside, record, handle)?;
                let output = RoomFact::Output(Output { spot, at_ms, event, about });
                self.books.room(room, record_key(room, Some(cause), spot), output)?;
            }
        }
        Ok(())
    }

    fn about(&self, outside: Outside, record: &Record, handle: &Handle) -> Result<About, CollectError> {
        match outside {
            Outside::Nothing => Ok(About::Inside),
            Outside::Erp => {
                let posting: Option<ErpPosting> = self.decoded(record, handle)?;
                Ok(posting.map_or(About::Inside, |posting| About::Posting(Box::new(posting_fact(posting)))))
            }
            Outside::Suppliers => {
                let notice: Option<SupplierNotice> = self.decoded(record, handle)?;
                Ok(notice.map_or(About::Inside, |notice| About::Notice {
                    notice_id: notice.notice_id,
                    delivered: notice.state == NoticeState::Delivered,
                }))
            }
        }
    }

    fn receipt(&mut self, record: &Record, spot: Spot, at_ms: i64, handle: &Handle) -> Result<(), CollectError> {
        let Some(receipt) = self.decoded::<Receipt>(record, handle)? else { return Ok(()) };
        if receipt.outcome == ReceiptOutcome::Events {
            for id in &receipt.event_ids {
                self.books.source(event_key(id), &SourceFact::Promised { spot, at_ms })?;
            }
        }
        Ok(())
    }

    fn audit(&mut self, record: &Record, spot: Spot, at_ms: i64, handle: &Handle) -> Result<(), CollectError> {
        let Some(audit) = self.decoded::<Audit>(record, handle)? else { return Ok(()) };
        let outcome = match audit.kind {
            AuditKind::Dropped => Told::Dropped,
            AuditKind::Duplicate | AuditKind::Suppressed => Told::Duplicate,
            // What was only planned has changed nothing.
            AuditKind::Replay if [STARTED, reset::STARTED].contains(&audit.code.as_str()) => {
                self.scope.replayed_by(&audit.room);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let origin = origin(audit.origin_topic.as_deref(), audit.origin_partition, audit.origin_offset);
        self.told(&audit.room, audit.event_id.as_deref(), origin, RoomFact::Told { outcome, spot, at_ms })
    }

    fn exception(&mut self, record: &Record, handle: &Handle) -> Result<(), CollectError> {
        let Some(said) = self.decoded::<Exception>(record, handle)? else { return Ok(()) };
        let state = match said.state {
            ExceptionState::Resolved => Standing::Resolved,
            ExceptionState::Discarded => Standing::Discarded,
            _ => Standing::Open,
        };
        let fact = RoomFact::Exception { id: text_key(&said.exception_id), state, at_us: said.at.0 };
        let origin = origin(said.origin_topic.as_deref(), said.origin_partition, said.origin_offset);
        self.told(&said.room, said.origin_event_id.as_deref(), origin, fact)
    }

    fn dead_letter(&mut self, record: &Record, spot: Spot, at_ms: i64) -> Result<(), CollectError> {
        let number = |name: &str| record.header(name).and_then(|text| text.parse::<i64>().ok());
        let partition = number("wl_partition").and_then(|number| i32::try_from(number).ok());
        let origin = origin(record.header("wl_topic"), partition, number("wl_offset"));
        let room = record.header("wl_room").unwrap_or_default().to_owned();
        self.told(&room, record.header(headers::ID), origin, RoomFact::Told { outcome: Told::DeadLetter, spot, at_ms })
    }

    /// Something that a room says about a record that it read.
    fn told(
        &mut self,
        room: &str,
        event_id: Option<&str>,
        origin: Option<Spot>,
        fact: RoomFact,
    ) -> Result<(), CollectError> {
        let (Some(room), Some(origin)) = (self.room(room), origin) else { return Ok(()) };
        Ok(self.books.room(room, record_key(room, event_id.map(event_key), origin), fact)?)
    }

    fn effect(&mut self, record: &Record, spot: Spot, at_ms: i64, handle: &Handle) -> Result<(), CollectError> {
        let Some(effect) = self.decoded::<Effect>(record, handle)? else { return Ok(()) };
        let origin = origin(effect.origin_topic.as_deref(), effect.origin_partition, effect.origin_offset);
        // What was only noted has no document and says nothing about the outside.
        let (Some(room), Some(origin), false) = (self.room(&effect.room), origin, effect.document_key.is_empty())
        else {
            return Ok(());
        };
        let state = match effect.state {
            EffectState::Applied => EffectStanding::Applied,
            EffectState::Refused | EffectState::Withdrawn => EffectStanding::Refused,
            EffectState::Intended | EffectState::InDoubt | EffectState::Unknown => EffectStanding::Open,
        };
        let cause = record.header(headers::CAUSATION_ID).map(event_key);
        let fact = EffectFact {
            spot,
            origin,
            at_ms,
            effect_key: effect.effect_key,
            document_key: effect.document_key,
            document_id: effect.documents.into_iter().next().map(|document| document.id).unwrap_or_default(),
            state,
        };
        Ok(self.books.room(room, record_key(room, cause, origin), RoomFact::Effect(fact))?)
    }

    fn parked(&mut self, record: &Record, spot: Spot, handle: &Handle) -> Result<(), CollectError> {
        let key = record.key_text().into_owned();
        let Some(room) = key.split('|').next().and_then(|room| self.room(room)) else { return Ok(()) };
        let money = self.feed.parked(record)?.and_then(|event| event.money);
        let worth = money.map(|(amount, currency)| Worth { amount, currency });
        let parked = self.decoded::<Parked>(record, handle)?.and_then(|parked| {
            let origin = Spot::new(&parked.topic, parked.partition, parked.offset)?;
            let id = parked.headers.iter().find(|header| header.key == headers::ID);
            let id = id
                .and_then(|header| header.value.as_ref())
                .map(|value| String::from_utf8_lossy(value.as_ref()).into_owned());
            Some((record_key(room, id.as_deref().map(event_key), origin), origin))
        });
        Ok(self.books.parked(&key, &ParkedFact { room, offset: spot.offset, parked, worth })?)
    }

    fn room(&self, name: &str) -> Option<u8> {
        u8::try_from(self.scope.rooms.iter().position(|room| room.name == name)?).ok()
    }

    fn decoded<T: Event>(&self, record: &Record, handle: &Handle) -> Result<Option<T>, CollectError> {
        let Some(value) = record.value.as_deref() else { return Ok(None) };
        let opened = match self.codec.open_cached(value)? {
            Some(opened) => opened,
            None => handle.block_on(self.codec.open(value))?,
        };
        let (writer, body) = opened;
        let event = schemas::codec::decode(&writer, body).map_err(WireError::from)?;
        Ok(Some(event))
    }
}

/// Whether all who write to a topic also write receipts.
pub(super) fn receipted(topic: &schemas::TopicInfo) -> bool {
    topic.name.starts_with("clinical.")
}

fn origin(topic: Option<&str>, partition: Option<i32>, offset: Option<i64>) -> Option<Spot> {
    Spot::new(topic?, partition?, offset?)
}

fn posting_fact(posting: ErpPosting) -> PostingFact {
    let document = posting.documents.into_iter().next().unwrap_or_default();
    PostingFact {
        effect_key: posting.effect_key,
        encounter: posting.encounter_ref,
        kind: posting.kind.as_str().to_owned(),
        item: posting.item_id.unwrap_or_default(),
        lot: posting.lot,
        serial: posting.serial,
        location: posting.from_location.unwrap_or_default(),
        quantity: posting.quantity,
        cost_centre: posting.cost_centre_id,
        amount: posting.amount,
        currency: posting.currency.unwrap_or_default(),
        document_id: document.id,
        document_number: document.number,
    }
}
