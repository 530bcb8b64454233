//! Other versions of a contract, and random records of them.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::schema::{NamesRef, ResolvedSchema};
use apache_avro::types::Value as Avro;
use apache_avro::{Decimal, Schema, Uuid};
use serde_json::{Value, json};

/// A source of decisions; when it is used up every decision is the first one, so that failures shrink.
pub struct Choices<'a> {
    left: &'a [u8],
}

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        *first
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    fn number(&mut self) -> i64 {
        (0..8).fold(0_i64, |number, _| (number << 8) | i64::from(self.byte()))
    }
}

/// A version of a contract: its named types, each with references to the others.
#[derive(Clone)]
pub struct Version {
    root: String,
    types: BTreeMap<String, Value>,
}

impl Version {
    /// Takes a self-contained schema apart.
    pub fn of(schema: &str) -> Self {
        let mut types = BTreeMap::new();
        let root = take_apart(&serde_json::from_str(schema).unwrap(), &mut types);
        let root = root.as_str().unwrap().to_owned();
        Self { root, types }
    }

    /// Puts it together again: every type where it is used first.
    pub fn json(&self) -> String {
        put_together(&json!(self.root), &self.types, &mut BTreeSet::new()).to_string()
    }

    /// Record and name of each field that has a default.
    pub fn removable_fields(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (name, ty) in &self.types {
            for field in ty["fields"].as_array().into_iter().flatten() {
                if field.get("default").is_some() {
                    found.push((name.clone(), field["name"].as_str().unwrap().to_owned()));
                }
            }
        }
        found
    }

    pub fn remove_field(&mut self, record: &str, field: &str) {
        let fields = self.types.get_mut(record).unwrap()["fields"].as_array_mut().unwrap();
        fields.retain(|other| other["name"] != field);
    }

    /// Names of all enums.
    pub fn enums(&self) -> Vec<String> {
        self.types.iter().filter(|(_, ty)| ty["type"] == "enum").map(|(name, _)| name.clone()).collect()
    }

    pub fn add_symbol(&mut self, name: &str, position: usize, symbol: &str) {
        let symbols = self.types.get_mut(name).unwrap()["symbols"].as_array_mut().unwrap();
        symbols.insert(position.min(symbols.len()), json!(symbol));
    }

    /// Removes some fields that have a default, and some symbols that are no default.
    pub fn remove_some(&mut self, choices: &mut Choices<'_>) {
        for (record, field) in self.removable_fields() {
            if choices.below(4) == 1 {
                self.remove_field(&record, &field);
            }
        }
        let defaults: BTreeSet<String> = self
            .types
            .values()
            .flat_map(|ty| ty["fields"].as_array().into_iter().flatten().chain([ty]))
            .filter_map(|holder| holder.get("default").and_then(Value::as_str).map(str::to_owned))
            .collect();
        for ty in self.types.values_mut().filter(|ty| ty["type"] == "enum") {
            let symbols = ty["symbols"].as_array_mut().unwrap();
            symbols.retain(|symbol| defaults.contains(symbol.as_str().unwrap()) || choices.below(4) != 1);
        }
    }

    /// Adds some fields of every type, anywhere, and some symbols.
    pub fn add_some(&mut self, choices: &mut Choices<'_>) {
        let names: Vec<String> = self.types.keys().cloned().collect();
        for (number, name) in names.iter().enumerate() {
            if self.types[name]["type"] == "enum" {
                if choices.below(2) == 1 {
                    self.add_symbol(name, choices.below(20), "NOT_YET_KNOWN");
                }
            } else if choices.below(2) == 1 {
                let field = new_field(number, choices);
                let fields = self.types.get_mut(name).unwrap()["fields"].as_array_mut().unwrap();
                fields.insert(choices.below(fields.len() + 1), field);
            }
        }
    }
}

fn new_field(number: usize, choices: &mut Choices<'_>) -> Value {
    let (ty, default) = match choices.below(12) {
        0 => (json!("string"), json!("new")),
        1 => (json!(["null", "long"]), json!(null)),
        2 => (json!({"type": "array", "items": "string"}), json!([])),
        3 => (json!({"type": "map", "values": "bytes"}), json!({})),
        4 => (json!("double"), json!(0.5)),
        5 => (json!("bytes"), json!("")),
        6 => {
            (json!({"type": "enum", "name": format!("New{number}"), "symbols": ["A", "B"], "default": "A"}), json!("B"))
        }
        7 => {
            let fields = json!([{"name": "inner", "type": ["null", "string"], "default": null}]);
            (json!({"type": "record", "name": format!("New{number}"), "fields": fields}), json!({"inner": null}))
        }
        8 => (json!({"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 6}), json!("\0")),
        9 => (json!({"type": "long", "logicalType": "timestamp-micros"}), json!(0)),
        10 => (json!({"type": "fixed", "name": format!("New{number}"), "size": 2}), json!("\0\0")),
        _ => (json!("boolean"), json!(true)),
    };
    json!({"name": format!("added{number}"), "type": ty, "default": default})
}

fn take_apart(schema: &Value, types: &mut BTreeMap<String, Value>) -> Value {
    match schema {
        Value::Array(variants) => variants.iter().map(|variant| take_apart(variant, types)).collect(),
        Value::Object(object) => {
            let mut result = schema.clone();
            for key in ["items", "values"] {
                if let Some(inner) = object.get(key) {
                    result[key] = take_apart(inner, types);
                }
            }
            let fields = result.get_mut("fields").and_then(Value::as_array_mut);
            for field in fields.into_iter().flatten() {
                field["type"] = take_apart(&field["type"], types);
            }
            let (Some(name), Some(namespace)) = (object.get("name"), object.get("namespace")) else {
                return result;
            };
            let full = format!("{}.{}", namespace.as_str().unwrap(), name.as_str().unwrap());
            types.insert(full.clone(), result);
            json!(full)
        }
        other => other.clone(),
    }
}

fn put_together(schema: &Value, types: &BTreeMap<String, Value>, seen: &mut BTreeSet<String>) -> Value {
    match schema {
        Value::String(name) => match types.get(name) {
            Some(definition) if seen.insert(name.clone()) => put_together(definition, types, seen),
            _ => schema.clone(),
        },
        Value::Array(variants) => variants.iter().map(|variant| put_together(variant, types, seen)).collect(),
        Value::Object(object) => {
            let mut result = schema.clone();
            for key in ["items", "values"] {
                if let Some(inner) = object.get(key) {
                    result[key] = put_together(inner, types, seen);
                }
            }
            if object.contains_key("fields") {
                for field in result["fields"].as_array_mut().unwrap() {
                    field["type"] = put_together(&field["type"], types, seen);
                }
            }
            result
        }
        other => other.clone(),
    }
}

/// A random record of a schema.
pub fn random_value(schema: &Schema, choices: &mut Choices<'_>) -> Avro {
    let resolved = ResolvedSchema::new(schema).unwrap();
    random(schema, resolved.get_names(), choices)
}

fn random(schema: &Schema, names: &NamesRef<'_>, choices: &mut Choices<'_>) -> Avro {
    match schema {
        Schema::Ref { name } => random(names[name], names, choices),
        Schema::Null => Avro::Null,
        Schema::Boolean => Avro::Boolean(choices.byte() & 1 == 1),
        Schema::Int => Avro::Int(i32::try_from(choices.number() >> 33).unwrap()),
        Schema::Long => Avro::Long(choices.number()),
        Schema::Double => Avro::Double(f64::from(choices.byte()) / 8.0),
        Schema::Bytes => Avro::Bytes((0..choices.below(9)).map(|_| choices.byte()).collect()),
        Schema::String => Avro::String(random_text(choices)),
        Schema::Uuid(_) => Avro::Uuid(Uuid::from_u128(u128::from(choices.number().unsigned_abs()))),
        Schema::Date => Avro::Date(i32::try_from(choices.number() >> 48).unwrap()),
        Schema::TimestampMicros => Avro::TimestampMicros(choices.number() >> 8),
        Schema::Decimal(_) => {
            // Eight bytes: the library refuses to resolve shorter decimals of this precision.
            let number = choices.number() % 1_000_000_000_000_000_000;
            Avro::Decimal(Decimal::from(number.to_be_bytes()))
        }
        Schema::Fixed(fixed) => Avro::Fixed(fixed.size, (0..fixed.size).map(|_| choices.byte()).collect()),
        Schema::Enum(shape) => {
            let index = choices.below(shape.symbols.len());
            Avro::Enum(u32::try_from(index).unwrap(), shape.symbols[index].clone())
        }
        Schema::Union(union) => {
            let index = choices.below(union.variants().len());
            let inner = random(&union.variants()[index], names, choices);
            Avro::Union(u32::try_from(index).unwrap(), Box::new(inner))
        }
        Schema::Array(array) => {
            Avro::Array((0..choices.below(4)).map(|_| random(&array.items, names, choices)).collect())
        }
        Schema::Map(map) => {
            let entry =
                |number: usize, choices: &mut Choices<'_>| (format!("k{number}"), random(&map.types, names, choices));
            Avro::Map((0..choices.below(3)).map(|number| entry(number, choices)).collect())
        }
        Schema::Record(record) => {
            let field = |field: &apache_avro::schema::RecordField, choices: &mut Choices<'_>| {
                (field.name.clone(), random(&field.schema, names, choices))
            };
            Avro::Record(record.fields.iter().map(|one| field(one, choices)).collect())
        }
        other => panic!("no contract uses {other:?}"),
    }
}

fn random_text(choices: &mut Choices<'_>) -> String {
    const LETTERS: [char; 8] = ['a', 'Z', '0', ' ', '"', '\\', 'ä', '心'];
    (0..choices.below(6)).map(|_| LETTERS[choices.below(LETTERS.len())]).collect()
}
