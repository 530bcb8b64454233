//! Waiting for a condition, with a bound: what tests do instead of letting time pass.

use std::time::Duration;

/// Longest wait. Far longer than anything that works takes, so that a busy machine fails no test.
const BOUND: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until the condition holds. `what` is what is waited for, in words.
///
/// # Panics
/// When the condition does not hold within a minute.
#[allow(clippy::panic, reason = "a helper of tests")]
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let looking = async {
        while !condition() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(BOUND, looking).await.is_err() {
        panic!("{what}: not within {} s", BOUND.as_secs());
    }
}
