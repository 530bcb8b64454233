//! HL7 times (types DTM, TS, DT): any precision from year to ten-thousandths of a second, with or without an offset.

use jiff::civil;
use jiff::tz::{Offset, TimeZone};

/// How much of a time was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimestampPrecision {
    /// YYYY.
    Year,
    /// YYYYMM.
    Month,
    /// YYYYMMDD.
    Day,
    /// YYYYMMDDHH.
    Hour,
    /// YYYYMMDDHHMM.
    Minute,
    /// YYYYMMDDHHMMSS.
    Second,
    /// With one to three digits of a second.
    Millisecond,
    /// With more digits of a second.
    Microsecond,
}

/// A time as sent: its start as an instant and as a day, its precision, and the offset if the sender gave one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Microseconds since 1970-01-01T00:00Z of the first instant that the value may mean.
    pub micros: i64,
    /// The day as written, whatever the zone; the first one that the value may mean.
    pub date: civil::Date,
    /// How much was sent.
    pub precision: TimestampPrecision,
    /// Minutes east of UTC, if the value carries them.
    pub offset_minutes: Option<i32>,
    /// Whether the value was outside the standard (a trailing `Z`) and understood nevertheless.
    pub tolerated: bool,
}

/// The text is no HL7 time, or names a moment that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form YYYY[MM[DD[HH[MM[SS[.ffff]]]]]][+/-hhmm]")]
pub struct TimestampError;

/// Reads a time. `zone` says what a value without an offset means.
pub fn parse_timestamp(text: &str, zone: &TimeZone) -> Result<Timestamp, TimestampError> {
    let (local, offset_minutes, tolerated) = split_offset(text.trim())?;
    let (digits, fraction) = match local.split_once('.') {
        Some((digits, fraction)) if digits.len() == 14 => (digits, Some(fraction)),
        Some(_) => return Err(TimestampError),
        None => (local, None),
    };
    // Also because the parts are cut by bytes.
    if !digits.is_ascii() {
        return Err(TimestampError);
    }
    let precision = match digits.len() {
        4 => TimestampPrecision::Year,
        6 => TimestampPrecision::Month,
        8 => TimestampPrecision::Day,
        10 => TimestampPrecision::Hour,
        12 => TimestampPrecision::Minute,
        14 => fraction_precision(fraction)?,
        _ => return Err(TimestampError),
    };
    let part = |range: std::ops::Range<usize>, missing: i8| -> Result<i8, TimestampError> {
        if digits.len() < range.end { Ok(missing) } else { number(&digits[range]) }
    };
    let time = civil::Date::new(number(&digits[..4])?, part(4..6, 1)?, part(6..8, 1)?)
        .and_then(|date| {
            let hms = [part(8..10, 0), part(10..12, 0), part(12..14, 0)].map(|part| part.unwrap_or(-1));
            civil::Time::new(hms[0], hms[1], hms[2], nanoseconds(fraction)).map(|time| date.to_datetime(time))
        })
        .map_err(|_| TimestampError)?;
    let instant = match offset_minutes {
        Some(minutes) => Offset::from_seconds(minutes * 60).and_then(|offset| offset.to_timestamp(time)),
        None => zone.to_timestamp(time),
    };
    let micros = instant.map_err(|_| TimestampError)?.as_microsecond();
    Ok(Timestamp { micros, date: time.date(), precision, offset_minutes, tolerated })
}

/// Cuts off `+hhmm`, `-hhmm` or the `Z` that some senders write.
fn split_offset(text: &str) -> Result<(&str, Option<i32>, bool), TimestampError> {
    if let Some(local) = text.strip_suffix('Z') {
        return Ok((local, Some(0), true));
    }
    let Some(at) = text.find(['+', '-']) else {
        return Ok((text, None, false));
    };
    let (local, offset) = text.split_at(at);
    if offset.len() != 5 || !offset.is_ascii() {
        return Err(TimestampError);
    }
    let (hours, minutes): (i32, i32) = (number(&offset[1..3])?, number(&offset[3..5])?);
    if hours > 15 || minutes > 59 {
        return Err(TimestampError);
    }
    let total = hours * 60 + minutes;
    Ok((local, Some(if offset.starts_with('-') { -total } else { total }), false))
}

fn fraction_precision(fraction: Option<&str>) -> Result<TimestampPrecision, TimestampError> {
    match fraction.map(str::len) {
        None => Ok(TimestampPrecision::Second),
        Some(1..=3) => Ok(TimestampPrecision::Millisecond),
        Some(4..=6) => Ok(TimestampPrecision::Microsecond),
        Some(_) => Err(TimestampError),
    }
}

fn nanoseconds(fraction: Option<&str>) -> i32 {
    match fraction {
        Some(digits) => number::<i32>(&format!("{digits:0<9}")).unwrap_or(-1),
        None => 0,
    }
}

fn number<T: std::str::FromStr>(digits: &str) -> Result<T, TimestampError> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimestampError);
    }
    digits.parse().map_err(|_| TimestampError)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use TimestampPrecision::*;

    #[track_caller]
    fn check(text: &str, instant: &str, precision: TimestampPrecision, offset: Option<i32>) {
        let found = parse_timestamp(text, &TimeZone::fixed(Offset::constant(-5))).unwrap();
        assert_eq!(jiff::Timestamp::from_microsecond(found.micros).unwrap().to_string(), instant);
        assert_eq!((found.precision, found.offset_minutes), (precision, offset));
    }

    #[test]
    fn reads_every_precision() {
        check("2026", "2026-01-01T05:00:00Z", Year, None);
        check("202609", "2026-09-01T05:00:00Z", Month, None);
        check("20260915", "2026-09-15T05:00:00Z", Day, None);
        check("2026091508", "2026-09-15T13:00:00Z", Hour, None);
        check("202609150830", "2026-09-15T13:30:00Z", Minute, None);
        check("20260915083015", "2026-09-15T13:30:15Z", Second, None);
        check("20260915083015.1", "2026-09-15T13:30:15.1Z", Millisecond, None);
        check("20260915083015.1234+0530", "2026-09-15T03:00:15.1234Z", Microsecond, Some(330));
        check("202609150830-0500", "2026-09-15T13:30:00Z", Minute, Some(-300));
        check("20260915083015Z", "2026-09-15T08:30:15Z", Second, Some(0));
    }

    #[test]
    fn refuses_times_that_do_not_exist() {
        for text in [
            "",
            "20260230",
            "20260915246000",
            "15/09/2026",
            "2026091",
            "202609150830+5",
            "2026-09-15",
            "20260915083015.",
            "é026",
            "20260914081é",
            "202609é4",
            "é26é",
            "+",
        ] {
            assert_eq!(parse_timestamp(text, &TimeZone::UTC), Err(TimestampError), "{text}");
        }
    }
}
