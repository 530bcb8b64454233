//! Writes Rust types for records and enums.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::avro::{Field, Named, Shape, Type, Types};
use super::{Error, MARK};

/// Writes the types of every domain: one file per record that a topic may carry, one for the smaller types of a domain.
/// Returns the module names.
pub fn emit(types: &Types, generated: &mut BTreeMap<PathBuf, String>) -> Result<Vec<String>, Error> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for named in types.values() {
        let code = match &named.shape {
            Shape::Enum { symbols, default } => enumeration(named, symbols, default),
            Shape::Record { fields, extends } => record(types, named, fields, extends.as_deref())?,
        };
        files.entry(module_of(types, named)).or_default().push_str(&code);
    }
    let modules: Vec<String> = files.keys().cloned().collect();
    for (module, code) in files {
        let mut text = format!(
            "{MARK}\n#[allow(unused_imports, reason = \"one list of imports for all generated files\")]\nuse super::prelude::*;\n"
        );
        text.push_str(&code);
        generated.insert(PathBuf::from(format!("{module}.rs")), text);
    }
    generated.insert(PathBuf::from("prelude.rs"), prelude());
    Ok(modules)
}

/// `mod.rs`: declares and re-exports the modules.
pub fn module_file(modules: &[String]) -> String {
    let mut text = format!("{MARK}\n//! Types and topics made from the contracts.\n\n");
    let mut names: Vec<&str> = modules.iter().map(String::as_str).collect();
    names.push("prelude");
    names.sort_unstable();
    for module in &names {
        let visibility = match *module {
            "topics" => "pub ",
            "example_files" => "pub(crate) ",
            _ => "",
        };
        text.push_str(&format!("{visibility}mod {module};\n"));
    }
    text.push('\n');
    let is_types = |module: &&String| !module.starts_with("topic") && *module != "example_files";
    for module in modules.iter().filter(is_types) {
        text.push_str(&format!("pub use {module}::*;\n"));
    }
    text
}

/// `encounterRef` to `encounter_ref`.
pub fn snake(name: &str) -> String {
    let mut result = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !result.is_empty() {
            result.push('_');
        }
        result.push(letter.to_ascii_lowercase());
    }
    result
}

fn prelude() -> String {
    format!(
        "{MARK}\npub use rust_decimal::Decimal;\npub use serde::{{Deserialize, Serialize}};\n\npub use super::*;\npub use crate::types::{{Bytes, Date, Redacted, Timestamp}};\n"
    )
}

fn module_of(types: &Types, named: &Named) -> String {
    let is_used_by_others = types.values().any(|other| match &other.shape {
        Shape::Record { fields, .. } => fields.iter().any(|field| mentions(&field.ty, &named.fullname)),
        Shape::Enum { .. } => false,
    });
    if is_used_by_others || matches!(named.shape, Shape::Enum { .. }) || named.domain == "common" {
        format!("{}_types", named.domain)
    } else {
        let stem = named.file.rsplit('/').next().unwrap_or_default().trim_end_matches(".avsc");
        format!("{}_{}", named.domain, stem.replace('-', "_"))
    }
}

fn mentions(ty: &Type, fullname: &str) -> bool {
    match ty {
        Type::Named(name) => name == fullname,
        Type::Optional(inner) | Type::Array(inner) | Type::Map(inner) => mentions(inner, fullname),
        _ => false,
    }
}

fn enumeration(named: &Named, symbols: &[String], default: &str) -> String {
    let name = &named.name;
    let mut code = format!("\n/// {}\n///\n/// A symbol this version does not know reads as `Unknown`.\n", named.doc);
    code.push_str("#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]\n");
    code.push_str(&format!("pub enum {name} {{\n"));
    for symbol in symbols {
        let variant = pascal(symbol);
        code.push_str(&format!("    /// `{symbol}`.\n"));
        if symbol == default {
            code.push_str(&format!("    #[default]\n    #[serde(rename = \"{symbol}\", other)]\n"));
        } else {
            code.push_str(&format!("    #[serde(rename = \"{symbol}\")]\n"));
        }
        code.push_str(&format!("    {variant},\n"));
    }
    code.push_str("}\n");
    code.push_str(&format!(
        "\nimpl {name} {{\n    /// The symbol as it stands in the schema.\n    pub const fn as_str(self) -> &'static str {{\n        match self {{\n"
    ));
    for symbol in symbols {
        code.push_str(&format!("            Self::{} => \"{symbol}\",\n", pascal(symbol)));
    }
    code.push_str("        }\n    }\n}\n");
    code
}

fn record(types: &Types, named: &Named, fields: &[Field], extends: Option<&str>) -> Result<String, Error> {
    let defaults: Result<Vec<_>, Error> = fields.iter().map(|field| Default::of(types, named, field)).collect();
    let defaults = defaults?;
    let is_plain = defaults.iter().all(|default| !matches!(default, Default::Value(_)));
    let is_direct =
        |field: &Field| field.phi == "direct" && !matches!(without_option(&field.ty), Type::Named(_) | Type::Bytes);
    let hides = fields.iter().any(is_direct);
    let mut code = format!("\n/// {}\n", named.doc);
    let mut derives = vec!["Clone", "PartialEq"];
    if !hides {
        derives.insert(0, "Debug");
    }
    if is_plain {
        derives.push("Default");
    }
    code.push_str(&format!("#[derive({}, Serialize, Deserialize)]\n", derives.join(", ")));
    code.push_str(&format!("#[serde(rename_all = \"camelCase\")]\npub struct {} {{\n", named.name));
    for (field, default) in fields.iter().zip(&defaults) {
        code.push_str(&member(named, field, default));
    }
    code.push_str("}\n");
    if !is_plain {
        code.push_str(&default_impl(named, fields, &defaults));
    }
    if hides {
        code.push_str(&debug_impl(named, fields, is_direct));
    }
    if let Some(base) = extends {
        code.push_str(&from_base(types, named, fields, base)?);
    }
    Ok(code)
}

fn member(named: &Named, field: &Field, default: &Default) -> String {
    let phi = if field.phi == "none" { String::new() } else { format!(" PHI: {}.", field.phi) };
    let mut code = format!("    /// {}{phi}\n", field.doc);
    match default {
        Default::Required => {}
        Default::Type => code.push_str("    #[serde(default)]\n"),
        Default::Value(_) => code.push_str(&format!(
            "    #[serde(default = \"default_{}_{}\")]\n",
            snake(&named.name),
            snake(&field.name)
        )),
    }
    if let Some(codec) = decimal_codec(&field.ty) {
        code.push_str(&format!("    #[serde(with = \"crate::types::{codec}\")]\n"));
    }
    code.push_str(&format!("    pub {}: {},\n", identifier(&field.name), rust_type(&field.ty)));
    code
}

/// What a field has when the writer did not know it.
enum Default {
    /// No default: such a record is refused.
    Required,
    /// The `Default` of the Rust type.
    Type,
    /// Another value, as a Rust expression.
    Value(String),
}

impl Default {
    fn of(types: &Types, named: &Named, field: &Field) -> Result<Self, Error> {
        let Some(value) = &field.default else {
            return Ok(Self::Required);
        };
        let refuse = || Error::new(&named.file, format!("{}: default {value} is not supported", field.name));
        Ok(match (&field.ty, value) {
            (Type::Optional(_), Value::Null) | (Type::Boolean, Value::Bool(false)) => Self::Type,
            (Type::Boolean, Value::Bool(true)) => Self::Value("true".to_owned()),
            (Type::Int | Type::Long, Value::Number(number)) => match number.as_i64() {
                Some(0) => Self::Type,
                Some(other) => Self::Value(other.to_string()),
                None => return Err(refuse()),
            },
            (Type::Timestamp | Type::Date, Value::Number(number)) if number.as_i64() == Some(0) => Self::Type,
            (Type::String | Type::Bytes, Value::String(text)) if text.is_empty() => Self::Type,
            (Type::String, Value::String(text)) => Self::Value(format!("{text:?}.to_owned()")),
            (Type::Decimal(..), Value::String(text)) if text == "\0" => Self::Type,
            (Type::Array(_), Value::Array(items)) if items.is_empty() => Self::Type,
            (Type::Map(_), Value::Object(items)) if items.is_empty() => Self::Type,
            (Type::Named(name), Value::String(symbol)) => {
                let Some(Named { name, shape: Shape::Enum { symbols, default }, .. }) = types.get(name) else {
                    return Err(refuse());
                };
                if !symbols.contains(symbol) {
                    return Err(refuse());
                }
                if symbol == default { Self::Type } else { Self::Value(format!("{name}::{}", pascal(symbol))) }
            }
            _ => return Err(refuse()),
        })
    }
}

fn default_impl(named: &Named, fields: &[Field], defaults: &[Default]) -> String {
    let name = &named.name;
    let mut members = Vec::with_capacity(fields.len());
    let mut functions = String::new();
    for (field, default) in fields.iter().zip(defaults) {
        let member = identifier(&field.name);
        match default {
            Default::Value(value) => {
                let function = format!("default_{}_{}", snake(name), snake(&field.name));
                members.push(format!("{member}: {function}()"));
                functions.push_str(&format!("\nfn {function}() -> {} {{\n    {value}\n}}\n", rust_type(&field.ty)));
            }
            Default::Required | Default::Type => members.push(format!("{member}: Default::default()")),
        }
    }
    let one_line = format!("        Self {{ {} }}\n", members.join(", "));
    let body = if one_line.trim_end().len() <= super::topics::LINE_LENGTH_MAX {
        one_line
    } else {
        format!("        Self {{\n            {},\n        }}\n", members.join(",\n            "))
    };
    format!("\nimpl Default for {name} {{\n    fn default() -> Self {{\n{body}    }}\n}}\n{functions}")
}

fn debug_impl(named: &Named, fields: &[Field], is_direct: impl Fn(&Field) -> bool) -> String {
    let name = &named.name;
    let mut code = format!(
        "\n/// Directly identifying fields print as `***`.\nimpl std::fmt::Debug for {name} {{\n    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{\n        formatter\n            .debug_struct(\"{name}\")\n"
    );
    for field in fields {
        let member = identifier(&field.name);
        let shown = if is_direct(field) { "&Redacted".to_owned() } else { format!("&self.{member}") };
        code.push_str(&format!("            .field(\"{member}\", {shown})\n"));
    }
    code.push_str("            .finish()\n    }\n}\n");
    code
}

fn from_base(types: &Types, named: &Named, fields: &[Field], base: &str) -> Result<String, Error> {
    let Some(Named { name: base_name, shape: Shape::Record { fields: base_fields, .. }, .. }) = types.get(base) else {
        return Err(Error::new(&named.file, format!("extends {base}, which is no record")));
    };
    let mut code = format!(
        "\n/// Keeps every field both records have; the others get their defaults.\nimpl From<{base_name}> for {} {{\n    fn from(base: {base_name}) -> Self {{\n        Self {{\n",
        named.name
    );
    for field in fields {
        let member = identifier(&field.name);
        if base_fields.iter().any(|base| base.name == field.name) {
            code.push_str(&format!("            {member}: base.{member},\n"));
        }
    }
    code.push_str("            ..Self::default()\n        }\n    }\n}\n");
    Ok(code)
}

fn rust_type(ty: &Type) -> String {
    match ty {
        Type::Boolean => "bool".to_owned(),
        Type::Int => "i32".to_owned(),
        Type::Long => "i64".to_owned(),
        Type::Double => "f64".to_owned(),
        Type::Bytes | Type::Fixed(_) => "Bytes".to_owned(),
        Type::String => "String".to_owned(),
        Type::Date => "Date".to_owned(),
        Type::Timestamp => "Timestamp".to_owned(),
        Type::Decimal(..) => "Decimal".to_owned(),
        Type::Optional(inner) => format!("Option<{}>", rust_type(inner)),
        Type::Array(inner) => format!("Vec<{}>", rust_type(inner)),
        Type::Map(inner) => format!("std::collections::BTreeMap<String, {}>", rust_type(inner)),
        Type::Named(name) => name.rsplit('.').next().unwrap_or_default().to_owned(),
    }
}

/// The module that reads and writes a decimal of this precision and scale without rounding.
fn decimal_codec(ty: &Type) -> Option<String> {
    match ty {
        Type::Decimal(precision, scale) => Some(format!("decimal{precision}_{scale}")),
        Type::Optional(inner) => decimal_codec(inner).map(|codec| format!("{codec}::option")),
        _ => None,
    }
}

fn without_option(ty: &Type) -> &Type {
    match ty {
        Type::Optional(inner) => inner,
        other => other,
    }
}

/// A field name in Rust; keywords are written raw.
pub fn identifier(name: &str) -> String {
    let name = snake(name);
    if ["type", "ref", "final", "use", "match"].contains(&name.as_str()) { format!("r#{name}") } else { name }
}

/// `DAY_CARE` to `DayCare`.
fn pascal(symbol: &str) -> String {
    symbol
        .split('_')
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            format!("{}{}", first.to_uppercase(), rest.to_lowercase())
        })
        .collect()
}
