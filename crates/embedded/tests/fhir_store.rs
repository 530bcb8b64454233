//! The FHIR store over HTTP, with its data on disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use common::ask;
use serde_json::json;
use std::path::Path;
use wardline_embedded::fhir_store::{BODY_BYTES_MAX, FhirStore, FhirStoreError, FhirStoreOptions};

fn started(data: &Path) -> FhirStore {
    FhirStore::start(&FhirStoreOptions { data: Some(data.to_owned()), ..FhirStoreOptions::default() }).unwrap()
}

fn put(store: &FhirStore, id: &str, value: &str) -> u16 {
    let body = format!(r#"{{"resourceType":"Observation","id":"{id}","valueQuantity":{{"value":{value}}}}}"#);
    ask(store.address(), "PUT", &format!("/fhir/Observation/{id}"), &body).status
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = started(folder.path());
    assert_eq!((put(&store, "a", "1.50"), put(&store, "b", "2"), put(&store, "a", "1.500")), (201, 201, 200));
    assert_eq!(ask(store.address(), "DELETE", "/fhir/Observation/b", "").status, 204);
    store.stop();
    // As a kill leaves it: the start of a line that was never acknowledged.
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_slice(br#"[{"kind":"Observation","id":"c","num"#);
    std::fs::write(&file, bytes).unwrap();
    let store = started(folder.path());
    let answer = ask(store.address(), "GET", "/fhir/Observation/a", "");
    assert_eq!(answer.header("etag"), Some("W/\"2\""));
    assert_eq!(answer.header("content-type"), Some("application/fhir+json; fhirVersion=4.0; charset=utf-8"));
    assert!(answer.body.contains(r#"{"value":1.500}"#), "{}", answer.body);
    assert_eq!(ask(store.address(), "GET", "/fhir/Observation/b", "").status, 410);
    assert_eq!(ask(store.address(), "GET", "/fhir/Observation/c", "").status, 404);
    assert_eq!(ask(store.address(), "GET", "/fhir/_history", "").json()["total"], 4);
    assert_eq!(put(&store, "c", "3"), 201);
}

#[test]
fn the_data_belong_to_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let _store = started(folder.path());
    let second =
        FhirStore::start(&FhirStoreOptions { data: Some(folder.path().to_owned()), ..FhirStoreOptions::default() });
    assert!(matches!(second, Err(FhirStoreError::Data(_))));
}

#[test]
fn what_is_too_large_is_refused_and_the_next_is_served() {
    let store = FhirStore::start(&FhirStoreOptions::default()).unwrap();
    let body = " ".repeat(BODY_BYTES_MAX + 1);
    let answer = ask(store.address(), "PUT", "/fhir/Device/d", &body);
    assert_eq!((answer.status, &answer.json()["issue"][0]["code"]), (413, &json!("too-long")));
    let created = ask(store.address(), "POST", "/fhir/Device", r#"{"resourceType":"Device"}"#);
    assert_eq!(created.status, 201);
    let place = created.header("location").unwrap();
    assert!(place.starts_with(&format!("{}/Device/", store.url())) && place.ends_with("/_history/1"), "{place}");
}
