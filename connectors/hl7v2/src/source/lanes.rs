//! Turns: messages of one patient take effect one after the other in the order of arrival, those of different patients at the
//! same time (ORD-1).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Hands out turns. Its memory is the keys that have a message in flight.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    tails: Mutex<Tails>,
}

#[derive(Debug, Default)]
struct Tails {
    next: u64,
    by_key: HashMap<String, (u64, oneshot::Receiver<bool>)>,
}

/// A place in the order of one key. Dropped without [`Turn::leave`], the turn counts as failed.
#[derive(Debug)]
pub(super) struct Turn {
    lanes: Arc<Lanes>,
    key: String,
    number: u64,
    before: Option<oneshot::Receiver<bool>>,
    done: Option<oneshot::Sender<bool>>,
}

impl Lanes {
    /// Takes the next place for a key: call it in the order of arrival.
    pub(super) fn enter(self: &Arc<Self>, key: String) -> Turn {
        let (done, waits) = oneshot::channel();
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        tails.next += 1;
        let number = tails.next;
        let before = tails.by_key.insert(key.clone(), (number, waits)).map(|(_, before)| before);
        Turn { lanes: Arc::clone(self), key, number, before, done: Some(done) }
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
        let Some(done) = self.done.take() else { return };
        let mut tails = self.lanes.tails.lock().unwrap_or_else(PoisonError::into_inner);
        if tails.by_key.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            tails.by_key.remove(&self.key);
        }
        drop(tails);
        // Nobody behind is the usual case.
        let _ = done.send(confirmed);
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
        let (mut first, mut second, mut other) =
            (lanes.enter("a".to_owned()), lanes.enter("a".to_owned()), lanes.enter("b".to_owned()));
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
        let (first, mut second, mut third) =
            (lanes.enter("a".to_owned()), lanes.enter("a".to_owned()), lanes.enter("a".to_owned()));
        drop(first);
        assert!(!second.wait().await);
        second.leave(false);
        assert!(!third.wait().await);
        drop(third);
        assert!(lanes.enter("a".to_owned()).wait().await);
        assert_eq!(lanes.len(), 0);
    }
}
