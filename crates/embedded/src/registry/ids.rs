//! Requests about schemas by their id.

use serde_json::{Value, json};

use super::Book;
use super::answers::{Refusal, Reply};
use super::state::Registered;
use super::subjects::{described, raw};
use crate::loopback::Request;

/// Answers `/schemas...` after that first part.
pub(super) fn route(book: &Book, method: &str, path: &[&str], request: &Request) -> Reply {
    if method != "GET" {
        return Err(Refusal::new(405, "HTTP 405 Method Not Allowed"));
    }
    match path {
        [] => Ok(list(book, request)),
        ["types"] => Ok(json!(["AVRO"])),
        ["ids", id] => Ok(json!({"schema": schema(book, id)?.text})),
        ["ids", id, "schema"] => Ok(raw(&schema(book, id)?.text)),
        ["ids", id, "subjects"] => Ok(holders(book, schema(book, id)?, request, |subject, _| json!(subject))),
        ["ids", id, "versions"] => Ok(holders(
            book,
            schema(book, id)?,
            request,
            |subject, version| json!({"subject": subject, "version": version}),
        )),
        _ => Err(Refusal::new(404, "HTTP 404 Not Found")),
    }
}

fn schema<'a>(book: &'a Book, id: &str) -> Result<&'a Registered, Refusal> {
    let number: i32 = id.parse().map_err(|_| Refusal::new(404, "HTTP 404 Not Found"))?;
    let found = book.state.schema(number).map(AsRef::as_ref);
    found.ok_or_else(|| Refusal::new(40403, format!("Schema {number} not found")))
}

/// Who holds a schema, told by `tell`.
fn holders(book: &Book, schema: &Registered, request: &Request, tell: impl Fn(&str, i32) -> Value) -> Value {
    let deleted = request.flag("deleted");
    let mut told: Vec<Value> = Vec::new();
    for subject in book.state.subjects(deleted) {
        for version in book.state.versions(subject, deleted).filter(|version| version.schema.id == schema.id) {
            let one = tell(subject, version.number);
            if told.last() != Some(&one) {
                told.push(one);
            }
        }
    }
    Value::from(told)
}

fn list(book: &Book, request: &Request) -> Value {
    let deleted = request.flag("deleted");
    let latest = if request.flag("latestOnly") { 1 } else { usize::MAX };
    let prefix = request.parameter("subjectPrefix").unwrap_or_default();
    let subjects = book.state.subjects(deleted).filter(|subject| subject.starts_with(prefix));
    subjects
        .flat_map(|subject| {
            let newest_first = book.state.versions(subject, deleted).rev().take(latest);
            let mut versions: Vec<_> = newest_first.map(|version| described(subject, version)).collect();
            versions.reverse();
            versions
        })
        .collect()
}
