//! When the misses of a day become too many, if it goes on as in the last minutes.

use std::collections::VecDeque;

/// A step of the calculation, milliseconds.
const STEP_MS: i64 = 60_000;

/// What is known now. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Outlook<'a> {
    pub now_ms: i64,
    pub day_end_ms: i64,
    pub within_ms: i64,
    pub target_basis_points: u32,
    /// Decided so far.
    pub in_time: u64,
    /// Missed so far, the overdue ones that wait included.
    pub missed: u64,
    /// When each that waits began, oldest first.
    pub waiting: &'a [i64],
    /// What began before this was overtaken by later ones: it stands, and is not taken to leave by itself.
    pub overtaken_before_ms: Option<i64>,
    pub arrivals_per_minute: f64,
    pub completions_per_minute: f64,
}

/// Misses that a day may have.
pub(super) fn budget(total: f64, target_basis_points: u32) -> f64 {
    (total * f64::from(10_000 - target_basis_points.min(10_000)) / 10_000.0).floor()
}

/// When the misses become more than the budget; now when they are already, none when not before the day ends.
///
/// Who came first is served first, as many per minute as in the last minutes; so many come as came. What was overtaken (a key
/// that is parked) is not served.
pub(super) fn breach_at(outlook: &Outlook<'_>) -> Option<i64> {
    let overdue = outlook.waiting.iter().filter(|start| outlook.now_ms - **start > outlook.within_ms).count();
    let stands = |start: &&i64| outlook.overtaken_before_ms.is_some_and(|before| **start < before);
    let deadline = |start: &i64| start.saturating_add(outlook.within_ms);
    let standing: Vec<i64> = outlook.waiting.iter().filter(stands).map(deadline).collect();
    let moving = outlook.waiting.iter().filter(|start| !stands(start));
    let mut queue: VecDeque<(i64, f64)> = moving.map(|start| (deadline(start), 1.0)).collect();
    let mut missed = float(outlook.missed);
    let mut total = float(outlook.in_time) + missed + float_of(outlook.waiting.len() - overdue);
    let is_too_many = |missed: f64, total: f64| missed > budget(total, outlook.target_basis_points) + 1e-6;
    if is_too_many(missed, total) {
        return Some(outlook.now_ms);
    }
    // The overdue ones come first and are counted; each that comes after is counted once when its time passes.
    let is_past = |deadline: i64, now_ms: i64| deadline < now_ms;
    let mut counted = float_of(queue.iter().take_while(|(deadline, _)| is_past(*deadline, outlook.now_ms)).count());
    let mut now_ms = outlook.now_ms;
    while now_ms < outlook.day_end_ms {
        now_ms += STEP_MS;
        queue.push_back((now_ms + outlook.within_ms, outlook.arrivals_per_minute));
        total += outlook.arrivals_per_minute;
        let mut capacity = outlook.completions_per_minute;
        while capacity > 1e-9
            && let Some((_, amount)) = queue.front_mut()
        {
            let served = amount.min(capacity);
            *amount -= served;
            capacity -= served;
            counted = (counted - served).max(0.0);
            if *amount <= 1e-9 {
                queue.pop_front();
            }
        }
        let past: f64 =
            queue.iter().take_while(|(deadline, _)| is_past(*deadline, now_ms)).map(|(_, amount)| amount).sum();
        missed += (past - counted).max(0.0);
        let passed = |deadline: &&i64| is_past(**deadline, now_ms) && !is_past(**deadline, now_ms - STEP_MS);
        missed += float_of(standing.iter().filter(passed).count());
        counted = counted.max(past);
        if is_too_many(missed, total) {
            return Some(now_ms.min(outlook.day_end_ms));
        }
    }
    None
}

#[allow(clippy::cast_precision_loss, reason = "a count beyond 2^53 is not reached in a day")]
fn float(count: u64) -> f64 {
    count as f64
}

fn float_of(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// Minutes until the breach, with a promise of two minutes, 99 %, at noon.
    fn minutes(in_time: u64, missed: u64, ages_s: &[i64], per_minute: (f64, f64)) -> Option<i64> {
        let now_ms = 12 * HOUR_MS;
        let waiting: Vec<i64> = ages_s.iter().map(|age| now_ms - age * 1_000).collect();
        let outlook = Outlook {
            now_ms,
            day_end_ms: 24 * HOUR_MS,
            within_ms: 120_000,
            target_basis_points: 9_900,
            in_time,
            missed,
            waiting: &waiting,
            overtaken_before_ms: None,
            arrivals_per_minute: per_minute.0,
            completions_per_minute: per_minute.1,
        };
        breach_at(&outlook).map(|at| (at - now_ms) / STEP_MS)
    }

    #[test]
    fn what_flows_does_not_breach() {
        assert_eq!(minutes(1_000, 0, &[], (10.0, 10.0)), None);
        assert_eq!(minutes(1_000, 9, &[30, 20], (10.0, 10.0)), None);
        assert_eq!(minutes(0, 0, &[], (0.0, 0.0)), None);
    }

    #[test]
    fn too_many_misses_are_a_breach_now() {
        assert_eq!(minutes(100, 2, &[], (10.0, 10.0)), Some(0));
        assert_eq!(minutes(0, 1, &[500], (0.0, 0.0)), Some(0));
    }

    #[test]
    fn what_stands_still_breaches_when_the_promise_of_the_first_ones_passes() {
        // One that waits, in a quiet night: its two minutes pass.
        assert_eq!(minutes(10, 0, &[30], (0.0, 0.0)), Some(2));
        // 1000 in time allow 10 misses; 10 per minute come and nothing leaves.
        assert_eq!(minutes(1_000, 0, &[], (10.0, 0.0)), Some(5));
    }

    #[test]
    fn what_is_slower_than_it_comes_breaches_later() {
        let stands = minutes(1_000, 0, &[], (10.0, 0.0));
        let slow = minutes(1_000, 0, &[], (10.0, 9.0));
        assert!(slow > stands, "{slow:?} is not after {stands:?}");
        assert_eq!(minutes(1_000, 0, &[], (10.0, 10.0)), None);
    }

    #[test]
    fn what_was_overtaken_is_not_taken_to_leave_by_itself() {
        let outlook = |overtaken_before_ms| Outlook {
            now_ms: HOUR_MS,
            day_end_ms: 24 * HOUR_MS,
            within_ms: 120_000,
            target_basis_points: 9_900,
            in_time: 50,
            missed: 0,
            waiting: &[HOUR_MS - 30_000, HOUR_MS - 1_000],
            overtaken_before_ms,
            arrivals_per_minute: 10.0,
            completions_per_minute: 10.0,
        };
        assert_eq!(breach_at(&outlook(None)), None);
        assert_eq!(breach_at(&outlook(Some(HOUR_MS - 10_000))), Some(HOUR_MS + 2 * STEP_MS));
    }

    #[test]
    fn the_budget_is_rounded_down() {
        assert!((budget(199.0, 9_900) - 1.0).abs() < 1e-9);
        assert!(budget(99.0, 9_900) < 1e-9);
        assert!(budget(1e6, 10_000) < 1e-9);
    }
}
