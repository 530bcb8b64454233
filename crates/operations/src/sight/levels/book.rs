//! The account of one service level: what began and ended, as numbers of today.

use schemas::ServiceLevel;
use std::collections::BTreeMap;

use super::forecast::{self, Outlook};
use super::{LevelReport, LevelState};
use crate::sight::chain::{Bounds, Fact, How, Settled, Tracker};
use crate::sight::facts::{Route, Seen};
use crate::sight::histogram::Histogram;

/// The last minutes from which rates are taken.
const RATE_MINUTES: i64 = 15;
const MINUTE_MS: i64 = 60_000;

/// A day, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    pub start_ms: i64,
    pub end_ms: i64,
}

/// The account of one service level.
pub(super) struct Book {
    level: &'static ServiceLevel,
    route: Route,
    tracker: Tracker,
    numbers: Numbers,
}

/// Numbers of today: of all that ended today, whenever it began. What waits is counted when it is asked for.
struct Numbers {
    day: Day,
    within_ms: i64,
    in_time: u64,
    late: u64,
    lost: u64,
    left_out: u64,
    durations: Histogram,
    /// When the newest of those that arrived began.
    newest_start_ms: i64,
    /// Began and ended, by minute since 1970.
    minutes: BTreeMap<i64, (u64, u64)>,
}

impl Book {
    pub fn new(level: &'static ServiceLevel, bounds: Bounds, day: Day) -> Self {
        let within_ms = i64::try_from(level.within_ms).unwrap_or(i64::MAX);
        Self { level, route: Route::of(level), tracker: Tracker::new(bounds), numbers: Numbers::new(day, within_ms) }
    }

    /// Whether times of the source are needed.
    pub fn recorded_topics(&self) -> impl Iterator<Item = &'static str> {
        self.route.from.iter().copied().filter(|_| self.route.is_from_recorded)
    }

    pub fn take(&mut self, seen: &Seen) {
        if let Some(fact) = self.route.fact(seen) {
            if let Fact::Started { at_ms, .. } = fact {
                self.numbers.began(at_ms);
            }
            self.tracker.take(fact, |settled| self.numbers.settled(&settled));
        }
    }

    /// Another day begins, or time passed.
    pub fn turn(&mut self, day: Day, now_ms: i64) {
        if day != self.numbers.day {
            self.numbers = Numbers {
                minutes: std::mem::take(&mut self.numbers.minutes),
                ..Numbers::new(day, self.numbers.within_ms)
            };
        }
        self.tracker.expire(now_ms, |settled| self.numbers.settled(&settled));
        self.numbers.forget(now_ms);
    }

    pub fn report(&self, now_ms: i64) -> LevelReport {
        let (level, numbers) = (self.level, &self.numbers);
        let waiting: Vec<i64> = self.tracker.starts_ms().collect();
        let overdue = count(waiting.iter().filter(|start| now_ms - **start > numbers.within_ms).count());
        let waits = count(waiting.len());
        let missed = numbers.late + numbers.lost + overdue;
        let decided = numbers.in_time + missed;
        let attainment = (decided > 0).then(|| percent(numbers.in_time, decided));
        let target_percent = f64::from(level.target_basis_points) / 100.0;
        let budget = forecast::budget(float(decided + waits - overdue), level.target_basis_points);
        let (arrivals, completions) = numbers.rates(now_ms);
        let breach_at_ms = forecast::breach_at(&Outlook {
            now_ms,
            day_end_ms: numbers.day.end_ms,
            within_ms: numbers.within_ms,
            target_basis_points: level.target_basis_points,
            in_time: numbers.in_time,
            missed,
            waiting: &waiting,
            overtaken_before_ms: numbers.overtaken_before_ms(),
            arrivals_per_minute: arrivals,
            completions_per_minute: completions,
        });
        LevelReport {
            name: level.name,
            description: level.description,
            from: level.from.name,
            to: level.to.name,
            class: level.class,
            within_ms: level.within_ms,
            target_percent,
            state: state(attainment, target_percent, waits),
            attainment_percent: attainment,
            in_time: numbers.in_time,
            late: numbers.late,
            lost: numbers.lost,
            left_out: numbers.left_out,
            waiting: waits,
            overdue,
            oldest_waiting_s: age_s(waiting.first().copied(), now_ms),
            median_ms: numbers.durations.quantile_ms(0.5),
            p99_ms: numbers.durations.quantile_ms(0.99),
            budget: whole(budget),
            budget_used: missed,
            arrivals_per_minute: arrivals,
            completions_per_minute: completions,
            breach_at_ms,
        }
    }
}

/// Nothing is met while something waits.
fn state(attainment: Option<f64>, target_percent: f64, waiting: u64) -> LevelState {
    match attainment {
        Some(attained) if attained + 1e-9 < target_percent => LevelState::Missed,
        _ if waiting > 0 => LevelState::OnCourse,
        Some(_) => LevelState::Met,
        None => LevelState::Idle,
    }
}

impl Numbers {
    fn new(day: Day, within_ms: i64) -> Self {
        Self {
            day,
            within_ms,
            in_time: 0,
            late: 0,
            lost: 0,
            left_out: 0,
            durations: Histogram::default(),
            newest_start_ms: i64::MIN,
            minutes: BTreeMap::new(),
        }
    }

    fn began(&mut self, at_ms: i64) {
        self.minutes.entry(at_ms.div_euclid(MINUTE_MS)).or_default().0 += 1;
    }

    fn settled(&mut self, settled: &Settled) {
        if let Some((before, before_ms)) = settled.instead_of {
            if before_ms >= self.day.start_ms {
                let number = self.number(before, settled.start_ms, before_ms);
                *number = number.saturating_sub(1);
            }
        } else {
            self.minutes.entry(settled.end_ms.div_euclid(MINUTE_MS)).or_default().1 += 1;
        }
        if settled.end_ms < self.day.start_ms {
            return;
        }
        *self.number(settled.how, settled.start_ms, settled.end_ms) += 1;
        if settled.how == How::Done {
            self.durations.add(u64::try_from(settled.end_ms - settled.start_ms).unwrap_or_default());
            self.newest_start_ms = self.newest_start_ms.max(settled.start_ms);
        }
    }

    fn number(&mut self, how: How, start_ms: i64, end_ms: i64) -> &mut u64 {
        match how {
            How::Done if end_ms - start_ms <= self.within_ms => &mut self.in_time,
            How::Done => &mut self.late,
            How::LeftOut => &mut self.left_out,
            How::Lost => &mut self.lost,
        }
    }

    /// Began and ended per minute, over the last whole minutes.
    fn rates(&self, now_ms: i64) -> (f64, f64) {
        let now = now_ms.div_euclid(MINUTE_MS);
        let (mut began, mut ended) = (0, 0);
        for (more_began, more_ended) in self.minutes.range(now - RATE_MINUTES..=now).map(|(_, numbers)| numbers) {
            began += more_began;
            ended += more_ended;
        }
        (float(began) / 15.0, float(ended) / 15.0)
    }

    /// What began so early, and waits, was overtaken by what took as long as nearly all take.
    fn overtaken_before_ms(&self) -> Option<i64> {
        let usual_ms = i64::try_from(self.durations.quantile_ms(0.99)?).ok()?;
        Some(self.newest_start_ms.saturating_sub(usual_ms))
    }

    fn forget(&mut self, now_ms: i64) {
        self.minutes = self.minutes.split_off(&(now_ms.div_euclid(MINUTE_MS) - RATE_MINUTES));
    }
}

/// Age of the oldest, whole seconds; 0 when there is none.
fn age_s(oldest_ms: Option<i64>, now_ms: i64) -> u64 {
    oldest_ms.map_or(0, |oldest| u64::try_from((now_ms - oldest) / 1_000).unwrap_or_default())
}

fn percent(part: u64, all: u64) -> f64 {
    100.0 * float(part) / float(all)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "a count beyond 2^53 is not reached in a day")]
fn float(count: u64) -> f64 {
    count as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a budget is a part of a count")]
fn whole(budget: f64) -> u64 {
    budget.max(0.0) as u64
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
