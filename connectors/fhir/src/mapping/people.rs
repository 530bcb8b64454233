//! Who and where: pseudonyms of visits and patients, and places.

use super::Reading;
use crate::node::{Node, Reference};
use crate::outcome::{code, warning};
use fhir_gate::json::Json;
use schemas::{Location, Warning};
use std::sync::Arc;

/// The visit that a resource belongs to.
pub(super) struct Visit {
    /// Pseudonym.
    pub(super) encounter_ref: String,
    /// Name of the Encounter resource, when one is named.
    pub(super) resource: Option<String>,
    /// Where the patient is, when the Encounter says so.
    pub(super) location: Option<Location>,
}

impl Reading<'_> {
    /// The visit that this resource refers to; `None` when it names none.
    pub(super) fn visit(&self, element: &str, warnings: &mut Vec<Warning>) -> Option<Visit> {
        self.visit_of(&self.root, &self.resource, element, warnings)
    }

    /// The visit that a resource refers to; `name` is that of the resource.
    pub(super) fn visit_of(
        &self,
        resource: &Node<'_>,
        name: &str,
        element: &str,
        warnings: &mut Vec<Warning>,
    ) -> Option<Visit> {
        let pseudonyms = &self.profile.pseudonyms;
        let reference = resource.child_reference(element)?;
        let target = match self.target(&reference) {
            Some(target) if reference.may_be("Encounter") => target,
            // An EpisodeOfCare is no visit.
            Some(_) => return None,
            None => {
                let number = reference.identifier.as_deref()?;
                let encounter_ref = pseudonyms.encounter(&self.profile.facility, number);
                return Some(Visit { encounter_ref, resource: None, location: None });
            }
        };
        let (target, encounter) = self.pointed_at(resource, name, target);
        // Inside of a Bundle the Encounter itself has another name than the references to it.
        let own_name = (!target.starts_with("urn:")).then(|| target.clone());
        if let Some(encounter) = encounter {
            let node = Node::root(&encounter);
            let encounter_ref = self.encounter_ref(&node, &target);
            let visit = Visit { encounter_ref, resource: own_name, location: last_location(&node) };
            return (node.text("resourceType") == Some("Encounter")).then_some(visit);
        }
        warnings.push(warning(
            code::INCOMPLETE,
            format!("{}.{element}", resource.path),
            "the Encounter was not at hand, so its id stands for the visit number",
        ));
        let encounter_ref = pseudonyms.encounter(&self.profile.system, &target);
        Some(Visit { encounter_ref, resource: own_name, location: None })
    }

    /// The name of what a reference in `resource` points to, and what stands there when it is at hand. A contained resource
    /// has its id only inside of the one that holds it.
    fn pointed_at(&self, resource: &Node<'_>, name: &str, target: String) -> (String, Option<Arc<Json>>) {
        let Some(id) = target.strip_prefix('#') else {
            let found = self.shelved(&target);
            return (target, found);
        };
        let contained = resource.items("contained").into_iter().find(|node| node.text("id") == Some(id));
        (format!("{name}#{id}"), contained.map(|node| Arc::new(node.json.clone())))
    }

    /// The pseudonym of an Encounter: of its visit number, else of its id.
    pub(super) fn encounter_ref(&self, encounter: &Node<'_>, name: &str) -> String {
        match number(encounter, "VN", &self.profile.visit_number_systems) {
            Some(number) => self.profile.pseudonyms.encounter(&self.profile.facility, number),
            None => self.profile.pseudonyms.encounter(&self.profile.system, name),
        }
    }

    /// The pseudonym of the patient that this resource is about; `None` when it is about something else.
    pub(super) fn patient(&self, element: &str) -> Option<String> {
        let reference = self.root.child_reference(element)?;
        let pseudonyms = &self.profile.pseudonyms;
        let target = match self.target(&reference) {
            Some(target) if reference.may_be("Patient") => target,
            Some(_) => return None,
            None => return Some(pseudonyms.patient(&self.profile.facility, reference.identifier.as_deref()?)),
        };
        let (target, patient) = self.pointed_at(&self.root, &self.resource, target);
        if patient.as_ref().is_some_and(|patient| patient.text("resourceType") != Some("Patient")) {
            return None;
        }
        let known = patient.as_deref().map(Node::root);
        let number = known.as_ref().and_then(|patient| number(patient, "MR", &self.profile.patient_number_systems));
        Some(match number {
            Some(number) => pseudonyms.patient(&self.profile.facility, number),
            None => pseudonyms.patient(&self.profile.system, &target),
        })
    }

    /// The place that a reference names.
    pub(super) fn place(&self, element: &str) -> Option<Location> {
        place(&self.root.child_reference(element)?)
    }

    /// Who did it, as a staff identifier: the first performer.
    pub(super) fn performer(&self) -> Option<String> {
        self.root.items("performer").iter().find_map(|performer| staff(&performer.child_reference("actor")?))
    }
}

/// A staff identifier: a name that only a person reads is personal data and no identifier.
pub(super) fn staff(reference: &Reference) -> Option<String> {
    Reference { display: None, ..reference.clone() }.name()
}

/// The place that a reference names: its identifier, else its id, else its text.
pub(super) fn place(reference: &Reference) -> Option<Location> {
    Some(Location { code: Some(reference.name()?), ..Location::default() })
}

/// The places of an Encounter, the one that counts last: the last active one, else the last that was not only planned.
pub(super) fn locations(encounter: &Node<'_>) -> Vec<Location> {
    let mut found: Vec<(bool, Location)> = encounter
        .items("location")
        .iter()
        .filter(|entry| !matches!(entry.text("status"), Some("planned" | "reserved")))
        .filter_map(|entry| Some((entry.text("status") == Some("active"), place(&entry.child_reference("location")?)?)))
        .collect();
    // Stable: an active place counts more than what follows it.
    found.sort_by_key(|(active, _)| *active);
    found.into_iter().map(|(_, location)| location).collect()
}

fn last_location(encounter: &Node<'_>) -> Option<Location> {
    locations(encounter).pop()
}

/// The value of the identifier with this type (HL7 table 0203) or one of these systems.
fn number<'a>(resource: &Node<'a>, kind: &str, systems: &[String]) -> Option<&'a str> {
    let is_of_kind = |identifier: &Json| {
        let codings = identifier.get("type").and_then(|concept| concept.get("coding"));
        codings.is_some_and(|codings| codings.items().iter().any(|coding| coding.text("code") == Some(kind)))
    };
    let is_of_system =
        |identifier: &Json| identifier.text("system").is_some_and(|system| systems.iter().any(|known| known == system));
    let identifiers = resource.items("identifier");
    let in_use = || identifiers.iter().filter(|identifier| identifier.text("use") != Some("old"));
    let by_kind = in_use().find(|identifier| is_of_kind(identifier.json));
    by_kind.or_else(|| in_use().find(|identifier| is_of_system(identifier.json)))?.text("value")
}
