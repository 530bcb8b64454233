//! Moments and days, as a ledger dates its entries.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now(Timestamp);

impl Now {
    /// This moment.
    pub(super) fn read() -> Self {
        Self(Timestamp::from_microsecond(crate::clock::now_micros()).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    #[cfg(test)]
    pub(super) fn at(micros: i64) -> Self {
        Self(Timestamp::from_microsecond(micros).unwrap_or_default())
    }

    /// Microseconds since 1970.
    pub(super) fn micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The day in UTC.
    pub(super) fn day(self) -> Date {
        self.0.to_zoned(TimeZone::UTC).date()
    }
}
