//! The posting calendar: when an endpoint must not be called, in its own local time.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Windows that follow one another without a gap are one; this is how many are looked at.
const WINDOWS_MAX: usize = 400;

/// When nothing is called. Windows may overlap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calendar {
    /// IANA name of the time zone of all times here, for example `Europe/Berlin`. Default `UTC`.
    pub time_zone: String,
    /// Single windows: the closing of a year, a migration.
    pub closed: Vec<Closed>,
    /// Windows of each week: a backup, a maintenance hour.
    pub weekly: Vec<Weekly>,
    /// The closing of each month. Default: none.
    pub month_end: Option<MonthEnd>,
}

/// A single window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// First moment, for example `2026-12-31T20:00`.
    pub from: DateTime,
    /// First moment after it.
    pub to: DateTime,
    /// What it is for, for people.
    pub reason: String,
}

/// A window of each week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weekly {
    /// Days on which it begins, for example `[saturday, sunday]`.
    pub days: Vec<Day>,
    /// When it begins, for example `22:00`.
    pub from: Time,
    /// When it ends: on the next day where this is not later than `from`.
    pub to: Time,
    /// What it is for, for people.
    pub reason: String,
}

/// From the last day of a month to the first of the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonthEnd {
    /// When it begins on the last day.
    pub from: Time,
    /// When it ends on the first day.
    pub to: Time,
    /// What it is for, for people.
    pub reason: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the days are what they are called")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// What holds at a moment inside of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut<'a> {
    /// When calls may be made again.
    pub until: Timestamp,
    /// What the window is for.
    pub reason: &'a str,
}

impl Calendar {
    /// Whether anything is ever held back.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.weekly.is_empty() && self.month_end.is_none()
    }

    /// What holds at `now`; none when calls may be made.
    #[must_use]
    pub fn shut(&self, now: Timestamp) -> Option<Shut<'_>> {
        if self.is_empty() {
            return None;
        }
        let zone = self.zone().ok()?;
        let (mut until, reason) = self.window(now, &zone)?;
        for _ in 0..WINDOWS_MAX {
            match self.window(until, &zone) {
                Some((later, _)) => until = later,
                None => break,
            }
        }
        Some(Shut { until, reason })
    }

    /// Checks the time zone and that windows end after they begin.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        self.zone().map_err(|error| format!("time_zone is {}: {error}", self.time_zone))?;
        if let Some(window) = self.closed.iter().find(|window| window.to <= window.from) {
            return Err(format!("closed: {} is not later than {}", window.to, window.from));
        }
        if self.weekly.iter().any(|window| window.days.is_empty()) {
            return Err("weekly: a window without days".to_owned());
        }
        Ok(())
    }

    fn zone(&self) -> Result<TimeZone, jiff::Error> {
        TimeZone::get(&self.time_zone)
    }

    /// The latest end of the windows that hold at `now`, and what that window is for.
    fn window(&self, now: Timestamp, zone: &TimeZone) -> Option<(Timestamp, &str)> {
        let local = zone.to_datetime(now);
        let single = self.closed.iter().filter(|window| window.from <= local && local < window.to);
        let single = single.map(|window| (window.to, window.reason.as_str()));
        let weekly = self.weekly.iter().filter_map(|window| window.end(local).map(|end| (end, window.reason.as_str())));
        let month = self.month_end.iter().filter_map(|month| month.end(local).map(|end| (end, month.reason.as_str())));
        let ends = single.chain(weekly).chain(month);
        // Where the clocks are put back the same local time comes twice: the second one is meant, as it is later.
        let ends = ends.filter_map(|(end, reason)| Some((zone.to_ambiguous_timestamp(end).later().ok()?, reason)));
        ends.filter(|(end, _)| *end > now).max_by_key(|(end, _)| *end)
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Self { time_zone: "UTC".to_owned(), closed: Vec::new(), weekly: Vec::new(), month_end: None }
    }
}

impl Weekly {
    /// When the window that holds at `local` ends. It began on that day or on the one before.
    fn end(&self, local: DateTime) -> Option<DateTime> {
        [Some(local.date()), local.date().yesterday().ok()].into_iter().flatten().find_map(|day| {
            let begins = self.days.iter().any(|named| Weekday::from(*named) == day.weekday());
            let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
            between(local, day.to_datetime(self.from), last.to_datetime(self.to)).filter(|_| begins)
        })
    }
}

impl MonthEnd {
    /// When the window that holds at `local` ends.
    fn end(&self, local: DateTime) -> Option<DateTime> {
        let first: Date = if local.day() == 1 { local.date() } else { local.date().last_of_month().tomorrow().ok()? };
        between(local, first.yesterday().ok()?.to_datetime(self.from), first.to_datetime(self.to))
    }
}

fn between(local: DateTime, from: DateTime, to: DateTime) -> Option<DateTime> {
    (from <= local && local < to).then_some(to)
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Monday => Self::Monday,
            Day::Tuesday => Self::Tuesday,
            Day::Wednesday => Self::Wednesday,
            Day::Thursday => Self::Thursday,
            Day::Friday => Self::Friday,
            Day::Saturday => Self::Saturday,
            Day::Sunday => Self::Sunday,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn calendar(text: &str) -> Calendar {
        let calendar: Calendar = serde_json::from_str(text).unwrap();
        assert_eq!(calendar.validate(), Ok(()));
        calendar
    }

    fn shut(calendar: &Calendar, now: &str) -> Option<(String, String)> {
        calendar.shut(now.parse().unwrap()).map(|shut| (shut.until.to_string(), shut.reason.to_owned()))
    }

    fn until(at: &str, reason: &str) -> Option<(String, String)> {
        Some((at.to_owned(), reason.to_owned()))
    }

    #[test]
    fn an_empty_calendar_is_never_shut() {
        assert_eq!(shut(&Calendar::default(), "2026-12-31T23:59:59Z"), None);
    }

    #[test]
    fn single_windows_are_in_local_time_and_end_where_they_say() {
        let year_end = calendar(
            r#"{"time_zone": "Europe/Berlin", "closed": [{"from": "2026-12-31T20:00", "to": "2027-01-01T06:00", "reason": "year end"}]}"#,
        );
        assert_eq!(shut(&year_end, "2026-12-31T18:59:59Z"), None);
        assert_eq!(shut(&year_end, "2026-12-31T19:00:00Z"), until("2027-01-01T05:00:00Z", "year end"));
        assert_eq!(shut(&year_end, "2027-01-01T05:00:00Z"), None);
    }

    #[test]
    fn weekly_windows_go_over_midnight_and_join() {
        let backup = calendar(
            r#"{"weekly": [{"days": ["saturday"], "from": "22:00", "to": "04:00", "reason": "backup"},
                           {"days": ["sunday"], "from": "04:00", "to": "05:30", "reason": "index"}]}"#,
        );
        // 2026-11-28 is a Saturday.
        assert_eq!(shut(&backup, "2026-11-28T21:59:00Z"), None);
        assert_eq!(shut(&backup, "2026-11-28T22:00:00Z"), until("2026-11-29T05:30:00Z", "backup"));
        assert_eq!(shut(&backup, "2026-11-29T03:00:00Z"), until("2026-11-29T05:30:00Z", "backup"));
        assert_eq!(shut(&backup, "2026-11-29T22:30:00Z"), None);
        assert_eq!(shut(&backup, "2026-11-28T03:00:00Z"), None);
    }

    #[test]
    fn a_month_is_closed_from_its_last_day_to_the_first_of_the_next() {
        let closing = calendar(r#"{"month_end": {"from": "20:00", "to": "06:00", "reason": "period close"}}"#);
        assert_eq!(shut(&closing, "2027-02-28T19:59:59Z"), None);
        assert_eq!(shut(&closing, "2027-02-28T20:00:00Z"), until("2027-03-01T06:00:00Z", "period close"));
        assert_eq!(shut(&closing, "2026-12-31T23:00:00Z"), until("2027-01-01T06:00:00Z", "period close"));
        assert_eq!(shut(&closing, "2027-03-01T05:59:59Z"), until("2027-03-01T06:00:00Z", "period close"));
        assert_eq!(shut(&closing, "2027-03-01T06:00:00Z"), None);
        assert_eq!(shut(&closing, "2027-03-30T21:00:00Z"), None);
    }

    #[test]
    fn a_window_in_the_hour_that_comes_twice_ends_after_the_second() {
        // 2026-10-25 in Berlin: at 03:00 the clocks go back to 02:00.
        let text = r#"{"time_zone": "Europe/Berlin", "weekly": [{"days": ["sunday"], "from": "01:00", "to": "02:30", "reason": "x"}]}"#;
        assert_eq!(shut(&calendar(text), "2026-10-24T23:30:00Z"), until("2026-10-25T01:30:00Z", "x"));
    }

    #[test]
    fn windows_that_cover_everything_end_in_the_far_future_and_not_never() {
        let text = r#"{"weekly": [{"days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
                       "from": "00:00", "to": "00:00", "reason": "x"}]}"#;
        assert!(calendar(text).shut("2026-11-27T00:00:00Z".parse().unwrap()).is_some());
    }

    #[test]
    fn windows_that_end_before_they_begin_are_refused() {
        let wrong = r#"{"closed": [{"from": "2026-12-31T20:00", "to": "2026-12-31T06:00", "reason": "x"}]}"#;
        assert!(serde_json::from_str::<Calendar>(wrong).unwrap().validate().is_err());
        assert!(serde_json::from_str::<Calendar>(r#"{"weekly": [{"days": ["someday"]}]}"#).is_err());
    }
}
