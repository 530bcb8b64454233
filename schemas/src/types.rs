//! Values that Avro has and Rust lacks: timestamps, dates, bytes, exact decimals.
//!
//! In Avro they travel as their logical types. In JSON a timestamp and a date may also be text (RFC 3339), and bytes may be
//! base64 text, so that examples and command line output stay readable.

mod bytes;
mod decimal;
mod time;

pub use bytes::Bytes;
pub use decimal::{decimal18_4, decimal18_6};
pub use time::{Date, InvalidTime, Timestamp};

/// Prints as `***`: stands for a value that must not reach a log.
pub struct Redacted;

impl std::fmt::Debug for Redacted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}
