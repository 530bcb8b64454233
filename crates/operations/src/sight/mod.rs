//! What people see of a running installation: the way of one event, service levels, the work of each domain.
//!
//! All of it is read from the topics: there is no second database that could be behind or wrong. What is asked once reads what
//! it needs; what is looked at all day long ([`levels::LevelsView`]) follows the topics and keeps numbers.

pub mod activity;
mod chain;
mod facts;
mod follow;
mod histogram;
pub mod lag;
pub mod levels;
pub mod trace;
pub mod worth;

use runtime::codec::WireError;
use runtime::reader::ReadError;

pub use chain::Bounds;

/// Why nothing can be seen.
#[derive(Debug, thiserror::Error)]
pub enum SightError {
    /// A topic cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The registry does not say how records are written.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A thread ended before its work was done.
    #[error("WL-7191: a reader of topics stopped: {0}")]
    Stopped(String),
    /// What is asked for is nothing that can be looked for.
    #[error("WL-7192: {0}")]
    Question(String),
}

/// Milliseconds since 1970, as RFC 3339 to the millisecond.
#[must_use]
pub fn time_text(time_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(time_ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => time_ms.to_string(),
    }
}
