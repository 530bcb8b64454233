//! What was told before: a statement becomes an event only if it says something new.
//!
//! - Each usage has one business key, whichever resource states it (`usages`); each fact of a stay has one (`stays`).
//! - A resource vouches for the usages it states. A usage is retracted when no resource vouches for it any more.
//! - The state is plain data, bounded, and changes only here, so a test or the command line needs no broker. The connector
//!   stores each changed entry in the transaction that carries the event.

mod aliases;
mod merge;
mod stays;
mod usages;

use crate::mapping::{Identity, Profile, Statement};
use crate::outcome::{ClinicalEvent, Dropped, Outcome};
use fhir_gate::Version;
use schemas::identity::event_id;
use schemas::{Action, EventMeta, Source, SourceFormat, Timestamp};
use stays::Stays;
use usages::Usages;

/// Most usages and most stays that are remembered when nothing else is configured.
pub const REMEMBERED_DEFAULT: usize = 200_000;

/// A resource as it arrived, for the envelope of its events.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Type, id, version and time at the server.
    pub identity: Identity,
    /// FHIR version.
    pub version: Version,
    /// SHA-256 of the bytes, lower-case hex.
    pub content_hash: String,
    /// When Wardline received it, UTC.
    pub received_at: Timestamp,
}

/// Everything that was told and may have to be corrected.
#[derive(Debug, Clone)]
pub struct Seen {
    usages: Usages,
    stays: Stays,
}

/// An entry of the state that changed, as the connector stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Name of the entry: `usage/<business key>` or `stay/<encounter pseudonym>`.
    pub stream: String,
    /// The entry as JSON; none when it is forgotten.
    pub entry: Option<String>,
}

/// A stored entry that cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("WL-2025: the stored entry {stream} cannot be read: {reason}")]
pub struct Unreadable {
    /// Name of the entry.
    pub stream: String,
    /// Why.
    pub reason: String,
}

impl Default for Seen {
    fn default() -> Self {
        Self::new(REMEMBERED_DEFAULT)
    }
}

impl Seen {
    /// Remembers at most `most` usages and `most` stays; the ones that were not touched for longest are forgotten first.
    pub fn new(most: usize) -> Self {
        Self { usages: Usages::new(most), stays: Stays::new(most) }
    }

    /// Settles a statement: what is new becomes events, and is remembered.
    pub fn settle(&mut self, mut statement: Statement, arrival: &Arrival, profile: &Profile) -> Outcome {
        self.keep_pseudonyms(&mut statement, &arrival.identity.name());
        let desk = Desk { arrival, profile };
        match statement {
            Statement::Stay(stay) => self.stays.settle(*stay, &desk),
            Statement::Usages(sightings) => self.usages.settle(sightings, &desk, None),
            Statement::Device(facts) => self.usages.correct_device(&facts, &desk),
            Statement::Withdrawn(rule) if arrival.identity.resource_type == "Encounter" => {
                self.stays.withdraw(&desk).unwrap_or(Outcome::Dropped(rule))
            }
            Statement::Withdrawn(rule) => self.usages.settle(Vec::new(), &desk, Some(rule)),
            Statement::Nothing(rule) => Outcome::Dropped(rule),
        }
    }

    /// An Encounter keeps the pseudonym under which it was first told, in its stay or in a usage: one that gets its visit
    /// number later, or another one, is still the same stay.
    fn keep_pseudonyms(&self, statement: &mut Statement, resource: &str) {
        let told_as = |encounter: &str| {
            self.stays.told_as(encounter).or_else(|| self.usages.told_as(encounter)).map(str::to_owned)
        };
        match statement {
            Statement::Stay(stay) => {
                if let Some(pseudonym) = told_as(resource) {
                    stay.facts.encounter_ref = pseudonym;
                }
            }
            Statement::Usages(sightings) => {
                for sighting in sightings {
                    if let Some(pseudonym) = sighting.encounter.as_deref().and_then(told_as) {
                        sighting.facts.encounter_ref = pseudonym;
                    }
                }
            }
            Statement::Device(_) | Statement::Withdrawn(_) | Statement::Nothing(_) => {}
        }
    }

    /// The entries that changed since this was last asked.
    pub fn changes(&mut self) -> Vec<Changed> {
        let mut changes = self.usages.changes();
        changes.extend(self.stays.changes());
        changes
    }

    /// Takes back a stored entry; entries that are none of this state are left alone.
    ///
    /// # Errors
    /// When the entry is not what [`Seen::changes`] wrote.
    pub fn restore(&mut self, stream: &str, entry: &str) -> Result<(), Unreadable> {
        let restored = if stream.starts_with(usages::STREAM) {
            self.usages.restore(entry)
        } else if stream.starts_with(stays::STREAM) {
            self.stays.restore(entry)
        } else {
            Ok(())
        };
        restored.map_err(|error| Unreadable { stream: stream.to_owned(), reason: error.to_string() })
    }
}

impl Arrival {
    /// Identity of this version of the resource at its source.
    pub fn message_id(&self) -> String {
        let name = self.identity.name();
        match &self.identity.version_id {
            Some(version) => format!("{name}/_history/{version}"),
            None => format!("{name}#{}", self.content_hash),
        }
    }
}

/// Makes envelopes.
struct Desk<'a> {
    arrival: &'a Arrival,
    profile: &'a Profile,
}

impl Desk<'_> {
    /// The envelope of an event; `facts` brings when it happened and the warnings.
    fn meta(
        &self,
        facts: &EventMeta,
        key: &str,
        revision: i32,
        action: Action,
        position: usize,
        kind: &str,
    ) -> EventMeta {
        let arrival = self.arrival;
        let message_id = arrival.message_id();
        let source_name = format!("{}|{}", self.profile.system, self.profile.facility);
        EventMeta {
            event_id: event_id(&source_name, &message_id, &position.to_string(), kind),
            business_key: key.to_owned(),
            revision,
            action,
            recorded_at: arrival.identity.last_updated.map_or(arrival.received_at, |moment| moment.at),
            published_at: arrival.received_at,
            facility_id: self.profile.facility.clone(),
            source: Source {
                system: self.profile.system.clone(),
                facility: self.profile.facility.clone(),
                format: match arrival.version {
                    Version::R4 => SourceFormat::FhirR4,
                    Version::R5 => SourceFormat::FhirR5,
                },
                message_type: arrival.identity.resource_type.clone(),
                message_id,
                position: i32::try_from(position).unwrap_or(i32::MAX),
                content_hash: arrival.content_hash.clone(),
            },
            ..facts.clone()
        }
    }

    fn resource(&self) -> String {
        self.arrival.identity.name()
    }
}

fn outcome(events: Vec<ClinicalEvent>, otherwise: Dropped) -> Outcome {
    if events.is_empty() { Outcome::Dropped(otherwise) } else { Outcome::Events(events) }
}
