//! FHIR `date`, `dateTime` and `instant` (R4 2.24.0.1): how exactly a time was given is kept.

use jiff::civil;
use schemas::{Date, Precision, Timestamp};

/// A time as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time, UTC; the first moment of what was given.
    pub at: Timestamp,
    /// How exactly it was given.
    pub precision: Precision,
    /// UTC offset as sent, minutes; none for a bare date.
    pub offset_minutes: Option<i32>,
}

/// Reads a `date`, `dateTime` or `instant`. `None` when it is none of them.
///
/// A bare date has no offset; it is taken as UTC and its precision says so.
pub fn moment(text: &str) -> Option<Moment> {
    if !text.contains('T') {
        let (date, precision) = partial(text)?;
        let at = date.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().into();
        return Some(Moment { at, precision, offset_minutes: None });
    }
    let (date, rest) = text.split_once('T')?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    if date.len() != 10 || !well_formed_clock(clock) {
        return None;
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    let precision = match clock.split_once('.').map_or(0, |(_, fraction)| fraction.len()) {
        0 => Precision::Second,
        1..=3 => Precision::Millis,
        _ => Precision::Micros,
    };
    Some(Moment { at: at.into(), precision, offset_minutes: Some(offset(zone)?) })
}

/// Reads a `date` or `dateTime` as a calendar day: the last day of what was given, as for an expiry (2028-11 is 2028-11-30).
pub fn last_day(text: &str) -> Option<(Date, Precision)> {
    let (first, precision) = partial(text.split('T').next()?)?;
    let day = match precision {
        Precision::Year => civil::date(first.year(), 12, 31),
        Precision::Month => first.last_of_month(),
        _ => first,
    };
    Some((Date::from(day), precision))
}

fn partial(text: &str) -> Option<(civil::Date, Precision)> {
    let digits = text
        .bytes()
        .enumerate()
        .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    if !digits {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i8>().ok();
    let year: i16 = text.get(..4)?.parse().ok()?;
    let (month, day, precision) = match text.len() {
        4 => (1, 1, Precision::Year),
        7 => (number(5..7)?, 1, Precision::Month),
        10 => (number(5..7)?, number(8..10)?, Precision::Day),
        _ => return None,
    };
    Some((civil::Date::new(year, month, day).ok()?, precision))
}

fn well_formed_clock(clock: &str) -> bool {
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    seconds.len() == 8
        && seconds
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 2 || at == 5 { byte == b':' } else { byte.is_ascii_digit() })
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

fn offset(zone: &str) -> Option<i32> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    Some(sign * (hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, Precision, Option<i32>)>) {
        let read = moment(text).map(|moment| (moment.at.to_string(), moment.precision, moment.offset_minutes));
        assert_eq!(read, expected.map(|(at, precision, offset)| (at.to_owned(), precision, offset)), "{text}");
    }

    #[test]
    fn precision_and_offset_are_kept() {
        check("2026", Some(("2026-01-01T00:00:00Z", Precision::Year, None)));
        check("2026-09", Some(("2026-09-01T00:00:00Z", Precision::Month, None)));
        check("2015-04-05", Some(("2015-04-05T00:00:00Z", Precision::Day, None)));
        check("2026-09-14T10:30:00-05:00", Some(("2026-09-14T15:30:00Z", Precision::Second, Some(-300))));
        check("2026-09-14T21:10:00.123Z", Some(("2026-09-14T21:10:00.123Z", Precision::Millis, Some(0))));
        check("2026-09-14T21:10:00.123456+05:30", Some(("2026-09-14T15:40:00.123456Z", Precision::Micros, Some(330))));
    }

    #[test]
    fn what_fhir_does_not_allow_is_no_time() {
        for text in [
            "",
            "26",
            "2026-13",
            "2026-02-30",
            "2026-09-14T10:30",
            "2026-09-14T10:30:00",
            "2026-09-14 10:30:00Z",
            "20260914",
            "2026-09-14T10:30:00.Z",
            "2026-9-14",
            "today",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn an_expiry_is_the_last_day_of_what_was_given() {
        let day = |text: &str| last_day(text).map(|(date, precision)| (date.to_string(), precision));
        assert_eq!(day("2028-11"), Some(("2028-11-30".to_owned(), Precision::Month)));
        assert_eq!(day("2028"), Some(("2028-12-31".to_owned(), Precision::Year)));
        assert_eq!(day("2028-02-29"), Some(("2028-02-29".to_owned(), Precision::Day)));
        assert_eq!(day("2028-11-30T00:00:00Z"), Some(("2028-11-30".to_owned(), Precision::Day)));
        assert_eq!(day("2027-02-29"), None);
    }
}
