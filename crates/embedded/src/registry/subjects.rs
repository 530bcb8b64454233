//! Requests about subjects and their versions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Refusal, Reply};
use super::log::{DeleteSubjectValue, Key, NoopValue, SchemaValue};
use super::schema::Schema;
use super::state::Version;
use super::{Book, VERSIONS_MAX};
use crate::loopback::Request;

/// Longest name of a subject, bytes.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// Body of a registration, a look-up and a check.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    schema: Option<String>,
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Value>>,
}

/// Which version a request is about.
#[derive(Clone, Copy)]
enum Wanted {
    Number(i32),
    Latest,
}

impl Wanted {
    fn read(text: &str) -> Result<Self, Refusal> {
        if matches!(text, "latest" | "-1") {
            return Ok(Self::Latest);
        }
        text.parse().ok().filter(|number| *number > 0).map(Self::Number).ok_or_else(|| {
            let allowed = "Allowed values are between [1, 2^31-1] and the string \"latest\"";
            Refusal::new(42202, format!("The specified version '{text}' is not a valid version id. {allowed}"))
        })
    }
}

/// Answers `/subjects...` after that first part.
pub(super) fn route(book: &mut Book, method: &str, path: &[&str], request: &Request) -> Reply {
    match (method, path) {
        ("GET", []) => Ok(list(book, request)),
        ("POST", [subject]) => look_up(book, subject, request),
        ("DELETE", [subject]) => delete_subject(book, subject, request.flag("permanent")),
        ("GET", [subject, "versions"]) => versions(book, subject, request),
        ("POST", [subject, "versions"]) => register(book, subject, request),
        ("GET", [subject, "versions", version]) => {
            let found = find(book, subject, version, request.flag("deleted"))?;
            Ok(described(subject, found))
        }
        ("GET", [subject, "versions", version, "schema"]) => {
            let found = find(book, subject, version, request.flag("deleted"))?;
            Ok(raw(&found.schema.text))
        }
        ("GET", [subject, "versions", version, "referencedby"]) => {
            find(book, subject, version, request.flag("deleted"))?;
            Ok(json!([]))
        }
        ("DELETE", [subject, "versions", version]) => delete_version(book, subject, version, request.flag("permanent")),
        (_, [] | [_] | [_, "versions"] | [_, "versions", _] | [_, "versions", _, "schema" | "referencedby"]) => {
            Err(Refusal::new(405, "HTTP 405 Method Not Allowed"))
        }
        _ => Err(Refusal::new(404, "HTTP 404 Not Found")),
    }
}

/// Answers `/compatibility...` after that first part.
pub(super) fn compatibility(book: &Book, method: &str, path: &[&str], request: &Request) -> Reply {
    let ["subjects", subject, "versions", version @ ..] = path else {
        return Err(Refusal::new(404, "HTTP 404 Not Found"));
    };
    let level = book.state.level(subject);
    let objections = match (method, version) {
        ("POST", []) => {
            let new = schema_of(request)?.1;
            // Against all versions, whatever the level says: the caller asks for it.
            against(level, &new, book.state.versions(subject, false).rev())?
        }
        ("POST", [version]) => {
            let new = schema_of(request)?.1;
            let wanted = Wanted::read(version)?;
            match (wanted, find(book, subject, version, false)) {
                // Nothing to be compared with.
                (Wanted::Latest, Err(_)) => Vec::new(),
                (Wanted::Number(number), Err(_)) => return Err(Refusal::version_not_found(number)),
                (_, Ok(found)) => against(level, &new, std::iter::once(found))?,
            }
        }
        (_, [] | [_]) => return Err(Refusal::new(405, "HTTP 405 Method Not Allowed")),
        _ => return Err(Refusal::new(404, "HTTP 404 Not Found")),
    };
    if request.flag("verbose") {
        return Ok(json!({"is_compatible": objections.is_empty(), "messages": objections}));
    }
    Ok(json!({"is_compatible": objections.is_empty()}))
}

/// A version with all that is known of it.
pub(super) fn described(subject: &str, version: &Version) -> Value {
    json!({
        "subject": subject,
        "version": version.number,
        "id": version.schema.id,
        "schema": version.schema.text,
    })
}

/// A schema alone, as JSON.
pub(super) fn raw(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn list(book: &Book, request: &Request) -> Value {
    let prefix = request.parameter("subjectPrefix").unwrap_or_default();
    let living: Vec<_> = book.state.subjects(false).collect();
    let wanted: Vec<_> = if request.flag("deletedOnly") {
        book.state.subjects(true).filter(|subject| !living.contains(subject)).collect()
    } else {
        book.state.subjects(request.flag("deleted")).collect()
    };
    wanted.into_iter().filter(|subject| subject.starts_with(prefix)).collect()
}

fn versions(book: &Book, subject: &str, request: &Request) -> Reply {
    let only = request.flag("deletedOnly");
    let known = book.state.versions(subject, only || request.flag("deleted"));
    let numbers: Vec<_> = known.filter(|version| !only || version.deleted).map(|version| version.number).collect();
    if numbers.is_empty() { Err(Refusal::subject_not_found(subject)) } else { Ok(json!(numbers)) }
}

fn find<'a>(book: &'a Book, subject: &str, version: &str, deleted: bool) -> Result<&'a Version, Refusal> {
    let wanted = Wanted::read(version)?;
    let mut known = book.state.versions(subject, deleted);
    let found = match wanted {
        Wanted::Latest => known.next_back(),
        Wanted::Number(number) => known.find(|version| version.number == number),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    match wanted {
        Wanted::Number(number) if book.state.versions(subject, deleted).next().is_some() => {
            Err(Refusal::version_not_found(number))
        }
        _ => Err(Refusal::subject_not_found(subject)),
    }
}

/// The text and the schema of a body.
fn schema_of(request: &Request) -> Result<(String, Schema), Refusal> {
    let body: SchemaBody =
        serde_json::from_slice(&request.body).map_err(|error| Refusal::new(400, format!("the body: {error}")))?;
    let kind = body.schema_type.as_deref().unwrap_or("AVRO");
    if !kind.eq_ignore_ascii_case("AVRO") {
        return Err(Refusal::invalid_schema(&format!("the type {kind} is not served here, only AVRO")));
    }
    if body.references.is_some_and(|references| !references.is_empty()) {
        return Err(Refusal::invalid_schema("references are not served here: write the schema out in full"));
    }
    let text = body.schema.filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| Refusal::new(42201, "Empty schema"))?;
    let schema = Schema::read(&text).map_err(|error| Refusal::invalid_schema(&error))?;
    Ok((text, schema))
}

fn look_up(book: &Book, subject: &str, request: &Request) -> Reply {
    let (_, schema) = schema_of(request)?;
    let deleted = request.flag("deleted");
    if book.state.versions(subject, deleted).next().is_none() {
        return Err(Refusal::subject_not_found(subject));
    }
    let found = book.state.find(subject, &schema, deleted).ok_or_else(|| Refusal::new(40403, "Schema not found"))?;
    Ok(described(subject, found))
}

fn against<'a>(
    level: super::level::Level,
    new: &Schema,
    olds: impl Iterator<Item = &'a Version>,
) -> Result<Vec<String>, Refusal> {
    let mut objections = Vec::new();
    for old in olds {
        let parsed = Schema::read(&old.schema.text).map_err(|error| Refusal::new(50001, error))?;
        let found = level.objections(new, &parsed);
        if !found.is_empty() {
            objections.extend(found);
            objections.push(format!("{{oldSchemaVersion: {}}}", old.number));
            objections.push(format!("{{compatibility: '{}'}}", level.name()));
            break;
        }
    }
    Ok(objections)
}

fn register(book: &mut Book, subject: &str, request: &Request) -> Reply {
    let (text, schema) = schema_of(request)?;
    if subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
        return Err(Refusal::new(42208, "The specified subject is not a valid subject."));
    }
    if let Some(known) = book.state.find(subject, &schema, false) {
        return Ok(json!({"id": known.schema.id}));
    }
    let level = book.state.level(subject);
    let compared = if level.is_transitive() { usize::MAX } else { 1 };
    let objections = against(level, &schema, book.state.versions(subject, false).rev().take(compared))?;
    if !objections.is_empty() {
        let details = objections.join(", ");
        let what = "Schema being registered is incompatible with an earlier schema for subject";
        return Err(Refusal::new(409, format!("{what} \"{subject}\", details: [{details}]")));
    }
    if book.state.version_count() >= VERSIONS_MAX {
        return Err(Refusal::new(50001, format!("the registry holds its most of {VERSIONS_MAX} versions")));
    }
    let id = book.state.id_of(&schema).or_else(|| book.state.next_id());
    let id = id.ok_or_else(|| Refusal::new(50001, "no id is left"))?;
    // The text that was first registered stays the text of the id.
    let schema = book.state.schema(id).map_or(text, |known| known.text.clone());
    let version = book.state.next_version(subject);
    let value = SchemaValue { subject: subject.to_owned(), version, id, schema_type: None, schema, deleted: false };
    book.write(&Key::schema(subject, version), Some(&value))?;
    Ok(json!({"id": id}))
}

fn delete_subject(book: &mut Book, subject: &str, permanent: bool) -> Reply {
    let numbers = |deleted| book.state.versions(subject, deleted).map(|version| version.number).collect::<Vec<_>>();
    let (living, all) = (numbers(false), numbers(true));
    if all.is_empty() {
        return Err(Refusal::subject_not_found(subject));
    }
    if permanent {
        if !living.is_empty() {
            let what = "was not deleted first before being permanently deleted";
            return Err(Refusal::new(40405, format!("Subject '{subject}' {what}")));
        }
        for number in &all {
            erase(book, subject, *number)?;
        }
        if book.state.rule(Some(subject)).is_some() {
            book.erase(&Key::config(Some(subject)))?;
        }
        return Ok(json!(all));
    }
    let Some(newest) = living.last() else {
        let what = "was soft deleted.Set permanent=true to delete permanently";
        return Err(Refusal::new(40404, format!("Subject '{subject}' {what}")));
    };
    let value = DeleteSubjectValue { subject: subject.to_owned(), version: *newest };
    book.write(&Key::delete_subject(subject), Some(&value))?;
    Ok(json!(living))
}

fn delete_version(book: &mut Book, subject: &str, version: &str, permanent: bool) -> Reply {
    let found = find(book, subject, version, true)?;
    // The latest is the latest that lives.
    let found = if matches!(Wanted::read(version)?, Wanted::Latest) && !permanent {
        find(book, subject, version, false)?
    } else {
        found
    };
    let number = found.number;
    let what = |what: &str| format!("Subject '{subject}' Version {number} {what}");
    match (permanent, found.deleted) {
        (true, false) => Err(Refusal::new(40407, what("was not deleted first before being permanently deleted"))),
        (false, true) => Err(Refusal::new(40406, what("was soft deleted.Set permanent=true to delete permanently"))),
        (true, true) => {
            erase(book, subject, number)?;
            Ok(json!(number))
        }
        (false, false) => {
            let value = SchemaValue {
                subject: subject.to_owned(),
                version: number,
                id: found.schema.id,
                schema_type: None,
                schema: found.schema.text.clone(),
                deleted: true,
            };
            book.write(&Key::schema(subject, number), Some(&value))?;
            Ok(json!(number))
        }
    }
}

/// Deletes a version for good. Its id must never name another schema: records on topics carry it.
fn erase(book: &mut Book, subject: &str, number: i32) -> Result<(), Refusal> {
    book.write(&Key::Noop { magic: 0 }, Some(&NoopValue { max_id: book.state.max_id() }))?;
    book.erase(&Key::schema(subject, number))
}
