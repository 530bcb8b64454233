//! A small FHIR R4 server in JSON: what a sender of resources and the FHIR connector need of one.
//!
//! Create, update, read, delete with versions; search by `_lastUpdated` and `_id`; histories; transactions and batches. It
//! does not check resources against profiles, nor that what is referred to exists. Numbers keep the text they were sent
//! with. It serves `/` and `/fhir`.
//!
//! All versions are kept, up to [`FhirStoreOptions::versions_max`]; then it takes no more and says so (507).

mod bundle;
mod desk;
mod journal;
mod outcome;
mod page;
mod store;
mod text;
mod time;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::loopback::{Answer, ListenError, Loopback, Request, Service};
use desk::{Desk, Planned, check_name};
use journal::Journal;
use outcome::{Refusal, json_answer};
use page::{Bundle, Place};
use store::{Bounds, Store, Version};
use time::instant;

pub use journal::JournalError;

/// Largest body of a request, bytes.
pub const BODY_BYTES_MAX: usize = 8 * 1_048_576;

/// Where else it is served, and where it says it is.
const PREFIX: &str = "fhir";

/// How a store is started.
#[derive(Clone, Debug)]
pub struct FhirStoreOptions {
    /// Where it listens: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folder in which it keeps its resources; in memory alone when absent.
    pub data: Option<PathBuf>,
    /// Most versions of all resources together.
    pub versions_max: usize,
    /// Most bytes of all versions together.
    pub bytes_max: usize,
}

impl Default for FhirStoreOptions {
    /// A free port of 127.0.0.1, in memory, 100 000 versions, 256 MiB.
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { listen, data: None, versions_max: 100_000, bytes_max: 256 * 1_048_576 }
    }
}

/// Why a store does not start.
#[derive(Debug, thiserror::Error)]
pub enum FhirStoreError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its data cannot be used.
    #[error("WL-7093: the data of the FHIR store cannot be used: {0}")]
    Data(#[from] JournalError),
}

/// A store that runs. It ends when this is dropped.
pub struct FhirStore {
    front: Loopback,
}

impl FhirStore {
    /// Reads its data and serves when this returns. Works with and without an async runtime around it.
    ///
    /// # Errors
    /// WL-7090, WL-7091 when it cannot listen; WL-7093 when the data cannot be read or another process uses it.
    pub fn start(options: &FhirStoreOptions) -> Result<Self, FhirStoreError> {
        let mut store = Store::default();
        let open = |folder: &PathBuf| {
            Journal::open(folder, |line| {
                let versions: Vec<Version> = serde_json::from_str(line).map_err(|error| error.to_string())?;
                versions.into_iter().for_each(|version| store.apply(version));
                Ok(())
            })
        };
        let journal = options.data.as_ref().map(open).transpose()?;
        let bounds = Bounds { versions_max: options.versions_max, bytes_max: options.bytes_max };
        let desk = Mutex::new(Desk::new(store, journal, bounds));
        Ok(Self { front: Loopback::start("fhir-store", options.listen, Arc::new(Front { desk }))? })
    }

    /// Base address: `http://127.0.0.1:PORT/fhir`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/{PREFIX}", self.front.address())
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Ends it: answers what is under way, waiting no more than a few seconds, and frees the port and the data.
    pub fn stop(mut self) {
        self.front.stop();
    }
}

struct Front {
    desk: Mutex<Desk>,
}

impl Service for Front {
    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX
    }

    fn answer(&self, request: &Request) -> Answer {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        route(&mut desk, request).unwrap_or_else(|refusal| refusal.answer())
    }

    fn refusal(&self, status: u16, message: &str) -> Answer {
        let issue = match status {
            413 => "too-long",
            408 => "timeout",
            500 => "exception",
            _ => "invalid",
        };
        Refusal::new(status, issue, message).answer()
    }
}

fn route(desk: &mut Desk, request: &Request) -> Result<Answer, Refusal> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let path = path.strip_prefix(&[PREFIX]).unwrap_or(&path);
    // A proxy in front is where the client wants to go on.
    let base = format!("http://{}/{PREFIX}", request.header("host").unwrap_or("localhost"));
    let base = base.as_str();
    let now_ms = desk.now_ms();
    let place = || Place { base, path: path.join("/"), now_ms };
    if let Some(kind) = path.first().filter(|first| !["metadata", "_history"].contains(first)) {
        check_name(kind)?;
    }
    match (request.method.as_str(), path) {
        ("GET", ["metadata"]) => Ok(json_answer(200, capabilities(now_ms).to_string())),
        ("POST", []) => Ok(json_answer(200, bundle::perform(desk, body(request)?)?.to_string())),
        ("GET", ["_history"]) => found(&page::history(&desk.store, (None, None), &request.query, &place())?),
        ("GET", [kind, "_history"]) => {
            found(&page::history(&desk.store, (Some(kind), None), &request.query, &place())?)
        }
        ("GET", [kind, id, "_history"]) => {
            read(desk, kind, id, true)?;
            found(&page::history(&desk.store, (Some(kind), Some(id)), &request.query, &place())?)
        }
        ("GET", [kind, id, "_history", number]) => {
            let version = number.parse().ok().and_then(|number| desk.store.version(kind, id, number));
            let version = version.ok_or_else(|| unknown(&format!("{kind}/{id}/_history/{number}")))?;
            if version.is_deletion() { Err(gone(version)) } else { Ok(resource(200, version, base)) }
        }
        ("GET", [kind]) => found(&page::search(&desk.store, kind, &request.query, &place())?),
        ("GET", [kind, id]) => Ok(resource(200, read(desk, kind, id, false)?, base)),
        ("POST", [kind]) => {
            if request.header("if-none-exist").is_some() {
                return Err(Refusal::unsupported("conditional requests are not served here"));
            }
            let id = uuid::Uuid::new_v4().to_string();
            let planned = desk.create(kind, &id, body(request)?, now_ms)?;
            stored(desk, planned, base)
        }
        ("PUT", [kind, id]) => {
            let planned = desk.update(kind, id, body(request)?, request.header("if-match"), now_ms)?;
            stored(desk, planned, base)
        }
        ("DELETE", [kind, id]) => {
            let planned = desk.delete(kind, id, request.header("if-match"), now_ms)?;
            stored(desk, planned, base)
        }
        (method, [] | [_] | [_, _]) => {
            Err(Refusal::new(405, "not-supported", format!("{method} is not served at this place")))
        }
        _ => Err(unknown(&path.join("/"))),
    }
}

fn body(request: &Request) -> Result<&str, Refusal> {
    // Some senders put a byte order mark first.
    let text = std::str::from_utf8(&request.body).map_err(|_| Refusal::invalid("the body is not UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The newest version of a resource; a deleted one only when `deleted` allows it.
fn read<'a>(desk: &'a Desk, kind: &str, id: &str, deleted: bool) -> Result<&'a Version, Refusal> {
    match desk.store.newest(kind, id) {
        None => Err(unknown(&format!("{kind}/{id}"))),
        Some(version) if version.is_deletion() && !deleted => Err(gone(version)),
        Some(version) => Ok(version),
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(404, "not-found", format!("{name} is not known"))
}

fn gone(version: &Version) -> Refusal {
    let what = format!("{} was deleted at {}", version.name(), instant(version.at_ms));
    Refusal::new(410, "deleted", what)
}

fn found(bundle: &Bundle) -> Result<Answer, Refusal> {
    let text = serde_json::to_string(bundle).map_err(|error| Refusal::new(500, "exception", error.to_string()))?;
    Ok(json_answer(200, text))
}

fn resource(status: u16, version: &Version, base: &str) -> Answer {
    let mut answer = json_answer(status, version.text.clone());
    answer.headers.push(("etag", format!("W/\"{}\"", version.number)));
    if status == 201 {
        answer.headers.push(("location", format!("{base}/{}/_history/{}", version.name(), version.number)));
    }
    answer
}

fn stored(desk: &mut Desk, planned: Planned, base: &str) -> Result<Answer, Refusal> {
    let planned = [planned];
    desk.commit(&planned)?;
    let [Planned { status, version, .. }] = planned;
    Ok(match version {
        Some(version) => resource(status, &version, base),
        None => json_answer(status, String::new()),
    })
}

fn capabilities(now_ms: i64) -> Value {
    let codes = |codes: &[&str]| codes.iter().map(|code| json!({"code": code})).collect::<Vec<_>>();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(now_ms),
        "kind": "instance",
        "software": {"name": "Wardline FHIR store", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "For development, demos and tests; this machine only"},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "documentation": "Every type: create, read, vread, update, delete, history-instance, history-type, search-type \
                              by _lastUpdated and _id, sorted by _lastUpdated.",
            "interaction": codes(&["transaction", "batch", "history-system"]),
        }],
    })
}

#[cfg(test)]
mod tests;
