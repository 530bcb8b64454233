//! The one place of the checks that reads the clock and waits.

use super::clients::PATIENCE;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Measures how long something takes.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods, reason = "measures what a client waits for")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    pub(super) fn elapsed_ms(&self) -> u128 {
        self.0.elapsed().as_millis()
    }
}

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "records carry the time of the client")]
pub(super) fn now_ms() -> Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(since.as_millis())?)
}

/// Lets time pass; only where the passing of time is what is checked, or between two looks.
#[allow(clippy::disallowed_methods, reason = "the client of another process can only look again later")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until the condition holds, at most [`PATIENCE`]. `what` is what is waited for, in words.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let watch = Stopwatch::start();
    while watch.elapsed() < PATIENCE {
        if condition()? {
            return Ok(());
        }
        pause(LOOK);
    }
    bail!("{what}: not within {} s", PATIENCE.as_secs())
}
