//! The work of each domain: what came, what got done, what waits and what that is worth, how long it took, what went wrong.

use super::levels::{followed, short, standing_note};
use crate::ask::{Answer, Ask};
use crate::html::plot::{self, Series};
use crate::html::{Frame, Page, number};
use crate::problem::Problem;
use maud::{Markup, html};
use operations::exceptions::Standing;
use operations::sight::activity::HourActivity;
use operations::sight::worth::DomainWork;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Activity {
    caught_up: bool,
    /// Why the topics cannot be followed now.
    problem: Option<String>,
    standing: Standing,
    domains: Vec<DomainWork>,
}

/// What the domains did in the last hours.
pub async fn show(ask: Ask) -> Result<Answer, Problem> {
    let (levels, view) = (followed(&ask.console)?, ask.console.exceptions.clone());
    let look = move || {
        let (snapshot, stopped) = (levels.snapshot(), view.stopped());
        let domains = levels.activity().into_iter().map(|activity| DomainWork::new(activity, &stopped));
        let (caught_up, problem) = (snapshot.caught_up, snapshot.problem);
        Activity { caught_up, problem, standing: view.standing(), domains: domains.collect() }
    };
    Ok(Answer::view(ask.console.desk.reads.memory(look).await?, page))
}

fn page(data: &Activity, _: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Activity" }
        (standing_note(data.caught_up, data.problem.as_deref()))
        (super::exceptions::standing_note(&data.standing))
        @for domain in &data.domains { (section(domain)) }
        p.muted { "By hour, " (crate::html::zone::told(|zone| zone.name().to_owned())) ", of the last " (operations::sight::activity::HOURS) ". " a href="/service-levels" { "What was promised" } "." }
    };
    Page::live("Activity", body)
}

fn section(domain: &DomainWork) -> Markup {
    let activity = &domain.activity;
    let hours = &activity.hours;
    let name = activity.domain.as_str();
    let starts: Vec<i64> = hours.iter().map(|hour| hour.hour_ms).collect();
    let counts = |of: fn(&HourActivity) -> u64| hours.iter().map(|hour| Some(of(hour))).collect::<Vec<_>>();
    let sum = |of: fn(&HourActivity) -> u64| hours.iter().map(of).sum::<u64>();
    html! {
        section.domain aria-labelledby=(format!("domain-{name}")) {
            h2 id=(format!("domain-{name}")) { (name) }
            p.muted { span.mono { (activity.from.join(", ")) " → " (activity.to) } ", by " (activity.rooms.join(", ")) }
            div.cards {
                div.card { b { (number(sum(|hour| hour.came))) } "came in" }
                div.card { b { (number(sum(|hour| hour.done))) } "got done" }
                div.card.warn[activity.waiting > 0] { b { (number(activity.waiting)) } "came in and are not done" }
                div.card.bad[sum(|hour| hour.lost) > 0] { b { (number(sum(|hour| hour.lost))) } "lost" }
                div.card.warn[sum(|hour| hour.exceptions) > 0] { b { (number(sum(|hour| hour.exceptions))) } "exceptions raised" }
                div.card {
                    b { (domain.parked.worth().as_deref().unwrap_or("-")) }
                    "waits in money, by price or by the sender's charge, in " (number(domain.parked.events as i128)) " parked events"
                    @if domain.parked.events_without_price > 0 { " (" (number(domain.parked.events_without_price as i128)) " without either)" }
                }
            }
            div.plots {
                (plot::lines("Events in an hour", &starts, &[
                    Series::new("came in", "one", counts(|hour| hour.came)),
                    Series::new("got done", "two", counts(|hour| hour.done)),
                ], number))
                (plot::lines("How long it took", &starts, &[
                    Series::new("half within", "one", hours.iter().map(|hour| hour.p50_ms).collect()),
                    Series::new("99 of 100 within", "three", hours.iter().map(|hour| hour.p99_ms).collect()),
                ], short))
                (plot::lines("Exceptions and what waited", &starts, &[
                    Series::new("exceptions raised", "three", counts(|hour| hour.exceptions)),
                    Series::new("waited at the end", "one", counts(|hour| hour.waiting)),
                ], number))
            }
            (numbers(name, hours))
        }
    }
}

/// The same as a table, for whoever reads rather than looks.
fn numbers(name: &str, hours: &[HourActivity]) -> Markup {
    let duration = |milliseconds: Option<u64>| milliseconds.map_or_else(|| "-".to_owned(), short);
    html! {
        details id=(format!("hours-{name}")) {
            summary { "The numbers" }
            div.scroll {
                table.stack {
                    thead {
                        tr {
                            th { "Hour" } th.right { "In" } th.right { "Done" } th.right { "Left out" } th.right { "Lost" }
                            th.right { "Waiting" } th.right { "Exceptions" } th.right { "Half within" } th.right { "99 of 100" }
                        }
                    }
                    tbody {
                        @for hour in hours.iter().rev() {
                            tr {
                                td.nowrap data-name="Hour" { (plot::clock_text(hour.hour_ms * 1_000)) }
                                td.right data-name="In" { span { (number(hour.came)) } }
                                td.right data-name="Done" { span { (number(hour.done)) } }
                                td.right data-name="Left out" { span { (number(hour.left_out)) } }
                                td.right data-name="Lost" { span { (number(hour.lost)) } }
                                td.right data-name="Waiting" { span { (number(hour.waiting)) } }
                                td.right data-name="Exceptions" { span { (number(hour.exceptions)) } }
                                td.right data-name="Half" { span { (duration(hour.p50_ms)) } }
                                td.right data-name="99 of 100" { span { (duration(hour.p99_ms)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
