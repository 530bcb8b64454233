//! Turns: messages of one patient take effect one after the other in the order of arrival, those of different patients at the
//! same time (ORD-1).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Hands out turns. Its memory is the keys that have a message in flight. Keys are numbers: two keys with the same number would
/// wait for each other, which is harmless.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    tails: Mutex<Tails>,
}

#[derive(Debug, Default)]
struct Tails {
    next: u64,
    /// The turns of a key that have not ended, in order.
    by_key: HashMap<u128, VecDeque<Place>>,
}

#[derive(Debug)]
struct Place {
    number: u64,
    /// Who waits for its end: nobody, nearly always.
    behind: Option<oneshot::Sender<bool>>,
}

/// A place in the order of one key. Dropped without [`Turn::leave`], the turn counts as failed.
#[derive(Debug)]
pub(super) struct Turn {
    lanes: Arc<Lanes>,
    key: u128,
    number: u64,
    before: Option<oneshot::Receiver<bool>>,
    ended: bool,
}

impl Lanes {
    /// Takes the next place for a key: call it in the order of arrival.
    pub(super) fn enter(self: &Arc<Self>, key: u128) -> Turn {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        tails.next += 1;
        let number = tails.next;
        let lane = tails.by_key.entry(key).or_default();
        let before = lane.back_mut().map(|last| {
            let (ends, waits) = oneshot::channel();
            last.behind = Some(ends);
            waits
        });
        lane.push_back(Place { number, behind: None });
        Turn { lanes: Arc::clone(self), key, number, before, ended: false }
    }

    /// How many keys have a message in flight.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner).by_key.len()
    }
}

impl Turn {
    /// Waits until the message before has settled. False if it failed: then this one must not take effect either, or the two
    /// would end up in the wrong order when the sender repeats the first.
    pub(super) async fn wait(&mut self) -> bool {
        let Some(before) = self.before.as_mut() else { return true };
        let confirmed = before.await.unwrap_or(false);
        self.before = None;
        confirmed
    }

    /// Ends the turn.
    pub(super) fn leave(mut self, confirmed: bool) {
        self.end(confirmed);
    }

    fn end(&mut self, confirmed: bool) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let mut tails = self.lanes.tails.lock().unwrap_or_else(PoisonError::into_inner);
        let Entry::Occupied(mut entry) = tails.by_key.entry(self.key) else { return };
        let lane = entry.get_mut();
        let place = lane.iter().position(|place| place.number == self.number);
        let behind = place.and_then(|at| lane.remove(at)).and_then(|place| place.behind);
        if lane.is_empty() {
            entry.remove();
        }
        drop(tails);
        if let Some(behind) = behind {
            // Whoever waited may be gone.
            let _ = behind.send(confirmed);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_turns_in_the_order_of_arrival() {
        let lanes = Arc::new(Lanes::default());
        let (mut first, mut second, mut other) = (lanes.enter(1), lanes.enter(1), lanes.enter(2));
        assert!(first.wait().await && other.wait().await);
        let waiting = tokio::spawn(async move {
            let ready = second.wait().await;
            second.leave(true);
            ready
        });
        first.leave(true);
        assert!(waiting.await.unwrap_or(false));
        other.leave(true);
        assert_eq!(lanes.len(), 0);
    }

    #[tokio::test]
    async fn a_failure_stops_those_that_wait_behind_it_and_no_others() {
        let lanes = Arc::new(Lanes::default());
        let (first, mut second, mut third) = (lanes.enter(1), lanes.enter(1), lanes.enter(1));
        drop(first);
        assert!(!second.wait().await);
        second.leave(false);
        assert!(!third.wait().await);
        drop(third);
        assert!(lanes.enter(1).wait().await);
        assert_eq!(lanes.len(), 0);
    }

    #[tokio::test]
    async fn a_last_turn_that_is_given_up_takes_nothing_from_those_before_it() {
        let lanes = Arc::new(Lanes::default());
        let (first, mut second, third) = (lanes.enter(1), lanes.enter(1), lanes.enter(1));
        drop(third);
        first.leave(true);
        assert!(second.wait().await);
        let mut fourth = lanes.enter(1);
        let is_early = tokio::select! {
            biased;
            _ = fourth.wait() => true,
            () = std::future::ready(()) => false,
        };
        assert!(!is_early, "ORD-1: what comes later waits for the second");
        second.leave(true);
        assert!(fourth.wait().await);
        drop(fourth);
        assert_eq!(lanes.len(), 0);
    }
}
