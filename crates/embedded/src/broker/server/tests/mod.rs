//! The broker over TCP: a small client that can also send what no client should.

mod hostile;
mod local;
mod protocol;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, RequestKind, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::*;

/// How long anything may take in a test.
const PATIENCE: Duration = Duration::from_secs(20);

fn broker() -> Broker {
    Broker::start(BrokerOptions::default()).unwrap()
}

/// A request with its header and length.
fn frame(api: ApiKey, version: i16, correlation_id: i32, body: &RequestKind) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    header.encode(&mut bytes, api.request_header_version(version)).unwrap();
    body.encode(&mut bytes, version).unwrap();
    let len = i32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes.freeze()
}

struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation_id: 0 }
    }

    fn send(&mut self, api: ApiKey, version: i16, body: impl Into<RequestKind>) {
        self.correlation_id += 1;
        let frame = frame(api, version, self.correlation_id, &body.into());
        self.stream.write_all(&frame).unwrap();
    }

    /// The next answer: its correlation id and body.
    fn receive<T: Decodable>(&mut self, api: ApiKey, version: i16) -> (i32, T) {
        let mut bytes = self.receive_frame().expect("an answer");
        let header = ResponseHeader::decode(&mut bytes, api.response_header_version(version)).unwrap();
        let body = T::decode(&mut bytes, version).unwrap();
        assert!(!bytes.has_remaining());
        (header.correlation_id, body)
    }

    /// The next frame; none when the broker closed the connection.
    fn receive_frame(&mut self) -> Option<Bytes> {
        let mut len = [0; 4];
        if self.stream.read_exact(&mut len).is_err() {
            return None;
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(len)).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        Some(Bytes::from(frame))
    }

    fn ask<T: Decodable>(&mut self, api: ApiKey, version: i16, body: impl Into<RequestKind>) -> T {
        self.send(api, version, body);
        let (correlation_id, body) = self.receive(api, version);
        assert_eq!(correlation_id, self.correlation_id);
        body
    }

    /// Waits until the broker closes the connection.
    fn assert_closed(mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
}
