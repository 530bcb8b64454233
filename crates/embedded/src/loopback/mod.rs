//! A small HTTP front for the parts that speak REST: a thread of its own, loopback only, with bounds everywhere.
//!
//! A part is a [`Service`]: a request goes in, an answer comes out. It knows nothing of sockets, so its tests need none.

mod bounded;
mod message;

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, Request as HttpRequest, Response as HttpResponse, StatusCode, header};
use tokio::sync::oneshot;

pub(crate) use bounded::{Bounded, Cut};
pub(crate) use message::{Answer, Request, decoded};

/// Most connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Threads that answer requests.
const WORKERS_MAX: usize = 4;
/// Most bytes of a body that is too large that are read before the connection is cut.
const DISCARDED_MAX: usize = 64 * 1_048_576;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stop waits for answers that are under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a part cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Other machines could reach the address.
    #[error("WL-7090: {0} is not a loopback address: the embedded parts serve this machine only; use 127.0.0.1")]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("WL-7091: cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Answers requests. Called from several threads.
pub(crate) trait Service: Send + Sync + 'static {
    /// Most bytes of a body.
    fn body_bytes_max(&self) -> usize;
    /// The answer to a request.
    fn answer(&self, request: &Request) -> Answer;
    /// The answer in the service's own form when the front itself has to refuse: 400, 408, 413 or 500.
    fn refusal(&self, status: u16, message: &str) -> Answer;
}

/// A service that listens. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Loopback {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Loopback {
    /// Listens on an address; port 0 takes a free one. Returns when connections are accepted.
    pub(crate) fn start(name: &str, listen: SocketAddr, service: Arc<dyn Service>) -> Result<Self, ListenError> {
        if !listen.ip().is_loopback() {
            return Err(ListenError::NotLoopback(listen));
        }
        let refused = |source| ListenError::Bind { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(WORKERS_MAX)
            .thread_name(name)
            .build()
            .map_err(refused)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(refused)?
        };
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(serve(listener, service, stopped));
            runtime.shutdown_timeout(STOP_TIMEOUT);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(serve).map_err(refused)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops and waits until the port is free again.
    pub(crate) fn stop(&mut self) {
        // Without a receiver it has ended already.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(address = %self.address, "the thread of an embedded part panicked");
        }
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(listener: tokio::net::TcpListener, service: Arc<dyn Service>, stopped: oneshot::Receiver<()>) {
    let listener = Bounded::new(listener, CONNECTIONS_MAX);
    let router = Router::new().fallback(handle).with_state(service);
    let (draining, drain) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        // Either way the owner wants no more.
        drop(stopped.await);
        drop(draining);
    });
    let late = async {
        drop(drain.await);
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    tokio::select! {
        ended = serving => if let Err(error) = ended {
            tracing::error!(%error, "an embedded part stopped listening");
        },
        () = late => {}
    }
}

async fn handle(State(service): State<Arc<dyn Service>>, request: HttpRequest<Body>) -> HttpResponse<Body> {
    let answer = match read(service.as_ref(), request).await {
        Ok(request) => {
            let answering = Arc::clone(&service);
            let answered = tokio::task::spawn_blocking(move || answering.answer(&request)).await;
            answered.unwrap_or_else(|_| service.refusal(500, "the request could not be answered"))
        }
        Err(refusal) => refusal,
    };
    response(answer)
}

async fn read(service: &dyn Service, request: HttpRequest<Body>) -> Result<Request, Answer> {
    let (parts, body) = request.into_parts();
    let mut read = Request { method: parts.method.as_str().to_owned(), ..Request::default() };
    for segment in parts.uri.path().split('/').filter(|segment| !segment.is_empty()) {
        let segment = decoded(segment).ok_or_else(|| service.refusal(400, "the path is not UTF-8"))?;
        read.path.push(segment);
    }
    read.query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|_| service.refusal(400, "the query cannot be read"))?
        .0;
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            read.headers.push((name.as_str().to_owned(), value.to_owned()));
        }
    }
    let limit = service.body_bytes_max();
    let body = tokio::time::timeout(BODY_TIMEOUT, collect(body, limit)).await;
    let body = body.map_err(|_| service.refusal(408, "the body took too long"))?;
    let body = body.map_err(|_| service.refusal(400, "the body broke off"))?;
    read.body = body.ok_or_else(|| service.refusal(413, &format!("the body is larger than {limit} bytes")))?;
    Ok(read)
}

/// A body up to a limit; none when it is larger.
///
/// What is too much is read and thrown away, up to a bound: a client that is still sending would see a broken connection
/// instead of the answer.
async fn collect(mut body: Body, limit: usize) -> Result<Option<Vec<u8>>, axum::Error> {
    let (mut bytes, mut seen) = (Vec::new(), 0_usize);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
            bytes.extend_from_slice(&data);
        } else if seen > DISCARDED_MAX.max(limit) {
            break;
        }
    }
    Ok(if seen <= limit { Some(bytes) } else { None })
}

fn response(answer: Answer) -> HttpResponse<Body> {
    let mut response = HttpResponse::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(answer.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
