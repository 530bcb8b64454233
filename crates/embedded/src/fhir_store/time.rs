//! Times as FHIR writes them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::outcome::Refusal;

/// A time as an `instant`.
pub(super) fn instant(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|at| format!("{at:.3}")).unwrap_or_default()
}

/// Times that a parameter asks for: from the first to before the second, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    from: i64,
    until: i64,
}

impl Range {
    /// Reads a value with its prefix, `ge2026-09-14T10:00:00Z`.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let (prefix, rest) = match text.get(..2) {
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_lowercase()) => (prefix, &text[2..]),
            _ => ("eq", text),
        };
        let Self { from, until } = Self::said(rest).ok_or_else(|| bad(text))?;
        let (min, max) = (i64::MIN, i64::MAX);
        match prefix {
            "eq" => Ok(Self { from, until }),
            "ge" => Ok(Self { from, until: max }),
            "gt" | "sa" => Ok(Self { from: until, until: max }),
            "le" => Ok(Self { from: min, until }),
            "lt" | "eb" => Ok(Self { from: min, until: from }),
            _ => Err(Refusal::unsupported(format!("the prefix {prefix} is not served here"))),
        }
    }

    /// The first moment of a value without a prefix.
    pub(super) fn start(text: &str) -> Result<i64, Refusal> {
        Self::said(text).map(|range| range.from).ok_or_else(|| bad(text))
    }

    /// Whether a moment is in it.
    pub(super) const fn holds(self, ms: i64) -> bool {
        self.from <= ms && ms < self.until
    }

    /// What a date or time covers: a year, a month, a day, a second or a moment.
    fn said(text: &str) -> Option<Self> {
        let span = match text.len() {
            4 => Some((format!("{text}-01-01"), Span::new().years(1))),
            7 => Some((format!("{text}-01"), Span::new().months(1))),
            10 => Some((text.to_owned(), Span::new().days(1))),
            _ => None,
        };
        if let Some((date, span)) = span {
            let from: Date = date.parse().ok()?;
            let until = from.checked_add(span).ok()?;
            let ms = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
            return Some(Self { from: ms(from)?, until: ms(until)? });
        }
        // A plus in a query that was not encoded has become a blank.
        let text = text.replace(' ', "+");
        let at: Timestamp = match text.parse() {
            Ok(at) => at,
            Err(_) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
        };
        let from = at.as_millisecond();
        let length = if text.contains('.') { 1 } else { 1_000 };
        Some(Self { from, until: from.checked_add(length)? })
    }
}

fn bad(text: &str) -> Refusal {
    Refusal::invalid(format!("{text} is no date or time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_789_387_200_000;

    #[test]
    fn times_are_written_with_milliseconds() {
        assert_eq!(instant(NOON), "2026-09-14T12:00:00.000Z");
        assert_eq!(instant(NOON + 7), "2026-09-14T12:00:00.007Z");
    }

    #[test]
    fn prefixes_look_both_ways() {
        let holds = |text: &str, ms: i64| Range::read(text).unwrap().holds(ms);
        assert!(holds("ge2026-09-14T12:00:00.000Z", NOON) && !holds("ge2026-09-14T12:00:00.001Z", NOON));
        assert!(holds("ge2026-09-14T14:00:00.000000+02:00", NOON) && holds("ge2026-09-14T14:00:00 02:00", NOON));
        assert!(!holds("gt2026-09-14T12:00:00Z", NOON + 999) && holds("gt2026-09-14T12:00:00Z", NOON + 1_000));
        assert!(holds("le2026-09-14", NOON) && !holds("lt2026-09-14", NOON) && holds("2026-09", NOON));
        assert!(holds("eq2026", NOON) && !holds("2025", NOON));
        assert!(Range::read("ne2026").is_err() && Range::read("soon").is_err() && Range::read("").is_err());
        assert!(Range::read("é").is_err());
    }
}
