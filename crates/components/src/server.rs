//! One running component: a process group with a port, a log, a record of its process id, and a guard that ends it when
//! the process that started it is gone.

use crate::error::{Error, Result, tail};
use crate::ports;
use crate::probe::Ready;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const RECORD: &str = "process.json";
const LOCK: &str = "process.lock";
const PAUSE: Duration = Duration::from_millis(50);
/// How often an answer is waited for, at one [`PAUSE`] each or more: four minutes, for a machine that is busy.
const START_PAUSES_MAX: u32 = 4_800;
/// After that a process that was asked to end is killed: twenty seconds.
const STOP_PAUSES_MAX: u32 = 400;

/// How long a process may take to say what it is run for: thirty seconds.
const PHRASE_PAUSES_MAX: u32 = 600;

/// How a component is started, as often as is asked.
pub(crate) struct Spec {
    pub(crate) name: String,
    /// The data directory, absolute. The command must mention it.
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) command: Command,
    pub(crate) ready: Ready,
}

/// A component that runs, or ran. Dropping it kills the process.
pub struct Server {
    spec: Spec,
    running: Option<Running>,
    _lock: File,
}

struct Running {
    child: Child,
    guard: Child,
}

/// What is written down about a running component.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    name: String,
    pid: u32,
    port: u16,
    ready: Ready,
}

/// A component that was started earlier, perhaps by another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its process id.
    pub pid: u32,
    /// The port of 127.0.0.1 it was given.
    pub port: u16,
    ready: Ready,
}

impl Status {
    /// Whether it serves, asked now.
    pub fn answers(&self) -> bool {
        self.ready.check(self.port)
    }
}

impl Server {
    /// Starts the process without waiting for it. What an interrupted run left in the directory is killed first.
    pub(crate) fn launch(spec: Spec) -> Result<Self> {
        fs::create_dir_all(&spec.dir).map_err(Error::files(&spec.dir))?;
        let path = spec.dir.join(LOCK);
        let lock = File::create(&path).map_err(Error::files(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::DirectoryInUse { name: spec.name, dir: spec.dir });
            }
            Err(TryLockError::Error(source)) => return Err(Error::Files { path, source }),
        }
        if let Some(record) = find(&spec.dir) {
            end(&spec.dir, &record, "KILL")?;
        }
        let mut server = Self { spec, running: None, _lock: lock };
        server.spawn()?;
        Ok(server)
    }

    /// Waits until the component serves.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        for _ in 0..START_PAUSES_MAX {
            let Some(running) = &mut self.running else {
                return Err(self.not_ready("is stopped".to_owned()));
            };
            if let Ok(Some(status)) = running.child.try_wait() {
                self.running = None;
                return Err(self.not_ready(format!("ended at start with {status}")));
            }
            if self.spec.ready.check(self.spec.port) {
                return Ok(());
            }
            pause();
        }
        Err(self.not_ready("did not answer in time".to_owned()))
    }

    /// The port of 127.0.0.1 it listens on.
    pub fn port(&self) -> u16 {
        self.spec.port
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// The file its output goes to; a restart begins it anew.
    pub fn log(&self) -> PathBuf {
        log(&self.spec)
    }

    /// The directory its data is in.
    pub fn dir(&self) -> &Path {
        &self.spec.dir
    }

    /// Ends it as a crash would, with SIGKILL.
    ///
    /// # Errors
    /// WL-7056 when it does not end.
    pub fn kill(&mut self) -> Result<()> {
        self.finish("KILL")
    }

    /// Asks it to end, and kills it when it takes too long.
    ///
    /// # Errors
    /// WL-7056 when it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.finish("TERM")
    }

    /// Starts it again with the same port and data, and waits until it serves. A running one is stopped first.
    ///
    /// # Errors
    /// WL-7052 when it does not come up, WL-7053 when the port was taken meanwhile, WL-7056 when the old one stays.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.spawn()?;
        self.wait_ready()
    }

    /// Freezes it with SIGSTOP: connections stay open and nothing answers.
    ///
    /// # Errors
    /// WL-7056 when the signal cannot be sent.
    pub fn pause(&self) -> Result<()> {
        self.pid().map_or(Ok(()), |pid| signal(&self.spec.name, pid, "STOP"))
    }

    /// Lets a frozen one go on.
    ///
    /// # Errors
    /// WL-7056 when the signal cannot be sent.
    pub fn resume(&self) -> Result<()> {
        self.pid().map_or(Ok(()), |pid| signal(&self.spec.name, pid, "CONT"))
    }

    /// Leaves it running when this value and this process are gone. [`Server::stop_in`] ends it.
    pub fn detach(mut self) {
        if let Some(running) = self.running.take() {
            disarm(running.guard);
        }
    }

    /// What runs with its data in `dir`, by whomever it was started.
    pub fn find_in(dir: &Path) -> Option<Status> {
        let dir = std::path::absolute(dir).ok()?;
        find(&dir).map(|record| Status { pid: record.pid, port: record.port, ready: record.ready })
    }

    /// Stops what runs with its data in `dir`; false when nothing does.
    ///
    /// # Errors
    /// WL-7056 when it does not end.
    pub fn stop_in(dir: &Path) -> Result<bool> {
        let dir = std::path::absolute(dir).map_err(Error::files(dir))?;
        let found = find(&dir);
        found.map_or(Ok(false), |record| end(&dir, &record, "TERM").map(|()| true))
    }

    fn spawn(&mut self) -> Result<()> {
        let Spec { name, dir, port, command, ready } = &mut self.spec;
        if !ports::is_free(*port) {
            return Err(Error::PortTaken { name: name.clone(), port: *port });
        }
        let path = dir.join(format!("{name}.log"));
        let output = File::create(&path).map_err(Error::files(&path))?;
        let errors = output.try_clone().map_err(Error::files(&path))?;
        // A process group of its own keeps an interrupt typed at the terminal away from it: who started it decides.
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().map_err(Error::files(&path))?;
        let guard = guard(child.id()).map_err(Error::files(Path::new("sh")))?;
        let record = Record { name: name.clone(), pid: child.id(), port: *port, ready: ready.clone() };
        self.running = Some(Running { child, guard });
        let path = self.spec.dir.join(RECORD);
        let text = serde_json::to_vec(&record).map_err(std::io::Error::from).map_err(Error::files(&path))?;
        fs::write(&path, text).map_err(Error::files(&path))
    }

    fn finish(&mut self, how: &'static str) -> Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        let ended = end_child(&self.spec.name, &mut running.child, how);
        disarm(running.guard);
        let _ = fs::remove_file(self.spec.dir.join(RECORD));
        ended
    }

    fn not_ready(&self, what: String) -> Error {
        let log = log(&self.spec);
        Error::NotReady { name: self.spec.name.clone(), what, tail: tail(&log), log }
    }
}

/// Runs a process until its log holds a phrase, for half a minute at most, and ends it.
///
/// # Errors
/// WL-7056 when it does not end.
pub(crate) fn run_until(command: &mut Command, log: &Path, phrase: &str) -> Result<()> {
    let output = File::create(log).map_err(Error::files(log))?;
    let errors = output.try_clone().map_err(Error::files(log))?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    let mut child = command.spawn().map_err(Error::files(log))?;
    let guard = guard(child.id()).map_err(Error::files(Path::new("sh")))?;
    for _ in 0..PHRASE_PAUSES_MAX {
        let said = fs::read_to_string(log).unwrap_or_default();
        if said.contains(phrase) || !matches!(child.try_wait(), Ok(None)) {
            break;
        }
        pause();
    }
    let ended = end_child(&log.display().to_string(), &mut child, "TERM");
    disarm(guard);
    ended
}

/// Ends a process and its group with a signal, and with SIGKILL when it takes too long.
///
/// # Errors
/// WL-7056 when it does not end.
fn end_child(name: &str, child: &mut Child, how: &'static str) -> Result<()> {
    let pid = child.id();
    for how in [how, "KILL"] {
        // The group may be gone already, which is what is wanted.
        let _ = signal(name, pid, how);
        let _ = signal(name, pid, "CONT");
        if wait_until(|| !matches!(child.try_wait(), Ok(None))) {
            return Ok(());
        }
    }
    Err(Error::Signal { name: name.to_owned(), pid, signal: "SIGKILL" })
}

impl Drop for Server {
    fn drop(&mut self) {
        // There is nobody left to tell; the next start in this directory tries again.
        let _ = self.kill();
    }
}

/// Sleeps a moment between two looks at another process.
#[allow(clippy::disallowed_methods, reason = "another process is watched from a thread that does nothing else")]
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}

fn log(spec: &Spec) -> PathBuf {
    spec.dir.join(format!("{}.log", spec.name))
}

/// A shell that does nothing until the pipe to it breaks, because the process that holds the other end is gone however it
/// ended, and then kills the group.
fn guard(group: u32) -> std::io::Result<Child> {
    let script = "cat; kill -s KILL -- \"-$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "guard", &group.to_string()]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Takes the guard away before its pipe breaks.
fn disarm(mut guard: Child) {
    let _ = guard.kill();
    drop(guard.stdin.take());
    let _ = guard.wait();
}

fn signal(name: &str, pid: u32, signal: &'static str) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$1\" -- \"-$2\"", "signal", signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Error::Signal { name: name.to_owned(), pid, signal }),
    }
}

/// The recorded process of a directory, when it lives and is the one that was recorded: a process id alone may belong to
/// somebody else by now.
fn find(dir: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&fs::read(dir.join(RECORD)).ok()?).ok()?;
    is_ours(record.pid, dir).then_some(record)
}

fn is_ours(pid: u32, dir: &Path) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains(&*dir.to_string_lossy())
}

/// Ends a process that is not a child of this one.
fn end(dir: &Path, record: &Record, how: &'static str) -> Result<()> {
    let Record { name, pid, .. } = record;
    for how in [how, "KILL"] {
        let _ = signal(name, *pid, how);
        let _ = signal(name, *pid, "CONT");
        if wait_until(|| !is_ours(*pid, dir)) {
            let _ = fs::remove_file(dir.join(RECORD));
            return Ok(());
        }
    }
    Err(Error::Signal { name: name.clone(), pid: *pid, signal: "SIGKILL" })
}

fn wait_until(mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..STOP_PAUSES_MAX {
        if holds() {
            return true;
        }
        pause();
    }
    false
}
