//! The embedded broker in a process of its own, so that it can be killed, and measured apart from its clients.

use crate::conformance::Target;
use anyhow::{Context, Result};
use embedded::broker::server::{Broker, BrokerOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// The first argument that makes a program a broker: address and folder follow.
const SERVE: &str = "--serve-broker";
/// Looks after its logs often enough for a test to see it, milliseconds.
const CHECK_INTERVAL_MS: i64 = 200;

/// The broker's process. It ends with its input, so also with the process that started it.
pub struct Served {
    dir: TempDir,
    running: Mutex<(Child, SocketAddr)>,
}

impl Served {
    /// Starts this very program once more as a broker on a free port, with a folder of its own. Its `main` must begin with
    /// [`served_instead`].
    ///
    /// # Errors
    /// When the process does not start or does not say where it listens.
    pub fn start() -> Result<Self> {
        let dir = TempDir::new()?;
        let running = spawn(dir.path(), SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { dir, running: Mutex::new(running) })
    }
}

impl Target for Served {
    fn bootstrap(&self) -> String {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).1.to_string()
    }

    fn kill_and_restart(&self) -> Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.0.kill()?;
        running.0.wait()?;
        *running = spawn(self.dir.path(), running.1)?;
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        let _ended = running.0.kill();
        let _ended = running.0.wait();
    }
}

/// Whether this process was started as a broker. Then it has served, and its `main` has nothing left to do.
///
/// # Errors
/// When the broker cannot serve.
pub fn served_instead() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, first, address, dir] = &arguments[..] else {
        return Ok(false);
    };
    if first != SERVE {
        return Ok(false);
    }
    let mut options =
        BrokerOptions { listen: address.parse()?, data: Some(PathBuf::from(dir)), ..BrokerOptions::default() };
    options.core.retention_check_interval_ms = CHECK_INTERVAL_MS;
    let broker = Broker::start(options)?;
    writeln!(std::io::stdout(), "{}", broker.address())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    broker.stop();
    Ok(true)
}

/// Starts the broker's process and waits until it says where it listens.
fn spawn(dir: &Path, address: SocketAddr) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([SERVE, &address.to_string()]).arg(dir.join("broker"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    let address = line.trim().parse().with_context(|| format!("the broker says {line:?} instead of its address"))?;
    Ok((child, address))
}
