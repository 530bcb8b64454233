//! One bound for everything that a page has read or counted for itself: how many at once, and for how long (BND-1).

use crate::problem::Problem;
use axum::http::StatusCode;
use runtime::clock;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Looks through what is held in memory at the same time; each takes milliseconds.
const LOOKS_MAX: usize = 4;

/// Code of a reading that took too long; it goes on all the same.
pub const TOO_SLOW: &str = "WL-7210";

/// Places for what takes a thread.
pub struct Reads {
    topics: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    patience: Duration,
}

impl Reads {
    /// So many readings of topics at once, each waited for so long, its wait for a place included.
    pub fn new(at_once: usize, patience: Duration) -> Self {
        Self { topics: Arc::new(Semaphore::new(at_once)), memory: Arc::new(Semaphore::new(LOOKS_MAX)), patience }
    }

    /// Longest wait for one reading.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Reads topics. What nobody waits for any more keeps its place until it has ended: a thread that reads cannot be taken away,
    /// and so there are never more of them than places.
    ///
    /// # Errors
    /// When there is no place in time, or the reading takes too long.
    pub async fn topics<T, F>(&self, reading: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.within(self.patience, reading).await
    }

    /// As [`Reads::topics`], waited for so long.
    ///
    /// # Errors
    /// As there.
    pub async fn within<T, F>(&self, patience: Duration, reading: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let started = clock::tick();
        let place = place(&self.topics, patience).await?;
        let task = tokio::spawn(async move {
            let read = reading.await;
            drop(place);
            read
        });
        let left = patience.saturating_sub(clock::tick().since(started));
        let read = timeout(left, task).await.map_err(|_| too_slow(patience))?;
        read.map_err(|error| Problem::defect(&error.to_string()))
    }

    /// Reads topics to the end, however long that takes: for a value that many look at and that is waited for elsewhere.
    ///
    /// # Errors
    /// When there is no place in time.
    pub async fn through<T>(&self, reading: impl Future<Output = T> + Send) -> Result<T, Problem> {
        let _place = place(&self.topics, self.patience).await?;
        Ok(reading.await)
    }

    /// Looks through what is held in memory, on a thread that may take its time.
    ///
    /// # Errors
    /// As [`Reads::topics`].
    pub async fn memory<T, F>(&self, looking: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let place = place(&self.memory, self.patience).await?;
        let task = tokio::task::spawn_blocking(move || {
            let seen = looking();
            drop(place);
            seen
        });
        let seen = timeout(self.patience, task).await.map_err(|_| too_slow(self.patience))?;
        seen.map_err(|error| Problem::defect(&error.to_string()))
    }
}

async fn place(places: &Arc<Semaphore>, patience: Duration) -> Result<OwnedSemaphorePermit, Problem> {
    let waited = timeout(patience, Arc::clone(places).acquire_owned()).await;
    let place = waited.map_err(|_| too_many())?;
    place.map_err(|error| Problem::defect(&error.to_string()))
}

/// As many are being read for as may be at once.
pub fn too_many() -> Problem {
    let detail = "as many others are being read for as may be at once";
    let mut busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "WL-7211", "Too many at once", detail)
        .next("try again in some seconds; look whether the broker answers");
    busy.retry_after_s = Some(5);
    busy
}

/// It was not read in time.
pub fn too_slow(patience: Duration) -> Problem {
    let detail = format!("the topics were not read within {} s", patience.as_secs_f32());
    let mut slow = Problem::new(StatusCode::SERVICE_UNAVAILABLE, TOO_SLOW, "Not read in time", detail)
        .next("look whether the broker and the schema registry answer, then ask again; ask for less where you can");
    slow.retry_after_s = Some(10);
    slow
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn bnd_1_what_nobody_waits_for_keeps_its_place_until_it_ends() {
        let reads = Reads::new(1, Duration::from_millis(20));
        let (end, ended) = oneshot::channel::<()>();
        let slow = reads.topics(ended).await.unwrap_err();
        assert_eq!((slow.status.as_u16(), slow.code.as_ref()), (503, "WL-7210"));
        let busy = reads.topics(async { 1 }).await.unwrap_err();
        assert_eq!((busy.status.as_u16(), busy.code.as_ref()), (503, "WL-7211"));
        end.send(()).unwrap();
        let read = async {
            loop {
                if let Ok(read) = reads.topics(async { 2 }).await {
                    break read;
                }
            }
        };
        assert_eq!(timeout(Duration::from_secs(30), read).await.unwrap(), 2, "its place is free again");
    }

    #[tokio::test]
    async fn a_look_into_memory_is_bounded_too_and_a_defect_is_told() {
        let reads = Reads::new(1, Duration::from_secs(30));
        assert_eq!(reads.memory(|| 7).await.unwrap(), 7);
        let broken = reads.memory(|| assert!(reads_nothing(), "broken")).await.unwrap_err();
        assert_eq!(broken.code, "WL-7137");
    }

    fn reads_nothing() -> bool {
        false
    }
}
