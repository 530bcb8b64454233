//! The configuration that the chart gives each workload is one that the room takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use runtime::Config;
use serde_json::{Map, Value};
use std::path::Path;

#[test]
fn every_workload_gets_a_configuration_that_its_room_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("helm/wardline/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let workloads = values["workloads"].as_object().unwrap();
    assert!(workloads.len() >= 8, "only {} workloads", workloads.len());
    for (room, workload) in workloads {
        let mut merged = values["config"].clone();
        merge(&mut merged, workload.get("config").cloned().unwrap_or_else(|| Value::Object(Map::new())));
        stand_in(&mut merged);
        let config: Config = serde_json::from_value(merged).unwrap_or_else(|error| panic!("{room}: {error}"));
        config.validate().unwrap_or_else(|error| panic!("{room}: {error}"));
        if workload["family"] == "cli" {
            command_takes(workload, &config).unwrap_or_else(|error| panic!("{room}: {error}"));
            continue;
        }
        let others: Vec<&String> = config.rooms.keys().filter(|name| *name != room).collect();
        assert!(others.is_empty(), "{room} is also told about {others:?}");
        takes(room, &config).unwrap_or_else(|error| panic!("{room}: {error}"));
    }
}

/// Whether a command of `wardline` takes what it is told.
fn command_takes(workload: &Value, config: &Config) -> Result<(), String> {
    let words: Vec<&str> = workload["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let erp = || config.room::<erp_post::ErpPostConfig>("erp-post").map(drop).map_err(|error| error.to_string());
    match words.as_slice() {
        ["console"] => {
            let console: console::ConsoleConfig = config.console().map_err(|error| error.to_string())?;
            let bad = console.validate().err().map(|error| error.to_string()).unwrap_or_default();
            // A stand-in is no hash; everything before the users must be right.
            assert!(bad.contains("console.users.admin.password_hash"), "{bad}");
            assert!(console.is_secure() && !console.users.is_empty());
            erp()
        }
        ["reconcile", "--every", ..] => erp(),
        ["sla", "--watch", ..] => Ok(()),
        other => Err(format!("{other:?} is not known here: add it")),
    }
}

/// Whether the block of the room is what the room documents.
fn takes(room: &str, config: &Config) -> Result<(), runtime::ConfigError> {
    match room {
        "hl7v2" => config.room::<hl7v2::config::Hl7v2Config>(room).map(drop),
        "fhir" => config.room::<fhir::FhirConfig>(room).map(drop),
        "erp" => config.room::<erp::ErpConfig>(room).map(drop),
        "validate" => config.room::<validate::ValidateConfig>(room).map(drop),
        "enrich" => config.room::<enrich::EnrichConfig>(room).map(drop),
        "erp-post" => config.room::<erp_post::ErpPostConfig>(room).map(drop),
        "supplier-fanout" => config.room::<supplier_fanout::FanoutConfig>(room).map(drop),
        "analytics" => config.room::<analytics::AnalyticsConfig>(room).map(drop),
        other => panic!("{other} is not known here: add it"),
    }
}

/// Lays `over` over `base`, as the chart does.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// Puts a text in the place of every reference: there are no secrets here.
fn stand_in(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("${") => "a-text-that-stands-in-for-a-secret".clone_into(text),
        Value::Array(entries) => entries.iter_mut().for_each(stand_in),
        Value::Object(fields) => fields.values_mut().for_each(stand_in),
        _ => {}
    }
}
