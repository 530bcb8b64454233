//! The only place that reads a clock. Logic takes the time as a value.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
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
pub fn tick() -> Tick {
    match VIRTUAL.get() {
        Some(source) => Tick(source.since_start()),
        None => Tick(started().elapsed()),
    }
}

/// Wall clock, microseconds since 1970-01-01T00:00:00Z.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now_micros() -> i64 {
    let since_epoch = match VIRTUAL.get() {
        Some(source) => VIRTUAL_EPOCH + source.since_start(),
        None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    };
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

/// Waits for a message, for `longest` at most.
///
/// # Errors
/// When time is up, or nobody can send any more.
pub fn receive<T>(receiver: &Receiver<T>, longest: Duration) -> Result<T, RecvTimeoutError> {
    let Some(source) = VIRTUAL.get() else { return receiver.recv_timeout(longest) };
    let until = source.since_start() + longest;
    loop {
        match receiver.try_recv() {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if source.since_start() >= until => return Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Empty) => source.pass(until - source.since_start()),
        }
    }
}

/// Time that a simulation makes. See [`simulate`].
pub trait VirtualTime {
    /// Time since the simulation began.
    fn since_start(&self) -> Duration;

    /// Lets time pass, up to so long, and others work meanwhile.
    fn pass(&self, longest: Duration);
}

/// Takes the time of this thread from a simulation, or gives it back to the clock.
pub fn simulate(source: Option<&'static dyn VirtualTime>) {
    VIRTUAL.set(source);
}

/// 2026-01-01T00:00:00Z.
const VIRTUAL_EPOCH: Duration = Duration::from_secs(1_767_225_600);

thread_local! {
    static VIRTUAL: Cell<Option<&'static dyn VirtualTime>> = const { Cell::new(None) };
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn started() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}
