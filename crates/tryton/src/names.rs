//! From the names of a posting to Tryton's internal ids, few calls and bounded memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use connector::erp::{ErpError, Line, Posting, Refusal, RefusalCode};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::TrytonConfig;
use crate::cache::Cache;
use crate::json;
use crate::rest::{Rest, Search, refused};

/// More units than any ERP has.
const UNITS_MAX: usize = 2_000;
/// Days for which an open period is remembered.
const PERIOD_DAYS_MAX: usize = 800;
const ITEM_FIELDS: [&str; 4] = ["code", "default_uom", "default_uom.category", "template.lot_required"];

/// What a posting needs to know, all in Tryton's ids.
pub(crate) struct Resolved {
    pub(crate) from: Location,
    pub(crate) to: Location,
    pub(crate) lines: Vec<ResolvedLine>,
    /// The day to book on; `None` leaves it to Tryton, also when the asked day is in no open period.
    pub(crate) effective_date: Option<Date>,
}

pub(crate) struct ResolvedLine {
    pub(crate) item: Arc<Item>,
    pub(crate) unit: i64,
    pub(crate) lot: Option<i64>,
}

pub(crate) struct Item {
    pub(crate) id: i64,
    unit: i64,
    unit_category: Option<i64>,
    lot_required: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Location {
    pub(crate) id: i64,
    kind: String,
}

struct Unit {
    id: i64,
    symbol: String,
    name: String,
    category: Option<i64>,
}

/// The names that were resolved before.
pub(crate) struct Names {
    items: Cache<String, Arc<Item>>,
    lots: Cache<(i64, String), i64>,
    locations: Cache<String, Location>,
    cost_centres: Cache<String, i64>,
    journals: Cache<String, i64>,
    units: Cache<(), Arc<Vec<Unit>>>,
    open_days: Cache<Date, ()>,
}

impl Names {
    pub(crate) fn new(config: &TrytonConfig) -> Self {
        let names_max = config.names_max;
        Self {
            items: Cache::new(names_max),
            lots: Cache::new(names_max),
            locations: Cache::new(names_max),
            cost_centres: Cache::new(names_max),
            journals: Cache::new(16),
            units: Cache::new(2),
            open_days: Cache::new(PERIOD_DAYS_MAX),
        }
    }

    /// Forgets everything: a refusal may mean that something has changed in the ERP.
    pub(crate) fn forget(&self) {
        self.items.clear();
        self.lots.clear();
        self.locations.clear();
        self.cost_centres.clear();
        self.units.clear();
        self.open_days.clear();
    }

    pub(crate) async fn resolve(
        &self,
        rest: &Rest,
        config: &TrytonConfig,
        posting: &Posting,
    ) -> Result<Resolved, ErpError> {
        let from = self.location(rest, posting.from_location()).await?;
        let to = self.location(rest, posting.to_location()).await?;
        // What this posting needs is held here: the cache may be cleared by another posting in between.
        let known = self.fetch_items(rest, &posting.lines).await?;
        let mut items = Vec::new();
        for line in &posting.lines {
            let item = known.get(&line.item).cloned();
            let unknown = || no(RefusalCode::UnknownItem, format!("no item {}", line.item), line);
            items.push(item.ok_or_else(unknown)?);
        }
        let lots = self.fetch_lots(rest, &posting.lines, &items).await?;
        let mut lines = Vec::new();
        for (line, item) in posting.lines.iter().zip(items) {
            let lot = lot(&lots, line, &item, [&from, &to])?;
            let unit = self.unit(rest, config, line, &item).await?;
            lines.push(ResolvedLine { item, unit, lot });
        }
        let effective_date = self.bookable(rest, config, posting).await?;
        Ok(Resolved { from, to, lines, effective_date })
    }

    pub(crate) async fn cost_centre(&self, rest: &Rest, code: &str) -> Result<i64, ErpError> {
        if let Some(id) = self.cost_centres.get(code) {
            return Ok(id);
        }
        let domain = json!([["code", "=", code], ["type", "=", "normal"]]);
        let record = first(rest, "analytic_account.account", domain, &["code"]).await?;
        let id = record.as_ref().and_then(|record| json::id(record, "id"));
        let unknown = || Refusal::new(RefusalCode::UnknownCostCentre, format!("no cost centre {code}"), None);
        let id = id.ok_or_else(unknown)?;
        self.cost_centres.insert(code.to_owned(), id);
        Ok(id)
    }

    pub(crate) async fn journal(&self, rest: &Rest, code: &str) -> Result<i64, ErpError> {
        if let Some(id) = self.journals.get(code) {
            return Ok(id);
        }
        let record = first(rest, "account.journal", json!([["code", "=", code]]), &["code"]).await?;
        let id = record.as_ref().and_then(|record| json::id(record, "id"));
        let id = id.ok_or_else(|| refused(format!("the ERP has no journal {code}; set the configured journal")))?;
        self.journals.insert(code.to_owned(), id);
        Ok(id)
    }

    async fn location(&self, rest: &Rest, code: &str) -> Result<Location, ErpError> {
        if let Some(location) = self.locations.get(code) {
            return Ok(location);
        }
        let domain = json!([["code", "=", code], ["active", "in", [true, false]]]);
        let record = first(rest, "stock.location", domain, &["code", "type"]).await?;
        let location = record.as_ref().and_then(|record| {
            Some(Location { id: json::id(record, "id")?, kind: json::text(record, "type")?.to_owned() })
        });
        let unknown = || Refusal::new(RefusalCode::UnknownLocation, format!("no location {code}"), None);
        let location = location.ok_or_else(unknown)?;
        self.locations.insert(code.to_owned(), location.clone());
        Ok(location)
    }

    async fn fetch_items(&self, rest: &Rest, lines: &[Line]) -> Result<HashMap<String, Arc<Item>>, ErpError> {
        let mut known: HashMap<String, Arc<Item>> = HashMap::new();
        let mut codes: BTreeSet<&str> = BTreeSet::new();
        for line in lines {
            match self.items.get(&line.item) {
                Some(item) => drop(known.insert(line.item.clone(), item)),
                None => drop(codes.insert(&line.item)),
            }
        }
        if codes.is_empty() {
            return Ok(known);
        }
        let search = Search {
            model: "product.product",
            // What was used before an item was given up can still be posted, and brought back.
            domain: json!([["code", "in", codes], ["active", "in", [true, false]]]),
            fields: &ITEM_FIELDS,
            limit: codes.len() * 2,
        };
        for record in rest.search(search).await?.records {
            if let (Some(code), Some(item)) = (json::text(&record, "code"), item(&record)) {
                let item = Arc::new(item);
                self.items.insert(code.to_owned(), Arc::clone(&item));
                known.insert(code.to_owned(), item);
            }
        }
        Ok(known)
    }

    async fn fetch_lots(&self, rest: &Rest, lines: &[Line], items: &[Arc<Item>]) -> Result<Lots, ErpError> {
        let mut known = Lots::new();
        let mut numbers = BTreeSet::new();
        let mut products = BTreeSet::new();
        for (line, item) in lines.iter().zip(items) {
            let Some(number) = line.tracking() else { continue };
            let key = (item.id, number.to_owned());
            if let Some(id) = self.lots.get(&key) {
                known.insert(key, id);
            } else {
                numbers.insert(number);
                products.insert(item.id);
            }
        }
        if numbers.is_empty() {
            return Ok(known);
        }
        let search = Search {
            model: "stock.lot",
            domain: json!([["number", "in", numbers], ["product", "in", products]]),
            fields: &["number", "product"],
            limit: numbers.len() * products.len(),
        };
        for record in rest.search(search).await?.records {
            let fields = (json::id(&record, "product"), json::text(&record, "number"), json::id(&record, "id"));
            if let (Some(product), Some(number), Some(id)) = fields {
                self.lots.insert((product, number.to_owned()), id);
                known.insert((product, number.to_owned()), id);
            }
        }
        Ok(known)
    }

    async fn unit(&self, rest: &Rest, config: &TrytonConfig, line: &Line, item: &Item) -> Result<i64, ErpError> {
        let units = self.units(rest).await?;
        let symbol = config.unit_symbol(&line.uom);
        let named = |unit: &&Unit| unit.symbol == symbol || unit.name == line.uom;
        let fits = |unit: &&Unit| unit.id == item.unit || unit.category == item.unit_category;
        let found = units.iter().filter(named).find(fits).map(|unit| unit.id);
        found.ok_or_else(|| {
            let reason = format!("item {} cannot be counted in {}", line.item, line.uom);
            no(RefusalCode::InvalidPosting, reason, line)
        })
    }

    async fn units(&self, rest: &Rest) -> Result<Arc<Vec<Unit>>, ErpError> {
        if let Some(units) = self.units.get(&()) {
            return Ok(units);
        }
        let search = Search {
            model: "product.uom",
            domain: json!([]),
            fields: &["symbol", "name", "category"],
            limit: UNITS_MAX,
        };
        let units = rest.search(search).await?.records.iter().filter_map(unit).collect();
        let units = Arc::new(units);
        self.units.insert((), Arc::clone(&units));
        Ok(units)
    }

    /// The asked day when it is in an open period. A late usage of a closed period is booked today, as accountants do it.
    async fn bookable(&self, rest: &Rest, config: &TrytonConfig, posting: &Posting) -> Result<Option<Date>, ErpError> {
        let Some(day) = posting.effective_date else {
            return Ok(None);
        };
        if !config.allocate || self.open_days.get(&day).is_some() {
            return Ok(Some(day));
        }
        let typed = json::typed_date(day);
        let domain = json!([
            ["start_date", "<=", typed],
            ["end_date", ">=", typed],
            ["type", "=", "standard"],
            ["state", "=", "open"],
        ]);
        let search = Search { model: "account.period", domain, fields: &["state"], limit: 1 };
        let page = rest.search(search).await?;
        // The day is that of the place of use, and the ERP may still have the day before.
        let is_future = page.answered_at.is_some_and(|now| TimeZone::UTC.to_datetime(now).date() < day);
        if page.records.is_empty() || is_future {
            tracing::info!(%day, is_future, "no open period or not yet; the ERP books it on its today");
            return Ok(None);
        }
        self.open_days.insert(day, ());
        Ok(Some(day))
    }
}

/// Lots by item and number.
type Lots = HashMap<(i64, String), i64>;

fn lot(lots: &Lots, line: &Line, item: &Item, places: [&Location; 2]) -> Result<Option<i64>, ErpError> {
    match line.tracking() {
        Some(number) => {
            let id = lots.get(&(item.id, number.to_owned())).copied();
            let unknown = || no(RefusalCode::UnknownLot, format!("item {} has no lot {number}", line.item), line);
            Ok(Some(id.ok_or_else(unknown)?))
        }
        None if places.iter().any(|place| item.lot_required.contains(&place.kind)) => {
            Err(no(RefusalCode::MissingLot, format!("item {} moves only with a lot or serial number", line.item), line))
        }
        None => Ok(None),
    }
}

/// A refusal that one line caused.
fn no(code: RefusalCode, reason: String, line: &Line) -> ErpError {
    Refusal::new(code, reason, [line.line_key.clone()]).into()
}

async fn first(rest: &Rest, model: &str, domain: Value, fields: &[&str]) -> Result<Option<Value>, ErpError> {
    let page = rest.search(Search { model, domain, fields, limit: 1 }).await?;
    Ok(page.records.into_iter().next())
}

fn item(record: &Value) -> Option<Item> {
    let required = json::list(record, "template.lot_required").iter().filter_map(Value::as_str);
    Some(Item {
        id: json::id(record, "id")?,
        unit: json::id(record, "default_uom")?,
        unit_category: json::id(record, "default_uom.category"),
        lot_required: required.map(str::to_owned).collect(),
    })
}

fn unit(record: &Value) -> Option<Unit> {
    Some(Unit {
        id: json::id(record, "id")?,
        symbol: json::text(record, "symbol").unwrap_or_default().to_owned(),
        name: json::text(record, "name").unwrap_or_default().to_owned(),
        category: json::id(record, "category"),
    })
}
