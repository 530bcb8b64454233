//! The first page: what waits and why, and whether the rooms keep up.

use super::exceptions::{cause_table, standing_note};
use super::topics::class_name;
use crate::ask::{Answer, Ask};
use crate::desk::{Lags, RoomLag};
use crate::html::{Frame, Page, ago, chip, number, plot};
use crate::problem::Problem;
use crate::state::Console;
use maud::{Markup, html};
use operations::exceptions::{self, Cause, Filter, Standing};
use runtime::clock;
use runtime::health::RoomState;
use schemas::Criticality;
use serde::Serialize;
use std::sync::Arc;

/// Causes that are shown; the others are counted.
const CAUSES_MAX: usize = 20;
/// Hours of the plot.
const HOURS: usize = 24;
const HOUR_MICROS: i64 = 3_600_000_000;
/// Exceptions that are looked through for the plot and for the oldest of each class.
const LOOKED_THROUGH_MAX: usize = 5_000;

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

/// The oldest open exception of a class.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Oldest {
    class: Criticality,
    raised_at: i64,
    exception_id: String,
    is_overdue: bool,
}

/// What was raised in one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// Microseconds since 1970 at which it begins.
    pub start: i64,
    /// Exceptions that were raised in it and are settled.
    pub settled: usize,
    /// Those that are still open.
    pub open: usize,
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
    // A broker that does not answer must not hide what is known without it.
    let lags = console.desk.lags().await;
    let known: Option<Arc<Lags>> = lags.as_ref().ok().cloned();
    let room = |lag: &RoomLag| Room { lag: lag.clone(), state: lag.state(&console.site).as_ref().map(RoomState::name) };
    let mut causes = console.exceptions.causes();
    let (causes_in_all, overdue) = (causes.len(), causes.iter().map(|cause| cause.overdue).sum());
    causes.truncate(CAUSES_MAX);
    let overview = Overview {
        standing: console.exceptions.standing(),
        causes,
        causes_in_all,
        overdue,
        oldest: oldest(console),
        hours: hours(console, clock::now_micros()),
        lags_unknown: lags.err().map(|problem| problem.detail),
        lags_at: known.as_ref().map(|lags| lags.at),
        rooms: known.iter().flat_map(|lags| lags.rooms.iter().map(room)).collect(),
    };
    Ok(Answer::view(overview, page))
}

fn oldest(console: &Console) -> Vec<Oldest> {
    let rows = console.exceptions.list(&Filter::default(), exceptions::Page::first(LOOKED_THROUGH_MAX)).rows;
    let first = |class: Criticality| {
        let row = rows.iter().find(|row| row.class == class)?;
        let (raised_at, is_overdue) = (row.raised_at, row.is_overdue);
        Some(Oldest { class, raised_at, exception_id: row.exception_id.clone(), is_overdue })
    };
    [Criticality::PatientAdjacent, Criticality::Operational, Criticality::Analytical]
        .into_iter()
        .filter_map(first)
        .collect()
}

fn hours(console: &Console, now: i64) -> Vec<Hour> {
    let newest = exceptions::Page { skip: 0, most: LOOKED_THROUGH_MAX, newest_first: true };
    let rows = console.exceptions.list(&Filter { settled: true, ..Filter::default() }, newest).rows;
    by_hour(now, rows.iter().map(|row| (row.raised_at, row.is_open())))
}

/// Counts what was raised in each of the last hours.
fn by_hour(now: i64, raised: impl Iterator<Item = (i64, bool)>) -> Vec<Hour> {
    let this_hour = now - now.rem_euclid(HOUR_MICROS);
    let back = |index: usize| i64::try_from(HOURS - 1 - index).unwrap_or_default() * HOUR_MICROS;
    let mut hours: Vec<Hour> =
        (0..HOURS).map(|index| Hour { start: this_hour - back(index), ..Hour::default() }).collect();
    let first = this_hour - back(0);
    for (at, is_open) in raised {
        let index = usize::try_from((at - first).div_euclid(HOUR_MICROS)).ok();
        if let Some(hour) = index.and_then(|index| hours.get_mut(index)) {
            if is_open {
                hour.open += 1;
            } else {
                hour.settled += 1;
            }
        }
    }
    hours
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_raised_counts_for_its_hour_and_older_for_none() {
        let now = 1_000 * HOUR_MICROS + 17;
        let raised = [
            (now, true),
            (now - HOUR_MICROS, false),
            (now - 23 * HOUR_MICROS, true),
            (now - 25 * HOUR_MICROS, true),
            (now + HOUR_MICROS, true),
        ];
        let hours = by_hour(now, raised.into_iter());
        assert_eq!(hours.len(), HOURS);
        assert_eq!((hours[23].open, hours[22].settled, hours[0].open), (1, 1, 1));
        assert_eq!(hours.iter().map(|hour| hour.open + hour.settled).sum::<usize>(), 3);
    }
}
