//! The posting: stock out of a department to its place of use, or back, with the cost on a cost centre. One transaction.

use std::collections::HashSet;

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::amount::Amount;
use super::clock::Now;
use super::problem::Problem;
use super::records::{CostCentre, Item, Location, LocationKind, Stream};
use super::stock::{self, Move, Place};
use super::store::{self, PAGE_MAX};

/// Decimal places of the company's currency.
const CURRENCY_PLACES: u32 = 2;
/// Lines in one posting, at most.
const LINES_MAX: usize = 1_000;
/// Bytes of a key, at most.
const KEY_BYTES_MAX: usize = 500;

/// What is to be posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    /// The idempotency key: the same fact always has the same key.
    pub key: String,
    /// Which way the stock goes.
    pub direction: Direction,
    /// Code of the department's stock.
    pub stock_location: String,
    /// Code of its place of use.
    pub use_location: String,
    /// The day on which it happened; the ledger's today when there is none.
    #[serde(default)]
    pub effective_date: Option<Date>,
    /// What to do when that day cannot be booked on.
    #[serde(default)]
    pub on_closed_day: OnClosedDay,
    /// Code of the cost centre that bears the cost; none bears it when there is none.
    #[serde(default)]
    pub cost_centre: Option<String>,
    /// What moves, all lines or none.
    pub lines: Vec<Line>,
}

/// Which way the stock goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From stock to the place of use.
    Out,
    /// Back.
    In,
}

/// What to do with a day that lies in a closed period or has not come yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnClosedDay {
    /// Refuse the posting.
    #[default]
    Refuse,
    /// Book it today.
    BookToday,
}

/// One item that moves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Names the line in refusals; unique in the posting.
    pub line_key: String,
    /// Code of the item.
    pub item: String,
    /// Lot.
    #[serde(default)]
    pub lot: Option<String>,
    /// Serial number.
    #[serde(default)]
    pub serial: Option<String>,
    /// How much, above zero.
    pub quantity: Amount,
    /// Unit of the quantity: the item's base unit or one of its packs.
    pub uom: String,
}

/// What was posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Posted {
    key: String,
    direction: Direction,
    /// The day it is booked on.
    effective_date: String,
    /// When it was posted, microseconds since 1970.
    posted_at: i64,
    /// Whether it had been posted before this call.
    replayed: bool,
    /// The stock document first, then the allocation when there is one.
    documents: Vec<Document>,
    /// The company's currency, which the costs are in; none before the ledger was seeded with one.
    currency: Option<String>,
    lines: Vec<Move>,
    allocation: Option<Allocation>,
}

/// A document of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Document {
    kind: &'static str,
    id: String,
    number: String,
    state: &'static str,
}

/// What a cost centre bears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Allocation {
    cost_centre: String,
    /// Below zero when it got cost back.
    amount: Amount,
}

/// Posts, or finds that it was posted before.
pub(super) fn post(ledger: &Transaction<'_>, posting: &Posting, now: Now) -> Result<Posted, Problem> {
    check(posting)?;
    let content = posting.content()?;
    let mut known = ledger.prepare_cached("SELECT content FROM posting WHERE key = ?1")?;
    let known: Option<Vec<u8>> = known.query_row([&posting.key], |row| row.get(0)).optional()?;
    if let Some(known) = known {
        let posted = find(ledger, &posting.key)?.filter(|_| known == content);
        return posted.ok_or_else(|| Problem::reused(&posting.key));
    }
    let day = posting.bookable(ledger, now)?;
    if let Some(code) = &posting.cost_centre {
        let centre: Option<CostCentre> = store::get(ledger, Stream::CostCentres, code)?;
        centre
            .filter(|centre| centre.active)
            .ok_or_else(|| Problem::refused("cost-centre.unknown", format!("no cost centre {code} that is open")))?;
    }
    let (from, to) = posting.places(ledger)?;
    let document = Moving { key: &posting.key, from: &from, to: &to, day };
    let amount = posting.move_lines(ledger, &document)?;
    let mut insert = ledger.prepare_cached(
        "INSERT INTO posting (key, content, direction, effective_date, cost_centre, amount, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let Posting { key, direction, cost_centre, .. } = posting;
    insert.execute(params![key, content, direction.as_str(), day.to_string(), cost_centre, amount, now.micros()])?;
    let posted = find(ledger, key)?.ok_or_else(|| Problem::absent(format!("no posting {key}")))?;
    Ok(Posted { replayed: false, ..posted })
}

/// The posting under a key.
pub(super) fn find(ledger: &Connection, key: &str) -> Result<Option<Posted>, Problem> {
    let mut statement = ledger
        .prepare_cached("SELECT id, direction, effective_date, cost_centre, amount, at FROM posting WHERE key = ?1")?;
    let found = statement.query_row([key], |row| {
        let id: i64 = row.get(0)?;
        let direction: String = row.get(1)?;
        let cost_centre: Option<String> = row.get(3)?;
        let document =
            |kind, letter| Document { kind, id: id.to_string(), number: format!("{letter}-{id:06}"), state: "posted" };
        let mut documents = vec![document("posting", 'P')];
        documents.extend(cost_centre.is_some().then(|| document("allocation", 'A')));
        let amount = row.get(4)?;
        Ok(Posted {
            key: key.to_owned(),
            direction: if direction == Direction::In.as_str() { Direction::In } else { Direction::Out },
            effective_date: row.get(2)?,
            posted_at: row.get(5)?,
            replayed: true,
            documents,
            currency: None,
            lines: Vec::new(),
            allocation: cost_centre.map(|cost_centre| Allocation { cost_centre, amount }),
        })
    });
    let Some(posted) = found.optional()? else { return Ok(None) };
    let currency = store::meta(ledger, store::CURRENCY)?;
    Ok(Some(Posted { currency, lines: stock::moves_of(ledger, key)?, ..posted }))
}

/// Which postings are wanted.
#[derive(Debug, Default)]
pub(super) struct PostingQuery {
    /// Of keys that start with this.
    pub(super) prefix: Option<String>,
    /// Of exactly these keys.
    pub(super) keys: Option<Vec<String>>,
    /// Posted at or after this time, microseconds since 1970.
    pub(super) from: Option<i64>,
    /// Posted before this time, microseconds since 1970.
    pub(super) until: Option<i64>,
    /// Behind this place in the list.
    pub(super) after: i64,
    pub(super) limit: Option<u32>,
}

/// A page of postings.
#[derive(Debug, Serialize)]
pub(super) struct PostingPage {
    postings: Vec<Posted>,
    /// Where the next page begins.
    next: i64,
    /// Whether more is there already.
    more: bool,
}

/// Postings in the order in which they were made.
pub(super) fn list(ledger: &Connection, query: &PostingQuery) -> Result<PostingPage, Problem> {
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let keys = query.keys.as_ref().map(serde_json::to_string).transpose()?;
    let prefix = query.prefix.as_deref().unwrap_or_default();
    let (from, until) = (query.from.unwrap_or(i64::MIN), query.until.unwrap_or(i64::MAX));
    let mut statement = ledger.prepare_cached(
        "SELECT id, key FROM posting
         WHERE id > ?1 AND at >= ?2 AND at < ?3 AND substr(key, 1, length(?4)) = ?4
            AND (?5 IS NULL OR key IN (SELECT value FROM json_each(?5)))
         ORDER BY id LIMIT ?6",
    )?;
    let wanted = params![query.after, from, until, prefix, keys, i64::from(limit) + 1];
    let mut found: Vec<(i64, String)> =
        statement.query_map(wanted, |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        found.pop();
    }
    let next = found.last().map_or(query.after, |(id, _)| *id);
    let postings = found.iter().filter_map(|(_, key)| find(ledger, key).transpose()).collect::<Result<_, _>>()?;
    Ok(PostingPage { postings, next, more })
}

/// Closes all days up to this one, or opens all.
pub(super) fn close_through(ledger: &Connection, day: Option<Date>) -> Result<(), Problem> {
    Ok(store::set_meta(ledger, "closed_through", &day.map(|day| day.to_string()).unwrap_or_default())?)
}

/// Up to which day all are closed.
pub(super) fn closed_through(ledger: &Connection) -> Result<Option<Date>, Problem> {
    Ok(store::meta(ledger, "closed_through")?.and_then(|day| day.parse().ok()))
}

/// What all moves of a posting have in common.
struct Moving<'a> {
    key: &'a str,
    from: &'a Place<'a>,
    to: &'a Place<'a>,
    day: Date,
}

impl Posted {
    /// Whether it had been posted before.
    #[must_use]
    pub const fn is_replayed(&self) -> bool {
        self.replayed
    }
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

impl Posting {
    /// The digest of what the posting says. The names of the lines and their order do not matter.
    fn content(&self) -> Result<Vec<u8>, Problem> {
        let mut bare = self.clone();
        for line in &mut bare.lines {
            line.line_key.clear();
        }
        bare.lines.sort();
        Ok(Sha256::digest(serde_json::to_vec(&bare)?).to_vec())
    }

    fn bookable(&self, ledger: &Connection, now: Now) -> Result<Date, Problem> {
        let today = now.day();
        let closed = closed_through(ledger)?;
        let is_closed = |day: Date| closed.is_some_and(|closed| day <= closed);
        let asked = self.effective_date.unwrap_or(today);
        let day = match self.on_closed_day {
            OnClosedDay::BookToday if is_closed(asked) || asked > today => today,
            _ => asked,
        };
        if day > today {
            return Err(Problem::refused("date.in-future", format!("{day} has not come yet")));
        }
        if is_closed(day) {
            return Err(Problem::refused("period.closed", format!("the period of {day} is closed")));
        }
        Ok(day)
    }

    /// Where the stock comes from and where it goes.
    fn places(&self, ledger: &Connection) -> Result<(Place<'_>, Place<'_>), Problem> {
        let place = |code: &str, kind: LocationKind| {
            let location: Option<Location> = store::get(ledger, Stream::Locations, code)?;
            let fits = location.filter(|location| location.kind == kind);
            fits.map(drop).ok_or_else(|| {
                let kind = if kind == LocationKind::Use { "place of use" } else { "stock location" };
                Problem::refused("location.unknown", format!("no {kind} {code}"))
            })
        };
        place(&self.stock_location, LocationKind::Storage)?;
        place(&self.use_location, LocationKind::Use)?;
        let (stock, used) = (Place::Stock(&self.stock_location), Place::Beyond(&self.use_location));
        Ok(match self.direction {
            Direction::Out => (stock, used),
            Direction::In => (used, stock),
        })
    }

    /// Moves every line; returns the cost of all, signed. What is wrong with several lines is said of all of them.
    fn move_lines(&self, ledger: &Transaction<'_>, moving: &Moving<'_>) -> Result<Amount, Problem> {
        let mut cost = Decimal::ZERO;
        let mut wrong: Option<Problem> = None;
        for line in &self.lines {
            match (move_line(ledger, moving, line), &mut wrong) {
                (Ok(added), _) => cost += added,
                (Err(problem), None) => wrong = Some(problem.of_line(&line.line_key)),
                (Err(problem), Some(first)) if first.code == problem.code => first.lines.push(line.line_key.clone()),
                (Err(_), Some(_)) => {}
            }
        }
        if let Some(problem) = wrong {
            return Err(problem);
        }
        let cost = cost.round_dp(CURRENCY_PLACES);
        let signed = if self.direction == Direction::In { -cost } else { cost };
        Amount::exact(signed).ok_or_else(|| Problem::refused("posting.invalid", "the cost has too many digits"))
    }
}

/// Moves one line; returns what it costs.
fn move_line(ledger: &Transaction<'_>, moving: &Moving<'_>, line: &Line) -> Result<Decimal, Problem> {
    let unknown = || Problem::refused("item.unknown", format!("no item {}", line.item));
    let item: Item = store::get(ledger, Stream::Items, &line.item)?.ok_or_else(unknown)?;
    let lot = stock::tracked_by(ledger, &line.item, &item, line.lot.as_deref(), line.serial.as_deref())?;
    let invalid = |what: &str| Problem::refused("posting.invalid", format!("{} {}: {what}", line.quantity, line.uom));
    let factor = item.factor(&line.uom).ok_or_else(|| invalid("the item does not know the unit"))?;
    let base = line.quantity.times(factor).ok_or_else(|| invalid("the quantity has too many digits"))?;
    let unit_cost = item.cost.map(|cost| cost.times(factor).ok_or_else(|| invalid("the cost has too many digits")));
    let unit_cost = unit_cost.transpose()?;
    stock::shift(ledger, &line.item, lot, (moving.from, moving.to), base)?;
    let day = moving.day.to_string();
    stock::insert_move(
        ledger,
        &Move {
            id: 0,
            kind: "posting".into(),
            document: moving.key.into(),
            item: line.item.clone(),
            lot: lot.map(str::to_owned),
            from_location: moving.from.code().to_owned(),
            to_location: moving.to.code().to_owned(),
            quantity: line.quantity,
            uom: line.uom.clone(),
            unit_cost,
            effective_date: day,
        },
    )?;
    Ok(line.quantity.decimal() * unit_cost.unwrap_or_default().decimal())
}

/// Checks what needs no look at the books.
fn check(posting: &Posting) -> Result<(), Problem> {
    let invalid = |message: String| Problem::refused("posting.invalid", message);
    if posting.key.trim().is_empty() || posting.key.len() > KEY_BYTES_MAX {
        return Err(invalid(format!("the key is empty or longer than {KEY_BYTES_MAX} bytes")));
    }
    if posting.lines.is_empty() || posting.lines.len() > LINES_MAX {
        return Err(invalid(format!("{} lines; 1 to {LINES_MAX} are allowed", posting.lines.len())));
    }
    let mut keys = HashSet::new();
    for line in &posting.lines {
        if line.quantity <= Amount::ZERO {
            return Err(invalid(format!("quantity {} is not above zero", line.quantity)).of_line(&line.line_key));
        }
        if !keys.insert(&line.line_key) {
            return Err(invalid("the key of the line occurs twice".to_owned()).of_line(&line.line_key));
        }
    }
    Ok(())
}
