//! The embedded parts alone, for any client.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Place, text};
use serde_json::Value;

/// A broker and a registry over its topic `_schemas`, killed and started again on the same data.
#[test]
fn a_broker_and_a_registry_serve_the_catalogue_and_find_it_again() {
    let place = Place::new();
    let broker = ["broker", "--listen", "127.0.0.1:0", "--data", "broker", "--json"];
    let mut first = place.start("broker", &broker);
    let kafka = first.url();
    let over_kafka = ["registry", "--listen", "127.0.0.1:0", "--json", "--kafka", &kafka];
    let mut registry = place.start("registry", &over_kafka);
    let url = registry.url();
    let apply = ["topics", "apply", "--json", "--kafka", &kafka, "--registry", &url];
    assert!(text(&place.run(&apply)).lines().count() > 20);
    assert_eq!(text(&place.run(&apply)), "", "twice changes nothing");
    registry.kill();
    first.kill();

    let mut second = place.start("broker-again", &broker);
    let kafka = second.url();
    let over_kafka = ["registry", "--listen", "127.0.0.1:0", "--json", "--kafka", &kafka];
    let mut registry = place.start("registry-again", &over_kafka);
    let url = registry.url();
    let apply = ["topics", "apply", "--json", "--kafka", &kafka, "--registry", &url];
    assert_eq!(text(&place.run(&apply)), "", "everything is there after kill -9");
    assert!(registry.stop("INT").success());
    assert!(second.stop("TERM").success());
}

#[test]
fn a_registry_keeps_its_schemas_in_a_folder() {
    let place = Place::new();
    let arguments = ["registry", "--listen", "127.0.0.1:0", "--data", "schemas", "--json"];
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let subjects = |url: &str| client.get(format!("{url}/subjects")).send().unwrap().json::<Vec<String>>().unwrap();

    let mut registry = place.start("first", &arguments);
    let url = registry.url();
    let schema = serde_json::json!({"schema": "\"string\""});
    let answer = client.post(format!("{url}/subjects/one-value/versions")).json(&schema).send().unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    registry.kill();

    let mut registry = place.start("second", &arguments);
    let url = registry.url();
    assert_eq!(subjects(&url), ["one-value"]);
    assert!(registry.stop("TERM").success());
}

#[test]
fn a_sandbox_erp_and_a_fhir_store_say_where_they_are_and_stop_when_asked() {
    let place = Place::new();
    for (part, path) in [("sandbox-erp", ""), ("fhir-store", "/fhir")] {
        let mut running = place.start(part, &[part, "--listen", "127.0.0.1:0", "--data", part, "--json"]);
        let said: Value = serde_json::from_str(&running.line_with("\"url\"")).unwrap();
        assert_eq!(said["part"], part);
        let url = said["url"].as_str().unwrap();
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with(path), "{url}");
        let address = said["address"].as_str().unwrap();
        assert!(std::net::TcpStream::connect(address).is_ok());
        assert!(running.stop("TERM").success());
        assert!(std::net::TcpStream::connect(address).is_err());
        assert!(place.path(part).is_dir());
    }
}

#[test]
fn other_machines_are_never_served() {
    let place = Place::new();
    for part in ["broker", "registry", "sandbox-erp", "fhir-store"] {
        let output = place.run(&[part, "--listen", "0.0.0.0:0"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("WL-7090") && said.contains("127.0.0.1"), "{said}");
    }
}

/// A version is asked by its own program; one of another version says so before it looks for a cluster.
#[test]
fn a_program_answers_for_no_other_version() {
    let place = Place::new();
    let shadow = |version: &str| {
        let select = ["--version", version, "--from-time", "2026-03-01T00:00:00Z"];
        let nobody = ["--kafka", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"];
        let done = place.run(&[&["replay", "shadow", "enrich"], &select[..], &nobody[..]].concat());
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let own = env!("CARGO_PKG_VERSION");
    let (code, said) = shadow("0.0.0-other");
    assert_eq!(code, Some(2), "{said}");
    for told in ["WL-7262", own, "REGISTRY/cli:0.0.0-other", "docs/operate/replay.md"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let (_, said) = shadow(own);
    assert!(said.contains("WL-7067") && !said.contains("WL-7262"), "it goes on and looks for the cluster: {said}");
}
