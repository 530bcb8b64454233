//! Recognises the article and the place of a usage and checks lot, serial, expiry, quantity, unit and UDI.
//!
//! ```text
//! usage {udi: 00844588003288, quantity: 2, uom: BX, location: OR1}  +  item 71-100234 {gtin, BX = 100 u}  +  location OR1
//!     -> validated {itemId: 71-100234, itemMatch: GTIN, locationId: OR1, baseQuantity: 200, baseUom: u, checks}
//! ```
//! Replay-safe: the verdict depends on the usage and the tables alone; time is the time of use.

mod checks;
mod config;
mod crosswalk;
mod findings;
mod item;
mod place;
mod suggest;
mod tables;
mod unit;

pub use config::{Policy, ValidateConfig};
pub use tables::ValidateTables;

use findings::{Findings, Refusal};
use item::Recognised;
use place::Place;
use processor::{Processor, Verdict, Wiring, derived};
use schemas::{Action, Event, ItemMatch, MasterRef, SupplyUsage, ValidatedUsage, topics};

/// Name of the room.
pub const NAME: &str = "validate";

/// The processor.
pub struct Validate {
    config: ValidateConfig,
}

impl Processor for Validate {
    type Input = SupplyUsage;
    type Output = ValidatedUsage;
    type Tables = ValidateTables;

    fn process(&self, usage: SupplyUsage, tables: &ValidateTables) -> Verdict<ValidatedUsage> {
        let outcome = match usage.meta.action {
            // What is taken back must be taken back, whatever the master data says today.
            Action::Cancel | Action::Retract => Ok(self.take_back(usage, tables)),
            _ => self.check(usage, tables),
        };
        match outcome {
            Ok(validated) => Verdict::emit(validated),
            Err(refusal) => refusal.into_verdict(),
        }
    }
}

impl Validate {
    /// The processor with its policies.
    #[must_use]
    pub fn new(config: ValidateConfig) -> Self {
        Self { config }
    }

    fn check(&self, usage: SupplyUsage, tables: &ValidateTables) -> Result<ValidatedUsage, Box<Refusal>> {
        checks::quantity_not_zero(&usage)?;
        let mut findings = Findings::default();
        let recognised = item::recognise(&usage, tables, &self.config)?;
        checks::item_usable(&recognised.item, &self.config, &mut findings)
            .map_err(|refusal| item::or_mapped(*refusal, &usage))?;
        let place = place::recognise(&usage, tables, &self.config, &mut findings)?;
        checks::lot_and_serial(&usage, &recognised.item, &self.config, &mut findings)?;
        checks::expiry(&usage, &recognised.item, &self.config, &mut findings)?;
        checks::udi(&usage, &recognised, tables, &self.config, &mut findings)?;
        let base_quantity = unit::convert(&usage, &recognised, &self.config, &mut findings)?;
        checks::quantity(&recognised.item, base_quantity, &self.config, &mut findings)?;
        let mut validated = start(usage);
        name_place(&mut validated, &place);
        validated.base_quantity = Some(base_quantity);
        validated.checks = findings.into_checks();
        name_item(&mut validated, &recognised);
        Ok(validated)
    }

    /// Adds what can be recognised and refuses nothing: the effect that is undone is known by its business key.
    fn take_back(&self, usage: SupplyUsage, tables: &ValidateTables) -> ValidatedUsage {
        let mut findings = Findings::default();
        let recognised = item::recognise(&usage, tables, &self.config).ok();
        let place = place::recognise(&usage, tables, &self.config, &mut findings).ok();
        let base_quantity = recognised
            .as_ref()
            .and_then(|recognised| unit::convert(&usage, recognised, &self.config, &mut findings).ok());
        let mut validated = start(usage);
        if let Some(place) = place {
            name_place(&mut validated, &place);
        }
        validated.base_quantity = base_quantity;
        validated.checks = findings.into_checks();
        if let Some(recognised) = &recognised {
            name_item(&mut validated, recognised);
        }
        validated
    }
}

/// The declaration of the room.
#[must_use]
pub fn wiring(config: ValidateConfig) -> Wiring<Validate> {
    Wiring::new(
        NAME,
        "Recognises article and place of a usage and checks lot, expiry, quantity, unit and UDI.",
        Validate::new(config),
        topics::SUPPLY_USAGE_VALIDATED_V1,
    )
}

/// The room, for a process.
#[must_use]
pub fn room() -> runtime::Room {
    let info = runtime::RoomInfo::of_processor(&wiring(ValidateConfig::default()));
    runtime::Room::processor(info, |config| Ok(wiring(config.room(NAME)?))).configured(|_: &ValidateConfig, _| Ok(()))
}

fn start(usage: SupplyUsage) -> ValidatedUsage {
    let meta = derived::<ValidatedUsage>(&usage, NAME);
    ValidatedUsage { meta, item_match: ItemMatch::None, ..ValidatedUsage::from(usage) }
}

fn name_item(validated: &mut ValidatedUsage, recognised: &Recognised) {
    let item = recognised.item.as_ref();
    validated.item_id = Some(item.item_id.clone());
    validated.item_match = recognised.how;
    validated.base_uom = Some(item.base_uom.clone()).filter(|uom| !uom.is_empty());
    validated.masters.insert(0, used(item));
    validated.masters.extend(recognised.mapping.as_deref().map(used));
}

fn name_place(validated: &mut ValidatedUsage, place: &Place) {
    validated.location_id = Some(place.location.location_id.clone());
    validated.masters.push(used(place.location.as_ref()));
    validated.masters.extend(place.mapping.as_deref().map(used));
}

/// The version of a master record that was used.
fn used<T: Event>(record: &T) -> MasterRef {
    MasterRef {
        topic: T::topic().name.to_owned(),
        key: record.key(),
        revision: record.meta().map_or(0, |meta| meta.revision),
    }
}
