//! The broker for code in the same process: requests without a socket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::{RequestKind, ResponseKind};

use super::engine::{Inbox, Message, Outbox};
use crate::broker::wire::{ConnectionId, Request, RequestId, Response};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Answers that may wait: one, and those that came too late for requests that were given up.
const ANSWERS_MAX: usize = 16;

/// Why a request in the process was not answered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LocalError {
    /// The broker was stopped.
    #[error("the broker has stopped")]
    Stopped,
    /// No answer came in time.
    #[error("the broker did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The broker answered with an error code of Kafka.
    #[error("the broker refused: {0}")]
    Refused(kafka_protocol::ResponseError),
    /// The answer was not one to the request.
    #[error("the broker gave an answer that does not fit: {0}")]
    Unexpected(String),
}

/// A client in the same process. Its requests are answered one after the other.
#[derive(Debug)]
pub struct LocalClient {
    inbox: Inbox,
    connection: ConnectionId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    answers: Receiver<Response>,
}

impl LocalClient {
    pub(super) fn new(inbox: Inbox, ids: &Arc<AtomicU64>) -> Self {
        let connection = ids.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = sync_channel(ANSWERS_MAX);
        // A broker that has stopped says so at the first request.
        drop(inbox.send(Message::Connected(connection, Outbox::Thread(sender))));
        Self { inbox, connection, state: Mutex::new(State { next: 0, answers }) }
    }

    /// Sends a request and waits for its answer. None for a request that wants no answer.
    ///
    /// # Errors
    /// [`LocalError::Stopped`] and [`LocalError::Timeout`].
    pub fn call(&self, api_version: i16, body: RequestKind) -> Result<Option<ResponseKind>, LocalError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let id = RequestId { connection: self.connection, number: state.next };
        state.next += 1;
        let (client_id, client_host) = ("wardline-embedded".to_owned(), "/127.0.0.1".to_owned());
        let request = Request { id, api_version, client_id, client_host, body };
        self.inbox.send(Message::Request(request)).map_err(|_| LocalError::Stopped)?;
        loop {
            let response = state.answers.recv_timeout(TIMEOUT).map_err(|error| match error {
                RecvTimeoutError::Timeout => LocalError::Timeout,
                RecvTimeoutError::Disconnected => LocalError::Stopped,
            })?;
            // An answer that came too late for its request is nobody's.
            if response.id == id {
                return Ok(response.body);
            }
        }
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        drop(self.inbox.send(Message::Disconnected(self.connection)));
    }
}
