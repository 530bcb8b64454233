//! What the sender says a charge comes to: `FT1-11 "-850.00&EUR"`, or `FT1-12 "212.5&EUR"` with `FT1-10 4` -> `850 EUR`.

use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use schemas::{Money, Warning};

use super::context::{Context, warning};
use super::values::text;
use crate::mllp::ErrorPlace;
use crate::parser::{Segment, Value};

/// Decimal places of money in the contract, and the smallest amount with more digits before the point than it has.
const SCALE: u32 = 4;
const LIMIT: i64 = 100_000_000_000_000;

/// FT1-11, else FT1-12 for each of the quantity. Both are CP (NM before 2.3), whose first component is an MO: number and
/// denomination. What cannot be used is noted and left out; nothing is posted by it, so the use itself is taken all the same.
pub(super) fn stated(
    context: &Context<'_>,
    charge: &Segment<'_>,
    quantity: Decimal,
    warnings: &mut Vec<Warning>,
) -> Option<Money> {
    let currency = context.mapper.config.currency.as_deref();
    for (field, times) in [(11, Decimal::ONE), (12, quantity.abs())] {
        match money(charge.field(field), times, currency) {
            Ok(None) => {}
            Ok(Some(money)) if quantity.is_sign_negative() => {
                return Some(Money { amount: -money.amount.abs(), ..money });
            }
            Ok(Some(money)) => return Some(money),
            Err(detail) => {
                let place = ErrorPlace::new("FT1", charge.sequence(), field).path();
                warnings.push(warning("WL-1441", &place, detail));
            }
        }
    }
    None
}

/// Whether it has the form of an ISO 4217 code.
pub(super) fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Nothing where nothing was sent.
fn money(field: Value<'_>, times: Decimal, currency: Option<&str>) -> Result<Option<Money>, &'static str> {
    let price = field.component(1);
    let Some(number) = text(price.subcomponent(1)) else { return Ok(None) };
    let sent = text(price.subcomponent(2));
    let currency = sent.as_deref().or(currency).ok_or("the amount names no currency and was left out")?;
    if !is_currency(currency) {
        return Err("the currency of the amount is no ISO 4217 code; the amount was left out");
    }
    let product = Decimal::from_str(&number).ok().and_then(|number| number.checked_mul(times));
    let rounded = product.map(|amount| amount.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointAwayFromZero));
    let amount = rounded
        .filter(|amount| amount.abs() < Decimal::from(LIMIT))
        .ok_or("the amount is not a number with at most fourteen digits before the point and was left out")?;
    Ok(Some(Money { amount: amount.normalize(), currency: currency.to_ascii_uppercase() }))
}
