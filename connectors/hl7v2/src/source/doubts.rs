//! Messages whose confirmation did not come: some of their records may be on Kafka, or still on their way. A resend must not
//! put these there a second time, so what is there is looked up before anything is published again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use schemas::Timestamp;
use tokio::sync::watch;

/// The messages in doubt, by receipt id. Bounded: beyond the bound the oldest is forgotten.
#[derive(Debug)]
pub(super) struct Doubts {
    most: usize,
    open: Mutex<HashMap<String, Doubt>>,
    /// One look-up at a time: it settles all doubts that are older.
    pub(super) looking: tokio::sync::Mutex<()>,
}

/// One message in doubt.
#[derive(Debug, Clone)]
struct Doubt {
    since: Timestamp,
    under_way: watch::Receiver<()>,
}

/// Held while the records are under way; dropped when the client has given them up or has them confirmed.
#[derive(Debug)]
pub(super) struct UnderWay {
    _sender: watch::Sender<()>,
}

impl Doubts {
    /// No doubt; at most `most` are remembered.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), open: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    /// A message that was received at `since` is in doubt; its records are under way until the returned value is dropped.
    pub(super) fn add(&self, id: &str, since: Timestamp) -> UnderWay {
        let (sender, under_way) = watch::channel(());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.most
            && let Some(oldest) = open.iter().min_by_key(|(_, doubt)| doubt.since).map(|(id, _)| id.clone())
        {
            open.remove(&oldest);
        }
        // A message that fails again stays in doubt since its first try.
        let since = open.get(id).map_or(since, |known| known.since.min(since));
        open.insert(id.to_owned(), Doubt { since, under_way });
        UnderWay { _sender: sender }
    }

    /// The message is settled.
    pub(super) fn remove(&self, id: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Whether a message is in doubt; waits until none of its records is under way.
    pub(super) async fn ended(&self, id: &str) -> bool {
        let doubt = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let Some(mut doubt) = doubt else { return false };
        // Nothing is ever sent: an error says that the other side is gone.
        while doubt.under_way.changed().await.is_ok() {}
        self.is_open(id)
    }

    /// Whether a message is in doubt.
    pub(super) fn is_open(&self, id: &str) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    /// All doubts that are not under way any more, and the time from which their records may be on Kafka.
    pub(super) fn settled(&self) -> (Vec<String>, Option<Timestamp>) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = || open.iter().filter(|(_, doubt)| doubt.under_way.has_changed().is_err());
        (ended().map(|(id, _)| id.clone()).collect(), ended().map(|(_, doubt)| doubt.since).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_doubt_lasts_until_its_records_are_given_up_and_looked_up() {
        let doubts = Doubts::new(10);
        assert!(!doubts.ended("a").await);
        let under_way = doubts.add("a", Timestamp(5));
        assert_eq!(doubts.settled(), (Vec::new(), None));
        drop(under_way);
        assert!(doubts.ended("a").await);
        drop(doubts.add("a", Timestamp(9)));
        assert_eq!(doubts.settled(), (vec!["a".to_owned()], Some(Timestamp(5))));
        doubts.remove("a");
        assert!(!doubts.ended("a").await);
    }

    #[test]
    fn the_oldest_doubt_goes_beyond_the_bound() {
        let doubts = Doubts::new(2);
        for (id, since) in [("a", 1), ("b", 2), ("c", 3)] {
            drop(doubts.add(id, Timestamp(since)));
        }
        assert!(!doubts.is_open("a") && doubts.is_open("b") && doubts.is_open("c"));
    }
}
