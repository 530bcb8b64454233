//! Requests about rules and modes.

use serde::Deserialize;
use serde_json::json;

use super::Book;
use super::answers::{Refusal, Reply};
use super::level::Level;
use super::log::{ConfigValue, Key};
use crate::loopback::Request;

#[derive(Deserialize)]
struct RuleBody {
    compatibility: String,
}

#[derive(Deserialize)]
struct ModeBody {
    mode: String,
}

/// Answers `/config...` after that first part.
pub(super) fn route(book: &mut Book, method: &str, path: &[&str], request: &Request) -> Reply {
    match (method, path) {
        ("GET", []) => Ok(json!({"compatibilityLevel": book.state.rule(None).unwrap_or_default()})),
        ("GET", [subject]) => {
            let own = book.state.rule(Some(subject));
            let level = if request.flag("defaultToGlobal") { Some(book.state.level(subject)) } else { own };
            let missing = || {
                let what = "does not have subject-level compatibility configured";
                Refusal::new(40408, format!("Subject '{subject}' {what}"))
            };
            Ok(json!({"compatibilityLevel": level.ok_or_else(missing)?}))
        }
        ("PUT", [] | [_]) => {
            let level = level_of(request)?;
            book.write(&Key::config(path.first().copied()), Some(&ConfigValue { compatibility_level: level }))?;
            Ok(json!({"compatibility": level}))
        }
        ("DELETE", []) => {
            let before = book.state.rule(None).unwrap_or_default();
            book.erase(&Key::config(None))?;
            Ok(json!({"compatibilityLevel": before}))
        }
        ("DELETE", [subject]) => {
            let before = book.state.rule(Some(subject)).ok_or_else(|| Refusal::subject_not_found(subject))?;
            book.erase(&Key::config(Some(subject)))?;
            Ok(json!({"compatibilityLevel": before}))
        }
        (_, [] | [_]) => Err(Refusal::new(405, "HTTP 405 Method Not Allowed")),
        _ => Err(Refusal::new(404, "HTTP 404 Not Found")),
    }
}

/// Answers `/mode...` after that first part. There is one mode, and it can be asked for but not changed.
pub(super) fn mode(method: &str, path: &[&str], request: &Request) -> Reply {
    match (method, path) {
        ("GET", []) => Ok(json!({"mode": "READWRITE"})),
        ("GET", [_]) if request.flag("defaultToGlobal") => Ok(json!({"mode": "READWRITE"})),
        ("GET", [subject]) => {
            Err(Refusal::new(40409, format!("Subject '{subject}' does not have subject-level mode configured")))
        }
        ("PUT", [] | [_]) => {
            let body = serde_json::from_slice::<ModeBody>(&request.body);
            match body.map(|body| body.mode).as_deref() {
                Ok("READWRITE") => Ok(json!({"mode": "READWRITE"})),
                Ok("READONLY" | "READONLY_OVERRIDE" | "IMPORT") => {
                    Err(Refusal::new(42205, "This registry has the mode READWRITE only"))
                }
                _ => Err(Refusal::new(
                    42204,
                    "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, IMPORT",
                )),
            }
        }
        (_, [] | [_]) => Err(Refusal::new(405, "HTTP 405 Method Not Allowed")),
        _ => Err(Refusal::new(404, "HTTP 404 Not Found")),
    }
}

fn level_of(request: &Request) -> Result<Level, Refusal> {
    let body = serde_json::from_slice::<RuleBody>(&request.body);
    body.ok().and_then(|body| Level::named(&body.compatibility)).ok_or_else(|| {
        let names = "none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive";
        Refusal::new(42203, format!("Invalid compatibility level. Valid values are {names}"))
    })
}
