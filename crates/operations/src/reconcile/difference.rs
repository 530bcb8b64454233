//! What can differ, and what is said about it.

use super::fact::Spot;
use super::proposal::Proposal;
use rust_decimal::Decimal;
use schemas::identity;
use serde::{Deserialize, Serialize};

/// Room of the work items.
pub const ROOM: &str = "reconcile";

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something that must be there is not.
    Missing,
    /// Something is there more than once.
    Doubled,
    /// The quantities differ.
    Quantity,
    /// The cost centres differ.
    CostCentre,
    /// The stock locations differ.
    Location,
    /// The amounts differ.
    Amount,
    /// Nobody knows whether an effect happened.
    InDoubt,
    /// A supplier has not acknowledged a notice.
    NotAcknowledged,
    /// The ERP has a document under a key of Wardline that no effect record names.
    UnexpectedDocument,
    /// An event that no receipt promises.
    Unpromised,
    /// A record has several outcomes that exclude each other.
    Contradiction,
    /// Too much to be asked for in one run: nothing is said about it.
    Undecided,
}

/// Which comparison found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Receipts against events.
    Receipts,
    /// Events against their outcomes.
    Outcomes,
    /// Effect records against what was written about them.
    Effects,
    /// Effect records and postings against the ERP.
    Erp,
    /// Notices against the answers of suppliers.
    Suppliers,
}

/// Place of a record, for people and machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// One difference with its evidence. It holds nothing that identifies a patient; the effect key holds pseudonyms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The same difference has the same id in every run; also that of its work item.
    pub id: String,
    /// What differs.
    pub kind: Kind,
    /// Which comparison found it.
    pub part: Part,
    /// Stable code with a page under `docs/errors`.
    pub code: String,
    /// One sentence, without patient data.
    pub message: String,
    /// What to do next: a command, or a decision.
    pub next: String,
    /// When the fact happened that this is about, milliseconds since 1970.
    pub at_ms: i64,
    /// Room concerned.
    pub room: Option<String>,
    /// Event concerned.
    pub event_id: Option<String>,
    /// Place of the record that shows it.
    pub place: Option<Place>,
    /// Key of the effect.
    pub effect_key: Option<String>,
    /// Idempotency key that the other side knows.
    pub document_key: Option<String>,
    /// Number of the document that people see.
    pub document_number: Option<String>,
    /// What Wardline says.
    pub expected: Option<String>,
    /// What the other side says.
    pub found: Option<String>,
    /// Money that is at stake, when it is known.
    pub money: Option<Decimal>,
    /// Currency of that money, when it is known.
    #[serde(default)]
    pub currency: Option<String>,
    /// The replay that would mend it, where one would.
    #[serde(default)]
    pub replay: Option<Proposal>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Missing,
        Self::Doubled,
        Self::Quantity,
        Self::CostCentre,
        Self::Location,
        Self::Amount,
        Self::InDoubt,
        Self::NotAcknowledged,
        Self::UnexpectedDocument,
        Self::Unpromised,
        Self::Contradiction,
        Self::Undecided,
    ];

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "WL-7170",
            Self::Doubled => "WL-7171",
            Self::Quantity => "WL-7172",
            Self::CostCentre => "WL-7173",
            Self::Location => "WL-7174",
            Self::Amount => "WL-7175",
            Self::InDoubt => "WL-7176",
            Self::NotAcknowledged => "WL-7177",
            Self::UnexpectedDocument => "WL-7178",
            Self::Unpromised => "WL-7179",
            Self::Contradiction => "WL-7180",
            Self::Undecided => "WL-7260",
        }
    }

    /// Its name in JSON and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Quantity => "quantity",
            Self::CostCentre => "cost-centre",
            Self::Location => "location",
            Self::Amount => "amount",
            Self::InDoubt => "in-doubt",
            Self::NotAcknowledged => "not-acknowledged",
            Self::UnexpectedDocument => "unexpected-document",
            Self::Unpromised => "unpromised",
            Self::Contradiction => "contradiction",
            Self::Undecided => "undecided",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Quantity => "different quantity",
            Self::CostCentre => "different cost centre",
            Self::Location => "different location",
            Self::Amount => "different amount",
            Self::InDoubt => "in doubt",
            Self::NotAcknowledged => "not acknowledged by the supplier",
            Self::UnexpectedDocument => "unexpected document",
            Self::Unpromised => "event without a receipt",
            Self::Contradiction => "several outcomes",
            Self::Undecided => "not decided",
        }
    }
}

impl Part {
    /// Its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receipts => "receipts",
            Self::Outcomes => "outcomes",
            Self::Effects => "effects",
            Self::Erp => "erp",
            Self::Suppliers => "suppliers",
        }
    }
}

impl From<Spot> for Place {
    fn from(spot: Spot) -> Self {
        Self { topic: spot.topic_name().to_owned(), partition: spot.partition, offset: spot.offset }
    }
}

impl Difference {
    /// A difference of a kind. `subject` names the fact and nothing that changes from run to run: it makes the id.
    #[must_use]
    pub fn new(kind: Kind, part: Part, subject: &str, at_ms: i64, message: String) -> Self {
        Self {
            id: identity::event_id(ROOM, subject, part.as_str(), kind.as_str()),
            kind,
            part,
            code: kind.code().to_owned(),
            message,
            next: String::new(),
            at_ms,
            room: None,
            event_id: None,
            place: None,
            effect_key: None,
            document_key: None,
            document_number: None,
            expected: None,
            found: None,
            money: None,
            currency: None,
            replay: None,
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Proposes a replay; `next` says what to do, with the command in it.
    #[must_use]
    pub fn replay(mut self, proposal: Proposal, next: impl FnOnce(&str) -> String) -> Self {
        self.next = next(&proposal.command());
        self.replay = Some(proposal);
        self
    }

    /// Says how much is at stake.
    #[must_use]
    pub fn money(mut self, money: Option<(Decimal, String)>) -> Self {
        let (money, currency) = money.unzip();
        self.money = money;
        self.currency = currency.filter(|currency| !currency.is_empty());
        self
    }

    /// Names the room.
    #[must_use]
    pub fn room(mut self, room: &str) -> Self {
        self.room = Some(room.to_owned());
        self
    }

    /// Names the event.
    #[must_use]
    pub fn event(mut self, event_id: Option<String>) -> Self {
        self.event_id = event_id;
        self
    }

    /// Names the record that shows it.
    #[must_use]
    pub fn place(mut self, spot: Spot) -> Self {
        self.place = Some(spot.into());
        self
    }

    /// Names effect and document.
    #[must_use]
    pub fn effect(mut self, effect_key: &str, document_key: &str) -> Self {
        let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        self.effect_key = named(effect_key);
        self.document_key = named(document_key);
        self
    }

    /// Says what Wardline and what the other side says.
    #[must_use]
    pub fn sides(mut self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self.found = Some(found.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_difference_has_the_same_id_and_another_kind_another() {
        let one = |kind| Difference::new(kind, Part::Erp, "wl-1", 5, "said".to_owned());
        assert_eq!(one(Kind::Missing).id, Difference { at_ms: 9, ..one(Kind::Missing) }.id);
        let ids: BTreeSet<String> = Kind::ALL.map(|kind| one(kind).id).into();
        assert_eq!(ids.len(), Kind::ALL.len());
        let codes: BTreeSet<&str> = Kind::ALL.map(Kind::code).into();
        assert_eq!(codes.len(), Kind::ALL.len());
    }
}
