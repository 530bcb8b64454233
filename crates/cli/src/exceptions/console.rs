//! Decisions about exceptions through the API of a console.

use super::{decide, show};
use crate::args::{Decide, Discard, ExceptionsAction, ExceptionsCorrect, ExceptionsMap};
use crate::output::{self, Output};
use crate::through::{Console, not_through};
use crate::{Failure, agree, crosswalk};
use operations::exceptions::{Discards, Done, Outcome, Proposal, ProposedField};
use schemas::ExceptionKind;
use serde::de::Error as _;
use serde_json::{Value, json};

/// A mark that nothing has which waits: with it the console says why there is nothing to agree to.
const NO_MARK: &str = "none";

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
            let mut body = json!({});
            if options.approve && options.decide.code.is_some() {
                body["seen"] = json!(seen_of_cause(console, options).await?);
            }
            decided(console, &options.decide, verb, body).await
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
        if verb == "resolve" {
            return Err(not_through("a whole cause for `resolve`", "name the exceptions by their ids"));
        }
        let narrowed = [("room", &options.room), ("subject", &options.subject), ("assignee", &options.assignee)];
        narrowed.into_iter().for_each(|(name, value)| body[name] = json!(value));
        body["code"] = json!(code);
        return told(&console.act(&["causes", verb], &body).await?, options.json);
    }
    for id in &options.ids {
        told(&console.act(&["exceptions", id, verb], &body).await?, options.json)?;
    }
    Ok(())
}

/// The mark of the discards of a cause that a person agrees to: the console says what waits, and they are asked as elsewhere.
async fn seen_of_cause(console: &Console, options: &Discard) -> Result<Option<String>, Failure> {
    let Decide { code, room, subject, assignee, .. } = &options.decide;
    let narrowed = [("code", code), ("room", room), ("subject", subject), ("assignee", assignee)];
    let narrowed = narrowed.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let query: Vec<(&str, &str)> = narrowed.chain([("state", "to-approve")]).collect();
    if options.seen.is_some() {
        return Ok(options.seen.clone());
    }
    let listed = console.ask_for(&["exceptions"], &query).await?;
    let waiting: Option<Discards> =
        serde_json::from_value(listed["discards"].clone()).map_err(|error| console.not_understood(&error))?;
    match waiting {
        Some(waiting) if waiting.exceptions == 0 => Err(Failure::usage(
            "WL-7109: nothing of this cause waits for somebody to agree that it is discarded",
            "look at what is to be approved on the page Exceptions of the console",
        )),
        Some(waiting) => decide::seen(None, &waiting),
        None => Err(Failure::new(
            format!("the console has not read what waits: {}", listed["discardsNotRead"].as_str().unwrap_or_default()),
            "try again in some seconds",
        )),
    }
}

/// The mark of the correction that a person agrees to: the console says what waits, and they are asked as elsewhere.
async fn seen_of_correction(console: &Console, options: &ExceptionsCorrect) -> Result<String, Failure> {
    if let Some(seen) = &options.seen {
        return Ok(seen.clone());
    }
    let shown = console.ask(&["exceptions", &options.id]).await?;
    let waiting = &shown["waiting"];
    if waiting["correction"].is_null() {
        let not_read: Vec<&str> = shown["notRead"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        // What could not be read may wait all the same.
        return match shown["source"].is_null() && !not_read.is_empty() {
            true => Err(Failure::new(
                format!("the console has not read what waits: {}", not_read.join("; ")),
                "try again in some seconds",
            )),
            false => Ok(NO_MARK.to_owned()),
        };
    }
    let proposal = proposal_of(&waiting["correction"])
        .ok_or_else(|| console.not_understood(&serde_json::Error::custom("a correction without all of its parts")))?;
    match &proposal.mark {
        Some(mark) if waiting["isMasked"] != true => agree::seen(None, &show::proposed(&proposal), mark),
        Some(_) | None => Err(Failure::usage(
            format!(
                "WL-1450: what {} proposes may identify a patient, so not all of it is shown here",
                agree::plain(&proposal.actor)
            ),
            format!(
                "agree to it on its page of the console, /exceptions/{}, where the source is shown with a reason",
                proposal.exception_id
            ),
        )),
    }
}

/// A correction that waits, as the console tells it.
fn proposal_of(told: &Value) -> Option<Proposal> {
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let field = |one: &Value| {
        Some(ProposedField {
            path: text(one, "path")?,
            before: text(one, "before"),
            after: text(one, "after")?,
            is_direct: one["isDirect"].as_bool()?,
        })
    };
    Some(Proposal {
        exception_id: text(told, "exceptionId")?,
        mark: text(told, "mark"),
        actor: text(told, "actor")?,
        reason: text(told, "reason")?,
        at: told["at"].as_i64()?,
        fields: told["fields"].as_array()?.iter().map(field).collect::<Option<Vec<_>>>()?,
    })
}

async fn corrected(console: &Console, options: &ExceptionsCorrect) -> Result<(), Failure> {
    let result = if options.approve {
        let body = json!({"seen": seen_of_correction(console, options).await?, "comment": options.reason});
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

/// The mark of a mapping that was seen. The lists of mappings tell it, so nobody is asked back.
pub fn seen(given: Option<&str>) -> Result<&str, Failure> {
    given.ok_or_else(|| {
        Failure::usage(
            "WL-1450: who agrees to a mapping through the console says the mark of what was seen",
            "read it with `wardline crosswalk ls --proposed` and repeat the command with --seen MARK, or agree on the page /crosswalk of the console",
        )
    })
}

/// How many were decided of each kind, where the console says it of all and not of the first alone.
fn sums_of(result: &Value) -> Option<Vec<(ExceptionKind, u64)>> {
    let kind = |name: &str| serde_json::from_value::<ExceptionKind>(Value::from(name)).unwrap_or_default();
    let by_kind = result["doneByKind"].as_object()?;
    Some(by_kind.iter().map(|(name, count)| (kind(name), count.as_u64().unwrap_or_default())).collect())
}

/// What was decided.
fn told(result: &Value, json: bool) -> Result<(), Failure> {
    let done: Option<Vec<Done>> = serde_json::from_value(result["done"].clone()).ok();
    match done {
        Some(done) => {
            let told = done.len() as u64;
            let sums = sums_of(result).unwrap_or_else(|| decide::sums(&done));
            decide::print_all(&Outcome { done, left_out: Vec::new() }, &sums, json)?;
            if let Some(all) = result["doneTotal"].as_u64().filter(|all| *all > told) {
                output::note(&format!("{all} in all: the console tells the first {told} one by one"));
            }
            if json {
                decide::left_out_by_console(&result["leftOut"])?;
            }
            if let Some([first, rest @ ..]) = result["leftOut"].as_array().map(Vec::as_slice) {
                let text = |name: &str| agree::plain(first[name].as_str().unwrap_or_default());
                let (code, id, why) = (text("code"), text("exceptionId"), text("why"));
                let next = match text("next") {
                    next if next.is_empty() => next,
                    next => format!("; next: {next}"),
                };
                let all = result["leftOutTotal"].as_u64().unwrap_or(rest.len() as u64 + 1);
                output::note(&format!("{all} left out, for example: {code}: exception {id} {why}{next}"));
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
