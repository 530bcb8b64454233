//! The FHIR server.

use std::path::Path;

use components::{HapiOptions, Part};
use embedded::fhir_store::{FhirStore, FhirStoreOptions};

/// A FHIR R4 server with nothing in it.
pub struct Fhir(System);

enum System {
    Embedded(FhirStore),
    Real(Box<components::Hapi>),
}

impl Fhir {
    /// Starts a server, and waits until it serves. A real one keeps its data in `dir`, an embedded one in memory.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        if super::real() {
            let server = components::Hapi::start(&super::installed(Part::Fhir), HapiOptions::in_dir(dir)).unwrap();
            return Self(System::Real(Box::new(server)));
        }
        let options = FhirStoreOptions { listen: super::LOOPBACK, ..FhirStoreOptions::default() };
        Self(System::Embedded(FhirStore::start(&options).unwrap()))
    }

    /// The base address of the FHIR API.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.0 {
            System::Embedded(server) => server.url(),
            System::Real(server) => server.url(),
        }
    }
}
