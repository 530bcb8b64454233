//! Service levels: how much of what the hospital was promised is kept today, and what is about to break.
//!
//! An event is in time when it arrived within the promise, late when it arrived after it, overdue when the promise has passed and
//! it still waits, lost when it cannot arrive any more. Late, overdue and lost ones miss the promise. What is left out by a rule
//! or a person is not waited for. What waits within the promise is neither kept nor missed, so nothing is called met while
//! something waits.

mod book;
mod forecast;
mod risk;
mod view;

use runtime::metrics::ServiceLevelCause;
use schemas::{Criticality, topics};
use serde::{Deserialize, Serialize};

use super::chain::Bounds;
use crate::exceptions::Cause;
use crate::shell::quoted;

pub use risk::Risk;
pub use view::{LevelsView, today};

/// How the subjects begin that are master records.
const MASTER: &str = "master.";
/// Longest subject that is a label of a metric, bytes.
const SUBJECT_MAX: usize = 120;

/// The block `operations.sight` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SightConfig {
    /// Where midnight is, and what times are told in to people: a name of the time zone database. `UTC` when left out.
    pub time_zone: String,
    /// How far before today what still waits is looked for, hours. 24 when left out.
    pub lookback_hours: u32,
    /// Most events that may wait on one way; beyond it the oldest count as missed. 200000 when left out.
    pub waiting_max: usize,
    /// Most settled events remembered per way, so that a second record about one does not count again. 50000 when left out.
    pub settled_max: usize,
    /// Most records per way that came before their cause. 50000 when left out.
    pub early_max: usize,
    /// An event that waits for longer is given up and counts as missed, hours. 168, a week, when left out.
    pub age_max_hours: u32,
    /// A service level of which events wait beyond the promise is at risk when the misses of today become too many within so
    /// long, seconds. 3600 when left out.
    pub alert_within_s: u32,
}

impl Default for SightConfig {
    fn default() -> Self {
        let bounds = Bounds::default();
        Self {
            time_zone: "UTC".to_owned(),
            lookback_hours: 24,
            waiting_max: bounds.waiting_max,
            settled_max: bounds.settled_max,
            early_max: bounds.early_max,
            age_max_hours: 168,
            alert_within_s: 3_600,
        }
    }
}

impl SightConfig {
    fn bounds(&self) -> Bounds {
        Bounds {
            waiting_max: self.waiting_max.max(1),
            settled_max: self.settled_max,
            early_max: self.early_max,
            age_max_ms: i64::from(self.age_max_hours).saturating_mul(3_600_000),
        }
    }
}

/// Whether a promise is kept today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LevelState {
    /// Nothing was promised today: no event began or waited.
    Idle,
    /// Enough of what was decided arrived in time, and more still waits: not met before that has arrived.
    OnCourse,
    /// Enough arrived in time and nothing waits.
    Met,
    /// Too little arrived in time.
    Missed,
}

impl LevelState {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::OnCourse => "on course",
            Self::Met => "met",
            Self::Missed => "missed",
        }
    }
}

/// One service level today.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelReport {
    /// Name.
    pub name: &'static str,
    /// What people wait for.
    pub description: &'static str,
    /// Topic whose events start the time.
    pub from: &'static str,
    /// Topic whose events end it.
    pub to: &'static str,
    /// How urgent it is.
    pub class: Criticality,
    /// Longest time that keeps the promise, milliseconds.
    pub within_ms: u64,
    /// Share that must keep it, percent.
    pub target_percent: f64,
    /// Whether it is kept.
    pub state: LevelState,
    /// Share of what is decided that arrived in time, percent; none when nothing is decided.
    pub attainment_percent: Option<f64>,
    /// Arrived in time.
    pub in_time: u64,
    /// Arrived after the promise.
    pub late: u64,
    /// Cannot arrive any more: dead letters, and what was given up after a bound.
    pub lost: u64,
    /// Left out by a rule or a person, or a duplicate: not counted.
    pub left_out: u64,
    /// Still on the way.
    pub waiting: u64,
    /// Of these the ones whose promise has passed.
    pub overdue: u64,
    /// Age of the oldest that waits, seconds; 0 when none does.
    pub oldest_waiting_s: u64,
    /// Half of what arrived took at most so long, milliseconds (at most an eighth too long).
    pub median_ms: Option<u64>,
    /// 99 of 100 that arrived took at most so long, milliseconds (at most an eighth too long).
    pub p99_ms: Option<u64>,
    /// Misses that today may have, of what has begun so far.
    pub budget: u64,
    /// Misses today has had: late, lost and overdue.
    pub budget_used: u64,
    /// Events that began per minute, over the last minutes.
    pub arrivals_per_minute: f64,
    /// Events that ended per minute, over the last minutes.
    pub completions_per_minute: f64,
    /// When the misses of today become too many if it goes on as in the last minutes, milliseconds since 1970; none when they
    /// do not before the end of the day. In the past or now: they are too many already.
    pub breach_at_ms: Option<i64>,
}

/// What waits in all levels of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassReport {
    /// The class.
    pub class: Criticality,
    /// How many wait. An event that several levels of the class wait for counts in each.
    pub waiting: u64,
    /// Age of the oldest, seconds; 0 when none waits.
    pub oldest_waiting_s: u64,
}

/// All service levels at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelsSnapshot {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Beginning of today, milliseconds since 1970.
    pub day_start_ms: i64,
    /// Whether all that was written before is counted. Until then every number is too small, and nothing is called met.
    pub caught_up: bool,
    /// Why the topics cannot be followed now, when so; the numbers are those of before.
    pub problem: Option<String>,
    /// In the order of their names.
    pub levels: Vec<LevelReport>,
    /// Most urgent first.
    pub classes: Vec<ClassReport>,
    /// Service levels at risk: events wait beyond the promise, and the misses of today become too many soon. It ends by itself
    /// when none waits so long.
    pub alerts: Vec<LevelAlert>,
}

/// A service level at risk.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelAlert {
    /// Name of the service level.
    pub level: &'static str,
    /// How urgent it is.
    pub class: Criticality,
    /// Events that wait beyond the promise.
    pub overdue: u64,
    /// Age of the oldest that waits, seconds.
    pub oldest_waiting_s: u64,
    /// When the misses of today become too many, milliseconds since 1970; in the past: they are already.
    pub breach_at_ms: i64,
    /// What most of the events wait for that wait in the rooms on its way; none when no exception is open there, or nobody looked.
    pub cause: Option<AlertCause>,
    /// The command to go on with: the exceptions of the cause, or which room is behind.
    pub next: String,
}

/// What holds events up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertCause {
    /// Room that waits.
    pub room: String,
    /// Why: a stable code with a page.
    pub code: String,
    /// What it is about, `kind/key`; none where the events themselves are at fault.
    pub subject: Option<String>,
    /// Events that wait for it.
    pub events: usize,
    /// Open exceptions of it.
    pub exceptions: usize,
}

impl LevelsSnapshot {
    /// Names the cause of each alert: of the open causes in the rooms on its way the one that most events wait for. Causes come
    /// as [`ExceptionsView::causes`](crate::exceptions::ExceptionsView::causes) gives them; one that is gone is named no more.
    pub fn name_causes(&mut self, causes: &[Cause]) {
        for alert in &mut self.alerts {
            let level = topics::SERVICE_LEVELS.iter().find(|level| level.name == alert.level);
            let rooms = level.map(|level| level.rooms).unwrap_or_default();
            let of_way = causes.iter().filter(|cause| rooms.contains(&cause.room.as_str()));
            let first = of_way.max_by_key(|cause| (cause.events, cause.exceptions, std::cmp::Reverse(cause.since)));
            alert.cause = first.map(|cause| AlertCause {
                room: cause.room.clone(),
                code: cause.code.clone(),
                subject: cause.subject.clone(),
                events: cause.events,
                exceptions: cause.exceptions,
            });
            alert.next = next(alert.cause.as_ref());
        }
    }
}

impl LevelAlert {
    /// Its cause for the page of metrics. Of what it is about only a master record is told there, and no longer one than fits.
    pub(super) fn measured(&self) -> Option<ServiceLevelCause> {
        let cause = self.cause.as_ref()?;
        let is_told = |subject: &&String| subject.starts_with(MASTER) && subject.len() <= SUBJECT_MAX;
        Some(ServiceLevelCause {
            level: self.level,
            room: cause.room.clone(),
            code: cause.code.clone(),
            subject: cause.subject.as_ref().filter(is_told).cloned().unwrap_or_default(),
            events: cause.events as u64,
        })
    }

    /// The alert of a service level; none when it is not at risk at this moment.
    #[must_use]
    pub fn of(level: &LevelReport, at_ms: i64, within_s: u32) -> Option<Self> {
        let breach_at_ms = level.breach_at_ms?;
        let is_soon = breach_at_ms.saturating_sub(at_ms) < i64::from(within_s) * 1_000;
        (level.overdue > 0 && is_soon).then_some(Self {
            level: level.name,
            class: level.class,
            overdue: level.overdue,
            oldest_waiting_s: level.oldest_waiting_s,
            breach_at_ms,
            cause: None,
            next: next(None),
        })
    }
}

/// What people type next.
fn next(cause: Option<&AlertCause>) -> String {
    let Some(cause) = cause else { return "wardline status".to_owned() };
    let subject = cause.subject.as_ref().map(|subject| format!(" --subject {}", quoted(subject))).unwrap_or_default();
    format!("wardline exceptions ls --room {} --code {}{subject}", cause.room, cause.code)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn alert(subject: Option<&str>) -> LevelAlert {
        let cause = AlertCause {
            room: "validate".to_owned(),
            code: "WL-4001".to_owned(),
            subject: subject.map(str::to_owned),
            events: 12,
            exceptions: 3,
        };
        LevelAlert {
            level: "usage-posted",
            class: Criticality::PatientAdjacent,
            overdue: 2,
            oldest_waiting_s: 130,
            breach_at_ms: 0,
            next: next(Some(&cause)),
            cause: Some(cause),
        }
    }

    #[test]
    fn what_to_type_next_names_the_cause() {
        assert_eq!(next(None), "wardline status");
        let start = "wardline exceptions ls --room validate --code WL-4001";
        assert_eq!(alert(None).next, start);
        assert_eq!(alert(Some("master.item.v1/I'7")).next, format!(r"{start} --subject 'master.item.v1/I'\''7'"));
    }

    #[test]
    fn phi_1_only_a_master_record_that_is_not_too_long_is_a_label_of_a_metric() {
        let told = |subject: &str| alert(Some(subject)).measured().unwrap().subject;
        assert_eq!(told("master.item.v1/I-7"), "master.item.v1/I-7");
        assert_eq!(told("clinical.encounter.v1/E-1"), "");
        assert_eq!(told(&format!("master.item.v1/{}", "x".repeat(SUBJECT_MAX))), "");
        assert!(LevelAlert { cause: None, ..alert(None) }.measured().is_none());
    }
}
