//! The one thread that owns the state machine: requests come in through a channel, answers go out through others.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::broker::core::Core;
use crate::broker::wire::{ConnectionId, Request, Response};
use crate::clock;

/// Most messages taken before answers go out and time is looked at.
const BATCH: usize = 256;

/// Longest sleep: a clock that was set is noticed after that.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// A state machine that is driven by the engine: [`Core`], or a stand-in of a test.
pub(super) trait Machine: Send + 'static {
    /// Takes a request.
    fn handle(&mut self, request: Request, now_ms: i64);
    /// Lets time pass.
    fn tick(&mut self, now_ms: i64);
    /// When it wants time to pass.
    fn next_deadline_ms(&self) -> Option<i64>;
    /// A connection is gone.
    fn disconnected(&mut self, connection: ConnectionId);
    /// Answers that are ready.
    fn take_responses(&mut self) -> Vec<Response>;
}

impl Machine for Core {
    fn handle(&mut self, request: Request, now_ms: i64) {
        Self::handle(self, request, now_ms);
    }

    fn tick(&mut self, now_ms: i64) {
        Self::tick(self, now_ms);
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        Self::next_deadline_ms(self)
    }

    fn disconnected(&mut self, connection: ConnectionId) {
        Self::disconnected(self, connection);
    }

    fn take_responses(&mut self) -> Vec<Response> {
        Self::take_responses(self)
    }
}

/// Where the answers of a connection go. Each request takes one place at most, and requests that wait are bounded by the
/// connection, so these channels are bounded too.
#[derive(Debug)]
pub(super) enum Outbox {
    /// A task that writes to a socket.
    Task(UnboundedSender<Response>),
    /// A thread of this process.
    Thread(SyncSender<Response>),
}

impl Outbox {
    /// A receiver that has gone needs no answer.
    fn send(&self, response: Response) {
        match self {
            Self::Task(sender) => drop(sender.send(response)),
            Self::Thread(sender) => drop(sender.try_send(response)),
        }
    }
}

/// A message to the engine.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all messages are requests")]
pub(super) enum Message {
    /// Answers to a connection go there from now on.
    Connected(ConnectionId, Outbox),
    /// A request of a connection.
    Request(Request),
    /// A connection is gone.
    Disconnected(ConnectionId),
    /// End.
    Stop,
}

/// The way to the engine.
pub(super) type Inbox = Sender<Message>;

/// Runs the state machine until it is told to stop or nobody can reach it any more.
pub(super) fn run<M: Machine>(machine: M, messages: &Receiver<Message>) {
    let mut engine = Engine { machine, outboxes: HashMap::new(), now_ms: clock::now_ms(), stop: false };
    while !engine.stop {
        match engine.wait(messages) {
            Ok(message) => engine.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        for message in messages.try_iter().take(BATCH) {
            engine.take(message);
        }
        engine.let_time_pass();
        engine.send_answers();
    }
}

struct Engine<M> {
    machine: M,
    outboxes: HashMap<ConnectionId, Outbox>,
    /// Never goes back, whatever the clock does.
    now_ms: i64,
    stop: bool,
}

impl<M: Machine> Engine<M> {
    fn wait(&self, messages: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        let Some(deadline_ms) = self.machine.next_deadline_ms() else {
            return messages.recv().map_err(|_| RecvTimeoutError::Disconnected);
        };
        let left_ms = deadline_ms.saturating_sub(clock::now_ms());
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or_default());
        messages.recv_timeout(left.min(SLEEP_MAX))
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Connected(connection, outbox) => drop(self.outboxes.insert(connection, outbox)),
            Message::Request(request) => {
                self.now_ms = self.now_ms.max(clock::now_ms());
                self.machine.handle(request, self.now_ms);
            }
            Message::Disconnected(connection) => {
                self.outboxes.remove(&connection);
                self.machine.disconnected(connection);
            }
            Message::Stop => self.stop = true,
        }
    }

    fn let_time_pass(&mut self) {
        self.now_ms = self.now_ms.max(clock::now_ms());
        if self.machine.next_deadline_ms().is_some_and(|deadline_ms| deadline_ms <= self.now_ms) {
            self.machine.tick(self.now_ms);
        }
    }

    fn send_answers(&mut self) {
        for response in self.machine.take_responses() {
            if let Some(outbox) = self.outboxes.get(&response.id.connection) {
                outbox.send(response);
            }
        }
    }
}
