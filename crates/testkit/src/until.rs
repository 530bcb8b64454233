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

/// Looks again and again until there is something, and gives it. `what` is what is looked for, in words.
///
/// # Panics
/// When there is nothing within a minute.
#[allow(clippy::panic, reason = "a helper of tests")]
pub async fn until_found<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(BOUND, looking).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within {} s", BOUND.as_secs()),
    }
}
