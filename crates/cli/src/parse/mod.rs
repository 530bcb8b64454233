//! `wardline parse`: what Wardline makes of an input, with no broker at all.

mod udi;

use crate::args::{Globals, InputKind, Parse};
use crate::output::Output;
use crate::{Failure, context, send};
use fhir::{EmptyShelf, FhirConfig, Seen};
use hl7v2::config::MappingConfig;
use hl7v2::mapping::Mapper;
use runtime::{Config, clock};
use schemas::Timestamp;
use serde_json::Value;

/// Fields of an event that tell a person most, with their titles.
const FACTS: [(&str, &str); 16] = [
    ("/kind", ""),
    ("/usage", ""),
    ("/meta/action", ""),
    ("/meta/occurredAt", "at "),
    ("/encounterRef", "encounter "),
    ("/patientClass", ""),
    ("/location/unit", "in "),
    ("/admittedAt", "admitted "),
    ("/dischargedAt", "discharged "),
    ("/disposition/code", "disposition "),
    ("/itemRef/code", "item "),
    ("/udi/di", "device "),
    ("/lot", "lot "),
    ("/serial", "serial "),
    ("/quantity", "quantity "),
    ("/uom", "unit "),
];

/// Executes `wardline parse`.
pub fn execute(globals: &Globals, options: &Parse) -> Result<(), Failure> {
    let config = context::config(globals)?;
    let mut output = Output::stdout();
    for path in &options.files {
        let bytes = send::read(path)?;
        let found = match options.kind {
            InputKind::Udi => {
                udi::print(&bytes, options.json, &mut output)?;
                continue;
            }
            InputKind::Hl7v2 => hl7v2(&config, &bytes)?,
            InputKind::Fhir => fhir(&config, &bytes)?,
        };
        for mut value in found {
            if options.files.len() > 1
                && let Value::Object(fields) = &mut value
            {
                fields.insert("file".to_owned(), Value::String(path.display().to_string()));
            }
            if options.json {
                output.json(&value)?;
            } else {
                print_text(&value, &mut output)?;
            }
        }
    }
    output.finish()
}

fn hl7v2(config: &Config, bytes: &[u8]) -> Result<Vec<Value>, Failure> {
    let mapping: MappingConfig = match config.rooms.get("hl7v2").and_then(|block| block.get("mapping")) {
        None => MappingConfig::default(),
        Some(block) => serde_json::from_value(block.clone()).map_err(|error| refused("hl7v2.mapping", error))?,
    };
    let key = config.identity.pseudonym_key.expose().as_bytes();
    let mapper = Mapper::new(mapping, key).map_err(|error| refused("hl7v2.mapping", error))?;
    Ok(hl7v2::parse_to_json(bytes, &mapper, now()))
}

fn fhir(config: &Config, bytes: &[u8]) -> Result<Vec<Value>, Failure> {
    let room: FhirConfig = config.room("fhir").map_err(|error| refused("fhir", error))?;
    let profile = room.profile(&config.identity.pseudonym_key).map_err(|error| refused("fhir", error))?;
    let context = fhir::Context { profile: &profile, version: None, shelf: &EmptyShelf, received_at: now() };
    Ok(fhir::parse_to_json(bytes, &context, &mut Seen::default()))
}

fn refused(room: &str, error: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("rooms.{room}: {error}"), "correct that block of the file named with --config")
}

fn now() -> Timestamp {
    Timestamp(clock::now_micros())
}

/// One message or resource for people: what it is, what becomes of it, and where it is wrong.
fn print_text(value: &Value, output: &mut Output) -> Result<(), Failure> {
    let text = |path: &str| match value.pointer(path) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let first = |paths: &[&str]| paths.iter().find_map(|path| text(path));
    let what = first(&["/message_type", "/resource"]).unwrap_or_else(|| "?".to_owned());
    let id = text("/control_id").map(|id| format!(" {id}")).unwrap_or_default();
    let file = text("/file").map(|file| format!("{file}: ")).unwrap_or_default();
    let outcome = text("/outcome").unwrap_or_default();
    output.line(format!("{file}{what}{id} -> {outcome}"))?;
    for event in value.get("events").and_then(Value::as_array).into_iter().flatten() {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        let body = event.get("event").or_else(|| event.get("value")).unwrap_or(event);
        output.line(format!("  {kind}"))?;
        output.line(format!("    {}", facts(body)))?;
    }
    if outcome != "events" {
        let place = first(&["/place", "/path"]).map(|place| format!(" at {place}")).unwrap_or_default();
        let bytes = match (text("/byte_start"), text("/byte_end")) {
            (Some(start), Some(end)) => format!(" (bytes {start} to {end})"),
            _ => String::new(),
        };
        let code = first(&["/code", "/rule"]).unwrap_or_default();
        output.line(
            format!("  {code}{place}{bytes}: {}", text("/detail").unwrap_or_default()).trim_end_matches([':', ' ']),
        )?;
        if let Some(fix) = first(&["/suggested_fix", "/suggestedFix"]) {
            output.line(format!("  fix: {fix}"))?;
        }
    }
    let warnings = ["/warnings", "/tolerances"].into_iter().filter_map(|path| value.pointer(path)?.as_array());
    for warning in warnings.flatten() {
        output.line(format!("  note: {}", warning.as_str().map_or_else(|| warning.to_string(), str::to_owned)))?;
    }
    Ok(())
}

fn facts(event: &Value) -> String {
    let parts = FACTS.iter().filter_map(|(path, title)| match event.pointer(path)? {
        Value::String(text) if !text.is_empty() => Some(format!("{title}{text}")),
        Value::Number(number) if path.ends_with("At") => Some(format!("{title}{}", Timestamp(number.as_i64()?))),
        Value::Number(number) => Some(format!("{title}{number}")),
        _ => None,
    });
    parts.collect::<Vec<_>>().join(", ")
}
