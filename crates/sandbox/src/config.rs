//! Where the sandbox ERP is and how hard it may be used.

use std::time::Duration;

use connector::secret::Secret;
use serde::{Deserialize, Serialize};

/// Configuration of the adapter. The defaults fit a sandbox ERP on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// Address of the server without a path. Default `http://127.0.0.1:8075`.
    pub url: String,
    /// The key that the sandbox ERP was started with. No default.
    pub key: Secret,
    /// Time for one request with its answer, in milliseconds. Default 30000.
    pub request_timeout_ms: u64,
    /// Time for opening a connection, in milliseconds. Default 3000.
    pub connect_timeout_ms: u64,
    /// Longest wait that the server may ask for, in milliseconds. Default 300000.
    pub retry_after_ms_max: u64,
    /// Requests under way at the same time. Default 16.
    pub requests_max: usize,
    /// Lines in one document; the server takes at most 1000. Default 50.
    pub lines_max: usize,
    /// Length of an answer in bytes. Default 8388608.
    pub answer_bytes_max: usize,
    /// Records in one page of a list; the server gives at most 1000. Default 500.
    pub page_records: usize,
    /// Movements that one reconciliation query may return. Default 200000.
    pub movements_max: usize,
    /// What becomes of a posting whose day is closed or has not come yet. Default `book-today`.
    pub closed_day: ClosedDay,
}

/// What becomes of a posting whose day cannot be booked on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosedDay {
    /// It is booked on the ERP's today.
    #[default]
    BookToday,
    /// It is refused, and a person decides.
    Refuse,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8075".to_owned(),
            key: Secret::default(),
            request_timeout_ms: 30_000,
            connect_timeout_ms: 3_000,
            retry_after_ms_max: 300_000,
            requests_max: 16,
            lines_max: 50,
            answer_bytes_max: 8 * 1024 * 1024,
            page_records: 500,
            movements_max: 200_000,
            closed_day: ClosedDay::default(),
        }
    }
}

impl SandboxConfig {
    /// Time for one request with its answer.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}
