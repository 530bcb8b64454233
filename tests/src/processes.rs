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
