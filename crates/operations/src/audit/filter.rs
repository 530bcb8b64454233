//! Which records of the audit topic are asked for.

use super::AuditError;
use crate::offsets::Offsets;
use crate::people::{AS_USER, same_person};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, civil};
use schemas::{Audit, AuditKind};

/// What must hold of a record; what is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// One of these kinds; any when there are none.
    pub kinds: Vec<AuditKind>,
    /// Room or command it happened in.
    pub room: Option<String>,
    /// Who did it, or the user of the operating system that they worked as; upper case makes nobody else.
    pub who: Option<String>,
    /// The exception it is about: its id or the start of it.
    pub exception: Option<String>,
    /// A part of the code, upper case or not.
    pub code: Option<String>,
    /// Not before this moment, microseconds since 1970.
    pub from: Option<i64>,
    /// Not after this moment, microseconds since 1970.
    pub until: Option<i64>,
}

impl AuditFilter {
    /// Whether a record is asked for.
    #[must_use]
    pub fn matches(&self, audit: &Audit) -> bool {
        let exception = audit.exception_id.as_deref();
        (self.kinds.is_empty() || self.kinds.contains(&audit.kind))
            && self.room.as_ref().is_none_or(|room| *room == audit.room)
            && self.who.as_ref().is_none_or(|who| audit.actor.as_ref().is_some_and(|actor| is_by(actor, who)))
            && self.exception.as_ref().is_none_or(|start| exception.is_some_and(|id| id.starts_with(start.as_str())))
            && self.code.as_ref().is_none_or(|part| audit.code.to_lowercase().contains(&part.to_lowercase()))
            && self.from.is_none_or(|from| audit.at.0 >= from)
            && self.until.is_none_or(|until| audit.at.0 <= until)
    }
}

/// Whether a name on record is that of somebody: the person, or the user that they worked as.
fn is_by(actor: &str, who: &str) -> bool {
    let user = actor.split_once(AS_USER).map(|(_, user)| user.trim_end_matches(')'));
    same_person(actor, who) || user.is_some_and(|user| user.to_lowercase() == who.trim().to_lowercase())
}

/// A moment that a person names, microseconds since 1970: a time (RFC 3339), or a day, or a day and a time of day in UTC. A day
/// as the end of something is meant to its end.
///
/// # Errors
/// When it is none of these.
pub fn moment(text: &str, is_end: bool) -> Result<i64, AuditError> {
    let text = text.trim();
    let day = || {
        let day: civil::Date = text.parse().ok().filter(|_| text.len() == "2026-03-01".len())?;
        let day = if is_end { day.checked_add(1.day()).ok()? } else { day };
        let start = day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond();
        Some(if is_end { start - 1 } else { start })
    };
    let time = || text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
    let local = || {
        let time: civil::DateTime = text.parse().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
    };
    day().or_else(time).or_else(local).ok_or_else(|| {
        AuditError::Question(
            "a moment is a day (2026-03-01), a day with a time of day in UTC (2026-03-01T08:00) or a time by RFC 3339"
                .to_owned(),
        )
    })
}

/// Where an earlier look ended, as its answer said: an offset in each partition, before which older records are looked for.
///
/// # Errors
/// [`AuditError::Question`] when it is no such text.
pub fn older(text: &str) -> Result<Offsets, AuditError> {
    let wrong = "this is no place to go on from; take it as the answer before gives it";
    text.parse::<Offsets>().map_err(|_| AuditError::Question(wrong.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::Timestamp as At;

    #[test]
    fn each_part_of_a_filter_counts() {
        let audit = Audit {
            room: "console".to_owned(),
            kind: AuditKind::Action,
            code: "show-original".to_owned(),
            exception_id: Some("0197aa-7".to_owned()),
            actor: Some("Ada (as deploy)".to_owned()),
            at: At(5_000_000),
            ..Audit::default()
        };
        let text = |text: &str| Some(text.to_owned());
        let any = AuditFilter::default;
        for (filter, fits) in [
            (any(), true),
            (AuditFilter { kinds: vec![AuditKind::Replay, AuditKind::Action], ..any() }, true),
            (AuditFilter { kinds: vec![AuditKind::Dropped], ..any() }, false),
            (AuditFilter { room: text("console"), ..any() }, true),
            (AuditFilter { room: text("cli"), ..any() }, false),
            (AuditFilter { who: text(" ada "), ..any() }, true),
            (AuditFilter { who: text("ADA (as root)"), ..any() }, true),
            (AuditFilter { who: text("Deploy"), ..any() }, true),
            (AuditFilter { who: text("ad"), ..any() }, false),
            (AuditFilter { exception: text("0197aa"), ..any() }, true),
            (AuditFilter { exception: text("97aa"), ..any() }, false),
            (AuditFilter { code: text("ORIGINAL"), ..any() }, true),
            (AuditFilter { code: text("retry"), ..any() }, false),
            (AuditFilter { from: Some(5_000_000), until: Some(5_000_000), ..any() }, true),
            (AuditFilter { from: Some(5_000_001), ..any() }, false),
            (AuditFilter { until: Some(4_999_999), ..any() }, false),
        ] {
            assert_eq!(filter.matches(&audit), fits, "{filter:?}");
        }
        let nobody = AuditFilter { who: text("ada"), ..any() };
        assert!(!nobody.matches(&Audit::default()), "what Wardline did itself is by nobody");
    }

    #[test]
    fn a_moment_is_a_day_or_a_time() {
        let hour = 3_600_000_000;
        for (text, is_end, micros) in [
            ("1970-01-02", false, 24 * hour),
            ("1970-01-02", true, 48 * hour - 1),
            (" 1970-01-01T08:00 ", false, 8 * hour),
            ("1970-01-01T08:00:00+02:00", true, 6 * hour),
            ("1970-01-01T00:00:01Z", false, 1_000_000),
        ] {
            assert_eq!(moment(text, is_end).unwrap(), micros, "{text}");
        }
        for wrong in ["", "yesterday", "1970-13-01", "12"] {
            assert!(moment(wrong, false).unwrap_err().to_string().starts_with("WL-7272: "), "{wrong}");
        }
    }

    #[test]
    fn a_look_goes_on_only_from_where_one_ended() {
        let ended = Offsets::new([(0, 17), (1, 4)]);
        assert_eq!(older(&ended.to_string()).unwrap(), ended);
        for wrong in ["", "x"] {
            assert!(older(wrong).unwrap_err().to_string().starts_with("WL-7272: this is no place"), "{wrong}");
        }
    }
}
