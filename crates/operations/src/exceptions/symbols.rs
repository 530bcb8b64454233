//! Words that a contract knows: reading takes every other word for `UNKNOWN`, so a misspelt one would be accepted.

use serde_json::Value;
use std::collections::HashMap;

/// A word that its field does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSymbol {
    /// The field.
    pub path: String,
    /// The word.
    pub word: String,
    /// What the field knows.
    pub known: Vec<String>,
}

/// The first word in the value of a field that the contract does not know.
pub fn unknown_symbol(schema: &Value, path: &str, value: &Value) -> Option<UnknownSymbol> {
    let mut named = HashMap::new();
    collect(schema, &mut named);
    let types = Types { named };
    let ty = path.split('.').try_fold(schema, |ty, name| types.inner(ty, name))?;
    types.check(ty, path, value)
}

struct Types<'a> {
    named: HashMap<String, &'a Value>,
}

impl<'a> Types<'a> {
    /// The type of a field, or of the entries of a list or map.
    fn inner(&self, ty: &'a Value, name: &str) -> Option<&'a Value> {
        self.shapes(ty).into_iter().find_map(|shape| match kind(shape) {
            "record" => {
                let mut fields = shape.get("fields")?.as_array()?.iter();
                fields.find(|field| text(field, "name") == name)?.get("type")
            }
            "array" if name.parse::<usize>().is_ok() => shape.get("items"),
            "map" => shape.get("values"),
            _ => None,
        })
    }

    fn check(&self, ty: &'a Value, path: &str, value: &Value) -> Option<UnknownSymbol> {
        match value {
            Value::String(word) => self.word(ty, path, word),
            Value::Object(fields) => fields
                .iter()
                .find_map(|(name, value)| self.check(self.inner(ty, name)?, &format!("{path}.{name}"), value)),
            Value::Array(entries) => entries.iter().enumerate().find_map(|(place, value)| {
                let place = place.to_string();
                self.check(self.inner(ty, &place)?, &format!("{path}.{place}"), value)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    /// A word where the contract has a list of them, and no free text.
    fn word(&self, ty: &'a Value, path: &str, word: &str) -> Option<UnknownSymbol> {
        let shapes = self.shapes(ty);
        let symbols = shapes.iter().find(|shape| kind(shape) == "enum")?.get("symbols")?.as_array()?;
        let known: Vec<String> = symbols.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let is_text = shapes.iter().any(|shape| kind(shape) == "string");
        let is_known = is_text || known.iter().any(|symbol| symbol == word);
        (!is_known).then(|| UnknownSymbol { path: path.to_owned(), word: word.to_owned(), known })
    }

    /// The types that a value may have, names looked up.
    fn shapes(&self, ty: &'a Value) -> Vec<&'a Value> {
        match ty {
            Value::Array(variants) => variants.iter().flat_map(|variant| self.shapes(variant)).collect(),
            Value::String(name) => vec![self.named.get(name).copied().unwrap_or(ty)],
            // A type may be said as the type of a type.
            Value::Object(object) => match object.get("type") {
                Some(inner @ (Value::Object(_) | Value::Array(_))) => self.shapes(inner),
                _ => vec![ty],
            },
            _ => Vec::new(),
        }
    }
}

fn kind(ty: &Value) -> &str {
    ty.as_str().unwrap_or_else(|| text(ty, "type"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Types by their full name: a contract says each once, and names it from then on.
fn collect<'a>(ty: &'a Value, named: &mut HashMap<String, &'a Value>) {
    match ty {
        Value::Object(object) => {
            if matches!(kind(ty), "record" | "enum" | "fixed") {
                let (space, name) = (text(ty, "namespace"), text(ty, "name"));
                let full =
                    if space.is_empty() || name.contains('.') { name.to_owned() } else { format!("{space}.{name}") };
                named.insert(full, ty);
            }
            object.values().for_each(|inner| collect(inner, named));
        }
        Value::Array(entries) => entries.iter().for_each(|inner| collect(inner, named)),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::topics;
    use serde_json::json;

    #[test]
    fn a_word_that_a_contract_does_not_know_is_found_wherever_it_stands() {
        let schema: Value = serde_json::from_str(topics::CLINICAL_SUPPLY_USAGE_V1.info().schema).unwrap();
        let unknown = |path: &str, value: Value| unknown_symbol(&schema, path, &value);
        let found = unknown("usage", json!("WASTD")).unwrap();
        assert_eq!((found.path.as_str(), found.word.as_str()), ("usage", "WASTD"));
        assert!(found.known.contains(&"WASTED".to_owned()), "{:?}", found.known);
        for symbol in found.known {
            assert_eq!(unknown("usage", json!(symbol)), None, "{symbol}");
        }
        assert!(unknown("expiryPrecision", json!("CENTURY")).is_some());
        assert_eq!(unknown("udi", json!({"di": "0952", "issuer": "NOBODY"})).unwrap().path, "udi.issuer");
        assert!(unknown("udi.issuer", json!("NOBODY")).is_some());
        for (path, value) in [
            ("lot", json!("WASTD")),
            ("lot", Value::Null),
            ("quantity", json!(3)),
            ("itemRefs.0.code", json!("71-1")),
            ("itemRefs", json!([{"code": "71-1"}])),
            ("udi", Value::Null),
            ("nothing.at.all", json!("x")),
        ] {
            assert_eq!(unknown(path, value), None, "{path}");
        }
    }
}
