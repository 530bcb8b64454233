//! Processes to break: each in a group of its own, with a log that is never begun anew, and a guard that ends it when the
//! harness is gone.

use crate::clock;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for a process that was asked to end.
const END: Duration = Duration::from_secs(30);
/// Longer than the drain of a room; whoever needs longer hangs.
const SLOW: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Highest resident memory of processes by name, and who has that name now.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<String, (u32, u64)>>>);

impl Memory {
    /// A process of this name has started.
    pub fn watch(&self, name: &str, pid: u32) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_owned()).or_default().0 = pid;
    }

    /// Looks at all processes.
    pub fn look(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (pid, peak) in all.values_mut() {
            *peak = (*peak).max(peak_kb(*pid).unwrap_or_default());
        }
    }

    /// Peaks in MB.
    #[must_use]
    pub fn peaks_mb(&self) -> BTreeMap<String, u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, (_, peak))| (name.clone(), peak / 1_024)).collect()
    }
}

fn peak_kb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// How a process is started, as often as is asked.
#[derive(Clone, Debug)]
pub struct Spec {
    /// For people, and for its log.
    pub name: String,
    /// Program.
    pub program: PathBuf,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Where it logs.
    pub log: PathBuf,
    /// What it finds in its environment beside ours.
    pub environment: Vec<(String, String)>,
}

/// A process. Dropping it kills it.
pub struct Process {
    spec: Spec,
    memory: Memory,
    running: Option<(Child, Child)>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(spec: Spec, memory: &Memory) -> Result<Self> {
        let mut process = Self { spec, memory: memory.clone(), running: None };
        process.again()?;
        Ok(process)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Starts it again; a running one goes on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn again(&mut self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        self.finish("KILL", Duration::ZERO);
        let output = OpenOptions::new().create(true).append(true).open(&self.spec.log)?;
        let errors = output.try_clone()?;
        let mut command = Command::new(&self.spec.program);
        command.envs(self.spec.environment.iter().map(|(name, value)| (name, value)));
        command.args(&self.spec.arguments).stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().with_context(|| format!("start {}", self.spec.name))?;
        let guard = guard(child.id())?;
        self.memory.watch(&self.spec.name, child.id());
        self.running = Some((child, guard));
        Ok(())
    }

    /// Whether it runs; one that has ended by itself does not.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|(child, _)| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.finish("KILL", END);
    }

    /// SIGTERM; killed when it does not end. Whether it ended by itself. What its threads did when it should have ended by then
    /// is written beside its log, where there is a debugger.
    pub fn stop(&mut self) -> bool {
        if let Some((child, _)) = &mut self.running {
            // It may be gone already, which is what is wanted.
            let _ = send(child.id(), "TERM");
            if !clock::until(SLOW, LOOK, || !matches!(child.try_wait(), Ok(None))) {
                self.stacks();
            }
        }
        self.finish("TERM", END.saturating_sub(SLOW))
    }

    /// Writes beside its log where each of its threads is, where there is a debugger.
    pub fn stacks(&self) {
        if let Some((child, _)) = &self.running {
            stacks(child.id(), &self.spec.log.with_extension("stacks.txt"));
        }
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let Some((child, _)) = &self.running else { bail!("{} does not run", self.spec.name) };
        send(child.id(), signal)
    }

    fn finish(&mut self, how: &str, bound: Duration) -> bool {
        let Some((mut child, mut guard)) = self.running.take() else { return false };
        self.memory.look();
        // It may be gone already, which is what is wanted.
        let _ = send(child.id(), how);
        let ended = clock::until(bound, LOOK, || !matches!(child.try_wait(), Ok(None)));
        if !ended {
            let _ = send(child.id(), "KILL");
            let _ = child.wait();
        }
        let _ = guard.kill();
        drop(guard.stdin.take());
        let _ = guard.wait();
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send(group: u32, signal: &str) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", "kill -s \"$1\" -- \"-$2\"", "signal", signal, &group.to_string()]).stderr(Stdio::null());
    if command.status()?.success() {
        return Ok(());
    }
    bail!("process group {group} did not take SIG{signal}");
}

/// Where every thread of a process is.
fn stacks(pid: u32, file: &Path) {
    let wanted = ["-p", &pid.to_string(), "-batch", "-nx", "-ex", "thread apply all backtrace 24"];
    let output = Command::new("gdb").args(wanted).stdin(Stdio::null()).output();
    // It helps who looks for the reason, and the run does not need it.
    if let Ok(output) = output
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file)
    {
        let _ = file.write_all(&output.stdout);
    }
}

/// A shell that does nothing until the pipe to it breaks, because the harness is gone however it ended, and then kills the
/// group.
fn guard(group: u32) -> std::io::Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", "cat; kill -s KILL -- \"-$1\"", "guard", &group.to_string()]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}
