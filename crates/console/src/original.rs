//! Bytes as they came, in a form that people can read: HL7 v2 by segments and fields, JSON and events as a tree, the rest as
//! numbers. What may identify a patient is left out unless it was asked for with a reason.

use crate::html::number;
use crate::problem::Problem;
use maud::{Markup, html};
use runtime::codec::Codec;
use serde::Serialize;
use serde_json::Value;

/// What stands for a value that is not shown.
pub const MASK: &str = "•••";
/// Most bytes that are shown as numbers.
const HEX_MAX: usize = 4_096;
/// Deepest nesting of a tree that is shown.
const DEPTH_MAX: usize = 32;

/// What bytes are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "form")]
pub enum Original {
    /// An HL7 v2 message.
    Hl7v2 {
        /// Its segments.
        segments: Vec<Segment>,
    },
    /// JSON, for example a FHIR resource, or an event by its contract.
    Tree {
        /// The value.
        value: Value,
        /// Whether it is an event, of which a contract says what identifies a patient. Of other JSON nothing is known.
        #[serde(skip)]
        is_event: bool,
    },
    /// Anything else.
    Bytes {
        /// Lines of numbers and text.
        lines: String,
        /// Bytes that are not shown.
        more: usize,
    },
    /// There are no bytes.
    Nothing,
}

/// A segment of an HL7 v2 message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// For example `PID`.
    pub name: String,
    /// Numbers and texts of the fields that are not empty.
    pub fields: Vec<(usize, String)>,
}

/// Bytes with what is known of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Size, bytes.
    pub bytes: usize,
    /// What was said of their type.
    pub content_type: Option<String>,
    /// Whether what may identify a patient is left out.
    pub is_masked: bool,
    /// What they are.
    pub original: Original,
}

impl Source {
    /// Reads bytes; what does not fit any form is shown as numbers. Events are read by their contract.
    pub async fn read(codec: &Codec, bytes: Option<&[u8]>, content_type: Option<&str>, bound: usize) -> Self {
        let all = bytes.unwrap_or_default();
        let shown = all.get(..bound).unwrap_or(all);
        let original = match bytes {
            None => Original::Nothing,
            Some(_) => match event(codec, shown).await {
                Some(value) => Original::Tree { value, is_event: true },
                None => of_bytes(shown),
            },
        };
        let content_type = content_type.map(str::to_owned);
        Self { bytes: all.len(), content_type, is_masked: false, original }
    }

    /// The same without what may identify a patient: of a message no value, of an event no part that its contract calls direct.
    #[must_use]
    pub fn masked(mut self) -> Self {
        self.is_masked = true;
        self.original = match self.original {
            Original::Hl7v2 { mut segments } => {
                // What stands behind a line feed inside of a field looks like a segment and is none.
                segments.iter_mut().filter(|segment| !is_segment_name(&segment.name)).for_each(|segment| {
                    MASK.clone_into(&mut segment.name);
                });
                segments.iter_mut().flat_map(|segment| &mut segment.fields).for_each(|(_, text)| MASK.clone_into(text));
                Original::Hl7v2 { segments }
            }
            Original::Tree { mut value, is_event } => {
                if is_event {
                    mask_direct(&mut value)
                } else {
                    mask_all(&mut value)
                }
                Original::Tree { value, is_event }
            }
            Original::Bytes { .. } => Original::Bytes { lines: String::new(), more: self.bytes },
            Original::Nothing => Original::Nothing,
        };
        self
    }

    /// As a part of a page; fields that are blamed stand out.
    pub fn show(&self, blamed: &[String]) -> Markup {
        html! {
            p.muted {
                (number(self.bytes as i128)) " bytes"
                @if let Some(content_type) = &self.content_type { ", " (content_type) }
                @if self.is_masked { ", without what may identify a patient" }
            }
            @match &self.original {
                Original::Nothing => p { "There are no bytes." },
                Original::Bytes { lines, .. } if self.is_masked && lines.is_empty() => {
                    p { "Neither a message nor an event: nothing of it is shown here." }
                },
                Original::Bytes { lines, more } => {
                    pre tabindex="0" { (lines) }
                    @if *more > 0 { p.muted { (number(*more as i128)) " more bytes are not shown." } }
                },
                Original::Tree { value, .. } => { ul.tree { (tree("", value, blamed, 0)) } },
                Original::Hl7v2 { segments } => {
                    ol.segments {
                        @for segment in segments {
                            li {
                                h3 { span.mono { (segment.name) } " " span.muted { (segment_title(&segment.name)) } }
                                dl {
                                    @for (number, text) in &segment.fields {
                                        @let place = format!("{}-{number}", segment.name);
                                        @let is_blamed = is_blamed(blamed, &place);
                                        dt.blamed[is_blamed] { (place) }
                                        dd.blamed[is_blamed] { (text) }
                                    }
                                }
                            }
                        }
                    }
                },
            }
        }
    }
}

/// An event in the Confluent framing, by the contract it was written with.
async fn event(codec: &Codec, bytes: &[u8]) -> Option<Value> {
    if bytes.first() != Some(&0) || bytes.len() < 6 {
        return None;
    }
    let (writer, body) = codec.open(bytes).await.ok()?;
    schemas::codec::to_json(&writer, body).ok()
}

fn of_bytes(bytes: &[u8]) -> Original {
    if let Some(segments) = segments(bytes) {
        return Original::Hl7v2 { segments };
    }
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| [b'{', b'['].contains(first))
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        return Original::Tree { value, is_event: false };
    }
    let shown = bytes.get(..HEX_MAX).unwrap_or(bytes);
    Original::Bytes { lines: operations::dump(shown), more: bytes.len() - shown.len() }
}

/// The segments of an HL7 v2 message; none when it is not one.
fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let start = bytes.iter().position(|byte| !byte.is_ascii_control() && *byte != b' ')?;
    let text = String::from_utf8_lossy(bytes.get(start..)?);
    let separator = text.strip_prefix("MSH").and_then(|rest| rest.chars().next())?;
    if separator.is_alphanumeric() {
        return None;
    }
    let lines = text.split(['\r', '\n']).map(|line| line.trim_matches(['\u{b}', '\u{1c}']));
    let segment = |line: &str| {
        let mut parts = line.split(separator);
        let name: String = parts.next().unwrap_or_default().chars().take(8).collect();
        // The first field of a header is the separator itself.
        let is_header = ["MSH", "BHS", "FHS"].contains(&name.as_str());
        let first = if is_header { 2 } else { 1 };
        let fields = parts.enumerate().filter(|(_, text)| !text.is_empty());
        Segment { fields: fields.map(|(index, text)| (index + first, text.to_owned())).collect(), name }
    };
    Some(lines.filter(|line| !line.is_empty()).map(segment).collect())
}

fn tree(name: &str, value: &Value, blamed: &[String], depth: usize) -> Markup {
    let is_blamed = !name.is_empty() && is_blamed(blamed, name);
    let label = html! { @if !name.is_empty() { span.mono.blamed[is_blamed] { (name) } ": " } };
    match value {
        Value::Object(_) | Value::Array(_) if depth >= DEPTH_MAX => html! { li { (label) "..." } },
        Value::Object(fields) => html! {
            @if name.is_empty() {
                @for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                    (tree(name, value, blamed, depth + 1))
                }
            } @else {
                li {
                    details open {
                        summary { (label) }
                        ul.tree {
                            @for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                                (tree(name, value, blamed, depth + 1))
                            }
                        }
                    }
                }
            }
        },
        Value::Array(entries) if entries.is_empty() => html! {},
        Value::Array(entries) => html! {
            li {
                details open {
                    summary { (label) span.muted { (entries.len()) } }
                    ul.tree {
                        @for (index, entry) in entries.iter().enumerate() {
                            (tree(&format!("{}", index + 1), entry, blamed, depth + 1))
                        }
                    }
                }
            }
        },
        Value::String(text) => html! { li { (label) (text) } },
        Value::Null | Value::Bool(_) | Value::Number(_) => html! { li { (label) span.mono { (value.to_string()) } } },
    }
}

fn is_blamed(blamed: &[String], place: &str) -> bool {
    blamed.iter().any(|path| {
        path == place
            || path.rsplit('.').next() == Some(place)
            || path.strip_prefix(place).is_some_and(|rest| rest.starts_with(['.', '[']))
    })
}

/// A name as HL7 v2 gives it: three capitals or digits (standard 2.5.2, chapter 2.5.2).
fn is_segment_name(name: &str) -> bool {
    name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Everything but the names of fields, and of which type a resource is.
fn mask_all(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_type = |name: &str, value: &Value| name == "resourceType" && value.is_string();
            fields.iter_mut().filter(|(name, value)| !is_type(name, value)).for_each(|(_, value)| mask_all(value));
        }
        Value::Array(entries) => entries.iter_mut().for_each(mask_all),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => *value = Value::String(MASK.to_owned()),
    }
}

/// What a contract keeps apart because it identifies a patient, and bytes of messages inside.
fn mask_direct(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match name.as_str() {
                    "phi" | "rawValue" | "value" | "displayName" | "output"
                        if !value.is_null() && !value.is_number() =>
                    {
                        *value = Value::String(MASK.to_owned());
                    }
                    _ => mask_direct(value),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(mask_direct),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn segment_title(name: &str) -> &'static str {
    match name {
        "MSH" => "message header",
        "EVN" => "event",
        "PID" => "patient",
        "PD1" => "patient, more",
        "NK1" => "next of kin",
        "PV1" => "stay",
        "PV2" => "stay, more",
        "MRG" => "merged patient",
        "ORC" => "order",
        "OBR" => "request",
        "OBX" => "observation",
        "FT1" => "charge",
        "PR1" => "procedure",
        "RQD" => "requisition",
        "RXA" => "administration",
        "RXE" => "encoded order",
        "DG1" => "diagnosis",
        "GT1" => "guarantor",
        "IN1" => "insurance",
        "AL1" => "allergy",
        "NTE" => "note",
        "ZFT" | "ZSU" => "of the site",
        _ => "",
    }
}

/// Says what the right to see an original needs.
///
/// # Errors
/// When the reason is too short to mean anything.
pub fn check_reason(reason: &str) -> Result<(), Problem> {
    if !operations::audit::is_reason(reason) {
        return Err(Problem::not_understood("a reason says in a few words why the patient data must be seen"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    const MESSAGE: &[u8] = b"\x0bMSH|^~\\&|EPIC|<script>alert(1)</script>|WL\rPID|1||M1^^^GENERAL^MR||Abel^Ada\r\x1c\r";

    fn source(original: Original) -> Source {
        Source { bytes: 9, content_type: None, is_masked: false, original }
    }

    #[test]
    fn a_message_is_shown_by_segments_and_fields_and_escaped() {
        let shown = source(of_bytes(MESSAGE)).show(&["PID-3".to_owned()]).into_string();
        assert!(shown.contains("MSH-4") && shown.contains("&lt;script&gt;") && !shown.contains("<script"), "{shown}");
        assert!(shown.contains("<dd class=\"blamed\">M1^^^GENERAL^MR</dd>"), "{shown}");
        let Original::Hl7v2 { segments } = of_bytes(MESSAGE) else { panic!("no message") };
        assert_eq!(segments.len(), 2);
        assert_eq!(segments[0].fields[0], (2, "^~\\&".to_owned()));
        assert_eq!(segments[1].fields[1], (3, "M1^^^GENERAL^MR".to_owned()));
    }

    #[test]
    fn phi_1_a_masked_original_keeps_its_shape_and_no_value() {
        let message = source(of_bytes(MESSAGE)).masked().show(&[]).into_string();
        assert!(message.contains("PID-5") && !message.contains("Abel") && !message.contains("EPIC"), "{message}");
        let resource = source(of_bytes(br#"{"resourceType": "Patient", "name": [{"family": "Abel"}]}"#)).masked();
        let resource = resource.show(&[]).into_string();
        assert!(
            resource.contains("family") && resource.contains("Patient") && !resource.contains("Abel"),
            "{resource}"
        );
        let event = json!({"itemRef": "4711", "phi": {"patientId": "7"}, "list": [{"rawValue": "QWJlbA=="}]});
        let event = source(Original::Tree { value: event, is_event: true }).masked().show(&[]).into_string();
        assert!(event.contains("4711") && !event.contains("patientId") && !event.contains("QWJlbA"), "{event}");
        for other in [r#"{"employeeId": "4", "displayName": "Abel"}"#, r#"{"resourceType": {"name": "Abel"}}"#] {
            let other = source(of_bytes(other.as_bytes())).masked().show(&[]).into_string();
            assert!(!other.contains("Abel"), "{other}");
        }
        let broken = source(of_bytes(b"MSH|^~\\&|EPIC\rPID|1||M1\nAbel^Ada|F\r")).masked().show(&[]).into_string();
        assert!(broken.contains("PID-3") && !broken.contains("Abel"), "{broken}");
        let bytes = source(of_bytes(b"Abel, Ada")).masked().show(&[]).into_string();
        assert!(!bytes.contains("Abel") && !bytes.contains("41 62"), "{bytes}");
    }

    #[test]
    fn other_bytes_are_numbers_up_to_the_bound() {
        let Original::Bytes { lines, more } = of_bytes(&vec![0xff; HEX_MAX + 5]) else { panic!("no bytes") };
        assert!(lines.starts_with("00000000  ff ff ") && more == 5, "{lines}");
        assert_eq!(segments(b"MSHX|"), None);
        assert_eq!(segments(b""), None);
    }

    #[test]
    fn a_reason_has_some_words() {
        assert!(check_reason("....    ").is_err());
        assert!(check_reason("wrong patient at OR 3").is_ok());
    }
}
