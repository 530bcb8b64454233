//! Accepts connections, as many as the configuration allows, until the stop is asked for; then lets each finish.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use runtime::metrics::RoomMetrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::counters::Counters;
use super::intake::Intake;
use super::tls;
use crate::config::{Hl7v2Config, LimitsConfig};

/// Why the source cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The address cannot be listened on.
    #[error("WL-1051: cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("WL-1052: {file}: {reason}", file = .file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A directory cannot be used.
    #[error("WL-1053: {path}: {source}", path = .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A bound MLLP listener.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    limits: Arc<LimitsConfig>,
    intake: Arc<Intake>,
    metrics: RoomMetrics,
}

impl Listener {
    /// Binds the address.
    pub async fn bind(config: &Hl7v2Config, intake: Arc<Intake>, metrics: RoomMetrics) -> Result<Self, SourceError> {
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let failed = |source| SourceError::Listen { address: config.listen.clone(), source };
        let socket = TcpListener::bind(&config.listen).await.map_err(failed)?;
        Ok(Self { socket, tls, limits: Arc::new(config.limits.clone()), intake, metrics })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until the stop is asked for, then waits at most `drain` for what is in flight.
    pub async fn serve(self, shutdown: Shutdown, drain: Duration) {
        let places = Arc::new(Semaphore::new(self.limits.connections_max.max(1)));
        // In units of 1 KiB, because a semaphore counts at most 2^29 permits on small machines.
        let memory = Arc::new(Semaphore::new((self.limits.in_flight_bytes_max / 1024).max(1)));
        let counters = Arc::new(Counters::new(&self.metrics));
        let mut connections = JoinSet::new();
        loop {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                () = shutdown.wait() => break,
            };
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = shutdown.wait() => break,
            };
            while connections.try_join_next().is_some() {}
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file handles, mostly: wait for some to be closed instead of spinning.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = Connection {
                intake: Arc::clone(&self.intake),
                limits: Arc::clone(&self.limits),
                memory: Arc::clone(&memory),
                counters: Arc::clone(&counters),
                shutdown: shutdown.clone(),
                origin: format!("mllp {peer}").into(),
            };
            let gauge = self.metrics.mllp_connections();
            let (tls, handshake) = (self.tls.clone(), Duration::from_millis(self.limits.handshake_ms));
            connections.spawn(async move {
                gauge.inc();
                serve_one(connection, stream, tls, handshake).await;
                gauge.dec();
                drop(place);
            });
        }
        drop(self.socket);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, finished).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "connections did not finish in time; their senders will repeat what was not answered"
            );
        }
    }
}

async fn serve_one(connection: Connection, stream: TcpStream, tls: Option<TlsAcceptor>, handshake: Duration) {
    let origin = Arc::clone(&connection.origin);
    let origin = &*origin;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(origin, %error, "cannot set no-delay");
    }
    let ended = match tls {
        None => connection.run(stream).await,
        Some(tls) => match tokio::time::timeout(handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => connection.run(stream).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the TLS handshake took too long")),
        },
    };
    match ended {
        Ok(()) => tracing::debug!(origin, "connection closed"),
        Err(error) => tracing::info!(origin, %error, "connection ended"),
    }
}
