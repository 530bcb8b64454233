//! Listens: bounded connections, bounded heads, time-outs, TLS where it is configured, and a stop that lets answers end.

use crate::config::{ConsoleConfig, TlsConfig};
use crate::edge::{self, Peer};
use crate::patient::Patient;
use crate::state::Console;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use runtime::Shutdown;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Wait after a connection could not be accepted, for example because no file handle was free.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Why the console does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is in use or not of this machine.
    #[error("WL-7121: cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("WL-7121: {file}: {reason}")]
    Tls {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}

/// A console that listens.
pub struct Listening {
    console: Arc<Console>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    address: SocketAddr,
}

impl Listening {
    /// Takes the address, and reads certificate and key.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(console: Arc<Console>) -> Result<Self, ListenError> {
        let listen = console.config.listen.clone();
        let refused = |source| ListenError::Bind { address: listen.clone(), source };
        let acceptor = console.config.tls.as_ref().map(acceptor).transpose()?;
        let listener = TcpListener::bind(&listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { console, listener, acceptor, address })
    }

    /// Where it really listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What people type.
    #[must_use]
    pub fn url(&self) -> String {
        let own = || format!("{}://{}", if self.acceptor.is_some() { "https" } else { "http" }, self.address);
        self.console.config.origin.clone().unwrap_or_else(own)
    }

    /// Answers until the stop is asked for; then what is under way may end, for as long as the configuration says.
    pub async fn serve(self, stop: Shutdown) {
        let Self { console, listener, acceptor, .. } = self;
        let bounds = console.config.bounds;
        let places = Arc::new(Semaphore::new(bounds.connections_max));
        let service = TowerToHyperService::new(edge::router(&console));
        let head_timeout = Duration::from_millis(bounds.head_timeout_ms);
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                        continue;
                    }
                },
                () = stop.wait() => break,
            };
            let (service, acceptor, stop) = (service.clone(), acceptor.clone(), stop.clone());
            let config = console.config.clone();
            tokio::spawn(async move {
                let served = async {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection keeps its delay");
                    }
                    match acceptor {
                        None => connection(stream, peer.ip(), service, &config, &stop).await,
                        Some(acceptor) => {
                            if let Some(stream) = secured(&acceptor, stream, head_timeout).await {
                                connection(stream, peer.ip(), service, &config, &stop).await;
                            }
                        }
                    }
                };
                Box::pin(served).await;
                drop(place);
            });
        }
        drop(listener);
        let all = u32::try_from(bounds.connections_max).unwrap_or(u32::MAX);
        let drained = tokio::time::timeout(Duration::from_millis(bounds.drain_ms), places.acquire_many(all)).await;
        if drained.is_err() {
            tracing::warn!("the console stops although an answer is under way");
        }
        console.runs.ended(Duration::from_millis(bounds.drain_ms)).await;
    }
}

async fn secured(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    patience: Duration,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection did not come to TLS");
            None
        }
        Err(_) => None,
    }
}

/// Serves one connection to its end.
async fn connection<S, R>(
    stream: R,
    peer: IpAddr,
    service: TowerToHyperService<S>,
    config: &ConsoleConfig,
    stop: &Shutdown,
) where
    R: AsyncRead + AsyncWrite + Unpin,
    TowerToHyperService<S>: hyper::service::Service<
            hyper::Request<hyper::body::Incoming>,
            Response = axum::response::Response,
            Error = std::convert::Infallible,
        >,
{
    let bounds = &config.bounds;
    let head_timeout = Duration::from_millis(bounds.head_timeout_ms);
    let answering = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        service.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(bounds.headers_max)
        .max_buf_size(bounds.head_bytes_max)
        .serve_connection(TokioIo::new(Patient::new(stream, head_timeout)), answering);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.wait() => {
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(Duration::from_millis(bounds.drain_ms), serving.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, ListenError> {
    let chain = certificates(&config.certificate_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file).map_err(|error| refused(&config.key_file, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&config.certificate_file, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refused(&config.certificate_file, &error))?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| refused(file, &error))?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(|error| refused(file, &error))?;
    if all.is_empty() {
        return Err(refused(file, &"the file holds no certificate"));
    }
    Ok(all)
}

fn refused(file: &Path, reason: &dyn std::fmt::Display) -> ListenError {
    ListenError::Tls { file: file.display().to_string(), reason: reason.to_string() }
}
