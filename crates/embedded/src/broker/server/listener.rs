//! The thread of the sockets: accepts connections and serves each in a task.

use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::LocalSet;

use super::connection::{self, Ending, Shared};

/// How long to wait after the system refused to accept a connection, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until told to stop. All connections end then.
pub(super) fn run(
    runtime: &Runtime,
    listener: StdListener,
    shared: Shared,
    ids: &AtomicU64,
    stop: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let tasks = LocalSet::new();
    tasks.block_on(runtime, async {
        let listener = TcpListener::from_std(listener)?;
        tokio::select! {
            () = accept(&listener, Rc::new(shared), ids) => {}
            // A sender that was dropped means the same.
            _ = stop => {}
        }
        Ok(())
    })
}

async fn accept(listener: &TcpListener, shared: Rc<Shared>, ids: &AtomicU64) {
    let places = Arc::new(Semaphore::new(shared.options.connections_max));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(
                connections = shared.options.connections_max,
                "a connection was refused: there are too many"
            );
            continue;
        };
        let id = ids.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_local(serve(stream, id, Rc::clone(&shared), place));
    }
}

async fn serve(stream: TcpStream, id: u64, shared: Rc<Shared>, _place: OwnedSemaphorePermit) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed");
    }
    let host = stream.peer_addr().map(|address| format!("/{}", address.ip())).unwrap_or_default();
    match connection::serve(stream, id, host, shared).await {
        Ending::Closed | Ending::Idle | Ending::Stopped => {}
        ending => tracing::warn!(connection = id, reason = %ending, "a connection was closed"),
    }
}
