//! One of the two registries, and what its answers come to.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::Client;
use runtime::clock;
use serde_json::{Map, Value};

use super::Step;

/// A registry under test.
pub struct Side {
    base: String,
    client: Client,
    /// Ids in the order in which they were first seen: the numbers themselves have gaps.
    ids: Vec<i64>,
    /// Forms that were met and taken for the same as those of Confluent, by the name of the member.
    pub forms: BTreeSet<&'static str>,
    /// How long all answers took together.
    pub taken: Duration,
}

impl Side {
    /// The registry at this base.
    pub fn new(base: String) -> Self {
        Self {
            base,
            client: Client::builder().no_proxy().build().unwrap(),
            ids: Vec::new(),
            forms: BTreeSet::new(),
            taken: Duration::ZERO,
        }
    }

    /// The next scenario counts ids anew.
    pub fn forget_ids(&mut self) {
        self.ids.clear();
    }

    /// Asks, and tells the answer in a form that can be compared: the status, then the code of an error or the body.
    pub fn ask(&mut self, step: &Step) -> String {
        let mut path = step.path.clone();
        for (number, id) in self.ids.iter().enumerate() {
            path = path.replace(&format!("{{id:{}}}", number + 1), &id.to_string());
        }
        assert!(!path.contains("{id:"), "{path}: no such id was seen");
        let method: Method = step.method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !step.body.is_empty() {
            request = request.header("content-type", "application/vnd.schemaregistry.v1+json").body(step.body.clone());
        }
        let started = clock::tick();
        let answer = request.send().unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().unwrap();
        self.taken += clock::tick().since(started);
        match serde_json::from_str::<Value>(&text) {
            Ok(mut body) if status < 300 => {
                if step.method == "PUT"
                    && let Some(level) = body.as_object_mut().and_then(|body| body.remove("compatibilityLevel"))
                {
                    self.forms.insert("compatibilityLevel");
                    body["compatibility"] = level;
                }
                format!("{status} {}", self.normal(body))
            }
            Ok(body) => {
                assert!(body["message"].is_string(), "{path}: {body}");
                format!("{status} {}", body["error_code"])
            }
            Err(_) => format!("{status} without JSON"),
        }
    }

    fn normal(&mut self, value: Value) -> Value {
        match value {
            Value::Object(object) => self.normal_object(object),
            Value::Array(items) => {
                let mut items: Vec<Value> = items.into_iter().map(|item| self.normal(item)).collect();
                // Subjects come in no promised order.
                if items.iter().all(Value::is_string) {
                    items.sort_by_key(Value::to_string);
                }
                Value::from(items)
            }
            other => other,
        }
    }

    fn normal_object(&mut self, object: Map<String, Value>) -> Value {
        let mut normal = Map::new();
        for (key, value) in object {
            let value = match (key.as_str(), &value) {
                ("schemaType", Value::String(kind)) if kind == "AVRO" => {
                    self.forms.insert("schemaType");
                    continue;
                }
                ("references", Value::Array(items)) if items.is_empty() => {
                    self.forms.insert("references");
                    continue;
                }
                ("messages", Value::Array(items)) => Value::from(!items.is_empty()),
                ("id", Value::Number(id)) => Value::from(self.ordinal(id.as_i64().unwrap())),
                ("schema", Value::String(text)) => serde_json::from_str(text).unwrap_or(value),
                _ => value,
            };
            normal.insert(key, value);
        }
        Value::Object(normal)
    }

    fn ordinal(&mut self, id: i64) -> usize {
        let known = self.ids.iter().position(|known| *known == id);
        known.unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        }) + 1
    }
}
