//! Who pays: the cost centre that was valid on the day of use, not on the day of processing.
//!
//! The department decides when a cost centre claims it; else the place of use, or the nearest place above it of which anything
//! is said.

use crate::place::{levels, subjects};
use crate::reasons::{COST_CENTRE_AMBIGUOUS, COST_CENTRE_NOT_VALID, NO_COST_CENTRE, Refusal, missing, subject, wrong};
use crate::tables::BY_DEPARTMENT;
use crate::{EnrichTables, note_used};
use processor::{Subject, day_of};
use schemas::{Date, EnrichedUsage, MasterCostCenter, topics};
use std::sync::Arc;

/// Adds the cost centre.
pub(crate) fn add(usage: &mut EnrichedUsage, tables: &EnrichTables) -> Result<(), Box<Refusal>> {
    let day = day_of(&usage.meta);
    let cost_centre = match of_department(usage, tables, day)? {
        Some(found) => found,
        None => of_place(usage, tables, day)?,
    };
    usage.cost_centre_id = Some(cost_centre.cost_centre_id.clone());
    note_used(usage, cost_centre.as_ref());
    Ok(())
}

/// The one that claims the department; `None` when none ever did.
fn of_department(
    usage: &EnrichedUsage,
    tables: &EnrichTables,
    day: Date,
) -> Result<Option<Arc<MasterCostCenter>>, Box<Refusal>> {
    let Some(department) = department(usage) else { return Ok(None) };
    let claiming = tables.cost_centres.find(BY_DEPARTMENT, department);
    choose(&claiming, &format!("department {department}"), "department", day)
}

/// The one that the place of use names, else the one that claims it; where nobody says anything of it, that of the nearest
/// place above.
fn of_place(usage: &EnrichedUsage, tables: &EnrichTables, day: Date) -> Result<Arc<MasterCostCenter>, Box<Refusal>> {
    let levels = levels(usage, tables)?;
    let mut absent: Vec<Subject> = department(usage).map(cost_centre_subject).into_iter().collect();
    for level in &levels {
        let place = &level.location_id;
        let named = level.cost_centre_id.as_deref().filter(|id| !id.is_empty());
        let known: Vec<_> = named.and_then(|id| tables.cost_centres.get(id)).into_iter().collect();
        if let Some(found) = choose(&known, &format!("location {place}"), "locationId", day)? {
            return Ok(found);
        }
        let claiming = tables.cost_centres.find(BY_DEPARTMENT, place);
        if let Some(found) = choose(&claiming, &format!("location {place}"), "locationId", day)? {
            return Ok(found);
        }
        absent.extend([cost_centre_subject(place), subject(topics::MASTER_LOCATION_V1, place)]);
        // Locations and cost centres come in no order. The place above pays for one that names nobody, never instead of the
        // one that is named and may still come.
        if let Some(id) = named {
            absent.push(cost_centre_subject(id));
            let message = format!("cost centre {id} of location {place} is not in the cost centre master");
            return Err(missing(NO_COST_CENTRE, "cost-centre.unknown", &message, "locationId", absent));
        }
    }
    absent.extend(subjects(&levels));
    let place = usage.location_id.as_deref().unwrap_or_default();
    let message = match department(usage) {
        Some(department) => format!("neither department {department} nor location {place} has a cost centre"),
        None => format!("location {place} has no cost centre"),
    };
    Err(missing(NO_COST_CENTRE, "cost-centre.missing", &message, "department", absent))
}

/// The only one that was valid on the day; `None` when there is none at all.
fn choose(
    found: &[Arc<MasterCostCenter>],
    claimed: &str,
    path: &str,
    day: Date,
) -> Result<Option<Arc<MasterCostCenter>>, Box<Refusal>> {
    if found.is_empty() {
        return Ok(None);
    }
    let valid: Vec<_> = found.iter().filter(|cost_centre| is_valid(cost_centre, day)).cloned().collect();
    match valid.as_slice() {
        [only] => Ok(Some(Arc::clone(only))),
        [] => {
            let message = format!("no cost centre of {claimed} is valid on {day}: {}", ids(found));
            Err(wrong(COST_CENTRE_NOT_VALID, "cost-centre.not-valid", &message, path, all(found)))
        }
        several => {
            let message = format!("several cost centres of {claimed} are valid on {day}: {}", ids(several));
            Err(wrong(COST_CENTRE_AMBIGUOUS, "cost-centre.ambiguous", &message, path, all(several)))
        }
    }
}

/// Valid by its days when it has any. A closed one with an end is still right for what happened before that end, though
/// the ERP marks it inactive today.
fn is_valid(cost_centre: &MasterCostCenter, day: Date) -> bool {
    let within =
        cost_centre.valid_from.is_none_or(|from| from <= day) && cost_centre.valid_to.is_none_or(|to| day <= to);
    within && (cost_centre.active || cost_centre.valid_to.is_some())
}

fn department(usage: &EnrichedUsage) -> Option<&str> {
    usage.department.as_deref().map(str::trim).filter(|department| !department.is_empty())
}

fn ids(found: &[Arc<MasterCostCenter>]) -> String {
    let ids: Vec<&str> = found.iter().map(|cost_centre| cost_centre.cost_centre_id.as_str()).take(5).collect();
    ids.join(", ")
}

fn all(found: &[Arc<MasterCostCenter>]) -> Vec<Subject> {
    found.iter().take(5).map(|cost_centre| cost_centre_subject(&cost_centre.cost_centre_id)).collect()
}

fn cost_centre_subject(key: &str) -> Subject {
    subject(topics::MASTER_COST_CENTER_V1, key)
}
