//! What became of the records of a range, as the topics tell it. Held in memory, so the range is bounded.

use super::super::known::hash;
use super::super::plan::{Count, parking_lot, waiting};
use super::super::store::visit_readable;
use super::super::{CLOCK_SLACK_MS, ReplayError};
use super::compare::Became;
use bytes::Bytes;
use runtime::codec::WireError;
use runtime::reader::{From, Range, Until};
use runtime::record::Record;
use runtime::shadow::Shadow;
use schemas::{Audit, AuditKind, Effect, EffectState, Event, Exception, ExceptionState, headers, topics};
use std::collections::{BTreeSet, HashMap, HashSet};
use tokio::runtime::Handle;

/// Versions that are told.
const VERSIONS_MAX: usize = 10;

/// A place in the topic of the range.
type At = (i32, i64);

/// The records of a range, before it is known what became of them.
#[derive(Default)]
pub(super) struct Seen {
    records: HashMap<At, One>,
    causes: HashMap<String, At>,
    first_ms: Option<i64>,
}

/// What is known of one record.
#[derive(Default)]
struct One {
    prior_key: Option<String>,
    /// Events that it caused: by id the newest, with its order on the topic.
    events: Vec<(Order, Bytes)>,
    told: Option<Became>,
    effects: Vec<String>,
}

/// Time stamp, partition and offset.
type Order = (i64, i32, i64);

/// An event that was written under a business key.
struct Before {
    order: Order,
    cause: Option<At>,
    value: Bytes,
}

/// What became of the records.
pub(super) struct Past<'a> {
    records: HashMap<At, One>,
    before: HashMap<String, Vec<Before>>,
    applied: HashSet<u128>,
    /// Versions of what refused records of the range. Events and effects do not say theirs.
    versions: BTreeSet<String>,
    count: &'a Count,
    shadow: &'a dyn Shadow,
    handle: &'a Handle,
}

impl Seen {
    /// A record of the range.
    pub fn take(&mut self, record: &Record, prior_key: Option<String>) {
        let place = (record.place.partition, record.place.offset);
        if let Some(id) = record.header(headers::ID) {
            self.causes.insert(id.to_owned(), place);
        }
        if let Some(at_ms) = record.timestamp_ms {
            self.first_ms = Some(self.first_ms.map_or(at_ms, |first| first.min(at_ms)));
        }
        self.records.insert(place, One { prior_key, ..One::default() });
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }
}

impl<'a> Past<'a> {
    /// Reads what became of the records.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer, or a bound is met.
    pub fn gather(
        count: &'a Count,
        shadow: &'a dyn Shadow,
        seen: Seen,
        handle: &'a Handle,
    ) -> Result<Self, ReplayError> {
        let Seen { records, causes, first_ms } = seen;
        let since = first_ms.map_or(From::Earliest, |first| From::TimeMs(first.saturating_sub(CLOCK_SLACK_MS).max(0)));
        let (before, applied, versions) = (HashMap::new(), HashSet::new(), BTreeSet::new());
        let mut past = Self { records, before, applied, versions, count, shadow, handle };
        past.dead_letters(since)?;
        past.audits(since)?;
        past.parked()?;
        past.exceptions()?;
        past.effects()?;
        past.events(since, &causes)?;
        Ok(past)
    }

    /// What became of a record.
    ///
    /// # Errors
    /// When an event that it caused cannot be read.
    pub fn of(&self, place: At) -> Result<Became, ReplayError> {
        let Some(one) = self.records.get(&place) else { return Ok(Became::Nothing) };
        if one.events.is_empty() {
            return Ok(one.told.clone().unwrap_or(Became::Nothing));
        }
        let mut newest = HashMap::new();
        for (order, value) in &one.events {
            let (event, _) = self.written(value)?;
            let known = newest.entry(event.id.clone()).or_insert((*order, event.clone()));
            if known.0 < *order {
                *known = (*order, event);
            }
        }
        let mut events: Vec<_> = newest.into_values().collect();
        events.sort_by_key(|(order, _)| *order);
        let events = events.into_iter().map(|(_, event)| event).collect();
        Ok(Became::Emitted { events, effects: one.effects.clone() })
    }

    /// The event that was written under the business key before those of this record.
    pub fn prior(&self, place: At) -> Option<&[u8]> {
        let one = self.records.get(&place)?;
        let own = one.events.iter().map(|(order, _)| *order).min();
        let all = self.before.get(one.prior_key.as_ref()?)?.iter();
        let others = all.filter(|before| before.cause != Some(place) && own.is_none_or(|own| before.order < own));
        others.max_by_key(|before| before.order).map(|before| before.value.as_ref())
    }

    /// Versions of what refused records of the range, as far as that is on record.
    pub fn versions(&self) -> Vec<String> {
        self.versions.iter().cloned().collect()
    }

    /// Whether an effect happened.
    pub fn is_applied(&self, effect_key: &str) -> bool {
        self.applied.contains(&hash(effect_key))
    }

    fn written(&self, value: &[u8]) -> Result<(runtime::shadow::SaidEvent, Option<String>), ReplayError> {
        let (writer, body) = self.handle.block_on(self.count.replays.codec.open(value))?;
        Ok(self.shadow.written((&writer, body)).map_err(WireError::from)?)
    }

    fn events(&mut self, since: From, causes: &HashMap<String, At>) -> Result<(), ReplayError> {
        let wanted: HashSet<String> = self.records.values().filter_map(|one| one.prior_key.clone()).collect();
        // What was done before the range counts for corrections in it.
        let from = if wanted.is_empty() { since } else { From::Earliest };
        let most = self.count.replays.own.shadow_max.saturating_mul(4);
        let mut held = 0_usize;
        let topic = self.shadow.writes().name;
        self.visit(topic, from, |past, record| {
            let Some(value) = record.value.clone() else { return Ok(()) };
            let place = record.header(headers::CAUSATION_ID).and_then(|cause| causes.get(cause)).copied();
            let order = (record.timestamp_ms.unwrap_or_default(), record.place.partition, record.place.offset);
            if let Some(one) = place.and_then(|place| past.records.get_mut(&place)) {
                one.events.push((order, value.clone()));
                held += 1;
            }
            if !wanted.is_empty()
                && let (_, Some(key)) = past.written(&value)?
                && wanted.contains(&key)
            {
                past.before.entry(key).or_default().push(Before { order, cause: place, value });
                held += 1;
            }
            if held > most {
                return Err(ReplayError::TooMuch { what: "events of these records", key: "shadow_max", most });
            }
            Ok(())
        })
    }

    fn audits(&mut self, since: From) -> Result<(), ReplayError> {
        self.visit(topics::OPS_AUDIT_V1.name(), since, |past, record| {
            let Some(audit) = past.decoded::<Audit>(record)? else { return Ok(()) };
            let became = match audit.kind {
                AuditKind::Dropped => Became::Dropped(audit.code),
                AuditKind::Duplicate => Became::Duplicate,
                _ => return Ok(()),
            };
            past.told(&audit.room, audit.origin_topic.as_deref(), audit.origin_partition, audit.origin_offset, became);
            Ok(())
        })
    }

    fn dead_letters(&mut self, since: From) -> Result<(), ReplayError> {
        self.visit(topics::OPS_DEAD_LETTER_V1.name(), since, |past, record| {
            let number = |name: &str| record.header(name).and_then(|text| text.parse::<i64>().ok());
            let partition = number("wl_partition").and_then(|number| i32::try_from(number).ok());
            let room = record.header("wl_room").unwrap_or_default();
            let code = record.header("wl_code").unwrap_or_default().to_owned();
            let is_ours =
                past.told(room, record.header("wl_topic"), partition, number("wl_offset"), Became::DeadLetter(code));
            past.version(is_ours, record.header("wl_version").unwrap_or_default());
            Ok(())
        })
    }

    fn exceptions(&mut self) -> Result<(), ReplayError> {
        self.visit(topics::OPS_EXCEPTION_V1.name(), From::Earliest, |past, record| {
            let Some(said) = past.decoded::<Exception>(record)? else { return Ok(()) };
            let became = match said.state {
                // Its event went on: what became of it is told elsewhere.
                ExceptionState::Resolved => return Ok(()),
                ExceptionState::Discarded => Became::Discarded(said.code),
                _ => Became::Rejected(said.code),
            };
            let topic = said.origin_topic.as_deref();
            let is_ours = past.told(&said.room, topic, said.origin_partition, said.origin_offset, became);
            past.version(is_ours, &said.version);
            Ok(())
        })
    }

    fn parked(&mut self) -> Result<(), ReplayError> {
        let (replays, room) = (&self.count.replays, self.count.room.info.name);
        let waits =
            waiting(&replays.config.kafka, &parking_lot(), (room, self.count.topic.name), replays.own.parked_max)?;
        for place in waits {
            if let Some(one) = self.records.get_mut(&place) {
                one.told = Some(Became::Waits);
            }
        }
        Ok(())
    }

    fn effects(&mut self) -> Result<(), ReplayError> {
        if self.count.room.info.kind != runtime::RoomKind::Effect {
            return Ok(());
        }
        let most = self.count.replays.own.effects_max;
        self.visit(topics::OPS_EFFECT_V1.name(), From::Earliest, |past, record| {
            let Some(effect) = past.decoded::<Effect>(record)? else { return Ok(()) };
            // A record without a document only says that an event has its outcome.
            if effect.room != past.count.room.info.name
                || effect.state != EffectState::Applied
                || effect.document_key.is_empty()
            {
                return Ok(());
            }
            past.applied.insert(hash(&effect.effect_key));
            if past.applied.len() > most {
                return Err(ReplayError::TooMuch { what: "effects", key: "effects_max", most });
            }
            let place = effect.origin_partition.zip(effect.origin_offset);
            if effect.origin_topic.as_deref() == Some(past.count.topic.name)
                && let Some(one) = place.and_then(|place| past.records.get_mut(&place))
                && !one.effects.contains(&effect.effect_key)
            {
                one.effects.push(effect.effect_key);
            }
            Ok(())
        })
    }

    fn version(&mut self, is_ours: bool, version: &str) {
        if is_ours && !version.is_empty() && self.versions.len() < VERSIONS_MAX {
            self.versions.insert(version.to_owned());
        }
    }

    /// Something that a room says about a record; what is told later in [`Past::gather`] counts more. Whether it is one of the
    /// range.
    fn told(
        &mut self,
        room: &str,
        topic: Option<&str>,
        partition: Option<i32>,
        offset: Option<i64>,
        became: Became,
    ) -> bool {
        if room == self.count.room.info.name
            && topic == Some(self.count.topic.name)
            && let Some(one) = partition.zip(offset).and_then(|place| self.records.get_mut(&place))
        {
            one.told = Some(became);
            return true;
        }
        false
    }

    fn decoded<T: Event>(&self, record: &Record) -> Result<Option<T>, ReplayError> {
        let Some(value) = record.value.as_deref() else { return Ok(None) };
        let (writer, body) = self.handle.block_on(self.count.replays.codec.open(value))?;
        Ok(Some(schemas::codec::decode(&writer, body).map_err(WireError::from)?))
    }

    fn visit(
        &mut self,
        topic: &str,
        from: From,
        mut visit: impl FnMut(&mut Self, &Record) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayError> {
        let range = Range { topic: topic.to_owned(), partitions: Vec::new(), from, until: Until::EndNow };
        let kafka = self.count.replays.config.kafka.clone();
        visit_readable(&kafka, &range, |record| visit(self, record))
    }
}
