//! A proxy before an HTTP server that breaks on command: the answer lost after the effect, the request lost before it, an
//! error answered in the server's place, a delay, a request that comes late.
//!
//! ```text
//! proxy.arm(Fault::LoseAnswer, 2)   the third call with an effect is done, but its caller hears nothing
//! proxy.arm(Fault::HoldRequest, 2)  the third call is done on proxy.release(), when its caller waits no more
//! proxy.heal()                      everything passes again; tells whether the fault had struck
//! ```
//!
//! Calls are counted from the arming on, from 0; reads (GET, HEAD) pass and are not counted, unless the server is gone. One request per connection,
//! so that a cut is always the cut of one call.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector::erp::conformance::faults::Faults;
use connector::erp::conformance::feed::Work;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server does it; the connection closes before the answer.
    LoseAnswer,
    /// The connection closes before the server hears of it.
    LoseRequest,
    /// The connection closes, and the server hears of it on [`FaultProxy::release`].
    HoldRequest,
    /// The server is gone, for reads too, which then count.
    Gone,
    /// The server never hears of it; the caller gets this status, and `Retry-After` in seconds when given.
    Answer {
        /// HTTP status.
        status: u16,
        /// Seconds of the `Retry-After` header.
        retry_after_s: Option<u64>,
    },
    /// The server does it at once; the answer comes this much later.
    DelayAnswer(Duration),
}

/// The proxy. It stops listening when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    server: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    held: Arc<Mutex<Vec<Vec<u8>>>>,
    listener: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Plan {
    armed: Option<Armed>,
    calls: usize,
    struck: bool,
}

#[derive(Debug, Clone, Copy)]
struct Armed {
    fault: Fault,
    /// The call that it strikes; every call when `None`.
    call: Option<usize>,
}

impl FaultProxy {
    /// Listens on a free port of the loopback and passes everything on to `server`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let plan = Arc::new(Mutex::new(Plan::default()));
        let held: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let shared = (Arc::clone(&plan), Arc::clone(&held));
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (plan, held) = shared.clone();
                tokio::spawn(async move {
                    // Either side may leave at any time; that is what the proxy is for.
                    let _left = serve(client, server, &plan, &held).await;
                });
            }
        });
        Ok(Self { address, server, plan, held, listener })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks the call of this number, counted from now.
    pub fn arm(&self, fault: Fault, call: usize) {
        *lock(&self.plan) = Plan { armed: Some(Armed { fault, call: Some(call) }), ..Plan::default() };
    }

    /// Breaks every call from now on.
    pub fn arm_all(&self, fault: Fault) {
        *lock(&self.plan) = Plan { armed: Some(Armed { fault, call: None }), ..Plan::default() };
    }

    /// The server hears of the requests that were held, and has answered them; nobody hears the answers.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn release(&self) -> io::Result<()> {
        let held = std::mem::take(&mut *lock(&self.held));
        for request in held {
            pass(&request, self.server).await?;
        }
        Ok(())
    }

    /// Lets everything pass again; whether the fault had struck.
    pub fn heal(&self) -> bool {
        std::mem::take(&mut *lock(&self.plan)).struck
    }

    /// Calls with an effect since the last arming or healing.
    #[must_use]
    pub fn calls(&self) -> usize {
        lock(&self.plan).calls
    }
}

impl Faults for FaultProxy {
    fn lose_answer(&self, call: usize) {
        self.arm(Fault::LoseAnswer, call);
    }

    fn lose_request(&self, call: usize) {
        self.arm(Fault::LoseRequest, call);
    }

    fn hold_request(&self, call: usize) {
        self.arm(Fault::HoldRequest, call);
    }

    fn release(&self) -> Work<'_> {
        Box::pin(async move { Self::release(self).await.map_err(|error| error.to_string()) })
    }

    fn heal(&self) -> bool {
        Self::heal(self)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Plan {
    fn is_gone(&self) -> bool {
        self.armed.is_some_and(|armed| armed.fault == Fault::Gone)
    }

    /// Counts a call and gives the fault that is meant for it.
    fn strike(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        let armed = self.armed.filter(|armed| armed.call.is_none_or(|wanted| wanted == call))?;
        self.struck = true;
        Some(armed.fault)
    }
}

async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    plan: &Mutex<Plan>,
    held: &Mutex<Vec<Vec<u8>>>,
) -> io::Result<()> {
    let Some(request) = read_request(&mut client).await? else {
        return Ok(());
    };
    let is_read = request.starts_with(b"GET ") || request.starts_with(b"HEAD ");
    let fault = if is_read && !lock(plan).is_gone() { None } else { lock(plan).strike() };
    match fault {
        Some(Fault::LoseRequest | Fault::Gone) => return Ok(()),
        Some(Fault::HoldRequest) => {
            lock(held).push(request);
            return Ok(());
        }
        Some(Fault::Answer { status, retry_after_s }) => {
            let wait = retry_after_s.map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n"));
            let head = format!("HTTP/1.1 {status} Fault\r\n{wait}content-length: 0\r\nconnection: close\r\n\r\n");
            return client.write_all(head.as_bytes()).await;
        }
        Some(Fault::LoseAnswer | Fault::DelayAnswer(_)) | None => {}
    }
    let answer = pass(&request, server).await?;
    match fault {
        Some(Fault::LoseAnswer) => return Ok(()),
        Some(Fault::DelayAnswer(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

/// Passes a request on, and gives its answer.
async fn pass(request: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(request).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Reads one request, with its connection set to close so that the end of the answer is the end of the stream.
async fn read_request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > HEAD_BYTES_MAX || client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut request = kept.collect::<Vec<_>>().join("\r\n").into_bytes();
    request.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
    request.extend_from_slice(&body);
    Ok(Some(request))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
