//! Sends records of many callers together. A request to a broker costs as much as many records, and callers that come one by one
//! would make a request each: while records are on their way, those of others gather and leave together. Callers that come again as soon
//! as they are answered would so fall into two halves that take turns, with a request for each; so the one half waits a moment for
//! the other.

use crate::outgoing::Outgoing;
use crate::producer::Delivery;
use crate::publisher::Publisher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Takes records of many callers and sends them in bursts. Records of one call keep their order; two calls have one only if the
/// second is made after the first is confirmed.
pub struct Bursts {
    gathered: Arc<Gathered>,
    sending: JoinHandle<()>,
}

/// What has been taken and not been sent. Bounded by the callers: each waits for what it has sent.
#[derive(Default)]
struct Gathered {
    state: Mutex<State>,
    enough: Notify,
}

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// So many make it worth to wake who sends them.
    wanted: usize,
}

struct Waiting {
    records: Vec<Outgoing>,
    delivery: Arc<Delivery>,
}

impl Bursts {
    /// Sends by `publisher`, from a task of the runtime that this is called in. A burst leaves when the one before it is
    /// confirmed, with those that were just answered if they come again within `pause`; else after `pause`.
    pub fn start(publisher: Publisher, pause: Duration) -> Self {
        let gathered = Arc::new(Gathered::default());
        let sending = tokio::spawn(send_all(publisher, Arc::clone(&gathered), pause));
        Self { gathered, sending }
    }

    /// Takes records, to be sent in this order with the next burst; await their fate with [`Delivery::confirmed`].
    pub fn send(&self, records: Vec<Outgoing>) -> Arc<Delivery> {
        let delivery = Delivery::new();
        // Held until all of them are sent, so that nobody takes an empty delivery for a confirmed one.
        delivery.expect_one();
        self.gathered.push(Waiting { records, delivery: Arc::clone(&delivery) });
        delivery
    }
}

impl Drop for Bursts {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

impl Gathered {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, waiting: Waiting) {
        let mut state = self.lock();
        state.waiting.push(waiting);
        let enough = state.waiting.len() >= state.wanted;
        drop(state);
        if enough {
            self.enough.notify_one();
        }
    }

    fn count(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether so many have come; if not, who comes last of them tells.
    fn has(&self, wanted: usize) -> bool {
        let mut state = self.lock();
        state.wanted = wanted;
        state.waiting.len() >= wanted
    }

    /// Waits until so many have come.
    async fn come(&self, wanted: usize) {
        while !self.has(wanted) {
            self.enough.notified().await;
        }
    }

    /// Takes the next burst: who is expected, if they come within `pause`; else whoever comes first, with who is ready then.
    async fn take(&self, expected: &mut Expected, answered: usize, pause: Duration) -> Vec<Waiting> {
        let wanted = expected.of(answered, self.count());
        if wanted > 1 {
            let _ = tokio::time::timeout(pause, self.come(wanted)).await;
            expected.came(wanted, self.count());
        }
        self.come(1).await;
        tokio::task::yield_now().await;
        std::mem::take(&mut self.lock().waiting)
    }
}

/// How many callers are waited for: those who were just answered, as long as they do come again at once.
#[derive(Debug)]
struct Expected {
    /// No more came the last time that more were waited for.
    most: usize,
    /// Bursts since then.
    since: u32,
}

/// More callers than this are not waited for: while some are answered the others keep both sides at work.
const EXPECTED_MAX: usize = 16;
/// After so many bursts it is tried again whether more come than did.
const AGAIN_AFTER: u32 = 64;

impl Default for Expected {
    fn default() -> Self {
        Self { most: EXPECTED_MAX, since: 0 }
    }
}

impl Expected {
    /// How many to wait for when so many were answered and others wait already; 1 or less: for nobody.
    fn of(&mut self, answered: usize, waiting: usize) -> usize {
        self.since += 1;
        if self.since >= AGAIN_AFTER {
            *self = Self::default();
        }
        let all = answered + waiting;
        if answered == 0 || all > EXPECTED_MAX { 0 } else { all.min(self.most) }
    }

    /// So many were there at the end of the wait.
    fn came(&mut self, wanted: usize, came: usize) {
        if came < wanted {
            *self = Self { most: came, since: 0 };
        }
    }
}

async fn send_all(publisher: Publisher, gathered: Arc<Gathered>, pause: Duration) {
    let (mut expected, mut answered) = (Expected::default(), 0);
    loop {
        let burst = gathered.take(&mut expected, answered, pause).await;
        let mut deliveries = Vec::with_capacity(burst.len());
        for Waiting { records, delivery } in burst {
            // An error is told to the delivery by whoever met it.
            if let Err(error) = publisher.queue(&records, &delivery) {
                tracing::debug!(%error, "a record was not taken");
            }
            delivery.settle(Ok(None));
            deliveries.push(delivery);
        }
        if pause.is_zero() {
            continue;
        }
        let confirmed = async {
            for delivery in &deliveries {
                // The caller is told of an error.
                let _ = delivery.confirmed().await;
            }
        };
        let in_time = tokio::time::timeout(pause, confirmed).await.is_ok();
        answered = if in_time { deliveries.len() } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_were_answered_are_waited_for() {
        let mut expected = Expected::default();
        assert_eq!(expected.of(0, 3), 0, "nobody was answered in time");
        assert_eq!(expected.of(1, 0), 1, "one caller has nobody to wait for");
        assert_eq!(expected.of(4, 4), 8);
        assert_eq!(expected.of(EXPECTED_MAX, 1), 0, "many keep the broker busy");
    }

    #[test]
    fn who_does_not_come_is_not_waited_for_again_and_again() {
        let mut expected = Expected::default();
        let wanted = expected.of(4, 4);
        expected.came(wanted, 7);
        assert_eq!(expected.of(4, 4), 7, "one of eight is slow");
        expected.came(7, 1);
        let waits = (1..AGAIN_AFTER).filter(|_| expected.of(4, 4) > 1).count();
        assert_eq!(waits, 0);
        assert_eq!(expected.of(4, 4), 8, "it is tried again");
        expected.came(8, 8);
        assert_eq!(expected.of(8, 0), 8);
    }

    fn waiting() -> Waiting {
        Waiting { records: Vec::new(), delivery: Delivery::new() }
    }

    #[tokio::test]
    async fn a_burst_leaves_with_all_that_are_expected() {
        let (gathered, mut expected) = (Arc::new(Gathered::default()), Expected::default());
        gathered.push(waiting());
        let late = Arc::clone(&gathered);
        let come = tokio::spawn(async move {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                late.push(waiting());
            }
        });
        let burst = gathered.take(&mut expected, 3, Duration::from_secs(60)).await;
        assert_eq!(burst.len(), 4);
        come.await.unwrap();
    }

    #[tokio::test]
    async fn a_burst_does_not_wait_longer_than_the_pause() {
        let (gathered, mut expected) = (Gathered::default(), Expected::default());
        gathered.push(waiting());
        let burst = gathered.take(&mut expected, 3, Duration::from_millis(1)).await;
        assert_eq!(burst.len(), 1);
        assert_eq!(expected.of(3, 1), 1, "they are not waited for the next time");
    }
}
