//! What a record says about an exception, as far as the index holds it.

use schemas::approval::Stands;
use schemas::{Criticality, ExceptionKind, ExceptionState};

/// What a record says about an exception, as far as the index holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub id: String,
    /// Partition of the exception topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// What happened.
    pub kind: ExceptionKind,
    /// Where it stands.
    pub state: ExceptionState,
    /// Room.
    pub room: String,
    /// Code.
    pub code: String,
    /// Subject, `kind/key`.
    pub subject: Option<String>,
    /// One sentence.
    pub message: String,
    /// What would help.
    pub suggested_fix: Option<String>,
    /// Class of its flow.
    pub class: Criticality,
    /// Place and key of the record it is about.
    pub origin: Option<ToldOrigin>,
    /// When it was raised, microseconds since 1970.
    pub raised_at: i64,
    /// When this happened, microseconds since 1970.
    pub at: i64,
    /// Who has it.
    pub assignee: Option<String>,
    /// Who asked to discard it.
    pub discard_requested_by: Option<String>,
    /// The mark of that request.
    pub discard_mark: Option<String>,
    /// What a person has corrected.
    pub correction: Option<ToldCorrection>,
    /// Whether events of its key are parked.
    pub parked_key: bool,
}

/// Where a correction stands by its record, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldCorrection {
    /// Where it stands.
    pub stands: Stands,
    /// Who corrected.
    pub by: String,
}

/// Place and key of the record that an exception is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldOrigin {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key as text.
    pub key: String,
}
