//! What is on the topics and in the ERP at the end of a run, as the laws want to see it.

use super::client::committed;
use super::people::decode;
use super::toy::{POST, VALIDATE};
use super::world::OUTSIDE;
use processor::laws::Outcome;
use runtime::codec::Codec;
use runtime::reader::ReadError;
use runtime::record::Record;
use schemas::{
    Audit, AuditKind, Effect, EffectState, ErpPosting, Exception, ExceptionKind, ExceptionState, Parked,
    ValidatedUsage, headers, topics,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is on the topics.
pub(crate) struct Evidence {
    pub usages: Vec<Record>,
    pub validated: Vec<(Record, ValidatedUsage)>,
    pub postings: Vec<(Record, ErpPosting)>,
    pub exceptions: Vec<(Record, Exception)>,
    pub audits: Vec<(Record, Audit)>,
    pub letters: Vec<Record>,
    /// What is parked now.
    pub parked: Vec<Waiting>,
    /// What was ever parked: room, id of the event, time.
    ever_parked: Vec<(String, String, i64)>,
    /// When the intention of a document was first on record, milliseconds since 1970.
    pub intended: BTreeMap<String, i64>,
    /// Everything else that was read, for what must be in no record.
    pub others: Vec<Record>,
}

/// An event that is parked.
pub(crate) struct Waiting {
    pub room: String,
    pub id: String,
    /// Whether a person is asked about what its lane waits for.
    pub asked: bool,
}

impl Evidence {
    /// Reads all topics.
    pub fn gather(codec: &Codec) -> Result<Self, ReadError> {
        let read = |topic: &str| committed(OUTSIDE, topic);
        let parked_records = read(topics::OPS_PARKED_V1.name())?;
        let exceptions = typed(codec, read(topics::OPS_EXCEPTION_V1.name())?);
        let parked = still_parked(codec, &parked_records, &exceptions);
        let ever = parked_records.iter().filter_map(|record| {
            let parked = parked_event(codec, record)?;
            let id = id_of(&parked)?;
            Some((parked.room, id, record.timestamp_ms.unwrap_or_default()))
        });
        let ever_parked = ever.collect();
        let mut others = parked_records;
        let effects = read(topics::OPS_EFFECT_V1.name())?;
        let intended = intentions(codec, &effects);
        others.extend(effects);
        Ok(Self {
            usages: read(topics::CLINICAL_SUPPLY_USAGE_V1.name())?,
            validated: typed(codec, read(topics::SUPPLY_USAGE_VALIDATED_V1.name())?),
            postings: typed(codec, read(topics::ERP_POSTING_V1.name())?),
            exceptions,
            audits: typed(codec, read(topics::OPS_AUDIT_V1.name())?),
            letters: read(topics::OPS_DEAD_LETTER_V1.name())?,
            parked,
            ever_parked,
            intended,
            others,
        })
    }

    /// Every record that was read.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        let usages = self.usages.iter().chain(&self.letters).chain(&self.others);
        let validated = self.validated.iter().map(|(record, _)| record);
        let postings = self.postings.iter().map(|(record, _)| record);
        let exceptions = self.exceptions.iter().map(|(record, _)| record);
        usages.chain(validated).chain(postings).chain(exceptions).chain(self.audits.iter().map(|(record, _)| record))
    }

    /// Outcomes in one room: id of the input, and when it was written.
    pub fn outcomes(&self, room: &str) -> Vec<(String, Outcome, i64)> {
        let at = |record: &Record| record.timestamp_ms.unwrap_or_default();
        let mut outcomes: Vec<(String, Outcome, i64)> = Vec::new();
        if room == VALIDATE {
            let emitted = self.validated.iter();
            outcomes.extend(
                emitted.map(|(record, usage)| (usage.meta.source.message_id.clone(), Outcome::Emitted, at(record))),
            );
        } else {
            let emitted = self.postings.iter();
            outcomes.extend(
                emitted.map(|(record, posting)| (posting.meta.source.message_id.clone(), Outcome::Emitted, at(record))),
            );
        }
        let mut repeated = Vec::new();
        for (record, audit) in self.audits.iter().filter(|(_, audit)| audit.room == room) {
            let id = audit.event_id.clone().unwrap_or_default();
            match audit.kind {
                AuditKind::Dropped => outcomes.push((id, Outcome::Dropped, at(record))),
                AuditKind::Suppressed | AuditKind::Duplicate => repeated.push((id, Outcome::Duplicate, at(record))),
                _ => {}
            }
        }
        let letters = self.letters.iter().filter(|letter| letter.header("wl_room") == Some(room));
        outcomes.extend(letters.map(|letter| (event_of(letter).to_owned(), Outcome::DeadLetter, at(letter))));
        // What is parked and nobody is asked about is still under way and has no outcome.
        let parked = self.parked.iter().filter(|waiting| waiting.room == room && waiting.asked);
        outcomes.extend(parked.map(|waiting| (waiting.id.clone(), Outcome::Exception, i64::MAX)));
        // Done before and not repeated: that says something only about an event of which nothing else is said.
        let known: BTreeSet<String> = outcomes.iter().map(|(id, _, _)| id.clone()).collect();
        outcomes.extend(repeated.into_iter().filter(|(id, _, _)| !known.contains(id)));
        outcomes
    }

    /// Places of the records that repeat an earlier one of their partition.
    pub fn copies(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let again = self.usages.iter().filter(|record| !seen.insert((record.place.partition, event_of(record))));
        again.map(|record| record.place.to_string()).collect()
    }

    /// Places of the records that a room has left out as copies.
    pub fn left_out(&self, room: &str) -> BTreeSet<String> {
        let copies = self.audits.iter().map(|(_, audit)| audit).filter(|audit| audit.kind == AuditKind::Duplicate);
        let place = |audit: &Audit| {
            let (topic, partition) = (audit.origin_topic.as_deref()?, audit.origin_partition?);
            Some(format!("{topic}-{partition}@{}", audit.origin_offset?))
        };
        copies.filter(|audit| audit.room == room).filter_map(place).collect()
    }

    /// When each event was first parked in a room.
    pub fn parked_at(&self, room: &str) -> BTreeMap<String, i64> {
        let mut first = BTreeMap::new();
        for (parked_by, id, at) in self.ever_parked.iter().filter(|(parked_by, _, _)| parked_by == room) {
            debug_assert_eq!(parked_by, room);
            first.entry(id.clone()).or_insert(*at);
        }
        first
    }

    /// Ids of the inputs of a room.
    pub fn inputs(&self, room: &str) -> Vec<&str> {
        if room == VALIDATE {
            self.usages.iter().map(event_of).collect()
        } else {
            debug_assert_eq!(room, POST);
            self.validated.iter().map(|(record, _)| event_of(record)).collect()
        }
    }

    /// One name for each dead letter and each time that an exception was raised anew: what is there twice was written twice. Where
    /// something was replayed exceptions are left out: its lane goes on behind it, so what was refused is tried and refused again.
    pub fn told_to_people(&self, has_replays: bool) -> Vec<String> {
        let letter = |record: &Record| {
            let fact = |name: &str| record.header(name).unwrap_or_default();
            format!(
                "the dead letter of {} about {}-{}@{}",
                fact("wl_room"),
                fact("wl_topic"),
                fact("wl_partition"),
                fact("wl_offset")
            )
        };
        let mut told: Vec<String> = self.letters.iter().map(letter).collect();
        // Between two that are not the same somebody has decided, or it has resolved itself.
        let mut rounds: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, exception) in self.exceptions.iter().filter(|_| !has_replays) {
            let round = rounds.entry(&exception.exception_id).or_default();
            if exception.kind == ExceptionKind::Raised {
                told.push(format!("exception {} of {}, round {round}", exception.exception_id, exception.room));
            } else {
                *round += 1;
            }
        }
        told
    }

    /// Exceptions as they were raised.
    pub fn raised(&self) -> impl Iterator<Item = &Exception> {
        let raised = |exception: &&Exception| exception.kind == ExceptionKind::Raised;
        self.exceptions.iter().map(|(_, exception)| exception).filter(raised)
    }
}

/// The id of the event in a record.
pub(crate) fn event_of(record: &Record) -> &str {
    record.header(headers::ID).unwrap_or_default()
}

fn typed<T: schemas::Event>(codec: &Codec, records: Vec<Record>) -> Vec<(Record, T)> {
    let read = |record: Record| {
        let event = decode(codec, record.value.as_deref().unwrap_or_default())?;
        Some((record, event))
    };
    records.into_iter().filter_map(read).collect()
}

/// When the intention of each document was first on record.
fn intentions(codec: &Codec, records: &[Record]) -> BTreeMap<String, i64> {
    let mut first = BTreeMap::new();
    for record in records {
        let effect = decode::<Effect>(codec, record.value.as_deref().unwrap_or_default());
        if let Some(effect) = effect.filter(|effect| effect.state == EffectState::Intended) {
            first.entry(effect.document_key).or_insert(record.timestamp_ms.unwrap_or(i64::MAX));
        }
    }
    first
}

/// The newest record of each key of the parking topic, without what was released.
fn still_parked(codec: &Codec, records: &[Record], exceptions: &[(Record, Exception)]) -> Vec<Waiting> {
    let mut newest: BTreeMap<&[u8], &Record> = BTreeMap::new();
    for record in records {
        newest.insert(record.key.as_deref().unwrap_or_default(), record);
    }
    let parked: Vec<Parked> = newest.values().filter_map(|record| parked_event(codec, record)).collect();
    let open = open_places(exceptions);
    let lane = |one: &Parked| (one.room.clone(), one.topic.clone(), one.key.clone());
    let is_open = |one: &&Parked| open.contains(&(one.room.clone(), one.topic.clone(), one.partition, one.offset));
    let asked: BTreeSet<_> = parked.iter().filter(is_open).map(lane).collect();
    let waiting =
        |one: &Parked| Some(Waiting { room: one.room.clone(), id: id_of(one)?, asked: asked.contains(&lane(one)) });
    parked.iter().filter_map(waiting).collect()
}

/// Room, topic, partition and offset of the records about which a person is asked now.
fn open_places(exceptions: &[(Record, Exception)]) -> BTreeSet<(String, String, i32, i64)> {
    let mut newest: BTreeMap<&str, &Exception> = BTreeMap::new();
    for (_, exception) in exceptions {
        newest.insert(&exception.exception_id, exception);
    }
    let open = newest
        .into_values()
        .filter(|exception| matches!(exception.state, ExceptionState::Open | ExceptionState::Retrying));
    let place = |exception: &Exception| {
        let topic = exception.origin_topic.clone()?;
        Some((exception.room.clone(), topic, exception.origin_partition?, exception.origin_offset?))
    };
    open.filter_map(place).collect()
}

fn parked_event(codec: &Codec, record: &Record) -> Option<Parked> {
    decode(codec, record.value.as_deref()?)
}

fn id_of(parked: &Parked) -> Option<String> {
    let id = parked.headers.iter().find(|header| header.key == headers::ID)?;
    id.value.as_ref().map(|value| String::from_utf8_lossy(value.as_ref()).into_owned())
}
