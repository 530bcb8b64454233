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
    Audit, AuditKind, Effect, EffectState, ErpPosting, Exception, ExceptionKind, ValidatedUsage, headers, topics,
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
    /// What is parked now: room and id of the event.
    pub parked: Vec<(String, String)>,
    /// What was ever parked: room, id of the event, time.
    ever_parked: Vec<(String, String, i64)>,
    /// When the intention of a document was first on record, milliseconds since 1970.
    pub intended: BTreeMap<String, i64>,
    /// Everything else that was read, for what must be in no record.
    pub others: Vec<Record>,
}

impl Evidence {
    /// Reads all topics.
    pub fn gather(codec: &Codec) -> Result<Self, ReadError> {
        let read = |topic: &str| committed(OUTSIDE, topic);
        let parked_records = read(topics::OPS_PARKED_V1.name())?;
        let parked = still_parked(codec, &parked_records);
        let ever = parked_records.iter().filter_map(|record| {
            let (room, id) = parked_event(codec, record)?;
            Some((room, id, record.timestamp_ms.unwrap_or_default()))
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
            exceptions: typed(codec, read(topics::OPS_EXCEPTION_V1.name())?),
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
        let parked = self.parked.iter().filter(|(parked_by, _)| parked_by == room);
        outcomes.extend(parked.map(|(_, id)| (id.clone(), Outcome::Exception, i64::MAX)));
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
fn still_parked(codec: &Codec, records: &[Record]) -> Vec<(String, String)> {
    let mut newest: BTreeMap<&[u8], &Record> = BTreeMap::new();
    for record in records {
        newest.insert(record.key.as_deref().unwrap_or_default(), record);
    }
    newest.values().filter_map(|record| parked_event(codec, record)).collect()
}

fn parked_event(codec: &Codec, record: &Record) -> Option<(String, String)> {
    let parked: schemas::Parked = decode(codec, record.value.as_deref()?)?;
    let id = parked.headers.iter().find(|header| header.key == headers::ID)?;
    let id = id.value.as_ref().map(|value| String::from_utf8_lossy(value.as_ref()).into_owned())?;
    Some((parked.room, id))
}
