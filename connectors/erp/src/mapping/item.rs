//! Items.

use schemas::{Action, Code, Decimal, MasterItem, Money, Pack, RecordStatus};
use serde_json::Value;
use tryton::{boolean, decimal, text};

use super::MapError;
use super::envelope::Envelope;
use crate::ErpConfig;

/// Digits of a GTIN as events carry it (GS1 General Specifications 3.3.2).
const GTIN_DIGITS: usize = 14;
/// How much the unit of purchase holds, in what all units of its kind are counted in.
const FACTOR: &str = "template.purchase_uom.factor";

/// The identifiers of an item, sorted by what they are.
#[derive(Default)]
struct Identifiers {
    gtins: Vec<String>,
    catalogue: Option<String>,
    codes: Vec<Code>,
}

pub(super) fn item(config: &ErpConfig, envelope: &Envelope<'_>) -> Result<MasterItem, MapError> {
    let body = envelope.body();
    let symbol = text(body, "template.default_uom.symbol");
    let symbol = symbol.ok_or_else(|| envelope.missing("template.default_uom.symbol"))?;
    let mut identifiers = identifiers(body);
    let packs = packs(config, envelope, symbol, &mut identifiers.gtins)?;
    let categories = categories(body);
    let has = |name: &String| categories.contains(&name.as_str());
    let flags = [config.consignment_category.as_str(), config.implant_category.as_str()];
    let category = categories.iter().find(|name| !flags.contains(name)).copied();
    let supplier = preferred_supplier(body);
    let price = envelope.money(body, "cost_price")?.filter(|price| !price.is_zero());
    Ok(MasterItem {
        meta: envelope.meta::<MasterItem>(envelope.key(), 0, Action::Snapshot, None),
        item_id: envelope.key().to_owned(),
        erp_id: envelope.erp_id(),
        description: envelope.text("template.name").unwrap_or_default(),
        status: status(body),
        item_type: envelope.text("template.type"),
        category: category.or_else(|| text(body, "template.account_category.name")).map(str::to_owned),
        base_uom: config.tryton.unit_code(symbol).to_owned(),
        packs,
        codes: identifiers.codes,
        mfr_catalogue: identifiers.catalogue,
        gtins: identifiers.gtins,
        supplier_id: supplier.and_then(|supplier| text(supplier, "party.code")).map(str::to_owned),
        supplier_item: supplier.and_then(|supplier| text(supplier, "code")).map(str::to_owned),
        price: price.map(|amount| Money { amount, currency: config.currency.clone() }),
        lot_tracked: body["template"]["lot_required"].as_array().is_some_and(|places| !places.is_empty()),
        expires: text(body, "template.expiration_state").is_some_and(|state| state != "none"),
        consignment: has(&config.consignment_category),
        implant: has(&config.implant_category),
        ..MasterItem::default()
    })
}

/// A product is active only when its template is.
fn status(body: &Value) -> RecordStatus {
    let active = ["active", "template.active"].iter().all(|path| boolean(body, path).unwrap_or(true));
    if active { RecordStatus::Active } else { RecordStatus::Inactive }
}

fn identifiers(body: &Value) -> Identifiers {
    let mut sorted = Identifiers::default();
    for identifier in body["identifiers"].as_array().into_iter().flatten() {
        let Some(code) = text(identifier, "code") else { continue };
        match text(identifier, "type") {
            Some("ean" | "upc" | "isbn") => sorted.gtins.extend(gtin14(code)),
            Some("mpn") if sorted.catalogue.is_none() => sorted.catalogue = Some(code.to_owned()),
            // An identifier without a type is what Tryton knows no check for: the HIBC or ICCBBA code of the label.
            kind => sorted.codes.push(Code {
                code: code.to_owned(),
                system: kind.map(str::to_uppercase),
                ..Code::default()
            }),
        }
    }
    sorted
}

/// The unit in which the item is bought is its pack. The first GTIN is that of the base unit, the last that of the pack.
fn packs(
    config: &ErpConfig,
    envelope: &Envelope<'_>,
    base: &str,
    gtins: &mut Vec<String>,
) -> Result<Vec<Pack>, MapError> {
    let body = envelope.body();
    let Some(symbol) = text(body, "template.purchase_uom.symbol").filter(|symbol| *symbol != base) else {
        return Ok(Vec::new());
    };
    let base_factor = decimal(body, "template.default_uom.factor").filter(|factor| !factor.is_zero());
    let quantity = envelope.quotient(body, FACTOR, base_factor.unwrap_or(Decimal::ONE))?;
    let gtin = if gtins.len() > 1 { gtins.pop() } else { None };
    Ok(vec![Pack { uom: config.tryton.unit_code(symbol).to_owned(), quantity, gtin, price: None }])
}

fn categories(body: &Value) -> Vec<&str> {
    let categories = body["template"]["categories"].as_array().into_iter().flatten();
    categories.filter_map(|category| text(category, "name")).collect()
}

/// The first in Tryton's order: by sequence, those without one last, then by age.
fn preferred_supplier(body: &Value) -> Option<&Value> {
    let suppliers = body["template"]["product_suppliers"].as_array().into_iter().flatten();
    suppliers.min_by_key(|supplier| {
        (supplier["sequence"].as_i64().unwrap_or(i64::MAX), supplier["id"].as_i64().unwrap_or(i64::MAX))
    })
}

pub(super) fn gtin14(code: &str) -> Option<String> {
    let digits = code.len() <= GTIN_DIGITS && code.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| format!("{code:0>GTIN_DIGITS$}"))
}
