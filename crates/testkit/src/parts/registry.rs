//! The schema registry.

use std::path::Path;
use std::sync::Arc;

use components::{Part, RegistryOptions};
use embedded::registry::MemoryLog;

/// A Confluent-compatible schema registry whose global compatibility is BACKWARD.
pub struct Registry(System);

enum System {
    Embedded(embedded::registry::Registry),
    Real(Box<components::Registry>),
}

impl Registry {
    /// Starts a registry, and waits until it serves. A real one keeps its data in `dir`, an embedded one in memory.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        if super::real() {
            let installation = super::installed(Part::Registry);
            let server = components::Registry::start(&installation, RegistryOptions::in_dir(dir)).unwrap();
            return Self(System::Real(Box::new(server)));
        }
        let options =
            embedded::registry::RegistryOptions { listen: super::LOOPBACK, log: Arc::new(MemoryLog::default()) };
        Self(System::Embedded(embedded::registry::Registry::start(options).unwrap()))
    }

    /// The base of the Confluent API.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.0 {
            System::Embedded(registry) => registry.url(),
            System::Real(registry) => registry.url(),
        }
    }
}
