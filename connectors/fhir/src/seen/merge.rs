//! What a further statement adds to a usage that was told.

use crate::mapping::{DeviceFacts, Sighting};
use schemas::{Code, Precision, SupplyUsage, UsageKind};

/// What is known about the telling of a usage besides its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Ground {
    /// The quantity was stated.
    pub(super) counted: bool,
    /// The place was stated.
    pub(super) placed: bool,
}

/// Fills what is missing. With `correcting`, the resource that first stated the usage says something else now, so its word
/// replaces what it said before; what it does not mention stays, because another resource may have added it.
pub(super) fn add(told: &SupplyUsage, ground: &mut Ground, sighting: &Sighting, correcting: bool) -> SupplyUsage {
    let (mut merged, new) = (told.clone(), &sighting.facts);
    put(&mut merged.udi, &new.udi, correcting);
    put(&mut merged.lot, &new.lot, correcting);
    put(&mut merged.serial, &new.serial, correcting);
    put(&mut merged.item_ref, &new.item_ref, correcting);
    put(&mut merged.patient_ref, &new.patient_ref, false);
    put(&mut merged.department, &new.department, correcting);
    put(&mut merged.procedure, &new.procedure, correcting);
    put(&mut merged.performer_ref, &new.performer_ref, correcting);
    put(&mut merged.stated_amount, &new.stated_amount, correcting);
    put(&mut merged.meta.occurred_at, &new.meta.occurred_at, correcting);
    if merged.meta.occurred_at == new.meta.occurred_at {
        merged.meta.occurred_precision = new.meta.occurred_precision;
        merged.meta.occurred_offset_minutes = new.meta.occurred_offset_minutes;
    }
    put_expiry(&mut merged, new.expiry, new.expiry_precision, correcting);
    put(&mut merged.location, &new.location, correcting && (sighting.placed || !ground.placed));
    if sighting.placed && !ground.placed {
        merged.location.clone_from(&new.location);
    }
    if sighting.counted && (correcting || !ground.counted) {
        merged.quantity = new.quantity;
        merged.uom.clone_from(&new.uom);
    }
    // A charge says used of what the procedure says implanted.
    if correcting || new.usage == UsageKind::Implanted {
        merged.usage = new.usage;
    }
    add_codes(&mut merged.item_refs, new.item_ref.iter().chain(&new.item_refs), merged.item_ref.as_ref());
    for order in &new.order_refs {
        if !merged.order_refs.contains(order) {
            merged.order_refs.push(order.clone());
        }
    }
    ground.counted |= sighting.counted;
    ground.placed |= sighting.placed;
    merged
}

/// What the Device says now; the device is the authority on itself.
pub(super) fn correct(told: &SupplyUsage, device: &DeviceFacts) -> SupplyUsage {
    let mut merged = told.clone();
    put(&mut merged.udi, &device.udi, true);
    put(&mut merged.lot, &device.lot, true);
    put(&mut merged.serial, &device.serial, true);
    if let Some((expiry, precision)) = device.expiry {
        put_expiry(&mut merged, Some(expiry), precision, true);
    }
    add_codes(&mut merged.item_refs, device.codes.iter(), merged.item_ref.as_ref());
    merged
}

/// Whether the difference is worth a new revision: it changes what is taken from stock, where, when, or who pays. Further
/// codes and order numbers, or implanted instead of used, alone do not; they go along with the next revision.
pub(super) fn tells_more(told: &SupplyUsage, merged: &SupplyUsage) -> bool {
    let facts = |usage: &SupplyUsage| {
        let place = (usage.location.clone(), usage.meta.occurred_at);
        let device = (usage.udi.clone(), usage.lot.clone(), usage.serial.clone(), usage.expiry, usage.expiry_precision);
        (device, usage.quantity, usage.uom.clone(), place)
    };
    let named = |usage: &SupplyUsage| usage.item_ref.clone().filter(|_| usage.udi.is_none());
    let unplaced = told.location.is_none() && told.department != merged.department;
    facts(told) != facts(merged) || named(told) != named(merged) || unplaced
}

fn put<T: Clone>(told: &mut Option<T>, new: &Option<T>, correcting: bool) {
    if new.is_some() && (correcting || told.is_none()) {
        told.clone_from(new);
    }
}

fn put_expiry(merged: &mut SupplyUsage, expiry: Option<schemas::Date>, precision: Precision, correcting: bool) {
    if expiry.is_some() && (correcting || merged.expiry.is_none()) {
        merged.expiry = expiry;
        merged.expiry_precision = precision;
    }
}

fn add_codes<'a>(told: &mut Vec<Code>, new: impl Iterator<Item = &'a Code>, first: Option<&Code>) {
    for code in new {
        let known = |other: &Code| other.code == code.code && other.system == code.system;
        if !told.iter().any(known) && !first.is_some_and(known) {
            told.push(code.clone());
        }
    }
}
