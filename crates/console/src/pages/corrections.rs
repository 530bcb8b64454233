//! What is corrected from an exception: fields of its event, and what its code means.

use super::exception::{COMMENT, find, refusal, said};
use super::proposals::{self, Waiting};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Kind};
use crate::html::{Act as Form, Frame, form};
use crate::problem::Problem;
use crate::reads::TOO_SLOW;
use axum::http::StatusCode;
use maud::{Markup, html};
use operations::crosswalk::{Crosswalk, CrosswalkError, MappedCode, told};
use operations::exceptions::{Act, By, Choice, CorrectError, Outcome, Row, ViewError, Wish, correct as corrected};
use schemas::MasterCrosswalk;
use serde_json::json;
use std::future::Future;
use std::sync::Arc;

/// Which field, what it is to be, and why.
pub const CORRECT: &[Field] = &[
    Field::required("field", Kind::Line(200), "Field of the event, for example lot or itemRef.code"),
    Field::required("value", Kind::Line(2_000), "What it is to be"),
    Field::required("comment", Kind::Text(1_000), "Why, without patient data"),
];
/// What the code means, and why.
pub const MAP: &[Field] = &[
    Field::required("to", Kind::Line(80), "Item or location of the ERP that the code means"),
    Field::required("comment", Kind::Text(1_000), "Why, without patient data"),
];

/// What was seen of what is agreed to, and a comment.
pub const APPROVE: &[Field] = &[
    Field::required("seen", Kind::Line(64), "The mark of the proposal that you saw; agreeing counts for nothing else"),
    COMMENT[0],
];

/// Has its event processed again with a field set otherwise, or asks for it.
pub async fn correct(ask: Ask) -> Result<Answer, Problem> {
    let id = find(&ask).await?;
    let text = |name: &str| ask.body.text(name).unwrap_or_default().to_owned();
    let wishes = [Wish { path: text("field").trim().to_owned(), value: text("value") }];
    let (console, by) = (Arc::clone(&ask.console), by(&ask));
    let (codec, exception) = (console.desk.codec()?, id.clone());
    let deciding = async move {
        let decider = console.decider().await?;
        let site = &console.site;
        let view = (&console.exceptions, &decider);
        corrected((&site.config, &codec), view, &site.rooms, &exception, &wishes, &by).await
    };
    Ok(done(&id, &through(&ask, Box::pin(deciding)).await?.map_err(|error| refused(&error))?))
}

/// Agrees to a correction, as another person than the one who made it.
pub async fn approve_correction(ask: Ask) -> Result<Answer, Problem> {
    let id = find(&ask).await?;
    let choice = Choice::Ids(vec![id.clone()]);
    let outcome =
        super::exception::decided(&ask.console, choice, Act::ApproveCorrection { seen: seen(&ask) }, by(&ask)).await?;
    Ok(done(&id, &outcome))
}

/// Says what its code means, or proposes it.
pub async fn map(ask: Ask) -> Result<Answer, Problem> {
    let (id, code, mappings) = mapping(&ask).await?;
    let target = ask.body.text("to").unwrap_or_default().trim().to_owned();
    let by = by(&ask);
    let exception = id.clone();
    let setting = async move { mappings.set(&code, Some(&target), Some(&exception), &by).await };
    let mapped = through(&ask, setting).await?;
    ask.console.desk.mappings_changed();
    mapped_to(&id, &mapped.map_err(|error| unmapped(&error))?)
}

/// Agrees to what somebody else has proposed that its code means.
pub async fn approve_map(ask: Ask) -> Result<Answer, Problem> {
    let (id, code, mappings) = mapping(&ask).await?;
    let by = by(&ask);
    let seen = seen(&ask);
    let approving = async move { mappings.approve(&code, seen.as_deref(), &by).await };
    let mapped = through(&ask, approving).await?;
    ask.console.desk.mappings_changed();
    mapped_to(&id, &mapped.map_err(|error| unmapped(&error))?)
}

/// The forms on the page of an open exception.
pub fn forms(row: &Row, field_paths: &[String], waiting: &Waiting, frame: &Frame<'_>) -> Markup {
    let act = |name: &str, label: &'static str, help: &'static str, fields: &'static [Field]| {
        let action = format!("/exceptions/{}/{name}", row.exception_id);
        form(frame, &Form { action, label, help, fields, hidden: Vec::new(), is_grave: false })
    };
    let about = |names: &[&str]| {
        field_paths.iter().any(|path| path.split('.').next().is_some_and(|first| names.contains(&first)))
    };
    let names_a_code = about(&["itemRef", "udi"]) != about(&["location", "department"]);
    html! {
        @if row.parked_key {
            (act("correct", "Correct", "The room processes the event with this field set so; the original stays. Some flows need a second person.", CORRECT))
            (proposals::correction(waiting, frame))
        }
        @if names_a_code {
            @for item in suggested(row.suggested_fix.as_deref()) {
                (one_click(row, &item, frame))
            }
            (act("map", "Map the code", "Says what the code of the source means; whoever waits for it goes on by itself. Some flows need a second person.", MAP))
            (proposals::mapping_of(&row.exception_id, waiting, frame))
        }
    }
}

/// One click maps the code to an item that is suggested.
fn one_click(row: &Row, item: &str, frame: &Frame<'_>) -> Markup {
    let hidden = vec![("to", item.to_owned()), ("comment", format!("as suggested: {item}"))];
    let action = format!("/exceptions/{}/map", row.exception_id);
    html! {
        p { "Suggested: " b { (item) } }
        (form(frame, &Form { action, label: "Map to it", help: "Maps the code to the item that is suggested.", fields: &[], hidden, is_grave: false }))
    }
}

/// Ids of the items that a suggestion names: each is followed by its description in quotes.
fn suggested(fix: Option<&str>) -> Vec<String> {
    let parts: Vec<&str> = fix.unwrap_or_default().split(" \"").collect();
    let names = parts.iter().rev().skip(1).rev();
    names.filter_map(|before| before.rsplit(' ').next()).filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

async fn mapping(ask: &Ask) -> Result<(String, MappedCode, Crosswalk), Problem> {
    let id = find(ask).await?;
    let unclear = || {
        Problem::said(
            StatusCode::CONFLICT,
            "No code to map",
            &format!("WL-7245: exception {id} does not say which code of which source is to be mapped"),
        )
        .next("say what its code means on the page of the mappings, under Map a code")
    };
    let (console, codec) = (&ask.console, ask.console.desk.codec()?);
    let (view, opener, asked) = (console.exceptions.clone(), Arc::clone(&codec), id.clone());
    let reading = async move {
        let Some(exception) = view.exception(&asked).await? else { return Ok(None) };
        Ok::<_, ViewError>(proposals::code_of(&opener, &exception).await)
    };
    let read = console.desk.reads.topics(reading).await?;
    let read = read.map_err(|error| Problem::unavailable(&error.to_string()))?;
    let code = read.ok_or_else(unclear)?;
    let mappings = Crosswalk::new(Arc::clone(&console.site.config), codec).map_err(|error| unmapped(&error))?;
    Ok((id, code, mappings))
}

/// Decides over master data that is read for it, within the bound of all that is read. Half a decision helps nobody: it goes on
/// when the one who asked does not wait any more.
pub(super) async fn through<T: Send + 'static>(
    ask: &Ask,
    deciding: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    ask.console.desk.reads.topics(deciding).await.map_err(|problem| match problem.code.as_ref() {
        TOO_SLOW => problem
            .next("look at the exception again in a while: what you asked for goes on, and its history tells how"),
        _ => problem,
    })
}

pub(super) fn seen(ask: &Ask) -> Option<String> {
    ask.body.text("seen").map(str::to_owned)
}

pub(super) fn by(ask: &Ask) -> By {
    By { actor: ask.name().to_owned(), comment: ask.body.text("comment").map(str::to_owned), via: crate::ROOM }
}

fn done(id: &str, outcome: &Outcome) -> Answer {
    let told = outcome.done.first().map_or("Nothing was done.", |done| said(done.kind));
    Answer::done(told, format!("/exceptions/{id}"), json!({"done": outcome.done}))
}

fn mapped_to(id: &str, mapping: &MasterCrosswalk) -> Result<Answer, Problem> {
    let said = match mapping.proposal {
        Some(_) => "A second person has to agree before the mapping takes effect.",
        None => "The code is mapped: whoever waits for it goes on.",
    };
    Ok(Answer::done(said, format!("/exceptions/{id}"), json!({"mapping": told(mapping)})))
}

fn refused(error: &CorrectError) -> Problem {
    let text = error.to_string();
    let problem = match error {
        CorrectError::Decide(error) => return refusal(error),
        CorrectError::Room { .. } => Problem::unavailable(&text),
        CorrectError::Field(_) | CorrectError::StillRefused { .. } | CorrectError::NoEvent(_) => {
            Problem::said(StatusCode::CONFLICT, "Not a correction of this event", &text)
        }
    };
    match error.on_page() {
        Some(next) => problem.next(next),
        None => problem,
    }
}

pub(super) fn unmapped(error: &CrosswalkError) -> Problem {
    let text = error.to_string();
    match error.on_page() {
        Some(next) => Problem::said(StatusCode::CONFLICT, "Not a mapping", &text).next(next),
        None => Problem::unavailable(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_in_a_suggestion() {
        let fix =
            "did the sender mean 71-100234 \"Hip stem 12/14\" (same GTIN) or 71-9 \"Stem \"x\"\" (similar)? then map";
        let found = suggested(Some(fix));
        assert_eq!(found[..2], ["71-100234".to_owned(), "71-9".to_owned()]);
        assert!(suggested(Some("add the item to the ERP")).is_empty() && suggested(None).is_empty());
    }
}
