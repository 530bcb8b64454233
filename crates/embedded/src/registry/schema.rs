//! An Avro schema as the registry sees it: whether it is one, and what makes two of them the same.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// A schema that was understood.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    /// One text for all ways of writing the same schema: no blanks, keys sorted, names in full.
    pub(super) canonical: String,
    /// Its types.
    pub(super) nodes: Vec<Node>,
    /// The outermost type.
    pub(super) root: usize,
}

/// A type. Types inside are positions in [`Schema::nodes`], so that a type may hold itself.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Primitive(String),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Fixed { name: String, size: u64 },
    Enum { name: String, symbols: Vec<String>, default: Option<String> },
    Record { name: String, fields: Vec<Field> },
}

/// A field of a record.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) has_default: bool,
    pub(super) node: usize,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// Why it is none, one sentence.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        // The library says what is a schema; what follows only takes it apart.
        schemas::codec::check_schema(&value)?;
        let mut canonical = String::with_capacity(text.len());
        write_schema(&mut canonical, &value, "");
        let mut builder = Builder::default();
        let root = builder.node(&value, "")?;
        Ok(Self { canonical, nodes: builder.nodes, root })
    }
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    names: HashMap<String, usize>,
}

impl Builder {
    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn node(&mut self, schema: &Value, namespace: &str) -> Result<usize, String> {
        match schema {
            Value::String(name) if PRIMITIVES.contains(&name.as_str()) => Ok(self.push(Node::Primitive(name.clone()))),
            Value::String(name) => {
                let full = qualified(name, namespace);
                self.names.get(&full).copied().ok_or_else(|| format!("the type {full} is not defined before its use"))
            }
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.node(branch, namespace)).collect::<Result<_, _>>()?;
                Ok(self.push(Node::Union(branches)))
            }
            Value::Object(object) => self.object(object, namespace),
            _ => Err(format!("{schema} is no type")),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let inner = |key: &str| object.get(key).ok_or_else(|| format!("`{key}` is missing"));
        let kind = inner("type")?;
        match kind.as_str() {
            Some("array") => {
                let items = self.node(inner("items")?, namespace)?;
                Ok(self.push(Node::Array(items)))
            }
            Some("map") => {
                let values = self.node(inner("values")?, namespace)?;
                Ok(self.push(Node::Map(values)))
            }
            Some("fixed") => {
                let size = inner("size")?.as_u64().ok_or("`size` is no number")?;
                let full = full_name(object, namespace)?;
                Ok(self.named(full, |name| Node::Fixed { name, size }))
            }
            Some("enum") => {
                let symbols = texts(object.get("symbols"));
                let default = object.get("default").and_then(Value::as_str).map(str::to_owned);
                let full = full_name(object, namespace)?;
                Ok(self.named(full, |name| Node::Enum { name, symbols, default }))
            }
            Some("record" | "error") => self.record(object, namespace),
            _ => self.node(kind, namespace),
        }
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let full = full_name(object, namespace)?;
        let inner = full.rsplit_once('.').map_or(String::new(), |(inner, _)| inner.to_owned());
        // Known before its fields are read, because they may hold it.
        let position = self.named(full, |name| Node::Record { name, fields: Vec::new() });
        let mut fields = Vec::new();
        for field in object.get("fields").and_then(Value::as_array).into_iter().flatten() {
            let name = field.get("name").and_then(Value::as_str).ok_or("a field has no name")?.to_owned();
            let node = self.node(field.get("type").ok_or("a field has no type")?, &inner)?;
            let has_default = field.get("default").is_some();
            fields.push(Field { name, aliases: texts(field.get("aliases")), has_default, node });
        }
        if let Some(Node::Record { fields: known, .. }) = self.nodes.get_mut(position) {
            *known = fields;
        }
        Ok(position)
    }

    fn named(&mut self, full: String, node: impl FnOnce(String) -> Node) -> usize {
        let position = self.push(node(full.clone()));
        self.names.insert(full, position);
        position
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
}

fn full_name(object: &Map<String, Value>, namespace: &str) -> Result<String, String> {
    let own = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    let name = object.get("name").and_then(Value::as_str).ok_or("a named type has no name")?;
    Ok(qualified(name, own))
}

fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() || PRIMITIVES.contains(&name) {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

/// Writes a type in the one way.
fn write_schema(out: &mut String, schema: &Value, namespace: &str) {
    match schema {
        Value::String(name) => write_value(out, &Value::from(qualified(name, namespace))),
        Value::Array(branches) => write_list(out, branches, |out, branch| write_schema(out, branch, namespace)),
        Value::Object(object) => {
            let kind = object.get("type").unwrap_or(&Value::Null);
            if object.len() == 1 {
                return write_schema(out, kind, namespace);
            }
            let named = matches!(kind.as_str(), Some("record" | "error" | "enum" | "fixed"));
            let full = full_name(object, namespace).ok().filter(|_| named);
            let inner = full.as_ref().map_or(namespace, |full| full.rsplit_once('.').map_or("", |(inner, _)| inner));
            write_object(out, object, |out, key, value| match (key, &full) {
                ("namespace", Some(_)) => false,
                ("name", Some(full)) => member(out, key, |out| write_value(out, &Value::from(full.as_str()))),
                ("fields", Some(_)) => member(out, key, |out| match value {
                    Value::Array(fields) => write_list(out, fields, |out, field| write_field(out, field, inner)),
                    other => write_value(out, other),
                }),
                ("items" | "values", None) => member(out, key, |out| write_schema(out, value, namespace)),
                ("type", None) if !value.is_string() => member(out, key, |out| write_schema(out, value, namespace)),
                _ => member(out, key, |out| write_value(out, value)),
            });
        }
        other => write_value(out, other),
    }
}

fn write_field(out: &mut String, field: &Value, namespace: &str) {
    let Value::Object(object) = field else { return write_value(out, field) };
    write_object(out, object, |out, key, value| match key {
        "type" => member(out, key, |out| write_schema(out, value, namespace)),
        "order" if value == "ascending" => false,
        _ => member(out, key, |out| write_value(out, value)),
    });
}

/// Writes the members that `write` does not leave out, sorted by key.
fn write_object(
    out: &mut String,
    object: &Map<String, Value>,
    mut write: impl FnMut(&mut String, &str, &Value) -> bool,
) {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_by_key(|(key, _)| *key);
    out.push('{');
    let mut first = true;
    for (key, value) in members {
        let before = out.len();
        if !first {
            out.push(',');
        }
        if write(out, key, value) {
            first = false;
        } else {
            out.truncate(before);
        }
    }
    out.push('}');
}

fn member(out: &mut String, key: &str, write: impl FnOnce(&mut String)) -> bool {
    // Writing to a String cannot fail.
    let _ = write!(out, "{}:", Value::from(key));
    write(out);
    true
}

fn write_list(out: &mut String, items: &[Value], write: impl Fn(&mut String, &Value)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Object(object) => {
            write_object(out, object, |out, key, value| member(out, key, |out| write_value(out, value)))
        }
        Value::Array(items) => write_list(out, items, write_value),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Schema::read(text).unwrap().canonical
    }

    #[test]
    fn ways_of_writing_the_same_schema_are_one() {
        let one = r#"{"type":"record","name":"R","namespace":"a.b","fields":[
            {"name":"x","type":{"type":"string"},"order":"ascending"},{"name":"y","type":["null","R"],"default":null}]}"#;
        let other = r#"{"name":"a.b.R","fields":[{"type":"string","name":"x"},
            {"default":null,"name":"y","type":["null","a.b.R"]}],"type":"record"}"#;
        assert_eq!(canonical(one), canonical(other));
        assert_eq!(canonical("\"string\""), canonical(r#"{"type":"string"}"#));
    }

    #[test]
    fn what_readers_see_makes_a_difference() {
        let base = canonical(r#"{"type":"record","name":"R","fields":[{"name":"x","type":"string"}]}"#);
        for other in [
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"string","default":""}]}"#,
            r#"{"type":"record","name":"R","doc":"d","fields":[{"name":"x","type":"string"}]}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":{"type":"string","logicalType":"uuid"}}]}"#,
            r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"x","type":"string"}]}"#,
        ] {
            assert_ne!(base, canonical(other), "{other}");
        }
    }

    #[test]
    fn a_type_may_hold_itself() {
        let tree = r#"{"type":"record","name":"T","fields":[{"name":"down","type":{"type":"array","items":"T"}}]}"#;
        let schema = Schema::read(tree).unwrap();
        assert!(
            matches!(&schema.nodes[schema.root], Node::Record { name, fields } if name == "T" && fields.len() == 1)
        );
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for text in ["", "{}", "nonsense", "{\"type\":\"record\"}", "[\"int\",\"int\"]", r#"{"type":"array"}"#, "17"] {
            assert!(Schema::read(text).is_err(), "{text}");
        }
        let deep = "[".repeat(10_000);
        assert!(Schema::read(&deep).is_err());
    }

    #[test]
    fn every_contract_of_the_house_is_a_schema() {
        for topic in schemas::topics::ALL.iter().filter(|topic| !topic.schema.is_empty()) {
            let schema = Schema::read(topic.schema).unwrap();
            assert_eq!(canonical(&schema.canonical), schema.canonical, "{}", topic.name);
        }
    }
}
