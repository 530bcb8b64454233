//! The cost of a consumption, moved to the cost centre of the department.
//!
//! When Tryton does a stock move it books the cost on the consumption account, and its analytic rules put it on a cost
//! centre of their choice. The allocation is an `account.move` on the same account: one line with the cost on the
//! department's cost centre, and a balancing line without one, which gets the same rule as the stock move. What remains is
//! the cost on the department, and nothing changed in the general ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use connector::erp::{Allocation, Direction, Document, ErpError};
use jiff::civil::Date;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use crate::json;
use crate::rest::{Rest, Search, refused, transient};
use crate::shipment::Shipment;

const MODEL: &str = "account.move";
const FIELDS: [&str; 3] = ["state", "number", "description"];
/// Lines of one document on both sides, with room.
const MOVES_MAX: usize = 1_000;

/// Movements and references in one question about costs: it stands in an address, which servers bound.
const ASKED_MAX: usize = 120;

/// Cost by account.
type Costs = BTreeMap<i64, Decimal>;

/// Where an allocation goes.
pub(crate) struct Target {
    /// Id of the journal.
    pub(crate) journal: i64,
    /// Id of the cost centre.
    pub(crate) cost_centre: i64,
    /// Decimal places of the currency.
    pub(crate) currency_digits: u32,
}

/// The reference of the allocation that belongs to a document key.
pub(crate) fn reference(document_key: &str) -> String {
    format!("{document_key}/cost")
}

/// The allocation of a key, when there is one.
pub(crate) async fn find(rest: &Rest, document_key: &str) -> Result<Option<Document>, ErpError> {
    // Of two for a moment, see `create_alone`, the posted one stays.
    Ok(find_two(rest, document_key).await?.into_iter().min_by_key(|document| document.state != "posted"))
}

/// At most two allocations of a key, the older one first.
async fn find_two(rest: &Rest, document_key: &str) -> Result<Vec<Document>, ErpError> {
    let domain = json!([["description", "=", reference(document_key)]]);
    let page = rest.search(Search { model: MODEL, domain, fields: &FIELDS, limit: 2 }).await?;
    Ok(page.records.iter().filter_map(document).collect())
}

/// Whether a shipment that is done has a cost and no allocation yet.
pub(crate) async fn is_missing(rest: &Rest, target: &Target, shipment: &Shipment) -> Result<bool, ErpError> {
    Ok(!costs(target, shipment)?.is_empty() && find(rest, &shipment.reference).await?.is_none())
}

/// Makes the allocation of a shipment that is done, or finishes the one that is there. `None` when it has no cost. The flag
/// tells whether all had been there already.
pub(crate) async fn ensure(
    rest: &Rest,
    target: &Target,
    shipment: &Shipment,
    shipment_is_new: bool,
) -> Result<(Option<Document>, bool), ErpError> {
    let costs = costs(target, shipment)?;
    if costs.is_empty() {
        return Ok((None, true));
    }
    // A shipment that was made a moment ago cannot have an allocation yet.
    let found = if shipment_is_new { None } else { find(rest, &shipment.reference).await? };
    let draft = match found {
        Some(document) if document.state == "posted" => return Ok((Some(document), true)),
        Some(document) => document,
        None if shipment_is_new => create(rest, target, shipment, &costs).await?,
        None => create_alone(rest, target, shipment, &costs).await?,
    };
    let id = id_of(&draft)?;
    let posted = rest.press(MODEL, id, "post", &FIELDS).await?;
    Ok((Some(read_back(&posted)?), false))
}

/// What each cost centre bears through a shipment and its allocation together.
pub(crate) async fn borne(rest: &Rest, shipment: &Shipment) -> Result<Vec<Allocation>, ErpError> {
    let mut borne = borne_by(rest, &[shipment]).await?;
    Ok(borne.pop().unwrap_or_default())
}

/// The same of several shipments, in their order, with one question for many of them.
pub(crate) async fn borne_by(rest: &Rest, shipments: &[&Shipment]) -> Result<Vec<Vec<Allocation>>, ErpError> {
    let mut sums: Vec<Sums> = vec![Sums::new(); shipments.len()];
    for part in parts(shipments) {
        let mut owners: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, shipment) in shipments.iter().enumerate().skip(part.start).take(part.len()) {
            let moves = shipment.moves.iter().map(|part| format!("stock.move,{}", part.id));
            for known in moves.chain([reference(&shipment.reference)]) {
                owners.entry(known).or_default().push(number);
            }
        }
        add_up(rest, &owners, &mut sums).await?;
    }
    let borne = |sums: Sums| {
        let borne = sums.into_iter().filter(|(_, amount)| !amount.is_zero());
        borne.map(|(cost_centre, amount)| Allocation { cost_centre, amount }).collect()
    };
    Ok(sums.into_iter().map(borne).collect())
}

/// Money by cost centre.
type Sums = BTreeMap<String, Decimal>;

/// Shipments that are asked for together: so many that the question stays short.
fn parts(shipments: &[&Shipment]) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut length) = (Vec::new(), 0, 0);
    for (number, shipment) in shipments.iter().enumerate() {
        let more = shipment.moves.len() + 1;
        if number > start && length + more > ASKED_MAX {
            parts.push(start..number);
            (start, length) = (number, 0);
        }
        length += more;
    }
    parts.push(start..shipments.len());
    parts
}

/// Adds the analytic lines of an account move.
fn add(entry: &Value, sums: &mut Sums) {
    for part in json::list(entry, "lines").iter().flat_map(|line| json::list(line, "analytic_lines")) {
        let amount = |side| json::decimal(part, side).unwrap_or_default();
        let code = json::text(part, "account.code").unwrap_or_default();
        *sums.entry(code.to_owned()).or_default() += amount("debit") - amount("credit");
    }
}

/// Adds the account moves to the sums of those that they belong to, page by page.
async fn add_up(rest: &Rest, owners: &BTreeMap<String, Vec<usize>>, sums: &mut [Sums]) -> Result<(), ErpError> {
    let (origins, references): (Vec<&String>, Vec<&String>) =
        owners.keys().partition(|key| key.starts_with("stock.move,"));
    let lines = ["analytic_lines.debit", "analytic_lines.credit", "analytic_lines.account.code"]
        .map(|field| format!("lines.{field}"));
    let fields: Vec<&str> = ["origin", "description"].into_iter().chain(lines.iter().map(String::as_str)).collect();
    let mut after = 0;
    loop {
        let wanted = json!(["OR", ["origin", "in", origins], ["description", "in", references]]);
        let domain = json!([wanted, ["id", ">", after]]);
        let records = rest.search(Search { model: MODEL, domain, fields: &fields, limit: MOVES_MAX }).await?.records;
        for entry in &records {
            let owned = |field| json::text(entry, field).and_then(|key| owners.get(key)).into_iter().flatten();
            // One that is both is one.
            let numbers: BTreeSet<usize> = owned("origin").chain(owned("description")).copied().collect();
            for number in numbers {
                if let Some(sums) = sums.get_mut(number) {
                    add(entry, sums);
                }
            }
        }
        match records.last().and_then(|record| json::id(record, "id")) {
            Some(last) if records.len() >= MOVES_MAX => after = last,
            _ => return Ok(()),
        }
    }
}

fn costs(target: &Target, shipment: &Shipment) -> Result<Costs, ErpError> {
    let mut costs = Costs::new();
    for part in shipment.done_moves() {
        // Tryton rounds each stock move by itself, half to even, and so must its counterpart.
        let cost = part.cost().round_dp_with_strategy(target.currency_digits, RoundingStrategy::MidpointNearestEven);
        if cost.is_zero() {
            continue;
        }
        let nowhere =
            || refused("the stock moved, but an item has no account for consumption in its category".to_owned());
        *costs.entry(part.account.ok_or_else(nowhere)?).or_default() += cost;
    }
    Ok(costs)
}

async fn create(rest: &Rest, target: &Target, shipment: &Shipment, costs: &Costs) -> Result<Document, ErpError> {
    let opposite = match shipment.direction {
        Direction::Consume => Direction::Return,
        Direction::Return => Direction::Consume,
    };
    let mut lines = Vec::new();
    for (account, cost) in costs {
        let mut analytic = sides(shipment.direction, *cost);
        analytic["account"] = json!(target.cost_centre);
        if let Some(day) = shipment.effective_date {
            analytic["date"] = json::typed_date(day);
        }
        let mut line = sides(shipment.direction, *cost);
        line["account"] = json!(account);
        line["analytic_lines"] = json!([["create", [analytic]]]);
        let mut balance = sides(opposite, *cost);
        balance["account"] = json!(account);
        lines.extend([line, balance]);
    }
    let mut record = json!({
        "journal": target.journal, "description": reference(&shipment.reference), "lines": [["create", lines]],
    });
    if let Some(day) = shipment.effective_date {
        record["date"] = json::typed_date(day);
        // Left alone, Tryton takes the period of its today, which does not fit a day of another month.
        if let Some(period) = period_of(rest, day).await? {
            record["period"] = json!(period);
        }
    }
    read_back(&rest.create(MODEL, &record, &FIELDS).await?)
}

/// Creates an allocation that another instance may create as well, where a document of several events was half done. Each
/// looks again when its own is there, so at least one of two sees both, and takes its own back before it is posted.
async fn create_alone(rest: &Rest, target: &Target, shipment: &Shipment, costs: &Costs) -> Result<Document, ErpError> {
    let created = create(rest, target, shipment, costs).await?;
    if find_two(rest, &shipment.reference).await?.len() < 2 {
        return Ok(created);
    }
    rest.delete(MODEL, id_of(&created)?).await?;
    Err(ErpError::InDoubt { reason: "another instance allocates the cost at this moment".to_owned() })
}

fn id_of(allocation: &Document) -> Result<i64, ErpError> {
    allocation.id.parse().map_err(|_| transient("the allocation has no usable id"))
}

/// The open period that a day is in.
async fn period_of(rest: &Rest, day: Date) -> Result<Option<i64>, ErpError> {
    let typed = json::typed_date(day);
    let domain = json!([
        ["start_date", "<=", typed],
        ["end_date", ">=", typed],
        ["type", "=", "standard"],
        ["state", "=", "open"],
    ]);
    let page = rest.search(Search { model: "account.period", domain, fields: &["state"], limit: 1 }).await?;
    Ok(page.records.first().and_then(|record| json::id(record, "id")))
}

/// Debit for a cost, credit for a cost given back.
fn sides(direction: Direction, cost: Decimal) -> Value {
    let (debit, credit) = match direction {
        Direction::Consume => (cost, Decimal::ZERO),
        Direction::Return => (Decimal::ZERO, cost),
    };
    json!({"debit": json::typed_decimal(debit), "credit": json::typed_decimal(credit)})
}

fn document(record: &Value) -> Option<Document> {
    Some(Document {
        kind: MODEL.to_owned(),
        id: json::id(record, "id")?.to_string(),
        number: json::text(record, "number").map(str::to_owned),
        state: json::text(record, "state")?.to_owned(),
    })
}

fn read_back(record: &Value) -> Result<Document, ErpError> {
    let unreadable = || ErpError::InDoubt { reason: "the answer holds no account move".to_owned() };
    document(record).ok_or_else(unreadable)
}
