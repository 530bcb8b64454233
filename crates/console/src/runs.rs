//! Replays that this process hands over, and comparisons that it makes: a bounded number of each, watched by everybody.

use crate::problem::Problem;
use axum::http::StatusCode;
use operations::replay::{Apply, Outcome, ReplayError, Replays, Resume, Runner};
use runtime::Shutdown;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// Replays that one process hands over at the same time; another replica or the command line takes more.
const AT_ONCE: usize = 2;
/// Ends that are remembered, so that the page can say how a replay of this process ended.
const ENDS_MAX: usize = 100;

/// The replays of this process.
#[derive(Clone)]
pub struct Runs {
    places: Arc<Semaphore>,
    told: Arc<Mutex<BTreeMap<String, Told>>>,
    stop: Shutdown,
}

/// How one stands in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// What it comes to is counted once more; so many records were read.
    Counting(u64),
    /// Its records are being handed over here.
    HandingOver,
    /// It ended here without being done: why, and what to do.
    Failed {
        /// Why.
        why: String,
        /// What to do next.
        next: String,
    },
    /// It ended here.
    Ended,
}

/// What begins or goes on.
pub enum Begin {
    /// A plan.
    Apply(Apply),
    /// A replay that was paused, or whose process is gone.
    Resume(Resume),
}

impl Runs {
    /// None yet; they pause when the stop is asked for.
    pub fn new(stop: Shutdown) -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), told: Arc::default(), stop }
    }

    /// How a replay stands here; none where this process has nothing to do with it.
    pub fn told(&self, id: &str) -> Option<Told> {
        lock(&self.told).get(id).cloned()
    }

    /// Begins, and waits for a while whether that succeeds: a refusal is told to who asked. Counting takes longer for much; then
    /// it goes on and the page tells how it ended. `true` when it has begun.
    ///
    /// # Errors
    /// When as many are under way here as may be, this one is, or it is refused.
    pub async fn begin(
        &self,
        replays: Arc<Replays>,
        id: String,
        begin: Begin,
        patience: Duration,
    ) -> Result<bool, BeginError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| BeginError::Busy(busy()))?;
        self.claim(&id)?;
        let (sender, mut begun) = watch::channel(None);
        let this = self.clone();
        tokio::spawn(async move { this.carry(&replays, &id, begin, sender, place).await });
        let waiting = timeout(patience, begun.wait_for(Option::is_some)).await;
        match waiting {
            // Longer than anybody waits: the page tells.
            Err(_) => Ok(false),
            Ok(Ok(told)) => match told.as_ref() {
                Some(Err(error)) => Err(BeginError::Refused(Arc::clone(error))),
                Some(Ok(())) | None => Ok(true),
            },
            Ok(Err(_)) => Err(BeginError::Busy(Problem::defect("a replay ended before it had begun"))),
        }
    }

    /// Waits until all have paused, after the stop was asked for.
    pub async fn ended(&self, within: Duration) {
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        if timeout(within, self.places.acquire_many(all)).await.is_err() {
            tracing::warn!("the console stops although a replay has not paused; anybody can resume it");
        }
    }

    fn claim(&self, id: &str) -> Result<(), BeginError> {
        let mut told = lock(&self.told);
        if matches!(told.get(id), Some(Told::Counting(_) | Told::HandingOver)) {
            let detail = "it is being handed over by this process already";
            let problem = Problem::new(StatusCode::CONFLICT, "WL-7212", "Under way already", detail);
            return Err(BeginError::Busy(problem.next("look at the page of the replay, which tells how far it is")));
        }
        while told.len() >= ENDS_MAX
            && let Some(ended) = told.iter().find(|(_, told)| told.is_over()).map(|(id, _)| id.clone())
        {
            told.remove(&ended);
        }
        told.insert(id.to_owned(), Told::Counting(0));
        Ok(())
    }

    async fn carry(
        &self,
        replays: &Arc<Replays>,
        id: &str,
        begin: Begin,
        begun: watch::Sender<Option<Result<(), Arc<ReplayError>>>>,
        place: OwnedSemaphorePermit,
    ) {
        let runner = match begin {
            Begin::Apply(apply) => Runner::apply(replays, id, &apply, self.counting(id)).await,
            Begin::Resume(resume) => Runner::resume(replays, id, &resume, self.counting(id)).await,
        };
        let ended = match runner {
            Ok(runner) => {
                self.tell(id, Told::HandingOver);
                begun.send_replace(Some(Ok(())));
                runner.run(&self.stop, |_| ()).await.map_err(Arc::new)
            }
            Err(error) => {
                let error = Arc::new(error);
                begun.send_replace(Some(Err(Arc::clone(&error))));
                Err(error)
            }
        };
        self.tell(id, end_of(ended));
        drop(place);
    }

    /// Is told how many records were read, and tells the page.
    fn counting(&self, id: &str) -> impl Fn(u64) + Send + 'static {
        let (told, id) = (Arc::clone(&self.told), id.to_owned());
        move |records| {
            lock(&told).insert(id.clone(), Told::Counting(records));
        }
    }

    fn tell(&self, id: &str, told: Told) {
        lock(&self.told).insert(id.to_owned(), told);
    }
}

/// Why a replay does not begin.
pub enum BeginError {
    /// Not here, or not now.
    Busy(Problem),
    /// Not this replay.
    Refused(Arc<ReplayError>),
}

impl Told {
    const fn is_over(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Ended)
    }
}

fn end_of(ended: Result<Outcome, Arc<ReplayError>>) -> Told {
    match ended {
        Ok(Outcome::Done(_) | Outcome::Paused(_) | Outcome::Aborted(_)) => Told::Ended,
        Err(error) => {
            tracing::warn!(%error, "a replay of the console ended early");
            Told::Failed { why: error.to_string(), next: error.next_on_page().to_owned() }
        }
    }
}

fn busy() -> Problem {
    let detail = format!("this process hands {AT_ONCE} replays over already");
    let mut busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "WL-7213", "Too many replays here", detail)
        .next("wait until one is done, or use `wardline replay apply` in a process of its own");
    busy.retry_after_s = Some(30);
    busy
}

fn lock(told: &Mutex<BTreeMap<String, Told>>) -> MutexGuard<'_, BTreeMap<String, Told>> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::panic, reason = "test")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replay_is_claimed_once_and_its_end_is_remembered_within_a_bound() {
        let (_trigger, stop) = runtime::shutdown();
        let runs = Runs::new(stop);
        assert!(runs.claim("a").is_ok());
        let Err(BeginError::Busy(problem)) = runs.claim("a") else { panic!("claimed twice") };
        assert_eq!(problem.code, "WL-7212");
        runs.tell("a", Told::Ended);
        assert!(runs.claim("a").is_ok(), "it may go on after it has ended");
        for number in 0..2 * ENDS_MAX {
            let id = format!("r{number}");
            assert!(runs.claim(&id).is_ok());
            runs.tell(&id, Told::Ended);
        }
        assert!(lock(&runs.told).len() <= ENDS_MAX + 1);
        assert_eq!(runs.told("a"), Some(Told::Counting(0)), "what is under way is not forgotten");
    }
}
