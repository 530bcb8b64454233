//! Sends records of many callers together. A request to a broker costs as much as many records, and callers that come one by one
//! would make a request each: while records are on their way, those of others gather and leave together.

use crate::outgoing::Outgoing;
use crate::producer::Delivery;
use crate::publisher::Publisher;
use std::sync::{Arc, Mutex, PoisonError};
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
    waiting: Mutex<Vec<Waiting>>,
    some: Notify,
}

struct Waiting {
    records: Vec<Outgoing>,
    delivery: Arc<Delivery>,
}

impl Bursts {
    /// Sends by `publisher`, from a task of the runtime that this is called in. A burst leaves at once when the one before it is
    /// confirmed, else after `pause`.
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
        let waiting = Waiting { records, delivery: Arc::clone(&delivery) };
        self.gathered.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
        self.gathered.some.notify_one();
        delivery
    }
}

impl Drop for Bursts {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

async fn send_all(publisher: Publisher, gathered: Arc<Gathered>, pause: Duration) {
    loop {
        gathered.some.notified().await;
        // Whoever is ready to send at this moment comes along.
        tokio::task::yield_now().await;
        let burst = std::mem::take(&mut *gathered.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut deliveries = Vec::with_capacity(burst.len());
        for Waiting { records, delivery } in burst {
            // An error is told to the delivery by whoever met it.
            if let Err(error) = publisher.queue(&records, &delivery) {
                tracing::debug!(%error, "a record was not taken");
            }
            delivery.settle(Ok(None));
            deliveries.push(delivery);
        }
        let confirmed = async {
            for delivery in deliveries {
                // The caller is told of an error.
                let _ = delivery.confirmed().await;
            }
        };
        if pause.is_zero() {
            continue;
        }
        let _ = tokio::time::timeout(pause, confirmed).await;
    }
}
