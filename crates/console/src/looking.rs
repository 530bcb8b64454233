//! Searches that go on while the page that asked for them says how far they are.

use crate::problem::Problem;
use crate::reads::too_many;
use runtime::clock::{self, Tick};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The searches of this process, by what is looked for.
pub struct Looking<T> {
    looks: Mutex<VecDeque<(String, Arc<Look<T>>)>>,
    most: usize,
    kept: Duration,
}

/// One search.
pub struct Look<T> {
    started: Tick,
    place: Mutex<String>,
    found: watch::Sender<Option<Ended<T>>>,
}

/// When a search ended, and what it found.
type Ended<T> = (Tick, Result<Arc<T>, Problem>);

/// How far a search is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand<T> {
    /// It has ended. Whoever asks the same again has it looked for anew.
    Found(Arc<T>),
    /// It goes on.
    Looks {
        /// For how long.
        since: Duration,
        /// What is being read; empty while it waits for a place.
        place: String,
    },
}

impl<T: Send + Sync + 'static> Looking<T> {
    /// At most so many are known, those that wait for a place included; a result that nobody has taken for so long is not shown any
    /// more.
    pub fn new(most: usize, kept: Duration) -> Self {
        Self { looks: Mutex::default(), most, kept }
    }

    /// Waits so long for what is looked for by this name. It is begun when it is not under way, and goes on when nobody waits.
    ///
    /// # Errors
    /// What the search failed with, or that too many are under way.
    pub async fn of<F>(
        &self,
        name: &str,
        patience: Duration,
        begin: impl FnOnce(Arc<Look<T>>) -> F,
    ) -> Result<Stand<T>, Problem>
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let look = self.begun(name, begin)?;
        let mut found = look.found.subscribe();
        let ended = tokio::time::timeout(patience, found.wait_for(Option::is_some)).await;
        let result = match ended {
            Ok(Ok(ended)) => ended.as_ref().map(|(_, result)| result.clone()),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some(result) = result else {
            let place = lock(&look.place).clone();
            return Ok(Stand::Looks { since: clock::tick().since(look.started), place });
        };
        lock(&self.looks).retain(|(_, known)| !Arc::ptr_eq(known, &look));
        result.map(Stand::Found)
    }

    /// What is under way or was not taken is nobody's answer any more: somebody has changed what it is about. Who waits for it
    /// already is answered.
    pub fn forget(&self) {
        lock(&self.looks).clear();
    }

    fn begun<F>(&self, name: &str, begin: impl FnOnce(Arc<Look<T>>) -> F) -> Result<Arc<Look<T>>, Problem>
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let mut looks = lock(&self.looks);
        looks.retain(|(_, look)| !look.is_over(self.kept));
        if let Some((_, look)) = looks.iter().find(|(known, _)| known == name) {
            return Ok(Arc::clone(look));
        }
        // What has ended and was not taken gives way.
        if looks.len() >= self.most
            && let Some(ended) = looks.iter().position(|(_, look)| look.is_over(Duration::ZERO))
        {
            looks.remove(ended);
        }
        if looks.len() >= self.most {
            return Err(too_many());
        }
        let (place, found) = (Mutex::default(), watch::Sender::new(None));
        let look = Arc::new(Look { started: clock::tick(), place, found });
        looks.push_back((name.to_owned(), Arc::clone(&look)));
        let (searching, told) = (begin(Arc::clone(&look)), Arc::clone(&look));
        tokio::spawn(async move {
            // A panic inside is told like every other failure.
            let found = tokio::spawn(searching).await;
            let found = found.unwrap_or_else(|error| Err(Problem::defect(&error.to_string())));
            told.found.send_replace(Some((clock::tick(), found.map(Arc::new))));
        });
        Ok(look)
    }
}

impl<T> Look<T> {
    /// Says what is being read.
    pub fn reads(&self, place: &str) {
        place.clone_into(&mut lock(&self.place));
    }

    /// Whether it ended so long ago.
    fn is_over(&self, ago: Duration) -> bool {
        self.found.borrow().as_ref().is_some_and(|(ended, _)| clock::tick().since(*ended) >= ago)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "test")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    const SOON: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_asks_again_joins_the_search_and_a_result_is_given_once() {
        let (looking, end, begun) = (Looking::new(2, LONG), Arc::new(Notify::new()), AtomicUsize::new(0));
        let begin = |look: Arc<Look<usize>>| {
            let (end, number) = (Arc::clone(&end), begun.fetch_add(1, Ordering::Relaxed));
            async move {
                look.reads("supply.usage-validated.v1");
                end.notified().await;
                Ok(number)
            }
        };
        let place = loop {
            match looking.of("4711", SOON, begin).await.unwrap() {
                Stand::Looks { place, .. } if place.is_empty() => {}
                Stand::Looks { place, .. } => break place,
                Stand::Found(_) => panic!("nothing was found yet"),
            }
        };
        assert_eq!(place, "supply.usage-validated.v1");
        end.notify_one();
        assert_eq!(looking.of("4711", LONG, begin).await.unwrap(), Stand::Found(Arc::new(0)));
        end.notify_one();
        assert_eq!(looking.of("4711", LONG, begin).await.unwrap(), Stand::Found(Arc::new(1)), "looked for anew");
    }

    #[tokio::test]
    async fn what_was_looked_for_before_a_change_is_not_shown_after_it() {
        let (looking, end) = (Looking::<usize>::new(2, LONG), Arc::new(Notify::new()));
        let untaken = looking.begun("untaken", |_| async { Ok(1) }).unwrap();
        untaken.found.subscribe().wait_for(Option::is_some).await.unwrap();
        let before = Arc::clone(&end);
        let under_way = |_| async move {
            before.notified().await;
            Ok(1)
        };
        assert!(matches!(looking.of("under way", SOON, under_way).await.unwrap(), Stand::Looks { .. }));
        looking.forget();
        for name in ["untaken", "under way"] {
            assert_eq!(looking.of(name, LONG, |_| async { Ok(2) }).await.unwrap(), Stand::Found(Arc::new(2)));
        }
        end.notify_one();
    }

    #[tokio::test]
    async fn a_failure_and_a_defect_are_told_and_tried_again() {
        let looking = Looking::<usize>::new(2, LONG);
        let failed = looking.of("a", LONG, |_| async { Err(Problem::unavailable("WL-6013: no topic")) }).await;
        assert_eq!(failed.unwrap_err().code, "WL-6013");
        let broken = looking.of("a", LONG, |_| async { panic!("broken") }).await;
        assert_eq!(broken.unwrap_err().code, "WL-7137");
        assert_eq!(looking.of("a", LONG, |_| async { Ok(7) }).await.unwrap(), Stand::Found(Arc::new(7)));
    }

    #[tokio::test]
    async fn bnd_1_searches_under_way_are_bounded() {
        let looking = Looking::<usize>::new(2, LONG);
        let untaken = looking.begun("untaken", |_| async { Ok(7) }).unwrap();
        untaken.found.subscribe().wait_for(Option::is_some).await.unwrap();
        for name in ["one", "in the place of what nobody has taken"] {
            looking.of(name, Duration::ZERO, |_| std::future::pending()).await.unwrap();
        }
        let busy = looking.of("one more", Duration::ZERO, |_| std::future::pending()).await.unwrap_err();
        assert_eq!((busy.status.as_u16(), busy.code.as_ref(), busy.retry_after_s), (503, "WL-7211", Some(5)));
    }
}
