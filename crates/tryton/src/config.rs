//! Where Tryton is and how hard it may be used.

use std::collections::BTreeMap;
use std::time::Duration;

use connector::secret::Secret;
use serde::{Deserialize, Serialize};

/// Configuration of the adapter. The defaults fit a local Tryton with a hospital database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrytonConfig {
    /// Address of the server without a path. Default `http://127.0.0.1:8069`.
    pub url: String,
    /// Name of the database. Default `hospital`.
    pub database: String,
    /// The key of a validated user application of kind `rest`. No default.
    pub key: Secret,
    /// Internal id of the company. Default 1.
    pub company: i64,
    /// Time for one request with its answer, in milliseconds. Default 30000.
    pub request_timeout_ms: u64,
    /// Time for opening a connection, in milliseconds. Default 3000.
    pub connect_timeout_ms: u64,
    /// Longest wait that the server may ask for, in milliseconds. Default 300000.
    pub retry_after_ms_max: u64,
    /// Requests under way at the same time. Default 4.
    pub requests_max: usize,
    /// Lines in one document. Default 50.
    pub lines_max: usize,
    /// Length of an answer in bytes. Default 8388608.
    pub answer_bytes_max: usize,
    /// Records in one page of a list. Default 200.
    pub page_records: usize,
    /// Movements that one reconciliation query may return. Default 200000.
    pub movements_max: usize,
    /// Names kept per kind (items, lots, locations, cost centres) to save look-ups. Default 20000.
    pub names_max: usize,
    /// Overlap of two sweeps of the change feed, in seconds; longer than the longest transaction. Default 60.
    pub overlap_s: u32,
    /// Whether the cost goes to the cost centre of the line. Off for a Tryton without accounting. Default true.
    pub allocate: bool,
    /// Code of the journal of the allocations. Default `STO`.
    pub journal: String,
    /// Decimal places of the company's currency. Default 2.
    pub currency_digits: u32,
    /// Unit symbols of Tryton and the codes that events use for them. Default `u` = `EA`.
    pub unit_codes: BTreeMap<String, String>,
}

impl Default for TrytonConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8069".to_owned(),
            database: "hospital".to_owned(),
            key: Secret::default(),
            company: 1,
            request_timeout_ms: 30_000,
            connect_timeout_ms: 3_000,
            retry_after_ms_max: 300_000,
            requests_max: 4,
            lines_max: 50,
            answer_bytes_max: 8 * 1024 * 1024,
            page_records: 200,
            movements_max: 200_000,
            names_max: 20_000,
            overlap_s: 60,
            allocate: true,
            journal: "STO".to_owned(),
            currency_digits: 2,
            unit_codes: BTreeMap::from([("u".to_owned(), "EA".to_owned())]),
        }
    }
}

impl TrytonConfig {
    /// Time for one request with its answer.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// The code that events use for a unit symbol of Tryton: the configured one, else the symbol itself.
    #[must_use]
    pub fn unit_code<'a>(&'a self, symbol: &'a str) -> &'a str {
        self.unit_codes.get(symbol).map_or(symbol, String::as_str)
    }

    /// The unit symbol of Tryton for a code of an event.
    #[must_use]
    pub(crate) fn unit_symbol<'a>(&'a self, code: &'a str) -> &'a str {
        self.unit_codes.iter().find(|(_, known)| *known == code).map_or(code, |(symbol, _)| symbol)
    }
}
