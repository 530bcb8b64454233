//! What waits: by cause and in lists.

use super::PAGE;
use super::causes::{self, NONE, none_as_empty};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Frame, Page, ago, chip, code_link, number, pager};
use crate::problem::Problem;
use crate::state::Console;
use maud::{Markup, html};
use operations::crosswalk::MappingProposal;
use operations::exceptions::{self, Cause, Discards, Filter, Listed, Row, Standing};
use schemas::ExceptionState;
use serde::Serialize;

/// What may be asked for.
pub const QUERY: &[Field] = &[
    Field::optional("code", Kind::Line(16), "Code"),
    Field::optional("room", Kind::Line(64), "Room"),
    Field::optional("subject", Kind::Line(300), "What it is about, `kind/key`; - for nothing"),
    Field::optional("assignee", Kind::Line(80), "Who has it; - for nobody"),
    Field::optional("state", Kind::OneOf(&["open", "all", "overdue", "to-approve"]), "Which of them"),
    Field::optional("order", Kind::OneOf(&["oldest", "newest"]), "Which come first"),
    PAGE,
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Causes {
    standing: Standing,
    causes: Vec<Cause>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    page: usize,
    rows_per_page: usize,
    #[serde(flatten)]
    listed: Listed,
    /// Mappings that wait for a second person, where what is to be approved was asked for.
    mappings: Vec<MappingProposal>,
    /// Why they are not shown.
    mappings_not_read: Option<String>,
    /// The discards that wait for a second person, where those of a cause were asked for.
    discards: Option<Discards>,
    /// Why they are not shown.
    discards_not_read: Option<String>,
    standing: Standing,
    #[serde(skip)]
    query: Fields,
}

/// The causes alone.
pub async fn causes(ask: Ask) -> Result<Answer, Problem> {
    let view = ask.console.exceptions.clone();
    let look = move || Causes { standing: view.standing(), causes: view.causes() };
    let causes = ask.console.desk.reads.memory(look).await?;
    Ok(Answer::view(causes, |data, _| Page::still("Causes", cause_table(&data.causes, 0))))
}

/// A part of the exceptions.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let (page, rows_per_page) = (ask.page(), ask.console.config.bounds.page_rows);
    let part = exceptions::Page {
        skip: (page - 1).saturating_mul(rows_per_page),
        most: rows_per_page,
        newest_first: ask.query.text("order") == Some("newest"),
    };
    let (view, filter) = (ask.console.exceptions.clone(), filter_of(&ask.query));
    let of_cause = (filter.to_approve && filter.code.is_some()).then(|| filter.clone());
    let look = move || (unmarked(view.list(&filter, part)), view.standing());
    let (listed, standing) = ask.console.desk.reads.memory(look).await?;
    let (discards, discards_not_read) = match of_cause {
        Some(filter) => causes::discards(&ask.console, filter).await,
        None => (None, None),
    };
    let (mappings, mappings_not_read) = match ask.query.text("state") {
        Some("to-approve") => match mappings(&ask.console).await {
            Ok(all) => (all, None),
            Err(problem) => (Vec::new(), Some(problem.detail)),
        },
        _ => (Vec::new(), None),
    };
    let query = ask.query;
    Ok(Answer::view(
        List { page, rows_per_page, listed, mappings, mappings_not_read, discards, discards_not_read, standing, query },
        list_page,
    ))
}

/// The mappings that wait, or why they are not told. What is in memory is shown also when Kafka does not answer, and soon.
async fn mappings(console: &Console) -> Result<Vec<MappingProposal>, Problem> {
    let read = tokio::time::timeout(console.config.part_timeout(), console.desk.mapping_proposals()).await;
    read.unwrap_or_else(|_| Err(Problem::unavailable("it takes longer; it is being read")))
}

/// A list does not show what a correction sets, so it does not tell the mark either that an approval needs.
fn unmarked(mut listed: Listed) -> Listed {
    listed.rows.iter_mut().for_each(|row| row.correction_mark = None);
    listed
}

fn filter_of(query: &Fields) -> Filter {
    let text = |name: &str| query.text(name).map(str::to_owned);
    let state = query.text("state");
    Filter {
        settled: state == Some("all"),
        code: text("code"),
        room: text("room"),
        subject: text("subject").map(none_as_empty),
        assignee: text("assignee").map(none_as_empty),
        overdue: state == Some("overdue"),
        to_approve: state == Some("to-approve"),
    }
}

/// What must be said before anything else: that the view is not complete, or not of now.
pub fn standing_note(standing: &Standing) -> Markup {
    html! {
        @if let Some(trouble) = &standing.trouble {
            p.error role="alert" { "What waits may be older than shown: " (trouble) "." }
        } @else if !standing.caught_up {
            p.note { "The exceptions are still being read; the numbers grow until that is done." }
        }
        @for missing in &standing.incomplete { p.note { (missing) } }
    }
}

/// The problem of an act that is asked for before everything was read.
pub fn check_ready(console: &Console) -> Result<(), Problem> {
    if console.exceptions.caught_up() {
        return Ok(());
    }
    let mut problem = Problem::new(
        axum::http::StatusCode::SERVICE_UNAVAILABLE,
        "WL-7134",
        "Still reading",
        "the exceptions are still being read, so nothing is decided yet",
    )
    .next("try again in some seconds");
    problem.retry_after_s = Some(5);
    Err(problem)
}

/// The causes, each a row that leads to its exceptions.
pub fn cause_table(causes: &[Cause], now: i64) -> Markup {
    html! {
        div.scroll {
            table.stack {
                thead {
                    tr {
                        th { "Code" } th { "Cause" } th { "About" } th.right { "Exceptions" } th.right { "Events" }
                        th.right { "Keys" } th { "Since" } th.right { "Worth" }
                    }
                }
                tbody {
                    @for (index, cause) in causes.iter().enumerate() {
                        tr data-row=(index) tabindex="-1" {
                            td data-name="Code" { a.code href=(cause_path(cause)) { (cause.code) } }
                            td.wide data-name="Cause" {
                                span {
                                    (cause.message) " " span.muted { "(" (cause.room) ")" }
                                    @if let Some(fix) = &cause.suggested_fix { br; span.muted { (fix) } }
                                }
                            }
                            td data-name="About" { span.mono { (cause.subject.as_deref().unwrap_or("-")) } }
                            td.right data-name="Exceptions" { span { (number(cause.exceptions as i128)) } }
                            td.right data-name="Events" { span { (number(cause.events as i128)) } }
                            td.right data-name="Keys" { span { (number(cause.keys as i128)) } }
                            td.nowrap data-name="Since" {
                                span {
                                    (ago(cause.since, now))
                                    @if cause.overdue > 0 { " " (chip(&format!("{} overdue", cause.overdue), "bad")) }
                                }
                            }
                            td.right data-name="Worth" {
                                span {
                                    @if cause.money.is_empty() { span.muted { "not known" } } @else {
                                        (exceptions::money_text(&cause.money)) @if cause.events_without_price > 0 { " +" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        p.muted { "Worth: what waits, by price or by the sender's charge; + where some of it says neither." }
    }
}

fn cause_path(cause: &Cause) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("code", &cause.code).append_pair("room", &cause.room);
    query.append_pair("subject", cause.subject.as_deref().unwrap_or(NONE));
    format!("/exceptions?{}", query.finish())
}

/// Where an exception stands, as a word in a frame.
pub fn state_chip(row: &Row) -> Markup {
    let kind = match row.state {
        ExceptionState::Open if row.is_overdue => "bad",
        ExceptionState::Open => "warn",
        ExceptionState::Retrying => "warn",
        ExceptionState::Resolved => "good",
        ExceptionState::Discarded | ExceptionState::Unknown => "plain",
    };
    html! {
        (chip(&row.state.as_str().to_lowercase(), kind))
        @if row.is_overdue { " " (chip("overdue", "bad")) }
        @if row.discard_requested_by.is_some() { " " (chip("discard asked for", "warn")) }
        @if row.correction_requested_by.is_some() && row.is_open() { " " (chip("correction proposed", "warn")) }
    }
}

fn filter_form(query: &Fields) -> Markup {
    let value = |name: &str| query.text(name).unwrap_or_default().to_owned();
    let is = |name: &str, wanted: &str| query.text(name) == Some(wanted);
    html! {
        form.filter method="get" action="/exceptions" {
            div {
                label for="state" { "Which" }
                select #state name="state" {
                    @for (state, name) in [("open", "open"), ("overdue", "overdue"), ("to-approve", "to be approved"), ("all", "all")] {
                        option value=(state) selected[is("state", state)] { (name) }
                    }
                }
            }
            div { label for="code" { "Code" } input #code name="code" value=(value("code")) size="8" autocomplete="off"; }
            div { label for="room" { "Room" } input #room name="room" value=(value("room")) size="12" autocomplete="off"; }
            div { label for="subject" { "About" } input #subject name="subject" value=(value("subject")) autocomplete="off"; }
            div { label for="assignee" { "Who has it" } input #assignee name="assignee" value=(value("assignee")) size="10" autocomplete="off"; }
            div {
                label for="order" { "First" }
                select #order name="order" {
                    option value="oldest" { "oldest" }
                    option value="newest" selected[is("order", "newest")] { "newest" }
                }
            }
            button type="submit" { "Filter" }
        }
    }
}

fn list_page(data: &List, frame: &Frame<'_>) -> Page {
    let rows = &data.listed.rows;
    let body = html! {
        h1 { "Exceptions" }
        (standing_note(&data.standing))
        (filter_form(&data.query))
        @if rows.is_empty() { p.calm { "No exception fits." } } @else {
            div.scroll {
                table.stack {
                    caption { (number(data.listed.total as i128)) " exceptions fit" }
                    thead {
                        tr { th { "Raised" } th { "State" } th { "Code" } th { "What happened" } th { "About" } th.right { "Events" } th { "Who has it" } }
                    }
                    tbody {
                        @for row in rows { (exception_row(row, frame.now)) }
                    }
                }
            }
            (pager("/exceptions", &data.query, data.page, data.rows_per_page, data.listed.total))
            (causes::forms(&data.query, &data.listed.seen_until, frame))
        }
        @if let Some(why) = &data.discards_not_read { p.error role="alert" { "Not read: the discards that wait: " (why) "." } }
        @if let Some(discards) = &data.discards { (causes::to_approve(discards, &data.query, frame)) }
        @if let Some(why) = &data.mappings_not_read { p.error role="alert" { "Not read: the mappings that wait: " (why) "." } }
        @if !data.mappings.is_empty() {
            h2 { "Mappings to be approved" }
            (super::proposals::mappings(&data.mappings))
        }
    };
    Page::live("Exceptions", body)
}

fn exception_row(row: &Row, now: i64) -> Markup {
    html! {
        tr data-row=(row.exception_id) tabindex="-1" {
            td.nowrap data-name="Raised" { a href={ "/exceptions/" (row.exception_id) } { (ago(row.raised_at, now)) " ago" } }
            td data-name="State" { span { (state_chip(row)) } }
            td data-name="Code" { (code_link(&row.code)) }
            td.wide data-name="What" { span { (row.message) " " span.muted { "(" (row.room) ")" } } }
            td data-name="About" { span.mono { (row.subject.as_deref().unwrap_or("-")) } }
            td.right data-name="Events" { span { (number(row.events as i128)) } }
            td data-name="Who has it" { span { (row.assignee.as_deref().unwrap_or("-")) } }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_address_is_the_filter() {
        let filter = |query: &str| filter_of(&Fields::of_form(query.as_bytes()).unwrap());
        assert_eq!(filter(""), Filter::default());
        assert!(
            filter("state=all").settled && filter("state=overdue").overdue && filter("state=to-approve").to_approve
        );
        assert_eq!(
            filter("subject=-&assignee=-"),
            Filter { subject: Some(String::new()), assignee: Some(String::new()), ..Filter::default() }
        );
        assert_eq!(filter("code=WL-4010&room=validate").room.as_deref(), Some("validate"));
    }
}
