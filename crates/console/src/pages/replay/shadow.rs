//! What the version of this console would decide otherwise, beside what is on the topics. On the command line: `wardline replay
//! shadow`.

use super::{LOOKED_AT, ask, refusal, replays};
use crate::ask::{Answer, Ask};
use crate::html::{Act, Frame, Page, chip, facts, form, number, pretty, time};
use crate::people::Right;
use crate::problem::Problem;
use crate::shadows::{self, Asked, Earlier, Made, Seen};
use axum::http::StatusCode;
use maud::{Markup, html};
use operations::replay::shadow::{Change, Example, FieldReport, VERSION};
use operations::replay::{ReplayError, ShadowReport, ShadowRequest};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    /// Those of this process.
    #[serde(flatten)]
    seen: Seen,
    /// What is on record of others, newest first.
    earlier: Vec<Earlier>,
    /// Why that is not known.
    earlier_unknown: Option<String>,
}

/// Those of this process, and what is on record of earlier ones.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let seen = ask.console.shadows.seen();
    let (earlier, earlier_unknown) = match shadows::earlier(&ask.console.desk, &seen).await {
        Ok(earlier) => (earlier, None),
        Err(problem) => (Vec::new(), Some(problem.detail)),
    };
    Ok(Answer::view(List { seen, earlier, earlier_unknown }, list_page))
}

/// One of them.
pub async fn one(ask: Ask) -> Result<Answer, Problem> {
    let made = ask.console.shadows.one(ask.part("id"));
    let made = made.ok_or_else(|| {
        Problem::not_found(
            "this process holds no such comparison; what an earlier one came to is in the list and in the audit",
        )
    })?;
    Ok(Answer::view(made.as_ref().clone(), page))
}

/// Begins one in the background.
pub async fn run(ask: Ask) -> Result<Answer, Problem> {
    let (console, name) = (&ask.console, ask.body.text("room").unwrap_or_default().to_owned());
    let room = console.site.rooms.iter().find(|room| room.info.name == name);
    let room = room.ok_or_else(|| {
        let names: Vec<&str> = console.site.rooms.iter().map(|room| room.info.name).collect();
        refusal(&ReplayError::Room(format!("there is no room {name}; there are {}", names.join(", "))))
    })?;
    let no_shadow = || {
        let detail = format!("{name} decides nothing about events, so two versions of it cannot be compared");
        Problem::new(StatusCode::CONFLICT, "WL-7250", "Not this room", detail)
            .next("name a processor or an effect room: validate, enrich, erp-post or supplier-fanout")
    };
    let shadow = room.shadow.as_ref().ok_or_else(no_shadow)?(&console.site.config);
    let shadow = shadow.map_err(|error| {
        Problem::said(StatusCode::CONFLICT, "Not with this configuration", &error.to_string())
            .next(format!("correct rooms.{name} of the configuration of this console; the shadow uses it as it is"))
    })?;
    let request = ShadowRequest {
        room: name,
        topic: ask.body.text("topic").map(str::to_owned),
        selection: ask::selection(&ask)?,
        version: ask.body.text("version").map(str::to_owned),
    };
    request.is_for_this_version().map_err(|error| refusal(&error))?;
    let asked = Asked { replays: replays(console)?, request, shadow, by: ask.name().to_owned() };
    let id = console.shadows.begin(asked, &console.trail)?;
    let said = "The comparison has begun; the page tells how far it is.";
    Ok(Answer::done(said, "/replay/shadow", json!({"begun": true, "id": id})))
}

fn list_page(data: &List, frame: &Frame<'_>) -> Page {
    let seen = &data.seen;
    let body = html! {
        p { a href="/replay" { "Replays" } }
        h1 { "Shadow comparisons" }
        p {
            "A room of the version of this console (" (VERSION) ") decides records again that the running one has passed, and each verdict is compared with what is on the topics. "
            "Nothing is written, nobody is called. On the command line, and from another version: " code { "wardline replay shadow ROOM" } "."
        }
        (state(seen, frame))
        @if seen.made.is_empty() { p.muted { "This process has compared nothing since it started." } } @else {
            div.scroll {
                table.stack {
                    caption { "Comparisons of this process, newest first" }
                    thead { tr { th { "Made" } th { "Room" } th { "Topic" } th.right { "Records" } th { "Result" } th { "By" } } }
                    tbody {
                        @for made in &seen.made { (row(made)) }
                    }
                }
            }
        }
        @if let Some(why) = &data.earlier_unknown { p.error role="alert" { "Whether there are earlier ones is not known: " (why) "." } }
        @if !data.earlier.is_empty() { (earlier(&data.earlier)) }
    };
    Page::live("Shadow comparisons", body)
}

/// What outlives the process that made it: the figures, without examples.
fn earlier(all: &[Earlier]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption { "Earlier ones and those of other consoles, from the audit, newest first; the examples went with their process" }
                thead { tr { th { "Made" } th { "By" } th { "What it came to" } } }
                tbody {
                    @for one in all {
                        tr data-row=[(!one.id.is_empty()).then_some(&one.id)] tabindex="-1" {
                            td.nowrap data-name="Made" { (time(one.at)) }
                            td data-name="By" { span { (one.by) } }
                            td.wide data-name="Came to" { span { (one.said) } }
                        }
                    }
                }
            }
        }
        p.muted { "All of them are in the " a href="/audit?room=console&code=replay.shadowed" { "audit" } "." }
    }
}

fn state(data: &Seen, frame: &Frame<'_>) -> Markup {
    html! {
        @if let Some(failed) = &data.failed {
            p.error role="alert" { "The comparison of " (failed.room) " that " (failed.by) " asked for has no report: " (failed.why) ". What to do next: " (failed.next) ". Ended " (time(failed.at)) "." }
        }
        @if let Some(under_way) = &data.under_way {
            div.progress role="status" {
                p {
                    b { "A comparison of " (under_way.room) " is under way" } ", begun by " (under_way.by) " " (pretty(((frame.now - under_way.started_at) / 1_000).max(0))) " ago: "
                    (number(i128::from(under_way.records))) " records read, each of them twice."
                }
                progress aria-label="Comparing" {}
            }
        } @else if frame.may(Right::Act) {
            (form(frame, &Act {
                action: "/replay/shadow/run".to_owned(),
                label: "Compare",
                help: "Give a time to begin at, a key or an event. The tables are those of now, so what changed in the master data since differs as well.",
                fields: LOOKED_AT,
                hidden: Vec::new(),
                is_grave: false,
            }))
        }
    }
}

fn row(made: &Arc<Made>) -> Markup {
    let report = &made.report;
    html! {
        tr data-row=(made.id) tabindex="-1" {
            td.nowrap data-name="Made" { a href={ "/replay/shadow/" (made.id) } { (time(made.at)) } }
            td data-name="Room" { span { (report.room) } }
            td data-name="Topic" { span.mono { (report.topic) } }
            td.right data-name="Records" { span { (number(i128::from(report.records))) } }
            td data-name="Result" { span { (verdict(report)) } }
            td data-name="By" { span { (made.by) } }
        }
    }
}

fn verdict(report: &ShadowReport) -> Markup {
    let others = report.fields_differ + report.newly_refused + report.newly_accepted + report.other_reason;
    if report.differs() {
        chip(&format!("{} decided otherwise", number(i128::from(others))), "warn")
    } else {
        chip("the same", "good")
    }
}

fn page(data: &Made, _: &Frame<'_>) -> Page {
    let report = &data.report;
    let body = html! {
        p { a href="/replay" { "Replays" } " / " a href="/replay/shadow" { "Shadow comparisons" } }
        h1 { (report.room) " " (report.version) " beside what is on record" }
        p { (verdict(report)) " Nothing was written, nobody was called." }
        @if let Some(why) = &data.not_on_record { p.error role="alert" { "The report goes with this process: " (why) "." } }
        (numbers(data))
        @if report.changes.is_empty() && report.fields.is_empty() { p.calm { "Every record that could be compared has the same fate." } }
        @if !report.changes.is_empty() { (changes(&report.changes)) }
        @if !report.fields.is_empty() { (fields(&report.fields)) }
        @if !report.money.is_empty() {
            div.scroll {
                table.stack {
                    caption { "Money" }
                    thead { tr { th { "Currency" } th.right { "As it was" } th.right { "As it would be" } th.right { "Difference" } } }
                    tbody {
                        @for money in &report.money {
                            tr {
                                td data-name="Currency" { span { (money.currency) } }
                                td.right data-name="Was" { span { (money.before) } }
                                td.right data-name="Would be" { span { (money.after) } }
                                td.right data-name="Difference" { span { (money.difference) } }
                            }
                        }
                    }
                }
            }
        }
    };
    Page::still(format!("{} {} beside what is on record", report.room, report.version), body)
}

fn numbers(made: &Made) -> Markup {
    let report = &made.report;
    let count = |value: u64| html! { (number(i128::from(value))) };
    let told = |value: u64, what: &str| html! { @if value > 0 { (count(value)) span.muted { " (" (what) ")" } } };
    let compared = match report.compared_with.as_slice() {
        [] => "what is on the topics, which does not say which version wrote it".to_owned(),
        known => format!("what is on the topics; of what was refused there, by version {}", known.join(", ")),
    };
    let effects = &report.effects;
    facts(&[
        ("Version asked", html! { (report.version) }),
        ("Reads", html! { span.mono { (report.topic) } }),
        ("Writes", html! { span.mono { (report.writes) } }),
        ("Compared with", html! { (compared) }),
        ("Records", count(report.records)),
        ("The same", count(report.same)),
        ("Other fields", told(report.fields_differ, "with other fields, events or effects")),
        ("Newly refused", told(report.newly_refused, "accepted before, not any more")),
        ("Newly accepted", told(report.newly_accepted, "not accepted before, accepted now")),
        ("Other reason", told(report.other_reason, "not accepted either way")),
        ("Not compared", told(report.not_compared, "nothing on record, or left out as there already")),
        (
            "Events",
            html! { @if report.events_fewer + report.events_more > 0 { (count(report.events_fewer)) " fewer, " (count(report.events_more)) " more" } },
        ),
        (
            "Effects",
            html! { @if effects.before + effects.after > 0 {
                (count(effects.before)) " on record, " (count(effects.after)) " asked for; " (count(effects.new)) " new, " (count(effects.gone)) " no more"
            } },
        ),
        ("Money unknown", told(report.money_unknown, "events of which only the other side can tell")),
        ("Made", html! { (time(made.at)) ", asked for by " (made.by) }),
        ("Id", html! { span.mono { (made.id) } }),
    ])
}

fn changes(all: &[Change]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption { "Other verdicts, most frequent first" }
                thead { tr { th.right { "Records" } th { "As it was" } th { "As it would be" } th { "For example" } } }
                tbody {
                    @for change in all {
                        tr {
                            td.right data-name="Records" { span { (number(i128::from(change.records))) } }
                            td data-name="Was" { span { (change.before) } }
                            td data-name="Would be" { span { (change.after) } }
                            td.wide data-name="Example" { div { @for example in &change.examples { (place(example)) br; } } }
                        }
                    }
                }
            }
        }
    }
}

fn fields(all: &[FieldReport]) -> Markup {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    html! {
        div.scroll {
            table.stack {
                caption { "Other fields, most frequent first; what says anything about a patient is not shown" }
                thead { tr { th { "Field" } th.right { "Times" } th { "For example" } } }
                tbody {
                    @for field in all {
                        tr {
                            td data-name="Field" { span.mono { (field.path) } }
                            td.right data-name="Times" { span { (number(i128::from(field.times))) } }
                            td.wide data-name="Example" { div {
                                @for example in &field.examples { (text(&example.before)) " \u{2192} " (text(&example.after)) " " (place(example)) br; }
                            } }
                        }
                    }
                }
            }
        }
    }
}

fn place(example: &Example) -> Markup {
    let id: String = form_urlencoded::byte_serialize(example.event_id.as_bytes()).collect();
    html! { a href={ "/trace?id=" (id) } { span.mono { (example.place) } } }
}
