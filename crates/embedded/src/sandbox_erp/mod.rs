//! A sandbox ERP: a small real ledger over SQLite with a REST interface, for development, demos and tests.
//!
//! ```text
//! POST /api/v1/postings                 all lines in one transaction, once per key     201, 200 the second time
//! GET  /api/v1/postings/{key}           what became of a key                           404 when nothing did
//! GET  /api/v1/postings?from=&until=    what was posted, in the order in which it was
//! GET  /api/v1/stock  /api/v1/moves     what lies where, and how it got there
//! GET  /api/v1/changes?stream=&after=   what is new, in one sequence over everything
//! GET, PUT, DELETE /api/v1/{stream}/{key}   items, suppliers, locations, cost-centres, employees, purchase-orders, receipts
//! POST /api/v1/counts   PUT /api/v1/periods   POST /api/v1/seed   PUT /api/v1/faults
//! ```
//!
//! Refusals are 422 with a code and the lines that caused them, a key that means something else already is 409. Decimals are
//! texts. It listens on the loopback interface only.

mod amount;
mod api;
mod books;
mod clock;
mod desk;
mod faults;
mod posting;
mod problem;
mod records;
mod seed;
mod stock;
mod store;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::ListenError;
use crate::loopback::{Bounded, Cut};
use api::Shared;
use clock::Now;
use store::Store;

pub use amount::Amount;
pub use desk::Desk;
pub use faults::{Calls, Faults, LoseAnswerBy};
pub use records::{
    CostCentre, Employee, Identifier, Item, Location, LocationKind, OrderLine, OrderState, Pack, PurchaseOrder,
    Receipt, ReceiptLine, Stream, Supplier, Tracking,
};
pub use seed::Seed;
pub use stock::{Count, CountLine};

/// Name of the ledger's file in its folder.
const FILE: &str = "ledger.sqlite";
/// Connections that are open at the same time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;
/// How long calls that are under way at the end are waited for.
const DRAIN: Duration = Duration::from_secs(5);

/// How a sandbox ERP is started.
#[derive(Clone, Debug)]
pub struct SandboxErpOptions {
    /// Where it listens; a loopback address. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of the ledger, made when it is not there; in memory when `None`.
    pub data: Option<PathBuf>,
    /// The key that callers show as bearer.
    pub key: String,
    /// What the ledger holds at first. What is in the books already is not counted again.
    pub seed: Seed,
}

/// Why a sandbox ERP did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxErpError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its folder or its file cannot be used, or the seed contradicts itself or the ledger.
    #[error("WL-7094: the ledger of the sandbox ERP cannot be used: {0}")]
    Ledger(String),
}

/// A running sandbox ERP. It stops when it is dropped.
#[derive(Debug)]
pub struct SandboxErp {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SandboxErp {
    /// Starts on a thread of its own, so that callers need no async runtime. It answers when this returns.
    ///
    /// # Errors
    /// [`SandboxErpError`] when the address, the folder or the seed are no good.
    pub fn start(options: SandboxErpOptions) -> Result<Self, SandboxErpError> {
        if !options.listen.ip().is_loopback() {
            return Err(ListenError::NotLoopback(options.listen).into());
        }
        let mut store = open(options.data.as_deref())?;
        let seeded = store.write(|ledger| options.seed.write(ledger, Now::read()));
        seeded.map_err(|problem| SandboxErpError::Ledger(format!("{}: {}", problem.code, problem.message)))?;
        let refused = |source| ListenError::Bind { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let shared = Shared::new(store, &options.key);
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("sandbox-erp".to_owned())
            .spawn(move || serve(listener, shared, stopped, &ready))
            .map_err(refused)?;
        is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended"))).map_err(refused)?;
        tracing::info!(%address, "the sandbox ERP listens");
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for a client, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops: calls under way are answered, within five seconds, and the file is closed.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The receiver is gone when the server has ended by itself.
        let _gone = self.stop.take().map(|stop| stop.send(()));
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of the sandbox ERP panicked");
        }
    }
}

impl Drop for SandboxErp {
    fn drop(&mut self) {
        self.end();
    }
}

fn open(data: Option<&Path>) -> Result<Store, SandboxErpError> {
    let file = data.map(|folder| folder.join(FILE));
    let failed = |reason: &dyn std::fmt::Display| SandboxErpError::Ledger(reason.to_string());
    if let Some(folder) = data {
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let ledger = uuid::Uuid::new_v4().to_string();
    Store::open(file.as_deref(), &ledger).map_err(|error| failed(&error))
}

/// One thread does everything: calls are short, and the ledger has one writer anyway.
fn serve(
    listener: TcpListener,
    shared: Shared,
    stopped: oneshot::Receiver<()>,
    ready: &mpsc::SyncSender<io::Result<()>>,
) {
    let started = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let started = started.and_then(|runtime| {
        let _inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok((runtime, listener))
    });
    match started {
        Ok((runtime, listener)) => {
            // Whoever started it waits for this.
            let _waits = ready.send(Ok(()));
            runtime.block_on(run(listener, shared, stopped));
        }
        Err(error) => {
            let _waits = ready.send(Err(error));
        }
    }
}

async fn run(listener: tokio::net::TcpListener, shared: Shared, stopped: oneshot::Receiver<()>) {
    let service = api::router(shared).into_make_service_with_connect_info::<Cut>();
    let (drain, draining) = oneshot::channel::<()>();
    let server = axum::serve(Bounded::new(listener, CONNECTIONS_MAX), service).with_graceful_shutdown(async {
        let _told = draining.await;
    });
    let server = async {
        if let Err(error) = server.await {
            tracing::error!(%error, "the sandbox ERP cannot serve");
        }
    };
    tokio::pin!(server);
    tokio::select! {
        () = &mut server => return,
        _ = stopped => {}
    }
    let _told = drain.send(());
    if tokio::time::timeout(DRAIN, server).await.is_err() {
        tracing::debug!("calls were under way at the end");
    }
}
