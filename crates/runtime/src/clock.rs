//! The only place that reads a clock. Logic takes the time as a value.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the process first asked; never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tick(Duration);

impl Tick {
    /// A tick at a given distance from the start, for tests and simulation.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// This tick, later by `delay`.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Monotonic time.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn tick() -> Tick {
    static START: OnceLock<Instant> = OnceLock::new();
    Tick(START.get_or_init(Instant::now).elapsed())
}

/// Wall clock, microseconds since 1970-01-01T00:00:00Z.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now_micros() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}
