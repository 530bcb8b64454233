//! Another process of this program, as whoever types its command has it: started, waited for, looked at.

use super::usage::{Usage, usage_of};
use crate::Failure;
use runtime::clock::{Tick, tick};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Longest wait until a process is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
/// Between two looks at whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Refuses a folder that is there already: what is measured starts with nothing.
pub fn must_be_new(data: &Path) -> Result<(), Failure> {
    if data.exists() {
        return Err(Failure::usage(
            format!("WL-7062: {} is there already", data.display()),
            "remove it, or name a new folder with --data",
        ));
    }
    Ok(())
}

/// This program, silent, and killed when it is let go.
pub fn own() -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// Waits until the health endpoint at `address` says that all is ready; how long that took since `started`.
pub async fn wait_ready(address: &str, started: Tick) -> Result<Duration, Failure> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().map_err(failed)?;
    let url = format!("http://{address}/ready");
    while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
        if tick().since(started) > READY_TIMEOUT {
            return Err(failed(format!("not ready after {} s", READY_TIMEOUT.as_secs())));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(tick().since(started))
}

/// What a process has taken so far.
pub fn usage(process: &Child) -> Usage {
    process.id().map_or_else(|| usage_of(0), usage_of)
}

/// A process that did not do what was to be measured.
pub fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("the measured process: {error}"),
        "run its command, `wardline up` or `wardline run ROOM`, by hand and see what it says",
    )
}
