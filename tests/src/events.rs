//! Events for tests.

use runtime::clock;
use schemas::{
    Code, Decimal, EnrichedUsage, EventMeta, Location, MasterItem, Source, SupplyUsage, Timestamp, UsageKind, identity,
};

/// The source of [`documented`].
pub const SOURCE: &str = "ORIS|GENERAL";

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

/// A usage as a source says it, which the rooms of Wardline take: one piece, of now.
pub fn documented(visit: &str, number: usize, item: &str, place: &str) -> SupplyUsage {
    let now = Timestamp(clock::now_micros());
    SupplyUsage {
        meta: EventMeta {
            event_id: identity::event_id(SOURCE, visit, &number.to_string(), "usage"),
            business_key: format!("usage/{visit}/{number}"),
            occurred_at: Some(now),
            recorded_at: now,
            published_at: now,
            source: Source { system: SOURCE.to_owned(), ..Source::default() },
            ..EventMeta::default()
        },
        encounter_ref: visit.to_owned(),
        item_ref: Some(Code { code: item.to_owned(), ..Code::default() }),
        quantity: Decimal::ONE,
        uom: Some("EA".to_owned()),
        location: Some(Location { code: Some(place.to_owned()), ..Location::default() }),
        usage: UsageKind::Used,
        ..SupplyUsage::default()
    }
}

/// A usage that the ERP can book: two pieces of an article that it has.
pub fn enriched(visit: usize, number: usize) -> EnrichedUsage {
    let text = |text: &str| Some(text.to_owned());
    let visit = format!("enc-{visit}");
    EnrichedUsage {
        meta: EventMeta {
            event_id: identity::event_id("test", &visit, &number.to_string(), "usage"),
            business_key: format!("usage/{visit}/{number}"),
            ..EventMeta::default()
        },
        encounter_ref: visit,
        item_id: text("71-400101"),
        base_quantity: Some(Decimal::from(2)),
        base_uom: text("EA"),
        stock_location_id: text("OR1"),
        cost_centre_id: text("CC-OR"),
        currency: text("EUR"),
        ..EnrichedUsage::default()
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
