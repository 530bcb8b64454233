//! Calls into a client that may never return, with a bound of our own.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that makes calls for others. One that hangs keeps the thread, and nobody else.
pub(crate) struct Bounded {
    jobs: Sender<Job>,
}

impl Bounded {
    /// Starts the thread; it ends with this, or with the call that hangs.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let (jobs, asked) = channel::<Job>();
        let serve = move || asked.into_iter().for_each(|job| job());
        std::thread::Builder::new().name(name.to_owned()).spawn(serve)?;
        Ok(Self { jobs })
    }

    /// Makes a call; none when it has not returned in time.
    pub fn call<T: Send + 'static>(&self, longest: Duration, call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, waiting) = channel();
        // Nobody waits for a call that returns too late.
        let job = Box::new(move || drop(done.send(call())));
        self.jobs.send(job).ok()?;
        waiting.recv_timeout(longest).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bnd_1_a_call_that_hangs_keeps_nobody() {
        let bounded = Bounded::start("test").unwrap();
        assert_eq!(bounded.call(Duration::from_secs(60), || 7), Some(7));
        let (hangs, never) = channel::<()>();
        assert_eq!(bounded.call(Duration::from_millis(20), move || never.recv().is_ok()), None);
        assert_eq!(bounded.call(Duration::from_millis(20), || 7), None, "its thread is lost");
        drop(hangs);
    }
}
