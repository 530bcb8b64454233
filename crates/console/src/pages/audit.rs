//! What people did and what Wardline left out.

use super::{PAGE, slice};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Frame, Page, chip, code_link, number, pager, time};
use crate::problem::Problem;
use maud::{Markup, html};
use schemas::Audit;
use serde::Serialize;

const KINDS: &[&str] = &["ACTION", "REPLAY", "DROPPED", "DUPLICATE", "SUPPRESSED"];

/// What may be asked for.
pub const QUERY: &[Field] = &[
    Field::optional("kind", Kind::OneOf(KINDS), "What was done"),
    Field::optional("room", Kind::Line(64), "Room or command"),
    Field::optional("actor", Kind::Line(80), "Who did it"),
    PAGE,
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Audits {
    page: usize,
    rows_per_page: usize,
    total: usize,
    /// Whether the topic has older ones than those that were looked through.
    has_more: bool,
    records: Vec<Row>,
    #[serde(skip)]
    query: Fields,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    at: i64,
    kind: &'static str,
    room: String,
    code: String,
    actor: Option<String>,
    detail: String,
    event_id: Option<String>,
    origin: Option<String>,
}

/// The newest, filtered.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let newest = ask.console.desk.audits().await?;
    let wanted = |audit: &&Audit| {
        ask.query.text("kind").is_none_or(|kind| kind == audit.kind.as_str())
            && ask.query.text("room").is_none_or(|room| room == audit.room)
            && ask.query.text("actor").is_none_or(|actor| Some(actor) == audit.actor.as_deref())
    };
    let found: Vec<&Audit> = newest.records.iter().filter(wanted).collect();
    let (page, rows_per_page) = (ask.page(), ask.console.config.bounds.page_rows);
    let records = slice(&found, page, rows_per_page).iter().map(|audit| Row::of(audit)).collect();
    let (total, has_more, query) = (found.len(), newest.has_more, ask.query);
    Ok(Answer::view(Audits { page, rows_per_page, total, has_more, records, query }, self::page))
}

impl Row {
    fn of(audit: &Audit) -> Self {
        let origin = match (&audit.origin_topic, audit.origin_partition, audit.origin_offset) {
            (Some(topic), Some(partition), Some(offset)) => Some(format!("{topic}-{partition}@{offset}")),
            _ => None,
        };
        Self {
            at: audit.at.0,
            kind: audit.kind.as_str(),
            room: audit.room.clone(),
            code: audit.code.clone(),
            actor: audit.actor.clone(),
            detail: audit.detail.clone(),
            event_id: audit.event_id.clone(),
            origin,
        }
    }
}

fn filter(query: &Fields) -> Markup {
    let kind = query.text("kind");
    html! {
        form.filter method="get" action="/audit" {
            div {
                label for="kind" { "What" }
                select #kind name="kind" {
                    option value="" { "all" }
                    @for one in KINDS { option value=(one) selected[kind == Some(one)] { (one.to_lowercase()) } }
                }
            }
            div { label for="room" { "Room" } input #room name="room" value=(query.text("room").unwrap_or_default()) autocomplete="off"; }
            div { label for="actor" { "Who" } input #actor name="actor" value=(query.text("actor").unwrap_or_default()) autocomplete="off"; }
            button type="submit" { "Filter" }
        }
    }
}

fn page(data: &Audits, _: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Audit" }
        (filter(&data.query))
        @if data.records.is_empty() { p { "Nothing on record fits." } } @else {
            div.scroll {
                table.stack {
                    caption {
                        (number(data.total as i128)) " records, newest first"
                        @if data.has_more { "; older ones are on the topic " span.mono { "ops.audit.v1" } }
                    }
                    thead { tr { th { "When" } th { "What" } th { "Room" } th { "Who" } th { "Code" } th { "Detail" } } }
                    tbody {
                        @for (index, row) in data.records.iter().enumerate() {
                            tr data-row=(index) tabindex="-1" {
                                td.nowrap data-name="When" { (time(row.at)) }
                                td data-name="What" { (chip(&row.kind.to_lowercase(), if row.detail.starts_with("denied") { "bad" } else { "plain" })) }
                                td data-name="Room" { span { (row.room) } }
                                td data-name="Who" { span { (row.actor.as_deref().unwrap_or("-")) } }
                                td data-name="Code" { @if row.code.starts_with("WL-") { (code_link(&row.code)) } @else { span { (row.code) } } }
                                td.wide data-name="Detail" {
                                    span {
                                        (row.detail)
                                        @if let Some(origin) = &row.origin { " " span.muted.mono { (origin) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            (pager("/audit", &data.query, data.page, data.rows_per_page, data.total))
        }
    };
    Page::live("Audit", body)
}
