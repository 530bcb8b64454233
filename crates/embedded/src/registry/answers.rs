//! Answers in the form of Confluent's registry.

use serde_json::{Value, json};

use crate::loopback::Answer;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A refusal: an HTTP status, a code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status, or one with two more digits that tell the cause.
    pub(super) code: u32,
    pub(super) message: String,
}

/// What a route gives.
pub(super) type Reply = Result<Value, Refusal>;

impl Refusal {
    pub(super) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn subject_not_found(subject: &str) -> Self {
        Self::new(40401, format!("Subject '{subject}' not found."))
    }

    pub(super) fn version_not_found(version: i32) -> Self {
        Self::new(40402, format!("Version {version} not found."))
    }

    pub(super) fn invalid_schema(reason: &str) -> Self {
        Self::new(42201, format!("Invalid schema: {reason}"))
    }

    fn status(&self) -> u16 {
        let status = if self.code >= 1_000 { self.code / 100 } else { self.code };
        u16::try_from(status).unwrap_or(500)
    }
}

/// An answer with a JSON body.
pub(super) fn json_answer(status: u16, body: &Value) -> Answer {
    Answer { status, content_type: CONTENT_TYPE, headers: Vec::new(), body: body.to_string().into_bytes() }
}

/// The answer that a reply makes.
pub(super) fn answer(reply: Reply) -> Answer {
    match reply {
        Ok(body) => json_answer(200, &body),
        Err(refusal) => json_answer(refusal.status(), &json!({"error_code": refusal.code, "message": refusal.message})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_in_the_code() {
        assert_eq!(answer(Err(Refusal::subject_not_found("s"))).status, 404);
        assert_eq!(answer(Err(Refusal::new(409, "no"))).status, 409);
        let body = answer(Err(Refusal::new(42203, "bad level"))).body;
        assert_eq!(body, br#"{"error_code":42203,"message":"bad level"}"#);
    }
}
