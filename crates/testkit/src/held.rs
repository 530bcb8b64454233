//! A transaction of somebody else that is open: what is committed behind it cannot be read before it ends.

#![allow(clippy::unwrap_used, reason = "a helper of tests")]

use crate::stack::{PATIENCE, Stack};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use runtime::kafka;

/// An open transaction that has written a record.
pub struct Held(BaseProducer);

impl Held {
    /// Writes to a partition in a transaction of its own.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn open(stack: &Stack, topic: &'static str, partition: i32) -> Self {
        let mut settings = kafka::producer(&stack.config.kafka, Some("somebody else"));
        // The broker does not end it before the test does.
        settings.set("transaction.timeout.ms", "120000");
        let opening = tokio::task::spawn_blocking(move || {
            let producer: BaseProducer = settings.create().unwrap();
            producer.init_transactions(PATIENCE).unwrap();
            producer.begin_transaction().unwrap();
            producer.send(BaseRecord::to(topic).partition(partition).key("held").payload("")).unwrap();
            producer.flush(PATIENCE).unwrap();
            Self(producer)
        });
        opening.await.unwrap()
    }

    /// Gives it up.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn abort(self) {
        tokio::task::spawn_blocking(move || self.0.abort_transaction(PATIENCE).unwrap()).await.unwrap();
    }
}
