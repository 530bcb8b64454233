//! What this process has used so far, and under which conditions.

use serde::Serialize;

/// Ticks per second of the times in `/proc/PID/stat`: 100 on every Linux (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds and memory of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// User and system time of all threads, seconds.
    pub cpu_seconds: f64,
    /// Highest resident memory so far, MB.
    pub peak_rss_mb: f64,
    /// Resident memory now, MB.
    pub rss_mb: f64,
}

/// The machine that was measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Conditions {
    /// Version of Wardline.
    pub wardline: &'static str,
    /// Whether it was built with optimisation.
    pub release: bool,
    /// Cores that this process may use.
    pub cores: usize,
    /// Processes that ran or wanted to run when the measurement ended, mean of one minute. More than the measured
    /// processes need means that others used the machine.
    pub load_1m: f64,
    /// Kafka bootstrap servers.
    pub kafka: String,
    /// Partitions of the topics.
    pub partitions: u16,
    /// What was promised.
    pub guarantee: &'static str,
}

impl Usage {
    /// Of this process.
    pub fn now() -> Self {
        usage_of(std::process::id())
    }
}

impl Conditions {
    /// Of this machine, now.
    pub fn now(kafka: &str, partitions: u16, guarantee: &'static str) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            wardline: env!("CARGO_PKG_VERSION"),
            release: !cfg!(debug_assertions),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_1m: load.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or_default(),
            kafka: kafka.to_owned(),
            partitions,
            guarantee,
        }
    }
}

/// Of a process; zero where there is no `/proc`.
pub fn usage_of(process: u32) -> Usage {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
    Usage {
        cpu_seconds: cpu_seconds(&read("stat")).unwrap_or_default(),
        peak_rss_mb: memory_mb(&read("status"), "VmHWM:").unwrap_or_default(),
        rss_mb: memory_mb(&read("status"), "VmRSS:").unwrap_or_default(),
    }
}

/// `number` with `places` decimal places.
pub fn rounded(number: f64, places: i32) -> f64 {
    let factor = 10_f64.powi(places);
    (number * factor).round() / factor
}

/// Events per second as a number that is not more exact than the measurement.
pub fn rate(events: u64, seconds: f64) -> f64 {
    // Counts of events are far below 2^52.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let events = events as f64;
    if seconds > 0.0 { (events / seconds).round() } else { 0.0 }
}

/// The value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    sorted.get(index).copied().unwrap_or_default()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name of the program, in brackets, may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

fn memory_mb(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_prints() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(memory_mb("Name:\tx\nVmHWM:\t  2048 kB\n", "VmHWM:"), Some(2.0));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!((percentile(&values, 0.5), percentile(&values, 1.0), percentile(&[], 0.5)), (2.0, 4.0, 0.0));
    }
}
