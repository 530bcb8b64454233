//! Adds what the ERP, the supplier and analytics need: stock location, cost centre, supplier, price and amount.
//!
//! ```text
//! validated {itemId: STENT, locationId: CATHLAB-1, department: CARD, baseQuantity: 2, occurredAt: 2026-11-23}
//!     +  item STENT {price: 850}  +  location CATHLAB-1 {stock STORE-CATH}  +  cost centre CC-CARDIO {CARD, from 2024}
//!     -> enriched {stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, unitPrice: 850, amount: 1700, masters: [...]}
//! ```
//! Everything that has a validity is judged by the day of use. A replay with newer master data may give another answer;
//! `masters` says which versions an event was made with.

mod config;
mod cost_centre;
mod money;
mod place;
mod reasons;
mod tables;

pub use config::EnrichConfig;
pub use tables::EnrichTables;

use processor::{Processor, Verdict, Wiring, day_of, derived};
use reasons::{ITEM_GONE, PERFORMER_UNKNOWN, PRICE_MISSING, Refusal, SUPPLIER_UNKNOWN, missing, subject};
use schemas::{
    Action, Check, CheckResult, EnrichedUsage, Event, MasterItem, MasterRef, MasterSupplier, ValidatedUsage, topics,
};
use std::sync::Arc;
use tables::BY_NPI;

/// Name of the room.
pub const NAME: &str = "enrich";

/// The processor.
pub struct Enrich {
    config: EnrichConfig,
}

impl Processor for Enrich {
    type Input = ValidatedUsage;
    type Output = EnrichedUsage;
    type Tables = EnrichTables;

    fn process(&self, usage: ValidatedUsage, tables: &EnrichTables) -> Verdict<EnrichedUsage> {
        let meta = derived::<EnrichedUsage>(&usage, NAME);
        let mut enriched = EnrichedUsage { meta, ..EnrichedUsage::from(usage) };
        if matches!(enriched.meta.action, Action::Cancel | Action::Retract) {
            // What is taken back is known by its business key; each part that is still found is a help, none is needed.
            let parts = [
                self.add_item(&mut enriched, tables).err(),
                add_supplier(&mut enriched, tables).err(),
                place::add_stock_location(&mut enriched, tables).err(),
                cost_centre::add(&mut enriched, tables).err(),
            ];
            drop(parts);
            return Verdict::emit(enriched);
        }
        match self.add_all(&mut enriched, tables) {
            Ok(()) => Verdict::emit(enriched),
            Err(refusal) => refusal.into_verdict(),
        }
    }
}

impl Enrich {
    /// The processor with its policies.
    #[must_use]
    pub fn new(config: EnrichConfig) -> Self {
        Self { config }
    }

    fn add_all(&self, usage: &mut EnrichedUsage, tables: &EnrichTables) -> Result<(), Box<Refusal>> {
        self.add_item(usage, tables)?;
        place::add_stock_location(usage, tables)?;
        cost_centre::add(usage, tables)?;
        add_supplier(usage, tables)?;
        check_performer(usage, tables);
        Ok(())
    }

    /// Everything that the item's own record says.
    fn add_item(&self, usage: &mut EnrichedUsage, tables: &EnrichTables) -> Result<(), Box<Refusal>> {
        let Some(id) = usage.item_id.clone() else {
            return Err(missing(ITEM_GONE, "item.unknown", "the usage names no item", "itemId", Vec::new()));
        };
        let Some(item) = tables.items.get(&id) else {
            let message = format!("item {id} is not in the item master");
            let subjects = vec![subject(topics::MASTER_ITEM_V1, &id)];
            return Err(missing(ITEM_GONE, "item.unknown", &message, "itemId", subjects));
        };
        usage.erp_item_id.clone_from(&item.erp_id);
        usage.supplier_id.clone_from(&item.supplier_id);
        usage.supplier_item.clone_from(&item.supplier_item);
        usage.consigned = usage.consignment.unwrap_or(item.consignment);
        if usage.base_uom.is_none() && !item.base_uom.is_empty() {
            usage.base_uom = Some(item.base_uom.clone());
        }
        note_used(usage, item.as_ref());
        self.add_price(usage, &item)
    }

    fn add_price(&self, usage: &mut EnrichedUsage, item: &Arc<MasterItem>) -> Result<(), Box<Refusal>> {
        let Some(price) = &item.price else {
            let message = format!("item {} has no price", item.item_id);
            if self.config.price_required {
                let subjects = vec![subject(topics::MASTER_ITEM_V1, &item.item_id)];
                return Err(missing(PRICE_MISSING, "price.missing", &message, "itemId", subjects));
            }
            warn(usage, "price", PRICE_MISSING.as_str(), message);
            return Ok(());
        };
        let quantity = usage.base_quantity.unwrap_or(usage.quantity);
        usage.amount = Some(money::amount(price.amount, quantity, item)?);
        usage.unit_price = Some(price.amount);
        usage.currency = Some(price.currency.clone()).filter(|currency| !currency.is_empty());
        Ok(())
    }
}

/// The declaration of the room.
#[must_use]
pub fn wiring(config: EnrichConfig) -> Wiring<Enrich> {
    Wiring::new(
        NAME,
        "Adds stock location, cost centre valid at the time of use, supplier and price to a usage.",
        Enrich::new(config),
        topics::SUPPLY_USAGE_ENRICHED_V1,
    )
}

/// The room, for a process.
#[must_use]
pub fn room() -> runtime::Room {
    let info = runtime::RoomInfo::of_processor(&wiring(EnrichConfig::default()));
    runtime::Room::processor(info, |config| Ok(wiring(config.room(NAME)?))).configured(|_: &EnrichConfig, _| Ok(()))
}

/// The supplier that the item names. An item without one has none; that is no mistake.
fn add_supplier(usage: &mut EnrichedUsage, tables: &EnrichTables) -> Result<(), Box<Refusal>> {
    let Some(id) = usage.supplier_id.clone() else { return Ok(()) };
    let Some(supplier) = tables.suppliers.get(&id) else {
        let message = format!(
            "supplier {id} of item {} is not in the supplier master",
            usage.item_id.as_deref().unwrap_or_default()
        );
        let subjects = vec![subject(topics::MASTER_SUPPLIER_V1, &id)];
        return Err(missing(SUPPLIER_UNKNOWN, "supplier.unknown", &message, "supplierId", subjects));
    };
    if usage.currency.is_none() && usage.amount.is_some() {
        usage.currency.clone_from(&supplier.currency);
    }
    note_used::<MasterSupplier>(usage, &supplier);
    Ok(())
}

/// Whether the staff identifier is that of somebody employed on the day of use. Never a reason to hold stock back.
fn check_performer(usage: &mut EnrichedUsage, tables: &EnrichTables) {
    let Some(performer) = usage.performer_ref.as_deref() else { return };
    let day = day_of(&usage.meta);
    let found = tables.employees.get(performer).or_else(|| tables.employees.find(BY_NPI, performer).into_iter().next());
    match found {
        Some(employee) => {
            let employed =
                employee.active_from.is_none_or(|from| from <= day) && employee.active_to.is_none_or(|to| day <= to);
            note_used(usage, employee.as_ref());
            if !employed {
                let message = "the performer was not employed on the day of use".to_owned();
                warn(usage, "performer", PERFORMER_UNKNOWN.as_str(), message);
            }
        }
        None => {
            let message = "the performer is not in the employee master".to_owned();
            warn(usage, "performer", PERFORMER_UNKNOWN.as_str(), message);
        }
    }
}

/// Keeps the version of a master record that was used, once.
fn note_used<T: Event>(usage: &mut EnrichedUsage, record: &T) {
    let revision = record.meta().map_or(0, |meta| meta.revision);
    let used = MasterRef { topic: T::topic().name.to_owned(), key: record.key(), revision };
    // A newer version than the one validated with replaces it: this is the one the amounts were made with.
    usage.masters.retain(|known| known.topic != used.topic || known.key != used.key);
    usage.masters.push(used);
}

fn warn(usage: &mut EnrichedUsage, rule: &str, code: &str, detail: String) {
    let check = Check { rule: rule.to_owned(), result: CheckResult::Warned, code: Some(code.to_owned()), detail };
    usage.checks.push(check);
}
