//! A supplier's receiver of notices, for the demo and for tests: it checks the signature, takes each notice once and says
//! afterwards which ones it has.
//!
//! ```text
//! POST /notices          webhook-id, webhook-timestamp, webhook-signature, idempotency-key   ->  201, or 200 when known
//! GET  /notices/KEY      ->  200 with the notice, or 404 when it never came
//! ```
//! The signature follows the Standard Webhooks specification 1.0: `v1,` and the base64 of the HMAC-SHA-256 of
//! `id.timestamp.body` under the shared secret.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

/// The secret that the receiver shares with Wardline. Synthetic, like everything here.
pub const SECRET: &str = "synthetic-supplier-secret";
/// Most notices kept; older ones are forgotten.
const NOTICES_MAX: usize = 100_000;

/// A running receiver; stops when dropped.
#[derive(Debug)]
pub struct Supplier {
    address: SocketAddr,
    shared: Arc<Mutex<Ledger>>,
    task: tokio::task::JoinHandle<()>,
}

/// How the receiver misbehaves, for the next notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and does nothing.
    Status(u16),
    /// Takes the notice, and answers only after so long.
    LateAnswer(Duration),
}

/// One notice that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Idempotency key.
    pub key: String,
    /// Body.
    pub body: Value,
    /// How often it came.
    pub times: u32,
}

impl Supplier {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Listens on this address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_on(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Ledger::default()));
        let router = Router::new()
            .route("/notices", post(take))
            .route("/notices/{key}", get(look_up))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // The listener lives as long as the task; an error ends it and the tests see that nobody answers.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// Where notices go.
    pub fn url(&self) -> String {
        format!("http://{}/notices", self.address)
    }

    /// The notices that were taken, in the order in which they first came.
    pub fn notices(&self) -> Vec<Notice> {
        let ledger = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.order.iter().filter_map(|key| ledger.notices.get(key).cloned()).collect()
    }

    /// Requests whose signature was wrong.
    pub fn forged(&self) -> u32 {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).forged
    }

    /// Misbehaves on one of the next notices; several are used up in order.
    pub fn fail_next(&self, fault: Fault) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).faults.push_back(fault);
    }
}

impl Drop for Supplier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
struct Ledger {
    notices: BTreeMap<String, Notice>,
    order: VecDeque<String>,
    faults: VecDeque<Fault>,
    forged: u32,
}

type Shared = State<Arc<Mutex<Ledger>>>;

async fn take(State(shared): Shared, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = text("idempotency-key").to_owned();
    let genuine = genuine(text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"), &body);
    let (status, delay) = {
        let mut ledger = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !genuine || key.is_empty() {
            ledger.forged += 1;
            (StatusCode::UNAUTHORIZED, None)
        } else {
            match ledger.faults.pop_front() {
                Some(Fault::Status(status)) => (StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT), None),
                Some(Fault::LateAnswer(delay)) => (ledger.take(key, &body), Some(delay)),
                None => (ledger.take(key, &body), None),
            }
        }
    };
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    status
}

async fn look_up(State(shared): Shared, Path(key): Path<String>) -> Result<String, StatusCode> {
    let ledger = shared.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.notices.get(&key).map(|notice| notice.body.to_string()).ok_or(StatusCode::NOT_FOUND)
}

impl Ledger {
    fn take(&mut self, key: String, body: &[u8]) -> StatusCode {
        if let Some(known) = self.notices.get_mut(&key) {
            known.times += 1;
            return StatusCode::OK;
        }
        let Ok(body) = serde_json::from_slice(body) else { return StatusCode::BAD_REQUEST };
        if self.order.len() >= NOTICES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.notices.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.notices.insert(key.clone(), Notice { key, body, times: 1 });
        StatusCode::CREATED
    }
}

/// Whether one of the signatures is ours; several are separated by blanks while a secret is being changed.
fn genuine(id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else { return false };
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .any(|signature| STANDARD.decode(signature).is_ok_and(|bytes| mac.clone().verify_slice(&bytes).is_ok()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn sign(id: &str, timestamp: &str, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    async fn post_notice(supplier: &Supplier, key: &str, signature: String) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(supplier.url()).header("idempotency-key", key).header("webhook-id", key);
        let request = request.header("webhook-timestamp", "1").header("webhook-signature", signature).body("{}");
        request.send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn fx_1_a_notice_is_taken_once_and_found_again() {
        let supplier = Supplier::start().await.unwrap();
        assert_eq!(post_notice(&supplier, "k", sign("k", "1", "{}")).await, 201);
        assert_eq!(post_notice(&supplier, "k", sign("k", "1", "{}")).await, 200);
        assert_eq!(supplier.notices().len(), 1);
        assert_eq!(supplier.notices()[0].times, 2);
        let found = reqwest::get(format!("{}/k", supplier.url())).await.unwrap();
        assert_eq!(found.status().as_u16(), 200);
    }

    #[tokio::test]
    async fn a_forged_notice_is_refused() {
        let supplier = Supplier::start().await.unwrap();
        assert_eq!(post_notice(&supplier, "k", sign("k", "2", "{}")).await, 401);
        assert_eq!((supplier.notices().len(), supplier.forged()), (0, 1));
    }

    #[tokio::test]
    async fn a_fault_is_used_up_once() {
        let supplier = Supplier::start().await.unwrap();
        supplier.fail_next(Fault::Status(410));
        assert_eq!(post_notice(&supplier, "k", sign("k", "1", "{}")).await, 410);
        assert_eq!(post_notice(&supplier, "k", sign("k", "1", "{}")).await, 201);
    }
}
