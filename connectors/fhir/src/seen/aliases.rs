//! Under which names a usage may be met again, the surest first.
//!
//! | name | same usage because |
//! | --- | --- |
//! | encounter, article, serial number | a serial number exists once |
//! | encounter, Device resource | another resource refers to the same device |
//! | Procedure, article | a charge or a device use says for which procedure it is |
//! | encounter, article, lot | nothing surer is known |
//! | resource, article | the same resource in another version |
//!
//! All but the first may stand for several pieces, so they are numbered. A resource without encounter is met by patient.

use crate::mapping::Sighting;
use schemas::identity::event_id;

/// A name, without its number.
pub(super) struct Alias {
    text: String,
    /// How sure it is.
    pub(super) kind: Kind,
    /// It holds for the patient, so it counts only where an encounter is not known.
    pub(super) of_patient: bool,
}

/// How sure a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Exists once.
    Serial,
    /// May stand for several pieces.
    Numbered,
}

impl Alias {
    /// Lengths keep ("a", "bc") apart from ("ab", "c").
    fn new(parts: &[&str], kind: Kind, of_patient: bool) -> Self {
        Self { text: parts.iter().map(|part| format!("{}:{part}", part.len())).collect(), kind, of_patient }
    }

    /// The name with its number; a digest, so that it holds no identifier.
    pub(super) fn numbered(&self, number: usize) -> String {
        event_id("alias", &self.text, &number.to_string(), "usage")
    }
}

/// The names of a sighting in `resource`, the surest first. Never empty.
pub(super) fn of(sighting: &Sighting, resource: &str) -> Vec<Alias> {
    let facts = &sighting.facts;
    let di = facts.udi.as_ref().and_then(|udi| udi.di.clone());
    let article = di.clone().or_else(|| sighting.names.first().cloned()).unwrap_or_default();
    let encounter = sighting.in_encounter.then(|| (facts.encounter_ref.clone(), false));
    let patient = facts.patient_ref.clone().map(|patient| (patient, true));
    let scopes: Vec<(String, bool)> = encounter.into_iter().chain(patient).collect();
    let mut aliases = Vec::new();
    if let Some(serial) = &facts.serial {
        aliases.extend(scoped(&scopes, Kind::Serial, &["serial", &article, serial]));
    }
    if let Some(device) = &sighting.device {
        aliases.extend(scoped(&scopes, Kind::Numbered, &["device", device]));
    }
    if let Some(procedure) = &sighting.procedure {
        let names = di.iter().chain(&sighting.names);
        aliases.extend(names.map(|name| Alias::new(&["procedure", procedure, name], Kind::Numbered, false)));
    }
    if let Some(lot) = &facts.lot {
        aliases.extend(scoped(&scopes, Kind::Numbered, &["lot", &article, lot]));
    }
    aliases.push(Alias::new(&["resource", resource, &article], Kind::Numbered, false));
    aliases
}

fn scoped(scopes: &[(String, bool)], kind: Kind, what: &[&str]) -> Vec<Alias> {
    let alias =
        |(scope, of_patient): &(String, bool)| Alias::new(&[&[scope.as_str()], what].concat(), kind, *of_patient);
    scopes.iter().map(alias).collect()
}
