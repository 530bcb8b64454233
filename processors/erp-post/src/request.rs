//! What the ERP is asked, and what it answers.

use connector::erp::Direction;
use rust_decimal::Decimal;
use schemas::{Date, Document, PostingKind};

/// What is held in the ERP for a usage: enough to take it back without knowing the usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// ERP item id.
    pub item: String,
    /// Lot.
    pub lot: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Stock location that it was taken from.
    pub stock_location: String,
    /// Cost centre that bears it.
    pub cost_centre: Option<String>,
    /// Base unit.
    pub uom: String,
}

/// One movement of stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// What and from where.
    pub held: Held,
    /// Which way.
    pub direction: Direction,
    /// Consumption location.
    pub use_location: String,
    /// Day of use.
    pub day: Date,
    /// How much, above zero.
    pub quantity: Decimal,
}

/// What one usage asks of the ERP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What kind of posting it is.
    pub kind: PostingKind,
    /// One movement; two when a correction changed the article or the place: the new one out first, because it is the one
    /// that can be refused, then the old one back.
    pub moves: Vec<Move>,
    /// What the event says is held afterwards.
    pub held: Held,
    /// How much is held afterwards, signed.
    pub total: Decimal,
}

/// What the ERP answers to one request: one part for each move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// In the order of the moves.
    pub parts: Vec<Part>,
}

/// What the ERP answers to one move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// The documents.
    pub documents: Vec<Document>,
    /// The ERP's cost of one unit, in its own currency; `None` when it has none.
    pub unit_cost: Option<Decimal>,
    /// The currency of the cost, when the ERP says it.
    pub currency: Option<String>,
}

impl Move {
    /// The quantity with the sign of the consumption.
    #[must_use]
    pub fn signed(&self) -> Decimal {
        match self.direction {
            Direction::Consume => self.quantity,
            Direction::Return => -self.quantity,
        }
    }

    /// Moves with the same key may share a document.
    #[must_use]
    pub fn batch_key(&self) -> String {
        let cost_centre = self.held.cost_centre.as_deref().unwrap_or_default();
        format!("{:?}/{}/{}/{cost_centre}/{}", self.direction, self.held.stock_location, self.use_location, self.day)
    }
}
