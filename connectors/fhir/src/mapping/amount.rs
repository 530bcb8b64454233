//! What a charge comes to: `priceOverride` (R4), `totalPriceComponent`, else `unitPriceComponent` for each (R5).

use crate::node::Node;
use crate::outcome::{code, warning};
use rust_decimal::{Decimal, RoundingStrategy};
use schemas::{Money, Warning};

/// Decimal places of money in the contract.
const SCALE: u32 = 4;
/// Smallest amount with more than the 14 digits that the contract has before the point.
const LIMIT: Decimal = Decimal::from_parts(0x107A_4000, 0x5AF3, 0, false, 0);

/// The amount of `quantity` pieces. What cannot be used is noted and left out; nothing is posted by it, so the use itself is told
/// all the same.
pub(super) fn charged(charge: &Node<'_>, quantity: Decimal, warnings: &mut Vec<Warning>) -> Option<Money> {
    let component = |name: &str| charge.child(name).filter(is_price).and_then(|component| component.child("amount"));
    let prices = [
        (charge.child("priceOverride"), Decimal::ONE),
        (component("totalPriceComponent"), Decimal::ONE),
        (component("unitPriceComponent"), quantity),
    ];
    for (price, times) in prices {
        match price.as_ref().map(|price| (price, money(price, times))) {
            Some((_, Ok(Some(money)))) => return Some(money),
            Some((price, Err(detail))) => warnings.push(warning(code::AMOUNT, price.path.clone(), detail)),
            Some((_, Ok(None))) | None => {}
        }
    }
    None
}

/// A tax, a discount or a remark is not what it comes to.
fn is_price(component: &Node<'_>) -> bool {
    component.text("type").is_none_or(|kind| kind == "base")
}

fn money(price: &Node<'_>, times: Decimal) -> Result<Option<Money>, &'static str> {
    let too_long = "the amount has too many digits and was left out";
    let Some(value) = price.decimal("value").map_err(|_| too_long)? else { return Ok(None) };
    let currency = price.text("currency").ok_or("the amount names no currency and was left out")?;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err("the currency of the amount is no ISO 4217 code; the amount was left out");
    }
    let product = value.checked_mul(times);
    let rounded = product.map(|amount| amount.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointAwayFromZero));
    let amount = rounded.filter(|amount| amount.abs() < LIMIT).ok_or(too_long)?;
    Ok(Some(Money { amount: amount.normalize(), currency: currency.to_ascii_uppercase() }))
}
