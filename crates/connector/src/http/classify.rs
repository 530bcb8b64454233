//! From an HTTP outcome to what the caller may do next.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::retry_after::{http_date, retry_after};

/// What an answer, or the lack of one, means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// The other side did it (2xx).
    Done,
    /// Nothing happened; trying again may help. The wait is the other side's wish, bounded.
    Transient(Option<Duration>),
    /// It may or may not have happened (law FX-1): look the idempotency key up before trying again.
    InDoubt,
    /// The other side will give the same answer again.
    Refused,
}

/// Whether a request can be repeated without a second effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// A read: an unknown outcome is merely transient.
    Read,
    /// A request with an effect: an unknown outcome is in doubt.
    Effect,
}

/// What an answer with this status means. `now` reads a `Retry-After` date, `wait_limit` bounds it.
///
/// A gateway's 502 and 504 say that the gateway does not know what the server behind it did, so they leave an effect in
/// doubt. 500 is transient: the server itself says that it failed. Redirects are refused, since following one would
/// send an effect to an address that nobody configured.
#[must_use]
pub fn classify(
    safety: Safety,
    status: StatusCode,
    headers: &HeaderMap,
    now: Timestamp,
    wait_limit: Duration,
) -> Class {
    let wait = || headers.get(RETRY_AFTER)?.to_str().ok().and_then(|value| retry_after(value, now, wait_limit));
    match status.as_u16() {
        200..=299 => Class::Done,
        408 | 423 | 425 | 429 | 500 | 503 => Class::Transient(wait()),
        502 | 504 | 520..=599 if safety == Safety::Effect => Class::InDoubt,
        502 | 504 | 520..=599 => Class::Transient(wait()),
        _ => Class::Refused,
    }
}

/// What a request that got no whole answer means: a connection that was never made had no effect, anything later may
/// have had one.
#[must_use]
pub fn classify_failure(safety: Safety, failure: &reqwest::Error) -> Class {
    let never_sent = failure.is_connect() || failure.is_builder();
    match safety {
        Safety::Effect if !never_sent => Class::InDoubt,
        Safety::Effect | Safety::Read => Class::Transient(None),
    }
}

/// When the other side gave the answer, by its own clock (the `Date` header). A good `now` for [`classify`], since it
/// does not depend on both clocks agreeing.
#[must_use]
pub fn answered_at(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{Class, Safety, classify};
    use jiff::Timestamp;
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, RETRY_AFTER};
    use std::time::Duration;

    fn class(safety: Safety, status: u16) -> Class {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        classify(
            safety,
            StatusCode::from_u16(status).unwrap(),
            &headers,
            Timestamp::UNIX_EPOCH,
            Duration::from_secs(60),
        )
    }

    #[test]
    fn every_status_has_one_meaning() {
        let wait = Class::Transient(Some(Duration::from_secs(7)));
        for (status, effect, read) in [
            (200, Class::Done, Class::Done),
            (204, Class::Done, Class::Done),
            (302, Class::Refused, Class::Refused),
            (400, Class::Refused, Class::Refused),
            (410, Class::Refused, Class::Refused),
            (429, wait.clone(), wait.clone()),
            (500, wait.clone(), wait.clone()),
            (503, wait.clone(), wait.clone()),
            (502, Class::InDoubt, wait.clone()),
            (504, Class::InDoubt, wait),
        ] {
            assert_eq!(class(Safety::Effect, status), effect, "{status}");
            assert_eq!(class(Safety::Read, status), read, "{status}");
        }
    }
}
