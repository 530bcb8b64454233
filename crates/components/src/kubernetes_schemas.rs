//! Strict JSON schemas of Kubernetes objects, one file per kind, out of the OpenAPI description of the Kubernetes API.
//!
//! Strict means that an unknown property is an error: a misspelt key in a manifest is found, not ignored.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Changes when the schemas come out differently for the same description.
pub(crate) const REVISION: &str = "1";

/// Start of the references of the description.
const REFERENCE: &str = "#/definitions/";

/// File names and texts of all schemas. The names are what kubeconform asks for: `deployment-apps-v1.json`.
pub(crate) fn from_swagger(text: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let swagger: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let definitions = swagger["definitions"].as_object().ok_or("it has no definitions")?;
    let mut schemas = BTreeMap::new();
    for (name, definition) in definitions {
        let kinds = definition["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Several kinds: options of requests, which are no objects of a manifest.
        let [kind] = kinds else { continue };
        let text = |key: &str| kind[key].as_str().unwrap_or_default();
        let (group, version, kind) = (text("group"), text("version"), text("kind"));
        let mut schema = inlined(definition, definitions, &mut vec![name]);
        make_strict(&mut schema);
        let api = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        for (property, value) in [("apiVersion", api.as_str()), ("kind", kind)] {
            if let Some(slot) = schema["properties"].get_mut(property) {
                *slot = json!({"type": "string", "enum": [value]});
            }
        }
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        let parts = [&kind.to_lowercase(), group.split('.').next().unwrap_or_default(), &version.to_lowercase()];
        let named: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        schemas.insert(format!("{}.json", named.join("-")), schema.to_string());
    }
    if schemas.is_empty() { Err("it describes no kind".to_owned()) } else { Ok(schemas) }
}

/// A definition with all references replaced by what they name, and without prose.
fn inlined<'a>(schema: &'a Value, definitions: &'a Map<String, Value>, path: &mut Vec<&'a str>) -> Value {
    match schema {
        Value::Array(entries) => entries.iter().map(|entry| inlined(entry, definitions, path)).collect(),
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(REFERENCE))
            {
                // A type within itself (schemas of custom resources): anything goes below.
                return match definitions.get(name) {
                    Some(definition) if !path.contains(&name) => {
                        path.push(name);
                        let value = inlined(definition, definitions, path);
                        path.pop();
                        value
                    }
                    _ => json!({}),
                };
            }
            if fields.get("format").and_then(Value::as_str) == Some("int-or-string") {
                return json!({"oneOf": [{"type": "string"}, {"type": "integer"}]});
            }
            let mut kept = Map::new();
            for (key, value) in fields {
                if let ("properties", Some(properties)) = (key.as_str(), value.as_object()) {
                    // Names of properties, which may be `description` too.
                    let of = |(name, value): (&String, &'a Value)| (name.clone(), inlined(value, definitions, path));
                    kept.insert(key.clone(), Value::Object(properties.iter().map(of).collect()));
                } else if key != "description" && !key.starts_with("x-kubernetes-") {
                    kept.insert(key.clone(), inlined(value, definitions, path));
                }
            }
            Value::Object(kept)
        }
        other => other.clone(),
    }
}

/// Refuses unknown properties, and takes null for optional ones, as the API server does.
fn make_strict(schema: &mut Value) {
    let required = schema["required"].clone();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|other| other == name));
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            make_strict(property);
            let kind = property.get("type").filter(|kind| kind.is_string()).cloned();
            if let Some(kind) = kind.filter(|_| !is_required(name)) {
                property["type"] = json!([kind, "null"]);
            }
        }
        if schema.get("additionalProperties").is_none() {
            schema["additionalProperties"] = json!(false);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key).filter(|inner| inner.is_object()) {
            make_strict(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test")]
    use super::from_swagger;
    use serde_json::{Value, json};

    #[test]
    fn a_kind_becomes_a_strict_schema_of_its_own() {
        let swagger = json!({"definitions": {
            "apps.Thing": {
                "description": "prose",
                "type": "object",
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "spec": {"$ref": "#/definitions/apps.Spec"},
                },
                "x-kubernetes-group-version-kind": [{"group": "apps.example", "version": "v1", "kind": "Thing"}],
            },
            "apps.Spec": {"type": "object", "properties": {
                "description": {"type": "string", "description": "prose"},
                "port": {"type": "string", "format": "int-or-string"},
                "inner": {"$ref": "#/definitions/apps.Spec"},
            }},
        }});
        let schemas = from_swagger(swagger.to_string().as_bytes()).unwrap();
        let schema: Value = serde_json::from_str(&schemas["thing-apps-v1.json"]).unwrap();
        assert_eq!(schemas.len(), 1);
        assert_eq!(
            schema,
            json!({
                "$schema": "http://json-schema.org/draft-07/schema#",
                "type": "object",
                "additionalProperties": false,
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string", "enum": ["apps.example/v1"]},
                    "kind": {"type": "string", "enum": ["Thing"]},
                    "spec": {"type": "object", "additionalProperties": false, "properties": {
                        "description": {"type": ["string", "null"]},
                        "port": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
                        "inner": {},
                    }},
                },
            })
        );
    }

    #[test]
    fn what_describes_nothing_is_refused() {
        assert!(
            from_swagger(b"{}").is_err()
                && from_swagger(b"{\"definitions\":{}}").is_err()
                && from_swagger(b"x").is_err()
        );
    }
}
