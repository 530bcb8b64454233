//! Tryton, with the hospital of `assets/tryton/hospital.json` in its database.

use crate::error::{Error, Result};
use crate::install::{Installation, Part};
use crate::kafka::chosen;
use crate::probe::Ready;
use crate::server::{Server, Spec};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The name of the database, the first segment of every path.
pub const ERP_DATABASE: &str = "hospital";

/// The REST key of the hospital's database. It is no secret: the database is invented and served on the loopback
/// interface only.
pub const ERP_KEY: &str = "wardline-development-key";

/// How Tryton is started.
#[derive(Clone, Debug)]
pub struct TrytonOptions {
    /// Where its database and log go; an existing database is kept.
    pub dir: PathBuf,
    /// The port clients connect to; a free one when absent.
    pub port: Option<u16>,
}

impl TrytonOptions {
    /// A Tryton that keeps its data in `dir`, on a free port.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None }
    }
}

/// The ERP. What it can do as a process is in [`Server`].
pub struct Tryton {
    server: Server,
    python: PathBuf,
    pristine: PathBuf,
    database: PathBuf,
}

impl Tryton {
    /// Starts Tryton on the database in the directory, made from the pristine one when it is not there, and waits until
    /// it serves.
    ///
    /// # Errors
    /// WL-7052 to WL-7055, WL-7058.
    pub fn start(installation: &Installation, options: TrytonOptions) -> Result<Self> {
        let venv = installation.dir(Part::Erp)?.join("venv/bin");
        let pristine = installation.database()?.to_owned();
        let dir = std::path::absolute(&options.dir).map_err(Error::files(&options.dir))?;
        std::fs::create_dir_all(&dir).map_err(Error::files(&dir))?;
        let port = chosen("tryton", options.port)?;
        let database = dir.join(format!("{ERP_DATABASE}.sqlite"));
        if !database.exists() {
            copy(&pristine, &database)?;
        }
        let config = dir.join("trytond.conf");
        std::fs::write(&config, config_text(&dir, port)).map_err(Error::files(&config))?;
        let logging = dir.join("logging.conf");
        std::fs::write(&logging, LOGGING).map_err(Error::files(&logging))?;
        let python = venv.join("python");
        let mut command = Command::new(&python);
        // The script's own first line names the directory it was installed in before it was moved.
        command.arg(venv.join("trytond")).arg("-c").arg(&config).args(["-d", ERP_DATABASE]);
        command.arg("--logconf").arg(&logging);
        let path = format!("/{ERP_DATABASE}/rest/model/company.company?s=1");
        let ready = Ready::Http { path, authorization: Some(format!("bearer {ERP_KEY}")) };
        let spec = Spec { name: "tryton".to_owned(), dir, port, command, ready };
        let mut tryton = Self { server: Server::launch(spec)?, python, pristine, database };
        tryton.server.wait_ready()?;
        Ok(tryton)
    }

    /// The address of the server, without the database.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Puts the hospital back to its beginning, within a second and also while Tryton serves: the pages of the pristine
    /// file are written in one transaction of the database.
    ///
    /// # Errors
    /// WL-7057 when the database is locked all the time or the file is broken.
    pub fn reset(&self) -> Result<()> {
        const SCRIPT: &str = "import sqlite3, sys\nsource, target = (sqlite3.connect(path, timeout=30) for path in sys.argv[1:])\n\
                              source.backup(target)";
        let mut command = Command::new(&self.python);
        command.args(["-c", SCRIPT]).arg(&self.pristine).arg(&self.database).stdin(Stdio::null());
        let output = command.output().map_err(Error::files(&self.python))?;
        if output.status.success() {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Answer { name: "tryton".to_owned(), asked: "a reset of the database".to_owned(), answer })
    }

    /// Leaves it running when this process ends.
    pub fn detach(self) {
        self.server.detach();
    }
}

impl Deref for Tryton {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Tryton {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

// Requests are not logged: their paths may name what was used and where.
const LOGGING: &str = "[loggers]\nkeys=root\n[handlers]\nkeys=console\n[formatters]\nkeys=plain\n\
    [logger_root]\nlevel=WARNING\nhandlers=console\n\
    [handler_console]\nclass=StreamHandler\nformatter=plain\nargs=(sys.stderr,)\n\
    [formatter_plain]\nformat=%(asctime)s %(levelname)s %(name)s %(message)s\n";

/// The configuration for a database in `dir`.
pub(crate) fn config_text(dir: &Path, port: u16) -> String {
    format!(
        "[web]\nlisten = 127.0.0.1:{port}\n[database]\nuri = sqlite://\npath = {}\nretry = 5\n\
         [session]\nauthentications = password\n[password]\nlength = 4\n",
        dir.display()
    )
}

/// Copies by way of another name, so that an interruption leaves no half database.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let half = to.with_extension("half");
    std::fs::copy(from, &half).map_err(Error::files(&half))?;
    std::fs::rename(&half, to).map_err(Error::files(to))
}
