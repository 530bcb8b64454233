//! What libFuzzer says.

use std::collections::VecDeque;
use std::path::PathBuf;

/// Lines kept for the case that a run ends without a word that is understood.
const LAST_LINES: usize = 20;

/// What a run has done so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Inputs that were run.
    pub(super) runs: u64,
    /// Seconds, as libFuzzer counts them.
    pub(super) seconds: u64,
    /// CPU seconds, user and system: beside other work a run gets fewer than it takes.
    pub(super) cpu_seconds: u64,
    /// Places in the code that were reached.
    pub(super) places: u64,
    /// Places, how often and after which: what libFuzzer calls features.
    pub(super) features: u64,
    /// Files of what was found, and why.
    pub(super) findings: Vec<(PathBuf, String)>,
    reason: String,
    reason_follows: bool,
    last: VecDeque<String>,
}

impl Tally {
    /// Counts CPU seconds from what the ended processes had used before, see [`used_by_ended`].
    pub(super) fn used_since(&mut self, before: u64) {
        self.cpu_seconds = used_by_ended().saturating_sub(before);
    }

    /// Takes one line.
    pub(super) fn add(&mut self, line: &str) {
        if line.starts_with('#') {
            self.add_pulse(line);
        } else if let Some(runs) = after(line, "stat::number_of_executed_units:") {
            self.runs = runs.parse().unwrap_or(self.runs);
        } else if let Some(done) = line.strip_prefix("Done ") {
            // `Done 1048576 runs in 61 second(s)`
            let mut numbers = done.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
            self.runs = numbers.next().unwrap_or(self.runs);
            self.seconds = numbers.next().unwrap_or(self.seconds);
        } else if let Some(file) = after(line, "Test unit written to") {
            let reason = if self.reason.is_empty() { "see the file".to_owned() } else { self.reason.clone() };
            self.findings.push((PathBuf::from(file), reason));
        } else if line.starts_with("thread ") && line.contains("panicked at") {
            self.reason = line.to_owned();
            self.reason_follows = true;
        } else if std::mem::take(&mut self.reason_follows) {
            self.reason = line.to_owned();
        } else if let Some(error) = after(line, "ERROR: libFuzzer:").filter(|_| self.reason.is_empty()) {
            self.reason = error.to_owned();
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// `#65536 pulse  cov: 321 ft: 1234 corp: 99/10Kb lim: 4096 exec/s: 21845 rss: 60Mb`
    fn add_pulse(&mut self, line: &str) {
        let mut words = line.trim_start_matches('#').split_whitespace();
        self.runs = words.next().and_then(|word| word.parse().ok()).unwrap_or(self.runs);
        while let Some(word) = words.next() {
            let field = match word {
                "cov:" => &mut self.places,
                "ft:" => &mut self.features,
                _ => continue,
            };
            *field = words.next().and_then(|word| word.parse().ok()).unwrap_or(*field);
        }
    }

    /// How far it is.
    pub(super) fn coverage(&self) -> String {
        let found = self.findings.len();
        format!("{} runs, {} places, {} features, {found} found", self.runs, self.places, self.features)
    }

    /// How far it came, in columns.
    pub(super) fn summary(&self) -> String {
        let Self { runs, seconds, cpu_seconds, places, features, findings, .. } = self;
        let times = format!("{seconds:>6} s {cpu_seconds:>6} CPU s");
        format!("{times} {runs:>11} runs {places:>7} places {features:>7} features {:>2} found", findings.len())
    }

    /// The last lines.
    pub(super) fn last_words(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// CPU seconds of the processes that this one started and that have ended, with those that they started; 0 where there is no `/proc`.
pub(super) fn used_by_ended() -> u64 {
    cpu_seconds(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default()).unwrap_or_default()
}

/// `cutime` and `cstime` of a `stat` (proc(5)), which are ticks of a hundredth of a second. The name before them may hold spaces.
fn cpu_seconds(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(13);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) / 100)
}

fn after<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.split_once(start).map(|(_, rest)| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.add(line));
        tally
    }

    #[test]
    fn a_run_without_a_finding_is_counted() {
        let tally = tally(&[
            "INFO: Seed: 1",
            "#2\tINITED cov: 300 ft: 900 corp: 1/1b exec/s: 0 rss: 40Mb",
            "#65536\tpulse  cov: 321 ft: 1234 corp: 99/10Kb lim: 4096 exec/s: 21845 rss: 60Mb",
            "Done 70000 runs in 61 second(s)",
            "stat::number_of_executed_units: 70000",
        ]);
        assert_eq!((tally.runs, tally.seconds, tally.places, tally.features), (70_000, 61, 321, 1_234));
        assert!(tally.findings.is_empty());
    }

    #[test]
    fn what_was_found_has_its_file_and_its_reason() {
        let tally = tally(&[
            "#9\tNEW    cov: 3 ft: 4 corp: 2/2b exec/s: 0 rss: 40Mb",
            "thread '<unnamed>' (7) panicked at crates/fuzz-targets/src/frames.rs:20:9:",
            "cut every 2 bytes",
            "==7== ERROR: libFuzzer: deadly signal",
            "artifact_prefix='x/'; Test unit written to x/crash-1",
        ]);
        assert_eq!(tally.findings, [(PathBuf::from("x/crash-1"), "cut every 2 bytes".to_owned())]);
        assert_eq!(tally.runs, 9);
    }

    #[test]
    fn cpu_seconds_are_those_of_ended_children() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 1 2 3 4 11 12 360000 40000 20 0 1 0 5 6 7";
        assert_eq!(cpu_seconds(stat), Some(4_000));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        let mut tally = tally(&["Done 70000 runs in 61 second(s)"]);
        tally.cpu_seconds = 30;
        assert!(tally.summary().contains("61 s     30 CPU s       70000 runs"), "{}", tally.summary());
    }

    #[test]
    fn what_took_too_long_is_found() {
        let tally = tally(&["==7== ERROR: libFuzzer: timeout after 10 seconds", "Test unit written to x/timeout-1"]);
        assert_eq!(tally.findings[0].1, "timeout after 10 seconds");
        assert!(tally.last_words().ends_with("x/timeout-1"));
    }
}
