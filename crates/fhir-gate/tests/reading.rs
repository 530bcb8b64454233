//! What the reader of FHIR JSON reads and refuses, and which version it names. Beside the crate and not in it, so that its models are
//! compiled once and not a second time for tests.

#![allow(clippy::unwrap_used, reason = "test")]

use fhir_gate::Version;
use fhir_gate::json::{Json, JsonErrorKind};

#[track_caller]
fn refused(text: &str, kind: JsonErrorKind, line: usize, column: usize) {
    let error = Json::read(text.as_bytes()).unwrap_err();
    assert_eq!((error.kind, error.line, error.column), (kind, line, column));
}

#[test]
fn numbers_keep_their_text() {
    let json = Json::read(b"{\"a\":1.50,\"b\":12345678901234567.890,\"c\":-0.5e+3}").unwrap();
    assert_eq!(json.get("a"), Some(&Json::Number("1.50".to_owned())));
    assert_eq!(json.get("b"), Some(&Json::Number("12345678901234567.890".to_owned())));
    assert_eq!(json.get("c"), Some(&Json::Number("-0.5e+3".to_owned())));
}

#[test]
fn a_byte_order_mark_is_tolerated_and_objects_know_their_place() {
    let text = "\u{feff} {\"a\":[{\"b\":1}]} ";
    let json = Json::read(text.as_bytes()).unwrap();
    let Json::Object(inner) = &json.get("a").unwrap().items()[0] else { panic!("no object") };
    assert_eq!(&text.as_bytes()[inner.bytes.clone()], b"{\"b\":1}");
}

#[test]
fn escapes_are_decoded() {
    let json = Json::read(br#""a\"\\\/\n\u00e9\ud83d\ude00""#).unwrap();
    assert_eq!(json.as_text(), Some("a\"\\/\n\u{e9}\u{1f600}"));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    refused("{\"a\":1,\n \"a\":2}", JsonErrorKind::DuplicateKey, 2, 2);
    refused("{\"a\":1", JsonErrorKind::Expected("a comma or the end of the object"), 1, 7);
    refused("", JsonErrorKind::Expected("a value"), 1, 1);
    refused("[1,]", JsonErrorKind::Expected("a value"), 1, 4);
    refused("[01]", JsonErrorKind::Expected("a comma or the end of the array"), 1, 3);
    refused("\"\\ud800x\"", JsonErrorKind::Expected("an escape sequence of JSON"), 1, 8);
    refused("{} {}", JsonErrorKind::Expected("the end of the input"), 1, 4);
    refused(&"[".repeat(500), JsonErrorKind::TooDeep, 1, 102);
    assert_eq!(Json::read(b"\"\xff\"").unwrap_err().kind, JsonErrorKind::NotUtf8);
}

#[test]
fn media_types_name_the_version() {
    let of = Version::of_media_type;
    assert_eq!(of("application/fhir+json; fhirVersion=4.0"), Some(Version::R4));
    assert_eq!(of("application/fhir+json;charset=utf-8;FHIRVERSION=\"5.0\""), Some(Version::R5));
    assert_eq!(of("application/fhir+json;charset=UTF-8"), None);
    assert_eq!(of("application/fhir+json; fhirVersion=3.0"), None);
}

#[test]
fn content_names_the_version_where_it_differs() {
    let of = |text: &str| Version::of_content(&Json::read(text.as_bytes()).unwrap());
    assert_eq!(of(r#"{"resourceType":"Encounter","status":"completed"}"#), Some(Version::R5));
    assert_eq!(of(r#"{"resourceType":"Encounter","class":{"code":"IMP"}}"#), Some(Version::R4));
    assert_eq!(of(r#"{"resourceType":"DeviceUsage"}"#), Some(Version::R5));
    assert_eq!(of(r#"{"resourceType":"Procedure","status":"completed"}"#), None);
}
