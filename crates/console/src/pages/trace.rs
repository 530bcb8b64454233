//! The way of one event, from the source message to the ERP document and the supplier's answer.

use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Frame, Page, chip, number, pretty, time_milli};
use crate::looking::{Look, Stand};
use crate::problem::Problem;
use crate::reads::too_slow;
use crate::state::Console;
use axum::http::StatusCode;
use maud::{Markup, html};
use operations::sight::SightError;
use operations::sight::trace::{Gap, IdKind, Question, SINCE_FORM, Step, StepKind, Trace, since_ms, trace};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// What is looked for, and where.
pub const QUERY: &[Field] = &[
    Field::optional(
        "id",
        Kind::Line(200),
        "Event id, message control id, exception id, key, order, lot, serial number, UDI or ERP document",
    ),
    Field::optional("as", Kind::OneOf(&KINDS), "What the id is; makes the search faster and narrower"),
    Field::optional("since", Kind::Line(40), "Look at nothing older: a time (RFC 3339), or 90m, 12h, 30d before now"),
];

/// What an id may be, as it stands in an address and as people say it.
const KINDS: [&str; 10] =
    ["event", "message", "exception", "key", "order", "lot", "serial", "udi", "document", "business-key"];

#[derive(Serialize)]
struct Traced {
    id: String,
    trace: Option<Arc<Trace>>,
    #[serde(skip)]
    looks: Option<Looks>,
    #[serde(skip)]
    query: Fields,
}

/// A search that goes on.
struct Looks {
    since: Duration,
    place: String,
}

/// So long a page waits for a search before it says that it is under way.
const PAGE_PATIENCE: Duration = Duration::from_millis(50);

/// Looks for it; a few searches at a time, because each reads topics. A page says how far it is, and a program waits.
pub async fn show(ask: Ask) -> Result<Answer, Problem> {
    let Some(id) = ask.query.text("id").map(str::to_owned) else {
        return Ok(Answer::view(Traced { id: String::new(), trace: None, looks: None, query: ask.query }, page));
    };
    let question = question(&id, &ask.query, runtime::clock::now_micros() / 1_000)?;
    let name = format!("{id}\n{:?}\n{:?}", ask.query.text("as"), ask.query.text("since"));
    let patience = if ask.is_api { ask.console.searches.patience() } else { PAGE_PATIENCE };
    let begin = |look: Arc<Look<Trace>>| search(Arc::clone(&ask.console), question, look);
    let (trace, looks) = match ask.console.traces.of(&name, patience, begin).await? {
        Stand::Found(trace) => (Some(trace), None),
        Stand::Looks { .. } if ask.is_api => {
            return Err(
                too_slow(patience).next("ask the same again: the search goes on; say what it is, or since when")
            );
        }
        Stand::Looks { since, place } => (None, Some(Looks { since, place })),
    };
    Ok(Answer::view(Traced { id, trace, looks, query: ask.query }, page))
}

async fn search(console: Arc<Console>, question: Question, look: Arc<Look<Trace>>) -> Result<Trace, Problem> {
    let (config, readers) = (Arc::clone(&console.site.config), console.desk.readers.clone());
    let searching = trace(&config, &readers, question, move |topic| look.reads(topic));
    console.searches.through(searching).await?.map_err(|error| refusal(&error))
}

fn question(id: &str, query: &Fields, now_ms: i64) -> Result<Question, Problem> {
    let since = query.text("since").map(|text| {
        let wrong = || Problem::not_understood(format!("since is no time: {SINCE_FORM}"));
        since_ms(text, now_ms).ok_or_else(wrong)
    });
    let kind = query.text("as").and_then(IdKind::named);
    Ok(Question { id: id.to_owned(), kind, since_ms: since.transpose()?, with_phi: false })
}

fn refusal(error: &SightError) -> Problem {
    match error {
        SightError::Question(_) => {
            Problem::said(StatusCode::UNPROCESSABLE_ENTITY, "Not understood", &error.to_string())
                .next("give more of the id")
        }
        SightError::Read(_) | SightError::Wire(_) | SightError::Stopped(_) => Problem::unavailable(&error.to_string()),
    }
}

fn page(data: &Traced, _: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Trace" }
        form.filter method="get" action="/trace" {
            div {
                label for="id" { "Id" }
                input #id name="id" value=(data.id) size="40" autocomplete="off" required;
            }
            div {
                label for="as" { "What it is" }
                select #as name="as" {
                    option value="" { "anything" }
                    @for kind in KINDS {
                        option value=(kind) selected[data.query.text("as") == Some(kind)] { (kind.replace('-', " ")) }
                    }
                }
            }
            div {
                label for="since" { "Not before" }
                input #since name="since" value=(data.query.text("since").unwrap_or_default()) size="20" placeholder="12h, 30d or a time" autocomplete="off";
            }
            button type="submit" { "Look" }
        }
        @match (&data.trace, &data.looks) {
            (None, Some(looks)) => p role="status" {
                "Looking for " span.mono { (data.id) } " since " (looks.since.as_secs()) " s"
                @if !looks.place.is_empty() { ", now in " span.mono { (looks.place) } }
                ". What is found is shown here."
            },
            (None, None) => p.muted { "Any id that you have: of an event, a message, an exception, a key, an order, a lot, a serial number, a UDI, an ERP document." },
            (Some(trace), _) if trace.steps.is_empty() => {
                p { "Nothing was found for " span.mono { (data.id) } "." }
                p.muted { (trace.searched.on_page()) "." }
            },
            (Some(trace), _) => (way(trace)),
        }
    };
    let page = Page::still("Trace", body);
    if data.looks.is_some() { page.soon() } else { page }
}

fn way(trace: &Trace) -> Markup {
    html! {
        p.muted {
            @if let Some(kind) = trace.found_as { "Found as " (kind.as_str()) "; " }
            (trace.searched.on_page()) "."
        }
        div.scroll {
            table.stack {
                caption { (number(trace.steps.len() as i128)) " steps, in order of time" }
                thead { tr { th { "When" } th { "What" } th { "Room" } th { "What happened" } th { "Place" } } }
                tbody {
                    @for (index, step) in trace.steps.iter().enumerate() {
                        (step_row(index, step))
                        @for gap in trace.gaps.iter().filter(|gap| gap.after_step == index) { (gap_row(gap)) }
                    }
                }
            }
        }
    }
}

fn step_row(index: usize, step: &Step) -> Markup {
    let kind = match step.kind {
        StepKind::Exception | StepKind::DeadLetter => "bad",
        StepKind::Parked => "warn",
        StepKind::Posted | StepKind::Noticed => "good",
        StepKind::Received | StepKind::Event | StepKind::Unparked | StepKind::Effect | StepKind::Audit => "plain",
    };
    let value = serde_json::to_string_pretty(&step.value).unwrap_or_default();
    html! {
        tr data-row=(index) tabindex="-1" {
            td.nowrap data-name="When" {
                span { (time_milli(step.time_ms.saturating_mul(1_000))) @if let Some(since) = step.since_before_ms { br; span.muted { "+ " (pretty(since)) } } }
            }
            td data-name="What" { (chip(what(step), kind)) }
            td data-name="Room" { span { (step.room.as_deref().unwrap_or("-")) } }
            td.wide data-name="Happened" {
                div {
                    (step.summary)
                    @if let Some(message) = &step.message { " " a href={ "/messages/" (message) } { "as it came" } }
                    details id=(format!("step-{index}")) { summary { "record" } pre tabindex="0" { (value) } }
                }
            }
            td data-name="Place" { span.mono { (step.place) } }
        }
    }
}

fn gap_row(gap: &Gap) -> Markup {
    html! {
        tr {
            td data-name="Then" { span.muted { (pretty(gap.duration_ms)) @if gap.is_open { " so far" } } }
            td.wide colspan="4" data-name="Why" {
                span { @if gap.is_open { (chip("waits", "warn")) " " } (gap.reason) }
            }
        }
    }
}

/// What it is: the type without what all types begin with.
fn what(step: &Step) -> &str {
    let full = step.event_type.as_deref().unwrap_or_else(|| kind_name(step.kind));
    full.strip_prefix("org.wardline.").unwrap_or(full)
}

fn kind_name(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Received => "received",
        StepKind::Event => "event",
        StepKind::Parked => "parked",
        StepKind::Unparked => "unparked",
        StepKind::Exception => "exception",
        StepKind::Effect => "effect",
        StepKind::Posted => "posted",
        StepKind::Noticed => "noticed",
        StepKind::Audit => "audit",
        StepKind::DeadLetter => "dead letter",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use operations::sight::trace::Searched;

    #[test]
    fn what_stands_in_the_address_narrows_the_search() {
        let asked = |query: &str| question("4711", &Fields::of_form(query.as_bytes()).unwrap(), 100_000_000);
        let narrow = asked("as=lot&since=1h").unwrap();
        assert_eq!((narrow.kind, narrow.since_ms, narrow.with_phi), (Some(IdKind::Lot), Some(96_400_000), false));
        assert_eq!(asked("since=1970-01-01T00:00:01Z").unwrap().since_ms, Some(1_000));
        let wide = asked("").unwrap();
        assert_eq!((wide.id.as_str(), wide.kind, wide.since_ms), ("4711", None, None));
        assert!(asked("since=yesterday").unwrap_err().detail.contains("30d"));
        for kind in KINDS {
            assert_eq!(IdKind::named(kind).map(IdKind::as_str), Some(kind));
        }
    }

    #[test]
    fn advice_is_in_the_words_of_the_page() {
        let searched = Searched { since_ms: Some(0), is_truncated: true, ..Searched::default() };
        let further = Searched { since_ms: Some(0), ..Searched::default() };
        for said in [searched.on_page(), further.on_page()] {
            assert!(!said.contains("--"), "{said}");
        }
        assert!(further.on_page().contains("Not before") && searched.text().contains("--since"));
    }
}
