//! Apicurio Registry, used through its Confluent-compatible API.

use crate::error::{Error, Result};
use crate::install::{Installation, Part};
use crate::kafka::chosen;
use crate::probe::{Ready, Request, http};
use crate::server::{Server, Spec};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

const API: &str = "/apis/ccompat/v7";

/// How the registry is started.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Where its database and log go; kept from one start to the next.
    pub dir: PathBuf,
    /// The port clients connect to; a free one when absent.
    pub port: Option<u16>,
    /// The heap in MiB.
    pub heap_mb: u32,
}

impl RegistryOptions {
    /// A registry that keeps its data in `dir`, on a free port.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None, heap_mb: 256 }
    }
}

/// The registry. What it can do as a process is in [`Server`].
pub struct Registry {
    server: Server,
}

impl Registry {
    /// Starts the registry, waits until it serves, and sets the global compatibility to BACKWARD: left alone it accepts
    /// every change of a schema.
    ///
    /// # Errors
    /// WL-7052 to WL-7055, WL-7057 when the level cannot be set, WL-7058.
    pub fn start(installation: &Installation, options: RegistryOptions) -> Result<Self> {
        let installed = installation.dir(Part::Registry)?;
        let dir = std::path::absolute(&options.dir).map_err(Error::files(&options.dir))?;
        let port = chosen("registry", options.port)?;
        let management = chosen("registry", None)?;
        let mut command = installation.java(&dir, options.heap_mb)?;
        command.args([
            "-XX:TieredStopAtLevel=1",
            "-Dquarkus.http.host=127.0.0.1",
            "-Dquarkus.management.host=127.0.0.1",
        ]);
        command.arg(format!("-Dquarkus.http.port={port}")).arg(format!("-Dquarkus.management.port={management}"));
        // On disk at once, so that the ids in the topics stay good when it is killed.
        let database = dir.join("registry");
        command.arg(format!("-Dapicurio.datasource.url=jdbc:h2:file:{};WRITE_DELAY=0", database.display()));
        command.args([
            "-Dapicurio.datasource.jdbc.initial-size=2",
            "-Dapicurio.datasource.jdbc.min-size=2",
            "-Dapicurio.datasource.jdbc.max-size=10",
            "-Dapicurio.rest.deletion.artifact.enabled=true",
            "-Dapicurio.rest.deletion.artifact-version.enabled=true",
            "-Dquarkus.http.access-log.enabled=false",
        ]);
        command
            .arg("-jar")
            .arg(installed.join(format!("apicurio-registry-app-{}-runner.jar", crate::install::REGISTRY_VERSION)));
        let ready = Ready::Http { path: format!("{API}/subjects"), authorization: None };
        let spec = Spec { name: "registry".to_owned(), dir, port, command, ready };
        let mut registry = Self { server: Server::launch(spec)? };
        registry.server.wait_ready()?;
        registry.set_compatibility("BACKWARD")?;
        Ok(registry)
    }

    /// The base of the Confluent-compatible API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port())
    }

    /// Leaves it running when this process ends.
    pub fn detach(self) {
        self.server.detach();
    }

    fn set_compatibility(&self, level: &str) -> Result<()> {
        let body = format!("{{\"compatibility\":\"{level}\"}}");
        let path = format!("{API}/config");
        let request = Request { method: "PUT", path: &path, authorization: None, body: &body };
        let answer = http(self.port(), &request).map_err(Error::files(&self.log()))?;
        if answer.status == 200 && answer.body.contains(level) {
            return Ok(());
        }
        let Self { server } = self;
        let answer = format!("{} {}", answer.status, answer.body);
        Err(Error::Answer {
            name: "registry".to_owned(),
            asked: format!("PUT {path} at port {}", server.port()),
            answer,
        })
    }
}

impl Deref for Registry {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Registry {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
