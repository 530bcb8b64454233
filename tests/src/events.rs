//! Events for tests.

use schemas::{Code, Decimal, EventMeta, MasterItem, SupplyUsage};

/// A usage number `number` of an encounter; the item code scripts what the toy rooms do with it.
pub fn usage(encounter: &str, number: usize, item: &str) -> SupplyUsage {
    SupplyUsage {
        meta: EventMeta {
            event_id: format!("{encounter}-{number}"),
            business_key: format!("{encounter}/{number}"),
            ..EventMeta::default()
        },
        encounter_ref: encounter.to_owned(),
        item_ref: Some(Code { code: item.to_owned(), ..Code::default() }),
        quantity: Decimal::from(number),
        ..SupplyUsage::default()
    }
}

/// A master item.
pub fn item(id: &str) -> MasterItem {
    MasterItem { item_id: id.to_owned(), ..MasterItem::default() }
}

/// The item code of a usage.
pub fn item_code(usage: &SupplyUsage) -> &str {
    usage.item_ref.as_ref().map_or("", |code| code.code.as_str())
}
