//! HAPI FHIR, the server that clinical systems' resources are read from.

use crate::error::{Error, Result};
use crate::install::{Installation, Part};
use crate::kafka::chosen;
use crate::probe::Ready;
use crate::server::{Server, Spec};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

/// The version of FHIR a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FhirVersion {
    /// FHIR 4.0.1.
    #[default]
    R4,
    /// FHIR 5.0.0.
    R5,
}

/// How the server is started.
#[derive(Clone, Debug)]
pub struct HapiOptions {
    /// Where its database and log go; kept from one start to the next.
    pub dir: PathBuf,
    /// The port clients connect to; a free one when absent.
    pub port: Option<u16>,
    /// The heap in MiB.
    pub heap_mb: u32,
    /// What it speaks; one directory holds one version.
    pub version: FhirVersion,
}

impl HapiOptions {
    /// An R4 server that keeps its data in `dir`, on a free port.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None, heap_mb: 1024, version: FhirVersion::R4 }
    }
}

/// The FHIR server. What it can do as a process is in [`Server`].
pub struct Hapi {
    server: Server,
}

impl Hapi {
    /// Starts the server and waits until it serves, 15 to 60 seconds.
    ///
    /// # Errors
    /// WL-7052 to WL-7055, WL-7058.
    pub fn start(installation: &Installation, options: HapiOptions) -> Result<Self> {
        let installed = installation.dir(Part::Fhir)?;
        let dir = std::path::absolute(&options.dir).map_err(Error::files(&options.dir))?;
        let port = chosen("hapi", options.port)?;
        let version = match options.version {
            FhirVersion::R4 => "r4",
            FhirVersion::R5 => "r5",
        };
        let mut command = installation.java(&dir, options.heap_mb)?;
        command.arg("-XX:TieredStopAtLevel=1").arg("-cp");
        command.arg(format!("{0}/classes:{0}/lib/*", installed.display()));
        command.args(["wardline.hapi.Main", version, &port.to_string()]).arg(dir.join("fhir"));
        let ready = Ready::Http { path: "/fhir/metadata".to_owned(), authorization: None };
        let spec = Spec { name: "hapi".to_owned(), dir, port, command, ready };
        let mut hapi = Self { server: Server::launch(spec)? };
        hapi.server.wait_ready()?;
        Ok(hapi)
    }

    /// The base address of the FHIR API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/fhir", self.port())
    }

    /// Leaves it running when this process ends.
    pub fn detach(self) {
        self.server.detach();
    }
}

impl Deref for Hapi {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Hapi {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
