//! Tells resources one after the other and writes down what becomes of them.

#![allow(dead_code, reason = "each test file uses its part")]

use schemas::identity::Pseudonymizer;
use schemas::{Encounter, SupplyUsage, Timestamp};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use wardline_fhir::json::Json;
use wardline_fhir::{ClinicalEvent, Context, Found, Outcome, Profile, Seen, Shelf, Version};

/// 2026-09-14T22:00:00Z.
pub const NOW: Timestamp = Timestamp(1_789_423_200_000_000);

pub fn profile() -> Profile {
    Profile {
        base_url: "http://server/fhir".to_owned(),
        system: "test".to_owned(),
        facility: "GENERAL".to_owned(),
        pseudonyms: Pseudonymizer::new(b"0123456789abcdef").unwrap(),
        visit_number_systems: vec!["urn:visits".to_owned()],
        patient_number_systems: Vec::new(),
        understood_modifiers: Vec::new(),
    }
}

/// A hospital with a FHIR server: what is stored is on the shelf.
pub struct Ward {
    pub profile: Profile,
    pub seen: Seen,
    pub version: Option<Version>,
    shelf: Stored,
    names: HashMap<String, usize>,
}

#[derive(Default)]
struct Stored {
    resources: HashMap<String, Arc<Json>>,
    missing_is_gone: bool,
}

impl Shelf for Stored {
    fn find(&self, target: &str) -> Found {
        match self.resources.get(target) {
            Some(resource) => Found::Here(Arc::clone(resource)),
            None if self.missing_is_gone => Found::Gone,
            None => Found::NotAtHand,
        }
    }
}

impl Ward {
    pub fn new() -> Self {
        Self {
            profile: profile(),
            seen: Seen::default(),
            version: None,
            shelf: Stored::default(),
            names: HashMap::new(),
        }
    }

    /// A server that has nothing but what is stored.
    pub fn asked() -> Self {
        let mut ward = Self::new();
        ward.shelf.missing_is_gone = true;
        ward
    }

    /// Puts a resource on the shelf without telling it.
    pub fn store(&mut self, resource: &str) {
        let json = Json::read(resource.as_bytes()).unwrap();
        let name = format!("{}/{}", json.text("resourceType").unwrap(), json.text("id").unwrap());
        self.shelf.resources.insert(name, Arc::new(json));
    }

    /// Stores a resource and tells it; one line per event.
    pub fn tell(&mut self, resource: &str) -> String {
        if Json::read(resource.as_bytes()).is_ok_and(|json| json.text("id").is_some()) {
            self.store(resource);
        }
        let outcome = self.outcome(resource);
        self.write(&outcome)
    }

    /// What becomes of a resource.
    pub fn outcome(&mut self, resource: &str) -> Outcome {
        let context = Context { profile: &self.profile, version: self.version, shelf: &self.shelf, received_at: NOW };
        wardline_fhir::map(resource.as_bytes(), &context, &mut self.seen)
    }

    /// What becomes of a deletion.
    pub fn delete(&mut self, name: &str) -> String {
        let context = Context { profile: &self.profile, version: self.version, shelf: &self.shelf, received_at: NOW };
        let outcome = wardline_fhir::parse::withdraw(name, Some("9"), &context, &mut self.seen);
        self.write(&outcome)
    }

    /// The session ends and another one reads the state back.
    pub fn restart(&mut self, stored: &mut HashMap<String, String>) {
        for changed in self.seen.changes() {
            match changed.entry {
                Some(entry) => stored.insert(changed.stream, entry),
                None => stored.remove(&changed.stream),
            };
        }
        self.seen = Seen::default();
        for (stream, entry) in stored {
            self.seen.restore(stream, entry).unwrap();
        }
    }

    fn write(&mut self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Events(events) => events.iter().map(|event| self.line(event)).collect::<Vec<_>>().join("\n"),
            Outcome::Dropped(rule) => format!("dropped {}", rule.rule),
            Outcome::Exception(refusal) => format!("exception {refusal}"),
            Outcome::DeadLetter(refusal) => format!("dead-letter {refusal}"),
        }
    }

    fn line(&mut self, event: &ClinicalEvent) -> String {
        match event {
            ClinicalEvent::Encounter(event) => stay(event),
            ClinicalEvent::Usage(event) => {
                let next = self.names.len() + 1;
                let number = *self.names.entry(event.meta.business_key.clone()).or_insert(next);
                usage(event, number)
            }
        }
    }
}

fn stay(event: &Encounter) -> String {
    let key = event.meta.business_key.replace(&event.encounter_ref, "stay");
    let mut line = format!("{key} r{} {} {}", event.meta.revision, event.meta.action.as_str(), event.kind.as_str());
    let cancels = event.cancels.as_str();
    let place = |place: &Option<schemas::Location>| place.as_ref().and_then(|place| place.code.clone());
    for (name, value) in [
        ("cancels", (cancels != "NONE").then(|| cancels.to_owned())),
        ("class", Some(event.patient_class.as_str().to_owned())),
        ("in", place(&event.location)),
        ("from", place(&event.prior_location)),
        ("admitted", event.admitted_at.map(|at| at.to_string())),
        ("discharged", event.discharged_at.map(|at| at.to_string())),
        ("disposition", event.disposition.as_ref().map(|code| code.code.clone())),
        ("service", event.service.as_ref().map(|code| code.code.clone())),
        ("attending", event.attending_ref.clone()),
    ] {
        if let Some(value) = value {
            write!(line, " {name}={value}").unwrap();
        }
    }
    line
}

fn usage(event: &SupplyUsage, number: usize) -> String {
    let mut line = format!(
        "usage#{number} r{} {} {} {}",
        event.meta.revision,
        event.meta.action.as_str(),
        event.usage.as_str(),
        event.quantity
    );
    let codes = |first: &Option<schemas::Code>| first.as_ref().map(|code| code.code.clone());
    for (name, value) in [
        ("uom", event.uom.clone()),
        ("di", event.udi.as_ref().and_then(|udi| udi.di.clone())),
        ("item", codes(&event.item_ref)),
        ("lot", event.lot.clone()),
        ("serial", event.serial.clone()),
        ("expiry", event.expiry.map(|date| date.to_string())),
        ("in", event.location.as_ref().and_then(|place| place.code.clone())),
        ("department", event.department.clone()),
        ("procedure", codes(&event.procedure)),
        ("by", event.performer_ref.clone()),
        ("at", event.meta.occurred_at.map(|at| at.to_string())),
        ("amount", event.stated_amount.as_ref().map(|money| format!("{}{}", money.amount, money.currency))),
    ] {
        if let Some(value) = value {
            write!(line, " {name}={value}").unwrap();
        }
    }
    let warnings: Vec<_> = event.meta.warnings.iter().map(|warning| warning.code.as_str()).collect();
    if !warnings.is_empty() {
        write!(line, " warnings={}", warnings.join(",")).unwrap();
    }
    line
}
