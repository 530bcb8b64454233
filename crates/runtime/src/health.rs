//! `/live`, `/ready` and `/metrics`.

use crate::metrics;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Where a room stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomState {
    /// Connecting, filling its tables, waiting for partitions.
    Starting,
    /// Does its work.
    Ready,
    /// Finishes what is in flight; takes nothing new.
    Draining,
    /// Cannot go on, in one sentence without patient data.
    Failed(String),
}

/// Knows where each room of this process stands. Clones share the same knowledge.
#[derive(Clone, Debug, Default)]
pub struct Health {
    rooms: Arc<Mutex<BTreeMap<String, RoomState>>>,
    /// No room will come: the process is there for what runs beside them.
    no_room: Arc<AtomicBool>,
    changed: Arc<watch::Sender<u64>>,
}

/// The handle by which one room tells where it stands.
#[derive(Clone, Debug)]
pub struct RoomHealth {
    health: Health,
    room: String,
}

/// The running endpoint; stops when dropped.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Health {
    /// Nothing is known yet: not ready until the first room is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a room, starting.
    pub fn room(&self, room: &str) -> RoomHealth {
        let handle = RoomHealth { health: self.clone(), room: room.to_owned() };
        handle.set(RoomState::Starting);
        handle
    }

    /// No room will come, so none is waited for.
    pub fn without_rooms(&self) {
        self.no_room.store(true, Ordering::Release);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Where each room stands, by name.
    pub fn states(&self) -> BTreeMap<String, RoomState> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether all rooms are ready.
    pub fn is_ready(&self) -> bool {
        let states = self.states();
        let any = !states.is_empty() || self.no_room.load(Ordering::Acquire);
        any && states.values().all(|state| *state == RoomState::Ready)
    }

    /// Whether no room has failed for good; when one has, the process should be started anew.
    pub fn is_live(&self) -> bool {
        !self.states().values().any(|state| matches!(state, RoomState::Failed(_)))
    }

    /// Waits until all rooms are ready.
    ///
    /// # Errors
    /// With name and reason, when a room fails first.
    pub async fn wait_ready(&self) -> Result<(), String> {
        let mut changes = self.changed.subscribe();
        loop {
            let states = self.states();
            let failed = states.iter().find_map(|(room, state)| match state {
                RoomState::Failed(reason) => Some(format!("{room}: {reason}")),
                _ => None,
            });
            if let Some(failed) = failed {
                return Err(failed);
            }
            if self.is_ready() {
                return Ok(());
            }
            if changes.changed().await.is_err() {
                return Err("health is gone".to_owned());
            }
        }
    }

    /// The body of `/ready`: each room with its state.
    pub fn to_json(&self) -> Value {
        let rooms: BTreeMap<String, Value> = self
            .states()
            .into_iter()
            .map(|(room, state)| {
                let value = match &state {
                    RoomState::Failed(reason) => json!({"state": state.name(), "reason": reason}),
                    _ => json!({"state": state.name()}),
                };
                (room, value)
            })
            .collect();
        json!({"ready": self.is_ready(), "rooms": rooms})
    }

    /// Serves `/live`, `/ready` and `/metrics` on `listen`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve(&self, listen: &str) -> std::io::Result<HealthServer> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics_page))
            .with_state(self.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "health endpoint stopped");
            }
        });
        tracing::info!(%address, "health and metrics endpoint");
        Ok(HealthServer { address, task })
    }
}

impl RoomHealth {
    /// Tells where the room stands now.
    pub fn set(&self, state: RoomState) {
        let mut rooms = self.health.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let before = rooms.insert(self.room.clone(), state.clone());
        drop(rooms);
        if before.as_ref() != Some(&state) {
            tracing::info!(room = self.room, state = state.name(), "room state");
            self.health.changed.send_modify(|version| *version += 1);
        }
    }

    /// The room does its work.
    pub fn ready(&self) {
        self.set(RoomState::Ready);
    }

    /// The room finishes what is in flight.
    pub fn draining(&self) {
        self.set(RoomState::Draining);
    }

    /// The room cannot go on.
    pub fn failed(&self, reason: impl Into<String>) {
        self.set(RoomState::Failed(reason.into()));
    }
}

impl RoomState {
    /// Name in the JSON body.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Failed(_) => "failed",
        }
    }
}

impl HealthServer {
    /// The address it really listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn live(Shared(health): Shared<Health>) -> Response {
    answer(health.is_live(), &health)
}

async fn ready(Shared(health): Shared<Health>) -> Response {
    answer(health.is_ready(), &health)
}

async fn metrics_page() -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::encode()).into_response()
}

fn answer(well: bool, health: &Health) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health.to_json())).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get_page(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    }

    #[tokio::test]
    async fn ready_only_when_all_rooms_are() {
        let health = Health::new();
        let server = health.serve("127.0.0.1:0").await.unwrap();
        let (one, two) = (health.room("one"), health.room("two"));
        one.ready();
        let page = get_page(server.address(), "/ready").await;
        assert!(page.starts_with("HTTP/1.1 503"), "{page}");
        assert!(page.contains(r#""two":{"state":"starting"}"#), "{page}");
        two.ready();
        health.wait_ready().await.unwrap();
        assert!(get_page(server.address(), "/ready").await.starts_with("HTTP/1.1 200"));
        assert!(get_page(server.address(), "/metrics").await.contains("# EOF"));
    }

    #[tokio::test]
    async fn a_process_without_rooms_is_ready_when_it_says_so() {
        let health = Health::new();
        assert!(!health.is_ready(), "rooms may come yet");
        health.without_rooms();
        health.wait_ready().await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_room_ends_the_process_life_with_its_reason() {
        let health = Health::new();
        let room = health.room("one");
        assert!(health.is_live());
        room.failed("no broker");
        assert!(!health.is_live());
        assert_eq!(health.wait_ready().await.unwrap_err(), "one: no broker");
    }
}
