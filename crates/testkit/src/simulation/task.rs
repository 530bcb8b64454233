//! Futures in the world: calls that a room has started, and waiting.

use super::world::{Actor, Pid, Turn, world};
use connector::effect::BoxFuture;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// How long a future that nobody wakes may sleep.
const LONG: Duration = Duration::from_secs(3_600);

thread_local! {
    /// When the future that is being polled wants to be polled again.
    static ALARM: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Runs a future as an actor of a process.
pub(crate) fn spawn(pid: Pid, future: BoxFuture<'static, ()>) {
    let number = Arc::new(ActorWaker(AtomicU64::new(0)));
    let task = Task { future, waker: Waker::from(Arc::clone(&number)) };
    let actor = world().spawn(Some(pid), "call", Duration::ZERO, Box::new(task));
    number.0.store(actor, Ordering::Relaxed);
}

/// Waits in virtual time.
pub(crate) fn wait(longest: Duration) -> impl Future<Output = ()> + Send {
    Sleep(world().now() + longest)
}

struct Task {
    future: BoxFuture<'static, ()>,
    waker: Waker,
}

impl Actor for Task {
    fn turn(&mut self) -> Turn {
        ALARM.set(None);
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&self.waker));
        let alarm = ALARM.take();
        match polled {
            Poll::Ready(()) => Turn::Done,
            Poll::Pending => Turn::After(alarm.map_or(LONG, |alarm| alarm.saturating_sub(world().now()))),
        }
    }
}

struct ActorWaker(AtomicU64);

impl Wake for ActorWaker {
    fn wake(self: Arc<Self>) {
        world().wake(self.0.load(Ordering::Relaxed));
    }
}

struct Sleep(Duration);

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if world().now() >= self.0 {
            return Poll::Ready(());
        }
        ALARM.set(Some(self.0));
        Poll::Pending
    }
}
