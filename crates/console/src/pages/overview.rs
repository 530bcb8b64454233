//! The first page: what waits and why, and whether the rooms keep up.

use super::exceptions::{cause_table, standing_note};
use super::topics::class_name;
use crate::ask::{Answer, Ask};
use crate::desk::{Lags, RoomLag};
use crate::html::{Frame, Page, ago, chip, number, plot};
use crate::problem::Problem;
use maud::{Markup, html};
use operations::exceptions::{Cause, Hour, Oldest, Standing};
use runtime::health::RoomState;
use serde::Serialize;
use std::sync::Arc;

/// Causes that are shown; the others are counted.
const CAUSES_MAX: usize = 20;
/// Hours of the plot.
const HOURS: usize = 24;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    standing: Standing,
    causes: Vec<Cause>,
    causes_in_all: usize,
    overdue: usize,
    oldest: Vec<Oldest>,
    hours: Vec<Hour>,
    /// Why the lag of the rooms is not known.
    lags_unknown: Option<String>,
    lags_at: Option<i64>,
    rooms: Vec<Room>,
}

#[derive(Serialize)]
struct Room {
    #[serde(flatten)]
    lag: RoomLag,
    /// Where it stands, when it runs in this process.
    state: Option<&'static str>,
}

/// What waits and whether the rooms keep up.
pub async fn show(ask: Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    let view = console.exceptions.clone();
    let look = move || (view.standing(), view.top_causes(CAUSES_MAX), view.oldest(), view.raised(HOURS));
    // A broker that does not answer must not hide what is known without it.
    let lags = tokio::time::timeout(console.config.part_timeout(), console.desk.lags());
    let (seen, lags) = tokio::join!(console.desk.reads.memory(look), lags);
    let (standing, causes, oldest, hours) = seen?;
    let lags = lags.unwrap_or_else(|_| Err(Problem::unavailable("the broker does not answer; it is still asked")));
    let known: Option<Arc<Lags>> = lags.as_ref().ok().cloned();
    let room = |lag: &RoomLag| Room { lag: lag.clone(), state: lag.state(&console.site).as_ref().map(RoomState::name) };
    let overview = Overview {
        standing,
        causes_in_all: causes.total,
        overdue: causes.overdue,
        causes: causes.causes,
        oldest,
        hours,
        lags_unknown: lags.err().map(|problem| problem.detail),
        lags_at: known.as_ref().map(|lags| lags.at),
        rooms: known.iter().flat_map(|lags| lags.rooms.iter().map(room)).collect(),
    };
    Ok(Answer::view(overview, page))
}

fn page(data: &Overview, frame: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Overview" }
        (standing_note(&data.standing))
        (cards(data, frame))
        h2 { "Causes of what waits" }
        @if data.causes.is_empty() {
            p.calm { "No exception is open." }
        } @else {
            (cause_table(&data.causes, frame.now))
            @if data.causes_in_all > data.causes.len() {
                p.muted { (number((data.causes_in_all - data.causes.len()) as i128)) " more causes with fewer events: "
                    a href="/exceptions" { "all open exceptions" } }
            }
        }
        h2 { "Raised in the last " (HOURS) " hours" }
        (plot::hours(&data.hours))
        (rooms(data, frame))
    };
    Page::live("Overview", body)
}

fn cards(data: &Overview, frame: &Frame<'_>) -> Markup {
    let standing = &data.standing;
    html! {
        div.cards {
            div.card.warn[standing.open > 0] { b { (number(standing.open as i128)) } a href="/exceptions" { "open exceptions" } }
            div.card.bad[data.overdue > 0] { b { (number(data.overdue as i128)) } a href="/exceptions?state=overdue" { "overdue" } }
            div.card { b { (number(standing.parked as i128)) } "events wait" }
            div.card { b { (number(standing.keys as i128)) } "keys wait" }
            @for oldest in &data.oldest {
                div.card.bad[oldest.is_overdue] {
                    b { (ago(oldest.raised_at, frame.now)) }
                    a href={ "/exceptions/" (oldest.exception_id) } { "oldest, " (class_name(oldest.class)) }
                }
            }
        }
    }
}

fn rooms(data: &Overview, frame: &Frame<'_>) -> Markup {
    html! {
        h2 { "Rooms" }
        @if let Some(reason) = &data.lags_unknown { p.error { "The lag of the rooms is not known: " (reason) "." } }
        @if !data.rooms.is_empty() {
            div.scroll {
                table.stack {
                    @if let Some(at) = data.lags_at { caption { "Read " (ago(at, frame.now)) " ago" } }
                    thead { tr { th { "Room" } th { "State" } th.right { "Records to do" } th { "What it does" } } }
                    tbody {
                        @for room in &data.rooms {
                            tr {
                                td data-name="Room" { b { (room.lag.room) } }
                                td data-name="State" { (state(room.state)) }
                                td.right data-name="To do" {
                                    @match (&room.lag.lag, &room.lag.unknown) {
                                        (Some(lag), _) => span { (number(i128::from(*lag))) },
                                        (None, Some(reason)) => span title=(reason) { "not known" },
                                        (None, None) => span.muted { "source" },
                                    }
                                }
                                td.wide data-name="Does" { span { (room.lag.purpose) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn state(state: Option<&'static str>) -> Markup {
    match state {
        Some("ready") => chip("ready", "good"),
        Some("failed") => chip("failed", "bad"),
        Some(other) => chip(other, "warn"),
        None => html! { span.muted { "runs elsewhere" } },
    }
}
