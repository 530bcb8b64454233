//! Small facts: what a record says that reconciliation compares, and nothing else of it.
//!
//! Facts hold no field that identifies a patient. They are sorted by a 16-byte key, so that everything about one event, or
//! about one document, comes together.

use super::exact;
use processor::laws::Outcome;
use rust_decimal::Decimal;
use schemas::topics;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use uuid::Uuid;

/// What facts are brought together by.
pub type Key = u128;

/// Place of a record: topic (its number in the catalogue), partition, offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// Number of the topic in [`topics::ALL`].
    pub topic: u8,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// What receipts and events say about each other. Sorted by [`event_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceFact {
    /// A receipt that says that this event was made.
    Promised {
        /// Place of the receipt.
        spot: Spot,
        /// When it was written, milliseconds since 1970.
        at_ms: i64,
    },
    /// An event of a source.
    Event {
        /// Its place.
        spot: Spot,
        /// When it was written, milliseconds since 1970.
        at_ms: i64,
        /// Whether its sources write receipts.
        receipted: bool,
    },
}

/// What a room read and what became of it. Sorted by [`room_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomFact {
    /// A record that the room reads.
    Input {
        /// Its place.
        spot: Spot,
        /// When it was written, milliseconds since 1970.
        at_ms: i64,
        /// Whether it has an event id; what cannot be read has none.
        named: bool,
        /// The event that it follows from, where the room posts: it is what a correction starts from.
        cause: Option<Key>,
    },
    /// An event that the room wrote because of it.
    Output(Output),
    /// A note or a dead letter that names it.
    Told {
        /// What is told.
        outcome: Told,
        /// Place of the note.
        spot: Spot,
        /// When it was written, milliseconds since 1970.
        at_ms: i64,
    },
    /// A statement about an exception about it.
    Exception {
        /// Digest of the exception's id.
        id: Key,
        /// Where the exception stands.
        state: Standing,
        /// When that was said, microseconds since 1970.
        at_us: i64,
    },
    /// It is parked now.
    Parked {
        /// Its own place.
        origin: Spot,
    },
    /// An effect record about it.
    Effect(EffectFact),
}

/// An event that a room wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its place.
    pub spot: Spot,
    /// When it was written, milliseconds since 1970.
    pub at_ms: i64,
    /// Digest of its event id.
    pub event: Key,
    /// What it says about the outside.
    pub about: About,
}

/// What an output says about the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    /// Nothing.
    Inside,
    /// A posting in the ERP.
    Posting(Box<PostingFact>),
    /// A notice to a supplier, by its idempotency key.
    Notice {
        /// The key that the supplier saw.
        notice_id: String,
        /// Whether the supplier took it.
        delivered: bool,
    },
}

/// What a posting says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostingFact {
    /// Key of its effect.
    pub effect_key: String,
    /// Key of the records of its visit.
    pub encounter: String,
    /// What was done, as the contract names it: `POSTED`, `CORRECTED`, `RETRACTED`, `NONE_NEEDED`.
    pub kind: String,
    /// ERP item.
    pub item: String,
    /// Lot.
    pub lot: Option<String>,
    /// Serial number: some ERPs hold it as a lot. It is compared and never shown.
    pub serial: Option<String>,
    /// Stock location.
    pub location: String,
    /// Signed quantity.
    #[serde(with = "exact")]
    pub quantity: Decimal,
    /// Cost centre.
    pub cost_centre: Option<String>,
    /// Signed amount, when the ERP gave a cost.
    #[serde(with = "exact::optional")]
    pub amount: Option<Decimal>,
    /// Currency.
    pub currency: String,
    /// Id of the stock document in the ERP; empty when there is none.
    pub document_id: String,
    /// Number of the stock document that people see.
    pub document_number: Option<String>,
}

/// Notes and letters that name a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Told {
    /// Left out by a named rule.
    Dropped,
    /// Handled before.
    Duplicate,
    /// Kept as a dead letter.
    DeadLetter,
}

/// Where an exception stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standing {
    /// Somebody has to decide, or the room is trying again.
    Open,
    /// It is settled.
    Resolved,
    /// The event was given up.
    Discarded,
}

/// What an effect record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectFact {
    /// Place of the effect record.
    pub spot: Spot,
    /// Place of the event that it is about.
    pub origin: Spot,
    /// When it was written, milliseconds since 1970.
    pub at_ms: i64,
    /// Identity of the effect.
    pub effect_key: String,
    /// Idempotency key carried to the other side; empty when nothing was done there.
    pub document_key: String,
    /// Id of the first document on the other side.
    pub document_id: String,
    /// Where it stands.
    pub state: EffectStanding,
}

/// Where an effect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectStanding {
    /// Written down before the call, or of unknown outcome: nobody knows whether it happened.
    Open,
    /// It happened.
    Applied,
    /// The other side said no.
    Refused,
}

/// What Wardline and the ERP say about one document. Sorted by [`text_key`] of its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentFact {
    /// An effect record that names it.
    Effect {
        /// The record.
        effect: EffectFact,
        /// Event id of its cause, when it has one.
        event: Option<Key>,
        /// Whether an open exception or a parked event stands for it already.
        waits: bool,
    },
    /// A posting that is about it.
    Posting {
        /// The posting.
        posting: Box<PostingFact>,
        /// Its place.
        spot: Spot,
        /// When it was written, milliseconds since 1970.
        at_ms: i64,
        /// Event id of its cause, when it has one.
        event: Option<Key>,
        /// What that cause follows from, and the place of the cause; of inputs of the window.
        cause: Option<(Key, Spot)>,
    },
    /// An effect whose outcome is open may have made it as its second document.
    Known,
    /// The document in the ERP.
    Found(Box<FoundFact>),
}

/// A document in the ERP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFact {
    /// Its idempotency key.
    pub document_key: String,
    /// The ERP's id.
    pub id: String,
    /// The number that people see.
    pub number: Option<String>,
    /// When the ERP made it, milliseconds since 1970.
    pub at_ms: i64,
    /// Whether its stock has moved.
    pub finished: bool,
    /// What moved.
    pub lines: Vec<FoundLine>,
    /// What cost centres bear.
    pub costs: Vec<FoundCost>,
}

/// What moved of one item and lot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundLine {
    /// ERP item.
    pub item: String,
    /// Lot.
    pub lot: Option<String>,
    /// Stock location.
    pub location: String,
    /// What left it, signed.
    #[serde(with = "exact")]
    pub quantity: Decimal,
}

/// What a cost centre bears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundCost {
    /// Code.
    pub cost_centre: String,
    /// Amount, signed.
    #[serde(with = "exact")]
    pub amount: Decimal,
}

/// A statement about a parked record. Sorted by [`text_key`] of its parking key; the newest one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedFact {
    /// Number of the room.
    pub room: u8,
    /// Offset on the parking topic.
    pub offset: i64,
    /// Key of the record in the room, and its place; `None` when it has left the lot.
    pub parked: Option<(Key, Spot)>,
    /// What it is worth, when it says it.
    pub worth: Option<Worth>,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worth {
    /// How much.
    #[serde(with = "exact")]
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
}

impl PostingFact {
    /// Business key of the usage: the key of the effect is that, the statement, and the kind of the effect.
    #[must_use]
    pub fn business_key(&self) -> Option<&str> {
        let key = self.effect_key.rsplitn(3, '/').nth(2)?;
        Some(key).filter(|key| !key.is_empty())
    }
}

impl Spot {
    /// The topic.
    #[must_use]
    pub fn topic_name(self) -> &'static str {
        topics::ALL.get(usize::from(self.topic)).map_or("", |topic| topic.name)
    }

    /// The place of a record; `None` for a topic that the catalogue does not have.
    #[must_use]
    pub fn new(topic: &str, partition: i32, offset: i64) -> Option<Self> {
        let number = topics::ALL.iter().position(|known| known.name == topic)?;
        Some(Self { topic: u8::try_from(number).ok()?, partition, offset })
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}@{}", self.topic_name(), self.partition, self.offset)
    }
}

impl From<Told> for Outcome {
    fn from(told: Told) -> Self {
        match told {
            Told::Dropped => Self::Dropped,
            Told::Duplicate => Self::Duplicate,
            Told::DeadLetter => Self::DeadLetter,
        }
    }
}

/// The key of an event: its id, which is a UUID by contract; the digest of anything else.
#[must_use]
pub fn event_key(event_id: &str) -> Key {
    Uuid::try_parse(event_id).map_or_else(|_| text_key(event_id), |id| id.as_u128())
}

/// The id of an event from its key.
#[must_use]
pub fn event_id(key: Key) -> String {
    Uuid::from_u128(key).to_string()
}

/// The key of an event in one room. Ids are digests, so the highest byte can take the number of the room, and gives it back.
#[must_use]
pub fn room_key(room: u8, event: Key) -> Key {
    event ^ (Key::from(room) << 120)
}

/// The key of a record without an event id in one room.
#[must_use]
pub fn spot_key(room: u8, spot: Spot) -> Key {
    room_key(room, text_key(&spot.to_string()))
}

/// Digest of a text, 16 bytes.
#[must_use]
pub fn text_key(text: &str) -> Key {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(16).fold(0, |key, byte| (key << 8) | Key::from(*byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_from_its_key_in_a_room() {
        let id = "6f1b7c3e-9d0a-5b7e-8a51-0f3c2f9f1a77";
        let key = event_key(id);
        assert_eq!(event_id(key), id);
        assert_eq!(room_key(3, room_key(3, key)), key);
        assert_ne!(room_key(3, key), room_key(4, key));
        assert_ne!(event_key("no uuid"), event_key("no uuid either"));
    }

    #[test]
    fn the_business_key_is_the_start_of_the_key_of_the_effect() {
        let of = |key: &str| PostingFact { effect_key: key.to_owned(), ..PostingFact::default() };
        assert_eq!(of("usage/enc-1/1/0.3/erp").business_key(), Some("usage/enc-1/1"));
        assert_eq!((of("0/erp").business_key(), of("/0/erp").business_key()), (None, None));
    }

    #[test]
    fn a_place_is_shown_as_everywhere_else() {
        let spot = Spot::new("erp.posting.v1", 2, 17).unwrap();
        assert_eq!(spot.to_string(), "erp.posting.v1-2@17");
        assert_eq!(Spot::new("no.such.topic", 0, 0), None);
    }
}
