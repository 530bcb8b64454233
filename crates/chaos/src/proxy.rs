//! A proxy before an HTTP server that breaks calls on command, and counts what it has broken. One call per connection, so that
//! a cut is always the cut of one call.

use crate::plan::{Calls, Mode};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longest head of a request, bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What stands in the place of a body that makes no sense.
const NONSENSE: &[u8] = b"<html>proxy</html>";

/// The proxy. It ends with the async runtime it was started on.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    broken: Mutex<Broken>,
    doubts: Mutex<Doubts>,
    /// Changes with every order, so that what is held back is let go.
    orders: watch::Sender<u64>,
}

/// What became of posts whose callers cannot know whether they were carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Posts that were carried out for the first time, and whose callers did not hear of it.
    pub unheard: u64,
    /// Posts under a key that the server had already: it says 200 and not 201 then.
    pub repeated: u64,
}

#[derive(Debug, Default)]
struct Broken {
    calls: Option<Calls>,
    /// Calls since the last order.
    seen: u64,
    struck: u64,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `server`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (broken, doubts) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { server, broken, doubts, orders: watch::Sender::new(0) });
        let proxy = Self { address, shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // Either side may leave at any time; that is what the proxy is for.
                    let _ = shared.serve(client).await;
                });
            }
        });
        Ok(proxy)
    }

    /// Where it listens, for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks calls from now on, or none.
    pub fn order(&self, calls: Option<Calls>) {
        *self.shared.broken.lock().unwrap_or_else(PoisonError::into_inner) = Broken { calls, ..Broken::default() };
        self.shared.orders.send_modify(|number| *number += 1);
    }

    /// Calls since the last order, and how many of them were struck.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let broken = self.shared.broken.lock().unwrap_or_else(PoisonError::into_inner);
        (broken.seen, broken.struck)
    }

    /// Posts in doubt since the start.
    #[must_use]
    pub fn doubts(&self) -> Doubts {
        *self.shared.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doubts {
    fn note(&mut self, request: &[u8], reply: &[u8], mode: Option<Mode>) {
        if !request.starts_with(b"POST ") {
            return;
        }
        let is_unheard = matches!(mode, Some(Mode::LoseAnswer | Mode::Silence | Mode::WrongBody));
        self.unheard += u64::from(is_unheard && reply.starts_with(b"HTTP/1.1 201"));
        self.repeated += u64::from(reply.starts_with(b"HTTP/1.1 200"));
    }
}

impl Broken {
    fn strike(&mut self) -> Option<Mode> {
        self.seen += 1;
        let calls = self.calls.filter(|calls| self.seen.is_multiple_of(calls.every.max(1)))?;
        self.struck += 1;
        Some(calls.mode)
    }
}

impl Shared {
    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let mut orders = self.orders.subscribe();
        let Some(request) = read_request(&mut client).await? else { return Ok(()) };
        let mode = self.broken.lock().unwrap_or_else(PoisonError::into_inner).strike();
        match mode {
            Some(Mode::Reset) => return client.set_zero_linger(),
            Some(Mode::HalfOpen) => return hold(&mut client, &mut orders).await,
            Some(Mode::Status { code }) => return answer(&mut client, code, None).await,
            Some(Mode::Throttle { retry_after_s }) => return answer(&mut client, 429, Some(retry_after_s)).await,
            _ => {}
        }
        let mut server = TcpStream::connect(self.server).await?;
        server.write_all(&request).await?;
        let mut reply = Vec::new();
        server.read_to_end(&mut reply).await?;
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner).note(&request, &reply, mode);
        match mode {
            Some(Mode::LoseAnswer) => return Ok(()),
            Some(Mode::Silence) => return hold(&mut client, &mut orders).await,
            Some(Mode::Latency { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Some(Mode::WrongBody) => reply = nonsense(&reply),
            _ => {}
        }
        client.write_all(&reply).await?;
        client.shutdown().await
    }
}

/// Keeps the connection open and silent until the caller leaves or another order is given.
async fn hold(client: &mut TcpStream, orders: &mut watch::Receiver<u64>) -> io::Result<()> {
    let mut nothing = [0; 1];
    tokio::select! {
        read = client.read(&mut nothing) => read.map(drop),
        _ = orders.changed() => Ok(()),
    }
}

async fn answer(client: &mut TcpStream, status: u16, retry_after_s: Option<u64>) -> io::Result<()> {
    let wait = retry_after_s.map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n"));
    let head = format!("HTTP/1.1 {status} Fault\r\n{wait}content-length: 0\r\nconnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).await?;
    client.shutdown().await
}

/// The status of a reply with another body.
fn nonsense(reply: &[u8]) -> Vec<u8> {
    let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let head =
        format!("\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", NONSENSE.len());
    [line, head.as_bytes(), NONSENSE].concat()
}

/// Reads one request and sets its connection to close, so that the end of the answer is the end of the stream.
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
    let mut body = bytes.split_off(head_end + 4);
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::plan::Side;

    const REQUEST: &[u8] = b"POST /x HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi";

    /// A server that counts calls and answers 201.
    async fn server(calls: Arc<Mutex<u32>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if read_request(&mut client).await.unwrap().is_some() {
                    *calls.lock().unwrap() += 1;
                    let reply = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                    client.write_all(reply).await.unwrap();
                }
            }
        });
        address
    }

    async fn call(proxy: &Proxy) -> String {
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        let mut reply = Vec::new();
        // A reset is an error here and no answer.
        let _ = client.read_to_end(&mut reply).await;
        String::from_utf8(reply).unwrap()
    }

    #[test]
    fn posts_in_doubt_and_posts_that_come_again_are_counted() {
        let (created, known): (&[u8], &[u8]) = (b"HTTP/1.1 201 Created", b"HTTP/1.1 200 OK");
        let mut doubts = Doubts::default();
        doubts.note(REQUEST, created, None);
        doubts.note(b"GET /x HTTP/1.1", known, Some(Mode::Silence));
        assert_eq!(doubts, Doubts::default());
        doubts.note(REQUEST, created, Some(Mode::LoseAnswer));
        doubts.note(REQUEST, known, None);
        assert_eq!(doubts, Doubts { unheard: 1, repeated: 1 });
    }

    #[tokio::test]
    async fn each_mode_does_what_it_says() {
        let calls = Arc::new(Mutex::new(0));
        let proxy = Proxy::start(server(Arc::clone(&calls)).await).await.unwrap();
        let order = |mode| proxy.order(Some(Calls { side: Side::Erp, mode, every: 1, for_ms: 0 }));
        assert!(call(&proxy).await.starts_with("HTTP/1.1 201"));
        for (mode, answer, done) in [
            (Mode::Reset, "", 0),
            (Mode::LoseAnswer, "", 1),
            (Mode::Status { code: 500 }, "HTTP/1.1 500", 0),
            (Mode::Throttle { retry_after_s: 2 }, "HTTP/1.1 429 Fault\r\nretry-after: 2", 0),
            (Mode::WrongBody, "HTTP/1.1 201 Created\r\ncontent-type: text/html", 1),
            (Mode::Latency { ms: 1 }, "HTTP/1.1 201", 1),
        ] {
            let before = *calls.lock().unwrap();
            order(mode);
            let reply = call(&proxy).await;
            assert!(reply.starts_with(answer) && reply.is_empty() == answer.is_empty(), "{mode}: {reply}");
            assert_eq!(*calls.lock().unwrap() - before, done, "{mode}");
            assert_eq!(proxy.counts(), (1, 1));
        }
    }

    #[tokio::test]
    async fn what_is_held_back_is_let_go_with_the_next_order() {
        let calls = Arc::new(Mutex::new(0));
        let proxy = Proxy::start(server(Arc::clone(&calls)).await).await.unwrap();
        for (mode, done) in [(Mode::HalfOpen, 0), (Mode::Silence, 1)] {
            let before = *calls.lock().unwrap();
            proxy.order(Some(Calls { side: Side::Erp, mode, every: 1, for_ms: 0 }));
            let (reply, ()) = tokio::join!(call(&proxy), async {
                while proxy.counts().1 == 0 || *calls.lock().unwrap() - before < done {
                    tokio::task::yield_now().await;
                }
                proxy.order(None);
            });
            assert_eq!(reply, "", "{mode}");
            assert_eq!(*calls.lock().unwrap() - before, done, "{mode}");
        }
    }
}
