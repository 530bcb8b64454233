//! Whether a new version of a contract may replace an old one.

use std::collections::BTreeMap;

use apache_avro::schema_compatibility::{Compatibility as Outcome, SchemaCompatibility};
use serde_json::Value;

use super::library::parse_value;
use crate::catalogue::Compatibility;

/// Why a new version of a contract must not replace an old one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// Not an Avro schema.
    #[error("not an Avro schema: {0}")]
    Schema(String),
    /// New readers cannot read what was written with the old version.
    #[error("new readers cannot read old records: {0}")]
    Backward(String),
    /// Old readers cannot read what will be written with the new version.
    #[error("old readers cannot read new records: {0}")]
    Forward(String),
}

impl Incompatible {
    /// Stable code; `docs/errors` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Schema(_) => "WL-6003",
            Self::Backward(_) | Self::Forward(_) => "WL-7029",
        }
    }
}

/// Checks a new version against one old version; a transitive level asks for all old versions, one call each.
///
/// # Errors
/// [`Incompatible`] with the first reason found.
pub fn check_compatibility(level: Compatibility, new: &str, old: &str) -> Result<(), Incompatible> {
    let new = json(new)?;
    let old = json(old)?;
    can_read(&old, &new)?.map_err(Incompatible::Backward)?;
    match level {
        Compatibility::BackwardTransitive => Ok(()),
        Compatibility::FullTransitive => can_read(&new, &old)?.map_err(Incompatible::Forward),
    }
}

fn json(text: &str) -> Result<Value, Incompatible> {
    let schema = serde_json::from_str(text).map_err(|error| Incompatible::Schema(error.to_string()))?;
    let mut types = BTreeMap::new();
    definitions(&schema, "", &mut types);
    Ok(expand(&schema, &Scope { types: &types, namespace: "", path: "", ancestors: &BTreeMap::new() }))
}

/// A partial match counts as none: some record could not be read.
fn can_read(writer: &Value, reader: &Value) -> Result<Result<(), String>, Incompatible> {
    let parse = |schema: &Value| parse_value(schema).map_err(Incompatible::Schema);
    let reader = with_defaulted_symbols(reader, writer);
    let outcome = SchemaCompatibility::can_read(&parse(writer)?, &parse(&reader)?);
    Ok(match outcome {
        Ok(Outcome::Full) => Ok(()),
        Ok(Outcome::Partial) => Err("not every value of the writer fits the reader".to_owned()),
        Err(error) => Err(error.to_string()),
    })
}

/// Where in a schema an expansion stands.
#[derive(Clone, Copy)]
struct Scope<'a> {
    types: &'a BTreeMap<String, Value>,
    namespace: &'a str,
    path: &'a str,
    /// Full names of the records around this place, with the names they got: a record that holds itself stays a reference.
    ancestors: &'a BTreeMap<String, String>,
}

/// Writes every named type out wherever it is used, under a name that tells the place.
///
/// The library compares a reference with a definition as different types, so two versions that define a shared type at
/// different places would never match.
fn expand(schema: &Value, scope: &Scope<'_>) -> Value {
    match schema {
        Value::String(name) => {
            let full = qualified(name, scope.namespace);
            match (scope.ancestors.get(&full), scope.types.get(&full)) {
                (Some(ancestor), _) => Value::from(ancestor.as_str()),
                (None, Some(definition)) => {
                    let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
                    expand(definition, &Scope { namespace, ..*scope })
                }
                (None, None) => schema.clone(),
            }
        }
        Value::Array(variants) => variants.iter().map(|variant| expand(variant, scope)).collect(),
        Value::Object(object) => {
            let mut result = object.clone();
            let mut ancestors = scope.ancestors.clone();
            let full = full_name(schema, scope.namespace);
            let namespace = full.as_ref().and_then(|full| full.rsplit_once('.')).map_or("", |(namespace, _)| namespace);
            if let Some(full) = &full {
                let short = full.rsplit('.').next().unwrap_or_default();
                let unique = format!("{short}{}", scope.path);
                result.insert("name".to_owned(), Value::from(unique.as_str()));
                result.remove("namespace");
                result.remove("aliases");
                ancestors.insert(full.clone(), unique);
            }
            let inner = if full.is_some() { Scope { namespace, ..*scope } } else { *scope };
            let inner = Scope { ancestors: &ancestors, ..inner };
            for key in ["type", "items", "values"] {
                if let Some(child) = object.get(key).filter(|_| full.is_none()) {
                    result.insert(key.to_owned(), expand(child, &inner));
                }
            }
            if let Some(Value::Array(fields)) = result.get_mut("fields") {
                for field in fields {
                    let path = format!("{}__{}", scope.path, field["name"].as_str().unwrap_or_default());
                    field["type"] = expand(&field["type"], &Scope { path: &path, ..inner });
                }
            }
            Value::Object(result)
        }
        other => other.clone(),
    }
}

/// Collects the named types by full name.
fn definitions(schema: &Value, namespace: &str, types: &mut BTreeMap<String, Value>) {
    match schema {
        Value::Array(variants) => variants.iter().for_each(|variant| definitions(variant, namespace, types)),
        Value::Object(object) => {
            let full = full_name(schema, namespace);
            let inner = full.as_ref().and_then(|full| full.rsplit_once('.')).map_or(namespace, |(inner, _)| inner);
            for key in ["type", "items", "values"] {
                if let Some(child) = object.get(key) {
                    definitions(child, inner, types);
                }
            }
            for field in object.get("fields").and_then(Value::as_array).into_iter().flatten() {
                definitions(&field["type"], inner, types);
            }
            if let Some(full) = full.clone() {
                types.insert(full, schema.clone());
            }
        }
        _ => {}
    }
}

/// The full name of a record, enum or fixed; `None` for other types.
fn full_name(schema: &Value, namespace: &str) -> Option<String> {
    let kind = schema.get("type").and_then(Value::as_str)?;
    if !["record", "enum", "fixed", "error"].contains(&kind) {
        return None;
    }
    let own = schema.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    Some(qualified(schema.get("name").and_then(Value::as_str)?, own))
}

fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// The reader's schema with the writer's symbols added to every enum that has a default.
///
/// By the Avro specification such an enum reads symbols it does not know; the library counts them as a partial match.
fn with_defaulted_symbols(reader: &Value, writer: &Value) -> Value {
    let mut written = BTreeMap::new();
    symbols(writer, &mut written);
    let mut reader = reader.clone();
    add_symbols(&mut reader, &written);
    reader
}

fn symbols(schema: &Value, found: &mut BTreeMap<String, Vec<Value>>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| symbols(item, found)),
        Value::Object(object) => {
            if let (Some(Value::String(name)), Some(Value::Array(list))) = (object.get("name"), object.get("symbols")) {
                found.insert(name.clone(), list.clone());
            }
            object.values().for_each(|child| symbols(child, found));
        }
        _ => {}
    }
}

fn add_symbols(schema: &mut Value, written: &BTreeMap<String, Vec<Value>>) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| add_symbols(item, written)),
        Value::Object(object) => {
            let name = object.get("name").and_then(Value::as_str).map(str::to_owned);
            if object.contains_key("default")
                && let Some(more) = name.and_then(|name| written.get(&name))
                && let Some(Value::Array(list)) = object.get_mut("symbols")
            {
                for symbol in more {
                    if !list.contains(symbol) {
                        list.push(symbol.clone());
                    }
                }
            }
            object.values_mut().for_each(|child| add_symbols(child, written));
        }
        _ => {}
    }
}
