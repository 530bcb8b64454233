//! The single checks. Each adds its outcome to the findings or refuses the usage.

use crate::ValidateConfig;
use crate::findings::{
    EXPIRED, Findings, ITEM_INACTIVE, LOT_MISSING, QUANTITY_OVER, QUANTITY_ZERO, Refusal, SERIAL_MISSING,
    SERIAL_QUANTITY, UDI_NOT_OF_ITEM, UDI_OF_OTHER,
};
use crate::item::{Recognised, device_identifier};
use crate::tables::{BY_GTIN, ValidateTables, gtin14, item_gtins};
use processor::{Code, Reason, Subject, day_of};
use schemas::{Action, Decimal, MasterItem, RecordStatus, SupplyUsage, UsageKind, topics};

/// Nothing moved, so there is nothing to post. A correction to zero is a movement: it takes back what was posted.
pub(crate) fn quantity_not_zero(usage: &SupplyUsage) -> Result<(), Box<Refusal>> {
    if usage.quantity.is_zero() && usage.meta.action == Action::Create {
        let reason = Reason::new(QUANTITY_ZERO, "quantity.zero", "the quantity is zero: nothing moved").at("quantity");
        return Err(Box::new(Refusal::Drop(reason)));
    }
    Ok(())
}

/// The item may be used.
pub(crate) fn item_usable(
    item: &MasterItem,
    config: &ValidateConfig,
    findings: &mut Findings,
) -> Result<(), Box<Refusal>> {
    if matches!(item.status, RecordStatus::Active | RecordStatus::Unknown) {
        findings.passed("item");
        return Ok(());
    }
    let message = format!("item {} is {} in the item master", item.item_id, item.status.as_str().to_lowercase());
    let substitutes = item.substitutes.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    let replaced =
        if substitutes.is_empty() { String::new() } else { format!("; it may be replaced by {substitutes}") };
    let fix = format!("activate the item in the ERP; if another one was used, {}{replaced}", amend("itemRef"));
    let reason = about(item, ITEM_INACTIVE, "item.inactive", message).at("itemRef").fix(fix);
    findings.judge("item", config.item_inactive, reason)
}

/// What the item requires to be traced.
pub(crate) fn lot_and_serial(
    usage: &SupplyUsage,
    item: &MasterItem,
    config: &ValidateConfig,
    findings: &mut Findings,
) -> Result<(), Box<Refusal>> {
    // What comes out of a body has left its label behind years ago.
    if usage.usage == UsageKind::Explanted {
        return Ok(());
    }
    if item.lot_tracked {
        if given(usage.lot.as_deref()) {
            findings.passed("lot");
        } else {
            let message = format!("item {} requires a lot and none was sent", item.item_id);
            let reason = about(item, LOT_MISSING, "lot.missing", message)
                .at("lot")
                .fix(format!("read the lot from the label or the implant record, then {}", amend("lot")));
            findings.judge("lot", config.lot_missing, reason)?;
        }
    }
    if item.serial_tracked {
        if given(usage.serial.as_deref()) {
            one_piece(usage, findings);
        } else {
            let message = format!("item {} requires a serial number and none was sent", item.item_id);
            let reason = about(item, SERIAL_MISSING, "serial.missing", message)
                .at("serial")
                .fix(format!("read the serial number from the label, then {}", amend("serial")));
            findings.judge("serial", config.serial_missing, reason)?;
        }
    }
    Ok(())
}

/// Not used after its expiry date, by the day of use. What is thrown away or given back may well have expired.
pub(crate) fn expiry(
    usage: &SupplyUsage,
    item: &MasterItem,
    config: &ValidateConfig,
    findings: &mut Findings,
) -> Result<(), Box<Refusal>> {
    let consumed = matches!(usage.usage, UsageKind::Used | UsageKind::Implanted | UsageKind::Unknown)
        && usage.quantity > Decimal::ZERO;
    let Some(expiry) = usage.expiry.filter(|_| consumed) else { return Ok(()) };
    let day = day_of(&usage.meta);
    if day <= expiry {
        findings.passed("expiry");
        return Ok(());
    }
    let message = format!("item {} was used after its expiry on {expiry}", item.item_id);
    let reason = about(item, EXPIRED, "expiry.passed", message).at("expiry").fix(format!(
        "check the label; if the date is wrong, {}; if the article was expired, report that, and retry with \
         rooms.validate.expired: warn",
        amend("expiry")
    ));
    findings.judge("expiry", config.expired, reason)
}

/// The label is that of the item.
pub(crate) fn udi(
    usage: &SupplyUsage,
    recognised: &Recognised,
    tables: &ValidateTables,
    config: &ValidateConfig,
    findings: &mut Findings,
) -> Result<(), Box<Refusal>> {
    let item = recognised.item.as_ref();
    let Some(label) = device_identifier(usage).and_then(gtin14) else { return Ok(()) };
    let own = item_gtins(item);
    if own.contains(&label) {
        findings.passed("udi-item");
        return Ok(());
    }
    let others = tables.items.find(BY_GTIN, &label);
    if let Some(other) = others.first() {
        let message =
            format!("the label ({label}) is that of item {}, the record says item {}", other.item_id, item.item_id);
        let reason = about(item, UDI_OF_OTHER, "udi.other-item", message)
            .at("udi.di")
            .at("itemRef")
            .until(Subject::new(topics::MASTER_ITEM_V1.name(), other.item_id.as_str()))
            .fix(format!(
                "if {} was used, {}; if {} was used, correct the GTINs of both in the ERP",
                other.item_id,
                amend("itemRef"),
                item.item_id
            ));
        return findings.judge("udi-item", config.udi_of_other_item, reason);
    }
    if own.is_empty() {
        // An item without GTINs cannot contradict a label.
        return Ok(());
    }
    let message = format!("the label ({label}) is none of the GTINs of item {}", item.item_id);
    let reason = about(item, UDI_NOT_OF_ITEM, "udi.not-of-item", message)
        .at("udi.di")
        .until(Subject::new(topics::MASTER_ITEM_V1.name(), label.as_str()))
        .fix(format!("if the label is right, add {label} to the GTINs of item {} in the ERP", item.item_id));
    findings.judge("udi-item", config.udi_not_of_item, reason)
}

/// Not more than anybody uses at once: a typing mistake in a quantity empties a store room on paper.
pub(crate) fn quantity(
    item: &MasterItem,
    base_quantity: Decimal,
    config: &ValidateConfig,
    findings: &mut Findings,
) -> Result<(), Box<Refusal>> {
    if base_quantity.abs() <= config.quantity_max {
        findings.passed("quantity");
        return Ok(());
    }
    let message = format!(
        "{} {} of item {} in one usage is more than {}",
        base_quantity.abs().normalize(),
        item.base_uom,
        item.item_id,
        config.quantity_max
    );
    let reason = about(item, QUANTITY_OVER, "quantity.over", message).at("quantity").fix(format!(
        "check quantity and unit; if one is wrong, {}; if they are right, raise rooms.validate.quantity_max and retry",
        amend("quantity or uom")
    ));
    findings.judge("quantity", config.quantity_over_max, reason)
}

/// What to do about an event that is wrong itself. What its source sends again waits behind it, and a retry would be refused again.
pub(crate) fn amend(field: &str) -> String {
    format!("correct {field} with `wardline exceptions correct`, or send it again at the source and discard this one")
}

fn one_piece(usage: &SupplyUsage, findings: &mut Findings) {
    if usage.quantity.abs() <= Decimal::ONE {
        findings.passed("serial");
    } else {
        findings.warned("serial", SERIAL_QUANTITY, "one serial number was sent for more than one piece");
    }
}

fn given(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

/// A reason that a change of the item's master record may end.
fn about(item: &MasterItem, code: Code, rule: &'static str, message: String) -> Reason {
    Reason::new(code, rule, message).until(Subject::new(topics::MASTER_ITEM_V1.name(), item.item_id.as_str()))
}
