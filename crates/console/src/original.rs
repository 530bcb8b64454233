//! Bytes as they came, as a part of a page: HL7 v2 by segments and fields with their names, JSON and events as a tree, the rest
//! as numbers. What may identify a patient is left out unless it was asked for with a reason.

use crate::html::{Act, Frame, form, number};
use crate::pages::REASON;
use crate::people::Right;
use crate::problem::Problem;
use maud::{Markup, html};
use operations::original::{DEPTH_MAX, Original, is_blamed};
use serde_json::Value;

pub use operations::original::{MASK, Source};

/// The form by which who has the right sees the bytes behind `path`, once; nothing where they are seen already.
pub fn see_bytes(source: &Source, path: &str, frame: &Frame<'_>) -> Markup {
    html! {
        @if source.is_masked && frame.may(Right::SeeOriginals) {
            h2 { "See the bytes" }
            (form(frame, &Act {
                action: format!("{path}/original"),
                label: "Show once",
                help: "Shows everything that came, once. Who asked and why goes on record.",
                fields: REASON,
                hidden: Vec::new(),
                is_grave: false,
            }))
        }
    }
}

/// As a part of a page; fields that are blamed stand out.
pub fn show(source: &Source, blamed: &[String]) -> Markup {
    html! {
        p.muted {
            (number(source.bytes as i128)) " bytes"
            @if let Some(content_type) = &source.content_type { ", " (content_type) }
            @if source.is_masked { ", without what may identify a patient" }
        }
        @match &source.original {
            Original::Nothing => p { "There are no bytes." },
            Original::Bytes { lines, .. } if source.is_masked && lines.is_empty() => {
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
                            h3 { span.mono { (segment.name) } " " span.muted { (segment.title) } }
                            dl {
                                @for field in &segment.fields {
                                    @let place = format!("{}-{}", segment.name, field.number);
                                    @let is_blamed = is_blamed(blamed, &place);
                                    dt.blamed[is_blamed] { span.mono { (place) } " " (field.name) }
                                    dd.blamed[is_blamed] { (field.text) }
                                }
                            }
                        }
                    }
                }
            },
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    const MESSAGE: &[u8] = b"\x0bMSH|^~\\&|EPIC|<script>alert(1)</script>|WL\rPID|1||M1^^^GENERAL^MR||Abel^Ada\r\x1c\r";

    #[test]
    fn a_message_is_shown_by_segments_and_fields_and_escaped() {
        let shown = show(&Source::of(MESSAGE), &["PID-3".to_owned()]).into_string();
        assert!(shown.contains("MSH-4") && shown.contains("&lt;script&gt;") && !shown.contains("<script"), "{shown}");
        assert!(shown.contains("<dd class=\"blamed\">M1^^^GENERAL^MR</dd>"), "{shown}");
        assert!(shown.contains("PID-5</span> Patient name</dt>"), "{shown}");
    }

    #[test]
    fn phi_1_a_masked_original_shows_no_value_of_a_person() {
        let message = show(&Source::of(MESSAGE).masked(), &[]).into_string();
        assert!(message.contains("PID-5") && !message.contains("Abel") && !message.contains("EPIC"), "{message}");
        let event = json!({"itemRef": "4711", "phi": {"patientId": "7"}});
        let event = Source { original: Original::Tree { value: event, is_event: true }, ..Source::of(b"") };
        let event = show(&event.masked(), &[]).into_string();
        assert!(event.contains("4711") && !event.contains("patientId"), "{event}");
        let bytes = show(&Source::of(b"Abel, Ada").masked(), &[]).into_string();
        assert!(!bytes.contains("Abel") && !bytes.contains("41 62"), "{bytes}");
    }

    #[test]
    fn a_reason_has_some_words() {
        assert!(check_reason("....    ").is_err());
        assert!(check_reason("wrong patient at OR 3").is_ok());
    }
}
