//! Exact amounts.

use crate::reasons::{AMOUNT_UNFIT, Refusal, subject, wrong};
use schemas::{Decimal, MasterItem, topics};

/// Decimal places of an amount in the contract.
const SCALE: u32 = 4;
/// Smallest amount with more than the 14 digits that the contract has before the point.
const LIMIT: Decimal = Decimal::from_parts(0x107A_4000, 0x5AF3, 0, false, 0);

/// Price times quantity, with the sign of the quantity. More than four decimal places are rounded half away from zero, as
/// invoices are.
pub(crate) fn amount(price: Decimal, quantity: Decimal, item: &MasterItem) -> Result<Decimal, Box<Refusal>> {
    let exact = price
        .checked_mul(quantity)
        .map(|product| product.round_dp_with_strategy(SCALE, rust_decimal::RoundingStrategy::MidpointAwayFromZero));
    exact.filter(|product| product.abs() < LIMIT).ok_or_else(|| {
        let message = format!("price times quantity of item {} has too many digits", item.item_id);
        let subjects = vec![subject(topics::MASTER_ITEM_V1, &item.item_id)];
        wrong(AMOUNT_UNFIT, "amount.unfit", &message, "baseQuantity", subjects)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(price: &str, quantity: &str, expected: Option<&str>) {
        let found = amount(price.parse().unwrap(), quantity.parse().unwrap(), &MasterItem::default()).ok();
        assert_eq!(found, expected.map(|expected| expected.parse().unwrap()), "{price} x {quantity}");
    }

    #[test]
    fn amounts_are_exact_to_four_places() {
        assert_eq!(LIMIT, Decimal::from(100_000_000_000_000_i64));
        check("0.0625", "250", Some("15.625"));
        check("0.0001", "0.5", Some("0.0001"));
        check("0.0001", "-0.5", Some("-0.0001"));
        check("0.1", "0.2", Some("0.02"));
        check("850", "-2", Some("-1700"));
        check("99999999999999", "1", Some("99999999999999"));
        check("99999999999999", "2", None);
    }
}
