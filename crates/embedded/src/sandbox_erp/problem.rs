//! Why a call was not done: a code for machines, a sentence for people, the lines that caused it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that is not a success. On the wire: `{"error": {"code": "stock.insufficient", "message": "...", "lines": ["0"]}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// HTTP status.
    #[serde(skip)]
    pub status: StatusCode,
    /// What kind of problem it is, for machines; stable.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// Keys of the lines that caused it; empty when it concerns the whole call.
    pub lines: Vec<String>,
}

impl Problem {
    /// What was asked is understood, and the rules of the ledger forbid it: 422.
    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code, message: message.into(), lines: Vec::new() }
    }

    /// What was asked cannot be understood: 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, ..Self::refused("request.invalid", message) }
    }

    /// There is no such thing: 404.
    pub fn absent(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::refused("not-found", message) }
    }

    /// The key means something else already: 409.
    pub fn reused(key: &str) -> Self {
        let message = format!("the key {key} names a document with other content");
        Self { status: StatusCode::CONFLICT, ..Self::refused("key.reused", message) }
    }

    /// The same problem, caused by a line.
    #[must_use]
    pub fn of_line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "the ledger's store failed");
        let message = "the store of the ledger failed; nothing was changed";
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::refused("store.failed", message) }
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Self::invalid(error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({ "error": self }))).into_response()
    }
}
