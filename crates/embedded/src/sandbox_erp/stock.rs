//! What lies where, and how it got there.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::amount::Amount;
use super::clock::Now;
use super::problem::Problem;
use super::records::{Item, Location, LocationKind, Stream, Tracking};
use super::store::{self, PAGE_MAX};

/// The other side of a count.
const DIFFERENCES: &str = "DIFFERENCES";
/// Lines in one count, at most.
const LINES_MAX: usize = 10_000;

/// Where stock moves from or to.
pub(super) enum Place<'a> {
    /// Stock of ours: counted, and never less than nothing.
    Stock(&'a str),
    /// What lies beyond: suppliers, patients, differences. Counted, and may be below zero.
    Beyond(&'a str),
}

/// A finished movement of stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Move {
    /// Rises with every movement.
    pub(super) id: i64,
    /// `posting`, `receipt` or `count`.
    pub(super) kind: String,
    /// Key of the posting, number of the receipt or key of the count.
    pub(super) document: String,
    pub(super) item: String,
    /// Lot or serial number.
    pub(super) lot: Option<String>,
    pub(super) from_location: String,
    pub(super) to_location: String,
    pub(super) quantity: Amount,
    /// Unit of the quantity.
    pub(super) uom: String,
    /// Cost of one of that unit.
    pub(super) unit_cost: Option<Amount>,
    pub(super) effective_date: String,
}

/// What lies at a location, in the base unit.
#[derive(Debug, Serialize)]
pub(super) struct Level {
    item: String,
    lot: Option<String>,
    location: String,
    quantity: Amount,
}

/// A count: what really lies there. The difference is booked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The idempotency key.
    pub key: String,
    /// What was counted.
    pub lines: Vec<CountLine>,
}

/// What was counted of an item at a location.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountLine {
    /// Code of the item.
    pub item: String,
    /// Lot or serial number, when the item has them. A new one is created.
    #[serde(default)]
    pub lot: Option<String>,
    /// Day on which the lot expires.
    #[serde(default)]
    pub expires: Option<jiff::civil::Date>,
    /// Code of the location.
    pub location: String,
    /// How much lies there, in the base unit.
    pub quantity: Amount,
}

/// Which movements are wanted.
#[derive(Debug, Default)]
pub(super) struct MoveQuery {
    /// Of documents whose key starts with this.
    pub(super) prefix: Option<String>,
    /// Of exactly these documents.
    pub(super) documents: Option<Vec<String>>,
    /// Behind this id.
    pub(super) after: i64,
    pub(super) limit: Option<u32>,
}

impl Place<'_> {
    pub(super) const fn code(&self) -> &str {
        match self {
            Self::Stock(code) | Self::Beyond(code) => code,
        }
    }
}

/// The lot or serial number under which stock of the item is kept; `None` when it is kept without.
pub(super) fn tracked_by<'a>(
    ledger: &Connection,
    code: &str,
    item: &Item,
    lot: Option<&'a str>,
    serial: Option<&'a str>,
) -> Result<Option<&'a str>, Problem> {
    let (number, what) = match item.tracking {
        Tracking::None => return untracked(code, lot.or(serial)),
        Tracking::Lot => (lot.or(serial), "lot"),
        Tracking::Serial => (serial.or(lot), "serial number"),
    };
    let missing = || Problem::refused("lot.missing", format!("item {code} does not move without its {what}"));
    let number = number.filter(|number| !number.is_empty()).ok_or_else(missing)?;
    let mut statement = ledger.prepare_cached("SELECT 1 FROM lot WHERE item = ?1 AND number = ?2")?;
    if statement.exists([code, number])? {
        return Ok(Some(number));
    }
    Err(Problem::refused("lot.unknown", format!("item {code} has no {what} {number}")))
}

fn untracked<'a>(code: &str, number: Option<&str>) -> Result<Option<&'a str>, Problem> {
    match number.filter(|number| !number.is_empty()) {
        None => Ok(None),
        Some(_) => Err(Problem::refused("lot.unknown", format!("item {code} is kept without lots"))),
    }
}

/// Moves stock, in the base unit.
pub(super) fn shift(
    ledger: &Transaction<'_>,
    item: &str,
    lot: Option<&str>,
    (from, to): (&Place<'_>, &Place<'_>),
    quantity: Amount,
) -> Result<(), Problem> {
    let lot = lot.unwrap_or_default();
    let too_much = || Problem::refused("posting.invalid", format!("{quantity} of {item} is more than can be kept"));
    let there = level(ledger, item, lot, from.code())?;
    let left = there.minus(quantity).ok_or_else(too_much)?;
    if matches!(from, Place::Stock(_)) && left < Amount::ZERO {
        let of_lot = if lot.is_empty() { String::new() } else { format!(" lot {lot}") };
        let message = format!("{} has {there} of item {item}{of_lot}, not {quantity}", from.code());
        return Err(Problem::refused("stock.insufficient", message));
    }
    set_level(ledger, item, lot, from.code(), left)?;
    let sum = level(ledger, item, lot, to.code())?.plus(quantity).ok_or_else(too_much)?;
    set_level(ledger, item, lot, to.code(), sum)
}

/// Books what was counted; the same count twice is one.
pub(super) fn count(ledger: &Transaction<'_>, count: &Count, now: Now) -> Result<(), Problem> {
    if count.key.trim().is_empty() || count.lines.len() > LINES_MAX {
        return Err(Problem::invalid(format!("a count has a key and at most {LINES_MAX} lines")));
    }
    let content = Sha256::digest(serde_json::to_vec(count)?).to_vec();
    let mut known = ledger.prepare_cached("SELECT content FROM count_document WHERE key = ?1")?;
    let known: Option<Vec<u8>> = known.query_row([&count.key], |row| row.get(0)).optional()?;
    if let Some(known) = known {
        return if known == content { Ok(()) } else { Err(Problem::reused(&count.key)) };
    }
    ledger.execute("INSERT INTO count_document (key, content) VALUES (?1, ?2)", params![count.key, content])?;
    for (index, line) in count.lines.iter().enumerate() {
        count_line(ledger, &count.key, line, now).map_err(|problem| problem.of_line(&index.to_string()))?;
    }
    Ok(())
}

/// Makes a lot known; what is known of it stays.
pub(super) fn add_lot(
    ledger: &Connection,
    item: &str,
    number: &str,
    expires: Option<jiff::civil::Date>,
) -> Result<(), Problem> {
    let mut statement = ledger.prepare_cached(
        "INSERT INTO lot (item, number, expires) VALUES (?1, ?2, ?3)
         ON CONFLICT (item, number) DO UPDATE SET expires = coalesce(excluded.expires, expires)",
    )?;
    statement.execute(params![item, number, expires.map(|day| day.to_string())])?;
    Ok(())
}

/// Records a movement; its id is given here.
pub(super) fn insert_move(ledger: &Connection, moved: &Move) -> Result<(), Problem> {
    let mut statement = ledger.prepare_cached(
        "INSERT INTO move (kind, document, item, lot, from_location, to_location, quantity, uom, unit_cost, effective_date)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let Move { kind, document, item, from_location, to_location, quantity, uom, unit_cost, effective_date, .. } = moved;
    let lot = moved.lot.as_deref().unwrap_or_default();
    statement.execute(params![
        kind,
        document,
        item,
        lot,
        from_location,
        to_location,
        quantity,
        uom,
        unit_cost,
        effective_date
    ])?;
    Ok(())
}

/// The movements of a posting, in the order of its lines.
pub(super) fn moves_of(ledger: &Connection, document: &str) -> Result<Vec<Move>, Problem> {
    let mut statement =
        ledger.prepare_cached(&format!("{MOVES} WHERE document = ?1 AND kind = 'posting' ORDER BY id"))?;
    Ok(statement.query_map([document], read_move)?.collect::<Result<_, _>>()?)
}

/// Movements of postings, oldest first.
pub(super) fn moves(ledger: &Connection, query: &MoveQuery) -> Result<Vec<Move>, Problem> {
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let prefix = query.prefix.as_deref().unwrap_or_default();
    let Some(documents) = &query.documents else {
        let sql = format!(
            "{MOVES} WHERE kind = 'posting' AND id > ?1 AND substr(document, 1, length(?2)) = ?2 ORDER BY id LIMIT ?3"
        );
        let mut statement = ledger.prepare_cached(&sql)?;
        return Ok(statement.query_map(params![query.after, prefix, limit], read_move)?.collect::<Result<_, _>>()?);
    };
    let sql = format!(
        "{MOVES} WHERE kind = 'posting' AND id > ?1 AND document IN (SELECT value FROM json_each(?2)) ORDER BY id LIMIT ?3"
    );
    let mut statement = ledger.prepare_cached(&sql)?;
    let documents = serde_json::to_string(documents)?;
    Ok(statement.query_map(params![query.after, documents, limit], read_move)?.collect::<Result<_, _>>()?)
}

/// What lies where, of one item or of all, at one location or at all, in their order behind `after`.
pub(super) fn levels(
    ledger: &Connection,
    item: Option<&str>,
    location: Option<&str>,
    after: Option<&[String; 3]>,
    limit: Option<u32>,
) -> Result<Vec<Level>, Problem> {
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let nothing = [String::new(), String::new(), String::new()];
    let [after_item, after_lot, after_location] = after.unwrap_or(&nothing);
    let mut statement = ledger.prepare_cached(
        "SELECT item, lot, location, quantity FROM stock
         WHERE (?1 IS NULL OR item = ?1) AND (?2 IS NULL OR location = ?2) AND (item, lot, location) > (?3, ?4, ?5)
         ORDER BY item, lot, location LIMIT ?6",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Level { item: row.get(0)?, lot: named(row.get(1)?), location: row.get(2)?, quantity: row.get(3)? })
    };
    let rows = statement.query_map(params![item, location, after_item, after_lot, after_location, limit], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Stock of ours below zero, which there must never be. What lies beyond (suppliers, patients, differences) may be.
pub(super) fn short(ledger: &Connection) -> Result<Vec<Level>, Problem> {
    let mut below = levels(ledger, None, None, None, None)?;
    below.retain(|level| level.quantity < Amount::ZERO);
    let mut short = Vec::new();
    for level in below {
        let place: Option<Location> = store::get(ledger, Stream::Locations, &level.location)?;
        if place.is_some_and(|place| place.kind == LocationKind::Storage) {
            short.push(level);
        }
    }
    Ok(short)
}

const MOVES: &str = "SELECT id, kind, document, item, lot, from_location, to_location, quantity, uom, unit_cost,
    effective_date FROM move";

fn read_move(row: &rusqlite::Row<'_>) -> rusqlite::Result<Move> {
    Ok(Move {
        id: row.get(0)?,
        kind: row.get(1)?,
        document: row.get(2)?,
        item: row.get(3)?,
        lot: named(row.get(4)?),
        from_location: row.get(5)?,
        to_location: row.get(6)?,
        quantity: row.get(7)?,
        uom: row.get(8)?,
        unit_cost: row.get(9)?,
        effective_date: row.get(10)?,
    })
}

fn named(lot: String) -> Option<String> {
    (!lot.is_empty()).then_some(lot)
}

fn count_line(ledger: &Transaction<'_>, key: &str, line: &CountLine, now: Now) -> Result<(), Problem> {
    let item: Item = store::get(ledger, Stream::Items, &line.item)?
        .ok_or_else(|| Problem::refused("item.unknown", format!("no item {}", line.item)))?;
    let place: Option<Location> = store::get(ledger, Stream::Locations, &line.location)?;
    place
        .filter(|place| place.kind == LocationKind::Storage)
        .ok_or_else(|| Problem::refused("location.unknown", format!("no stock location {}", line.location)))?;
    if let Some(lot) = line.lot.as_deref().filter(|_| item.tracking != Tracking::None) {
        add_lot(ledger, &line.item, lot, line.expires)?;
    }
    let lot = tracked_by(ledger, &line.item, &item, line.lot.as_deref(), None)?;
    if line.quantity < Amount::ZERO {
        return Err(Problem::refused("count.invalid", format!("{} is less than nothing", line.quantity)));
    }
    let there = level(ledger, &line.item, lot.unwrap_or_default(), &line.location)?;
    if there == line.quantity {
        return Ok(());
    }
    let (place, beyond) = (Place::Stock(&line.location), Place::Beyond(DIFFERENCES));
    let (from, to, more, less) = if there < line.quantity {
        (beyond, place, line.quantity, there)
    } else {
        (place, beyond, there, line.quantity)
    };
    let quantity =
        more.minus(less).ok_or_else(|| Problem::refused("count.invalid", "the difference has too many digits"))?;
    shift(ledger, &line.item, lot, (&from, &to), quantity)?;
    let moved = Move {
        id: 0,
        kind: "count".into(),
        document: key.to_owned(),
        item: line.item.clone(),
        lot: lot.map(str::to_owned),
        from_location: from.code().to_owned(),
        to_location: to.code().to_owned(),
        quantity,
        uom: item.uom,
        unit_cost: item.cost,
        effective_date: now.day().to_string(),
    };
    insert_move(ledger, &moved)
}

fn level(ledger: &Connection, item: &str, lot: &str, location: &str) -> Result<Amount, Problem> {
    let mut statement =
        ledger.prepare_cached("SELECT quantity FROM stock WHERE item = ?1 AND lot = ?2 AND location = ?3")?;
    let found: Option<Amount> = statement.query_row([item, lot, location], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_default())
}

fn set_level(ledger: &Connection, item: &str, lot: &str, location: &str, quantity: Amount) -> Result<(), Problem> {
    let mut statement = ledger
        .prepare_cached("INSERT OR REPLACE INTO stock (item, lot, location, quantity) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![item, lot, location, quantity])?;
    Ok(())
}
