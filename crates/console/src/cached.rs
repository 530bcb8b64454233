//! A value that costs something to read: read by one at a time, and shared by everybody who looks.

use crate::problem::Problem;
use runtime::clock::{self, Tick};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// A value this many times older than it is meant to be is not shown before a newer one was asked for.
const STALE: u32 = 6;

/// The value, when it was read, or why it could not be.
type Held<T> = Option<(Tick, Result<Arc<T>, Problem>)>;

/// One value.
pub struct Cached<T> {
    held: watch::Sender<Held<T>>,
    is_reading: AtomicBool,
    fresh: Duration,
    patience: Duration,
}

/// Ends the reading however it ends.
struct Reading<T: Send + Sync + 'static>(Arc<Cached<T>>);

impl<T: Send + Sync + 'static> Cached<T> {
    /// A value that serves for so long, and is waited for so long.
    pub fn new(fresh: Duration, patience: Duration) -> Arc<Self> {
        Arc::new(Self { held: watch::Sender::new(None), is_reading: AtomicBool::new(false), fresh, patience })
    }

    /// The value: at once when one is held that is not much too old, and read anew in the background when it is not fresh.
    ///
    /// # Errors
    /// What reading it failed with, or that it takes too long.
    pub async fn get<F>(self: &Arc<Self>, read: impl FnOnce() -> F) -> Result<Arc<T>, Problem>
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let now = clock::tick();
        let mut changes = self.held.subscribe();
        let held = changes.borrow_and_update().clone();
        let age = held.as_ref().map(|(at, _)| now.since(*at));
        if age.is_none_or(|age| age >= self.fresh) && !self.is_reading.swap(true, Ordering::AcqRel) {
            let reading = Reading(Arc::clone(self));
            let read = read();
            tokio::spawn(async move {
                let value = read.await.map(Arc::new);
                reading.0.held.send_replace(Some((clock::tick(), value)));
                drop(reading);
            });
        }
        if let Some((_, value)) = held
            && age.is_some_and(|age| age < self.fresh.saturating_mul(STALE))
        {
            return value;
        }
        match tokio::time::timeout(self.patience, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => {
                return Err(Problem::unavailable("WL-7132: Kafka or the schema registry does not answer in time"));
            }
        }
        let held = changes.borrow().clone();
        held.map_or_else(|| Err(Problem::unavailable("WL-7132: nothing was read")), |(_, value)| value)
    }
}

impl<T: Send + Sync + 'static> Drop for Reading<T> {
    fn drop(&mut self) {
        self.0.is_reading.store(false, Ordering::Release);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[tokio::test]
    async fn many_who_look_read_once() {
        let cached = Cached::<usize>::new(Duration::from_secs(60), Duration::from_secs(60));
        let reads = Arc::new(AtomicUsize::new(0));
        let look = || {
            let (cached, reads) = (Arc::clone(&cached), Arc::clone(&reads));
            async move {
                cached
                    .get(|| async move {
                        tokio::task::yield_now().await;
                        Ok(reads.fetch_add(1, Ordering::Relaxed) + 1)
                    })
                    .await
                    .map(|value| *value)
            }
        };
        let (one, two, three) = tokio::join!(look(), look(), look());
        assert_eq!([one, two, three, look().await], [Ok(1), Ok(1), Ok(1), Ok(1)]);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_tried_again() {
        let cached = Cached::<usize>::new(Duration::ZERO, Duration::from_secs(60));
        let failed = cached.get(|| async { Err(Problem::unavailable("WL-6013: no topic")) }).await;
        assert_eq!(failed.unwrap_err().code, "WL-6013");
        assert_eq!(*cached.get(|| async { Ok(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn bnd_1_nobody_waits_for_ever() {
        let cached = Cached::<usize>::new(Duration::ZERO, Duration::from_millis(5));
        let stuck = cached.get(std::future::pending).await;
        assert_eq!(stuck.unwrap_err().code, "WL-7132");
    }
}
