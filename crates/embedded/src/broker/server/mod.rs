//! The broker behind TCP, for this machine only.
//!
//! Two threads: one owns the sockets, decodes and encodes; the other owns the state machine. Everything that waits between
//! them is bounded: connections, requests per connection, bytes of requests that are not answered.

mod connection;
mod engine;
mod frame;
mod listener;
mod local;
mod shape;
#[cfg(test)]
mod tests;
mod topic_log;
mod versions;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use self::connection::Shared;
use self::engine::{Inbox, Machine, Message};
pub use self::local::{LocalClient, LocalError};
pub use self::topic_log::TopicLog;
use super::core::{Core, CoreOptions};
use super::storage::{DiskStorage, MemoryStorage, Storage, StorageError};
use crate::clock;
use crate::loopback::ListenError;

/// Bytes in a kibibyte.
const KIBIBYTE: usize = 1024;

/// Where a broker listens, where it keeps its data, and its bounds.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folder of the data. Without one everything is in memory and gone at the end.
    pub data: Option<PathBuf>,
    /// Most connections at once.
    pub connections_max: usize,
    /// Most requests of one connection that are not answered yet; more wait in the socket.
    pub requests_per_connection_max: usize,
    /// Largest request, bytes. A connection that announces a larger one is closed.
    pub request_bytes_max: usize,
    /// Most bytes of requests that are not answered yet, over all connections.
    pub queued_bytes_max: usize,
    /// After how long a silent connection is closed.
    pub idle_timeout: Duration,
    /// How long a request may take from its first byte to its last.
    pub frame_timeout: Duration,
    /// Bounds of the state machine. Its host and port are those of the listener.
    pub core: CoreOptions,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: None,
            connections_max: 512,
            requests_per_connection_max: 64,
            request_bytes_max: 32 * KIBIBYTE * KIBIBYTE,
            queued_bytes_max: 64 * KIBIBYTE * KIBIBYTE,
            idle_timeout: Duration::from_secs(600),
            frame_timeout: Duration::from_secs(30),
            core: CoreOptions::default(),
        }
    }
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its data cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The system gives no threads.
    #[error("WL-7004: threads for the broker cannot be started: {0}")]
    Threads(std::io::Error),
}

/// A broker that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    inbox: Inbox,
    connection_ids: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    sockets: Option<JoinHandle<()>>,
    engine: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker. When this returns, clients can connect.
    ///
    /// # Errors
    /// [`BrokerError`]: the address is not of this machine or is taken, the data cannot be used, there are no threads.
    pub fn start(options: BrokerOptions) -> Result<Self, BrokerError> {
        let listener = listen(options.listen)?;
        let refused = |source| ListenError::Bind { address: options.listen, source };
        let address = listener.local_addr().map_err(refused)?;
        let core = CoreOptions { host: address.ip().to_string(), port: address.port(), ..options.core.clone() };
        let storage: Box<dyn Storage> = match &options.data {
            None => Box::new(MemoryStorage::default()),
            Some(folder) => Box::new(DiskStorage::open(folder)?),
        };
        let core = Core::open(core, storage, clock::now_ms())?;
        let broker = Self::serve(options, listener, address, core).map_err(BrokerError::Threads)?;
        tracing::info!(%address, "wardline-embedded: a broker for development, demos and tests on this machine");
        Ok(broker)
    }

    /// Where it listens: the bootstrap address for clients.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client in this process.
    #[must_use]
    pub fn local(&self) -> LocalClient {
        LocalClient::new(self.inbox.clone(), &self.connection_ids)
    }

    /// A topic of one partition as a log for code in this process; the topic is made, compacted, if it is not there.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn topic_log(&self, topic: &str) -> Result<TopicLog, LocalError> {
        TopicLog::open(self.local(), topic)
    }

    /// Closes all connections, stops, and waits until the port and the data are free again.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn serve<M: Machine>(
        options: BrokerOptions,
        listener: TcpListener,
        address: SocketAddr,
        machine: M,
    ) -> std::io::Result<Self> {
        let (inbox, messages) = channel();
        let (stop, stopped) = oneshot::channel();
        let connection_ids = Arc::new(AtomicU64::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let queued = options.queued_bytes_max.max(options.request_bytes_max).div_ceil(KIBIBYTE);
        let shared = Shared {
            options,
            inbox: inbox.clone(),
            memory: Arc::new(Semaphore::new(queued.min(Semaphore::MAX_PERMITS))),
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let engine = thread("broker-core").spawn(move || engine::run(machine, &messages))?;
        let ids = Arc::clone(&connection_ids);
        let mut broker = Self { address, inbox, connection_ids, stop: Some(stop), sockets: None, engine: Some(engine) };
        let sockets = thread("broker-sockets").spawn(move || {
            if let Err(error) = listener::run(&runtime, listener, shared, &ids, stopped) {
                tracing::error!(%error, "the broker cannot accept connections");
            }
        })?;
        broker.sockets = Some(sockets);
        Ok(broker)
    }

    fn shut_down(&mut self) {
        drop(self.stop.take());
        let sockets = self.sockets.take().map(JoinHandle::join);
        // An engine that has gone needs no message.
        drop(self.inbox.send(Message::Stop));
        let engine = self.engine.take().map(JoinHandle::join);
        if [sockets, engine].into_iter().flatten().any(|ended| ended.is_err()) {
            tracing::error!(address = %self.address, "a thread of the embedded broker panicked");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Listens on an address of this machine.
fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    if !address.ip().is_loopback() {
        return Err(ListenError::NotLoopback(address));
    }
    let refused = |source| ListenError::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}
