//! From an HTTP outcome to what the ERP contract says of it; the same for every adapter over HTTP.

use super::{ErpError, Refusal, RefusalCode};
use crate::http::classify::{Class, Safety, classify_failure};

/// Nothing has moved; try again later.
#[must_use]
pub fn transient(reason: &str) -> ErpError {
    ErpError::Transient { reason: reason.to_owned(), retry_after: None }
}

/// The ERP says no in words of its own.
#[must_use]
pub fn refused(reason: String) -> ErpError {
    Refusal::new(RefusalCode::RefusedByErp, reason, None).into()
}

/// A request that got no whole answer.
#[must_use]
pub fn failed(safety: Safety, error: &reqwest::Error) -> ErpError {
    let reason = if error.is_timeout() { "timeout" } else { "the connection failed" };
    match classify_failure(safety, error) {
        Class::InDoubt => unknown(safety, reason.to_owned()),
        _ => transient(reason),
    }
}

/// An outcome that nobody knows: a read is merely tried again, an effect is in doubt (law FX-1).
#[must_use]
pub fn unknown(safety: Safety, reason: String) -> ErpError {
    match safety {
        Safety::Read => ErpError::Transient { reason, retry_after: None },
        Safety::Effect => ErpError::InDoubt { reason },
    }
}
