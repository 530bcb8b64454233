//! Records of the sandbox ERP. A deleted record is one that is no longer active.

use connector::erp::Stream;
use sandbox::records::{
    CostCentre, Employee, Item, Location, LocationKind, OrderLine, OrderState, PurchaseOrder as Order, Receipt,
    ReceiptLine, Supplier, Tracking, Written,
};
use schemas::{
    Action, Code, Date, GoodsReceipt, LocationType, MasterCostCenter, MasterEmployee, MasterItem, MasterLocation,
    MasterSupplier, Money, Pack, PurchaseOrder, PurchaseOrderKind, PurchaseOrderLine, ReceiptCondition, RecordStatus,
};

use super::envelope::Envelope;
use super::item::gtin14;
use super::purchase::{midnight, number};
use super::{MapError, Mapped};
use crate::ErpConfig;

pub(super) fn events(config: &ErpConfig, stream: Stream, envelope: &Envelope<'_>) -> Result<Vec<Mapped>, MapError> {
    Ok(match stream {
        Stream::Items => vec![Mapped::Item(Box::new(item(config, envelope)?))],
        Stream::Suppliers => vec![Mapped::Supplier(supplier(envelope)?)],
        Stream::Locations => location(config, envelope)?.into_iter().map(Mapped::Location).collect(),
        Stream::CostCentres => vec![Mapped::CostCentre(cost_centre(config, envelope)?)],
        Stream::Employees => vec![Mapped::Employee(employee(envelope)?)],
        Stream::PurchaseOrders => order(config, envelope)?.into_iter().map(Mapped::PurchaseOrder).collect(),
        Stream::Receipts => receipts(envelope)?.into_iter().map(Mapped::GoodsReceipt).collect(),
    })
}

fn item(config: &ErpConfig, envelope: &Envelope<'_>) -> Result<MasterItem, MapError> {
    let Written { record, deleted, .. } = envelope.typed::<Written<Item>>()?;
    let of_kind = |kind: &'static str| record.identifiers.iter().filter(move |code| code.kind == kind);
    let others = record.identifiers.iter().filter(|code| !["gtin", "mpn"].contains(&code.kind.as_str()));
    let code = |code: &sandbox::records::Identifier| Code {
        code: code.code.clone(),
        system: Some(code.kind.to_uppercase()),
        ..Code::default()
    };
    let pack = |pack: &sandbox::records::Pack| {
        Ok(Pack {
            uom: pack.uom.clone(),
            quantity: envelope.exact_quantity(pack.quantity, "packs.quantity")?,
            gtin: pack.gtin.as_deref().and_then(gtin14),
            price: None,
        })
    };
    let flags = [&config.consignment_category, &config.implant_category];
    let price = record.cost.filter(|cost| !cost.is_zero());
    let price = price.map(|cost| envelope.exact_money(cost, "cost")).transpose()?;
    Ok(MasterItem {
        meta: envelope.meta::<MasterItem>(envelope.key(), 0, Action::Snapshot, None),
        item_id: envelope.key().to_owned(),
        status: status(record.active, deleted),
        item_type: Some("goods".to_owned()),
        category: record.categories.iter().find(|category| !flags.contains(category)).cloned(),
        packs: record.packs.iter().map(pack).collect::<Result<_, MapError>>()?,
        codes: others.map(code).collect(),
        mfr_catalogue: of_kind("mpn").next().map(|code| code.code.clone()),
        gtins: of_kind("gtin").filter_map(|code| gtin14(&code.code)).collect(),
        price: price.map(|amount| Money { amount, currency: config.currency.clone() }),
        lot_tracked: record.tracking == Tracking::Lot,
        serial_tracked: record.tracking == Tracking::Serial,
        description: record.name,
        base_uom: record.uom,
        supplier_id: record.supplier,
        supplier_item: record.supplier_item,
        expires: record.expires,
        consignment: record.consignment,
        implant: record.implant,
        ..MasterItem::default()
    })
}

fn supplier(envelope: &Envelope<'_>) -> Result<MasterSupplier, MapError> {
    let Written { record, deleted, .. } = envelope.typed::<Written<Supplier>>()?;
    Ok(MasterSupplier {
        meta: envelope.meta::<MasterSupplier>(envelope.key(), 0, Action::Snapshot, None),
        supplier_id: envelope.key().to_owned(),
        name: record.name,
        status: status(record.active, deleted),
        gln: record.gln,
        tax_id: record.tax_id,
        currency: record.currency,
        terms: record.terms,
        ..MasterSupplier::default()
    })
}

/// Places of use are the ERP's own affair: nobody names them in an event.
fn location(config: &ErpConfig, envelope: &Envelope<'_>) -> Result<Option<MasterLocation>, MapError> {
    let Written { record, deleted, .. } = envelope.typed::<Written<Location>>()?;
    let code = envelope.key();
    let location_type = match (record.kind, &record.cost_centre) {
        (LocationKind::Use, _) => return Ok(None),
        (LocationKind::Warehouse, _) => LocationType::Warehouse,
        (LocationKind::Storage, Some(_)) => LocationType::Department,
        (LocationKind::Storage, None) => LocationType::Store,
    };
    Ok(Some(MasterLocation {
        meta: envelope.meta::<MasterLocation>(code, 0, Action::Snapshot, None),
        location_id: code.to_owned(),
        pl_code: Some(config.clinical_names.get(code).map_or(code, String::as_str).to_owned()),
        name: record.name,
        location_type,
        parent: record.parent,
        stock_location_id: (record.kind == LocationKind::Storage).then(|| code.to_owned()),
        cost_centre_id: record.cost_centre,
        active: record.active && !deleted,
        ..MasterLocation::default()
    }))
}

fn cost_centre(config: &ErpConfig, envelope: &Envelope<'_>) -> Result<MasterCostCenter, MapError> {
    let Written { record, deleted, .. } = envelope.typed::<Written<CostCentre>>()?;
    let aliases = config.departments.iter().filter(|(_, location)| record.departments.contains(location));
    let aliases: Vec<String> = aliases.map(|(alias, _)| alias.clone()).collect();
    let mut departments = [record.departments, aliases].concat();
    departments.sort();
    departments.dedup();
    Ok(MasterCostCenter {
        meta: envelope.meta::<MasterCostCenter>(envelope.key(), 0, Action::Snapshot, None),
        cost_centre_id: envelope.key().to_owned(),
        name: record.name,
        parent: record.parent,
        departments,
        active: record.active && !deleted,
        ..MasterCostCenter::default()
    })
}

fn employee(envelope: &Envelope<'_>) -> Result<MasterEmployee, MapError> {
    let Written { record, deleted, .. } = envelope.typed::<Written<Employee>>()?;
    Ok(MasterEmployee {
        meta: envelope.meta::<MasterEmployee>(envelope.key(), 0, Action::Snapshot, None),
        employee_id: envelope.key().to_owned(),
        display_name: Some(record.name),
        status: status(record.active, deleted),
        active_from: record.from.map(Date::from),
        active_to: record.to.map(Date::from),
        ..MasterEmployee::default()
    })
}

/// An order from its approval on; one that was cancelled or deleted before is of no interest.
fn order(config: &ErpConfig, envelope: &Envelope<'_>) -> Result<Option<PurchaseOrder>, MapError> {
    let Written { record, deleted, .. } = envelope.typed::<Written<Order>>()?;
    let (kind, action) = match record.state {
        OrderState::Draft => return Ok(None),
        _ if record.approved_on.is_none() => return Ok(None),
        OrderState::Cancelled => (PurchaseOrderKind::Cancelled, Action::Cancel),
        _ if deleted => (PurchaseOrderKind::Cancelled, Action::Cancel),
        _ if record.order_revision == 0 => (PurchaseOrderKind::Approved, Action::Create),
        _ => (PurchaseOrderKind::Changed, Action::Update),
    };
    let lines = record.lines.iter().enumerate();
    let lines = lines.map(|(index, line)| order_line(envelope, index, line)).collect::<Result<Vec<_>, _>>()?;
    let costs = record.lines.iter().map(|line| line.unit_price.map(|price| price * line.quantity));
    let total = costs.sum::<Option<schemas::Decimal>>();
    Ok(Some(PurchaseOrder {
        meta: envelope.meta::<PurchaseOrder>(envelope.key(), 0, action, Some(kind.as_str())),
        po_number: envelope.key().to_owned(),
        kind,
        order_revision: record.order_revision,
        supplier_id: record.supplier,
        buyer_ref: record.buyer,
        approved_by: record.approver,
        approved_at: record.approved_on.and_then(midnight),
        currency: Some(record.currency).filter(|code| !code.is_empty()).unwrap_or_else(|| config.currency.clone()),
        total: total.map(|total| envelope.exact_money(total, "total")).transpose()?,
        terms: record.terms,
        ship_to: record.ship_to,
        lines,
    }))
}

fn order_line(envelope: &Envelope<'_>, index: usize, line: &OrderLine) -> Result<PurchaseOrderLine, MapError> {
    Ok(PurchaseOrderLine {
        line: number(index),
        item_id: Some(line.item.clone()),
        vendor_item: line.supplier_item.clone(),
        quantity: envelope.exact_quantity(line.quantity, "lines.quantity")?,
        uom: Some(line.uom.clone()),
        unit_price: line.unit_price.map(|price| envelope.exact_money(price, "lines.unit_price")).transpose()?,
        need_by: line.need_by.map(Date::from),
        ..PurchaseOrderLine::default()
    })
}

/// One event for each line.
fn receipts(envelope: &Envelope<'_>) -> Result<Vec<GoodsReceipt>, MapError> {
    let Written { record, .. } = envelope.typed::<Written<Receipt>>()?;
    record.lines.iter().enumerate().map(|(index, line)| receipt(envelope, &record, index, line)).collect()
}

fn receipt(
    envelope: &Envelope<'_>,
    receipt: &Receipt,
    index: usize,
    line: &ReceiptLine,
) -> Result<GoodsReceipt, MapError> {
    let id = format!("{}/{}", envelope.key(), number(index));
    let position = i32::try_from(index).unwrap_or(i32::MAX);
    Ok(GoodsReceipt {
        meta: envelope.meta::<GoodsReceipt>(&id, position, Action::Create, None),
        receipt_id: id,
        po_number: receipt.purchase_order.clone(),
        po_line: Some(line.order_line),
        supplier_id: receipt.supplier.clone(),
        item_id: Some(line.item.clone()),
        quantity: envelope.exact_quantity(line.quantity, "lines.quantity")?,
        uom: Some(line.uom.clone()),
        lot: line.lot.clone(),
        expiry: line.expires.map(Date::from),
        location: Some(receipt.location.clone()),
        received_at: midnight(receipt.received_on),
        received_by: receipt.received_by.clone(),
        condition: ReceiptCondition::Unknown,
        final_delivery: receipt.is_final,
        ..GoodsReceipt::default()
    })
}

fn status(active: bool, deleted: bool) -> RecordStatus {
    if active && !deleted { RecordStatus::Active } else { RecordStatus::Inactive }
}
