//! A value that costs something to read: read by one at a time, and shared by everybody who looks.

use crate::problem::Problem;
use runtime::clock::{self, Tick};
use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A value this many times older than it is meant to be is not shown before a newer one was asked for.
const STALE: u32 = 6;

/// What takes so long to read serves this many times as long, so that looking at it does not keep the broker busy.
const DEAR: u32 = 4;

tokio::task_local! {
    /// When the oldest of what an answer is made of was read, microseconds since 1970.
    static OLDEST: Cell<i64>;
}

/// Makes something, and says as of when it is: when it was begun, or when the oldest value was read that it was given.
pub async fn dated<F: Future>(making: F) -> (F::Output, i64) {
    let making = async {
        let made = making.await;
        (made, OLDEST.with(Cell::get))
    };
    OLDEST.scope(Cell::new(clock::now_micros()), making).await
}

/// Something of this age was given.
fn is_of(age: Duration) {
    let read = clock::now_micros().saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    // Outside of an answer nobody asks for it.
    OLDEST.try_with(|oldest| oldest.set(oldest.get().min(read))).unwrap_or_default();
}

/// The value, when it was read and how long it serves, or why it could not be read.
type Held<T> = Option<(Tick, Duration, Result<Arc<T>, Problem>)>;

/// One value.
pub struct Cached<T> {
    held: watch::Sender<Held<T>>,
    is_reading: AtomicBool,
    /// Grows when what was read before does not count any more.
    turn: AtomicU64,
    fresh: Duration,
    patience: Duration,
}

/// Values by a name, those that were looked at last.
pub struct CachedByName<T> {
    all: Mutex<Vec<(String, Arc<Cached<T>>)>>,
    most: usize,
    fresh: Duration,
    patience: Duration,
}

/// Ends the reading however it ends.
struct Reading<T: Send + Sync + 'static>(Arc<Cached<T>>);

impl<T: Send + Sync + 'static> Cached<T> {
    /// A value that serves for so long, and is waited for so long.
    pub fn new(fresh: Duration, patience: Duration) -> Arc<Self> {
        let (is_reading, turn) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { held: watch::Sender::new(None), is_reading, turn, fresh, patience })
    }

    /// The value: at once when one is held that is not much too old, and read anew in the background when it is not fresh.
    ///
    /// # Errors
    /// What reading it failed with, or that it takes too long.
    pub async fn get<F>(self: &Arc<Self>, read: impl Fn() -> F) -> Result<Arc<T>, Problem>
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let mut changes = self.held.subscribe();
        let waiting = async {
            loop {
                let held = changes.borrow_and_update().clone();
                let age = held.as_ref().map(|(at, serves, _)| (clock::tick().since(*at), *serves));
                if age.is_none_or(|(age, serves)| age >= serves) && !self.is_reading.swap(true, Ordering::AcqRel) {
                    self.begin(read());
                }
                if let (Some((_, _, value)), Some((age, serves))) = (held, age)
                    && age < serves.saturating_mul(if value.is_ok() { STALE } else { 1 })
                {
                    is_of(age);
                    return value;
                }
                if changes.changed().await.is_err() {
                    return Err(Problem::unavailable("WL-7132: nothing was read"));
                }
                // What has just been read is taken, however long it serves.
                if let Some((_, _, value)) = changes.borrow().clone() {
                    return value;
                }
            }
        };
        let waited = tokio::time::timeout(self.patience, waiting).await;
        waited.unwrap_or_else(|_| {
            Err(Problem::unavailable("WL-7132: Kafka or the schema registry does not answer in time"))
        })
    }

    /// What is held does not count any more, and neither does what is being read: somebody has changed it.
    pub fn forget(&self) {
        self.turn.fetch_add(1, Ordering::AcqRel);
        self.held.send_replace(None);
    }

    fn begin<F>(self: &Arc<Self>, read: F)
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let reading = Reading(Arc::clone(self));
        let turn = self.turn.load(Ordering::Acquire);
        tokio::spawn(async move {
            let started = clock::tick();
            let value = read.await.map(Arc::new);
            let now = clock::tick();
            let this = Arc::clone(&reading.0);
            // Before anybody is told, so that who finds nothing can read again.
            drop(reading);
            this.held.send_modify(|held| {
                if this.turn.load(Ordering::Acquire) == turn {
                    let dear = now.since(started).saturating_mul(DEAR);
                    let serves = if this.fresh.is_zero() || value.is_err() { this.fresh } else { this.fresh.max(dear) };
                    *held = Some((now, serves, value));
                }
            });
        });
    }
}

impl<T: Send + Sync + 'static> Drop for Reading<T> {
    fn drop(&mut self) {
        self.0.is_reading.store(false, Ordering::Release);
    }
}

impl<T: Send + Sync + 'static> CachedByName<T> {
    /// At most so many values, each as [`Cached::new`] says.
    pub fn new(most: usize, fresh: Duration, patience: Duration) -> Self {
        Self { all: Mutex::default(), most, fresh, patience }
    }

    /// The value of a name; the one that nobody has looked at for longest gives way.
    pub fn of(&self, name: &str) -> Arc<Cached<T>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match all.iter().position(|(known, _)| known == name) {
            Some(place) => all.remove(place),
            None => (name.to_owned(), Cached::new(self.fresh, self.patience)),
        };
        if all.len() >= self.most {
            all.remove(0);
        }
        let value = Arc::clone(&entry.1);
        all.push(entry);
        value
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn many_who_look_read_once() {
        let cached = Cached::<usize>::new(Duration::from_secs(60), Duration::from_secs(60));
        let reads = Arc::new(AtomicUsize::new(0));
        let look = || {
            let (cached, reads) = (Arc::clone(&cached), Arc::clone(&reads));
            async move {
                cached
                    .get(|| {
                        let reads = Arc::clone(&reads);
                        async move {
                            tokio::task::yield_now().await;
                            Ok(reads.fetch_add(1, Ordering::Relaxed) + 1)
                        }
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
    async fn a_failure_of_a_while_ago_is_not_told_as_of_now() {
        let cached = Cached::<usize>::new(Duration::from_secs(60), Duration::from_secs(60));
        let failed = cached.get(|| async { Err(Problem::unavailable("WL-6013: no topic")) }).await;
        assert_eq!(failed.unwrap_err().code, "WL-6013");
        let told = cached.get(|| async { Ok(7) }).await;
        assert_eq!(told.unwrap_err().code, "WL-6013", "not everybody asks again at once");
        // As if it had been meant to serve half as long as it has.
        cached.held.send_modify(|held| {
            let (read, serves, _) = held.as_mut().unwrap();
            *serves = clock::tick().since(*read) / 2;
        });
        assert_eq!(*cached.get(|| async { Ok(7) }).await.unwrap(), 7, "it is read anew, and waited for");
    }

    #[tokio::test]
    async fn a_value_is_as_of_its_reading() {
        let cached = Cached::<usize>::new(Duration::from_secs(60), Duration::from_secs(60));
        let before = clock::now_micros();
        cached.get(|| async { Ok(7) }).await.unwrap();
        let read = clock::now_micros();
        let mut look = tokio::time::interval(Duration::from_millis(1));
        while clock::now_micros() < read + 20_000 {
            look.tick().await;
        }
        let (seven, of_then) = dated(cached.get(|| async { Ok(8) })).await;
        // The two clocks do not tick in the same microsecond.
        assert!(*seven.unwrap() == 7 && (before - 1_000..read + 1_000).contains(&of_then), "{before} {of_then} {read}");
        let ((), of_now) = dated(async {}).await;
        assert!(of_now >= read + 20_000);
    }

    #[tokio::test]
    async fn bnd_1_nobody_waits_for_ever() {
        let cached = Cached::<usize>::new(Duration::ZERO, Duration::from_millis(5));
        let stuck = cached.get(std::future::pending).await;
        assert_eq!(stuck.unwrap_err().code, "WL-7132");
    }

    #[tokio::test]
    async fn what_was_read_before_a_change_is_not_shown_after_it() {
        let cached = Cached::<usize>::new(Duration::from_secs(60), Duration::from_secs(60));
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let reads = Arc::new(AtomicUsize::new(0));
        let looking = tokio::spawn({
            let (cached, begun, go_on) = (Arc::clone(&cached), Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                let read = || {
                    let (begun, go_on, number) =
                        (Arc::clone(&begun), Arc::clone(&go_on), reads.fetch_add(1, Ordering::Relaxed));
                    async move {
                        begun.notify_one();
                        go_on.notified().await;
                        Ok(number)
                    }
                };
                *cached.get(read).await.unwrap()
            }
        });
        begun.notified().await;
        cached.forget();
        go_on.notify_one();
        begun.notified().await;
        go_on.notify_one();
        assert_eq!(looking.await.unwrap(), 1, "the reading that began before the change does not count");
    }

    #[test]
    fn bnd_1_values_by_name_are_bounded_and_the_last_looked_at_stay() {
        let values = CachedByName::<usize>::new(2, Duration::ZERO, Duration::ZERO);
        let first = values.of("a");
        values.of("b");
        assert!(Arc::ptr_eq(&first, &values.of("a")));
        values.of("c");
        assert!(Arc::ptr_eq(&first, &values.of("a")), "b gave way");
        assert_eq!(values.all.lock().unwrap().len(), 2);
    }
}
