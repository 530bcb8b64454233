//! Reads the `.avsc` files and makes self-contained schemas of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::Error;

/// A named type of one `.avsc` file.
#[derive(Debug, Clone)]
pub struct Named {
    /// Path under `schemas/avro`, for example `clinical/encounter.avsc`.
    pub file: String,
    /// Folder of the file: the domain.
    pub domain: String,
    /// Name with namespace.
    pub fullname: String,
    /// Name without namespace.
    pub name: String,
    /// What it means.
    pub doc: String,
    /// Record or enum.
    pub shape: Shape,
    /// The definition as written.
    pub json: Value,
}

/// What a named type consists of.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A record, with the record it extends.
    Record { fields: Vec<Field>, extends: Option<String> },
    /// An enum and its default symbol.
    Enum { symbols: Vec<String>, default: String },
}

/// A field of a record.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub doc: String,
    pub phi: String,
    pub ty: Type,
    /// `None` when the field has no default and therefore must be sent.
    pub default: Option<Value>,
}

/// The Avro types that Wardline contracts use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Boolean,
    Int,
    Long,
    Double,
    Bytes,
    String,
    Date,
    Timestamp,
    /// Decimal with precision and scale.
    Decimal(u64, u64),
    Fixed(u64),
    Optional(Box<Type>),
    Array(Box<Type>),
    Map(Box<Type>),
    /// A record or enum by full name.
    Named(String),
}

/// All named types by full name.
pub type Types = BTreeMap<String, Named>;

/// Reads every `.avsc` under `folder`.
pub fn read(folder: &Path) -> Result<Types, Error> {
    let mut types = Types::new();
    for path in super::files(folder, "avsc")? {
        let file = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let text = super::read(&path)?;
        let json: Value = serde_json::from_str(&text).map_err(|error| Error::new(&file, error.to_string()))?;
        let named = named(&file, json)?;
        if let Some(other) = types.insert(named.fullname.clone(), named) {
            return Err(Error::new(&file, format!("{} is also in {}", other.fullname, other.file)));
        }
    }
    Ok(types)
}

/// The definition of `root` with every named type it uses written out where it is used first.
pub fn self_contained(types: &Types, root: &str) -> Result<Value, Error> {
    let mut seen = BTreeSet::new();
    inline(types, &Value::String(root.to_owned()), &mut seen)
}

fn inline(types: &Types, value: &Value, seen: &mut BTreeSet<String>) -> Result<Value, Error> {
    match value {
        Value::String(name) => match types.get(name) {
            Some(named) if seen.insert(name.clone()) => inline_definition(types, named, seen),
            _ => Ok(value.clone()),
        },
        Value::Array(variants) => {
            let inlined: Result<Vec<_>, _> = variants.iter().map(|variant| inline(types, variant, seen)).collect();
            Ok(Value::Array(inlined?))
        }
        Value::Object(object) => {
            let mut result = Map::new();
            for (key, child) in object {
                let child = match key.as_str() {
                    "type" | "items" | "values" => inline(types, child, seen)?,
                    _ => child.clone(),
                };
                result.insert(key.clone(), child);
            }
            Ok(Value::Object(result))
        }
        other => Ok(other.clone()),
    }
}

fn inline_definition(types: &Types, named: &Named, seen: &mut BTreeSet<String>) -> Result<Value, Error> {
    let mut definition = named.json.clone();
    if let Some(fields) = definition.get_mut("fields").and_then(Value::as_array_mut) {
        for field in fields {
            let ty = field.get("type").cloned().unwrap_or(Value::Null);
            let inlined = inline(types, &ty, seen)?;
            field["type"] = inlined;
        }
    }
    Ok(definition)
}

fn named(file: &str, json: Value) -> Result<Named, Error> {
    let domain = file.split('/').next().unwrap_or_default().to_owned();
    let name = text(file, &json, "name")?;
    let namespace = text(file, &json, "namespace")?;
    if namespace != format!("org.wardline.{domain}") {
        return Err(Error::new(file, format!("namespace {namespace} does not fit the folder")));
    }
    let shape = match text(file, &json, "type")?.as_str() {
        "record" => {
            let fields = json.get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
            let fields: Result<Vec<_>, _> = fields.iter().map(|one| field(file, one)).collect();
            let extends = json.get("extends").and_then(Value::as_str).map(str::to_owned);
            Shape::Record { fields: fields?, extends }
        }
        "enum" => enumeration(file, &json)?,
        other => {
            return Err(Error::new(file, format!("a file holds a record or an enum, not {other}")));
        }
    };
    let doc = text(file, &json, "doc")?;
    Ok(Named { file: file.to_owned(), domain, fullname: format!("{namespace}.{name}"), name, doc, shape, json })
}

fn enumeration(file: &str, json: &Value) -> Result<Shape, Error> {
    let symbols: Vec<String> = json
        .get("symbols")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let default = text(file, json, "default")?;
    if default != "UNKNOWN" || !symbols.contains(&default) {
        return Err(Error::new(file, "the default of an enum is its symbol UNKNOWN".to_owned()));
    }
    Ok(Shape::Enum { symbols, default })
}

fn field(file: &str, json: &Value) -> Result<Field, Error> {
    let name = text(file, json, "name")?;
    let phi = text(file, json, "phi")?;
    if !["none", "indirect", "direct"].contains(&phi.as_str()) {
        return Err(Error::new(file, format!("{name}: phi is none, indirect or direct, not {phi}")));
    }
    let ty = json.get("type").ok_or_else(|| Error::new(file, format!("{name} has no type")))?;
    Ok(Field {
        doc: text(file, json, "doc")?,
        phi,
        ty: type_of(file, ty)?,
        default: json.get("default").cloned(),
        name,
    })
}

fn type_of(file: &str, json: &Value) -> Result<Type, Error> {
    let unsupported = || Error::new(file, format!("type not supported: {json}"));
    match json {
        Value::String(name) => Ok(match name.as_str() {
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            full if full.contains('.') => Type::Named(full.to_owned()),
            _ => return Err(unsupported()),
        }),
        Value::Array(variants) => match variants.as_slice() {
            [Value::String(null), inner] if null == "null" => Ok(Type::Optional(Box::new(type_of(file, inner)?))),
            _ => Err(unsupported()),
        },
        Value::Object(object) => {
            let child = |key: &str| match object.get(key) {
                Some(inner) => type_of(file, inner).map(Box::new),
                None => Err(unsupported()),
            };
            let number = |key: &str| object.get(key).and_then(Value::as_u64).ok_or_else(unsupported);
            let base = object.get("type").and_then(Value::as_str).ok_or_else(unsupported)?;
            match (base, object.get("logicalType").and_then(Value::as_str)) {
                ("array", None) => Ok(Type::Array(child("items")?)),
                ("map", None) => Ok(Type::Map(child("values")?)),
                ("fixed", None) => Ok(Type::Fixed(number("size")?)),
                ("int", Some("date")) => Ok(Type::Date),
                ("long", Some("timestamp-micros")) => Ok(Type::Timestamp),
                ("string", Some("uuid")) => Ok(Type::String),
                ("bytes", Some("decimal")) => Ok(Type::Decimal(number("precision")?, number("scale")?)),
                _ => Err(unsupported()),
            }
        }
        _ => Err(unsupported()),
    }
}

fn text(file: &str, json: &Value, key: &str) -> Result<String, Error> {
    json.get(key)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| Error::new(file, format!("{key} is missing in {}", json.get("name").unwrap_or(json))))
}
