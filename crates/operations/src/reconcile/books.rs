//! The comparison itself, over facts from wherever they come: topics and an ERP, or a test.

use super::documents::{self, Absent, Undecided};
use super::fact::{DocumentFact, FoundFact, Key, ParkedFact, RoomFact, SourceFact, Spot, room_key, spot_key, text_key};
use super::scope::Scope;
use super::spill::{Room, Sorter, SpillError};
use super::tally::Findings;
use super::{outcomes, sources};

/// Documents that are asked for by their key, at most. About the rest nothing is said but that it is not decided: they are in
/// memory until they are asked for, and an ERP that lacks so many is another question than a document that is missing.
pub const ABSENT_MAX: usize = 10_000;

/// All facts of a run, in bounded memory.
pub struct Books {
    sources: Sorter<SourceFact>,
    rooms: Sorter<(u8, RoomFact)>,
    parked: Sorter<ParkedFact>,
    documents: Sorter<DocumentFact>,
}

/// What a run needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Facts compared.
    pub facts: u64,
    /// Bytes that were put aside in temporary files.
    pub spilled_bytes: u64,
    /// Most bytes of facts that were in memory at once.
    pub held_bytes: u64,
}

/// How a record is known in a room: by its event id, or by its place when it has none.
#[must_use]
pub fn record_key(room: u8, event: Option<Key>, spot: Spot) -> Key {
    event.map_or_else(|| spot_key(room, spot), |event| room_key(room, event))
}

impl Books {
    /// Empty ones.
    #[must_use]
    pub fn new(room: &Room) -> Self {
        Self {
            sources: Sorter::new(room.clone()),
            rooms: Sorter::new(room.clone()),
            parked: Sorter::new(room.clone()),
            documents: Sorter::new(room.clone()),
        }
    }

    /// Something about an event of a source.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn source(&mut self, event: Key, fact: &SourceFact) -> Result<(), SpillError> {
        self.sources.push(event, fact)
    }

    /// Something about a record that a room reads, by [`record_key`].
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn room(&mut self, room: u8, record: Key, fact: RoomFact) -> Result<(), SpillError> {
        self.rooms.push(record, &(room, fact))
    }

    /// Something about a parked record, by its key on the parking topic.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn parked(&mut self, parking_key: &str, fact: &ParkedFact) -> Result<(), SpillError> {
        self.parked.push(text_key(parking_key), fact)
    }

    /// A document of the ERP.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn document(&mut self, found: FoundFact) -> Result<(), SpillError> {
        let key = text_key(&found.document_key);
        self.documents.push(key, &DocumentFact::Found(Box::new(found)))
    }

    /// Compares everything. Documents that an effect record names and that are not among those of the ERP come back: the ERP
    /// must be asked for them, then [`documents::settle`] says what differs.
    ///
    /// # Errors
    /// When the temporary files cannot be used.
    pub fn compare(self, scope: &Scope, findings: &mut Findings) -> Result<(Vec<Absent>, Cost), SpillError> {
        let Self { sources, mut rooms, parked, mut documents } = self;
        let mut cost = Cost::default();
        cost.add(&sources);
        cost.add(&parked);
        for group in parked.sorted()? {
            let (_, facts) = group?;
            let newest = facts.into_iter().max_by_key(|fact| fact.offset);
            if let Some(ParkedFact { room, parked: Some((record, origin)), worth, .. }) = newest {
                if let Some(waits) = scope.room(room) {
                    findings.waits(&waits.name, worth.as_ref());
                }
                rooms.push(record, &(room, RoomFact::Parked { origin }))?;
            }
        }
        for group in sources.sorted()? {
            let (event, facts) = group?;
            sources::compare(event, &facts, scope, findings);
        }
        cost.add(&rooms);
        for group in rooms.sorted()? {
            let (record, facts) = group?;
            let Some(room) = facts.first().map(|(room, _)| *room) else { continue };
            let facts: Vec<RoomFact> = facts.into_iter().map(|(_, fact)| fact).collect();
            outcomes::compare(room, record, &facts, scope, findings, &mut |key: &str, fact| {
                documents.push(text_key(key), &fact)
            })?;
        }
        cost.add(&documents);
        let (mut absent, mut undecided) = (Vec::new(), Undecided::default());
        for group in documents.sorted()? {
            let (_, facts) = group?;
            let Some(open) = documents::compare(facts, scope, findings) else { continue };
            if absent.len() < ABSENT_MAX {
                absent.push(open);
            } else {
                undecided.take(&open, scope, findings);
            }
        }
        undecided.tell(scope, findings);
        Ok((absent, cost))
    }
}

impl Cost {
    fn add<F: serde::Serialize + serde::de::DeserializeOwned>(&mut self, sorter: &Sorter<F>) {
        self.facts += sorter.count();
        self.spilled_bytes += sorter.spilled_bytes();
        self.held_bytes += sorter.held_bytes() as u64;
    }
}
