//! Turns: messages of one patient take effect one after the other in the order of arrival, those of different patients at the
//! same time (ORD-1).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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
    by_key: HashMap<u128, Lane>,
}

/// The turns of one key that have not ended.
#[derive(Debug)]
struct Lane {
    /// The last one; none if it ended before others did.
    tail: Option<u64>,
    /// Who waits for the end of which turn: nobody, nearly always.
    waiting: Vec<(u64, oneshot::Sender<bool>)>,
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
        let mut before = None;
        match tails.by_key.entry(key) {
            Entry::Vacant(free) => {
                free.insert(Lane { tail: Some(number), waiting: Vec::new() });
            }
            Entry::Occupied(mut lane) => {
                let lane = lane.get_mut();
                if let Some(tail) = lane.tail.replace(number) {
                    let (ends, waits) = oneshot::channel();
                    lane.waiting.push((tail, ends));
                    before = Some(waits);
                }
            }
        }
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
        match self.before.take() {
            Some(before) => before.await.unwrap_or(false),
            None => true,
        }
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
        let place = lane.waiting.iter().position(|(number, _)| *number == self.number);
        let next = place.map(|at| lane.waiting.swap_remove(at).1);
        if lane.tail == Some(self.number) {
            lane.tail = None;
        }
        if lane.tail.is_none() && lane.waiting.is_empty() {
            entry.remove();
        }
        drop(tails);
        if let Some(next) = next {
            // Whoever waited may be gone.
            let _ = next.send(confirmed);
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
        assert_eq!(lanes.len(), 0);
        second.leave(true);
        assert!(lanes.enter(1).wait().await);
    }
}
