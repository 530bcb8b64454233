//! Processes to kill.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A room in a process of its own; killed when dropped.
pub struct RoomProcess {
    child: Child,
}

impl RoomProcess {
    /// Starts `binary` with arguments; its log goes to `log`.
    pub fn start(binary: &str, arguments: &[&str], log: &Path) -> Self {
        Self::start_with(binary, arguments, &[], log)
    }

    /// The same with environment variables.
    pub fn start_with(binary: &str, arguments: &[&str], environment: &[(&str, &str)], log: &Path) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(binary)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Resident memory now, MB.
    pub fn memory_mb(&self) -> f64 {
        self.status_mb("VmRSS:")
    }

    /// Highest resident memory so far, MB.
    pub fn peak_memory_mb(&self) -> f64 {
        self.status_mb("VmHWM:")
    }

    fn status_mb(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
    }

    /// SIGTERM, and waits for the end: drain and good-bye.
    pub fn terminate(mut self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// SIGKILL: no drain, no good-bye.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for RoomProcess {
    fn drop(&mut self) {
        // Already dead is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
