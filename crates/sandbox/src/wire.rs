//! The JSON of postings, movements and changes. Decimals are texts.

use connector::erp::{
    Allocation, Booked, BookedLine, Change, Direction, Document, Movement, Posted, PostedLine, Posting,
};
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ClosedDay;

/// A posting as the ledger tells of it.
#[derive(Deserialize)]
pub(crate) struct PostedAnswer {
    effective_date: Date,
    replayed: bool,
    documents: Vec<Document>,
    /// Older ledgers do not say it.
    #[serde(default)]
    currency: Option<String>,
    lines: Vec<MoveAnswer>,
    pub(crate) allocation: Option<AllocationAnswer>,
}

#[derive(Deserialize)]
pub(crate) struct AllocationAnswer {
    pub(crate) cost_centre: String,
    pub(crate) amount: Decimal,
}

/// A movement as the ledger tells of it.
#[derive(Deserialize)]
pub(crate) struct MoveAnswer {
    pub(crate) id: i64,
    document: String,
    item: String,
    lot: Option<String>,
    from_location: String,
    to_location: String,
    quantity: Decimal,
    unit_cost: Option<Decimal>,
}

/// A page of movements.
#[derive(Deserialize)]
pub(crate) struct MovesAnswer {
    pub(crate) moves: Vec<MoveAnswer>,
}

/// A page of postings.
#[derive(Deserialize)]
pub(crate) struct PostingsAnswer {
    pub(crate) postings: Vec<PostingAnswer>,
    pub(crate) next: i64,
    pub(crate) more: bool,
}

/// A posting in a list.
#[derive(Deserialize)]
pub(crate) struct PostingAnswer {
    key: String,
    direction: String,
    posted_at: i64,
    documents: Vec<Document>,
    lines: Vec<MoveAnswer>,
    allocation: Option<AllocationAnswer>,
}

/// A page of changes.
#[derive(Deserialize)]
pub(crate) struct ChangesAnswer {
    pub(crate) ledger: String,
    pub(crate) changes: Vec<ChangeAnswer>,
    pub(crate) next: i64,
    pub(crate) more: bool,
}

/// A change as the ledger tells of it.
#[derive(Deserialize)]
pub(crate) struct ChangeAnswer {
    key: String,
    revision: i64,
    changed_at: i64,
    deleted: bool,
    body: Value,
}

/// A posting as the ledger takes it.
pub(crate) fn request(posting: &Posting, closed_day: ClosedDay) -> Value {
    let lines: Vec<Value> = posting
        .lines
        .iter()
        .map(|line| {
            json!({
                "line_key": line.line_key, "item": line.item, "lot": line.lot, "serial": line.serial,
                "quantity": line.quantity.to_string(), "uom": line.uom,
            })
        })
        .collect();
    json!({
        "key": posting.document_key,
        "direction": match posting.direction { Direction::Consume => "out", Direction::Return => "in" },
        "stock_location": posting.stock_location,
        "use_location": posting.use_location,
        "effective_date": posting.effective_date,
        "on_closed_day": closed_day,
        "cost_centre": posting.cost_centre,
        "lines": lines,
    })
}

impl From<PostedAnswer> for Posted {
    fn from(answer: PostedAnswer) -> Self {
        let line = |line: MoveAnswer| PostedLine {
            item: line.item,
            lot: line.lot,
            quantity: line.quantity,
            unit_cost: line.unit_cost,
        };
        Self {
            documents: answer.documents,
            lines: answer.lines.into_iter().map(line).collect(),
            currency: answer.currency.filter(|currency| !currency.is_empty()),
            effective_date: Some(answer.effective_date),
            already_there: answer.replayed,
        }
    }
}

impl From<MoveAnswer> for Movement {
    fn from(answer: MoveAnswer) -> Self {
        Self {
            document_key: answer.document,
            item: answer.item,
            lot: answer.lot,
            from_location: answer.from_location,
            to_location: answer.to_location,
            quantity: answer.quantity,
        }
    }
}

impl TryFrom<PostingAnswer> for Booked {
    type Error = ();

    /// The ledger posts all of a document at once, so each is finished.
    fn try_from(answer: PostingAnswer) -> Result<Self, ()> {
        let returns = answer.direction == "in";
        let line = |line: MoveAnswer| BookedLine {
            item: line.item,
            lot: line.lot,
            stock_location: if returns { line.to_location } else { line.from_location },
            quantity: if returns { -line.quantity } else { line.quantity },
        };
        let borne = answer.allocation.filter(|allocation| !allocation.amount.is_zero());
        let borne = borne.map(|borne| Allocation { cost_centre: borne.cost_centre, amount: borne.amount });
        Ok(Self {
            document_key: answer.key,
            document: answer.documents.into_iter().next().ok_or(())?,
            made_at: Timestamp::from_microsecond(answer.posted_at).map_err(drop)?,
            finished: true,
            lines: answer.lines.into_iter().map(line).collect(),
            costs: borne.into_iter().collect(),
        })
    }
}

impl From<ChangeAnswer> for Change {
    /// The body says of itself how often it was written and whether it is deleted: the contract has no other place for it.
    fn from(answer: ChangeAnswer) -> Self {
        let body = json!({"revision": answer.revision, "deleted": answer.deleted, "record": answer.body});
        Self { key: answer.key, changed_at: Timestamp::from_microsecond(answer.changed_at).ok(), body }
    }
}
