//! What happened in a run: a hash of everything, and lines of text when somebody wants to read them.

use std::hash::Hasher as _;
use std::time::Duration;

/// Most lines kept; the oldest go first (BND-1).
const LINES_MAX: usize = 200_000;

/// The trace of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Fnv,
    lines: Option<std::collections::VecDeque<String>>,
    /// Texts that leave the process by the log.
    pub log: Vec<String>,
}

impl Trace {
    /// A trace that keeps lines when asked to.
    pub fn new(keep_lines: bool) -> Self {
        Self { lines: keep_lines.then(Default::default), ..Self::default() }
    }

    /// A step: who and what.
    pub fn step(&mut self, pid: u32, what: &str) {
        self.hash.write_u32(pid);
        self.hash.write(what.as_bytes());
    }

    /// Something worth a line.
    pub fn note(&mut self, now: Duration, what: &str, detail: impl FnOnce() -> String) {
        let detail = detail();
        self.hash.write(what.as_bytes());
        self.hash.write(detail.as_bytes());
        self.tell(now, what, || detail);
    }

    /// Something worth a line for whoever reads, and nothing else.
    pub fn tell(&mut self, now: Duration, what: &str, detail: impl FnOnce() -> String) {
        if self.lines.is_some() {
            let line = format!("{:>11.6} {what} {}", now.as_secs_f64(), detail());
            self.push(line);
        }
    }

    fn push(&mut self, line: String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The lines.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().map(Vec::from).unwrap_or_default()
    }
}

/// FNV-1a, 64 bits: the same on every machine and with every compiler.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
