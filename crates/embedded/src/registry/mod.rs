//! A schema registry with the part of Confluent's REST interface that clients use, for Avro.
//!
//! Its state is a log ([`SchemaLog`]), in the records that Confluent keeps in the topic `_schemas`, and is rebuilt from it
//! at the start. It serves `/` and `/apis/ccompat/v7`, so that an address made for another registry fits this one.

mod answers;
mod desk;
mod ids;
mod level;
mod log;
mod resolution;
mod rules;
mod schema;
mod state;
mod subjects;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

use crate::loopback::{Answer, ListenError, Loopback, Request, Service};
use answers::{Refusal, Reply, answer};
use log::Key;
use state::State;

pub use desk::Desk;
pub use log::{LogError, LogRecord, MemoryLog, SchemaLog};

/// Most versions of all subjects together.
pub const VERSIONS_MAX: usize = 20_000;
/// Largest body of a request, bytes.
pub const BODY_BYTES_MAX: usize = 1_048_576;

/// Where else the interface is served.
const PREFIX: [&str; 3] = ["apis", "ccompat", "v7"];

/// How a registry is started.
pub struct RegistryOptions {
    /// Where it listens: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where it keeps what it knows. Nothing else may write there.
    pub log: Arc<dyn SchemaLog>,
}

/// Why a registry does not start.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// What it knew cannot be read.
    #[error("WL-7092: the log of the schema registry cannot be used: {0}")]
    Log(String),
}

/// A registry that runs. It ends when this is dropped.
pub struct Registry {
    front: Loopback,
}

impl Registry {
    /// Rebuilds the state from the log, and serves when this returns. Works with and without an async runtime around it;
    /// reading the log may block.
    ///
    /// # Errors
    /// WL-7090, WL-7091 when it cannot listen; WL-7092 when the log cannot be read or holds what is not understood.
    pub fn start(options: RegistryOptions) -> Result<Self, RegistryError> {
        let book = Book::open(options.log).map_err(RegistryError::Log)?;
        let front = Loopback::start("registry", options.listen, Arc::new(Front { book: Mutex::new(book) }))?;
        Ok(Self { front })
    }

    /// Base address: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.front.address())
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Ends it: answers what is under way, waiting no more than a few seconds, and frees the port.
    pub fn stop(mut self) {
        self.front.stop();
    }
}

/// The state with its log: what is written goes to the log first.
struct Book {
    state: State,
    log: Arc<dyn SchemaLog>,
    /// A record failed: it may be in the log all the same.
    in_doubt: bool,
}

impl Book {
    fn open(log: Arc<dyn SchemaLog>) -> Result<Self, String> {
        let state = Self::read(log.as_ref())?;
        Ok(Self { state, log, in_doubt: false })
    }

    fn read(log: &dyn SchemaLog) -> Result<State, String> {
        let mut state = State::default();
        for (key, value) in log.read_all().map_err(|error| error.to_string())? {
            state.apply(&key, value.as_deref())?;
        }
        Ok(state)
    }

    /// After a failed record the log says what has happened, or nothing is answered: an id that was given in the log must
    /// not be given again.
    fn settle(&mut self) -> Result<(), Refusal> {
        if self.in_doubt {
            self.state = Self::read(self.log.as_ref()).map_err(|reason| failed(&reason))?;
            self.in_doubt = false;
        }
        Ok(())
    }

    /// Writes a record and takes it in. When it cannot be written, nothing has changed.
    fn write(&mut self, key: &Key, value: Option<&impl Serialize>) -> Result<(), Refusal> {
        let key = serde_json::to_vec(key).map_err(|error| failed(&error))?;
        let value = value.map(serde_json::to_vec).transpose().map_err(|error| failed(&error))?;
        self.log.append(&key, value.as_deref()).map_err(|error| {
            self.in_doubt = true;
            tracing::error!(%error, "the log of the schema registry took no record");
            failed(&error)
        })?;
        self.state.apply(&key, value.as_deref()).map_err(|reason| failed(&reason))
    }

    /// Writes that what a key stands for is gone.
    fn erase(&mut self, key: &Key) -> Result<(), Refusal> {
        self.write(key, None::<&()>)
    }

    fn route(&mut self, request: &Request) -> Reply {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let path = path.strip_prefix(&PREFIX).unwrap_or(&path);
        let method = request.method.as_str();
        // What is known stays true while the log cannot be asked.
        if method != "GET" {
            self.settle()?;
        }
        match path {
            [] => Ok(json!({})),
            ["subjects", rest @ ..] => subjects::route(self, method, rest, request),
            ["schemas", rest @ ..] => ids::route(self, method, rest, request),
            ["compatibility", rest @ ..] => subjects::compatibility(self, method, rest, request),
            ["config", rest @ ..] => rules::route(self, method, rest, request),
            ["mode", rest @ ..] => rules::mode(method, rest, request),
            ["contexts"] => Ok(json!(["."])),
            _ => Err(Refusal::new(404, "HTTP 404 Not Found")),
        }
    }
}

fn failed(reason: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(50001, format!("Error in the backend data store: {reason}"))
}

struct Front {
    book: Mutex<Book>,
}

impl Service for Front {
    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX
    }

    fn answer(&self, request: &Request) -> Answer {
        answer(self.book.lock().unwrap_or_else(PoisonError::into_inner).route(request))
    }

    fn refusal(&self, status: u16, message: &str) -> Answer {
        answer(Err(Refusal::new(status.into(), message)))
    }
}

#[cfg(test)]
mod tests;
