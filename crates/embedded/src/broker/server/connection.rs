//! One connection: frames in, requests to the engine, answers out in the order of the requests.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::engine::{Inbox, Message, Outbox};
use super::frame::{self, FrameError, Incoming, Reply};
use super::{BrokerOptions, KIBIBYTE};
use crate::broker::wire::{ConnectionId, Request, RequestId, Response};

/// A buffer of this size is read and written at once; larger ones are given back after use.
const BUFFER_LEN: usize = 64 * KIBIBYTE;

/// Memory taken for a frame before its bytes have come: a length alone costs no more than this.
const TRUSTED_LEN: usize = 1024 * KIBIBYTE;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ending {
    /// The client closed it.
    #[error("closed by the client")]
    Closed,
    /// Nothing came for long.
    #[error("idle")]
    Idle,
    /// A frame began and did not end in time.
    #[error("a frame did not arrive in time")]
    Slow,
    /// A frame says that it is longer than frames may be.
    #[error("a frame of {0} bytes is refused")]
    Length(i32),
    /// A frame was not understood.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The broker ends.
    #[error("the broker ends")]
    Stopped,
}

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: BrokerOptions,
    pub(super) inbox: Inbox,
    /// Kibibytes of requests that are not answered yet, over all connections.
    pub(super) memory: Arc<Semaphore>,
}

/// A request that is not answered yet. Its permits are given back when it is.
struct Expected {
    number: u64,
    reply: Reply,
    _permits: Vec<OwnedSemaphorePermit>,
}

type Queue = Rc<RefCell<VecDeque<Expected>>>;

/// Serves a connection until it ends.
pub(super) async fn serve(stream: TcpStream, id: ConnectionId, host: String, shared: Rc<Shared>) -> Ending {
    let (read, write) = stream.into_split();
    let (answers, answered) = unbounded_channel();
    let opened = Message::Connected(id, Outbox::Task(answers.clone()));
    if shared.inbox.send(opened).is_err() {
        return Ending::Stopped;
    }
    let queue = Queue::default();
    let reader = Reader {
        id,
        host,
        stream: BufReader::with_capacity(BUFFER_LEN, read),
        slots: Arc::new(Semaphore::new(shared.options.requests_per_connection_max)),
        fetches: Arc::new(Semaphore::new(1)),
        answers,
        queue: Rc::clone(&queue),
        shared: Rc::clone(&shared),
    };
    let writer = Writer { stream: write, answered, queue, ready: BTreeMap::new(), buffer: BytesMut::new() };
    let ending = tokio::select! {
        ending = reader.run() => ending,
        ending = writer.run() => ending,
    };
    // An engine that has gone knows no connections either.
    drop(shared.inbox.send(Message::Disconnected(id)));
    ending
}

struct Reader {
    id: ConnectionId,
    host: String,
    stream: BufReader<OwnedReadHalf>,
    /// Requests that may wait for an answer.
    slots: Arc<Semaphore>,
    /// An answer to a fetch can be large, so one is under way at a time, as in Kafka.
    fetches: Arc<Semaphore>,
    answers: UnboundedSender<Response>,
    queue: Queue,
    shared: Rc<Shared>,
}

impl Reader {
    async fn run(mut self) -> Ending {
        let mut number = 0;
        loop {
            if let Err(ending) = self.next(number).await {
                return ending;
            }
            number += 1;
        }
    }

    async fn next(&mut self, number: u64) -> Result<(), Ending> {
        let len = timeout(self.shared.options.idle_timeout, self.stream.read_i32()).await.map_err(|_| Ending::Idle)?;
        let len = len.map_err(|error| if is_end(&error) { Ending::Closed } else { Ending::Socket(error) })?;
        let max = self.shared.options.request_bytes_max;
        let wanted = usize::try_from(len).ok().filter(|len| *len <= max).ok_or(Ending::Length(len))?;
        let mut permits = vec![acquire(&self.shared.memory, wanted.div_ceil(KIBIBYTE)).await?];
        let frame =
            timeout(self.shared.options.frame_timeout, self.read_frame(wanted)).await.map_err(|_| Ending::Slow)??;
        let incoming = frame::decode(frame)?;
        permits.push(acquire(&self.slots, 1).await?);
        let id = RequestId { connection: self.id, number };
        match incoming {
            Incoming::Versions { reply, answer } => {
                self.expect(number, reply, permits);
                self.answers.send(Response { id, body: Some(*answer) }).map_err(|_| Ending::Stopped)
            }
            Incoming::Request { reply, client_id, body } => {
                if reply.api == ApiKey::Fetch {
                    permits.push(acquire(&self.fetches, 1).await?);
                }
                self.expect(number, reply, permits);
                let client_host = self.host.clone();
                let request = Request { id, api_version: reply.version, client_id, client_host, body };
                self.shared.inbox.send(Message::Request(request)).map_err(|_| Ending::Stopped)
            }
        }
    }

    /// Reads a frame into memory of its own, so that a part of it that is kept holds nothing else.
    async fn read_frame(&mut self, len: usize) -> Result<Bytes, Ending> {
        let mut frame = BytesMut::with_capacity(len.min(TRUSTED_LEN));
        let mut stream = (&mut self.stream).take(u64::try_from(len).unwrap_or(u64::MAX));
        while frame.len() < len {
            if frame.len() == frame.capacity() {
                frame.reserve((len - frame.len()).min(frame.len()));
            }
            if stream.read_buf(&mut frame).await? == 0 {
                return Err(Ending::Closed);
            }
        }
        Ok(frame.freeze())
    }

    fn expect(&self, number: u64, reply: Reply, permits: Vec<OwnedSemaphorePermit>) {
        self.queue.borrow_mut().push_back(Expected { number, reply, _permits: permits });
    }
}

struct Writer {
    stream: OwnedWriteHalf,
    answered: UnboundedReceiver<Response>,
    queue: Queue,
    /// Answers that came before those of earlier requests.
    ready: BTreeMap<u64, Response>,
    buffer: BytesMut,
}

impl Writer {
    async fn run(mut self) -> Ending {
        loop {
            if let Err(ending) = self.next().await {
                return ending;
            }
        }
    }

    /// Writes all answers whose turn has come, together.
    async fn next(&mut self) -> Result<(), Ending> {
        let Some(response) = self.answered.recv().await else { return Err(Ending::Stopped) };
        self.ready.insert(response.id.number, response);
        while let Ok(response) = self.answered.try_recv() {
            self.ready.insert(response.id.number, response);
        }
        // Permits of what is in the buffer: they are given back when it is written.
        let mut written = Vec::new();
        while let Some((expected, response)) = self.take_next() {
            if let Some(body) = response.body {
                frame::encode(expected.reply, &body, &mut self.buffer)?;
            }
            written.push(expected);
            if self.buffer.len() >= BUFFER_LEN {
                self.flush().await?;
                written.clear();
            }
        }
        self.flush().await
    }

    fn take_next(&mut self) -> Option<(Expected, Response)> {
        let mut queue = self.queue.borrow_mut();
        let response = self.ready.remove(&queue.front()?.number)?;
        Some((queue.pop_front()?, response))
    }

    async fn flush(&mut self) -> Result<(), Ending> {
        if !self.buffer.is_empty() {
            self.stream.write_all(&self.buffer).await?;
            self.buffer.clear();
            if self.buffer.capacity() > 2 * BUFFER_LEN {
                self.buffer = BytesMut::new();
            }
        }
        Ok(())
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, Ending> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    Arc::clone(semaphore).acquire_many_owned(permits).await.map_err(|_| Ending::Stopped)
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}
