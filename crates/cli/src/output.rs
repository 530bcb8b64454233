//! Data to stdout, everything else to stderr.

use crate::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use operations::Zone;
use runtime::clock;
use serde::Serialize;
use std::io::{BufWriter, IsTerminal as _, StdoutLock, Write};
use std::sync::OnceLock;
use std::time::Duration;

/// Buffered stdout. Flush it with [`Output::finish`].
pub struct Output {
    writer: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// Takes stdout.
    pub fn stdout() -> Self {
        Self { writer: BufWriter::new(std::io::stdout().lock()) }
    }

    /// One line of text.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(self.writer, "{}", text.as_ref()).map_err(|error| Failure::output(&error))
    }

    /// One JSON line.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::new(error, "report this as a defect"))?;
        self.line(text)
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(|error| Failure::output(&error))
    }

    /// Columns, left-aligned, as wide as their widest cell.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(head.get(column).map(|title| title.chars().count())).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let print = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.line(print(&mut head.iter().copied()))?;
        rows.iter().try_for_each(|row| self.line(print(&mut row.iter().map(String::as_str))))
    }

    /// Writes out what is buffered.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| Failure::output(&error))
    }
}

/// A line on stderr.
pub fn note(text: &str) {
    // When stderr is gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Tells on stderr how far something long has come, each line with the seconds since the start.
pub struct Progress {
    started: clock::Tick,
}

impl Progress {
    /// Starts now.
    pub fn start() -> Self {
        Self { started: clock::tick() }
    }

    /// Something is done.
    pub fn step(&self, what: &str) {
        note(&format!("[{:5.1} s] {what}", self.seconds()));
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        clock::tick().since(self.started).as_secs_f64()
    }
}

/// Progress on stderr: a spinner on a terminal, nothing otherwise.
pub fn spinner(message: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {pos}") {
        bar.set_style(style);
    }
    bar.set_message(message.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Progress on stderr towards a known end: a bar on a terminal, nothing otherwise.
pub fn bar(length: u64, message: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(message.to_owned());
    bar
}

/// What times are told in to people; UTC until a configuration has said.
static ZONE: OnceLock<Zone> = OnceLock::new();

/// Tells times in the zone of the configuration from now on; a process has one.
pub fn tell_times_in(zone: Zone) {
    if ZONE.set(zone).is_err() {
        tracing::debug!("the time zone was told before");
    }
}

/// Microseconds since 1970 as people read a time, with its distance from UTC.
pub fn told_time(micros: i64) -> String {
    ZONE.get_or_init(Zone::default).text(micros)
}

/// The same with its milliseconds.
pub fn told_milli(micros: i64) -> String {
    ZONE.get_or_init(Zone::default).milli(micros)
}

/// The same without its seconds.
pub fn told_minute(micros: i64) -> String {
    ZONE.get_or_init(Zone::default).minute(micros)
}

/// Milliseconds since 1970 as RFC 3339 text, for programs.
pub fn time_text(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| "-".to_owned(), |time| time.to_string())
}
