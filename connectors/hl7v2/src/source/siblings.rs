//! What other listeners have taken. A sender that lost its connection sends again at once, perhaps to another listener, and that
//! one may not have read the first one's receipt yet. So the first message of a connection is settled only when all receipts
//! that were on their topic as it came in are in the ledger (EOS-1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runtime::clock::Tick;
use tokio::sync::watch;

/// A connection that was silent for so long may be the second way of a sender that has just lost its first: no sender gives a
/// message up sooner. Its next message counts as the first of a new one.
const SILENCE: Duration = Duration::from_secs(1);

/// Asks whoever reads the receipts of other listeners to read up to their end. Many connections that ask at the same time are
/// one question.
#[derive(Debug)]
pub struct Siblings {
    /// Number of the newest question.
    asked: watch::Sender<u64>,
    /// All questions up to this number are answered.
    answered: watch::Sender<u64>,
    patience: Duration,
}

/// Which of the messages of one connection have to wait.
#[derive(Debug, Default)]
pub(super) struct Newcomer {
    /// Whether the receipts were read since the connection is in use.
    known: Arc<AtomicBool>,
    last: Option<Tick>,
}

/// What one message waits for before it is settled: nothing, or the receipts of other listeners.
#[derive(Debug)]
pub(super) struct Wait {
    siblings: Option<Arc<Siblings>>,
    known: Arc<AtomicBool>,
}

impl Siblings {
    /// Nobody has asked. `patience` bounds the wait for an answer.
    pub fn new(patience: Duration) -> Self {
        Self { asked: watch::channel(0).0, answered: watch::channel(0).0, patience }
    }

    /// Waits until what was on the topic at this moment is in the ledger. False if that is not so in time.
    pub async fn caught_up(&self) -> bool {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let mut answered = self.answered.subscribe();
        let reached = answered.wait_for(|answered| *answered >= number);
        matches!(tokio::time::timeout(self.patience, reached).await, Ok(Ok(_)))
    }

    /// The newest question: an answer to it is one to all before. Take it before the end of the topic is looked up.
    pub fn newest(&self) -> u64 {
        *self.asked.borrow()
    }

    /// All that was on the topic when [`Siblings::newest`] gave this number is in the ledger.
    pub fn answer(&self, number: u64) {
        self.answered.send_if_modified(|answered| {
            let newer = number > *answered;
            *answered = number.max(*answered);
            newer
        });
    }

    /// Waits until there is a question newer than `number`, for `longest` at most.
    pub async fn question(&self, number: u64, longest: Duration) {
        let mut asked = self.asked.subscribe();
        let newer = asked.wait_for(|asked| *asked > number);
        // With or without a question: it is time to read on.
        drop(tokio::time::timeout(longest, newer).await);
    }

    /// How long one wait may take.
    pub fn patience(&self) -> Duration {
        self.patience
    }
}

impl Newcomer {
    /// What a message that comes in on the connection at `now` waits for.
    pub(super) fn message(&mut self, siblings: Option<&Arc<Siblings>>, now: Tick) -> Wait {
        let Some(siblings) = siblings else { return Wait::nothing() };
        if self.last.is_some_and(|last| now.since(last) >= SILENCE) {
            // Those that came before keep theirs.
            self.known = Arc::default();
        }
        self.last = Some(now);
        let siblings = (!self.known.load(Ordering::Acquire)).then(|| Arc::clone(siblings));
        Wait { siblings, known: Arc::clone(&self.known) }
    }
}

impl Wait {
    /// For a message that no other listener can have taken.
    pub(super) fn nothing() -> Self {
        Self { siblings: None, known: Arc::default() }
    }

    /// Waits. False if what others have taken is not known in time.
    pub(super) async fn over(&self) -> bool {
        let Some(siblings) = &self.siblings else { return true };
        let known = siblings.caught_up().await;
        if known {
            self.known.store(true, Ordering::Release);
        }
        known
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_answer_is_for_all_that_asked_before() {
        let siblings = Arc::new(Siblings::new(Duration::from_secs(60)));
        let ask = || {
            let siblings = Arc::clone(&siblings);
            tokio::spawn(async move { siblings.caught_up().await })
        };
        let (one, two) = (ask(), ask());
        siblings.question(1, Duration::from_secs(60)).await;
        assert_eq!(siblings.newest(), 2);
        siblings.answer(2);
        assert!(one.await.unwrap() && two.await.unwrap());
        let late = ask();
        siblings.question(2, Duration::from_secs(60)).await;
        // An answer to older questions is none to this one.
        siblings.answer(2);
        tokio::task::yield_now().await;
        assert!(!late.is_finished());
        siblings.answer(3);
        assert!(late.await.unwrap());
    }

    #[tokio::test]
    async fn who_gets_no_answer_is_told_so() {
        assert!(!Siblings::new(Duration::from_millis(5)).caught_up().await);
    }

    #[tokio::test]
    async fn messages_wait_until_the_receipts_were_read_once() {
        let siblings = Arc::new(Siblings::new(Duration::from_secs(60)));
        let mut connection = Newcomer::default();
        let mut message = |at_ms| connection.message(Some(&siblings), Tick::at(Duration::from_millis(at_ms)));
        let (first, second) = (message(0), message(1));
        assert!(first.siblings.is_some() && second.siblings.is_some());
        let waiting = tokio::spawn(async move { first.over().await });
        siblings.question(0, Duration::from_secs(60)).await;
        siblings.answer(siblings.newest());
        assert!(waiting.await.unwrap());
        assert!(message(900).over().await, "it waits for a second answer");
        assert!(message(1_950).siblings.is_some(), "after a silence the sender may come from another listener");
        assert!(message(1_951).siblings.is_some(), "nothing was read since");
        assert!(Newcomer::default().message(None, Tick::default()).over().await);
    }
}
