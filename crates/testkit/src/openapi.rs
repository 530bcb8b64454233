//! Whether what an API answers is what its OpenAPI document promises: every field is named there, every required one is there,
//! and each has its type. It knows the keywords that the document uses, and says so of any other rather than pass over it.

use serde_json::{Map, Value};

/// An OpenAPI document that answers are compared with.
pub struct Promises {
    document: Value,
}

/// One answer.
pub struct Answered<'a> {
    /// Method of the call, in capital letters.
    pub method: &'a str,
    /// Its path, without what stands behind `?`.
    pub path: &'a str,
    /// Status of the answer.
    pub status: u16,
    /// Its content type.
    pub content_type: &'a str,
    /// Its body.
    pub body: &'a str,
}

impl Promises {
    /// The promises of a document.
    #[must_use]
    pub fn new(document: Value) -> Self {
        Self { document }
    }

    /// What of an answer the document does not promise, one sentence each; none when it is as promised.
    #[must_use]
    pub fn faults(&self, answered: &Answered<'_>) -> Vec<String> {
        let media = answered.content_type.split(';').next().unwrap_or_default().trim();
        let Some(operation) = self.operation(answered.method, answered.path) else {
            // What is not promised at all is refused, as everything else is.
            return match media {
                "application/problem+json" => self.of_body("Problem", answered),
                _ => vec![format!("the document has no such call, and it is answered with {media}")],
            };
        };
        let responses = &operation["responses"];
        let response = match &responses[answered.status.to_string()] {
            Value::Null => &responses["default"],
            response => response,
        };
        match &response["content"][media]["schema"] {
            Value::Null => vec![format!("status {} is not promised with {media}", answered.status)],
            schema if media.ends_with("json") => self.of_json(schema, answered.body),
            schema => match schema["type"].as_str() {
                Some("string") => Vec::new(),
                _ => vec![format!("{media} is text, and promised as {schema}")],
            },
        }
    }

    fn of_body(&self, name: &str, answered: &Answered<'_>) -> Vec<String> {
        let schema = serde_json::json!({"$ref": format!("#/components/schemas/{name}")});
        self.of_json(&schema, answered.body)
    }

    fn of_json(&self, schema: &Value, body: &str) -> Vec<String> {
        let mut faults = Vec::new();
        match serde_json::from_str(body) {
            Ok(value) => self.check(schema, &value, "answer", &mut faults),
            Err(error) => faults.push(format!("the answer is no JSON: {error}")),
        }
        faults
    }

    /// The call with this path; one that is written out comes before one with a name in braces.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let paths = self.document["paths"].as_object()?;
        let fitting =
            paths.iter().filter(|(pattern, methods)| fits(pattern, path) && !methods[method.to_lowercase()].is_null());
        let (_, methods) = fitting.min_by_key(|(pattern, _)| pattern.matches('{').count())?;
        Some(&methods[method.to_lowercase()])
    }

    fn check(&self, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
        let Some(keywords) = schema.as_object() else {
            if schema != &Value::Bool(true) {
                faults.push(format!("{place} is not promised"));
            }
            return;
        };
        let mut say = |fault: String| faults.push(format!("{place} {fault}"));
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "description" | "discriminator" | "properties" | "prefixItems" => {}
                "type" if !is_of(wanted, value) => say(format!("is no {wanted}: {}", short(value))),
                "const" if wanted != value => say(format!("is not {wanted}: {}", short(value))),
                "enum" if !is_among(wanted, value) => say(format!("is none of {wanted}: {}", short(value))),
                "minimum" if value.as_i64().is_some_and(|value| value < wanted.as_i64().unwrap_or(0)) => {
                    say(format!("is below {wanted}: {value}"));
                }
                "format" => say_format(wanted, value, &mut say),
                "pattern" => say_pattern(wanted, value, &mut say),
                "minItems" if value.as_array().is_some_and(|all| (all.len() as u64) < wanted.as_u64().unwrap_or(0)) => {
                    say(format!("has fewer entries than {wanted}"));
                }
                "type" | "const" | "enum" | "minimum" | "minItems" => {}
                "$ref" | "anyOf" | "oneOf" | "items" | "required" | "additionalProperties" | "propertyNames" => {}
                other => say(format!("has a keyword that is not checked: {other}")),
            }
        }
        self.check_parts(keywords, value, place, faults);
    }

    /// What other schemas say about the value and its parts.
    fn check_parts(&self, keywords: &Map<String, Value>, value: &Value, place: &str, faults: &mut Vec<String>) {
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            match reference.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer)) {
                Some(schema) => self.check(schema, value, place, faults),
                None => faults.push(format!("{place} names {reference}, which is not there")),
            }
        }
        for alternatives in ["anyOf", "oneOf"].iter().filter_map(|name| keywords.get(*name)?.as_array()) {
            faults.extend(self.of_alternatives(alternatives, value, place));
        }
        match value {
            Value::Array(entries) => {
                let first = keywords.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                for (index, entry) in entries.iter().enumerate() {
                    if let Some(schema) = first.get(index).or_else(|| keywords.get("items")) {
                        self.check(schema, entry, &format!("{place}[{index}]"), faults);
                    }
                }
            }
            Value::Object(fields) => self.check_fields(keywords, fields, place, faults),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// The faults of the alternative that fits best: what an answer is meant to be is the nearest of them.
    fn of_alternatives(&self, alternatives: &[Value], value: &Value, place: &str) -> Vec<String> {
        let each = alternatives.iter().map(|schema| {
            let mut faults = Vec::new();
            self.check(schema, value, place, &mut faults);
            faults
        });
        each.min_by_key(Vec::len).unwrap_or_else(|| vec![format!("{place} has no alternative")])
    }

    fn check_fields(
        &self,
        keywords: &Map<String, Value>,
        fields: &Map<String, Value>,
        place: &str,
        faults: &mut Vec<String>,
    ) {
        let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
            faults.push(format!("{place} has no {name}"));
        }
        let known = keywords.get("properties").and_then(Value::as_object);
        for (name, value) in fields {
            let place = format!("{place}.{name}");
            if let Some(schema) = keywords.get("propertyNames") {
                self.check(schema, &Value::String(name.clone()), &format!("the name of {place}"), faults);
            }
            if let Some(schema) = known.and_then(|known| known.get(name)).or(keywords.get("additionalProperties")) {
                self.check(schema, value, &place, faults);
            }
        }
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    pattern.clone().count() == path.clone().count()
        && pattern.zip(path).all(|(named, said)| if named.starts_with('{') { !said.is_empty() } else { named == said })
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    let is = |wanted: &str| match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => false,
    };
    match wanted {
        Value::String(one) => is(one),
        Value::Array(all) => all.iter().filter_map(Value::as_str).any(is),
        _ => false,
    }
}

fn is_among(wanted: &Value, value: &Value) -> bool {
    wanted.as_array().is_some_and(|all| all.contains(value))
}

fn say_format(wanted: &Value, value: &Value, say: &mut impl FnMut(String)) {
    let fits = match wanted.as_str() {
        Some("int32") => value.as_i64().is_none_or(|value| i32::try_from(value).is_ok()),
        // More than that is a float.
        Some("int64") => !value.is_u64() || value.is_i64(),
        Some("double" | "uri-reference") => true,
        _ => return say(format!("has a format that is not checked: {wanted}")),
    };
    if !fits {
        say(format!("is no {wanted}: {}", short(value)));
    }
}

fn say_pattern(wanted: &Value, value: &Value, say: &mut impl FnMut(String)) {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(text) = value.as_str() else { return };
    let fits = match wanted.as_str() {
        Some("^WL-[0-9]{4}$") => text.strip_prefix("WL-").is_some_and(|code| code.len() == 4 && digits(code)),
        Some("^-?[0-9]+(\\.[0-9]+)?$") => {
            let unsigned = text.strip_prefix('-').unwrap_or(text);
            unsigned.split_once('.').map_or_else(|| digits(unsigned), |(whole, part)| digits(whole) && digits(part))
        }
        _ => return say(format!("has a pattern that is not checked: {wanted}")),
    };
    if !fits {
        say(format!("does not fit {wanted}: {}", short(value)));
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn promises() -> Promises {
        let schemas = json!({
            "Row": {
                "type": "object", "additionalProperties": false, "required": ["id", "at"],
                "properties": {
                    "id": {"type": "string"},
                    "at": {"type": "integer", "format": "int64", "minimum": 0},
                    "money": {"type": ["string", "null"], "pattern": "^-?[0-9]+(\\.[0-9]+)?$"},
                    "state": {"type": "string", "enum": ["OPEN", "DONE"]},
                    "of": {"anyOf": [{"$ref": "#/components/schemas/Row"}, {"type": "null"}]},
                    "pairs": {"type": "array", "items": {
                        "type": "array", "prefixItems": [{"type": "string"}], "items": false, "minItems": 1
                    }},
                    "counts": {"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"enum": ["a"]}},
                    "lost": {"$ref": "#/components/schemas/Nowhere"},
                    "odd": {"multipleOf": 3},
                },
            },
            "Problem": {"type": "object", "required": ["code"], "properties": {"code": {"pattern": "^WL-[0-9]{4}$"}}},
        });
        let content = json!({
            "application/json": {"schema": {"$ref": "#/components/schemas/Row"}},
            "text/html": {"schema": {"type": "string"}},
        });
        let refusal = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
        let one = json!({"get": {"responses": {"200": {"content": content}, "default": {"content": refusal}}}});
        let other = json!({"get": {"responses": {"204": {}}}});
        Promises::new(json!({"paths": {"/rows/{id}": one, "/rows/all": other}, "components": {"schemas": schemas}}))
    }

    fn faults(path: &str, status: u16, content_type: &str, body: &str) -> String {
        promises().faults(&Answered { method: "GET", path, status, content_type, body }).join("; ")
    }

    #[test]
    fn what_is_promised_has_no_fault() {
        let whole = json!({
            "id": "a", "at": 1, "money": "-1.50", "state": "OPEN", "of": {"id": "b", "at": 2, "of": null},
            "pairs": [["a"]], "counts": {"a": 1},
        });
        assert_eq!(faults("/rows/1", 200, "application/json", &whole.to_string()), "");
        assert_eq!(faults("/rows/1", 200, "text/html; charset=utf-8", "<p>"), "");
        assert_eq!(faults("/rows/1", 404, "application/problem+json", r#"{"code":"WL-7130"}"#), "");
        assert_eq!(faults("/nowhere", 404, "application/problem+json", r#"{"code":"WL-7130"}"#), "");
    }

    #[test]
    fn what_is_not_promised_is_told_by_its_place() {
        for (fields, fault) in [
            (json!({"new": 1}), "answer.new is not promised"),
            (json!({"id": 4}), "answer.id is no \"string\": 4"),
            (json!({"at": 1.5}), "answer.at is no \"integer\": 1.5"),
            (json!({"at": -1}), "answer.at is below 0: -1"),
            (json!({"at": u64::MAX}), "answer.at is no \"int64\""),
            (json!({"money": "1,5"}), "answer.money does not fit"),
            (json!({"money": 1}), "answer.money is no [\"string\",\"null\"]: 1"),
            (json!({"state": "GONE"}), "answer.state is none of [\"OPEN\",\"DONE\"]: \"GONE\""),
            (json!({"of": {"id": "b"}}), "answer.of has no at"),
            (json!({"of": {"id": "b", "at": 1, "x": 1}}), "answer.of.x is not promised"),
            (json!({"pairs": [["a", "b"]]}), "answer.pairs[0][1] is not promised"),
            (json!({"pairs": [[]]}), "answer.pairs[0] has fewer entries than 1"),
            (json!({"counts": {"b": 1}}), "the name of answer.counts.b is none of"),
            (json!({"counts": {"a": "1"}}), "answer.counts.a is no \"integer\""),
            (json!({"lost": 1}), "answer.lost names #/components/schemas/Nowhere, which is not there"),
            (json!({"odd": 1}), "answer.odd has a keyword that is not checked: multipleOf"),
        ] {
            let mut row = json!({"id": "a", "at": 1});
            for (name, value) in fields.as_object().into_iter().flatten() {
                row[name] = value.clone();
            }
            let told = faults("/rows/1", 200, "application/json", &row.to_string());
            assert!(told.starts_with(fault) && !told.contains("; "), "{row}: {told}");
        }
        assert_eq!(faults("/rows/1", 200, "application/json", r#"{"id":"a"}"#), "answer has no at");
        assert_eq!(faults("/rows/1", 200, "text/csv", ""), "status 200 is not promised with text/csv");
        assert_eq!(
            faults("/rows/all", 200, "application/json", "{}"),
            "status 200 is not promised with application/json"
        );
        assert!(faults("/rows/1", 200, "application/json", "{").starts_with("the answer is no JSON"));
        assert!(faults("/nowhere", 200, "application/json", "{}").starts_with("the document has no such call"));
        assert!(
            faults("/rows/1", 500, "application/problem+json", r#"{"code":"7130"}"#)
                .starts_with("answer.code does not fit")
        );
    }
}
