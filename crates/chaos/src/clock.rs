//! Time, for a harness that watches real processes.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often whoever waits looks whether it is over.
const GLANCE: Duration = Duration::from_millis(250);

/// Milliseconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "real processes are watched in real time; nothing here is simulated")]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Now, for a bound.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "real processes are watched in real time; nothing here is simulated")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits: for a fault to last, or between two looks at another process.
#[allow(clippy::disallowed_methods, reason = "other processes are watched from threads that do nothing else")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Waits, and gives up when what it waits in is over; whether it was.
pub fn pause_unless(duration: Duration, is_over: impl Fn() -> bool) -> bool {
    let started = now();
    loop {
        let left = duration.saturating_sub(started.elapsed());
        if is_over() || left.is_zero() {
            return is_over();
        }
        pause(left.min(GLANCE));
    }
}

/// Looks again and again until `holds` or until the bound is over; whether it held.
pub fn until(bound: Duration, every: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let started = now();
    loop {
        if holds() {
            return true;
        }
        if started.elapsed() >= bound {
            return false;
        }
        pause(every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_what_it_waits_in_is_over() {
        let began = now();
        let is_over = || began.elapsed() > Duration::from_millis(1);
        assert!(pause_unless(Duration::from_secs(600), is_over));
        assert!(began.elapsed() < Duration::from_secs(60));
        assert!(!pause_unless(Duration::from_millis(1), || false));
    }
}
