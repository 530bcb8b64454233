//! One posting and its result.

use std::collections::HashSet;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::error::{Refusal, RefusalCode};

/// Which way the stock goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the stock location to the place of use; the cost goes to the cost centre.
    Consume,
    /// From the place of use back to stock: a retraction, or a correction downwards. The cost centre gets the cost back.
    Return,
}

/// A request to move stock, all lines or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The idempotency key: the same fact always has the same key. It becomes the reference of the ERP's document, so it
    /// must hold nothing that identifies a person.
    pub document_key: String,
    /// Which way the stock goes.
    pub direction: Direction,
    /// Code of the stock location of the department, in the ERP's terms.
    pub stock_location: String,
    /// Code of the consumption location, in the ERP's terms.
    pub use_location: String,
    /// The day on which the stock moved. `None` leaves it to the ERP (its today).
    pub effective_date: Option<Date>,
    /// Cost centre that bears the cost of all lines; `None` allocates nothing.
    pub cost_centre: Option<String>,
    /// What moves; at least one line.
    pub lines: Vec<Line>,
}

/// One item that moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Names the line in refusals; unique within the posting.
    pub line_key: String,
    /// Item code of the ERP.
    pub item: String,
    /// Lot, case and leading zeros kept.
    pub lot: Option<String>,
    /// Serial number, case and leading zeros kept.
    pub serial: Option<String>,
    /// How much, above zero; [`Direction`] has the sign.
    pub quantity: Decimal,
    /// Unit of the quantity; the item's base unit unless the ERP knows a conversion.
    pub uom: String,
}

/// A posting that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The ERP's documents: the stock document first, then the allocation when there is one.
    pub documents: Vec<Document>,
    /// What moved and at which cost.
    pub lines: Vec<PostedLine>,
    /// The company's currency (ISO 4217), which the costs are in; `None` when the ERP does not say it.
    pub currency: Option<String>,
    /// The day on which the ERP booked it.
    pub effective_date: Option<Date>,
    /// Whether it had all been there before the call, so that the call changed nothing.
    pub already_there: bool,
}

/// A document in the ERP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Kind in the ERP's own terms, for example `stock.shipment.internal`.
    pub kind: String,
    /// The ERP's internal id.
    pub id: String,
    /// The number that people see; `None` before the ERP gave one.
    pub number: Option<String>,
    /// State in the ERP's own terms, for example `done`.
    pub state: String,
}

/// A movement within a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedLine {
    /// Item code of the ERP.
    pub item: String,
    /// Lot, or the serial number where the ERP holds serials as lots.
    pub lot: Option<String>,
    /// How much moved.
    pub quantity: Decimal,
    /// The ERP's cost of one unit in the company's currency; `None` when it has none.
    pub unit_cost: Option<Decimal>,
}

/// What the ERP knows about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// No document has the key: the posting did not take effect.
    Absent,
    /// Documents are there but not finished; posting again or resuming finishes them.
    HalfDone,
    /// The posting took effect.
    Done(Posted),
}

impl Line {
    /// The lot under which an ERP without serial numbers holds the piece: the lot, else the serial number.
    #[must_use]
    pub fn tracking(&self) -> Option<&str> {
        self.lot.as_deref().or(self.serial.as_deref())
    }
}

impl Posting {
    /// Code of the location that the stock leaves.
    #[must_use]
    pub fn from_location(&self) -> &str {
        match self.direction {
            Direction::Consume => &self.stock_location,
            Direction::Return => &self.use_location,
        }
    }

    /// Code of the location that receives the stock.
    #[must_use]
    pub fn to_location(&self) -> &str {
        match self.direction {
            Direction::Consume => &self.use_location,
            Direction::Return => &self.stock_location,
        }
    }

    /// Checks what no ERP needs to be asked for.
    ///
    /// # Errors
    /// A [`Refusal`] with [`RefusalCode::InvalidPosting`] for an empty key, no line or more than `lines_max`, a quantity
    /// that is not above zero, or a line key that occurs twice.
    pub fn check(&self, lines_max: usize) -> Result<(), Refusal> {
        let invalid = |reason: String, line: Option<&Line>| {
            Err(Refusal::new(RefusalCode::InvalidPosting, reason, line.map(|line| line.line_key.clone())))
        };
        if self.document_key.trim().is_empty() {
            return invalid("the document key is empty".to_owned(), None);
        }
        if self.lines.is_empty() || self.lines.len() > lines_max {
            return invalid(format!("{} lines; 1 to {lines_max} are allowed", self.lines.len()), None);
        }
        let mut keys = HashSet::new();
        for line in &self.lines {
            if line.quantity <= Decimal::ZERO {
                return invalid(format!("quantity {} is not above zero", line.quantity), Some(line));
            }
            if !keys.insert(&line.line_key) {
                return invalid("the line key occurs twice".to_owned(), Some(line));
            }
        }
        Ok(())
    }
}

impl Posted {
    /// The ERP's unit cost of an item and lot, when one of the lines has it.
    #[must_use]
    pub fn unit_cost(&self, item: &str, lot: Option<&str>) -> Option<Decimal> {
        let same = |line: &&PostedLine| line.item == item && line.lot.as_deref() == lot;
        self.lines.iter().find(same).and_then(|line| line.unit_cost)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{Direction, Line, Posting};
    use crate::erp::RefusalCode;
    use rust_decimal::Decimal;

    fn posting(quantities: &[i64]) -> Posting {
        let line = |(index, quantity): (usize, &i64)| Line {
            line_key: format!("l{index}"),
            item: "GLOVE-M".to_owned(),
            lot: None,
            serial: None,
            quantity: Decimal::from(*quantity),
            uom: "EA".to_owned(),
        };
        Posting {
            document_key: "k".to_owned(),
            direction: Direction::Return,
            stock_location: "OR1".to_owned(),
            use_location: "USE-OR1".to_owned(),
            effective_date: None,
            cost_centre: None,
            lines: quantities.iter().enumerate().map(line).collect(),
        }
    }

    #[test]
    fn refuses_what_cannot_be_right() {
        assert!(posting(&[1, 2]).check(2).is_ok());
        assert_eq!(posting(&[]).check(2).unwrap_err().code, RefusalCode::InvalidPosting);
        assert!(posting(&[1, 2, 3]).check(2).is_err());
        assert_eq!(posting(&[1, 0]).check(2).unwrap_err().lines, ["l1"]);
        let mut twice = posting(&[1, 1]);
        twice.lines[1].line_key = "l0".to_owned();
        assert_eq!(twice.check(2).unwrap_err().lines, ["l0"]);
        let nameless = Posting { document_key: " ".to_owned(), ..posting(&[1]) };
        assert!(nameless.check(2).is_err());
    }

    #[test]
    fn a_return_goes_from_the_place_of_use_to_stock() {
        let posting = posting(&[1]);
        assert_eq!((posting.from_location(), posting.to_location()), ("USE-OR1", "OR1"));
    }
}
