//! The `Retry-After` header (RFC 9110, 10.2.3): seconds or a date.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The wait that a `Retry-After` header asks for, as seen at `now`, never more than `limit`. `None` when the value is
/// neither whole seconds nor an HTTP date; a date in the past is no wait.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp, limit: Duration) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a number is a very long wait, so the limit is the answer.
        return Some(value.parse().map_or(limit, Duration::from_secs).min(limit));
    }
    let wait = http_date(value)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO).min(limit))
}

/// An HTTP date in its preferred form (RFC 9110, 5.6.7).
pub(super) fn http_date(value: &str) -> Option<Timestamp> {
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(value.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::retry_after;
    use jiff::Timestamp;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(600);

    #[track_caller]
    fn check(value: &str, expected: Option<u64>) {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = Timestamp::constant(784_111_777, 0);
        assert_eq!(retry_after(value, now, LIMIT), expected.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn seconds() {
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("601", Some(600));
        check("99999999999999999999999", Some(600));
    }

    #[test]
    fn dates() {
        check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30));
        check("Sun, 06 Nov 1994 08:49:07 GMT", Some(0));
        check("Mon, 07 Nov 1994 08:49:37 GMT", Some(600));
    }

    #[test]
    fn nonsense() {
        for value in ["", "soon", "-1", "1.5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            check(value, None);
        }
    }
}
