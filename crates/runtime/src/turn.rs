//! A loop as a value that works turn by turn: production gives each a thread, the simulation gives each its turns.

use crate::room::RoomError;
use crate::shutdown::Shutdown;
use std::time::Duration;
use tokio::runtime::Handle;

/// One wait of a loop for something to do; also how fast a stop is seen.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// A pause below this ends before a stop would be looked for.
const SHORT: Duration = Duration::from_millis(1);

/// When a loop wants its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once; after so long at the latest, when there is nothing to do and nobody waited for it.
    Within(Duration),
    /// Not before so long.
    After(Duration),
    /// Never: the stop was asked for and all is done.
    Ended,
}

/// A loop. All its state is its own.
pub trait Loop {
    /// Works on what there is. When there is nothing to do, waits for up to `patience` inside.
    ///
    /// # Errors
    /// When the room must start again as a whole.
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError>;

    /// Is called in the end, whatever it was.
    fn leave(&mut self) {}
}

/// Gives a loop its turns on this thread until it ends.
///
/// # Errors
/// As [`Loop::turn`].
pub(crate) fn drive(mut one: impl Loop, stop: &Shutdown, handle: &Handle) -> Result<(), RoomError> {
    let outcome = turns(&mut one, stop, handle);
    one.leave();
    outcome
}

/// Gives a loop its turns on this thread until it ends, and leaves [`Loop::leave`] to whoever has something to do before.
///
/// # Errors
/// As [`Loop::turn`].
pub(crate) fn turns(one: &mut impl Loop, stop: &Shutdown, handle: &Handle) -> Result<(), RoomError> {
    loop {
        match one.turn(PATIENCE) {
            Ok(Next::Within(_)) => {}
            // The timers of the async runtime know whole milliseconds.
            Ok(Next::After(delay)) if delay < SHORT => std::thread::park_timeout(delay),
            Ok(Next::After(delay)) => handle.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = stop.wait() => {}
                }
            }),
            Ok(Next::Ended) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
