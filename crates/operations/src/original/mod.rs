//! Bytes as they came, in a form that people can read: HL7 v2 by segments and fields, JSON and events as a tree, the rest as
//! numbers. What may identify a patient is left out unless it is asked for.

mod hl7;
mod open;

use runtime::codec::Codec;
use runtime::correction::field;
use serde::Serialize;
use serde_json::Value;

pub use hl7::{Segment, SegmentField, field_name, name_of};

/// What stands for a value that is not shown.
pub const MASK: &str = "•••";
/// Most bytes that are shown as numbers.
const HEX_MAX: usize = 4_096;
/// Deepest nesting of a tree that is shown.
pub const DEPTH_MAX: usize = 32;
/// Longest value that is shown beside the field it stands in, characters.
const VALUE_MAX: usize = 200;

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

    /// Reads bytes that are no event.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), content_type: None, is_masked: false, original: of_bytes(bytes) }
    }

    /// The same without what may identify a patient: of a message only the fields that identify nobody, of an event no part that its
    /// contract calls direct.
    #[must_use]
    pub fn masked(mut self) -> Self {
        self.is_masked = true;
        self.original = match self.original {
            Original::Hl7v2 { mut segments } => {
                // What stands behind a line feed inside of a field looks like a segment and is none.
                segments.iter_mut().filter(|segment| !hl7::is_segment_name(&segment.name)).for_each(|segment| {
                    MASK.clone_into(&mut segment.name);
                });
                for segment in &mut segments {
                    for field in &mut segment.fields {
                        field.text = open::shown(&segment.name, field.number, &field.text);
                    }
                }
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

    /// What stands in a field that an exception names; none where there is no such field.
    #[must_use]
    pub fn value_at(&self, path: &str) -> Option<String> {
        let text = match &self.original {
            Original::Hl7v2 { segments } => {
                let (segment, number) = hl7::place(path)?;
                let mut named = segments.iter().filter(|one| one.name == segment);
                let fields = &named.nth(hl7::repetition(path) - 1)?.fields;
                fields.iter().find(|field| field.number == number)?.text.clone()
            }
            Original::Tree { value, .. } => match in_tree(value, path)? {
                Value::Null => return None,
                Value::String(text) => text.clone(),
                value => value.to_string(),
            },
            Original::Bytes { .. } | Original::Nothing => return None,
        };
        Some(match text.char_indices().nth(VALUE_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        })
    }

    /// The event, where it is one.
    #[must_use]
    pub fn event(&self) -> Option<&Value> {
        match &self.original {
            Original::Tree { value, is_event: true } => Some(value),
            _ => None,
        }
    }

    /// As lines for a terminal; a `>` stands before fields that are blamed.
    #[must_use]
    pub fn lines(&self, blamed: &[String]) -> Vec<String> {
        match &self.original {
            Original::Nothing => vec!["there are no bytes".to_owned()],
            Original::Bytes { lines, .. } if self.is_masked && lines.is_empty() => {
                vec!["neither a message nor an event: nothing of it is shown here".to_owned()]
            }
            Original::Bytes { lines, .. } => lines.lines().map(str::to_owned).collect(),
            Original::Hl7v2 { segments } => {
                segments.iter().flat_map(|segment| segment_lines(segment, blamed)).collect()
            }
            Original::Tree { value, .. } => {
                let mut lines = Vec::new();
                tree_lines("", value, blamed, 0, &mut lines);
                lines
            }
        }
    }
}

fn segment_lines(segment: &Segment, blamed: &[String]) -> Vec<String> {
    let head = format!("  {} {}", segment.name, segment.title);
    let field = |field: &SegmentField| {
        let place = format!("{}-{}", segment.name, field.number);
        let mark = if is_blamed(blamed, &place) { '>' } else { ' ' };
        format!("{mark}   {:<42} {}", format!("{place} {}", field.name), field.text)
    };
    std::iter::once(head.trim_end().to_owned()).chain(segment.fields.iter().map(field)).collect()
}

fn tree_lines(name: &str, value: &Value, blamed: &[String], depth: usize, lines: &mut Vec<String>) {
    let mark = if !name.is_empty() && is_blamed(blamed, name) { '>' } else { ' ' };
    let indent = "  ".repeat(depth);
    let mut line = |text: &str| lines.push(format!("{mark} {indent}{name}: {text}").trim_end().to_owned());
    match value {
        Value::Null => {}
        Value::Array(entries) if entries.is_empty() => {}
        Value::Object(_) | Value::Array(_) if depth >= DEPTH_MAX => line("..."),
        Value::Object(fields) => {
            if !name.is_empty() {
                line("");
            }
            let deeper = depth + usize::from(!name.is_empty());
            fields.iter().for_each(|(name, value)| tree_lines(name, value, blamed, deeper, lines));
        }
        Value::Array(entries) => {
            line(&entries.len().to_string());
            let numbered = (1_usize..).zip(entries);
            numbered.for_each(|(number, entry)| tree_lines(&number.to_string(), entry, blamed, depth + 1, lines));
        }
        Value::String(text) => line(text),
        Value::Bool(_) | Value::Number(_) => line(&value.to_string()),
    }
}

/// Finds what a path names, `itemRef.code`, `itemRefs[0].code` or, of a resource, `Encounter.period.start`.
fn in_tree<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let plain = path.replace('[', ".").replace(']', "");
    let below = plain.split_once('.').filter(|(first, _)| value["resourceType"] == **first).map(|(_, rest)| rest);
    field(value, &plain).or_else(|| field(value, below?))
}

/// Whether a place, a field of a segment or the name of a field of a tree, is what paths name.
#[must_use]
pub fn is_blamed(blamed: &[String], place: &str) -> bool {
    let of_segment = hl7::place(place);
    blamed.iter().any(|path| {
        path == place
            || (of_segment.is_some() && hl7::place(path) == of_segment)
            || path.rsplit('.').next() == Some(place)
            || path.strip_prefix(place).is_some_and(|rest| rest.starts_with(['.', '[']))
    })
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
    if let Some(segments) = hl7::segments(bytes) {
        return Original::Hl7v2 { segments };
    }
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| [b'{', b'['].contains(first))
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        return Original::Tree { value, is_event: false };
    }
    let shown = bytes.get(..HEX_MAX).unwrap_or(bytes);
    Original::Bytes { lines: crate::dump(shown), more: bytes.len() - shown.len() }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    const MESSAGE: &[u8] = b"\x0bMSH|^~\\&|EPIC||WL\rPID|1||M1^^^GENERAL^MR||Abel^Ada\rZXA|1\r\x1c\r";

    fn source(original: Original) -> Source {
        Source { bytes: 9, content_type: None, is_masked: false, original }
    }

    fn message() -> Source {
        Source::of(MESSAGE)
    }

    #[test]
    fn a_message_is_read_by_segments_and_fields_with_their_names() {
        let Original::Hl7v2 { segments } = message().original else { panic!("no message") };
        let fields: Vec<_> = segments[1].fields.iter().map(|field| (field.number, field.name, &*field.text)).collect();
        assert_eq!((segments.len(), segments[0].title, segments[1].title), (3, "message header", "patient"));
        assert_eq!(segments[0].fields[0].number, 2, "the separator is the first field");
        assert_eq!(
            fields,
            [(1, "Set ID", "1"), (3, "Patient identifier list", "M1^^^GENERAL^MR"), (5, "Patient name", "Abel^Ada")]
        );
        assert_eq!((segments[2].title, segments[2].fields[0].name), ("", ""), "a segment of the site has no names");
    }

    #[test]
    fn a_value_is_found_where_an_exception_says_it_is() {
        assert_eq!(message().value_at("PID-5").as_deref(), Some("Abel^Ada"));
        assert_eq!(message().value_at("PID[1]-5.2").as_deref(), Some("Abel^Ada"));
        assert_eq!(message().value_at("PID[2]-5"), None);
        assert_eq!(message().value_at("PID-6"), None);
        assert_eq!(message().masked().value_at("PID-5").as_deref(), Some(MASK));
        let event = json!({"itemRefs": [{"code": "4711"}], "lot": null, "note": "x".repeat(300)});
        let event = source(Original::Tree { value: event, is_event: true });
        assert_eq!(event.value_at("itemRefs[0].code").as_deref(), Some("4711"));
        assert_eq!(event.value_at("itemRefs.0").as_deref(), Some(r#"{"code":"4711"}"#));
        assert_eq!((event.value_at("lot"), event.value_at("udi")), (None, None));
        assert_eq!(event.value_at("note").map(|note| note.len()), Some(VALUE_MAX + 3));
        let resource = Source::of(br#"{"resourceType": "Encounter", "period": {"start": "2026"}}"#);
        assert_eq!(resource.value_at("Encounter.period.start").as_deref(), Some("2026"));
    }

    #[test]
    fn lines_for_a_terminal_name_fields_and_mark_what_is_blamed() {
        let lines = message().masked().lines(&["PID[1]-3".to_owned()]).join("\n");
        assert!(lines.contains("  PID patient\n"), "{lines}");
        let blamed: Vec<&str> = lines.lines().filter(|line| line.starts_with('>')).collect();
        assert_eq!(blamed.len(), 1, "{lines}");
        assert!(blamed[0].starts_with(">   PID-3 Patient identifier list ") && blamed[0].ends_with(MASK), "{lines}");
        assert!(lines.contains("\n    PID-5 Patient name ") && !lines.contains("Abel"), "PHI-1: {lines}");
        let event = json!({"itemRef": {"code": "4711"}, "masters": [{"key": "7"}], "none": null, "quantity": 2});
        let lines = source(Original::Tree { value: event, is_event: true }).lines(&["itemRef.code".to_owned()]);
        assert_eq!(
            lines,
            ["> itemRef:", ">   code: 4711", "  masters: 1", "    1:", "      key: 7", "  quantity: 2"],
            "what holds the blamed field is marked with it"
        );
    }

    #[test]
    fn other_bytes_are_numbers_up_to_the_bound() {
        let Original::Bytes { lines, more } = of_bytes(&vec![0xff; HEX_MAX + 5]) else { panic!("no bytes") };
        assert!(lines.starts_with("00000000  ff ff ") && more == 5, "{lines}");
    }

    #[test]
    fn phi_1_a_masked_original_keeps_its_shape_and_no_value() {
        let shown = |source: Source| source.masked().lines(&[]).join("\n");
        let resource = shown(Source::of(br#"{"resourceType": "Patient", "name": [{"family": "Abel"}]}"#));
        assert!(
            resource.contains("family") && resource.contains("Patient") && !resource.contains("Abel"),
            "{resource}"
        );
        let event = json!({"itemRef": "4711", "phi": {"patientId": "7"}, "list": [{"rawValue": "QWJlbA=="}]});
        let event = shown(source(Original::Tree { value: event, is_event: true }));
        assert!(event.contains("4711") && !event.contains("patientId") && !event.contains("QWJlbA"), "{event}");
        for other in [r#"{"employeeId": "4", "displayName": "Abel"}"#, r#"{"resourceType": {"name": "Abel"}}"#] {
            let other = shown(Source::of(other.as_bytes()));
            assert!(!other.contains("Abel"), "{other}");
        }
        let header =
            Source::of(b"MSH|^~\\&|EPIC|||||||4711|P|2.5|||||UTF 9\rPID|1||M1||Abel^Ada\rFT1|1|||||CG|71-1^Abel|||2\r")
                .masked();
        for (path, value) in [
            ("MSH-3", MASK),
            ("MSH-10", MASK),
            ("MSH-17", MASK),
            ("MSH-12", "2.5"),
            ("FT1[1]-10", "2"),
            ("FT1-7", "71-1^•••"),
            ("PID-3", MASK),
        ] {
            assert_eq!(header.value_at(path).as_deref(), Some(value), "{path}");
        }
        let broken = shown(Source::of(b"MSH|^~\\&|EPIC\rPID|1||M1\nAbel^Ada|F\r"));
        assert!(broken.contains("PID") && !broken.contains("Abel"), "{broken}");
        let bytes = shown(Source::of(b"no message of Abel"));
        assert!(!bytes.contains("Abel"), "{bytes}");
    }
}
