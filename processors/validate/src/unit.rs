//! From the unit sent to the base unit of the item: quantity times what a pack record says, and never a guess.

use crate::ValidateConfig;
use crate::checks::amend;
use crate::findings::{Findings, LABEL_OF_PACK, QUANTITY_UNFIT, Refusal, UNIT_UNKNOWN};
use crate::item::{Recognised, device_identifier};
use crate::tables::gtin14;
use processor::{Reason, Subject};
use schemas::{Decimal, MasterItem, SupplyUsage, topics};

/// Largest quantity of the contract: 18 digits, 6 of them decimal places.
const QUANTITY_LIMIT: Decimal = Decimal::from_parts(0xD4A5_1000, 0xE8, 0, false, 0);
/// Decimal places of a quantity in the contract.
const QUANTITY_SCALE: u32 = 6;

/// The quantity in base units.
pub(crate) fn convert(
    usage: &SupplyUsage,
    recognised: &Recognised,
    config: &ValidateConfig,
    findings: &mut Findings,
) -> Result<Decimal, Box<Refusal>> {
    let item = recognised.item.as_ref();
    let sent = usage.uom.as_deref().map(str::trim).filter(|uom| !uom.is_empty());
    let Some(sent) = sent else {
        if label_of_pack(usage, item) {
            findings.warned("unit", LABEL_OF_PACK, "the label is that of a pack; the quantity was taken in base units");
        } else {
            findings.passed("unit");
        }
        return Ok(usage.quantity);
    };
    let Some(factor) = factor(item, sent, config) else {
        return Err(Box::new(Refusal::Reject(unknown(item, sent))));
    };
    let Some(converted) = multiply(usage.quantity, factor) else {
        return Err(Box::new(Refusal::Reject(unfit(item))));
    };
    findings.passed("unit");
    Ok(converted)
}

/// Base units in one `sent`; `None` without a record that says so.
fn factor(item: &MasterItem, sent: &str, config: &ValidateConfig) -> Option<Decimal> {
    let sent = common(sent, config);
    if sent == common(&item.base_uom, config) {
        return Some(Decimal::ONE);
    }
    let packs = || item.packs.iter().filter(|pack| pack.quantity > Decimal::ZERO);
    if let Some(pack) = packs().find(|pack| common(&pack.uom, config) == sent) {
        return Some(pack.quantity);
    }
    // ERPs name packs by their size (BX100) where clinical systems say BX; only an item with one such pack is clear.
    let mut sized = packs().filter(|pack| common(without_size(&pack.uom), config) == sent);
    match (sized.next(), sized.next()) {
        (Some(pack), None) => Some(pack.quantity),
        _ => None,
    }
}

/// The common name of a unit.
fn common(unit: &str, config: &ValidateConfig) -> String {
    // UCUM annotations are in braces: {each}.
    let upper = unit.trim().trim_matches(['{', '}', '[', ']']).to_uppercase();
    config.unit_aliases.get(&upper).cloned().unwrap_or(upper)
}

fn without_size(unit: &str) -> &str {
    unit.trim_end_matches(|letter: char| letter.is_ascii_digit())
}

/// The product when it fits the contract exactly.
fn multiply(quantity: Decimal, factor: Decimal) -> Option<Decimal> {
    let product = quantity.checked_mul(factor)?.normalize();
    (product.scale() <= QUANTITY_SCALE && product.abs() < QUANTITY_LIMIT).then_some(product)
}

fn label_of_pack(usage: &SupplyUsage, item: &MasterItem) -> bool {
    let label = device_identifier(usage).and_then(gtin14);
    label.is_some_and(|label| {
        let of_pack = |gtin: &String| gtin14(gtin).as_ref() == Some(&label);
        item.packs.iter().any(|pack| pack.quantity != Decimal::ONE && pack.gtin.as_ref().is_some_and(of_pack))
            && !item.gtins.iter().any(of_pack)
    })
}

fn unknown(item: &MasterItem, sent: &str) -> Reason {
    let packs: Vec<&str> = item.packs.iter().map(|pack| pack.uom.as_str()).take(8).collect();
    let known = if packs.is_empty() { "no packs".to_owned() } else { packs.join(", ") };
    let message =
        format!("item {} has no pack {sent}: its base unit is {}, its packs: {known}", item.item_id, item.base_uom);
    Reason::new(UNIT_UNKNOWN, "unit.unknown", message)
        .at("uom")
        .until(Subject::new(topics::MASTER_ITEM_V1.name(), item.item_id.as_str()))
        .fix(format!(
            "add the pack {sent} with its size to item {} in the ERP; if the unit is wrong, {}",
            item.item_id,
            amend("uom")
        ))
}

fn unfit(item: &MasterItem) -> Reason {
    let message = format!("the quantity in base units of item {} has too many digits", item.item_id);
    Reason::new(QUANTITY_UNFIT, "quantity.unfit", message)
        .at("quantity")
        .at("uom")
        .until(Subject::new(topics::MASTER_ITEM_V1.name(), item.item_id.as_str()))
        .fix(format!("correct the pack size in the ERP; if the quantity is wrong, {}", amend("quantity")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Pack;

    #[track_caller]
    fn check(sent: &str, expected: Option<i64>) {
        let pack = |uom: &str, quantity: i64| Pack {
            uom: uom.to_owned(),
            quantity: Decimal::from(quantity),
            ..Pack::default()
        };
        let packs =
            vec![pack("PK10", 10), pack("BX100", 100), pack("CS1000", 1_000), pack("CS2000", 2_000), pack("DZ", 0)];
        let item = MasterItem { base_uom: "u".to_owned(), packs, ..MasterItem::default() };
        assert_eq!(factor(&item, sent, &ValidateConfig::default()), expected.map(Decimal::from), "{sent}");
    }

    #[test]
    fn units_need_a_record() {
        for one in ["u", "EA", "each", "{each}", "1", "C62"] {
            check(one, Some(1));
        }
        check("BX", Some(100));
        check("box", Some(100));
        check("BX100", Some(100));
        check("PK", Some(10));
        check("CS", None);
        check("CS2000", Some(2_000));
        check("DZ", None);
        check("mL", None);
    }

    #[test]
    fn a_product_that_does_not_fit_is_refused() {
        assert_eq!(QUANTITY_LIMIT, Decimal::from(1_000_000_000_000_i64));
        assert_eq!(multiply(Decimal::new(15, 1), Decimal::from(10)), Some(Decimal::from(15)));
        assert_eq!(multiply(Decimal::new(1, 6), Decimal::new(1, 1)), None);
        assert_eq!(multiply(Decimal::from(999_999_999_999_i64), Decimal::from(2)), None);
    }
}
