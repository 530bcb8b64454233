//! Replays: plan, look, agree, pause, give up. `wardline replay apply` hands the records over, because that takes a process that
//! lives as long as the replay.

use super::exception::{COMMENT, SAY};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Kind};
use crate::html::{Act, Frame, Page, chip, facts, form, number, time};
use crate::people::Right;
use crate::problem::Problem;
use crate::state::Console;
use axum::http::StatusCode;
use maud::{Markup, html};
use operations::replay::{Plan, ReplayError, ReplaySelection, ReplayState, Replays, Request, Status, Words};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// What is to be replayed.
pub const PLAN: &[Field] = &[
    Field::required("room", Kind::Line(64), "Room that is to process the records again"),
    Field::optional("topic", Kind::Line(100), "Topic, when the room reads several"),
    Field::optional("from_time", Kind::Line(40), "From this time on, for example 2026-03-01T08:00:00Z"),
    Field::optional("until_time", Kind::Line(40), "Before this time"),
    Field::optional("key", Kind::Line(200), "Only records with this key"),
    Field::optional("event_id", Kind::Line(80), "Only this event"),
    Field::required("reason", Kind::Text(1_000), "Why, without patient data; it goes on record"),
];

#[derive(Serialize)]
struct List {
    plans: Vec<Plan>,
}

/// All plans.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let mut plans = replays(&ask.console)?.list().await.map_err(|error| refusal(&error))?;
    plans.reverse();
    Ok(Answer::view(List { plans }, list_page))
}

/// How one stands.
pub async fn one(ask: Ask) -> Result<Answer, Problem> {
    let status = replays(&ask.console)?.status(ask.part("id")).await.map_err(|error| refusal(&error))?;
    Ok(Answer::view(status, page))
}

/// Counts what a replay comes to, and puts the plan on record.
pub async fn plan(ask: Ask) -> Result<Answer, Problem> {
    let text = |name: &str| ask.body.text(name).map(str::to_owned);
    let request = Request {
        room: text("room").unwrap_or_default(),
        topic: text("topic"),
        selection: ReplaySelection {
            from_time_ms: milliseconds(&ask, "from_time")?,
            until_time_ms: milliseconds(&ask, "until_time")?,
            event_ids: text("event_id").into_iter().collect(),
            key: text("key"),
            ..ReplaySelection::default()
        },
        reason: text("reason").unwrap_or_default(),
        actor: ask.name().to_owned(),
    };
    let replays = replays(&ask.console)?;
    // Counting a large range takes a while; the plan is on record also when nobody waits any more.
    let planning = tokio::spawn(async move { replays.plan(&request, |_| ()).await });
    let planned = planning.await.map_err(|error| Problem::defect(&error.to_string()))?;
    done(&planned.map_err(|error| refusal(&error))?, "It is planned; nothing is handed over yet.")
}

/// Agrees to a plan as the second person.
pub async fn approve(ask: Ask) -> Result<Answer, Problem> {
    let (replays, words) = (replays(&ask.console)?, words(&ask));
    let id = ask.part("id").to_owned();
    // Half a step would fence the process that hands over and say nothing on record.
    let taking = tokio::spawn(async move { replays.approve(&id, &words).await });
    let approved = taking.await.map_err(|error| Problem::defect(&error.to_string()))?;
    done(&approved.map_err(|error| refusal(&error))?, "It is approved.")
}

/// Stops the process that hands records over.
pub async fn pause(ask: Ask) -> Result<Answer, Problem> {
    let (replays, words) = (replays(&ask.console)?, words(&ask));
    let id = ask.part("id").to_owned();
    // Half a step would fence the process that hands over and say nothing on record.
    let taking = tokio::spawn(async move { replays.pause(&id, &words).await });
    let paused = taking.await.map_err(|error| Problem::defect(&error.to_string()))?;
    done(&paused.map_err(|error| refusal(&error))?, "It is paused.")
}

/// Gives the rest of a plan up.
pub async fn abort(ask: Ask) -> Result<Answer, Problem> {
    let (replays, words) = (replays(&ask.console)?, words(&ask));
    let id = ask.part("id").to_owned();
    // Half a step would fence the process that hands over and say nothing on record.
    let taking = tokio::spawn(async move { replays.abort(&id, &words).await });
    let aborted = taking.await.map_err(|error| Problem::defect(&error.to_string()))?;
    done(&aborted.map_err(|error| refusal(&error))?, "The rest of it is given up.")
}

fn replays(console: &Console) -> Result<Arc<Replays>, Problem> {
    let (config, codec) = (Arc::clone(&console.site.config), console.desk.codec()?);
    Replays::new(config, codec, console.site.rooms.clone()).map_err(|error| refusal(&error))
}

fn words(ask: &Ask) -> Words {
    Words { actor: ask.name().to_owned(), comment: ask.body.text("comment").map(str::to_owned) }
}

fn milliseconds(ask: &Ask, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = ask.body.text(name) else { return Ok(None) };
    let read = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
    read.map(Some).map_err(|_| Problem::not_understood(format!("{name} must be a time like 2026-03-01T08:00:00Z")))
}

fn done(plan: &Plan, said: &str) -> Result<Answer, Problem> {
    Ok(Answer::done(said, format!("/replay/{}", plan.replay_id), json!({"plan": plan})))
}

fn refusal(error: &ReplayError) -> Problem {
    let text = error.to_string();
    let problem = match error {
        ReplayError::NoPlan(_) => Problem::said(StatusCode::NOT_FOUND, "No such replay", &text),
        error if error.blames_request() => Problem::said(StatusCode::CONFLICT, "Not this replay", &text),
        _ => Problem::unavailable(&text),
    };
    problem.next(error.next())
}

fn state_chip(plan: &Plan) -> Markup {
    let kind = match plan.state {
        ReplayState::Planned if plan.needs_approval => "warn",
        ReplayState::Running | ReplayState::Paused => "warn",
        ReplayState::Done => "good",
        ReplayState::Planned | ReplayState::Approved | ReplayState::Aborted | ReplayState::Unknown => "plain",
    };
    html! {
        (chip(&plan.state.as_str().to_lowercase(), kind))
        @if plan.state == ReplayState::Planned && plan.needs_approval { " " (chip("needs a second person", "warn")) }
    }
}

fn list_page(data: &List, frame: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Replays" }
        @if data.plans.is_empty() { p { "Nothing was planned yet." } } @else {
            div.scroll {
                table.stack {
                    caption { (data.plans.len()) " plans, newest first" }
                    thead { tr { th { "Planned" } th { "State" } th { "Room" } th { "Topic" } th.right { "Records" } th { "By" } th { "Why" } } }
                    tbody {
                        @for plan in &data.plans {
                            tr data-row=(plan.replay_id) tabindex="-1" {
                                td.nowrap data-name="Planned" { a href={ "/replay/" (plan.replay_id) } { (time(plan.planned_at.0)) } }
                                td data-name="State" { span { (state_chip(plan)) } }
                                td data-name="Room" { span { (plan.room) } }
                                td data-name="Topic" { span.mono { (plan.topic) } }
                                td.right data-name="Records" { span { (number(i128::from(plan.counts.records))) } }
                                td data-name="By" { span { (plan.planned_by) } }
                                td.wide data-name="Why" { span { (plan.reason) } }
                            }
                        }
                    }
                }
            }
        }
        @if frame.may(Right::Act) {
            h2 { "Plan a replay" }
            (form(frame, &Act {
                action: "/replay/plan".to_owned(),
                label: "Plan",
                help: "Give a time to begin at, a key or an event. Records, effects and money are counted, and the plan is put on record; nothing is handed over before it is applied.",
                fields: PLAN,
                hidden: Vec::new(),
                is_grave: false,
            }))
        }
    };
    Page::live("Replays", body)
}

fn page(data: &Status, frame: &Frame<'_>) -> Page {
    let plan = &data.plan;
    let counts = &plan.counts;
    let count = |value: i64| html! { (number(i128::from(value))) };
    let money = |amounts: &[schemas::Money]| {
        let all: Vec<String> = amounts.iter().map(|one| format!("{} {}", one.amount, one.currency)).collect();
        html! { (all.join(", ")) }
    };
    let body = html! {
        p { a href="/replay" { "Replays" } }
        h1 { "Replay into " (plan.room) }
        p { (state_chip(plan)) " " (plan.reason) }
        div.columns {
            section {
                (facts(&[
                    ("Topic", html! { span.mono { (plan.topic) } }),
                    ("Records", count(counts.records)),
                    ("Keys", count(counts.keys)),
                    ("Handed over", count(data.handed)),
                    ("Of these parked", count(data.still_parked)),
                    ("Effects at most", count(counts.effects)),
                    ("Suppressed", html! { (number(i128::from(counts.suppressed))) span.muted { " (have had their effect)" } }),
                    ("In doubt", count(counts.in_doubt)),
                    ("Documents there", count(counts.documents)),
                    ("New documents", count(counts.new_documents)),
                    ("Money in all", money(&counts.amounts)),
                    ("Not posted yet", money(&counts.new_amounts)),
                    ("Newer events", count(counts.newer)),
                    ("Planned", html! { (time(plan.planned_at.0)) " by " (plan.planned_by) }),
                    ("Approved by", html! { @if let Some(who) = &plan.approved_by { (who) } }),
                    ("Last word", html! { @if let Some(comment) = &plan.comment { (comment) " (" (plan.actor) ")" } }),
                    ("Id", html! { span.mono { (plan.replay_id) } }),
                ]))
                @if matches!(plan.state, ReplayState::Planned | ReplayState::Approved) {
                    p { "To hand the records over: " code { "wardline replay apply " (plan.replay_id) " --rate N" } }
                }
            }
            section { (acts(plan, frame)) }
        }
    };
    Page::live(format!("Replay into {}", plan.room), body)
}

fn acts(plan: &Plan, frame: &Frame<'_>) -> Markup {
    let act = |name: &str, label: &'static str, help: &'static str, fields: &'static [Field], is_grave: bool| {
        let action = format!("/replay/{}/{name}", plan.replay_id);
        form(frame, &Act { action, label, help, fields, hidden: Vec::new(), is_grave })
    };
    let is_own = frame.person.is_some_and(|person| operations::same_person(&person.name, &plan.planned_by));
    html! {
        @if plan.state == ReplayState::Planned && plan.needs_approval && frame.may(Right::Approve) && !is_own {
            (act("approve", "Approve", "With you as the second person it may be applied.", COMMENT, false))
        }
        @if plan.state == ReplayState::Running && frame.may(Right::Act) {
            (act("pause", "Pause", "Stops the process that hands records over, wherever it runs.", COMMENT, false))
        }
        @if !matches!(plan.state, ReplayState::Done | ReplayState::Aborted | ReplayState::Unknown) && frame.may(Right::Act) {
            (act("abort", "Give up", "What was handed over stays handed over; the rest is given up.", SAY, true))
        }
    }
}
