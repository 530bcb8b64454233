//! UDI strings, one per line.

use crate::Failure;
use crate::output::Output;
use runtime::clock;
use schemas::Timestamp;
use serde::Serialize;
use serde_json::Value;
use udi::{Udi, code_of};

#[derive(Serialize)]
struct Line<'a> {
    raw: &'a str,
    outcome: &'static str,
    #[serde(flatten)]
    udi: &'a Udi,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    codes: Vec<&'static str>,
}

/// Prints what each line holds, and gives how many are refused. A line that is a JSON object is read by its `raw` member.
pub fn print(bytes: &[u8], json: bool, output: &mut Output) -> Result<usize, Failure> {
    let mut refused = 0;
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let year = Timestamp(clock::now_micros()).date().to_civil().map_or(2000, |date| date.year());
    // Only the line end is taken off: the check character of an HIBC label may be a blank.
    for line in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(|line| !line.is_empty()) {
        let raw = unwrapped(line);
        let read = udi::parse(&raw, year);
        refused += usize::from(!read.errors.is_empty());
        let outcome = if read.errors.is_empty() { "events" } else { "exception" };
        let codes = read.errors.iter().chain(&read.warnings).map(|word| code_of(word)).collect();
        let found = Line { raw: &raw, outcome, udi: &read, codes };
        if json {
            output.json(&found)?;
        } else {
            print_text(&found, output)?;
        }
    }
    Ok(refused)
}

/// The string itself, or the member `raw` of a JSON object.
fn unwrapped(line: &str) -> String {
    let member = line
        .starts_with('{')
        .then(|| serde_json::from_str::<Value>(line).ok())
        .flatten()
        .and_then(|object| object.get("raw")?.as_str().map(str::to_owned));
    member.unwrap_or_else(|| line.to_owned())
}

fn print_text(line: &Line<'_>, output: &mut Output) -> Result<(), Failure> {
    output.line(line.raw.replace('\u{1d}', "<GS>"))?;
    let Ok(Value::Object(fields)) = serde_json::to_value(line.udi) else { return Ok(()) };
    for (name, value) in &fields {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(entries) if entries.is_empty() => continue,
            other => other.to_string(),
        };
        output.line(format!("  {name:<20} {text}"))?;
    }
    if !line.codes.is_empty() {
        output.line(format!("  {:<20} {}", "see docs/errors", line.codes.join(", ")))?;
    }
    Ok(())
}
