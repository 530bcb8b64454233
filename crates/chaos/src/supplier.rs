//! The suppliers' receiver: takes each notice once by its key, answers look-ups, and remembers in which order they came.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The secret that the receiver shares with the sender. Synthetic.
pub const SECRET: &str = "synthetic-supplier-secret";

/// A notice that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Idempotency key.
    pub key: String,
    /// Body.
    pub body: Value,
}

/// The receiver. It ends with the async runtime it was started on.
#[derive(Clone, Debug)]
pub struct Supplier {
    /// Where it listens.
    pub address: SocketAddr,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Debug, Default)]
struct Ledger {
    taken: Vec<Taken>,
    place: HashMap<String, usize>,
}

type Shared = State<Arc<Mutex<Ledger>>>;

impl Supplier {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let router = Router::new()
            .route("/notices", post(take))
            .route("/notices/{key}", get(look_up))
            .with_state(Arc::clone(&ledger));
        tokio::spawn(async move {
            // When it ends, nobody answers and the checker sees that notices are missing.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, ledger })
    }

    /// The notices, in the order in which they first came.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).taken.clone()
    }
}

async fn take(State(ledger): Shared, headers: HeaderMap, body: Bytes) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let Ok(body) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    if key.is_empty() {
        return StatusCode::BAD_REQUEST;
    }
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    if ledger.place.contains_key(&key) {
        return StatusCode::OK;
    }
    let place = ledger.taken.len();
    ledger.place.insert(key.clone(), place);
    ledger.taken.push(Taken { key, body });
    StatusCode::CREATED
}

async fn look_up(State(ledger): Shared, Path(key): Path<String>) -> Result<String, StatusCode> {
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = ledger.place.get(&key).and_then(|place| ledger.taken.get(*place));
    taken.map(|taken| taken.body.to_string()).ok_or(StatusCode::NOT_FOUND)
}
