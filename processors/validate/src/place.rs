//! Which place of the master is meant.

use crate::ValidateConfig;
use crate::checks::amend;
use crate::crosswalk::{self, LOCATION, broken, mapped};
use crate::findings::{Findings, LOCATION_AMBIGUOUS, LOCATION_INACTIVE, LOCATION_UNKNOWN, LOCATION_UNNAMED, Refusal};
use crate::tables::{BY_PL, ValidateTables};
use processor::{Reason, Subject, day_of};
use schemas::{Date, Location, MasterCrosswalk, MasterLocation, SupplyUsage, topics};
use std::sync::Arc;

/// The place, and what people have decided about its name, where that was it.
pub(crate) struct Place {
    /// The place.
    pub(crate) location: Arc<MasterLocation>,
    /// The mapping that names it.
    pub(crate) mapping: Option<Arc<MasterCrosswalk>>,
}

/// Finds the place of a usage: the most specific name that is known decides; of one name, what people have mapped it to. A refusal
/// ends with a mapping of any name that was sent.
pub(crate) fn recognise(
    usage: &SupplyUsage,
    tables: &ValidateTables,
    config: &ValidateConfig,
    findings: &mut Findings,
) -> Result<Place, Box<Refusal>> {
    let names = names(usage);
    find(usage, &names, tables, config, findings).map_err(|refusal| {
        let mappings = names.iter().map(|name| crosswalk::subject(LOCATION, usage, name));
        Box::new(mappings.fold(*refusal, Refusal::until))
    })
}

fn find(
    usage: &SupplyUsage,
    names: &[String],
    tables: &ValidateTables,
    config: &ValidateConfig,
    findings: &mut Findings,
) -> Result<Place, Box<Refusal>> {
    if names.is_empty() {
        return Err(Box::new(Refusal::Reject(unnamed())));
    }
    let day = day_of(&usage.meta);
    for name in names {
        let mapped = mapped(LOCATION, usage, name, tables);
        let found = match (&mapped, tables.locations.get(mapped.as_ref().map_or(name, |(_, target)| target))) {
            (_, Some(location)) => vec![location],
            (Some((mapping, target)), None) => {
                return Err(broken(mapping, target, "location", topics::MASTER_LOCATION_V1.name()));
            }
            (None, None) => tables.locations.find(BY_PL, name),
        };
        if found.is_empty() {
            continue;
        }
        let location = only(found, name, day)?;
        if valid(&location, day) {
            findings.passed("location");
        } else {
            findings.judge("location", config.location_inactive, inactive(&location))?;
        }
        return Ok(Place { location, mapping: mapped.map(|(mapping, _)| mapping) });
    }
    Err(Box::new(Refusal::Wait(unknown(names))))
}

/// The names of the place, most specific first; of the department only when no place was sent.
fn names(usage: &SupplyUsage) -> Vec<String> {
    let mut names = usage.location.as_ref().map(location_names).unwrap_or_default();
    if names.is_empty() {
        names.extend(usage.department.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned));
    }
    names
}

/// `unit^room^bed^facility` and its more general forms, trailing parts left out (HL7 v2 data type PL).
fn location_names(location: &Location) -> Vec<String> {
    let text = |part: &Option<String>| part.as_deref().unwrap_or_default().trim().to_owned();
    let (unit, room, bed) = (text(&location.unit), text(&location.room), text(&location.bed));
    let (facility, code) = (text(&location.facility), text(&location.code));
    let mut names: Vec<String> = Vec::new();
    for parts in [[&unit, &room, &bed], [&unit, &room, &String::new()], [&unit, &String::new(), &String::new()]] {
        let place = format!("{}^{}^{}", parts[0], parts[1], parts[2]);
        let bare = place.trim_end_matches('^');
        if bare.is_empty() {
            continue;
        }
        let of_facility = (!facility.is_empty()).then(|| format!("{place}^{facility}"));
        for name in of_facility.into_iter().chain([bare.to_owned()]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    if !code.is_empty() && !names.contains(&code) {
        names.push(code);
    }
    names
}

fn only(found: Vec<Arc<MasterLocation>>, name: &str, day: Date) -> Result<Arc<MasterLocation>, Box<Refusal>> {
    let mut usable = found.iter().filter(|location| valid(location, day));
    match (usable.next(), usable.next(), found.as_slice()) {
        (Some(location), None, _) | (None, None, [location]) => Ok(Arc::clone(location)),
        _ => Err(Box::new(Refusal::Reject(ambiguous(&found, name)))),
    }
}

fn valid(location: &MasterLocation, day: Date) -> bool {
    location.active
        && location.valid_from.is_none_or(|from| from <= day)
        && location.valid_to.is_none_or(|to| day <= to)
}

fn unknown(names: &[String]) -> Reason {
    let named = names.first().map(String::as_str).unwrap_or_default();
    let reason = Reason::new(LOCATION_UNKNOWN, "location.unknown", format!("no location is known as {named}"))
        .at("location")
        .fix(format!(
            "add {named} to the locations in the ERP, or map it to the one that is meant with `wardline exceptions map`"
        ));
    names.iter().fold(reason, |reason, name| reason.until(subject(name)))
}

fn unnamed() -> Reason {
    Reason::new(LOCATION_UNNAMED, "location.unnamed", "the usage names neither a place nor a department")
        .at("location")
        .at("department")
        .fix(format!("find out where the article was used, then {}", amend("department")))
}

fn inactive(location: &MasterLocation) -> Reason {
    let message = format!("location {} is inactive or not valid on the day of use", location.location_id);
    Reason::new(LOCATION_INACTIVE, "location.inactive", message)
        .at("location")
        .until(subject(&location.location_id))
        .fix(format!("correct the validity of the location in the ERP; if the place is wrong, {}", amend("location")))
}

fn ambiguous(found: &[Arc<MasterLocation>], name: &str) -> Reason {
    let ids: Vec<&str> = found.iter().map(|location| location.location_id.as_str()).take(5).collect();
    let message = format!("{name} is the name of {} locations: {}", found.len(), ids.join(", "));
    let reason = Reason::new(LOCATION_AMBIGUOUS, "location.ambiguous", message)
        .at("location")
        .fix(format!(
            "give the clinical name {name} to one of these locations only, or map it to the one that is meant with `wardline exceptions map`"
        ));
    ids.iter().fold(reason, |reason, id| reason.until(subject(id)))
}

fn subject(name: &str) -> Subject {
    Subject::new(topics::MASTER_LOCATION_V1.name(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_from_the_bed_to_the_ward() {
        let part = |text: &str| Some(text.to_owned());
        let location =
            Location { unit: part("4N"), room: part("401"), bed: part("A"), facility: part("GH"), code: part("x") };
        assert_eq!(
            location_names(&location),
            ["4N^401^A^GH", "4N^401^A", "4N^401^^GH", "4N^401", "4N^^^GH", "4N", "x"]
        );
        assert_eq!(location_names(&Location { code: part("OR1"), ..Location::default() }), ["OR1"]);
        assert!(location_names(&Location { facility: part("GH"), ..Location::default() }).is_empty());
    }
}
