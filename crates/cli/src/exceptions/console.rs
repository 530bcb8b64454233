//! Decisions about exceptions through the API of a console.

use super::decide;
use crate::args::{Decide, ExceptionsAction, ExceptionsCorrect, ExceptionsMap};
use crate::output::{self, Output};
use crate::through::{Console, not_through};
use crate::{Failure, crosswalk};
use operations::exceptions::{Done, Outcome};
use serde_json::{Value, json};

/// The console that the act is to go through; none when none is named, or it only looks.
pub fn of(action: &ExceptionsAction) -> Result<Option<Console>, Failure> {
    let options = match action {
        ExceptionsAction::Assign(options) => &options.decide.through,
        ExceptionsAction::Comment(options) | ExceptionsAction::Retry(options) | ExceptionsAction::Resolve(options) => {
            &options.through
        }
        ExceptionsAction::Discard(options) => &options.decide.through,
        ExceptionsAction::Correct(options) => &options.through,
        ExceptionsAction::Map(options) => &options.through,
        ExceptionsAction::Causes(_)
        | ExceptionsAction::Ls(_)
        | ExceptionsAction::Show(_)
        | ExceptionsAction::History(_) => return Ok(None),
    };
    Console::of(options)
}

/// Has it decided by the console.
pub async fn act(console: &Console, action: &ExceptionsAction) -> Result<(), Failure> {
    match action {
        ExceptionsAction::Assign(options) => {
            decided(console, &options.decide, "assign", json!({"to": options.to})).await
        }
        ExceptionsAction::Comment(options) => decided(console, options, "comment", json!({})).await,
        ExceptionsAction::Retry(options) => decided(console, options, "retry", json!({})).await,
        ExceptionsAction::Resolve(options) => decided(console, options, "resolve", json!({})).await,
        ExceptionsAction::Discard(options) => {
            let verb = if options.approve { "approve-discard" } else { "discard" };
            decided(console, &options.decide, verb, json!({})).await
        }
        ExceptionsAction::Correct(options) => corrected(console, options).await,
        ExceptionsAction::Map(options) => mapped(console, options).await,
        ExceptionsAction::Causes(_)
        | ExceptionsAction::Ls(_)
        | ExceptionsAction::Show(_)
        | ExceptionsAction::History(_) => Err(not_through("this", "leave --console out: it only looks")),
    }
}

/// One after the other: what was decided before one is refused stays decided, and is told.
async fn decided(console: &Console, options: &Decide, verb: &str, mut body: Value) -> Result<(), Failure> {
    body["comment"] = json!(options.comment);
    if let Some(code) = &options.code {
        if verb != "retry" {
            return Err(not_through("a whole cause except for `retry`", "name the exceptions by their ids"));
        }
        let narrowed = [("room", &options.room), ("subject", &options.subject), ("assignee", &options.assignee)];
        narrowed.into_iter().for_each(|(name, value)| body[name] = json!(value));
        body["code"] = json!(code);
        return told(&console.act(&["causes", "retry"], &body).await?, options.json);
    }
    for id in &options.ids {
        told(&console.act(&["exceptions", id, verb], &body).await?, options.json)?;
    }
    Ok(())
}

async fn corrected(console: &Console, options: &ExceptionsCorrect) -> Result<(), Failure> {
    let result = if options.approve {
        let body = json!({"seen": seen(options.seen.as_deref())?, "comment": options.reason});
        console.act(&["exceptions", &options.id, "correction", "approve"], &body).await?
    } else {
        let [wish] = options.set.as_slice() else {
            return Err(not_through(
                "several fields in one correction",
                "correct one field at a time: the next one adds to it",
            ));
        };
        let body = json!({"field": wish.path, "value": wish.value, "comment": options.reason});
        console.act(&["exceptions", &options.id, "correct"], &body).await?
    };
    told(&result, options.json)
}

async fn mapped(console: &Console, options: &ExceptionsMap) -> Result<(), Failure> {
    if options.kind.is_some() || options.code.is_some() {
        return Err(not_through("--kind and --code here", "map it with `wardline crosswalk set`"));
    }
    let result = if options.approve {
        let body = json!({"seen": seen(options.seen.as_deref())?, "comment": options.reason});
        console.act(&["exceptions", &options.id, "map", "approve"], &body).await?
    } else {
        let body = json!({"to": options.to, "comment": options.reason});
        console.act(&["exceptions", &options.id, "map"], &body).await?
    };
    crosswalk::told_by_console(&result, options.json)
}

/// The mark of what was seen: a console asks nobody back.
pub fn seen(given: Option<&str>) -> Result<&str, Failure> {
    given.ok_or_else(|| {
        Failure::usage(
            "WL-1450: an approval through the console says the mark of what was seen",
            "read it with `wardline exceptions ls --to-approve` or on the page, and repeat the command with --seen MARK",
        )
    })
}

/// What was decided.
fn told(result: &Value, json: bool) -> Result<(), Failure> {
    let done: Option<Vec<Done>> = serde_json::from_value(result["done"].clone()).ok();
    match done {
        Some(done) => {
            decide::print(&Outcome { done, left_out: Vec::new() }, json)?;
            let left_out = result["leftOut"].as_array().map_or(0, Vec::len);
            if left_out > 0 {
                output::note(&format!("{left_out} left out; the console says why on its page of exceptions"));
            }
            Ok(())
        }
        None => {
            let mut output = Output::stdout();
            output.json(result)?;
            output.finish()
        }
    }
}
