//! Stock movements as the ERP has them, for reconciliation.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Which documents to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MovementQuery {
    /// Documents whose key starts with this text.
    Prefix(String),
    /// Documents with exactly these keys; as many as the adapter's configuration allows.
    Keys(Vec<String>),
}

/// One finished movement of stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// The key of the document.
    pub document_key: String,
    /// Item code of the ERP.
    pub item: String,
    /// Lot, if the item has lots.
    pub lot: Option<String>,
    /// Code of the location that the stock left.
    pub from_location: String,
    /// Code of the location that received it.
    pub to_location: String,
    /// How much, in the unit of the document.
    pub quantity: Decimal,
}

/// The cost that a document put on a cost centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Code of the cost centre.
    pub cost_centre: String,
    /// In the company's currency; below zero when the cost centre got cost back.
    pub amount: Decimal,
}

/// What left each location on balance: (item, lot, location) -> quantity out, less quantity back in. Zeros are left out.
pub type Net = BTreeMap<(String, Option<String>, String), Decimal>;

/// Adds movements up by item, lot and location. A location counts when `is_stock` says so, which leaves out the places of
/// use on the other side of each movement.
pub fn net<'a>(movements: impl IntoIterator<Item = &'a Movement>, is_stock: impl Fn(&str) -> bool) -> Net {
    let mut net = Net::new();
    for movement in movements {
        for (location, quantity) in
            [(&movement.from_location, movement.quantity), (&movement.to_location, -movement.quantity)]
        {
            if is_stock(location) {
                *net.entry((movement.item.clone(), movement.lot.clone(), location.clone())).or_default() += quantity;
            }
        }
    }
    net.retain(|_, quantity| !quantity.is_zero());
    net
}

#[cfg(test)]
mod tests {
    use super::{Movement, net};
    use rust_decimal::Decimal;

    fn movement(from: &str, to: &str, quantity: i64) -> Movement {
        Movement {
            document_key: "k".to_owned(),
            item: "GLOVE-M".to_owned(),
            lot: None,
            from_location: from.to_owned(),
            to_location: to.to_owned(),
            quantity: Decimal::from(quantity),
        }
    }

    #[test]
    fn returns_are_taken_off_and_places_of_use_left_out() {
        let movements = [
            movement("OR1", "USE-OR1", 5),
            movement("USE-OR1", "OR1", 2),
            movement("ICU", "USE-ICU", 1),
            movement("USE-ICU", "ICU", 1),
        ];
        let net = net(&movements, |location| !location.starts_with("USE-"));
        let expected = [(("GLOVE-M".to_owned(), None, "OR1".to_owned()), Decimal::from(3))];
        assert_eq!(net, expected.into());
    }
}
