//! What becomes of a resource: events, a named rule that drops it, an exception, or a dead letter (LOSS-1).

use schemas::{Encounter, Event, SupplyUsage, TopicInfo, Warning};
use std::borrow::Cow;

/// What becomes of one resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Something happened that Wardline tells.
    Events(Vec<ClinicalEvent>),
    /// A rule says that there is nothing to tell.
    Dropped(Dropped),
    /// A person has to look: the resource cannot be mapped.
    Exception(Refusal),
    /// The bytes are no resource at all.
    DeadLetter(Refusal),
}

/// An event of one of the topics that this room writes.
#[derive(Debug, Clone, PartialEq)]
pub enum ClinicalEvent {
    /// For `clinical.encounter.v1`.
    Encounter(Box<Encounter>),
    /// For `clinical.supply-usage.v1`.
    Usage(Box<SupplyUsage>),
}

/// Why there is nothing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Stable name of the rule, for example `usage.already-told`.
    pub rule: &'static str,
    /// The rule as a sentence.
    pub detail: &'static str,
    /// Events that tell it already, when there are any.
    pub told_by: Vec<String>,
}

/// Why a resource cannot be mapped. Never repeats a value of the resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {path}: {detail}")]
pub struct Refusal {
    /// Stable code with a page in `docs/errors`.
    pub code: &'static str,
    /// FHIR path, for example `Encounter.period.end`; line and column where there is no resource yet.
    pub path: String,
    /// What is wrong there.
    pub detail: String,
    /// What would make it go away.
    pub suggested_fix: String,
}

/// The codes of this room that are about a resource.
pub mod code {
    /// The bytes are not JSON.
    pub const NOT_JSON: &str = "WL-2001";
    /// A name stands twice in an object.
    pub const DUPLICATE_KEY: &str = "WL-2002";
    /// JSON, but no resource.
    pub const NOT_A_RESOURCE: &str = "WL-2003";
    /// Not what the FHIR version says.
    pub const NOT_CONFORMANT: &str = "WL-2004";
    /// A modifier that Wardline does not understand.
    pub const MODIFIER: &str = "WL-2005";
    /// A value that cannot be used.
    pub const VALUE: &str = "WL-2006";
    /// A fact that the event needs is missing.
    pub const MISSING: &str = "WL-2007";
    /// A referenced resource does not exist.
    pub const NOT_FOUND: &str = "WL-2008";
    /// A warning: the event is incomplete because a referenced resource was not at hand.
    pub const INCOMPLETE: &str = "WL-2009";
    /// A warning: two places say different things about a device.
    pub const DISAGREEMENT: &str = "WL-2010";
    /// A warning: what a charge comes to cannot be used.
    pub const AMOUNT: &str = "WL-1441";
}

impl Refusal {
    /// A refusal with its place.
    pub fn new(
        code: &'static str,
        path: impl Into<String>,
        detail: impl Into<String>,
        suggested_fix: impl Into<String>,
    ) -> Self {
        Self { code, path: path.into(), detail: detail.into(), suggested_fix: suggested_fix.into() }
    }
}

impl Dropped {
    /// A drop by a rule.
    pub fn by(rule: &'static str, detail: &'static str) -> Self {
        Self { rule, detail, told_by: Vec::new() }
    }
}

impl Outcome {
    /// The outcome's name: `events`, `dropped`, `exception` or `dead-letter`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Events(_) => "events",
            Self::Dropped(_) => "dropped",
            Self::Exception(_) => "exception",
            Self::DeadLetter(_) => "dead-letter",
        }
    }
}

impl ClinicalEvent {
    /// The topic it goes to.
    pub fn topic(&self) -> &'static TopicInfo {
        match self {
            Self::Encounter(_) => Encounter::topic(),
            Self::Usage(_) => SupplyUsage::topic(),
        }
    }

    /// Its deterministic id.
    pub fn id(&self) -> &str {
        match self {
            Self::Encounter(event) => &event.meta.event_id,
            Self::Usage(event) => &event.meta.event_id,
        }
    }

    /// Its Kafka key.
    pub fn key(&self) -> String {
        match self {
            Self::Encounter(event) => event.key(),
            Self::Usage(event) => event.key(),
        }
    }

    /// Its CloudEvents type.
    pub fn event_type(&self) -> Cow<'static, str> {
        match self {
            Self::Encounter(event) => event.event_type(),
            Self::Usage(event) => event.event_type(),
        }
    }
}

/// A warning of an event.
pub(crate) fn warning(code: &str, path: impl Into<String>, detail: impl Into<String>) -> Warning {
    Warning { code: code.to_owned(), path: path.into(), detail: detail.into() }
}
