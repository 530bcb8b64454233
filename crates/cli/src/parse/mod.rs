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
    let mut refused = 0;
    for path in &options.files {
        let bytes = send::read(path)?;
        let found = match options.kind {
            InputKind::Udi => {
                refused += udi::print(&bytes, options.json, &mut output)?;
                continue;
            }
            InputKind::Hl7v2 => hl7v2(&config, &bytes)?,
            InputKind::Fhir => fhir(&config, &bytes)?,
        };
        for mut value in found {
            refused += usize::from(is_refused(&value));
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
    output.finish()?;
    match refused {
        0 => Ok(()),
        _ => Err(Failure::usage(
            format!("WL-7068: {refused} refused"),
            "correct what is said above and parse it again; docs/errors explains each code",
        )),
    }
}

/// Whether it would be an exception or a dead letter. What a named rule leaves out is as it should be.
fn is_refused(value: &Value) -> bool {
    matches!(value.get("outcome").and_then(Value::as_str), Some("exception" | "dead-letter"))
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
    notes(value).iter().try_for_each(|note| output.line(format!("  note: {note}")))
}

/// What was read and yet is doubtful, each once: what the events say of it, then what is said of the message alone.
fn notes(value: &Value) -> Vec<String> {
    let listed = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let events = listed(value, "/events").into_iter().flat_map(|said| {
        let event = said.get("event").or_else(|| said.get("value")).unwrap_or(&said).clone();
        listed(&event, "/meta/warnings")
    });
    let mut notes: Vec<String> = Vec::new();
    for note in events.map(|warning| sentence(&warning)) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    for note in ["/warnings", "/tolerances"].into_iter().flat_map(|path| listed(value, path)) {
        let note = note.as_str().map_or_else(|| note.to_string(), str::to_owned);
        // Most of them are in the events too, with a code in front.
        if !notes.iter().any(|known| known.ends_with(&note)) {
            notes.push(note);
        }
    }
    notes
}

/// Code, place and detail of a warning.
fn sentence(warning: &Value) -> String {
    let text = |name: &str| warning.get(name).and_then(Value::as_str).unwrap_or_default();
    let place = if text("path").is_empty() { String::new() } else { format!(" at {}", text("path")) };
    format!("{}{place}: {}", text("code"), text("detail"))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;
    use tempfile::TempDir;

    const ADMISSION: &str = "MSH|^~\\&|EPIC|GENERAL|WL|GENERAL|20260302080000||ADT^A01|P-1|P|2.5.1\r\
        EVN|A01|20260302080000\rPID|1||M1^^^GENERAL^MR||Abel^Ada||19700101|F\r\
        PV1|1|I|OR1||||||||||||||||V1^^^GENERAL^VN|||||||||||||||||||||||||20260302080000\r";

    fn parse(kind: InputKind, text: &str) -> Result<(), Failure> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("input");
        std::fs::write(&path, text).unwrap();
        execute(&Globals::default(), &Parse { kind, files: vec![path], json: false })
    }

    #[test]
    fn a_refusal_is_a_failure_with_one_sentence() {
        for (kind, good, bad) in [
            (InputKind::Hl7v2, ADMISSION, "PID|1||no header\r"),
            (InputKind::Udi, "(01)04012345678901(10)L1", "(01)04012345678902"),
        ] {
            assert_eq!(parse(kind, good), Ok(()), "{kind:?}");
            let said = parse(kind, bad).unwrap_err();
            assert!(said.to_string().starts_with("WL-7068: 1 refused") && said.exit_code() == 2, "{said}");
        }
        assert!(parse(InputKind::Fhir, "{}").is_err());
        assert!(parse(InputKind::Fhir, "").unwrap_err().to_string().contains("WL-7074"));
    }

    #[test]
    fn what_a_rule_leaves_out_is_no_refusal() {
        assert!(!is_refused(&json!({"outcome": "dropped"})) && !is_refused(&json!({"outcome": "events"})));
        assert!(is_refused(&json!({"outcome": "exception"})) && is_refused(&json!({"outcome": "dead-letter"})));
    }

    #[test]
    fn what_is_doubtful_is_noted_once() {
        let warning = |code: &str, path: &str, detail: &str| json!({"code": code, "path": path, "detail": detail});
        let event = |warnings: Value| json!({"type": "t", "event": {"meta": {"warnings": warnings}}});
        let late = warning("WL-2022", "Encounter.period", "no offset");
        let value = json!({
            "events": [
                event(json!([late, warning("WL-1008", "", "tolerated: line-end.crlf")])),
                event(json!([late])),
            ],
            "tolerances": ["line-end.crlf", "header.none"],
        });
        let expected = ["WL-2022 at Encounter.period: no offset", "WL-1008: tolerated: line-end.crlf", "header.none"];
        assert_eq!(notes(&value), expected);
    }
}
