//! What all mappings of one message share: its identity, its pseudonyms, its times and the warnings that gather.

use std::cell::OnceCell;

use jiff::tz::TimeZone;
use schemas::{Action, DirectIdentifiers, EventMeta, Source, SourceFormat, Timestamp, Warning};

use super::values::{fixed_offset, precision, text};
use super::{Identity, Mapper};
use crate::mllp::ErrorPlace;
use crate::parser::{self, Message, Segment, Value, parse_timestamp};

/// The mapping of one message.
pub(super) struct Context<'m> {
    pub(super) mapper: &'m Mapper,
    pub(super) message: &'m Message<'m>,
    pub(super) identity: &'m Identity,
    pub(super) now: Timestamp,
    /// What a time without an offset means in this message.
    zone: TimeZone,
    /// The patient of the first PID, of whom all events tell.
    patient: OnceCell<(usize, Option<String>)>,
    /// Warnings about the message as a whole; every event carries them.
    pub(super) warnings: Vec<Warning>,
}

/// When something happened, and how exactly that is known.
pub(super) type When = parser::Timestamp;

/// What differs between the events of one message.
pub(super) struct Fact<'a> {
    /// CloudEvents type of the event.
    pub(super) event_type: String,
    /// Index in the message, from 0.
    pub(super) position: usize,
    /// The same fact always has the same key.
    pub(super) business_key: String,
    /// 0, or 1 for a correction of something that an earlier message said.
    pub(super) revision: i32,
    pub(super) action: Action,
    pub(super) occurred: Option<When>,
    pub(super) nulled: Vec<&'a str>,
    pub(super) warnings: Vec<Warning>,
}

impl<'m> Context<'m> {
    pub(super) fn new(mapper: &'m Mapper, message: &'m Message<'m>, identity: &'m Identity, now: Timestamp) -> Self {
        let (zone, warnings) = (mapper.zone.clone(), Vec::new());
        let mut context = Self { mapper, message, identity, now, zone, patient: OnceCell::new(), warnings };
        for tolerance in message.tolerances() {
            context.warnings.push(warning("WL-1008", "", &format!("tolerated: {}", tolerance.name())));
        }
        // Standard 2.A.22: the offset of MSH-7 holds for all times of the message that have none.
        let sent = message.header().field(7).first().and_then(|sent| parse_timestamp(&sent, &context.zone).ok());
        if let Some(zone) = sent.and_then(|sent| sent.offset_minutes).and_then(fixed_offset) {
            context.zone = zone;
        }
        context
    }

    /// Reads a time; an impossible one is noted in `warnings` and left out.
    pub(super) fn time(&self, segment: &Segment<'_>, field: usize, warnings: &mut Vec<Warning>) -> Option<When> {
        let sent = segment.field(field).first()?;
        let path = || ErrorPlace::new(segment.name(), segment.sequence(), field).path();
        match parse_timestamp(&sent, &self.zone) {
            Ok(time) => {
                if time.tolerated {
                    warnings.push(warning("WL-1012", &path(), "the time ends with Z, read as UTC"));
                }
                Some(time)
            }
            Err(_) => {
                warnings.push(warning("WL-1012", &path(), "the time is impossible and was left out"));
                None
            }
        }
    }

    /// Reads a time that must be right if it is there.
    pub(super) fn exact_time(&self, value: Value<'_>) -> Option<Result<When, parser::TimestampError>> {
        value.first().map(|sent| parse_timestamp(&sent, &self.zone))
    }

    /// When the event of the message happened: EVN-6, else EVN-2, else MSH-7. Never when it arrived.
    pub(super) fn event_time(&self, warnings: &mut Vec<Warning>) -> Option<When> {
        let event = self.message.segment("EVN");
        self.time(&event, 6, warnings)
            .or_else(|| self.time(&event, 2, warnings))
            .or_else(|| self.time(&self.message.header(), 7, warnings))
    }

    /// The pseudonym and number of the visit: PV1-19, else the account PID-18, else PV1-50.
    pub(super) fn encounter_ref(&self) -> Option<String> {
        let visit = self.message.segment("PV1");
        [visit.field(19), self.message.segment("PID").field(18), visit.field(50)].into_iter().find_map(|value| {
            let number = text(value)?;
            Some(self.mapper.pseudonyms.encounter(&self.authority(value), &number))
        })
    }

    /// The pseudonym of the patient of a PID: the medical record number in PID-3, else the first identifier, else PID-2.
    pub(super) fn patient_ref(&self, patient: Segment<'_>) -> Option<String> {
        let make = || {
            let (number, authority) = self.patient_number(patient)?;
            Some(self.mapper.pseudonyms.patient(&authority, &number))
        };
        let (first, known) = self.patient.get_or_init(|| (patient.index(), make()));
        if *first == patient.index() { known.clone() } else { make() }
    }

    /// The pseudonyms of all patients that the message is about: of each PID, and of each MRG the prior ones.
    pub(super) fn patient_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for segment in self.message.segments() {
            if segment.is("PID") {
                keys.extend(self.patient_ref(segment));
            } else if segment.is("MRG") {
                keys.extend(self.prior_patient_refs(segment.field(1)));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The pseudonyms of the identifiers of one kind in a repeating field: all medical record numbers, else the first of all.
    pub(super) fn prior_patient_refs(&self, value: Value<'_>) -> Vec<String> {
        let reference = |one: Value<'_>| Some(self.mapper.pseudonyms.patient(&self.authority(one), &text(one)?));
        let records: Vec<_> = value.repetitions().filter(|one| is_record_number(*one)).filter_map(reference).collect();
        if records.is_empty() { value.repetitions().find_map(reference).into_iter().collect() } else { records }
    }

    /// The clear identifiers, if the site wants them in its events.
    pub(super) fn direct_identifiers(&self) -> Option<DirectIdentifiers> {
        if !self.mapper.config.direct_identifiers {
            return None;
        }
        let patient = self.message.segment("PID");
        let number = self.patient_number(patient);
        let birth = self.exact_time(patient.field(7)).and_then(Result::ok);
        Some(DirectIdentifiers {
            patient_id: number.as_ref().map(|number| number.0.clone()),
            patient_id_authority: number.map(|number| number.1),
            visit_number: text(self.message.segment("PV1").field(19)),
            account_number: text(patient.field(18)),
            family_name: text(patient.field(5)),
            given_name: text(patient.field(5).component(2)),
            birth_date: birth.map(|birth| birth.date.into()),
        })
    }

    /// The envelope of an event.
    pub(super) fn meta(&self, fact: Fact<'_>) -> EventMeta {
        let source = format!("{}|{}", self.identity.system, self.identity.facility);
        // The hash is part of the identity: two messages under one control id are two messages.
        let message = format!("{}|{}", self.identity.control_id, self.identity.hash);
        let mut ignored = Vec::new();
        let recorded = self
            .time(&self.message.segment("EVN"), 2, &mut ignored)
            .or_else(|| self.time(&self.message.header(), 7, &mut ignored));
        let mut warnings = self.warnings.clone();
        warnings.extend(fact.warnings);
        EventMeta {
            event_id: schemas::identity::event_id(&source, &message, &fact.position.to_string(), &fact.event_type),
            business_key: fact.business_key,
            revision: fact.revision,
            correction: 0,
            action: fact.action,
            occurred_at: fact.occurred.map(|time| Timestamp::from_micros(time.micros)),
            recorded_at: recorded.map_or(self.now, |time| Timestamp::from_micros(time.micros)),
            published_at: self.now,
            occurred_precision: fact.occurred.map(|time| precision(time.precision)).unwrap_or_default(),
            occurred_offset_minutes: fact.occurred.and_then(|time| self.offset_minutes(time)),
            facility_id: self.identity.facility.clone(),
            source: Source {
                system: self.identity.system.clone(),
                facility: self.identity.facility.clone(),
                format: SourceFormat::Hl7v2,
                message_type: self.identity.message_type.clone(),
                message_id: self.identity.control_id.clone(),
                position: i32::try_from(fact.position).unwrap_or(i32::MAX),
                content_hash: self.identity.hash.clone(),
            },
            nulled_fields: fact.nulled.into_iter().map(str::to_owned).collect(),
            warnings,
        }
    }

    /// The offset of a time: the one that it carries, else that of the zone in which it was read. By it the rooms behind know
    /// the day, on which expiry, cost centre and the day of the posting depend.
    fn offset_minutes(&self, time: When) -> Option<i32> {
        time.offset_minutes.or_else(|| {
            let instant = jiff::Timestamp::from_microsecond(time.micros).ok()?;
            Some(self.zone.to_offset(instant).seconds() / 60)
        })
    }

    fn patient_number(&self, patient: Segment<'_>) -> Option<(String, String)> {
        let given = |one: &Value<'_>| text(*one).is_some();
        let ids = patient.field(3);
        let chosen = ids
            .repetitions()
            .filter(given)
            .find(|one| is_record_number(*one))
            .or_else(|| ids.repetitions().find(given));
        let chosen = chosen.or_else(|| Some(patient.field(2)).filter(given))?;
        Some((text(chosen)?, self.authority(chosen)))
    }

    /// The assigning authority of an extended identifier (CX.4), or the facility of the message.
    fn authority(&self, value: Value<'_>) -> String {
        let authority = value.component(4);
        text(authority).or_else(|| text(authority.subcomponent(2))).unwrap_or_else(|| self.identity.facility.clone())
    }
}

/// A warning without values of the message.
pub(super) fn warning(code: &str, path: &str, detail: &str) -> Warning {
    Warning { code: code.to_owned(), path: path.to_owned(), detail: detail.to_owned() }
}

fn is_record_number(value: Value<'_>) -> bool {
    value.component(5).raw() == "MR"
}
