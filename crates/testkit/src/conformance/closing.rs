//! Clients that do not hold a check up when they end.

use std::ops::Deref;
use std::sync::mpsc;
use std::time::Duration;

/// A client leaves its group and its brokers well within this time.
const CLOSES_WITHIN: Duration = Duration::from_secs(10);

/// A client that is closed on a thread of its own when it is dropped: now and then librdkafka 2.12 counts one user of a
/// broker too many, and waits for ever after it has said goodbye. Then it waits there.
pub(super) struct Closing<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Closing<T> {
    pub(super) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for Closing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(client) => client,
            None => unreachable!("a client is taken out when it is dropped"),
        }
    }
}

impl<T: Send + 'static> Drop for Closing<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        let (closed, is_closed) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            drop(client);
            drop(closed);
        });
        // Either it is closed, or nobody waits for it any longer.
        let _closed = is_closed.recv_timeout(CLOSES_WITHIN);
    }
}
