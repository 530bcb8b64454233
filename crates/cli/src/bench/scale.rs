//! `wardline bench scale`: how the cost of a processor grows with the work. Each measurement is a `bench enrich` in a process of its
//! own, so that its CPU time and its memory are its own.

use super::{BenchScale, output, setup};
use crate::Failure;
use crate::args::Globals;
use serde_json::{Value, json};
use std::process::Stdio;

/// Members of the group, each with a partition of its own.
const MEMBERS: [u64; 4] = [1, 2, 4, 8];
/// Keys of the events.
const KEYS: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// Sizes of a message, bytes.
const BYTES: [u64; 5] = [400, 2_000, 8_000, 32_000, 64_000];
/// No more than so many bytes of events are loaded for one measurement.
const LOAD_BYTES_MAX: u64 = 400_000_000;

/// One measurement.
struct Shape {
    what: &'static str,
    partitions: u64,
    members: u64,
    keys: u64,
    bytes: u64,
    events: u64,
}

/// Runs the benchmark and prints its JSON line.
pub fn execute(globals: &Globals, options: &BenchScale) -> Result<(), Failure> {
    let config = setup(globals)?;
    let shapes = shapes(options);
    let mut rows = Vec::with_capacity(shapes.len());
    for (number, shape) in shapes.iter().enumerate() {
        crate::output::note(&format!("{} of {}: {}", number + 1, shapes.len(), shape.described()));
        rows.push(shape.measure(&config.kafka.bootstrap)?);
    }
    output(&json!({"bench": "scale", "rows": rows}))
}

fn shapes(options: &BenchScale) -> Vec<Shape> {
    let plain = |what| Shape { what, partitions: 6, members: 1, keys: 512, bytes: 400, events: options.events };
    let members = MEMBERS.map(|members| Shape { partitions: members, members, ..plain("partitions and members") });
    let keys = KEYS.into_iter().filter(|keys| *keys <= options.keys_max);
    let keys = keys.map(|keys| Shape { keys, events: options.events.max(keys), ..plain("keys") });
    let bytes =
        BYTES.map(|bytes| Shape { bytes, events: options.events.min(LOAD_BYTES_MAX / bytes), ..plain("bytes") });
    members.into_iter().chain(keys).chain(bytes).collect()
}

impl Shape {
    fn described(&self) -> String {
        let Self { partitions, members, keys, bytes, events, .. } = self;
        format!("{events} events of {bytes} bytes, {keys} keys, {partitions} partitions, {members} members")
    }

    fn measure(&self, kafka: &str) -> Result<Value, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(error, "see the lines above");
        let mut command = std::process::Command::new(std::env::current_exe().map_err(|error| failed(&error))?);
        command.args(["bench", "enrich", "--kafka", kafka]);
        let numbers = [
            ("--partitions", self.partitions),
            ("--members", self.members),
            ("--keys", self.keys),
            ("--bytes", self.bytes),
            ("--events", self.events),
        ];
        for (name, number) in numbers {
            command.args([name, &number.to_string()]);
        }
        let ended = command.stderr(Stdio::inherit()).output().map_err(|error| failed(&error))?;
        let text = String::from_utf8_lossy(&ended.stdout);
        let line = text.lines().rfind(|line| line.starts_with('{')).unwrap_or_default();
        let measured: Value = serde_json::from_str(line).map_err(|error| failed(&error))?;
        let number = |name: &str| measured.get(name).cloned().unwrap_or_default();
        Ok(json!({
            "what": self.what,
            "partitions": self.partitions,
            "members": self.members,
            "keys": self.keys,
            "bytes": self.bytes,
            "events": number("events"),
            "events_per_s": number("events_per_s"),
            "events_per_cpu_second": number("events_per_cpu_second"),
            "peak_rss_mb": number("peak_rss_mb"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_an_event_and_no_load_is_larger_than_its_bound() {
        for shape in shapes(&BenchScale { events: 300_000, keys_max: 1_000_000 }) {
            assert!(shape.events >= shape.keys || shape.what != "keys", "{}", shape.described());
            assert!(shape.keys <= 1_000_000 && shape.partitions >= shape.members, "{}", shape.described());
            assert!(shape.bytes * shape.events <= LOAD_BYTES_MAX || shape.what != "bytes", "{}", shape.described());
        }
    }
}
