//! Gives a range up that brings nothing.

use crate::reader::{POLL_SLICE, ReadError, STALL_TIMEOUT};
use rdkafka::error::KafkaError;
use std::time::Duration;

/// How long nothing has come.
pub(crate) struct Stall<'a> {
    topic: &'a str,
    patience: Duration,
    waited: Duration,
    last_error: String,
}

impl<'a> Stall<'a> {
    pub fn new(topic: &'a str) -> Self {
        Self::within(topic, STALL_TIMEOUT)
    }

    /// Given up after another time than usual.
    pub fn within(topic: &'a str, patience: Duration) -> Self {
        Self { topic, patience, waited: Duration::ZERO, last_error: "none".to_owned() }
    }

    pub fn reset(&mut self) {
        self.waited = Duration::ZERO;
    }

    pub fn idle(&mut self) -> Result<(), ReadError> {
        self.waited += POLL_SLICE;
        if self.waited < self.patience {
            return Ok(());
        }
        let last_error = std::mem::take(&mut self.last_error);
        Err(ReadError::Stalled { topic: self.topic.to_owned(), waited_s: self.waited.as_secs(), last_error })
    }

    /// An error may come at once, over and over: only the time in [`Stall::idle`] bounds the wait.
    pub fn error(&mut self, error: &KafkaError) {
        self.last_error = error.to_string();
    }
}
