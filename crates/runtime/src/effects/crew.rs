//! Tasks that make one call after the other. A task of its own for each call would be an allocation on the thread that decides,
//! freed on the one that calls, and an entry in the list of all tasks: about as much as the rest of a call costs.

use connector::effect::BoxFuture;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Most tasks that are kept without a call.
const IDLE_MAX: usize = 4_096;

/// Tasks of a room. They end with it, each after the call that it makes.
pub(super) struct Crew {
    handle: Handle,
    bench: Arc<Mutex<Bench>>,
}

/// Those without a call.
#[derive(Default)]
struct Bench {
    idle: Vec<Arc<Seat>>,
    closed: bool,
}

/// Where a task finds its next call.
#[derive(Default)]
struct Seat {
    next: Mutex<Option<BoxFuture<'static, ()>>>,
    called: Notify,
}

impl Crew {
    /// Nobody yet.
    pub fn new(handle: Handle) -> Self {
        Self { handle, bench: Arc::default() }
    }

    /// Has a call made: by who was idle last, whose memory is the warmest, or by somebody new.
    pub fn make(&self, call: BoxFuture<'static, ()>) {
        let idle = lock(&self.bench).idle.pop();
        match idle {
            Some(seat) => seat.give(Some(call)),
            None => drop(self.handle.spawn(work(Arc::clone(&self.bench), call))),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let idle = {
            let mut bench = lock(&self.bench);
            bench.closed = true;
            std::mem::take(&mut bench.idle)
        };
        idle.iter().for_each(|seat| seat.give(None));
    }
}

impl Seat {
    /// The next call, or none for the end.
    fn give(&self, call: Option<BoxFuture<'static, ()>>) {
        *lock(&self.next) = call;
        self.called.notify_one();
    }

    async fn next(&self) -> Option<BoxFuture<'static, ()>> {
        self.called.notified().await;
        lock(&self.next).take()
    }
}

impl Bench {
    /// Whether whoever has made a call may wait for another one.
    fn sit(&mut self, seat: &Arc<Seat>) -> bool {
        let may = !self.closed && self.idle.len() < IDLE_MAX;
        if may {
            self.idle.push(Arc::clone(seat));
        }
        may
    }
}

/// Makes calls until there is no room to wait, or no more to come. A call that panics ends its own task only.
async fn work(bench: Arc<Mutex<Bench>>, first: BoxFuture<'static, ()>) {
    let seat = Arc::new(Seat::default());
    let mut call = first;
    loop {
        call.await;
        if !lock(&bench).sit(&seat) {
            return;
        }
        match seat.next().await {
            Some(next) => call = next,
            None => return,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn threads() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
    }

    /// Waits until so many tasks live.
    fn live(threads: &tokio::runtime::Runtime, number: usize) {
        let began = crate::clock::tick();
        while threads.metrics().num_alive_tasks() != number {
            assert!(crate::clock::tick().since(began) < PATIENCE, "{}", threads.metrics().num_alive_tasks());
            std::thread::yield_now();
        }
    }

    #[test]
    fn calls_run_at_the_same_time_and_tasks_are_used_again() {
        let threads = threads();
        let crew = Crew::new(threads.handle().clone());
        for _ in 0..3 {
            let (met, all) = channel();
            let barrier = Arc::new(tokio::sync::Barrier::new(10));
            for number in 0..10 {
                let (barrier, met) = (Arc::clone(&barrier), met.clone());
                crew.make(Box::pin(async move {
                    barrier.wait().await;
                    met.send(number).unwrap();
                }));
            }
            let mut numbers: Vec<i32> = (0..10).map(|_| all.recv_timeout(PATIENCE).unwrap()).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..10).collect::<Vec<_>>());
            // Each has told before it sits down.
            let began = crate::clock::tick();
            while lock(&crew.bench).idle.len() < 10 {
                assert!(crate::clock::tick().since(began) < PATIENCE);
                std::thread::yield_now();
            }
            live(&threads, 10);
        }
        drop(crew);
        live(&threads, 0);
    }

    #[test]
    fn a_call_under_way_ends_after_its_room_has_gone_and_its_task_with_it() {
        let threads = threads();
        let crew = Crew::new(threads.handle().clone());
        let (told, ended) = channel();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        crew.make(Box::pin(async move {
            gone.await.unwrap();
            told.send(()).unwrap();
        }));
        drop(crew);
        live(&threads, 1);
        go.send(()).unwrap();
        ended.recv_timeout(PATIENCE).unwrap();
        live(&threads, 0);
    }

    #[test]
    fn a_call_that_panics_takes_no_other_with_it() {
        let threads = threads();
        let crew = Crew::new(threads.handle().clone());
        crew.make(Box::pin(async { panic!("a test") }));
        live(&threads, 0);
        let (told, ended) = channel();
        crew.make(Box::pin(async move { told.send(()).unwrap() }));
        ended.recv_timeout(PATIENCE).unwrap();
    }
}
