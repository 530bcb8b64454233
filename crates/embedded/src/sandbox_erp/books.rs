//! Writing master data and purchasing documents: what refers to something must find it.

use rusqlite::{Connection, Transaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::amount::Amount;
use super::clock::Now;
use super::problem::Problem;
use super::records::{
    CostCentre, Employee, Item, Location, LocationKind, OrderState, PurchaseOrder, Receipt, Stream, Supplier, Tracking,
};
use super::stock::{self, Move, Place};
use super::store;

/// Lines in one order or receipt, at most.
const LINES_MAX: usize = 1_000;

/// Creates or changes a record from its JSON.
pub(super) fn put(ledger: &Transaction<'_>, stream: Stream, key: &str, body: &[u8], now: Now) -> Result<(), Problem> {
    match stream {
        Stream::Items => put_item(ledger, key, &parse(body)?, now),
        Stream::Suppliers => store::put(ledger, stream, key, &parse::<Supplier>(body)?, now),
        Stream::Locations => put_location(ledger, key, &parse(body)?, now),
        Stream::CostCentres => {
            let centre: CostCentre = parse(body)?;
            refers::<CostCentre>(ledger, Stream::CostCentres, centre.parent.as_deref())?;
            store::put(ledger, stream, key, &centre, now)
        }
        Stream::Employees => store::put(ledger, stream, key, &parse::<Employee>(body)?, now),
        Stream::PurchaseOrders => put_order(ledger, key, parse(body)?, now),
        Stream::Receipts => receive(ledger, key, parse(body)?, now),
    }
}

/// Deletes a record that nothing depends on.
pub(super) fn delete(ledger: &Transaction<'_>, stream: Stream, key: &str, now: Now) -> Result<(), Problem> {
    let in_use = match stream {
        Stream::Items => moved(ledger, "SELECT 1 FROM move WHERE item = ?1 LIMIT 1", key)?,
        Stream::Locations => moved(ledger, "SELECT 1 FROM stock WHERE location = ?1 LIMIT 1", key)?,
        Stream::Receipts => true,
        Stream::PurchaseOrders => {
            let order: Option<PurchaseOrder> = store::get(ledger, stream, key)?;
            order.is_some_and(|order| order.lines.iter().any(|line| line.received > Amount::ZERO))
        }
        Stream::Suppliers | Stream::CostCentres | Stream::Employees => false,
    };
    if in_use {
        return Err(Problem::refused("record.in-use", format!("{stream} {key} is in the books; make it inactive")));
    }
    store::delete(ledger, stream, key, now)
}

pub(super) fn put_item(ledger: &Connection, key: &str, item: &Item, now: Now) -> Result<(), Problem> {
    let invalid = |message: &str| Err(Problem::refused("item.invalid", message));
    if item.uom.is_empty() || item.packs.iter().any(|pack| pack.uom == item.uom || pack.quantity <= Amount::ZERO) {
        return invalid("the base unit is empty, or a pack has no quantity above zero or the base unit's name");
    }
    if item.cost.is_some_and(|cost| cost < Amount::ZERO) {
        return invalid("the cost is below zero");
    }
    refers::<Supplier>(ledger, Stream::Suppliers, item.supplier.as_deref())?;
    let before: Option<Item> = store::get(ledger, Stream::Items, key)?;
    let counts_otherwise = |before: Item| before.uom != item.uom || before.tracking != item.tracking;
    if before.is_some_and(counts_otherwise) && moved(ledger, "SELECT 1 FROM move WHERE item = ?1 LIMIT 1", key)? {
        let message = format!("stock of item {key} has moved: its unit and its tracking stay");
        return Err(Problem::refused("record.in-use", message));
    }
    store::put(ledger, Stream::Items, key, item, now)
}

pub(super) fn put_location(ledger: &Connection, key: &str, location: &Location, now: Now) -> Result<(), Problem> {
    refers::<Location>(ledger, Stream::Locations, location.parent.as_deref())?;
    refers::<CostCentre>(ledger, Stream::CostCentres, location.cost_centre.as_deref())?;
    let before: Option<Location> = store::get(ledger, Stream::Locations, key)?;
    if before.is_some_and(|before| before.kind != location.kind)
        && moved(ledger, "SELECT 1 FROM stock WHERE location = ?1 LIMIT 1", key)?
    {
        let message = format!("stock has moved at location {key}: it stays what it is");
        return Err(Problem::refused("record.in-use", message));
    }
    store::put(ledger, Stream::Locations, key, location, now)
}

/// What has come stays, whatever the order says now.
pub(super) fn put_order(ledger: &Connection, key: &str, mut order: PurchaseOrder, now: Now) -> Result<(), Problem> {
    if order.lines.is_empty() || order.lines.len() > LINES_MAX {
        return Err(Problem::refused("order.invalid", format!("an order has 1 to {LINES_MAX} lines")));
    }
    refers::<Supplier>(ledger, Stream::Suppliers, Some(&order.supplier))?;
    let before: Option<PurchaseOrder> = store::get(ledger, Stream::PurchaseOrders, key)?;
    let before = before.map(|order| order.lines).unwrap_or_default();
    for (index, line) in order.lines.iter_mut().enumerate() {
        let at = (index + 1).to_string();
        let item: Option<Item> = store::get(ledger, Stream::Items, &line.item)?;
        let unknown = || Problem::refused("item.unknown", format!("no item {}", line.item)).of_line(&at);
        item.ok_or_else(unknown)?
            .factor(&line.uom)
            .filter(|_| line.quantity > Amount::ZERO)
            .ok_or_else(|| Problem::refused("order.invalid", "the quantity or its unit is unusable").of_line(&at))?;
        line.received = before.get(index).map_or(Amount::ZERO, |before| before.received);
    }
    let gone = before.iter().skip(order.lines.len()).any(|line| line.received > Amount::ZERO);
    let other = order.lines.iter().zip(&before);
    if gone
        || other
            .into_iter()
            .any(|(now, before)| before.received > Amount::ZERO && (now.item != before.item || now.uom != before.uom))
    {
        return Err(Problem::refused("record.in-use", "a line of which something has come stays"));
    }
    store::put(ledger, Stream::PurchaseOrders, key, &order, now)
}

/// Takes a delivery in: stock rises, the order knows it. The same receipt twice is one.
pub(super) fn receive(ledger: &Transaction<'_>, key: &str, mut receipt: Receipt, now: Now) -> Result<(), Problem> {
    let before: Option<Receipt> = store::get(ledger, Stream::Receipts, key)?;
    if let Some(before) = before {
        return if said(before) == said(receipt) { Ok(()) } else { Err(Problem::reused(key)) };
    }
    if receipt.lines.is_empty() || receipt.lines.len() > LINES_MAX {
        return Err(Problem::refused("receipt.invalid", format!("a receipt has 1 to {LINES_MAX} lines")));
    }
    let number = receipt.purchase_order.clone();
    let order: Option<PurchaseOrder> = store::get(ledger, Stream::PurchaseOrders, &number)?;
    let approved = order.filter(|order| order.state == OrderState::Approved);
    let unknown = || Problem::refused("order.unknown", format!("no approved order {number} that is open"));
    let mut order = approved.ok_or_else(unknown)?;
    let place: Option<Location> = store::get(ledger, Stream::Locations, &receipt.location)?;
    place
        .filter(|place| place.kind == LocationKind::Storage)
        .ok_or_else(|| Problem::refused("location.unknown", format!("no stock location {}", receipt.location)))?;
    receipt.supplier.clone_from(&order.supplier);
    for index in 0..receipt.lines.len() {
        receive_line(ledger, key, &mut receipt, &mut order, index)
            .map_err(|problem| problem.of_line(&(index + 1).to_string()))?;
    }
    receipt.is_final = order.lines.iter().all(|line| line.received >= line.quantity);
    if receipt.is_final {
        order.state = OrderState::Received;
    }
    store::put(ledger, Stream::PurchaseOrders, &number, &order, now)?;
    store::put(ledger, Stream::Receipts, key, &receipt, now)
}

fn receive_line(
    ledger: &Transaction<'_>,
    key: &str,
    receipt: &mut Receipt,
    order: &mut PurchaseOrder,
    index: usize,
) -> Result<(), Problem> {
    let invalid = |message: &str| Problem::refused("receipt.invalid", message);
    let line = receipt.lines.get_mut(index).ok_or_else(|| invalid("no such line"))?;
    let at = line.order_line.checked_sub(1);
    let ordered = at.and_then(|at| order.lines.get_mut(at)).ok_or_else(|| invalid("the order has no such line"))?;
    line.item.clone_from(&ordered.item);
    line.uom.clone_from(&ordered.uom);
    let item: Option<Item> = store::get(ledger, Stream::Items, &ordered.item)?;
    let item = item.ok_or_else(|| Problem::refused("item.unknown", format!("no item {}", ordered.item)))?;
    if let Some(lot) = line.lot.as_deref().filter(|_| item.tracking != Tracking::None) {
        stock::add_lot(ledger, &line.item, lot, line.expires)?;
    }
    let lot = stock::tracked_by(ledger, &line.item, &item, line.lot.as_deref(), None)?;
    let base = item.factor(&line.uom).and_then(|factor| line.quantity.times(factor));
    let base = base.filter(|base| *base > Amount::ZERO).ok_or_else(|| invalid("the quantity is unusable"))?;
    let received = ordered.received.plus(line.quantity).ok_or_else(|| invalid("the quantity has too many digits"))?;
    ordered.received = received;
    let (from, to) = (Place::Beyond(&order.supplier), Place::Stock(&receipt.location));
    stock::shift(ledger, &line.item, lot, (&from, &to), base)?;
    let moved = Move {
        id: 0,
        kind: "receipt".into(),
        document: key.to_owned(),
        item: line.item.clone(),
        lot: lot.map(str::to_owned),
        from_location: from.code().to_owned(),
        to_location: to.code().to_owned(),
        quantity: line.quantity,
        uom: line.uom.clone(),
        unit_cost: ordered.unit_price,
        effective_date: receipt.received_on.to_string(),
    };
    stock::insert_move(ledger, &moved)
}

/// A receipt without what the ledger keeps in it.
fn said(mut receipt: Receipt) -> Receipt {
    receipt.supplier.clear();
    receipt.is_final = false;
    for line in &mut receipt.lines {
        line.item.clear();
        line.uom.clear();
    }
    receipt
}

/// A code that is named must be there.
fn refers<T: Serialize + DeserializeOwned>(
    ledger: &Connection,
    stream: Stream,
    code: Option<&str>,
) -> Result<(), Problem> {
    let Some(code) = code else { return Ok(()) };
    let found: Option<T> = store::get(ledger, stream, code)?;
    let kind = match stream {
        Stream::Suppliers => "supplier.unknown",
        Stream::Locations => "location.unknown",
        Stream::CostCentres => "cost-centre.unknown",
        _ => "record.unknown",
    };
    found.map(drop).ok_or_else(|| Problem::refused(kind, format!("{stream} has no {code}")))
}

fn moved(ledger: &Connection, sql: &str, key: &str) -> Result<bool, Problem> {
    Ok(ledger.prepare_cached(sql)?.exists([key])?)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    Ok(serde_json::from_slice(body)?)
}
