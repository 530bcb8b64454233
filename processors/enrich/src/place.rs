//! From the place of use to the stock it draws from.

use crate::reasons::{LOCATION_GONE, NO_STOCK_LOCATION, Refusal, missing, subject};
use crate::{EnrichTables, note_used};
use processor::Subject;
use schemas::{EnrichedUsage, MasterLocation, topics};
use std::sync::Arc;

/// Most levels that are climbed from a bed to the building.
const LEVELS_MAX: usize = 16;

/// Adds the stock location: that of the place of use, else of the nearest place above it.
pub(crate) fn add_stock_location(usage: &mut EnrichedUsage, tables: &EnrichTables) -> Result<(), Box<Refusal>> {
    let levels = levels(usage, tables)?;
    let Some(level) = levels.iter().find(|level| level.stock_location_id.is_some()) else {
        let place = usage.location_id.as_deref().unwrap_or_default();
        let message = format!("neither location {place} nor any above it draws from a stock location");
        return Err(missing(NO_STOCK_LOCATION, "stock-location.missing", &message, "locationId", subjects(&levels)));
    };
    usage.stock_location_id.clone_from(&level.stock_location_id);
    for used in levels.iter().take(1).chain([level]) {
        note_used(usage, used.as_ref());
    }
    Ok(())
}

/// The place of use and the places above it, nearest first.
pub(crate) fn levels(usage: &EnrichedUsage, tables: &EnrichTables) -> Result<Vec<Arc<MasterLocation>>, Box<Refusal>> {
    let Some(id) = usage.location_id.as_deref() else {
        return Err(missing(
            LOCATION_GONE,
            "location.unknown",
            "the usage names no location",
            "locationId",
            Vec::new(),
        ));
    };
    let Some(place) = tables.locations.get(id) else {
        let message = format!("location {id} is not in the location master");
        let subjects = vec![subject(topics::MASTER_LOCATION_V1, id)];
        return Err(missing(LOCATION_GONE, "location.unknown", &message, "locationId", subjects));
    };
    let mut levels = vec![place];
    while let Some(above) =
        levels.last().and_then(|level| level.parent.as_deref()).and_then(|id| tables.locations.get(id))
    {
        let circle = levels.iter().any(|level| level.location_id == above.location_id);
        if circle || levels.len() >= LEVELS_MAX {
            break;
        }
        levels.push(above);
    }
    Ok(levels)
}

/// What would end the waiting for something that one of these places should say.
pub(crate) fn subjects(levels: &[Arc<MasterLocation>]) -> Vec<Subject> {
    let known = levels.iter().map(|level| level.location_id.as_str());
    // The place above the last one may be missing.
    let above = levels.last().and_then(|level| level.parent.as_deref());
    known.chain(above).map(|id| subject(topics::MASTER_LOCATION_V1, id)).collect()
}
