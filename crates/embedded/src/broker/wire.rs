//! What goes into the broker's state machine and what comes out of it.

use kafka_protocol::messages::{RequestKind, ResponseKind};

/// A connection, numbered by whoever owns the sockets.
pub type ConnectionId = u64;

/// Names a request until it is answered. Numbers of one connection grow; answers leave in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    /// The connection it came from.
    pub connection: ConnectionId,
    /// Its number in the connection.
    pub number: u64,
}

/// A decoded request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// Version of the API that the client speaks; the answer is encoded in the same.
    pub api_version: i16,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it comes from, for descriptions of groups: `/127.0.0.1`.
    pub client_host: String,
    /// The request.
    pub body: RequestKind,
}

/// An answer. A request that expects none (acks=0) is answered with no body, so that its place in the order is freed.
#[derive(Clone, Debug)]
pub struct Response {
    /// The request it answers.
    pub id: RequestId,
    /// The answer.
    pub body: Option<ResponseKind>,
}
