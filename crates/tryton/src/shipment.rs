//! The stock document: an internal shipment, driven from whatever state it is in to `done`.

use std::collections::BTreeMap;

use connector::erp::{
    BookedLine, Direction, Document, ErpError, Line, Lookup, Movement, Posted, PostedLine, Posting, Refusal,
    RefusalCode,
};
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::json;
use crate::names::Resolved;
use crate::rest::{Rest, Search, refused};

pub(crate) const MODEL: &str = "stock.shipment.internal";
/// Everything that is read of a shipment.
pub(crate) const FIELDS: [&str; 16] = [
    "reference",
    "state",
    "number",
    "effective_date",
    "company.currency.code",
    "from_location.type",
    "moves.state",
    "moves.quantity",
    "moves.internal_quantity",
    "moves.unit",
    "moves.cost_price",
    "moves.product.code",
    "moves.product.template.account_category.account_stock_out",
    "moves.lot.number",
    "moves.from_location.code",
    "moves.to_location.code",
];
const STATE_ONLY: [&str; 3] = ["reference", "state", "number"];
/// Buttons from draft to done, with one more for luck.
const STEPS_MAX: usize = 4;

/// A shipment as last read.
pub(crate) struct Shipment {
    pub(crate) id: i64,
    pub(crate) reference: String,
    pub(crate) state: String,
    number: Option<String>,
    pub(crate) effective_date: Option<Date>,
    /// The company's currency, which the costs are in.
    currency: Option<String>,
    pub(crate) direction: Direction,
    pub(crate) moves: Vec<Move>,
}

pub(crate) struct Move {
    pub(crate) id: i64,
    item: String,
    lot: Option<String>,
    unit: Option<i64>,
    quantity: Decimal,
    unit_cost: Option<Decimal>,
    /// The account that the cost of a consumption of the item goes to.
    pub(crate) account: Option<i64>,
    state: String,
    from: String,
    to: String,
}

/// Item, lot and unit: what the lines of a posting and the moves of a shipment are compared by.
type Sums<'a> = BTreeMap<(&'a str, Option<&'a str>, Option<i64>), Decimal>;

/// The shipment of a key that is not cancelled. Tryton does not forbid two; then the one that is done counts.
pub(crate) async fn find(rest: &Rest, document_key: &str) -> Result<Option<Shipment>, ErpError> {
    let domain = json!([["reference", "=", document_key], ["state", "!=", "cancelled"]]);
    let page = rest.search(Search { model: MODEL, domain, fields: &FIELDS, limit: 2 }).await?;
    let mut found: Vec<Shipment> = page.records.iter().filter_map(Shipment::read).collect();
    if found.len() > 1 {
        tracing::error!(document_key, "two shipments have one reference; reconcile");
    }
    found.sort_by_key(|shipment| (!shipment.is_done(), shipment.id));
    Ok(found.into_iter().next())
}

/// Creates the shipment of a posting in state `draft`.
pub(crate) async fn create(rest: &Rest, posting: &Posting, resolved: &Resolved) -> Result<Shipment, ErpError> {
    let day = resolved.effective_date.map(json::typed_date);
    let moves: Vec<Value> = posting
        .lines
        .iter()
        .zip(&resolved.lines)
        .map(|(line, ids)| {
            json!({
                "product": ids.item.id, "quantity": json::number(line.quantity), "unit": ids.unit, "lot": ids.lot,
                "from_location": resolved.from.id, "to_location": resolved.to.id, "effective_date": day,
            })
        })
        .collect();
    let record = json!({
        "reference": posting.document_key, "from_location": resolved.from.id, "to_location": resolved.to.id,
        "effective_date": day, "moves": [["create", moves]],
    });
    let created = rest.create(MODEL, &record, &STATE_ONLY).await?;
    read_back(&created)
}

/// Where driving a shipment ended.
pub(crate) enum Driven {
    /// Its stock has moved.
    Done(Shipment),
    /// Stock was short; the shipment is removed again. This is how it looked before.
    Short(Shipment),
}

/// Presses the buttons that are left. When the ERP refuses one, the shipment is removed before the refusal is returned.
pub(crate) async fn drive(rest: &Rest, mut shipment: Shipment) -> Result<Driven, ErpError> {
    for _ in 0..STEPS_MAX {
        let (button, fields): (&str, &[&str]) = match shipment.state.as_str() {
            "done" => return Ok(Driven::Done(shipment)),
            "draft" => ("wait", &STATE_ONLY),
            "waiting" => ("assign_try", &FIELDS),
            "assigned" => ("do", &FIELDS),
            _ => break,
        };
        let answer = match rest.press(MODEL, shipment.id, button, fields).await {
            Err(error @ ErpError::Refused(_)) => {
                remove(rest, &shipment).await?;
                return Err(error);
            }
            answer => answer?,
        };
        shipment = read_back(&answer)?;
        // Tryton answers 200 also when it could not assign everything.
        if button == "assign_try" && shipment.state == "waiting" {
            remove(rest, &shipment).await?;
            return Ok(Driven::Short(shipment));
        }
    }
    Err(refused(format!("the shipment {} is in state {}", shipment.id, shipment.state)))
}

/// Takes back a shipment that cannot be done: cancelled first, then deleted, so that its key is free again.
async fn remove(rest: &Rest, shipment: &Shipment) -> Result<(), ErpError> {
    rest.press(MODEL, shipment.id, "cancel", &STATE_ONLY).await?;
    match rest.delete(MODEL, shipment.id).await {
        // Cancelled is enough: a cancelled shipment has moved nothing and does not count as found.
        Err(ErpError::Refused(refusal)) => {
            tracing::warn!(id = shipment.id, reason = refusal.reason, "a cancelled shipment stays in the ERP");
            Ok(())
        }
        other => other,
    }
}

impl Shipment {
    pub(crate) fn read(record: &Value) -> Option<Self> {
        Some(Self {
            id: json::id(record, "id")?,
            reference: json::text(record, "reference").unwrap_or_default().to_owned(),
            state: json::text(record, "state")?.to_owned(),
            number: json::text(record, "number").map(str::to_owned),
            effective_date: json::date(record, "effective_date"),
            currency: json::text(record, "company.currency.code").map(str::to_owned),
            // Stock is in storage; what leaves a place of use comes back.
            direction: match json::text(record, "from_location.type") {
                Some("lost_found") => Direction::Return,
                _ => Direction::Consume,
            },
            moves: json::list(record, "moves").iter().filter_map(Move::read).collect(),
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == "done"
    }

    pub(crate) fn document(&self) -> Document {
        Document {
            kind: MODEL.to_owned(),
            id: self.id.to_string(),
            number: self.number.clone(),
            state: self.state.clone(),
        }
    }

    /// Whether it moves what the posting asks for. A split move counts as one.
    pub(crate) fn is_of(&self, posting: &Posting, resolved: &Resolved) -> bool {
        let mut asked = Sums::new();
        for (line, ids) in posting.lines.iter().zip(&resolved.lines) {
            *asked.entry((&line.item, line.tracking(), Some(ids.unit))).or_default() += line.quantity;
        }
        let mut moving = Sums::new();
        for part in self.moves.iter().filter(|part| part.state != "cancelled") {
            *moving.entry((&part.item, part.lot.as_deref(), part.unit)).or_default() += part.quantity;
        }
        let ends = |part: &Move| part.from == posting.from_location() || self.is_done();
        asked == moving && self.moves.iter().all(|part| part.to == posting.to_location() && ends(part))
    }

    /// The moves that took effect.
    pub(crate) fn done_moves(&self) -> impl Iterator<Item = &Move> {
        self.moves.iter().filter(|part| part.state == "done")
    }

    pub(crate) fn movements(&self) -> impl Iterator<Item = Movement> + '_ {
        self.done_moves().map(|part| Movement {
            document_key: self.reference.clone(),
            item: part.item.clone(),
            lot: part.lot.clone(),
            from_location: part.from.clone(),
            to_location: part.to.clone(),
            quantity: part.quantity,
        })
    }

    /// What left the stock location, whichever way the stock went.
    pub(crate) fn booked_lines(&self) -> impl Iterator<Item = BookedLine> + '_ {
        let returns = self.direction == Direction::Return;
        self.done_moves().map(move |part| BookedLine {
            item: part.item.clone(),
            lot: part.lot.clone(),
            stock_location: if returns { part.to.clone() } else { part.from.clone() },
            quantity: if returns { -part.quantity } else { part.quantity },
        })
    }

    /// The finished posting.
    pub(crate) fn posted(&self, allocation: Option<Document>, already_there: bool) -> Posted {
        let lines = self.done_moves().map(|part| PostedLine {
            item: part.item.clone(),
            lot: part.lot.clone(),
            quantity: part.quantity,
            unit_cost: part.unit_cost,
        });
        let documents = std::iter::once(self.document()).chain(allocation).collect();
        Posted {
            documents,
            lines: lines.collect(),
            currency: self.currency.clone(),
            effective_date: self.effective_date,
            already_there,
        }
    }

    pub(crate) fn lookup(&self, allocation: Option<Document>, allocation_expected: bool) -> Lookup {
        let open = allocation.as_ref().map_or(allocation_expected, |document| document.state != "posted");
        if self.is_done() && !open { Lookup::Done(self.posted(allocation, true)) } else { Lookup::HalfDone }
    }

    /// What `assign_try` could not get: the moves that it left in draft, each with the quantity that is missing.
    pub(crate) fn shortage(&self, posting: &Posting) -> Refusal {
        let short: Vec<&Move> = self.moves.iter().filter(|part| part.state == "draft").collect();
        let is_short =
            |line: &&Line| short.iter().any(|part| part.item == line.item && part.lot.as_deref() == line.tracking());
        let lines = posting.lines.iter().filter(is_short).map(|line| line.line_key.clone());
        let missing = short.iter().map(|part| {
            let lot = part.lot.as_ref().map_or(String::new(), |lot| format!(" lot {lot}"));
            format!("{} of {}{lot}", part.quantity, part.item)
        });
        let missing = missing.collect::<Vec<_>>().join(", ");
        let reason = format!("location {} lacks {missing}", posting.from_location());
        Refusal::new(RefusalCode::InsufficientStock, reason, lines)
    }
}

impl Move {
    /// The cost of the whole move, before rounding.
    pub(crate) fn cost(&self) -> Decimal {
        self.unit_cost.map_or(Decimal::ZERO, |unit_cost| unit_cost * self.quantity)
    }

    fn read(record: &Value) -> Option<Self> {
        let quantity = json::decimal(record, "quantity")?;
        let text = |path| json::text(record, path).unwrap_or_default().to_owned();
        // The cost is that of one base unit, the quantity may be in another unit.
        let base = json::decimal(record, "internal_quantity").filter(|_| !quantity.is_zero());
        let per_unit = base.map_or(Decimal::ONE, |base| base / quantity);
        Some(Self {
            id: json::id(record, "id")?,
            item: text("product.code"),
            lot: json::text(record, "lot.number").map(str::to_owned),
            unit: json::id(record, "unit"),
            quantity,
            unit_cost: json::decimal(record, "cost_price").map(|cost| (cost * per_unit).normalize()),
            account: json::id(record, "product.template.account_category.account_stock_out"),
            state: text("state"),
            from: text("from_location.code"),
            to: text("to_location.code"),
        })
    }
}

fn read_back(record: &Value) -> Result<Shipment, ErpError> {
    let unreadable = || ErpError::InDoubt { reason: "the answer holds no shipment".to_owned() };
    Shipment::read(record).ok_or_else(unreadable)
}
