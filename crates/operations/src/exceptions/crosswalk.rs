//! Which code of which source an exception is about, so that somebody can map it.

use crate::crosswalk::{MappedCode, MappingKind};
use serde_json::Value;

/// The code that the original event names its article or place by, as the room that recognises it looks it up first.
///
/// `kind` says what is meant where the fields of the exception do not.
pub fn mapped_code(event: &Value, field_paths: &[String], kind: Option<MappingKind>) -> Option<MappedCode> {
    let about = |name: &str| field_paths.iter().any(|path| path.split('.').next() == Some(name));
    let kind = kind.or_else(|| match (about("itemRef") || about("udi"), about("location") || about("department")) {
        (true, false) => Some(MappingKind::Item),
        (false, true) => Some(MappingKind::Location),
        _ => None,
    })?;
    let code = match kind {
        MappingKind::Item => item(event),
        MappingKind::Location => place(event),
    }?;
    let source_system = text(event.pointer("/meta/source/system"))?;
    Some(MappedCode { kind, source_system, code })
}

fn item(event: &Value) -> Option<String> {
    let sent = text(event.pointer("/itemRef/code")).or_else(|| text(event.pointer("/itemRefs/0/code")));
    sent.or_else(|| text(event.pointer("/udi/di")))
}

/// `unit^room^bed^facility` with trailing parts left out, else the code of the place, else the department.
fn place(event: &Value) -> Option<String> {
    let part = |name: &str| text(event.get("location").and_then(|location| location.get(name))).unwrap_or_default();
    let place = format!("{}^{}^{}", part("unit"), part("room"), part("bed"));
    let bare = place.trim_end_matches('^');
    match (bare.is_empty(), part("facility").is_empty()) {
        (false, false) => Some(format!("{place}^{}", part("facility"))),
        (false, true) => Some(bare.to_owned()),
        (true, _) => Some(part("code")).filter(|code| !code.is_empty()).or_else(|| text(event.get("department"))),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_code_is_the_one_that_is_looked_up_first() {
        let said = |event: Value, path: &str| {
            let event = json!({"meta": {"source": {"system": "S"}}, "itemRef": event["item"], "udi": event["udi"],
                "location": event["place"], "department": event["department"]});
            mapped_code(&event, &[path.to_owned()], None).map(|mapped| (mapped.kind.as_str(), mapped.code))
        };
        let told = |kind: &'static str, code: &str| Some((kind, code.to_owned()));
        assert_eq!(said(json!({"item": {"code": " X1 "}}), "itemRef"), told("item", "X1"));
        assert_eq!(said(json!({"udi": {"di": "0952"}}), "udi"), told("item", "0952"));
        let full = json!({"place": {"unit": "4N", "room": "401", "facility": "GH"}});
        assert_eq!(said(full, "location"), told("location", "4N^401^^GH"));
        assert_eq!(said(json!({"place": {"unit": "4N", "room": ""}}), "location"), told("location", "4N"));
        assert_eq!(said(json!({"place": {"code": "OR 7"}}), "location"), told("location", "OR 7"));
        assert_eq!(said(json!({"department": "CARD"}), "department"), told("location", "CARD"));
        assert_eq!(said(json!({"item": {"code": "X1"}}), "quantity"), None, "about neither");
    }
}
