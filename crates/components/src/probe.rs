//! Is anybody there? One request over a fresh connection, with the standard library alone, so that it can be asked from
//! any thread of any runtime.

use serde::{Deserialize, Serialize};
use std::io::{Error, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const CONNECT: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(10);

/// How a component shows that it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ready {
    /// The broker lists the versions of its API without error.
    Kafka,
    /// An HTTP request is answered with a status of 2xx.
    Http {
        /// Path and query.
        path: String,
        /// The `Authorization` header.
        authorization: Option<String>,
    },
}

impl Ready {
    /// Asks once.
    pub(crate) fn check(&self, port: u16) -> bool {
        match self {
            Self::Kafka => kafka_answers(port).unwrap_or(false),
            Self::Http { path, authorization } => {
                let request = Request { method: "GET", path, authorization: authorization.as_deref(), body: "" };
                http(port, &request).is_ok_and(|answer| (200..300).contains(&answer.status))
            }
        }
    }
}

/// An HTTP request with a JSON body.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) body: &'a str,
}

/// An HTTP answer; the body as it came over the wire, possibly in chunks.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends a request to a port of 127.0.0.1 and reads the whole answer.
pub(crate) fn http(port: u16, request: &Request<'_>) -> Result<Answer> {
    let mut stream = connect(port)?;
    let Request { method, path, authorization, body } = request;
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{authorization}\r\n{body}"
    );
    stream.write_all(text.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| Error::other("no HTTP answer"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.ok_or_else(|| Error::other("no HTTP status"))?, body: body.to_owned() })
}

/// `ApiVersions` in version 0: the first thing any client asks, answered without authentication.
fn kafka_answers(port: u16) -> Result<bool> {
    const CORRELATION: [u8; 4] = [0, 0, 0, 7];
    let mut stream = connect(port)?;
    let header = [0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]; // api key 18, version 0, correlation 7, no client id
    stream.write_all(&[0, 0, 0, 10])?;
    stream.write_all(&header)?;
    let mut answer = [0; 10]; // length, correlation, error code
    stream.read_exact(&mut answer)?;
    Ok(answer.get(4..8) == Some(&CORRELATION) && answer.get(8..10) == Some(&[0, 0]))
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    Ok(stream)
}
