//! The checks of every broker on the embedded one, which runs in a process of its own so that it can be killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "test")]

mod checks;

use anyhow::{Context, Result};
use embedded::broker::server::{Broker, BrokerOptions};
use libtest_mimic::Arguments;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;
use wardline_testkit::conformance::Target;

/// The first argument that makes this program a broker: address and folder follow.
const SERVE: &str = "--serve";
/// Looks after its logs often enough for a test to see it.
const CHECK_INTERVAL_MS: i64 = 200;

/// The broker's process. It ends with its input, so also with the process that started it.
struct Served {
    dir: TempDir,
    running: Mutex<(Child, SocketAddr)>,
}

impl Served {
    fn start() -> Result<Self> {
        let dir = TempDir::new()?;
        let running = spawn(&dir, SocketAddr::from(([127, 0, 0, 1], 0)))?;
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
        *running = spawn(&self.dir, running.1)?;
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

/// Starts the broker's process and waits until it says where it listens.
fn spawn(dir: &TempDir, address: SocketAddr) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([SERVE, &address.to_string()]).arg(dir.path().join("broker"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    let address = line.trim().parse().with_context(|| format!("the broker says {line:?} instead of its address"))?;
    Ok((child, address))
}

/// The broker itself, until its input ends.
fn serve(address: &str, dir: PathBuf) {
    let mut options = BrokerOptions { listen: address.parse().unwrap(), data: Some(dir), ..BrokerOptions::default() };
    options.core.retention_check_interval_ms = CHECK_INTERVAL_MS;
    let broker = Broker::start(options).unwrap();
    println!("{}", broker.address());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    broker.stop();
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, first, address, dir] = &arguments[..]
        && first == SERVE
    {
        serve(address, PathBuf::from(dir));
        return ExitCode::SUCCESS;
    }
    checks::run(Arguments::from_args(), Served::start().unwrap()).exit_code()
}
