//! The ERP's own stock movements against the sum of what was posted, per item, lot and location.

use crate::Failure;
use connector::erp::{ErpError, MovementQuery, movement::Net, net};
use erp::ErpConfig;
use rust_decimal::Decimal;
use schemas::ErpPosting;
use std::collections::BTreeSet;

/// Start of the key of every document that Wardline makes in the ERP.
const DOCUMENT_PREFIX: &str = "wl-";

/// What differs, each as a sentence, and the sum of the differences without their signs.
pub async fn difference(
    config: &ErpConfig,
    postings: &[ErpPosting],
    stock_locations: &BTreeSet<String>,
) -> Result<(Decimal, Vec<String>), Failure> {
    let failed =
        |error: ErpError| Failure::new(error, "check that --erp, --erp-key and --erp-system name a running ERP");
    let erp = config.system.open(&config.tryton, &config.sandbox).map_err(failed)?.erp;
    let query = MovementQuery::Prefix(DOCUMENT_PREFIX.to_owned());
    let movements = erp.stock_movements(&query).await.map_err(failed)?;
    let moved = net(&movements, |location| stock_locations.contains(location));
    Ok(compare(&moved, &posted(postings)))
}

/// What the postings say left each location on balance.
fn posted(postings: &[ErpPosting]) -> Net {
    let mut net = Net::new();
    for posting in postings {
        if let (Some(item), Some(location)) = (&posting.item_id, &posting.from_location) {
            *net.entry((item.clone(), posting.lot.clone(), location.clone())).or_default() += posting.quantity;
        }
    }
    net.retain(|_, quantity| !quantity.is_zero());
    net
}

fn compare(moved: &Net, posted: &Net) -> (Decimal, Vec<String>) {
    let mut total = Decimal::ZERO;
    let mut findings = Vec::new();
    let keys: BTreeSet<_> = moved.keys().chain(posted.keys()).collect();
    for key in keys {
        let quantity = |net: &Net| net.get(key).copied().unwrap_or_default();
        let (erp, ours) = (quantity(moved), quantity(posted));
        if erp != ours {
            let (item, lot, location) = key;
            let lot = lot.as_deref().unwrap_or("-");
            total += (erp - ours).abs();
            findings.push(format!("item {item} lot {lot} at {location}: the ERP moved {erp}, posted were {ours}"));
        }
    }
    (total, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(item: &str, quantity: i64) -> ErpPosting {
        ErpPosting {
            item_id: Some(item.to_owned()),
            from_location: Some("OR1".to_owned()),
            quantity: Decimal::from(quantity),
            ..ErpPosting::default()
        }
    }

    #[test]
    fn a_doubled_movement_is_a_difference() {
        let ours = posted(&[posting("a", 3), posting("a", -1), posting("b", 1), posting("c", 0)]);
        let key = |item: &str| (item.to_owned(), None, "OR1".to_owned());
        let moved = Net::from([(key("a"), Decimal::from(2)), (key("b"), Decimal::from(2))]);
        let (total, findings) = compare(&moved, &ours);
        assert_eq!(total, Decimal::ONE);
        assert_eq!(findings, ["item b lot - at OR1: the ERP moved 2, posted were 1"]);
    }
}
