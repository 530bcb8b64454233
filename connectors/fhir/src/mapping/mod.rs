//! From a resource to what it states, without state and without any I/O.
//!
//! `Procedure pr1 completed, focalDevice implanted Device/d1`  ->  states one usage: device d1, encounter e4, implanted
//!
//! What was told before, and therefore whether a statement becomes an event, is the business of [`crate::seen`].

mod amount;
mod device;
mod encounter;
mod modifiers;
mod people;
mod usage;

use crate::node::{Node, Reference};
use crate::outcome::{Dropped, Refusal, code};
use crate::time::Moment;
use fhir_gate as gate;
use fhir_gate::Version;
use fhir_gate::json::Json;
use schemas::identity::Pseudonymizer;
use schemas::{Encounter, SupplyUsage};
use std::sync::Arc;

pub use device::DeviceFacts;

/// Whose resources these are; the same for all resources of a source.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Base address of the FHIR server: an absolute reference below it is one of its own resources.
    pub base_url: String,
    /// Name of the FHIR server, as it stands in `meta.source.system`.
    pub system: String,
    /// Facility the resources belong to; also who assigns its visit and patient numbers.
    pub facility: String,
    /// Makes the pseudonyms of visits and patients.
    pub pseudonyms: Pseudonymizer,
    /// Systems of identifiers that are visit numbers, besides those of type VN.
    pub visit_number_systems: Vec<String>,
    /// Systems of identifiers that are patient numbers, besides those of type MR.
    pub patient_number_systems: Vec<String>,
    /// Addresses of modifier extensions that do not change what Wardline reads.
    pub understood_modifiers: Vec<String>,
}

/// Other resources that a resource refers to.
pub trait Shelf {
    /// The resource `Type/id` (or `urn:uuid:...` inside a Bundle).
    fn find(&self, target: &str) -> Found;
}

/// What a [`Shelf`] knows about a resource.
#[derive(Debug, Clone)]
pub enum Found {
    /// Here it is.
    Here(Arc<Json>),
    /// The server says that it does not exist (any more).
    Gone,
    /// Nobody asked the server, or it does not show it.
    NotAtHand,
}

/// Nothing but the resource itself is at hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyShelf;

impl Shelf for EmptyShelf {
    fn find(&self, _: &str) -> Found {
        Found::NotAtHand
    }
}

/// What a resource states.
#[derive(Debug, Clone)]
pub enum Statement {
    /// A stay.
    Stay(Box<Stay>),
    /// Exactly these usages: one that it stated before and does not state now is withdrawn.
    Usages(Vec<Sighting>),
    /// Facts about a device, for usages of it that are told already.
    Device(Box<DeviceFacts>),
    /// Nothing, and nothing was ever true of what it stated before.
    Withdrawn(Dropped),
    /// Nothing; what it stated before stands.
    Nothing(Dropped),
}

/// A stay as an Encounter states it.
#[derive(Debug, Clone)]
pub struct Stay {
    /// Where it stands.
    pub phase: Phase,
    /// The facts; `meta` holds only when and which warnings.
    pub facts: Encounter,
}

/// Where a stay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The patient is there.
    Active,
    /// The patient has left.
    Ended,
    /// It did not take place, or was entered in error.
    Cancelled,
}

/// One usage as one element of a resource states it.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The facts; `meta` holds only when and which warnings.
    pub facts: SupplyUsage,
    /// The Device resource that was used.
    pub device: Option<String>,
    /// The Procedure it was used in.
    pub procedure: Option<String>,
    /// Codes and identifiers under which another resource may name the same article.
    pub names: Vec<String>,
    /// Name of the Encounter resource it was used in, when one is named.
    pub encounter: Option<String>,
    /// Whether the encounter is known; without it the key of the event is that of the patient.
    pub in_encounter: bool,
    /// Whether the resource itself names the place, or it is that of the encounter.
    pub placed: bool,
    /// Whether the resource states the quantity, or it is one because nothing else is said.
    pub counted: bool,
}

/// Which resource this is, and when the server stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Resource type.
    pub resource_type: String,
    /// Logical id.
    pub id: Option<String>,
    /// `meta.versionId`.
    pub version_id: Option<String>,
    /// `meta.lastUpdated`.
    pub last_updated: Option<Moment>,
}

impl Identity {
    /// Reads type, id, version and time of a resource.
    ///
    /// # Errors
    /// When it is no resource, or `meta.lastUpdated` is no time.
    pub fn of(resource: &Json) -> Result<Self, Refusal> {
        let Some(resource_type) = resource.text("resourceType").filter(|name| is_type_name(name)) else {
            let fix = "send a FHIR resource with its resourceType";
            return Err(Refusal::new(code::NOT_A_RESOURCE, "resourceType", "this names no FHIR resource type", fix));
        };
        let root = Node::root(resource);
        let meta = root.child("meta");
        Ok(Self {
            resource_type: resource_type.to_owned(),
            id: root.text("id").map(str::to_owned),
            version_id: meta.as_ref().and_then(|meta| meta.text("versionId")).map(str::to_owned),
            last_updated: meta.map_or(Ok(None), |meta| meta.moment("lastUpdated"))?,
        })
    }

    /// `Type/id`; only the type when the resource has no id.
    pub fn name(&self) -> String {
        self.id.as_ref().map_or_else(|| self.resource_type.clone(), |id| format!("{}/{id}", self.resource_type))
    }
}

/// What a resource states. `year` is the year of arrival: two-digit years on device labels get their century from it.
///
/// # Errors
/// When it cannot be mapped, with code, FHIR path and suggested fix.
pub fn read(
    resource: &Json,
    version: Version,
    profile: &Profile,
    shelf: &dyn Shelf,
    year: i16,
) -> Result<Statement, Refusal> {
    let identity = Identity::of(resource)?;
    if !version.mapped_types().contains(&identity.resource_type.as_str()) {
        return Ok(Statement::Nothing(Dropped::by(
            "type.not-mapped",
            "resources of this type state no stay and no usage",
        )));
    }
    let root = Node::root(resource);
    modifiers::check(&root, &profile.understood_modifiers)?;
    conform(version, &identity.resource_type, &root)?;
    let reading = Reading { profile, version, shelf, year, resource: identity.name(), root };
    match identity.resource_type.as_str() {
        "Encounter" => reading.encounter(),
        "Procedure" => reading.procedure(),
        "Device" => reading.device_itself(),
        "SupplyDelivery" => reading.supply_delivery(),
        "ChargeItem" => reading.charge_item(),
        _ => reading.device_use(),
    }
}

/// One resource while it is read.
struct Reading<'a> {
    profile: &'a Profile,
    version: Version,
    shelf: &'a dyn Shelf,
    year: i16,
    /// `Type/id`.
    resource: String,
    root: Node<'a>,
}

impl Reading<'_> {
    /// What to ask the shelf for: `Type/id` for a resource of this server, else the address as it is. A resource of another
    /// server is never taken for one of this server that has the same id.
    fn target(&self, reference: &Reference) -> Option<String> {
        let target = reference.target.as_deref()?;
        let base = self.profile.base_url.trim_end_matches('/');
        let own = !target.contains("://") || (!base.is_empty() && target.starts_with(base));
        if own { reference.type_and_id().or_else(|| Some(target.to_owned())) } else { Some(target.to_owned()) }
    }

    /// The name of an element that has another name in R5.
    fn by_version(&self, r4: &'static str, r5: &'static str) -> &'static str {
        match self.version {
            Version::R4 => r4,
            Version::R5 => r5,
        }
    }
}

fn conform(version: Version, resource_type: &str, node: &Node<'_>) -> Result<(), Refusal> {
    gate::check(version, resource_type, node.json).map_err(|mismatch| {
        let below = mismatch.path();
        let path = if below.is_empty() { node.path.clone() } else { format!("{}.{below}", node.path) };
        let fix =
            format!("correct the resource at its source, or set the FHIR version (now {version:?}) of the source");
        Refusal::new(code::NOT_CONFORMANT, path, mismatch.problem, fix)
    })
}

fn is_type_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
