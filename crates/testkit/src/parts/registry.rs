//! The schema registry.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use components::{Part, RegistryOptions};
use embedded::registry::MemoryLog;

/// Names the folder of the real registry that all tests of a run share: there are its address in the file `url`, and what is ours.
const SHARED: &str = "WARDLINE_TEST_REGISTRY";

/// A Confluent-compatible schema registry whose global compatibility is BACKWARD.
pub struct Registry(System);

enum System {
    Embedded(embedded::registry::Registry),
    Real(Box<components::Registry>),
    Shared { url: String, dir: PathBuf },
}

/// Held by whoever fills the shared registry, while the others wait.
pub struct Filling {
    filled: PathBuf,
    _lock: File,
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

    /// The one that all tests of this run share, where there is such a one; else as [`Self::start`]. For who registers the schemas of this
    /// repository and nothing else, and does not break it: a real one takes longer to start and to fill than most tests take.
    #[must_use]
    pub fn of_this_run(dir: &Path) -> Self {
        match std::env::var_os(SHARED) {
            Some(shared) if super::real() => {
                let dir = PathBuf::from(shared);
                let url = std::fs::read_to_string(dir.join("url"))
                    .expect("WARDLINE_TEST_REGISTRY is a folder with a file url");
                Self(System::Shared { url, dir })
            }
            _ => Self::start(dir),
        }
    }

    /// To be held while the schemas are registered; none once they are in the shared registry. Several who register the same subject at the
    /// same moment would refuse each other. Waits for whoever fills it now.
    #[must_use]
    pub fn filling(&self) -> Option<Filling> {
        let System::Shared { dir, .. } = &self.0 else { return None };
        let filled = dir.join("filled");
        let lock = File::create(dir.join("lock")).unwrap();
        lock.lock().unwrap();
        (!filled.exists()).then_some(Filling { filled, _lock: lock })
    }

    /// The base of the Confluent API.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.0 {
            System::Embedded(registry) => registry.url(),
            System::Real(registry) => registry.url(),
            System::Shared { url, .. } => url.clone(),
        }
    }
}

impl Filling {
    /// All schemas are registered.
    pub fn done(self) {
        File::create(&self.filled).unwrap();
    }
}
