//! What people start here and then goes on in the background: one at a time, seen by everybody who looks, and the newest results
//! are held by the process that made them.

use crate::problem::Problem;
use axum::http::StatusCode;
use serde::Serialize;
use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Results that are held.
const MADE_MAX: usize = 10;

/// Work of one kind. Clones share it.
pub struct OneByOne<U, F, M> {
    state: Arc<Mutex<Seen<U, F, M>>>,
}

/// What there is to see.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen<U, F, M> {
    /// The one under way.
    pub under_way: Option<U>,
    /// Why there is no result of the last one.
    pub failed: Option<F>,
    /// Newest first.
    pub made: Vec<Arc<M>>,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// What happened, with its code.
    pub text: String,
    /// What to do next.
    pub next: Cow<'static, str>,
}

impl<U, F, M> Default for OneByOne<U, F, M> {
    fn default() -> Self {
        Self { state: Arc::new(Mutex::new(Seen { under_way: None, failed: None, made: Vec::new() })) }
    }
}

impl<U, F, M> Clone for OneByOne<U, F, M> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }
}

impl<U, F, M> OneByOne<U, F, M>
where
    U: Clone + Send + 'static,
    F: Clone + Send + 'static,
    M: Send + Sync + 'static,
{
    /// Begins one in the background. `work` is called once the place is taken; `busy` says who has it already, and `failed` what
    /// is shown when there is no result.
    ///
    /// # Errors
    /// When one is under way.
    pub fn begin<W>(
        &self,
        under_way: U,
        busy: impl FnOnce(&U) -> Problem,
        work: impl FnOnce() -> W,
        failed: impl FnOnce(U, Why) -> F + Send + 'static,
    ) -> Result<(), Problem>
    where
        W: Future<Output = Result<M, Why>> + Send + 'static,
    {
        let work = {
            let mut state = self.lock();
            if let Some(under_way) = &state.under_way {
                return Err(busy(under_way));
            }
            state.under_way = Some(under_way);
            state.failed = None;
            work()
        };
        let this = self.clone();
        tokio::spawn(async move {
            // A panic inside must not leave it under way for ever.
            let made = tokio::spawn(work).await.unwrap_or_else(|error| {
                Err(Why { text: format!("WL-7137: {error}"), next: "report it as a defect, with the time".into() })
            });
            this.ended(made, failed);
        });
        Ok(())
    }

    /// What there is to see.
    pub fn seen(&self) -> Seen<U, F, M> {
        let state = self.lock();
        Seen { under_way: state.under_way.clone(), failed: state.failed.clone(), made: state.made.clone() }
    }

    /// Changes how far the one under way is; nothing when there is none.
    pub fn tell(&self, change: impl FnOnce(&mut U)) {
        self.lock().under_way.as_mut().map(change);
    }

    fn ended(&self, made: Result<M, Why>, failed: impl FnOnce(U, Why) -> F) {
        let mut state = self.lock();
        let under_way = state.under_way.take();
        match made {
            Ok(made) => {
                state.made.truncate(MADE_MAX - 1);
                state.made.insert(0, Arc::new(made));
            }
            Err(why) => {
                tracing::warn!(why = why.text, "a comparison has no report");
                state.failed = under_way.map(|under_way| failed(under_way, why));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen<U, F, M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That one is under way already, as `detail` says.
pub fn busy(detail: String, next: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "WL-7214", "Under way already", detail).next(next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "test")]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    type Works = OneByOne<u32, (u32, String), u32>;

    fn taken(under_way: &u32) -> Problem {
        busy(format!("{under_way} is under way"), "wait")
    }

    async fn ended(works: &Works) -> Seen<u32, (u32, String), u32> {
        while works.seen().under_way.is_some() {
            tokio::task::yield_now().await;
        }
        works.seen()
    }

    #[tokio::test]
    async fn one_is_under_way_at_a_time_and_says_how_far_it_is() {
        let works = Works::default();
        let (end, waits) = oneshot::channel::<u32>();
        let work = || async move { Ok(waits.await.unwrap()) };
        works.begin(1, taken, work, |one, why| (one, why.text)).unwrap();
        let second = works.begin(2, taken, || async { Ok(2) }, |one, why| (one, why.text)).unwrap_err();
        assert_eq!((second.code.as_ref(), second.detail.as_str()), ("WL-7214", "1 is under way"));
        works.tell(|one| *one = 7);
        assert_eq!(works.seen().under_way, Some(7));
        end.send(5).unwrap();
        assert_eq!(ended(&works).await.made, [Arc::new(5)]);
        works.tell(|_| panic!("nothing is under way"));
    }

    #[tokio::test]
    async fn bnd_1_the_newest_results_are_held_and_a_panic_ends_it() {
        let works = Works::default();
        for number in 0..15 {
            works.begin(number, taken, || async move { Ok(number) }, |one, why| (one, why.text)).unwrap();
            ended(&works).await;
        }
        let held: Vec<u32> = works.seen().made.iter().map(|made| **made).collect();
        assert_eq!(held, (5..15).rev().collect::<Vec<_>>());
        works.begin(99, taken, || async { panic!("inside") }, |one, why| (one, why.text)).unwrap();
        let (one, why) = ended(&works).await.failed.unwrap();
        assert!(one == 99 && why.starts_with("WL-7137"), "{why}");
    }
}
