//! Whoever is outside: the source, the master data, the people who decide about exceptions, and who replays.

use super::broker::ms;
use super::client::{SimProducer, committed, group_position};
use super::cluster::TRANSACTION;
use super::erp::Erp;
use super::story::Story;
use super::toy::{POST, Says, Told, VALIDATE};
use super::world::{Actor, OUTSIDE, Turn, world};
use processor::{Code, Reason};
use runtime::cluster::RecordProducer as _;
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::desk::Desk;
use runtime::kafka::ClientError;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::parking_store::REPLAY_CODE;
use runtime::producer::Delivery;
use schemas::{Audit, AuditKind, Event, Exception, ExceptionKind, ExceptionState, MasterItem, Timestamp, topics};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that are no record.
const GARBAGE: &[u8] = b"\x07 these are no Avro bytes";

/// Puts events on Kafka in their order.
pub(crate) struct Source {
    producer: SimProducer,
    codec: Arc<Codec>,
    events: VecDeque<(Duration, Told)>,
}

impl Source {
    pub fn open(codec: Arc<Codec>, story: &Story) -> Result<Self, ClientError> {
        let producer = SimProducer::open(OUTSIDE, None, TRANSACTION)?;
        let mut events: Vec<_> = story.events.iter().chain(&story.copies).cloned().collect();
        // Stable, so that what is said again at once comes behind the first.
        events.sort_by_key(|(at, _)| *at);
        Ok(Self { producer, codec, events: events.into() })
    }
}

impl Actor for Source {
    fn turn(&mut self) -> Turn {
        let now = world().now();
        while let Some((_, told)) = self.events.pop_front_if(|(at, _)| *at <= now) {
            send(&self.producer, told_record(&self.codec, &told));
        }
        self.events.front().map_or(Turn::Done, |(at, _)| Turn::After(at.saturating_sub(now)))
    }
}

/// The record of an event.
pub(crate) fn told_record(codec: &Codec, told: &Told) -> Outgoing {
    let usage = told.usage();
    let value = codec.encode(&usage).unwrap_or_default();
    let mut record = Outgoing::event(&usage, value, &Lineage::default(), "hospital");
    if told.says == Says::Garbage {
        record.value = Some([GARBAGE, told.id.as_bytes()].concat().into());
    }
    record
}

/// Publishes the items that events wait for, late.
pub(crate) struct MasterData {
    producer: SimProducer,
    codec: Arc<Codec>,
    items: VecDeque<(Duration, String)>,
}

impl MasterData {
    pub fn open(codec: Arc<Codec>, story: &Story) -> Result<Self, ClientError> {
        let mut items: Vec<_> = story.items.iter().map(|(item, at)| (*at, item.clone())).collect();
        items.sort();
        Ok(Self { producer: SimProducer::open(OUTSIDE, None, TRANSACTION)?, codec, items: items.into() })
    }
}

impl Actor for MasterData {
    fn turn(&mut self) -> Turn {
        let now = world().now();
        while let Some((_, item)) = self.items.pop_front_if(|(at, _)| *at <= now) {
            world().note("item", || item.clone());
            send(&self.producer, item_record(&self.codec, &item));
        }
        self.items.front().map_or(Turn::Done, |(at, _)| Turn::After(at.saturating_sub(now)))
    }
}

fn item_record(codec: &Codec, item: &str) -> Outgoing {
    let item = MasterItem { item_id: item.to_owned(), ..MasterItem::default() };
    Outgoing::event(&item, codec.encode(&item).unwrap_or_default(), &Lineage::default(), "hospital")
}

/// Decides about exceptions: mends what can be mended and asks for a retry, discards the rest.
pub(crate) struct Operator {
    producer: SimProducer,
    codec: Arc<Codec>,
    erp: Erp,
    story: Rc<Story>,
    /// When each exception was last decided about.
    decided: BTreeMap<String, Duration>,
    /// Whether they are diligent now: at the end everybody is.
    pub diligent: Rc<RefCell<bool>>,
}

impl Operator {
    pub fn open(
        codec: Arc<Codec>,
        erp: Erp,
        story: Rc<Story>,
        diligent: Rc<RefCell<bool>>,
    ) -> Result<Self, ClientError> {
        let producer = SimProducer::open(OUTSIDE, None, TRANSACTION)?;
        Ok(Self { producer, codec, erp, story, decided: BTreeMap::new(), diligent })
    }

    fn decide(&mut self, exception: &Exception) {
        let id = exception.origin_event_id.clone().unwrap_or_default();
        let told = self.story.events.iter().map(|(_, told)| told).find(|told| told.id == id);
        let told = told.cloned().or_else(|| self.told_of(exception));
        let retry = match (exception.room.as_str(), &told) {
            (VALIDATE, Some(told)) => {
                send(&self.producer, item_record(&self.codec, &told.item));
                !world().chance(2_000)
            }
            (POST, Some(told)) if told.does == super::toy::Does::Reject => false,
            (POST, Some(told)) => {
                self.erp.allow(&told.item);
                true
            }
            _ => false,
        };
        let (kind, state) = if retry {
            (ExceptionKind::RetryRequested, ExceptionState::Retrying)
        } else {
            (ExceptionKind::Discarded, ExceptionState::Discarded)
        };
        world().note("decision", || format!("{} {} {kind:?}", exception.room, exception.exception_id));
        let decision = Exception { kind, state, actor: Some("operator".to_owned()), ..exception.clone() };
        let value = self.codec.encode(&decision).unwrap_or_default();
        send(&self.producer, Outgoing::event(&decision, value, &Lineage::default(), "hospital"));
    }

    /// The event behind an exception of the effect room, whose input has an id of its own.
    fn told_of(&self, exception: &Exception) -> Option<Told> {
        let value = exception.raw_value.as_ref()?;
        let usage: schemas::ValidatedUsage = decode(&self.codec, value.as_ref())?;
        let item = usage.item_ref.map(|item| item.code)?;
        self.story.events.iter().map(|(_, told)| told).find(|told| told.item == item).cloned()
    }
}

impl Actor for Operator {
    fn turn(&mut self) -> Turn {
        let now = world().now();
        let diligent = *self.diligent.borrow();
        let mut newest: BTreeMap<String, Exception> = BTreeMap::new();
        for record in committed(OUTSIDE, topics::OPS_EXCEPTION_V1.name()).unwrap_or_default() {
            if let Some(exception) = decode::<Exception>(&self.codec, record.value.as_deref().unwrap_or_default()) {
                newest.insert(exception.exception_id.clone(), exception);
            }
        }
        newest.retain(|_, exception| exception.kind != ExceptionKind::Resolved);
        for (id, exception) in newest {
            let last = self.decided.get(&id).copied();
            let again = last.is_some_and(|last| now.saturating_sub(last) > Duration::from_secs(8));
            if last.is_none() && (diligent || world().chance(3_000)) || diligent && again {
                self.decided.insert(id, now);
                self.decide(&exception);
            }
        }
        Turn::After(world().random(|prng| prng.between(Duration::from_secs(1), Duration::from_secs(4))))
    }
}

/// Replays a range of what the effect room has read, as `wardline replay apply` does.
pub(crate) struct Replayer {
    pub codec: Arc<Codec>,
    pub left: u64,
    /// Ids of the events that were replayed.
    pub replayed: Rc<RefCell<Vec<String>>>,
}

impl Replayer {
    fn replay(&self) -> Result<(), ClientError> {
        let topic = topics::SUPPLY_USAGE_VALIDATED_V1.name();
        let partition = world().random(|prng| i32::try_from(prng.below(3)).unwrap_or_default());
        let passed = group_position(OUTSIDE, POST, topic, partition)?;
        let from = world()
            .random(|prng| i64::try_from(prng.below(u64::try_from(passed).unwrap_or_default())))
            .unwrap_or_default();
        let producer = SimProducer::open(OUTSIDE, None, TRANSACTION)?;
        let desk =
            Desk::new(POST, &Config::default(), Arc::clone(&self.codec), &format!("replay-{}", world().number()));
        let reason = Reason::new(Code::new(REPLAY_CODE), REPLAY_CODE, "replayed on request");
        let at = ms(world().now()) * 1_000;
        let mut count = 0;
        for record in committed(OUTSIDE, topic).unwrap_or_default() {
            let place = &record.place;
            if place.partition == partition
                && (from..passed).contains(&place.offset)
                && let Ok(parked) = desk.park(&record, &reason, None, 0, at)
            {
                world().note("replay", || record.place.to_string());
                self.replayed.borrow_mut().push(record.header(schemas::headers::ID).unwrap_or_default().to_owned());
                send(&producer, Outgoing { ticket: None, ..parked });
                count += 1;
            }
        }
        let audit = Audit {
            room: POST.to_owned(),
            kind: AuditKind::Replay,
            code: "replay.applied".to_owned(),
            origin_topic: Some(topic.to_owned()),
            detail: format!("{count} records replayed"),
            actor: Some("operator".to_owned()),
            at: Timestamp(at),
            ..Audit::default()
        };
        let value = self.codec.encode(&audit).unwrap_or_default();
        send(&producer, Outgoing::event(&audit, value, &Lineage::default(), "hospital"));
        Ok(())
    }
}

impl Actor for Replayer {
    fn turn(&mut self) -> Turn {
        if self.left == 0 {
            return Turn::Done;
        }
        self.left -= 1;
        if let Err(error) = self.replay() {
            world().note("no-replay", || error.to_string());
        }
        Turn::After(world().random(|prng| prng.between(Duration::from_secs(2), Duration::from_secs(12))))
    }
}

fn send(producer: &SimProducer, record: Outgoing) {
    // The producer keeps trying until it is confirmed; the run does not end before.
    drop(producer.send(&record, &Delivery::new()));
}

/// Reads an event of ours; none when it is none.
pub(crate) fn decode<T: Event>(codec: &Codec, value: &[u8]) -> Option<T> {
    let (writer, body) = codec.open_cached(value).ok()??;
    schemas::codec::decode(&writer, body).ok()
}
