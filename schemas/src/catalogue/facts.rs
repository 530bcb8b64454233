//! What the checks of `topics.yaml` need to know of a schema.

use serde_json::Value;

use super::Phi;

/// Facts about one contract file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFacts {
    /// File under `schemas/avro`, for example `clinical/encounter.avsc`.
    pub file: String,
    /// Full record name.
    pub record: String,
    /// Fields by path, nested records included (`meta.eventId`).
    pub fields: Vec<FieldFacts>,
    /// Highest PHI class of any field.
    pub phi: Phi,
}

/// Facts about one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFacts {
    /// Path from the record, joined with `.`.
    pub path: String,
    /// Text that is always there: fit for a key.
    pub is_required_text: bool,
    /// Its PHI class.
    pub phi: Phi,
}

impl SchemaFacts {
    /// The facts of every contract built into this version.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        let topics = crate::topics::ALL.iter().filter(|topic| !topic.schema.is_empty());
        topics
            .filter_map(|topic| {
                let schema = serde_json::from_str(topic.schema).ok()?;
                Some(Self::of(topic.schema_file, &schema))
            })
            .collect()
    }

    /// The facts of a self-contained schema.
    #[must_use]
    pub fn of(file: &str, schema: &Value) -> Self {
        let namespace = schema.get("namespace").and_then(Value::as_str).unwrap_or_default();
        let name = schema.get("name").and_then(Value::as_str).unwrap_or_default();
        let mut facts =
            Self { file: file.to_owned(), record: format!("{namespace}.{name}"), fields: Vec::new(), phi: Phi::None };
        facts.collect(schema, "", None);
        facts
    }

    /// The field at a path.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<&FieldFacts> {
        self.fields.iter().find(|field| field.path == path)
    }

    /// A field of a record in a record counts with the class its outermost field declares, except that direct stays direct.
    fn collect(&mut self, record: &Value, prefix: &str, outer: Option<Phi>) {
        let fields = record.get("fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for field in fields {
            let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
            let own = match field.get("phi").and_then(Value::as_str) {
                Some("none") => Phi::None,
                Some("indirect") => Phi::Indirect,
                // A field that does not say counts as the worst.
                _ => Phi::Direct,
            };
            let phi = if own == Phi::Direct { own } else { outer.unwrap_or(own) };
            self.phi = self.phi.max(phi);
            let ty = field.get("type").unwrap_or(&Value::Null);
            let is_required_text = is_text(ty) && field.get("default").is_none();
            self.fields.push(FieldFacts { path: path.clone(), is_required_text, phi });
            if let Some(inner) = record_in(ty) {
                self.collect(inner, &path, Some(phi));
            }
        }
    }
}

fn is_text(ty: &Value) -> bool {
    ty == "string" || ty.get("type").is_some_and(|inner| inner == "string")
}

/// The record a type holds, through unions and arrays.
fn record_in(ty: &Value) -> Option<&Value> {
    match ty {
        Value::Array(variants) => variants.iter().find_map(record_in),
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("record") => Some(ty),
            Some("array") => object.get("items").and_then(record_in),
            Some("map") => object.get("values").and_then(record_in),
            _ => None,
        },
        _ => None,
    }
}
