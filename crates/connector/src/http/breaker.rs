//! A circuit breaker: after enough failures in a row nobody calls for a while, then one call probes.
//!
//! ```text
//! closed --failures in a row--> open --wait is over--> half open --success--> closed
//!                                ^                        |
//!                                +--------failure---------+   (the wait doubles, up to a bound)
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failures in a row that open the breaker. Default 5.
    pub failures_to_open: u32,
    /// First wait while open, in milliseconds. Default 1000. It doubles each time the probe fails.
    pub open_ms: u64,
    /// Longest wait while open, in milliseconds. Default 15000: one call in so long is no burden on a system that is
    /// getting up again, and people wait no longer for it than they must.
    pub open_ms_max: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures_to_open: 5, open_ms: 1_000, open_ms_max: 15_000 }
    }
}

/// Whether a call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Call, and [`Breaker::record`] the outcome.
    Go,
    /// Do not call; ask again after this long.
    Wait(Duration),
}

/// The state machine. Time is a [`Duration`] since any fixed moment and is passed in; it must not go backwards.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Duration,
        wait: Duration,
    },
    /// A probe is under way. If its outcome never comes back, the next probe may go at `until`.
    HalfOpen {
        until: Duration,
        wait: Duration,
    },
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(config: BreakerConfig) -> Self {
        Self { config, state: State::Closed { failures: 0 } }
    }

    /// Whether a call may be made at `now`. While open, the first caller after the wait becomes the probe.
    pub fn permit(&mut self, now: Duration) -> Permit {
        match self.state {
            State::Closed { .. } => Permit::Go,
            State::Open { until, wait } | State::HalfOpen { until, wait } if now >= until => {
                self.state = State::HalfOpen { until: now + wait, wait };
                Permit::Go
            }
            State::Open { until, .. } | State::HalfOpen { until, .. } => Permit::Wait(until - now),
        }
    }

    /// Records the outcome of a permitted call: `true` when the other side works (a refusal counts as working), `false`
    /// when the call was transient or in doubt.
    pub fn record(&mut self, now: Duration, works: bool) {
        self.state = match (self.state, works) {
            (_, true) => State::Closed { failures: 0 },
            (State::Closed { failures }, false) if failures + 1 < self.config.failures_to_open => {
                State::Closed { failures: failures + 1 }
            }
            (State::Closed { .. }, false) => self.open(now, Duration::from_millis(self.config.open_ms)),
            (State::HalfOpen { wait, .. }, false) => self.open(now, wait.saturating_mul(2)),
            // A call that was already under way when the breaker opened: nothing new is learnt.
            (open @ State::Open { .. }, false) => open,
        };
    }

    /// Whether calls are held back at the moment, for the metrics.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    fn open(&self, now: Duration, wait: Duration) -> State {
        let wait = wait.min(Duration::from_millis(self.config.open_ms_max));
        State::Open { until: now + wait, wait }
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, BreakerConfig, Permit};
    use std::time::Duration;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerConfig { failures_to_open: 2, open_ms: 100, open_ms_max: 150 })
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let mut breaker = breaker();
        breaker.record(ms(0), false);
        breaker.record(ms(0), true);
        breaker.record(ms(0), false);
        assert_eq!(breaker.permit(ms(0)), Permit::Go);
        breaker.record(ms(0), false);
        assert!(breaker.is_open());
        assert_eq!(breaker.permit(ms(40)), Permit::Wait(ms(60)));
    }

    #[test]
    fn one_probe_at_a_time_and_a_longer_bounded_wait_after_a_failed_probe() {
        let mut breaker = breaker();
        breaker.record(ms(0), false);
        breaker.record(ms(0), false);
        assert_eq!(breaker.permit(ms(100)), Permit::Go);
        assert_eq!(breaker.permit(ms(100)), Permit::Wait(ms(100)));
        breaker.record(ms(110), false);
        assert_eq!(breaker.permit(ms(110)), Permit::Wait(ms(150)));
        assert_eq!(breaker.permit(ms(260)), Permit::Go);
        breaker.record(ms(261), true);
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_lost_probe_does_not_close_the_door_for_ever() {
        let mut breaker = breaker();
        breaker.record(ms(0), false);
        breaker.record(ms(0), false);
        assert_eq!(breaker.permit(ms(100)), Permit::Go);
        assert_eq!(breaker.permit(ms(200)), Permit::Go);
    }
}
