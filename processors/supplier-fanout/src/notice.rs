//! What a supplier is told: nothing about a patient, and nothing about staff.

use crate::config::Profile;
use crate::input::FanoutInput;
use schemas::{
    Action, EnrichedUsage, EventMeta, GoodsReceipt, NoticeKind, NoticeState, PurchaseOrder, PurchaseOrderKind,
    SupplierNotice, Timestamp, UdiIssuer, UsageKind,
};
use serde_json::{Map, Value, json};

/// A notice on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Name of the profile it goes to.
    pub profile: String,
    /// Body, JSON. The same event always gives the same bytes.
    pub body: String,
    /// What it says, for the event about it. The action in its envelope is what it does to the fact.
    pub told: SupplierNotice,
}

/// Why no notice is due: the rule and a sentence.
type NotDue = (&'static str, String);

/// Whether a notice said that its fact is not so.
pub(crate) fn is_void(notice: &SupplierNotice) -> bool {
    matches!(notice.meta.action, Action::Cancel | Action::Retract)
}

/// Whether the supplier knows by one notice what the other would say.
pub(crate) fn says_the_same(one: &SupplierNotice, other: &SupplierNotice) -> bool {
    let content = |notice: &SupplierNotice| SupplierNotice {
        meta: EventMeta::default(),
        notice_id: String::new(),
        state: NoticeState::Delivered,
        response_status: None,
        ..notice.clone()
    };
    is_void(one) == is_void(other) && content(one) == content(other)
}

/// What the supplier is told of an event. What is taken back, or turns out not to concern the supplier, repeats what was told
/// before as void.
pub(crate) fn told(
    input: &FanoutInput,
    prior: Option<&SupplierNotice>,
    supplier_id: &str,
    profile: &Profile,
) -> Result<SupplierNotice, NotDue> {
    let action = input.meta().action;
    let told = match (input, prior) {
        (FanoutInput::Usage(_), Some(prior)) if input.takes_back() => return Ok(acting(prior.clone(), action)),
        (FanoutInput::Usage(usage), _) => of_usage(usage, supplier_id, profile),
        (FanoutInput::Order(order), _) => of_order(order, supplier_id),
        (FanoutInput::Receipt(receipt), _) => Ok(of_receipt(receipt, supplier_id)),
    };
    match (told, prior) {
        (Ok(told), _) => Ok(acting(told, action)),
        (Err(_), Some(prior)) => Ok(acting(prior.clone(), Action::Retract)),
        (Err(not_due), None) => Err(not_due),
    }
}

/// The body: the facts of `told`, and for an order its lines.
pub(crate) fn body(input: &FanoutInput, told: &SupplierNotice, reference: &str) -> String {
    let meta = input.meta();
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    put("type", json!(told.kind.as_str().to_ascii_lowercase().replace('_', "-")));
    put("reference", json!(reference));
    put("revision", json!(meta.revision));
    put("correction", Some(meta.correction).filter(|correction| *correction > 0).map_or(Value::Null, Value::from));
    put("action", json!(action(told.meta.action)));
    put("facility", json!(meta.facility_id));
    put("supplierId", json!(told.supplier_id));
    put("poNumber", json!(told.po_number));
    put("itemId", json!(told.item_id));
    put("supplierItem", json!(told.supplier_item));
    put("gtin", json!(told.gtin));
    put("lot", json!(told.lot));
    put("serial", json!(told.serial));
    put("quantity", json!(told.quantity.map(|quantity| quantity.normalize().to_string())));
    put("uom", json!(told.uom));
    put("location", json!(told.location));
    put("usedAt", json!(told.used_at_hour.map(|hour| hour.to_string())));
    match input {
        FanoutInput::Usage(_) => {}
        FanoutInput::Order(order) => order_facts(order, &mut put),
        FanoutInput::Receipt(receipt) => {
            put("receiptId", json!(receipt.receipt_id));
            put("poLine", json!(receipt.po_line));
            put("expiry", json!(receipt.expiry.map(|day| day.to_string())));
            put("receivedAt", json!(receipt.received_at.map(|time| time.to_string())));
            put("condition", json!(receipt.condition.as_str().to_ascii_lowercase()));
            put("sscc", json!(receipt.sscc));
            put("finalDelivery", json!(receipt.final_delivery));
        }
    }
    Value::Object(body).to_string()
}

/// A notice with what it does to its fact; the rest of its envelope comes with the event about it.
fn acting(told: SupplierNotice, action: Action) -> SupplierNotice {
    SupplierNotice { meta: EventMeta { action, ..EventMeta::default() }, ..told }
}

fn of_usage(usage: &EnrichedUsage, supplier_id: &str, profile: &Profile) -> Result<SupplierNotice, NotDue> {
    if usage.usage == UsageKind::Explanted {
        return Err(("usage.explanted", "an explanted article takes nothing from the stock".to_owned()));
    }
    let kind = match usage.consigned {
        true => NoticeKind::ConsignmentUsage,
        false if profile.wants(NoticeKind::VmiUsage) => NoticeKind::VmiUsage,
        false => return Err(("usage.not-consigned", "the stock belonged to the hospital".to_owned())),
    };
    Ok(SupplierNotice {
        supplier_id: supplier_id.to_owned(),
        kind,
        item_id: usage.item_id.clone(),
        supplier_item: usage.supplier_item.clone(),
        gtin: gtin(usage),
        lot: usage.lot.clone(),
        serial: usage.serial.clone(),
        quantity: Some(usage.base_quantity.unwrap_or(usage.quantity)),
        uom: usage.base_uom.clone().or_else(|| usage.uom.clone()),
        // The stock it is taken from, not the place where somebody lay.
        location: usage.stock_location_id.clone(),
        used_at_hour: usage.meta.occurred_at.map(Timestamp::hour),
        po_number: profile.contract.clone(),
        ..SupplierNotice::default()
    })
}

fn of_order(order: &PurchaseOrder, supplier_id: &str) -> Result<SupplierNotice, NotDue> {
    let kind = match order.kind {
        PurchaseOrderKind::Approved => NoticeKind::PoApproved,
        PurchaseOrderKind::Changed => NoticeKind::PoChanged,
        PurchaseOrderKind::Cancelled => NoticeKind::PoCancelled,
        PurchaseOrderKind::Unknown => {
            return Err(("order.unknown-kind", "this version does not know what happened to the order".to_owned()));
        }
    };
    Ok(SupplierNotice {
        supplier_id: supplier_id.to_owned(),
        kind,
        po_number: Some(order.po_number.clone()),
        location: order.ship_to.clone(),
        ..SupplierNotice::default()
    })
}

fn of_receipt(receipt: &GoodsReceipt, supplier_id: &str) -> SupplierNotice {
    SupplierNotice {
        supplier_id: supplier_id.to_owned(),
        kind: NoticeKind::Receipt,
        item_id: receipt.item_id.clone(),
        lot: receipt.lot.clone(),
        serial: receipt.serial.clone(),
        quantity: Some(receipt.quantity),
        uom: receipt.uom.clone(),
        location: receipt.location.clone(),
        po_number: Some(receipt.po_number.clone()),
        ..SupplierNotice::default()
    }
}

fn order_facts(order: &PurchaseOrder, put: &mut impl FnMut(&str, Value)) {
    put("orderRevision", json!(order.order_revision));
    put("currency", json!(order.currency));
    put("total", json!(order.total.map(|total| total.to_string())));
    put("terms", json!(order.terms));
    let lines = order.lines.iter().map(|line| {
        json!({
            "line": line.line,
            "itemId": line.item_id,
            "supplierItem": line.vendor_item,
            "gtin": line.gtin,
            "quantity": line.quantity.normalize().to_string(),
            "uom": line.uom,
            "unitPrice": line.unit_price.map(|price| price.to_string()),
            "needBy": line.need_by.map(|day| day.to_string()),
        })
    });
    put("lines", Value::Array(lines.collect()));
}

/// The GTIN of the label. Only the device identifier: the rest of a label may be that of a patient's implant.
fn gtin(usage: &EnrichedUsage) -> Option<String> {
    let udi = usage.udi.as_ref().filter(|udi| udi.issuer == UdiIssuer::Gs1)?;
    udi.di.clone().filter(|di| di.len() == 14 && di.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What the notice does to the fact that its reference names.
fn action(action: Action) -> &'static str {
    match action {
        Action::Update => "update",
        Action::Cancel | Action::Retract => "retract",
        Action::Create | Action::Snapshot | Action::Unknown => "create",
    }
}
