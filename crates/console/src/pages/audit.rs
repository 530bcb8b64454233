//! What people did and what Wardline left out.

use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Frame, Page, chip, code_link, number, time};
use crate::problem::Problem;
use maud::{Markup, html};
use operations::audit::{AuditEntry, AuditError, AuditFilter, AuditFound, moment, older};
use schemas::{AuditKind, topics};
use serde::Serialize;
use std::sync::Arc;

const ALL_KINDS: [AuditKind; 5] =
    [AuditKind::Action, AuditKind::Replay, AuditKind::Dropped, AuditKind::Duplicate, AuditKind::Suppressed];
const KINDS: &[&str] = &["ACTION", "REPLAY", "DROPPED", "DUPLICATE", "SUPPRESSED"];

/// What may be asked for.
pub const QUERY: &[Field] = &[
    Field::optional("kind", Kind::OneOf(KINDS), "What was done"),
    Field::optional("actor", Kind::Line(80), "Who did it, or the user they worked as; upper case makes nobody else"),
    Field::optional("exception", Kind::Line(64), "Id of the exception it is about, or the start of it"),
    Field::optional("room", Kind::Line(64), "Room or command"),
    Field::optional("code", Kind::Line(64), "A part of the code"),
    Field::optional("from", Kind::Line(40), "Not before this day or time, UTC where it does not say"),
    Field::optional("until", Kind::Line(40), "Not after this day or time, UTC where it does not say"),
    Field::optional("older", Kind::Line(4_000), "Where to go on, as the answer before gave it"),
];

#[derive(Serialize)]
struct Audits {
    #[serde(flatten)]
    found: Arc<AuditFound>,
    #[serde(skip)]
    query: Fields,
}

/// The newest that fit, or on from where an earlier answer ended.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let query = &ask.query;
    let text = |name: &str| query.text(name).map(str::to_owned);
    let kind = ALL_KINDS.into_iter().filter(|kind| query.text("kind") == Some(kind.as_str()));
    let filter = AuditFilter {
        kinds: kind.collect(),
        room: text("room"),
        who: text("actor"),
        exception: text("exception"),
        code: text("code"),
        from: query.text("from").map(|text| moment(text, false)).transpose().map_err(|error| not_understood(&error))?,
        until: query
            .text("until")
            .map(|text| moment(text, true))
            .transpose()
            .map_err(|error| not_understood(&error))?,
    };
    let older = query.text("older").map(older).transpose().map_err(|error| not_understood(&error))?;
    let wanted = ask.console.config.bounds.page_rows;
    let name = query.query_with("", None);
    let found = ask.console.desk.audits(&name, filter, older, wanted).await?;
    Ok(Answer::view(Audits { found, query: ask.query }, page))
}

fn not_understood(error: &AuditError) -> Problem {
    Problem::said(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "Not understood", &error.to_string())
}

fn filter(query: &Fields) -> Markup {
    let kind = query.text("kind");
    let field = |name: &'static str, label: &str| {
        html! { div { label for=(name) { (label) } input id=(name) name=(name) value=(query.text(name).unwrap_or_default()) autocomplete="off"; } }
    };
    html! {
        form.filter method="get" action="/audit" {
            div {
                label for="kind" { "What" }
                select #kind name="kind" {
                    option value="" { "all" }
                    @for one in KINDS { option value=(one) selected[kind == Some(one)] { (one.to_lowercase()) } }
                }
            }
            (field("actor", "Who"))
            (field("exception", "Exception"))
            (field("code", "Code"))
            (field("room", "Room"))
            (field("from", "From (day, or time in UTC)"))
            (field("until", "Until"))
            button type="submit" { "Filter" }
        }
    }
}

fn page(data: &Audits, _: &Frame<'_>) -> Page {
    let found = &data.found;
    let is_older = data.query.text("older").is_some();
    let body = html! {
        h1 { "Audit" }
        (filter(&data.query))
        @if found.records.is_empty() { p { "Nothing on record fits." } } @else {
            div.scroll {
                table.stack {
                    caption { (number(found.records.len() as i128)) " records, newest first" }
                    thead { tr { th { "When" } th { "What" } th { "Room" } th { "Who" } th { "Code" } th { "Detail" } } }
                    tbody { @for entry in &found.records { (row(entry)) } }
                }
            }
        }
        p.muted { (standing(found)) }
        @if is_older || found.older.is_some() {
            nav.pager aria-label="Pages of the list" {
                @if is_older { a rel="first" href={ "/audit" (data.query.query_with("older", None)) } { "Newest" } }
                @if let Some(older) = &found.older {
                    a rel="next" href={ "/audit" (data.query.query_with("older", Some(&older.to_string()))) } { "Older" }
                }
            }
        }
    };
    // What lies behind does not change any more.
    if is_older { Page::still("Audit", body) } else { Page::live("Audit", body) }
}

/// How far back was looked.
fn standing(found: &AuditFound) -> Markup {
    html! {
        (number(found.looked_at)) " records were looked at, "
        @match found.back_to_ms {
            Some(back_to) => { "everything back to " (time(back_to.saturating_mul(1_000))) "." }
            None => "all that is on record.",
        }
    }
}

fn row(entry: &AuditEntry) -> Markup {
    let audit = &entry.audit;
    let whole = serde_json::to_string_pretty(entry).unwrap_or_default();
    let kind = if audit.detail.starts_with("denied") { "bad" } else { "plain" };
    html! {
        tr data-row=(entry.place) tabindex="-1" {
            td.nowrap data-name="When" { (time(audit.at.0)) }
            td data-name="What" { (chip(&audit.kind.as_str().to_lowercase(), kind)) }
            td data-name="Room" { span { (audit.room) } }
            td data-name="Who" { span { (audit.actor.as_deref().unwrap_or("-")) } }
            td data-name="Code" { @if audit.code.starts_with("WL-") { (code_link(&audit.code)) } @else { span { (audit.code) } } }
            td.wide data-name="Detail" {
                div {
                    (audit.detail)
                    @if let Some((path, name)) = about(entry) { " " a.nowrap href=(path) { (name) } }
                    details id={ "audit-" (entry.place) } { summary { "record" } pre tabindex="0" { (whole) } }
                }
            }
        }
    }
}

/// The page of what a record is about.
fn about(entry: &AuditEntry) -> Option<(String, &'static str)> {
    let audit = &entry.audit;
    let to =
        |path: &str, id: &str| format!("{path}{}", form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>());
    if let Some(id) = &audit.exception_id {
        return Some((to("/exceptions/", id), "exception"));
    }
    let is_letter = audit.origin_topic.as_deref() == Some(topics::OPS_DEAD_LETTER_V1.name());
    if let (true, Some(partition), Some(offset)) = (is_letter, audit.origin_partition, audit.origin_offset) {
        return Some((format!("/dead-letters/{partition}@{offset}"), "dead letter"));
    }
    audit.event_id.as_ref().map(|id| (to("/trace?id=", id), "event"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::Audit;

    #[test]
    fn a_record_leads_to_what_it_is_about() {
        let entry = |audit: Audit| AuditEntry { place: "0@1".to_owned(), audit };
        let text = |text: &str| Some(text.to_owned());
        let event = Audit { event_id: text("a/b c"), code: "WL-4001".to_owned(), ..Audit::default() };
        assert_eq!(about(&entry(event.clone())).unwrap().0, "/trace?id=a%2Fb+c");
        let letter = Audit {
            origin_topic: text("ops.dead-letter.v1"),
            origin_partition: Some(2),
            origin_offset: Some(17),
            ..event.clone()
        };
        assert_eq!(about(&entry(letter)).unwrap().0, "/dead-letters/2@17");
        let exception = Audit { exception_id: text("e1"), ..event };
        assert_eq!(about(&entry(exception)).unwrap().0, "/exceptions/e1");
        assert_eq!(about(&entry(Audit::default())), None);
    }

    #[test]
    fn each_kind_can_be_asked_for() {
        assert_eq!(ALL_KINDS.map(AuditKind::as_str), KINDS);
    }
}
