//! What is read of each stream: model, fields, conditions.
//!
//! Which cost centre pays for which department is in Tryton's analytic rules: a rule with a party and no account, where the
//! code of the party is that of the department's stock location. They are joined to locations and cost centres here.

use connector::erp::{Change, ErpError, Stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::json;
use crate::rest::{Rest, Search};

/// How a stream is read. Lists are texts with spaces between the names.
pub(crate) struct Source {
    pub(crate) model: &'static str,
    pub(crate) fields: &'static str,
    /// Prefixes of related records whose changes count as changes of the record.
    related: &'static str,
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

/// How `stream` is read.
pub(crate) fn source(stream: Stream) -> Source {
    match stream {
        Stream::Items => ITEMS,
        Stream::Suppliers => SUPPLIERS,
        Stream::Locations => LOCATIONS,
        Stream::CostCentres => COST_CENTRES,
        Stream::Employees => EMPLOYEES,
        Stream::PurchaseOrders => PURCHASE_ORDERS,
        Stream::Receipts => RECEIPTS,
    }
}

/// The rules of departments.
pub(crate) async fn rules(rest: &Rest) -> Result<Vec<Value>, ErpError> {
    let domain = json!([["party", "!=", null], ["account", "=", null]]);
    let page = rest.search(Search { model: RULES, domain, fields: &RULE_FIELDS, limit: RULES_MAX }).await?;
    Ok(page.records)
}

/// Whether a rule changed at or after a moment, in seconds since 1970.
pub(crate) fn changed_after(rule: &Value, since: i64) -> bool {
    let entries = json::list(rule, "analytic_accounts");
    let stamps = std::iter::once(rule).chain(entries);
    let stamps = stamps.flat_map(|record| ["write_date", "create_date"].map(|stamp| json::timestamp(record, stamp)));
    stamps.flatten().any(|stamp| stamp.as_second() >= since)
}

impl Source {
    /// Whether the rules of departments are needed.
    pub(crate) const fn joins_rules(&self) -> bool {
        self.join.is_some()
    }

    /// The search domain of a page: ids behind `after`, changes later than `since` (seconds since 1970; all when `None`).
    pub(crate) fn domain(&self, after: i64, since: Option<i64>) -> Value {
        let mut domain = (self.only)();
        domain.push(json!(["id", ">", after]));
        if let Some(since) = since.and_then(|second| Timestamp::from_second(second).ok()) {
            let since = json::typed_timestamp(since);
            let mut any = vec![json!("OR")];
            for path in std::iter::once("").chain(self.related.split_whitespace()) {
                for stamp in ["write_date", "create_date"] {
                    any.push(json!([format!("{path}{stamp}"), ">", since]));
                }
            }
            domain.push(Value::Array(any));
        }
        Value::Array(domain)
    }

    /// A record without its natural key cannot be an event; people see it in the ERP, and giving it a code is a change.
    pub(crate) fn change(&self, mut record: Value, rules: &[Value]) -> Option<Change> {
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

const ITEMS: Source = Source {
    model: "product.product",
    fields: "code active cost_price write_date create_date cost_prices.write_date cost_prices.create_date \
        identifiers.type identifiers.code identifiers.write_date identifiers.create_date \
        template.name template.type template.active template.lot_required template.expiration_state \
        template.default_uom.symbol template.default_uom.factor template.purchase_uom.symbol template.purchase_uom.factor \
        template.categories.name template.account_category.name template.write_date template.create_date \
        template.product_suppliers.code template.product_suppliers.sequence template.product_suppliers.party.code \
        template.product_suppliers.write_date template.product_suppliers.create_date",
    related: "template. identifiers. template.product_suppliers. cost_prices.",
    only: anyone,
    key: "code",
    join: None,
};

/// Tryton does not mark a party as a supplier; being somebody's supplier makes it one.
const SUPPLIERS: Source = Source {
    model: "purchase.product_supplier",
    fields: "party.code party.name party.active party.write_date party.create_date party.tax_identifier.code \
        party.identifiers.type party.identifiers.code party.identifiers.write_date party.identifiers.create_date \
        party.supplier_payment_term.name party.supplier_currency.code write_date create_date",
    related: "party. party.identifiers.",
    only: Vec::new,
    key: "party.code",
    join: None,
};

const LOCATIONS: Source = Source {
    model: "stock.location",
    fields: "code name type active parent.code warehouse.code write_date create_date",
    related: "",
    only: || [anyone(), vec![json!(["type", "in", ["storage", "warehouse"]]), json!(["code", "!=", null])]].concat(),
    key: "code",
    join: Some(End::Department),
};

const COST_CENTRES: Source = Source {
    model: "analytic_account.account",
    fields: "code name active parent.code write_date create_date",
    related: "",
    only: || [anyone(), vec![json!(["type", "=", "normal"])]].concat(),
    key: "code",
    join: Some(End::CostCentre),
};

const EMPLOYEES: Source = Source {
    model: "company.employee",
    fields: "party.code party.name party.write_date party.create_date active start_date end_date write_date create_date",
    related: "party.",
    only: anyone,
    key: "party.code",
    join: None,
};

const PURCHASE_ORDERS: Source = Source {
    model: "purchase.purchase",
    fields: "number reference state party.code currency.code untaxed_amount purchase_date revision \
        confirmed_by.party.code quoted_by.party.code warehouse.code payment_term.name write_date create_date \
        lines.type lines.sequence lines.product.code lines.quantity lines.unit.symbol lines.unit_price \
        lines.delivery_date lines.product_supplier.code lines.write_date lines.create_date",
    related: "lines.",
    only: || {
        vec![json!(["state", "in", ["confirmed", "processing", "done", "cancelled"]]), json!(["number", "!=", null])]
    },
    key: "number",
    join: None,
};

const RECEIPTS: Source = Source {
    model: "stock.shipment.in",
    fields: "number reference state supplier.code effective_date warehouse.code received_by.party.code write_date \
        create_date incoming_moves.product.code incoming_moves.quantity incoming_moves.unit.symbol incoming_moves.state \
        incoming_moves.lot.number incoming_moves.lot.expiration_date incoming_moves.origin \
        incoming_moves.purchase.number incoming_moves.purchase.lines incoming_moves.purchase.shipment_state \
        incoming_moves.to_location.code incoming_moves.effective_date incoming_moves.write_date \
        incoming_moves.create_date",
    related: "moves.",
    only: || vec![json!(["state", "in", ["received", "done"]]), json!(["number", "!=", null])],
    key: "number",
    join: None,
};

fn anyone() -> Vec<Value> {
    vec![json!(["active", "in", [true, false]])]
}
