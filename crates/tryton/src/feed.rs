//! The change feed by polling: who was written or created since the last sweep, page by page in the order of ids.
//!
//! A sweep asks for everything since the moment at which the last sweep began, by the server's own clock, less an overlap
//! that covers transactions which were not yet committed then. So nothing is missed, and some records come twice.
//! Tryton keeps no trace of deletions, but hospitals deactivate records, and inactive ones are read.
//!
//! Which cost centre pays for which department is in Tryton's analytic rules: a rule with a party and no account, where the
//! code of the party is that of the department's stock location. They are joined to locations and cost centres here.

use connector::erp::{Change, ChangePage, Cursor, ErpError, Stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::TrytonConfig;
use crate::json;
use crate::rest::{Rest, Search};

/// Where a stream is: the sweep that is under way, and how far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// Changes after this moment are wanted, in seconds since 1970; all records when `None`.
    since: Option<i64>,
    /// When the sweep under way began, in seconds since 1970; `None` between sweeps.
    began: Option<i64>,
    /// The last id that was read in this sweep.
    after: i64,
}

/// How a stream is read.
struct Source {
    model: &'static str,
    fields: &'static [&'static str],
    /// Paths of related records whose changes count as changes of the record.
    related: &'static [&'static str],
    /// Conditions beside the moment of the change.
    only: fn() -> Vec<Value>,
    /// Path of the natural key.
    key: &'static str,
    /// Which end of the rules of departments is joined to a record, if any.
    join: Option<End>,
}

/// The two ends of a rule that says which cost centre pays for a department.
#[derive(Clone, Copy)]
enum End {
    /// The record is a department: it gets `department`, its rule.
    Department,
    /// The record is a cost centre: it gets `departments`, the rules that name it.
    CostCentre,
}

/// The rules of departments.
const RULES: &str = "analytic_account.rule";
const RULE_FIELDS: [&str; 6] = [
    "party.code",
    "analytic_accounts.account.code",
    "analytic_accounts.write_date",
    "analytic_accounts.create_date",
    "write_date",
    "create_date",
];
/// More rules than any hospital has departments.
const RULES_MAX: usize = 5_000;

/// Reads the page behind `cursor`.
pub(crate) async fn page(
    rest: &Rest,
    config: &TrytonConfig,
    stream: Stream,
    cursor: Option<&Cursor>,
) -> Result<ChangePage, ErpError> {
    let source = source(stream);
    let mut position = cursor.map(|cursor| read(stream, cursor)).unwrap_or_default();
    let mut rules = Vec::new();
    if source.join.is_some() {
        rules = departments(rest).await?;
        // A changed rule changes records that do not know of it, and there are few of them: read them all.
        position.since = position.since.filter(|since| rules.iter().all(|rule| !changed_after(rule, *since)));
    }
    let search = Search {
        model: source.model,
        domain: source.domain(&position),
        fields: source.fields,
        limit: config.page_records,
    };
    let page = rest.search(search).await?;
    let more = page.records.len() >= config.page_records;
    let last = page.records.last().and_then(|record| json::id(record, "id"));
    let next = position.next(last.filter(|_| more), page.answered_at, i64::from(config.overlap_s));
    let changes = page.records.into_iter().filter_map(|record| source.change(record, &rules)).collect();
    Ok(ChangePage { changes, next: write(&next), more })
}

async fn departments(rest: &Rest) -> Result<Vec<Value>, ErpError> {
    let domain = json!([["party", "!=", null], ["account", "=", null]]);
    let page = rest.search(Search { model: RULES, domain, fields: &RULE_FIELDS, limit: RULES_MAX }).await?;
    Ok(page.records)
}

fn changed_after(rule: &Value, since: i64) -> bool {
    let entries = json::list(rule, "analytic_accounts");
    let stamps = std::iter::once(rule).chain(entries);
    let stamps = stamps.flat_map(|record| ["write_date", "create_date"].map(|stamp| json::timestamp(record, stamp)));
    stamps.flatten().any(|stamp| stamp.as_second() >= since)
}

impl Position {
    /// The position behind a page: further in the sweep when there is a `last` id, else at the start of the next sweep.
    fn next(&self, last: Option<i64>, answered_at: Option<Timestamp>, overlap_s: i64) -> Self {
        let began = self.began.or(answered_at.map(Timestamp::as_second));
        match last {
            Some(after) => Self { since: self.since, began, after },
            None => {
                let since = began.map(|began| began - overlap_s);
                // A server that does not say when it answered makes every sweep start where the last one did.
                Self { since: since.max(self.since), began: None, after: 0 }
            }
        }
    }
}

impl Source {
    fn domain(&self, position: &Position) -> Value {
        let mut domain = (self.only)();
        domain.push(json!(["id", ">", position.after]));
        if let Some(since) = position.since.and_then(|second| Timestamp::from_second(second).ok()) {
            let since = json::typed_timestamp(since);
            let mut any = vec![json!("OR")];
            for path in std::iter::once("").chain(self.related.iter().copied()) {
                for stamp in ["write_date", "create_date"] {
                    any.push(json!([format!("{path}{stamp}"), ">", since]));
                }
            }
            domain.push(Value::Array(any));
        }
        Value::Array(domain)
    }

    /// A record without its natural key cannot be an event; people see it in the ERP, and giving it a code is a change.
    fn change(&self, mut record: Value, rules: &[Value]) -> Option<Change> {
        let Some(key) = json::text(&record, self.key).map(str::to_owned) else {
            tracing::warn!(model = self.model, id = json::id(&record, "id"), "a record has no code; left out");
            return None;
        };
        let pays = |rule: &&Value| {
            json::list(rule, "analytic_accounts").iter().any(|entry| json::text(entry, "account.code") == Some(&key))
        };
        match self.join {
            Some(End::Department) => {
                let rule = rules.iter().find(|rule| json::text(rule, "party.code") == Some(&key));
                record["department"] = rule.cloned().unwrap_or_default();
            }
            Some(End::CostCentre) => record["departments"] = rules.iter().filter(pays).cloned().collect(),
            None => {}
        }
        let changed_at = json::timestamp(&record, "write_date").or_else(|| json::timestamp(&record, "create_date"));
        Some(Change { key, changed_at, body: record })
    }
}

fn read(stream: Stream, cursor: &Cursor) -> Position {
    serde_json::from_str(&cursor.0).unwrap_or_else(|_| {
        // Reading everything again is always right, only slower.
        tracing::warn!(%stream, "the stored cursor is not of this adapter; reading the stream from its start");
        Position::default()
    })
}

fn write(position: &Position) -> Cursor {
    Cursor(json!(position).to_string())
}

fn anyone() -> Vec<Value> {
    vec![json!(["active", "in", [true, false]])]
}

fn source(stream: Stream) -> Source {
    match stream {
        Stream::Items => Source {
            model: "product.product",
            fields: &[
                "code",
                "active",
                "cost_price",
                "write_date",
                "create_date",
                "identifiers.type",
                "identifiers.code",
                "template.name",
                "template.type",
                "template.active",
                "template.list_price",
                "template.lot_required",
                "template.purchasable",
                "template.purchase_uom.symbol",
                "template.purchase_uom.factor",
                "template.expiration_state",
                "template.default_uom.symbol",
                "template.default_uom.factor",
                "template.categories.name",
                "template.account_category.name",
                "template.product_suppliers.code",
                "template.product_suppliers.sequence",
                "template.product_suppliers.party.code",
            ],
            related: &["template.", "identifiers.", "template.product_suppliers.", "cost_prices."],
            only: anyone,
            key: "code",
            join: None,
        },
        // Tryton does not mark a party as a supplier; being somebody's supplier makes it one.
        Stream::Suppliers => Source {
            model: "purchase.product_supplier",
            fields: &[
                "party.code",
                "party.name",
                "party.active",
                "party.write_date",
                "party.create_date",
                "party.tax_identifier.code",
                "party.identifiers.type",
                "party.identifiers.code",
                "party.supplier_payment_term.name",
                "currency.code",
                "write_date",
                "create_date",
            ],
            related: &["party.", "party.identifiers."],
            only: Vec::new,
            key: "party.code",
            join: None,
        },
        Stream::Locations => Source {
            model: "stock.location",
            fields: &["code", "name", "type", "active", "parent.code", "warehouse.code", "write_date", "create_date"],
            related: &[],
            only: || {
                [anyone(), vec![json!(["type", "in", ["storage", "warehouse"]]), json!(["code", "!=", null])]].concat()
            },
            key: "code",
            join: Some(End::Department),
        },
        Stream::CostCentres => Source {
            model: "analytic_account.account",
            fields: &["code", "name", "active", "parent.code", "write_date", "create_date"],
            related: &[],
            only: || [anyone(), vec![json!(["type", "=", "normal"])]].concat(),
            key: "code",
            join: Some(End::CostCentre),
        },
        Stream::Employees => Source {
            model: "company.employee",
            fields: &["party.code", "party.name", "active", "start_date", "end_date", "write_date", "create_date"],
            related: &["party."],
            only: anyone,
            key: "party.code",
            join: None,
        },
        Stream::PurchaseOrders => purchase_orders(),
        Stream::Receipts => receipts(),
    }
}

fn purchase_orders() -> Source {
    Source {
        model: "purchase.purchase",
        fields: &[
            "number",
            "reference",
            "state",
            "party.code",
            "currency.code",
            "untaxed_amount",
            "purchase_date",
            "revision",
            "confirmed_by.party.code",
            "quoted_by.party.code",
            "warehouse.code",
            "payment_term.name",
            "write_date",
            "create_date",
            "lines.type",
            "lines.sequence",
            "lines.product.code",
            "lines.quantity",
            "lines.unit.symbol",
            "lines.unit_price",
            "lines.delivery_date",
            "lines.product_supplier.code",
        ],
        related: &["lines."],
        only: || {
            vec![
                json!(["state", "in", ["confirmed", "processing", "done", "cancelled"]]),
                json!(["number", "!=", null]),
            ]
        },
        key: "number",
        join: None,
    }
}

fn receipts() -> Source {
    Source {
        model: "stock.shipment.in",
        fields: &[
            "number",
            "reference",
            "state",
            "supplier.code",
            "effective_date",
            "warehouse.code",
            "received_by.party.code",
            "write_date",
            "create_date",
            "incoming_moves.product.code",
            "incoming_moves.quantity",
            "incoming_moves.unit.symbol",
            "incoming_moves.lot.number",
            "incoming_moves.lot.expiration_date",
            "incoming_moves.state",
            "incoming_moves.origin",
            "incoming_moves.purchase.number",
            "incoming_moves.purchase.lines",
            "incoming_moves.purchase.shipment_state",
            "incoming_moves.to_location.code",
            "incoming_moves.effective_date",
        ],
        related: &["moves."],
        only: || vec![json!(["state", "in", ["received", "done"]]), json!(["number", "!=", null])],
        key: "number",
        join: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{Position, read, source, write};
    use connector::erp::{Cursor, Stream};
    use jiff::Timestamp;

    fn at(second: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_sweep_ends_where_it_began_less_the_overlap() {
        let middle = Position::default().next(Some(200), at(1_000), 60);
        assert_eq!(middle, Position { since: None, began: Some(1_000), after: 200 });
        let end = middle.next(None, at(2_000), 60);
        assert_eq!(end, Position { since: Some(940), began: None, after: 0 });
        assert_eq!(end.next(None, at(3_000), 60).since, Some(2_940));
    }

    #[test]
    fn time_never_goes_back() {
        let position = Position { since: Some(940), began: None, after: 0 };
        assert_eq!(position.next(None, at(950), 60).since, Some(940));
        assert_eq!(position.next(None, None, 60).since, Some(940));
    }

    #[test]
    fn a_cursor_comes_back_as_it_went_and_a_foreign_one_starts_over() {
        let position = Position { since: Some(940), began: Some(1_000), after: 7 };
        assert_eq!(read(Stream::Items, &write(&position)), position);
        assert_eq!(read(Stream::Items, &Cursor("?".to_owned())), Position::default());
    }

    #[test]
    fn changes_of_what_belongs_to_a_record_count() {
        let domain = source(Stream::Items).domain(&Position { since: Some(0), began: None, after: 0 }).to_string();
        assert!(domain.contains("identifiers.write_date") && domain.contains("template.create_date"), "{domain}");
        let all = source(Stream::Items).domain(&Position::default()).to_string();
        assert!(!all.contains("write_date"), "{all}");
    }
}
