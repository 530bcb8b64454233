//! What can go wrong between an empty machine and running components. Every variant has a page in `docs/errors`.

use std::path::{Path, PathBuf};

/// The one line that installs everything this crate needs on Debian.
pub const DEBIAN_LINE: &str = "sudo apt-get install -y default-jdk-headless maven python3 python3-venv chromium";

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a component could not be installed, started, stopped or broken as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tool that installing needs is not on this machine, or too old.
    #[error("WL-7050: {tool} is missing ({detail}). On Debian this installs it: {DEBIAN_LINE}")]
    ToolMissing {
        /// The tool and the version that is wanted.
        tool: &'static str,
        /// What was looked for and found instead.
        detail: String,
    },
    /// A step of an installation ended with an error.
    #[error("WL-7051: {step} failed; run it again when the cause is gone. The log {} ends with:\n{tail}", log.display())]
    InstallFailed {
        /// What was being done.
        step: String,
        /// Where the whole output is.
        log: PathBuf,
        /// The last lines of the output.
        tail: String,
    },
    /// A component ended, or did not answer before its time was up.
    #[error("WL-7052: {name} {what}. Its log {} ends with:\n{tail}", log.display())]
    NotReady {
        /// The component.
        name: String,
        /// What was seen of it.
        what: String,
        /// Where its whole output is.
        log: PathBuf,
        /// The last lines of the output.
        tail: String,
    },
    /// The port a component was to listen on is taken.
    #[error(
        "WL-7053: {name} cannot use port {port} of 127.0.0.1: it is taken. Stop what holds it, or choose another port"
    )]
    PortTaken {
        /// The component.
        name: String,
        /// The TCP port.
        port: u16,
    },
    /// A file or directory of the cache or of a component's data could not be used.
    #[error("WL-7054: cannot use {}: {source}", path.display())]
    Files {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process holds the data directory.
    #[error("WL-7055: {} is in use by another process that started {name} there; give each its own directory", dir.display())]
    DirectoryInUse {
        /// The component.
        name: String,
        /// The data directory.
        dir: PathBuf,
    },
    /// A running component did not take a signal, or did not end after one.
    #[error("WL-7056: {name} (process {pid}) did not react to {signal}; end it by hand: kill -9 {pid}")]
    Signal {
        /// The component.
        name: String,
        /// Its process id.
        pid: u32,
        /// The signal that was sent.
        signal: &'static str,
    },
    /// A component answered, but not what it must.
    #[error("WL-7057: {name} gave an unexpected answer to {asked}: {answer}")]
    Answer {
        /// The component.
        name: String,
        /// What it was asked.
        asked: String,
        /// What came back, shortened.
        answer: String,
    },
    /// A component was to start that was not asked for when installing: a mistake of the calling program.
    #[error("WL-7058: {part} was not installed: name it when calling Installation::ensure")]
    NotInstalled {
        /// The missing part.
        part: &'static str,
    },
}

impl Error {
    /// The stable code, which names the page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ToolMissing { .. } => "WL-7050",
            Self::InstallFailed { .. } => "WL-7051",
            Self::NotReady { .. } => "WL-7052",
            Self::PortTaken { .. } => "WL-7053",
            Self::Files { .. } => "WL-7054",
            Self::DirectoryInUse { .. } => "WL-7055",
            Self::Signal { .. } => "WL-7056",
            Self::Answer { .. } => "WL-7057",
            Self::NotInstalled { .. } => "WL-7058",
        }
    }

    pub(crate) fn files(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Files { path, source }
    }
}

/// The last lines of a log, for a message a person reads.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 15;
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LINES);
    lines.get(from..).unwrap_or_default().iter().map(|line| format!("  {line}\n")).collect()
}
