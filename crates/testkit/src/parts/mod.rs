//! The parts around Wardline that a test runs on: Kafka, a schema registry, an ERP, a FHIR server.
//!
//! Each is the embedded one, which needs nothing but this process, or with `WARDLINE_TEST_PARTS=real` the real system: the
//! same test runs on both. A part is started, broken and started again on the same data by blocking calls, from any thread
//! that may wait.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of tests: a part that does not start fails the test"
)]

mod erp;
mod fhir;
mod kafka;
mod registry;

pub use erp::Erp;
pub use fhir::Fhir;
pub use kafka::{Kafka, SESSION_TIMEOUT_MS, options as broker_options};
pub use registry::{Filling, Registry};

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use components::{Installation, Part, Progress};

/// The variable that chooses: `embedded`, which it is when it is not set, or `real`.
const VARIABLE: &str = "WARDLINE_TEST_PARTS";

/// Any free port of the loopback.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Whether tests run on real systems.
///
/// # Panics
/// When the variable says something else.
#[must_use]
pub fn real() -> bool {
    match std::env::var(VARIABLE).as_deref() {
        Err(std::env::VarError::NotPresent) | Ok("" | "embedded") => false,
        Ok("real") => true,
        other => panic!("{VARIABLE} is {other:?}: say embedded or real"),
    }
}

/// A port of 127.0.0.1 that nobody listens on.
#[must_use]
pub fn free_port() -> u16 {
    components::free_port().unwrap()
}

/// The installed component, fetched when it is missing. Looked for once in a process: it starts a `java` to ask for its version.
fn installed(part: Part) -> Installation {
    static FOUND: Mutex<Vec<(Part, Installation)>> = Mutex::new(Vec::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, installation)) = found.iter().find(|(known, _)| *known == part) {
        return installation.clone();
    }
    let installation = Installation::ensure(&[part], &Progress::stderr()).unwrap();
    found.push((part, installation.clone()));
    installation
}
