//! What identifies a patient directly is not shown without a right.

use schemas::catalogue::SchemaFacts;
use schemas::{Phi, topics};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;

const HIDDEN: &str = "***";
/// Bytes of messages inside of records, and the block of clear identifiers, whatever the contract of the writer was.
const NAMES: [&str; 3] = ["phi", "rawValue", "output"];

/// Paths of fields that identify a patient directly, by topic.
static DIRECT: LazyLock<HashMap<&'static str, Vec<String>>> = LazyLock::new(|| {
    let facts = SchemaFacts::built_in();
    let of_topic = |file: &str| {
        let fields = facts.iter().filter(|facts| facts.file == file).flat_map(|facts| &facts.fields);
        fields.filter(|field| field.phi == Phi::Direct).map(|field| field.path.clone()).collect()
    };
    topics::ALL.iter().map(|topic| (topic.name, of_topic(topic.schema_file))).collect()
});

/// Hides what identifies a patient directly.
pub(super) fn mask(topic: &str, value: &mut Value) {
    match DIRECT.get(topic) {
        Some(paths) => paths.iter().for_each(|path| hide(value, path)),
        // A topic that is not known may hold anything.
        None => *value = json!(HIDDEN),
    }
    by_name(value);
}

fn hide(value: &mut Value, path: &str) {
    if let Value::Array(entries) = value {
        entries.iter_mut().for_each(|entry| hide(entry, path));
        return;
    }
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match (value.get_mut(first), rest) {
        (None | Some(Value::Null), _) => {}
        (Some(field), None) => *field = json!(HIDDEN),
        (Some(field), Some(rest)) => hide(field, rest),
    }
}

fn by_name(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if NAMES.contains(&name.as_str()) && !field.is_null() {
                    *field = json!(HIDDEN);
                } else {
                    by_name(field);
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(by_name),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phi_1_what_the_contract_calls_direct_is_hidden() {
        let mut usage = json!({"lot": "L", "phi": {"patientId": "7"}});
        mask("clinical.supply-usage.v1", &mut usage);
        assert_eq!(usage, json!({"lot": "L", "phi": "***"}));
        let mut parked = json!({"key": "enc_1", "value": "AAAA", "headers": [{"key": "ce_id", "value": "MQ=="}]});
        mask("ops.parked.v1", &mut parked);
        assert_eq!(parked["value"], "***");
        let mut exception = json!({"code": "WL-4001", "rawValue": "TVNI", "rawKey": null});
        mask("ops.exception.v1", &mut exception);
        assert_eq!(exception, json!({"code": "WL-4001", "rawValue": "***", "rawKey": null}));
    }

    #[test]
    fn phi_1_every_direct_field_of_every_contract_is_found() {
        let direct: usize = DIRECT.values().map(Vec::len).sum();
        assert!(direct >= 5, "only {direct}");
        assert!(DIRECT.values().flatten().all(|path| !path.is_empty()));
    }

    #[test]
    fn phi_1_of_a_topic_that_is_not_known_nothing_is_shown() {
        let mut value = json!({"name": "Doe"});
        mask("other.topic.v1", &mut value);
        assert_eq!(value, json!("***"));
    }
}
