//! Modifiers: what must be understood before anything else may be believed (FHIR extensibility, modifier extensions).

use crate::node::Node;
use crate::outcome::{Refusal, code};
use fhir_gate::json::Json;

/// Refuses a resource with `implicitRules` or with a modifier extension, at any depth, that is not understood.
pub(super) fn check(root: &Node<'_>, understood: &[String]) -> Result<(), Refusal> {
    if root.text("implicitRules").is_some_and(|rules| !understood.iter().any(|known| known == rules)) {
        return Err(refusal(format!("{}.implicitRules", root.path), "implicit rules are not understood"));
    }
    match find(root.json, &root.path, understood) {
        Some(path) => Err(refusal(path, "a modifier extension is not understood")),
        None => Ok(()),
    }
}

fn refusal(path: String, detail: &str) -> Refusal {
    let fix = "if it does not change who used what and when, add its address to understood_modifiers of the source";
    Refusal::new(code::MODIFIER, path, detail, fix)
}

fn find(json: &Json, path: &str, understood: &[String]) -> Option<String> {
    match json {
        Json::List(items) => {
            items.iter().enumerate().find_map(|(index, item)| find(item, &format!("{path}[{index}]"), understood))
        }
        Json::Object(object) => object.members.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            if name == "modifierExtension" {
                let unknown = |extension: &Json| {
                    let address = extension.text("url");
                    !understood.iter().any(|known| Some(known.as_str()) == address)
                };
                return value.items().iter().position(unknown).map(|index| format!("{path}[{index}]"));
            }
            find(value, &path, understood)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn place(text: &str) -> Option<String> {
        let json = Json::read(text.as_bytes()).unwrap();
        check(&Node::root(&json), &["http://known".to_owned()]).err().map(|refusal| refusal.path)
    }

    #[test]
    fn unknown_modifiers_are_found_at_any_depth() {
        let deep = r#"{"resourceType":"Procedure","performer":[{"modifierExtension":[{"url":"http://known"},{"url":"http://x"}]}]}"#;
        assert_eq!(place(deep).as_deref(), Some("Procedure.performer[0].modifierExtension[1]"));
        assert_eq!(
            place(r#"{"resourceType":"Procedure","implicitRules":"u"}"#).as_deref(),
            Some("Procedure.implicitRules")
        );
        assert_eq!(place(r#"{"resourceType":"Procedure","modifierExtension":[{"url":"http://known"}]}"#), None);
        assert_eq!(place(r#"{"resourceType":"Procedure","extension":[{"url":"http://x"}]}"#), None);
    }
}
