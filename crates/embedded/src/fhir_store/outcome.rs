//! Answers of a FHIR server.

use serde_json::{Value, json};

use crate::loopback::Answer;

pub(super) const CONTENT_TYPE: &str = "application/fhir+json; fhirVersion=4.0; charset=utf-8";

/// A refusal, told as an `OperationOutcome`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) status: u16,
    /// Kind of the issue, of the code system `issue-type`.
    pub(super) issue: &'static str,
    /// What is wrong, one sentence.
    pub(super) diagnostics: String,
}

impl Refusal {
    pub(super) fn new(status: u16, issue: &'static str, diagnostics: impl Into<String>) -> Self {
        Self { status, issue, diagnostics: diagnostics.into() }
    }

    pub(super) fn invalid(diagnostics: impl Into<String>) -> Self {
        Self::new(400, "invalid", diagnostics)
    }

    pub(super) fn unsupported(diagnostics: impl Into<String>) -> Self {
        Self::new(400, "not-supported", diagnostics)
    }

    /// As a resource.
    pub(super) fn outcome(&self) -> Value {
        json!({"resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": self.issue, "diagnostics": self.diagnostics}]})
    }

    pub(super) fn answer(&self) -> Answer {
        json_answer(self.status, self.outcome().to_string())
    }
}

/// An answer with JSON that is written already.
pub(super) fn json_answer(status: u16, body: String) -> Answer {
    Answer { status, content_type: CONTENT_TYPE, headers: Vec::new(), body: body.into_bytes() }
}
