//! Every way in which a schema may change, at every level; made by rules, of small schemas and of our own contracts.

use schemas::topics;
use serde_json::{Value, json};

use super::scenarios::{bare, with_level, with_schema};
use super::{Scenario, Step};

const LEVELS: [&str; 7] =
    ["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"];

/// Small schemas: old, older where it matters, and new.
pub fn small() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for level in LEVELS {
        // Set for all, because a subject cannot be freed of a rule that is set for all in every registry.
        scenarios.push(Scenario { name: format!("all {level}"), steps: vec![with_level("/config", level)] });
        for (number, (name, versions)) in changes().into_iter().enumerate() {
            let subject = format!("small-{level}-{number}");
            scenarios.push(Scenario { name: format!("{name} {level}"), steps: steps(&subject, &versions) });
        }
    }
    scenarios.push(Scenario { name: "all again".to_owned(), steps: vec![with_level("/config", "BACKWARD")] });
    scenarios
}

/// Our own contracts, and changes made to each.
pub fn contracts() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for level in ["BACKWARD", "FORWARD", "FULL_TRANSITIVE"] {
        for topic in topics::ALL.iter().filter(|topic| !topic.schema.is_empty()) {
            for (name, change) in CONTRACT_CHANGES {
                let old: Value = serde_json::from_str(topic.schema).unwrap();
                let mut new = old.clone();
                if !change(&mut new) {
                    continue;
                }
                let subject = format!("{}-{level}-{name}", topic.subject);
                let mut all = vec![with_schema(format!("/subjects/{subject}/versions"), topic.schema)];
                all.push(with_level(format!("/config/{subject}"), level));
                all.extend(checked(&subject, &new.to_string()));
                scenarios.push(Scenario { name: format!("{} {name} {level}", topic.name), steps: all });
            }
        }
    }
    scenarios
}

/// Registers each version after the others; the later ones are also checked first.
fn steps(subject: &str, versions: &[Value]) -> Vec<Step> {
    versions.iter().flat_map(|version| checked(subject, &version.to_string())).collect()
}

fn checked(subject: &str, schema: &str) -> Vec<Step> {
    vec![
        with_schema(format!("/compatibility/subjects/{subject}/versions/latest"), schema),
        with_schema(format!("/subjects/{subject}/versions"), schema),
        bare("GET", format!("/subjects/{subject}/versions")),
    ]
}

fn record(fields: &Value) -> Value {
    json!({"type": "record", "name": "R", "namespace": "n", "fields": fields})
}

fn of(kind: Value) -> Value {
    record(&json!([{"name": "a", "type": kind}]))
}

fn symbols(names: &[&str], default: Option<&str>) -> Value {
    let mut kind = json!({"type": "enum", "name": "E", "symbols": names});
    if let Some(default) = default {
        kind["default"] = json!(default);
    }
    of(kind)
}

/// Names and versions, oldest first.
fn changes() -> Vec<(&'static str, Vec<Value>)> {
    let a = json!({"name": "a", "type": "int"});
    let b = |default: bool| {
        if default {
            json!({"name": "b", "type": "string", "default": ""})
        } else {
            json!({"name": "b", "type": "string"})
        }
    };
    let mut all = fields(&a, &b);
    all.extend(types());
    all
}

fn fields(a: &Value, b: &dyn Fn(bool) -> Value) -> Vec<(&'static str, Vec<Value>)> {
    let base = || record(&json!([a]));
    let optional = json!({"name": "b", "type": ["null", "string"], "default": null});
    vec![
        ("add with default", vec![base(), record(&json!([a, b(true)]))]),
        ("add without default", vec![base(), record(&json!([a, b(false)]))]),
        ("add optional", vec![base(), record(&json!([a, optional]))]),
        ("remove with default", vec![record(&json!([a, b(true)])), base()]),
        ("remove without default", vec![record(&json!([a, b(false)])), base()]),
        ("default dropped later", vec![base(), record(&json!([a, b(true)])), record(&json!([a, b(false)]))]),
        (
            "type changed later",
            vec![base(), record(&json!([])), record(&json!([{"name": "a", "type": "string", "default": ""}]))],
        ),
        ("reorder", vec![record(&json!([a, b(false)])), record(&json!([b(false), a]))]),
        ("rename", vec![base(), record(&json!([{"name": "z", "type": "int"}]))]),
        ("rename with alias", vec![base(), record(&json!([{"name": "z", "aliases": ["a"], "type": "int"}]))]),
        ("document", vec![base(), record(&json!([{"name": "a", "type": "int", "doc": "d"}]))]),
    ]
}

fn types() -> Vec<(&'static str, Vec<Value>)> {
    let nested = |fields: Value| of(json!({"type": "record", "name": "Inner", "fields": fields}));
    let fixed = |size: u8| of(json!({"type": "fixed", "name": "F", "size": size}));
    let decimal = |precision: u8, scale: u8| {
        of(json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}))
    };
    let named = |name: &str| json!({"type": "record", "name": name, "fields": [{"name": "a", "type": "int"}]});
    let tree = |more: Value| {
        let mut fields = vec![json!({"name": "down", "type": {"type": "array", "items": "n.R"}})];
        fields.extend(more.as_array().unwrap().clone());
        record(&Value::from(fields))
    };
    vec![
        ("int to long", vec![of(json!("int")), of(json!("long"))]),
        ("long to int", vec![of(json!("long")), of(json!("int"))]),
        ("float to double", vec![of(json!("float")), of(json!("double"))]),
        ("string to bytes", vec![of(json!("string")), of(json!("bytes"))]),
        ("string to int", vec![of(json!("string")), of(json!("int"))]),
        ("int to union", vec![of(json!("int")), of(json!(["null", "int"]))]),
        ("union to int", vec![of(json!(["null", "int"])), of(json!("int"))]),
        ("union grows", vec![of(json!(["null", "int"])), of(json!(["null", "int", "string"]))]),
        ("union shrinks", vec![of(json!(["null", "int", "string"])), of(json!(["null", "int"]))]),
        ("union promotes", vec![of(json!(["null", "int"])), of(json!(["null", "long"]))]),
        ("symbol added", vec![symbols(&["A"], None), symbols(&["A", "B"], None)]),
        ("symbol removed", vec![symbols(&["A", "B"], None), symbols(&["A"], None)]),
        ("symbol added with default", vec![symbols(&["A"], Some("A")), symbols(&["A", "B"], Some("A"))]),
        ("symbol replaced", vec![symbols(&["A", "B"], None), symbols(&["B", "C"], Some("B"))]),
        ("fixed grows", vec![fixed(3), fixed(4)]),
        ("decimal grows", vec![decimal(5, 2), decimal(9, 2)]),
        ("decimal rescaled", vec![decimal(9, 2), decimal(9, 3)]),
        (
            "array promotes",
            vec![of(json!({"type": "array", "items": "int"})), of(json!({"type": "array", "items": "long"}))],
        ),
        (
            "map to array",
            vec![of(json!({"type": "map", "values": "int"})), of(json!({"type": "array", "items": "int"}))],
        ),
        ("nested adds", vec![nested(json!([])), nested(json!([{"name": "x", "type": "int"}]))]),
        (
            "nested adds with default",
            vec![nested(json!([])), nested(json!([{"name": "x", "type": "int", "default": 1}]))],
        ),
        ("record renamed", vec![named("One"), named("Two")]),
        ("record moved", vec![named("one.R"), named("two.R")]),
        ("tree adds", vec![tree(json!([])), tree(json!([{"name": "x", "type": "int", "default": 1}]))]),
        ("tree adds without default", vec![tree(json!([])), tree(json!([{"name": "x", "type": "int"}]))]),
        (
            "shared type moves",
            vec![
                record(
                    &json!([{"name": "a", "type": {"type": "fixed", "name": "F", "size": 2}}, {"name": "b", "type": "F"}]),
                ),
                record(
                    &json!([{"name": "b", "type": {"type": "fixed", "name": "F", "size": 2}}, {"name": "a", "type": "F"}]),
                ),
            ],
        ),
    ]
}

/// Changes a contract; false when there is nothing in it to change that way.
type Change = fn(&mut Value) -> bool;

const CONTRACT_CHANGES: [(&str, Change); 6] = [
    ("same", |_| true),
    ("adds-with-default", |schema| add(schema, json!({"name": "added", "type": "string", "default": ""}))),
    ("adds-without-default", |schema| add(schema, json!({"name": "added", "type": "string"}))),
    ("removes-last", |schema| schema["fields"].as_array_mut().unwrap().pop().is_some()),
    ("renames-first", |schema| {
        let field = &mut schema["fields"][0];
        field["aliases"] = json!([field["name"]]);
        field["name"] = json!("renamed");
        true
    }),
    ("adds-symbol", add_symbol),
];

fn add(schema: &mut Value, field: Value) -> bool {
    schema["fields"].as_array_mut().unwrap().push(field);
    true
}

/// Adds a symbol to the first enum.
fn add_symbol(schema: &mut Value) -> bool {
    match schema {
        Value::Array(items) => items.iter_mut().any(add_symbol),
        Value::Object(object) => {
            if let Some(Value::Array(symbols)) = object.get_mut("symbols") {
                symbols.push(json!("ADDED"));
                return true;
            }
            object.values_mut().any(add_symbol)
        }
        _ => false,
    }
}
