//! The one place of the sandbox ERP that reads the clock: a ledger dates its own entries.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now(Timestamp);

impl Now {
    /// This moment.
    #[allow(
        clippy::disallowed_methods,
        reason = "a ledger dates its entries by its own clock; logic takes `Now` as a value"
    )]
    #[must_use]
    pub fn read() -> Self {
        Self(Timestamp::now())
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The day in UTC.
    #[must_use]
    pub fn day(self) -> Date {
        self.0.to_zoned(TimeZone::UTC).date()
    }
}
