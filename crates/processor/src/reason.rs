//! Why a verdict is what it is, and what it waits for.

use crate::Code;
use serde::{Deserialize, Serialize};

/// A thing that a waiting event needs: a record of a compacted topic, named by any of its keys. Of a refusal that only a person can
/// mend it may be a thing of another system, `erp.lot` for example; no record wakes an event for that.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// Topic of the missing record, for example `master.item.v1`.
    pub kind: String,
    /// Primary key or indexed value of the missing record.
    pub key: String,
}

impl Subject {
    /// Names the record `key` of the topic `kind`.
    pub fn new(kind: impl Into<String>, key: impl Into<String>) -> Self {
        Self { kind: kind.into(), key: key.into() }
    }
}

/// Why an event was dropped, waits or was rejected. Never holds a value of the event that could identify a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable code.
    pub code: Code,
    /// Short machine-readable rule name, for example `item.unknown`.
    pub rule: &'static str,
    /// One sentence for a person. May name codes of things (items, locations), never of people.
    pub message: String,
    /// What would end the waiting; empty when only a person or time can.
    pub subjects: Vec<Subject>,
    /// Paths of the fields concerned, as in the Avro schema.
    pub field_paths: Vec<String>,
    /// What a person should do, when Wardline can tell.
    pub suggested_fix: Option<String>,
}

impl Reason {
    /// Starts a reason from its code, rule name and sentence.
    pub fn new(code: Code, rule: &'static str, message: impl Into<String>) -> Self {
        Self { code, rule, message: message.into(), subjects: Vec::new(), field_paths: Vec::new(), suggested_fix: None }
    }

    /// Adds a record that would end the waiting when it arrives.
    #[must_use]
    pub fn until(mut self, subject: Subject) -> Self {
        self.subjects.push(subject);
        self
    }

    /// Adds the path of a field concerned.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.field_paths.push(path.into());
        self
    }

    /// Says what a person should do.
    #[must_use]
    pub fn fix(mut self, suggestion: impl Into<String>) -> Self {
        self.suggested_fix = Some(suggestion.into());
        self
    }
}
