//! The configuration that the chart gives each workload is one that the room takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use runtime::Config;
use serde_json::{Map, Value, json};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The chart's own values.
fn values() -> Value {
    let text = std::fs::read_to_string(root().join("helm/wardline/values.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Blocks of values in the chart's README, in their order.
fn blocks_of_readme() -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("helm/wardline/README.md")).unwrap();
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| serde_saphyr::from_str(block).unwrap()).collect()
}

/// The configuration of a workload, laid together as the template does, without its secrets.
fn configuration(values: &Value, workload: &Value) -> Value {
    let mut merged = values["config"].clone();
    if let Some(room) = workload.get("erpRoom").and_then(Value::as_str) {
        merge(&mut merged, json!({"rooms": {room: values["erp"]}}));
    }
    merge(&mut merged, workload.get("config").cloned().unwrap_or_else(|| Value::Object(Map::new())));
    stand_in(&mut merged);
    merged
}

fn check(values: &Value) {
    let workloads = values["workloads"].as_object().unwrap();
    assert!(workloads.len() >= 8, "only {} workloads", workloads.len());
    for (room, workload) in workloads {
        let merged = configuration(values, workload);
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

#[test]
fn every_workload_gets_a_configuration_that_its_room_takes() {
    check(&values());
}

#[test]
fn the_install_of_the_readme_is_one_that_every_room_takes_and_asks_one_erp() {
    let (mut values, blocks) = (values(), blocks_of_readme());
    assert_eq!(blocks.len(), 2, "the install, and the console");
    for block in blocks {
        merge(&mut values, block);
    }
    check(&values);
    let mut asking = Vec::new();
    for (name, workload) in values["workloads"].as_object().unwrap() {
        let merged = configuration(&values, workload);
        for room in ["erp", "erp-post"] {
            if let Some(url) = merged.pointer(&format!("/rooms/{room}/tryton/url")) {
                assert_eq!(url, "https://erp.example.org", "{name}");
                asking.push(name.as_str());
            }
        }
    }
    asking.sort_unstable();
    assert_eq!(asking, ["console", "erp", "erp-post", "reconcile"]);
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
            assert!(bad.contains("console.users.") && bad.contains(".password_hash"), "{bad}");
            assert!(console.is_secure() && !console.users.is_empty());
            erp()
        }
        ["reconcile", "--every", ..] => erp(),
        ["sla", "--watch", ..] => Ok(()),
        other => Err(format!("{other:?} is not known here: add it")),
    }
}

/// Whether the room takes its block, with the keys that hide patients on a Kafka that others reach.
fn takes(room: &str, config: &Config) -> Result<(), runtime::ConfigError> {
    let rooms = cli::rooms::all();
    let found = rooms.iter().find(|one| one.info().name == room);
    found.unwrap_or_else(|| panic!("there is no room {room}")).settings(config)?;
    match room {
        "hl7v2" | "fhir" => config.pseudonym_key().map(drop),
        "analytics" => config.room::<analytics::AnalyticsConfig>(room)?.check_key(config),
        _ => Ok(()),
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
