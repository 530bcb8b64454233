//! Schemas for the library that tools read with.

use apache_avro::Schema;
use serde_json::{Map, Value};

/// Attributes of a field (Avro 1.12, "Complex Types: Records").
const OF_FIELD: [&str; 5] = ["name", "type", "doc", "default", "aliases"];
/// Attributes that numbers give (Avro 1.12, "Fixed" and "Decimal").
const NUMBERS: [&str; 3] = ["size", "precision", "scale"];

/// Finds out whether JSON is an Avro schema.
///
/// # Errors
/// Why it is none, one sentence.
pub fn check_schema(schema: &Value) -> Result<(), String> {
    parse_value(schema).map(drop)
}

/// Reads a schema.
///
/// # Errors
/// As [`check_schema`].
pub(super) fn parse(text: &str) -> Result<Schema, String> {
    parse_value(&serde_json::from_str(text).map_err(|error| error.to_string())?)
}

/// As [`parse`], of a schema that is JSON already.
///
/// Whoever writes a schema may give it attributes of their own. The library keeps them, and where it writes a schema into an error
/// takes them for the specification's when they have the same names: a field with `"symbols": 0` and a default that does not fit
/// made it panic. So it sees only what the specification names.
///
/// # Errors
/// As [`check_schema`].
pub(super) fn parse_value(schema: &Value) -> Result<Schema, String> {
    Schema::parse(&plain(schema)).map_err(|error| error.to_string())
}

/// A schema without attributes that the specification does not name.
fn plain(schema: &Value) -> Value {
    match schema {
        Value::Array(branches) => branches.iter().map(plain).collect(),
        Value::Object(object) => {
            let known = of_kind(object.get("type").and_then(Value::as_str).unwrap_or_default());
            let mut kept = Map::new();
            for (name, value) in object.iter().filter(|(name, _)| known.contains(&name.as_str())) {
                let value = match name.as_str() {
                    "type" | "items" | "values" => plain(value),
                    "fields" => fields(value),
                    number if NUMBERS.contains(&number) && value.as_i64().is_none() => continue,
                    _ => value.clone(),
                };
                kept.insert(name.clone(), value);
            }
            Value::Object(kept)
        }
        other => other.clone(),
    }
}

fn fields(fields: &Value) -> Value {
    let Value::Array(fields) = fields else { return fields.clone() };
    let field = |field: &Value| {
        let Value::Object(object) = field else { return field.clone() };
        let known = object.iter().filter(|(name, _)| OF_FIELD.contains(&name.as_str()));
        let plain_type = |name: &str, value: &Value| if name == "type" { plain(value) } else { value.clone() };
        Value::Object(known.map(|(name, value)| (name.clone(), plain_type(name, value))).collect())
    };
    fields.iter().map(field).collect()
}

/// Attributes of a schema of a kind (Avro 1.12, "Schema Declaration").
fn of_kind(kind: &str) -> &'static [&'static str] {
    match kind {
        "record" | "error" => &["type", "name", "namespace", "doc", "aliases", "fields"],
        "enum" => &["type", "name", "namespace", "doc", "aliases", "symbols", "default"],
        "array" => &["type", "items"],
        "map" => &["type", "values"],
        "fixed" => &["type", "name", "namespace", "doc", "aliases", "size", "logicalType", "precision", "scale"],
        _ => &["type", "logicalType", "precision", "scale"],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attributes_of_somebody_s_own_may_have_the_names_of_the_specification_s() {
        let own = json!({
            "type": "record", "name": "R", "symbols": 0, "items": 1, "fields": [
                {"name": "a", "type": {"type": "long", "fields": 2}, "symbols": 0, "size": "x", "default": 0},
                {"name": "b", "type": {"type": "fixed", "name": "F", "size": 2, "precision": "x", "scale": 1e30}}
            ]
        });
        let plain = json!({
            "type": "record", "name": "R", "fields": [
                {"name": "a", "type": {"type": "long"}, "default": 0},
                {"name": "b", "type": {"type": "fixed", "name": "F", "size": 2}}
            ]
        });
        assert_eq!(super::plain(&own), plain);
        assert!(parse_value(&own).is_ok());
    }

    #[test]
    fn a_default_that_does_not_fit_is_an_error_whatever_stands_beside_it() {
        let inner = json!({"type": "record", "name": "In", "fields": [{"name": "a", "type": "long", "symbols": 0}]});
        let schema = json!({"type": "record", "name": "Out", "fields": [{"name": "b", "type": inner, "default": 1}]});
        let outcome = check_schema(&schema);
        assert!(outcome.is_err_and(|reason| reason.contains("default")), "{schema}");
    }
}
