//! `wardline` as a child process, in an environment with nothing in it: no Java, no Python, no variable of the caller.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests, of which each test uses some; a test waits with a bound"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for anything. Far longer than what works takes, so that a busy machine fails no test.
const BOUND: Duration = Duration::from_secs(240);

/// A folder for one test, and the addresses that its processes get.
pub struct Place {
    pub dir: TempDir,
    pub mllp: String,
    pub health: String,
}

/// A process; killed when dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let free = || format!("127.0.0.1:{}", components::free_port().unwrap());
        Self { dir: TempDir::new().unwrap(), mllp: free(), health: free() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command with these arguments, in the folder of the test.
    pub fn wardline(&self, arguments: &[&str]) -> Command {
        let nothing = self.path("nothing");
        std::fs::create_dir_all(&nothing).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardline"));
        command.args(arguments).current_dir(self.dir.path()).env_clear().env("PATH", nothing).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.wardline(arguments).output().unwrap()
    }

    /// Starts a command that goes on; what it says goes to `name.log`.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Running {
        let log = self.path(&format!("{name}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let child = self.wardline(arguments).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Running { child, log }
    }

    /// Starts `wardline up` on free ports and waits until all rooms are ready.
    pub fn up(&self, name: &str) -> (Running, Vec<(String, String)>) {
        self.up_with(name, &[])
    }

    /// The same with more arguments.
    pub fn up_with(&self, name: &str, more: &[&str]) -> (Running, Vec<(String, String)>) {
        let ports = ["--ports", "0", "--mllp", &self.mllp, "--health", &self.health];
        let mut up = self.start(name, &[&["up"], &ports[..], more].concat());
        let line = up.line_with("  export ");
        let variables = line.trim().trim_start_matches("export ").split(' ').filter_map(|pair| pair.split_once('='));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        (up, variables)
    }
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the process has said a line with this in it.
    pub fn line_with(&mut self, text: &str) -> String {
        let deadline = Instant::now() + BOUND;
        loop {
            let lines = BufReader::new(std::fs::File::open(&self.log).unwrap()).lines();
            if let Some(line) = lines.map_while(Result::ok).find(|line| line.contains(text)) {
                return line;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "no {text:?} ({ended:?}):\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// The address that a part alone says with `--json`.
    pub fn url(&mut self) -> String {
        let said: serde_json::Value = serde_json::from_str(&self.line_with("{\"")).unwrap();
        said["url"].as_str().unwrap().to_owned()
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM or SIGINT and waits for the end.
    pub fn stop(mut self, signal: &str) -> ExitStatus {
        // The shell's own: a small machine has no program of that name.
        let script = format!("kill -{signal} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(sent.success());
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Standard output as text, of a command that must succeed.
pub fn text(output: &Output) -> String {
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{log}", output.status);
    said.into_owned()
}

/// Reads a JSON file.
pub fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}
