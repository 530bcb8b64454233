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
pub use registry::Registry;

use std::net::SocketAddr;

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

/// The installed component, fetched when it is missing.
fn installed(part: Part) -> Installation {
    Installation::ensure(&[part], &Progress::stderr()).unwrap()
}
