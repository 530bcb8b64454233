//! From the contract of a topic to the columns of its rows: the `phi` attribute of each field decides.
//!
//! A field is as sensitive as the most sensitive of the records it is in, with one exception: the envelope `meta` holds
//! fields of several classes, so what it is itself is only the most that any of them can be. On a topic without patient data
//! nothing in the envelope says something about a patient. A field without the attribute counts as direct: what nobody
//! classified stays out.
//!
//! The id of an event is made of the name of its message without a key, so whoever guesses the name of a resource has the id:
//! where the envelope says something about a patient it is a token, whatever `tokens` names.

use crate::config::{AnalyticsConfig, PatientTimes};
use schemas::TopicInfo;
use serde_json::Value;
use std::collections::HashMap;

/// Deepest nesting of records that is followed.
const DEPTH_MAX: usize = 8;

/// Path of the envelope.
const ENVELOPE: [&str; 1] = ["meta"];
/// Path of the id of an event: every row has it.
const EVENT_ID: [&str; 2] = ["meta", "eventId"];

/// One column of the rows of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in the file: the path in snake case, joined with `_`; that of the id of the event is `event_id`.
    pub name: String,
    /// Field names from the record to the value.
    pub path: Vec<String>,
    /// Type of the value.
    pub kind: Kind,
    /// How the value is written.
    pub treatment: Treatment,
}

/// Type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text or the symbol of an enumeration.
    Text,
    /// A whole number.
    Whole,
    /// True or false.
    Truth,
    /// An exact decimal.
    Decimal {
        /// Digits.
        precision: u8,
        /// Decimal places.
        scale: i8,
    },
    /// A calendar day.
    Day,
    /// A point in time.
    Moment,
    /// A list, written as JSON text.
    List(Shape),
}

/// What may be written of an element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The value itself.
    Plain,
    /// These fields of a record.
    Fields(Vec<(String, Shape)>),
    /// A list of such elements.
    Elements(Box<Shape>),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// As it is.
    Plain,
    /// Cut to the day, UTC.
    CutToDay,
    /// Cut to the hour, UTC.
    CutToHour,
    /// As a token of this purpose.
    Token,
}

/// Sensitivity of a field, lowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sensitivity {
    None,
    Indirect,
    Direct,
}

/// The columns of a topic, in the order of the contract: the id of the event first. The place comes before them in a row.
#[must_use]
pub fn columns(topic: &TopicInfo, config: &AnalyticsConfig) -> Vec<Column> {
    let Ok(contract) = serde_json::from_str::<Value>(topic.schema) else { return Vec::new() };
    let mut names = HashMap::new();
    name_types(&contract, &mut names);
    let mut walk = Walk { names, config, columns: Vec::new() };
    walk.record(&contract, &mut Vec::new(), Within { least: Sensitivity::None, most: Sensitivity::Direct });
    walk.columns
}

/// What the records around a field say of it.
#[derive(Clone, Copy)]
struct Within {
    /// It is at least as sensitive.
    least: Sensitivity,
    /// It is no more sensitive: the class of the envelope, inside of it.
    most: Sensitivity,
}

struct Walk<'a> {
    names: HashMap<String, Value>,
    config: &'a AnalyticsConfig,
    columns: Vec<Column>,
}

impl Walk<'_> {
    fn record(&mut self, record: &Value, path: &mut Vec<String>, within: Within) {
        for field in fields_of(record) {
            let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
            path.push(name.to_owned());
            self.field(field, path, within);
            path.pop();
        }
    }

    fn field(&mut self, field: &Value, path: &mut Vec<String>, within: Within) {
        let Some(kind) = field.get("type").and_then(|kind| self.resolve(kind)) else { return };
        let least = sensitivity(field).max(within.least);
        if type_name(&kind) == "record" {
            if path.len() < DEPTH_MAX {
                let is_envelope = *path == ENVELOPE;
                let inside = Within { least, ..within };
                let envelope = Within { least: Sensitivity::None, most: least };
                self.record(&kind, path, if is_envelope { envelope } else { inside });
            }
            return;
        }
        let sensitivity = least.min(within.most);
        let Some(kind) = self.kind(&kind, sensitivity) else { return };
        let Some(treatment) = self.treatment(path, &kind, sensitivity) else { return };
        self.columns.push(Column { name: column_name(path), path: path.clone(), kind, treatment });
    }

    /// How a value of this sensitivity is written; `None` when it is not.
    fn treatment(&self, path: &[String], kind: &Kind, sensitivity: Sensitivity) -> Option<Treatment> {
        match (sensitivity, kind) {
            (Sensitivity::None, _) => Some(Treatment::Plain),
            (Sensitivity::Indirect, Kind::Moment) => match self.config.patient_times {
                PatientTimes::Day => Some(Treatment::CutToDay),
                PatientTimes::Hour => Some(Treatment::CutToHour),
                PatientTimes::None => None,
            },
            (Sensitivity::Indirect, Kind::Text) => {
                let is_named = path.last().is_some_and(|name| self.config.tokens.contains(name));
                (is_named || path == EVENT_ID).then_some(Treatment::Token)
            }
            _ => None,
        }
    }

    fn kind(&self, kind: &Value, sensitivity: Sensitivity) -> Option<Kind> {
        let number = |name: &str| kind.get(name).and_then(Value::as_u64);
        Some(match (type_name(kind), kind.get("logicalType").and_then(Value::as_str)) {
            ("bytes", Some("decimal")) => Kind::Decimal {
                precision: u8::try_from(number("precision")?).ok()?,
                scale: i8::try_from(number("scale").unwrap_or_default()).ok()?,
            },
            ("int", Some("date")) => Kind::Day,
            ("long", Some("timestamp-micros")) => Kind::Moment,
            ("string" | "enum", _) => Kind::Text,
            ("int" | "long", None) => Kind::Whole,
            ("boolean", _) => Kind::Truth,
            ("array", _) => Kind::List(self.shape(kind.get("items")?, sensitivity, 0)?),
            _ => return None,
        })
    }

    /// What may be written of an element; `None` when nothing may.
    fn shape(&self, items: &Value, around: Sensitivity, depth: usize) -> Option<Shape> {
        if around != Sensitivity::None || depth >= DEPTH_MAX {
            return None;
        }
        let items = self.resolve(items)?;
        match type_name(&items) {
            "record" => {
                let kept = fields_of(&items).filter_map(|field| {
                    let shape = self.shape(field.get("type")?, sensitivity(field).max(around), depth + 1)?;
                    Some((field.get("name")?.as_str()?.to_owned(), shape))
                });
                let kept: Vec<_> = kept.collect();
                (!kept.is_empty()).then_some(Shape::Fields(kept))
            }
            "array" => Some(Shape::Elements(Box::new(self.shape(items.get("items")?, around, depth + 1)?))),
            "string" | "enum" | "int" | "long" | "boolean" | "bytes" => Some(Shape::Plain),
            _ => None,
        }
    }

    /// The type behind a name or an optional; `None` for a choice of several types.
    fn resolve(&self, kind: &Value) -> Option<Value> {
        match kind {
            Value::Array(choices) => {
                let mut real = choices.iter().filter(|choice| choice.as_str() != Some("null"));
                match (real.next(), real.next()) {
                    (Some(only), None) => self.resolve(only),
                    _ => None,
                }
            }
            Value::String(name) => Some(self.names.get(name).cloned().unwrap_or_else(|| kind.clone())),
            Value::Object(_) => Some(kind.clone()),
            _ => None,
        }
    }
}

/// Every named type of a contract, by its full name. A contract spells a type out once and names it afterwards.
fn name_types(value: &Value, names: &mut HashMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            let text = |name: &str| value.get(name).and_then(Value::as_str);
            if let (Some("record" | "enum"), Some(name), Some(namespace)) =
                (text("type"), text("name"), text("namespace"))
            {
                names.insert(format!("{namespace}.{name}"), value.clone());
            }
            fields.values().for_each(|field| name_types(field, names));
        }
        Value::Array(entries) => entries.iter().for_each(|entry| name_types(entry, names)),
        _ => {}
    }
}

fn fields_of(record: &Value) -> impl Iterator<Item = &Value> {
    record.get("fields").and_then(Value::as_array).into_iter().flatten()
}

fn type_name(kind: &Value) -> &str {
    kind.as_str().or_else(|| kind.get("type").and_then(Value::as_str)).unwrap_or_default()
}

fn sensitivity(field: &Value) -> Sensitivity {
    match field.get("phi").and_then(Value::as_str) {
        Some("none") => Sensitivity::None,
        Some("indirect") => Sensitivity::Indirect,
        _ => Sensitivity::Direct,
    }
}

fn column_name(path: &[String]) -> String {
    if path == EVENT_ID {
        return "event_id".to_owned();
    }
    let mut name = String::new();
    for part in path {
        if !name.is_empty() {
            name.push('_');
        }
        for letter in part.chars() {
            if letter.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
    }
    name
}
