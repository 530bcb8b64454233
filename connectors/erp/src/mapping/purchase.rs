//! Purchase orders and goods receipts.

use jiff::civil::Date as CivilDate;
use jiff::tz::TimeZone;
use schemas::{Action, GoodsReceipt, PurchaseOrder, PurchaseOrderKind, PurchaseOrderLine, ReceiptCondition, Timestamp};
use serde_json::Value;
use tryton::{date, text};

use super::MapError;
use super::envelope::{Envelope, day};
use crate::ErpConfig;

/// An order from its approval on. Tryton's `confirmed` is the approval; an order that was reopened and approved again has a
/// revision. An order that is cancelled before it was ever approved has no purchase date and is of no interest.
pub(super) fn order(config: &ErpConfig, envelope: &Envelope<'_>) -> Result<Option<PurchaseOrder>, MapError> {
    let body = envelope.body();
    let order_revision = body["revision"].as_i64().and_then(|revision| i32::try_from(revision).ok()).unwrap_or(0);
    let (kind, action) = match text(body, "state") {
        Some("confirmed" | "processing" | "done") if order_revision == 0 => {
            (PurchaseOrderKind::Approved, Action::Create)
        }
        Some("confirmed" | "processing" | "done") => (PurchaseOrderKind::Changed, Action::Update),
        Some("cancelled") if date(body, "purchase_date").is_some() => (PurchaseOrderKind::Cancelled, Action::Cancel),
        _ => return Ok(None),
    };
    let supplier_id = envelope.text("party.code").ok_or_else(|| envelope.missing("party.code"))?;
    let lines = body["lines"].as_array().into_iter().flatten().enumerate();
    let lines = lines.filter(|(_, line)| text(line, "product.code").is_some());
    let lines = lines.map(|(index, line)| order_line(config, envelope, index, line)).collect::<Result<_, _>>()?;
    Ok(Some(PurchaseOrder {
        meta: envelope.meta::<PurchaseOrder>(envelope.key(), 0, action, Some(kind.as_str())),
        po_number: envelope.key().to_owned(),
        kind,
        order_revision,
        supplier_id,
        buyer_ref: envelope.text("quoted_by.party.code"),
        approved_by: envelope.text("confirmed_by.party.code"),
        approved_at: date(body, "purchase_date").and_then(midnight),
        currency: envelope.text("currency.code").unwrap_or_else(|| config.currency.clone()),
        total: envelope.money(body, "untaxed_amount")?,
        terms: envelope.text("payment_term.name"),
        ship_to: envelope.text("warehouse.code"),
        lines,
    }))
}

fn order_line(
    config: &ErpConfig,
    envelope: &Envelope<'_>,
    index: usize,
    line: &Value,
) -> Result<PurchaseOrderLine, MapError> {
    Ok(PurchaseOrderLine {
        line: number(index),
        item_id: text(line, "product.code").map(str::to_owned),
        vendor_item: text(line, "product_supplier.code").map(str::to_owned),
        quantity: envelope.quantity(line, "quantity")?,
        uom: text(line, "unit.symbol").map(|symbol| config.tryton.unit_code(symbol).to_owned()),
        unit_price: envelope.money(line, "unit_price")?,
        need_by: day(line, "delivery_date"),
        ..PurchaseOrderLine::default()
    })
}

/// One event for each line of a receipt that was really received.
pub(super) fn receipts(config: &ErpConfig, envelope: &Envelope<'_>) -> Result<Vec<GoodsReceipt>, MapError> {
    let body = envelope.body();
    let moves = body["incoming_moves"].as_array().into_iter().flatten().enumerate();
    let received = moves.filter(|(_, part)| text(part, "state").is_some_and(|state| state != "cancelled"));
    received.map(|(index, part)| receipt(config, envelope, index, part)).collect()
}

fn receipt(config: &ErpConfig, envelope: &Envelope<'_>, index: usize, part: &Value) -> Result<GoodsReceipt, MapError> {
    let body = envelope.body();
    let id = format!("{}/{}", envelope.key(), part["id"]);
    let position = i32::try_from(index).unwrap_or(i32::MAX);
    Ok(GoodsReceipt {
        meta: envelope.meta::<GoodsReceipt>(&id, position, Action::Create, None),
        po_number: text(part, "purchase.number").map_or_else(|| id.clone(), str::to_owned),
        receipt_id: id,
        po_line: order_line_number(part),
        supplier_id: envelope.text("supplier.code").ok_or_else(|| envelope.missing("supplier.code"))?,
        item_id: text(part, "product.code").map(str::to_owned),
        quantity: envelope.quantity(part, "quantity")?,
        uom: text(part, "unit.symbol").map(|symbol| config.tryton.unit_code(symbol).to_owned()),
        lot: text(part, "lot.number").map(str::to_owned),
        expiry: day(part, "lot.expiration_date"),
        location: text(part, "to_location.code").map(str::to_owned),
        received_at: date(part, "effective_date").or_else(|| date(body, "effective_date")).and_then(midnight),
        received_by: envelope.text("received_by.party.code"),
        condition: ReceiptCondition::Unknown,
        final_delivery: text(part, "purchase.shipment_state") == Some("received"),
        ..GoodsReceipt::default()
    })
}

/// The number that the order's event gives the line which this move delivers.
fn order_line_number(part: &Value) -> Option<i32> {
    let line: i64 = text(part, "origin")?.strip_prefix("purchase.line,")?.parse().ok()?;
    let lines = part["purchase"]["lines"].as_array()?;
    let index = lines.iter().position(|id| id.as_i64() == Some(line) || id["id"].as_i64() == Some(line))?;
    Some(number(index))
}

pub(super) fn number(index: usize) -> i32 {
    i32::try_from(index + 1).unwrap_or(i32::MAX)
}

/// ERPs keep days here, not moments.
pub(super) fn midnight(day: CivilDate) -> Option<Timestamp> {
    let moment = TimeZone::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight())).ok()?;
    Some(Timestamp::from_micros(moment.as_microsecond()))
}
