//! Service levels: what is kept of what was promised today, what waits, and what is about to break.

use crate::ask::{Answer, Ask};
use crate::html::{Frame, Page, chip, code_link, number, pretty, time};
use crate::pages::topics::class_name;
use crate::problem::Problem;
use crate::state::Console;
use axum::http::StatusCode;
use maud::{Markup, html};
use operations::sight::levels::{LevelReport, LevelState, LevelsSnapshot, LevelsView, Risk};

/// How they stand now.
pub async fn show(ask: Ask) -> Result<Answer, Problem> {
    let view = followed(&ask.console)?;
    let exceptions = ask.console.exceptions.clone();
    let look = move || {
        let mut snapshot = view.snapshot();
        // Without an alert nobody has to go through the causes.
        if !snapshot.alerts.is_empty() {
            snapshot.name_causes(&exceptions.causes());
        }
        snapshot
    };
    let snapshot = ask.console.desk.reads.memory(look).await?;
    Ok(Answer::view(snapshot, page))
}

/// The follower of this console.
pub fn followed(console: &Console) -> Result<LevelsView, Problem> {
    console.levels.clone().ok_or_else(|| {
        let detail = "this console does not follow the service levels";
        Problem::new(StatusCode::NOT_FOUND, "WL-7215", "Not followed here", detail)
            .next("set console.service_levels to true and start the console anew, or ask `wardline sla`")
    })
}

/// What must be said before the numbers.
pub fn standing_note(caught_up: bool, problem: Option<&str>) -> Markup {
    html! {
        @if let Some(problem) = problem {
            p.error role="alert" { "The topics cannot be followed; the numbers are those of before: " (problem) "." }
        } @else if !caught_up {
            p.note { "Today is still being read; every number is too small until that is done." }
        }
    }
}

fn page(data: &LevelsSnapshot, _: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Service levels" }
        (standing_note(data.caught_up, data.problem.as_deref()))
        (risks(&data.risks(), data.at_ms))
        div.cards {
            @for class in &data.classes {
                div.card {
                    b { @if class.waiting == 0 { "-" } @else { (pretty(seconds(class.oldest_waiting_s))) } }
                    "oldest that waits, " (class_name(class.class)) ": " (number(class.waiting)) " on the way"
                }
            }
        }
        h2 { "Today" }
        div.scroll {
            table.stack {
                caption { "Since " (time(data.day_start_ms * 1_000)) }
                thead {
                    tr {
                        th { "Service level" } th { "State" } th.right { "Kept" } th.right { "Promised" }
                        th.right { "In time" } th.right { "Missed" } th.right { "On the way" } th { "Oldest" }
                        th.right { "Half within" } th.right { "99 of 100 within" } th { "Too many misses" }
                    }
                }
                tbody { @for level in &data.levels { (row(level, data.at_ms)) } }
            }
        }
        h2 { "How much of what may be missed is used" }
        @for level in &data.levels { (budget(level)) }
        p.muted {
            "An event counts as missed when it came late, still waits beyond the promise, or cannot come any more. "
            a href="/activity" { "What the domains did by hour" } "."
        }
    };
    Page::live("Service levels", body)
}

/// One alert for each cause, with all that it holds up.
fn risks(risks: &[Risk<'_>], at_ms: i64) -> Markup {
    html! {
        @if risks.is_empty() { p.calm { "No service level is at risk." } }
        @for risk in risks {
            p.error role="alert" {
                @for alert in &risk.alerts {
                    b { (alert.level) } " (" (class_name(alert.class)) "): " (number(alert.overdue))
                    " events wait beyond the promise, the oldest for " (pretty(seconds(alert.oldest_waiting_s)))
                    "; too many misses " (breach_text(Some(alert.breach_at_ms), at_ms)) ". "
                    br;
                }
                @match risk.cause {
                    Some(cause) => {
                        "Most of what waits on its way waits in " b { (cause.room) } " for " (code_link(&cause.code))
                        @if let Some(subject) = &cause.subject { " " span.mono { (subject) } }
                        ": " (number(cause.events as i128)) " events. "
                        a href={ "/exceptions?room=" (cause.room) "&code=" (cause.code) } { "Its exceptions" }
                    },
                    None => { "No exception is open on its way: look whether a " a href="/" { "room is behind" } ". " a href="/exceptions" { "What is open" } },
                }
            }
        }
    }
}

fn row(level: &LevelReport, at_ms: i64) -> Markup {
    let kind = match level.state {
        LevelState::Met => "good",
        LevelState::Missed => "bad",
        LevelState::OnCourse | LevelState::Idle => "plain",
    };
    let missed = level.late + level.lost + level.overdue;
    let duration = |milliseconds: Option<u64>| html! { span { (milliseconds.map_or_else(|| "-".to_owned(), short)) } };
    html! {
        tr data-row=(level.name) tabindex="-1" {
            td.wide data-name="Level" {
                span {
                    b { a href=(activity_of(level.to)) { (level.name) } } br;
                    span.muted {
                        (level.description) " "
                        span.mono { a href={ "/topics/" (level.from) } { (level.from) } " → " a href={ "/topics/" (level.to) } { (level.to) } }
                    }
                }
            }
            td data-name="State" { (chip(level.state.as_str(), kind)) }
            td.right data-name="Kept" { span { (level.attainment_percent.map_or_else(|| "-".to_owned(), percent)) } }
            td.right data-name="Promised" { span { (percent(level.target_percent)) br; span.muted { "within " (short(level.within_ms)) } } }
            td.right data-name="In time" { span { (number(level.in_time)) } }
            td.right data-name="Missed" { span { (number(missed)) " of " (number(level.budget)) } }
            td.right data-name="On the way" {
                span { (number(level.waiting)) @if level.overdue > 0 { " " (chip(&format!("{} overdue", level.overdue), "bad")) } }
            }
            td.nowrap data-name="Oldest" { span { @if level.waiting == 0 { "-" } @else { (pretty(seconds(level.oldest_waiting_s))) } } }
            td.right data-name="Half" { (duration(level.median_ms)) }
            td.right data-name="99 of 100" { (duration(level.p99_ms)) }
            td.nowrap data-name="Breach" { span { (breach_text(level.breach_at_ms, at_ms)) } }
        }
    }
}

/// What the domain did in which the level ends.
fn activity_of(to: &str) -> String {
    let domain = to.split('.').next().unwrap_or_default();
    format!("/activity#domain-{domain}")
}

/// How much of the misses that today may have is used, as a bar beside its numbers.
fn budget(level: &LevelReport) -> Markup {
    let (used, all) = (level.budget_used, level.budget);
    html! {
        div.meter {
            label for=(format!("budget-{}", level.name)) { (level.name) ": " (number(used)) " of " (number(all)) " misses" }
            meter id=(format!("budget-{}", level.name)) min="0" max=(all.max(used).max(1)) high=(all * 3 / 4) optimum="0" value=(used) {
                (used) " of " (all)
            }
        }
    }
}

/// When there are too many misses, as people say it.
fn breach_text(breach_at_ms: Option<i64>, at_ms: i64) -> String {
    match breach_at_ms.map(|breach| breach - at_ms) {
        None => "not today".to_owned(),
        Some(left) if left <= 0 => "already".to_owned(),
        Some(left) => format!("in {}", pretty(left)),
    }
}

/// A duration that was measured.
pub fn short(milliseconds: u64) -> String {
    pretty(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

fn percent(percent: f64) -> String {
    // Rounded up, 99.997 % would read as a whole.
    format!("{:.2} %", (percent * 100.0).floor() / 100.0)
}

fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_told_better_than_it_is() {
        assert_eq!([100.0, 99.999, 98.5].map(percent), ["100.00 %", "99.99 %", "98.50 %"]);
        assert_eq!(
            [None, Some(5), Some(605_000)].map(|breach| breach_text(breach, 5_000)),
            ["not today", "already", "in 10 min"]
        );
    }
}
