//! The documents that Wardline has made, as the ERP has them, for reconciliation.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::feed::Cursor;
use super::movement::Allocation;
use super::posting::Document;

/// Which documents to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BookedQuery {
    /// Documents whose key starts with `prefix` and that the ERP made at or after `from` and before `until`, by its own clock.
    Made {
        /// How the keys start.
        prefix: String,
        /// First moment.
        from: Timestamp,
        /// The moment before which to stop.
        until: Timestamp,
    },
    /// Documents with exactly these keys, whenever they were made; as many as the caller keeps in memory.
    Keys(Vec<String>),
}

/// One document that moved stock, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// The idempotency key that it was posted under.
    pub document_key: String,
    /// The stock document.
    pub document: Document,
    /// When the ERP made it, by its own clock.
    pub made_at: Timestamp,
    /// Whether its stock has moved. A document that is not finished has no lines.
    pub finished: bool,
    /// What has moved.
    pub lines: Vec<BookedLine>,
    /// What cost centres bear because of it; zeros left out.
    pub costs: Vec<Allocation>,
}

/// What has moved of one item and lot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookedLine {
    /// Item code of the ERP.
    pub item: String,
    /// Lot, or the serial number where the ERP holds serials as lots.
    pub lot: Option<String>,
    /// Code of the stock location, whichever way the stock went.
    pub stock_location: String,
    /// How much left the stock location, in the unit of the document; below zero when it came back.
    pub quantity: Decimal,
}

/// A page of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedPage {
    /// The documents, in an order that does not change.
    pub documents: Vec<Booked>,
    /// Where the next page begins; `None` when this is the last one.
    pub next: Option<Cursor>,
}
