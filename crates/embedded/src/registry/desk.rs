//! The registry without a socket.

use std::sync::{Arc, Mutex};

use super::log::SchemaLog;
use super::{Book, Front, RegistryError};
use crate::loopback::{Request, Service};

/// A registry that is asked in process: the same answers to the same requests, for tests and for the fuzzer.
pub struct Desk {
    front: Front,
}

impl Desk {
    /// Rebuilds the state from the log.
    ///
    /// # Errors
    /// WL-7092 when the log cannot be read or holds what is not understood.
    pub fn open(log: Arc<dyn SchemaLog>) -> Result<Self, RegistryError> {
        let book = Book::open(log).map_err(RegistryError::Log)?;
        Ok(Self { front: Front { book: Mutex::new(book) } })
    }

    /// HTTP status and body of the answer. `path` is written without `/` before it, and decoded.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let request = Request {
            method: method.to_owned(),
            path: path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            body: body.to_vec(),
            ..Request::default()
        };
        let answer = self.front.answer(&request);
        (answer.status, answer.body)
    }
}
