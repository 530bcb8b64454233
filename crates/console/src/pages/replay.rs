//! Replays: plan, look, agree, apply, pause, go on, give up. What is applied here is handed over by the process of this console;
//! when that stops the replay is paused, and anybody goes on with it, here or elsewhere.

mod ask;
mod look;
pub mod shadow;

pub use ask::{FILLED, LOOKED_AT, PLAN};

use super::exception::{COMMENT, SAY};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Act, Frame, Page, chip, form, form_filled, number, pretty, time};
use crate::people::Right;
use crate::problem::Problem;
use crate::runs::{Begin, BeginError, Told};
use crate::state::Console;
use axum::http::StatusCode;
use maud::{Markup, html};
use operations::replay::{Apply, Plan, Preview, RATE_USUAL, ReplayError, ReplayState, Replays, Resume, Status, Words};
use serde::Serialize;
use serde_json::json;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How a refusal begins because newer events took effect.
const OVERTAKEN: &str = "WL-7261";
/// A replay whose process has said nothing for so long may have lost it, seconds: a sign of life comes every two.
const SILENT_S: i64 = 15;
/// How long who applies a replay waits until it has begun; counting much takes longer, and goes on.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

/// How it is handed over.
pub const APPLY: &[Field] = &[
    Field::optional("rate", Kind::Number, "Records in a second at most; 100 when left out"),
    Field::optional(
        "accept_changes",
        Kind::Flag,
        "Go on although a recount differs from the plan; then the comment must say why",
    ),
    COMMENT[0],
    Field::optional(
        "override_order",
        Kind::Text(1_000),
        "Why events must take effect behind newer ones of their key, without patient data; it goes on record",
    ),
];
/// The same where no newer event took effect.
const APPLY_IN_ORDER: &[Field] = &[APPLY[0], APPLY[1], APPLY[2]];
/// How it goes on.
pub const RESUME: &[Field] = &[
    Field::optional("rate", Kind::Number, "Records in a second at most; as before when left out"),
    COMMENT[0],
    APPLY[3],
];
/// The same where no newer event took effect.
const RESUME_IN_ORDER: &[Field] = &[RESUME[0], RESUME[1]];

#[derive(Serialize)]
struct List {
    plans: Vec<Plan>,
    /// What stands in the form to plan one.
    #[serde(skip)]
    filled: Fields,
}

/// How a replay stands, and what this process has to do with it.
#[derive(Serialize)]
struct One {
    #[serde(flatten)]
    status: Status,
    here: Here,
}

/// What this process has to do with a replay.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Here {
    /// It is being counted again, or handed over, by this process.
    under_way: bool,
    /// Records that the counting has read.
    counted: Option<u64>,
    /// Why it ended here without being done.
    failed: Option<String>,
    /// What to do about that.
    next: Option<String>,
}

/// All plans.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let plans = ask.console.desk.plans(&replays(&ask.console)?, refusal).await?;
    Ok(Answer::view(List { plans: plans.iter().rev().cloned().collect(), filled: ask.query }, list_page))
}

/// How one stands.
pub async fn one(ask: Ask) -> Result<Answer, Problem> {
    let status = ask.console.desk.status(&replays(&ask.console)?, ask.part("id"), refusal).await?;
    let mut here = Here { under_way: false, counted: None, failed: None, next: None };
    match ask.console.runs.told(&status.plan.plan.replay_id) {
        None | Some(Told::Ended) => {}
        Some(Told::HandingOver) => here.under_way = true,
        Some(Told::Counting(records)) => (here.under_way, here.counted) = (true, Some(records)),
        Some(Told::Failed { why, next }) => (here.failed, here.next) = (Some(why), Some(next)),
    }
    Ok(Answer::view(One { status: status.as_ref().clone(), here }, page))
}

/// Counts once more, and then hands the records over in the background.
pub async fn apply(ask: Ask) -> Result<Answer, Problem> {
    let apply = Apply {
        words: words(&ask),
        rate: ask::rate(&ask)?.unwrap_or(RATE_USUAL),
        accept_changes: ask.body.flag("accept_changes"),
        may_agree: ask.may(Right::Approve),
        override_order: ask.body.text("override_order").map(str::to_owned),
    };
    begin(&ask, Begin::Apply(apply), "Its records are being handed over.").await
}

/// Goes on where it was paused, or where its process is gone.
pub async fn resume(ask: Ask) -> Result<Answer, Problem> {
    let resume = Resume {
        words: words(&ask),
        rate: ask::rate(&ask)?,
        may_agree: ask.may(Right::Approve),
        override_order: ask.body.text("override_order").map(str::to_owned),
    };
    begin(&ask, Begin::Resume(resume), "It goes on.").await
}

async fn begin(ask: &Ask, what: Begin, said: &str) -> Result<Answer, Problem> {
    let console = &ask.console;
    let replays = replays(console)?;
    let asked = ask.part("id").to_owned();
    let of = Arc::clone(&replays);
    let plan =
        console.desk.reads.topics(async move { of.find(&asked).await }).await?.map_err(|error| refusal(&error))?;
    let id = plan.replay_id;
    let begun = console.runs.begin(replays, id.clone(), what, BEGIN_WITHIN).await;
    console.desk.replay_changed(&id);
    console.desk.replay_changed(ask.part("id"));
    match begun {
        Ok(true) => Ok(Answer::done(said, format!("/replay/{id}"), json!({"replayId": id, "begun": true}))),
        Ok(false) => {
            let said = "What it comes to is still being counted; this page tells how it goes on.";
            Ok(Answer::done(said, format!("/replay/{id}"), json!({"replayId": id, "begun": false})))
        }
        Err(BeginError::Busy(problem)) => Err(problem),
        Err(BeginError::Refused(error)) => Err(refusal(&error)),
    }
}

/// Counts what a replay comes to, and puts the plan on record.
pub async fn plan(ask: Ask) -> Result<Answer, Problem> {
    let request = ask::request(&ask)?;
    let replays = replays(&ask.console)?;
    // Counting a large range takes a while; the plan is on record also when nobody waits any more.
    let planning = async move { replays.plan(&request, |_| ()).await };
    let planned = ask.console.searches.topics(planning).await.map_err(|problem| {
        problem.next("look at the list of replays in a while: counting goes on, and the plan is there when it is done")
    })?;
    let plan = planned.map_err(|error| refusal(&error))?;
    if plan.replay_id.is_empty() {
        let said = "Nothing is planned: none of these records would come out otherwise.";
        return Ok(Answer::done(said, "/replay", json!({"plan": Preview::at_rate(plan, None)})));
    }
    ask.console.desk.replay_changed(&plan.replay_id);
    done(&plan, "It is planned; nothing is handed over yet.")
}

/// Agrees to a plan as the second person.
pub async fn approve(ask: Ask) -> Result<Answer, Problem> {
    step(&ask, "It is approved.", |replays, id, words| async move { replays.approve(&id, &words).await }).await
}

/// Stops the process that hands records over.
pub async fn pause(ask: Ask) -> Result<Answer, Problem> {
    step(&ask, "It is paused.", |replays, id, words| async move { replays.pause(&id, &words).await }).await
}

/// Gives the rest of a plan up.
pub async fn abort(ask: Ask) -> Result<Answer, Problem> {
    step(&ask, "The rest of it is given up.", |replays, id, words| async move { replays.abort(&id, &words).await })
        .await
}

/// Takes a step, and goes on with it when nobody waits any more: half a step would fence the process that hands over and say
/// nothing on record.
async fn step<F>(ask: &Ask, said: &str, take: fn(Arc<Replays>, String, Words) -> F) -> Result<Answer, Problem>
where
    F: Future<Output = Result<Plan, ReplayError>> + Send + 'static,
{
    let (console, id) = (&ask.console, ask.part("id").to_owned());
    let taken = console.desk.reads.topics(take(replays(console)?, id.clone(), words(ask))).await;
    console.desk.replay_changed(&id);
    let plan = taken?.map_err(|error| refusal(&error))?;
    console.desk.replay_changed(&plan.replay_id);
    done(&plan, said)
}

/// The acts of replays, over what this console follows.
///
/// # Errors
/// When the configuration or the client of the registry cannot be so.
pub fn replays(console: &Console) -> Result<Arc<Replays>, Problem> {
    let (config, codec) = (Arc::clone(&console.site.config), console.desk.codec()?);
    Replays::beside(&console.exceptions, config, codec, console.site.rooms.clone()).map_err(|error| refusal(&error))
}

fn words(ask: &Ask) -> Words {
    Words { actor: ask.name().to_owned(), comment: ask.body.text("comment").map(str::to_owned) }
}

fn done(plan: &Plan, said: &str) -> Result<Answer, Problem> {
    Ok(Answer::done(said, format!("/replay/{}", plan.replay_id), json!({"plan": Preview::at_rate(plan.clone(), None)})))
}

/// A refusal as the console says it.
pub fn refusal(error: &ReplayError) -> Problem {
    let text = error.to_string();
    let problem = match error {
        ReplayError::NoPlan(_) => Problem::said(StatusCode::NOT_FOUND, "No such replay", &text),
        error if error.blames_request() => Problem::said(StatusCode::CONFLICT, "Not this replay", &text),
        _ => Problem::unavailable(&text),
    };
    problem.next(error.next_on_page())
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
        @if plan.correction > 0 { " " (chip("corrects", "plain")) }
    }
}

fn list_page(data: &List, frame: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Replays" }
        p { "What another version of a room would do is looked at beforehand: " a href="/replay/shadow" { "shadow comparisons" } "." }
        @if data.plans.is_empty() { p { "Nothing was planned yet." } } @else {
            div.scroll {
                table.stack {
                    caption { "Plans, newest first: " (data.plans.len()) }
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
            h2 #plan { "Plan a replay" }
            (kinds())
            (form_filled(frame, &Act {
                action: "/replay/plan".to_owned(),
                label: "Plan",
                help: "Give a time to begin at, a key or an event. Records, effects and money are counted, and the plan is put on record; nothing is handed over before it is applied.",
                fields: PLAN,
                hidden: Vec::new(),
                is_grave: false,
            }, &data.filled))
        }
    };
    Page::live("Replays", body)
}

fn page(data: &One, frame: &Frame<'_>) -> Page {
    let (here, data) = (&data.here, &data.status);
    let plan = &data.plan.plan;
    let body = html! {
        p { a href="/replay" { "Replays" } }
        h1 { "Replay into " (plan.room) }
        p { (state_chip(plan)) " " (plan.reason) }
        (progress(data, here))
        @if plan.correction > 0 { (look::corrects(plan)) }
        @if let Some(late) = &data.plan.overtaken { (look::overtaken(late)) }
        div.columns {
            section {
                (look::numbers(data))
            }
            section { (acts(data, here, frame)) }
        }
    };
    Page::live(format!("Replay into {}", plan.room), body)
}

/// What the two kinds of replay are for.
fn kinds() -> Markup {
    html! {
        p.muted {
            "A plain replay has the room decide again about the same records: its events come out with the same ids, and what has had its effect has it once. "
            "That helps where something did not get through. "
            b { "With \"Correct\"" }
            " it mends what went out wrong, for example with a wrong mapping: only records whose events would come out otherwise now are taken, "
            "their events are made anew as corrections of what was written, and what was posted is taken back and posted anew. "
            "It goes into a room that reads events and writes events, for example validate or enrich. The plan shows each change before anything is done."
        }
    }
}

/// How far it is, and whether anybody is at it.
fn progress(data: &Status, here: &Here) -> Markup {
    let plan = &data.plan.plan;
    let all = plan.counts.records.max(1);
    let has_begun = !matches!(plan.state, ReplayState::Planned | ReplayState::Approved | ReplayState::Unknown);
    html! {
        @if let Some(why) = &here.failed {
            p.error role="alert" { "It ended here without being done: " (why) "." @if let Some(next) = &here.next { " What to do next: " (next) "." } }
        }
        @if let Some(records) = here.counted {
            p.note role="status" { "What it comes to is counted once more before anything is handed over: " (number(records)) " records read." }
        }
        @if has_begun {
            div.progress {
                label for="handed" {
                    (number(i128::from(data.handed))) " of " (number(i128::from(plan.counts.records))) " records handed over"
                    @if plan.state == ReplayState::Running { ", at most " (plan.rate) " in a second" }
                }
                progress #handed max=(all) value=(data.handed.clamp(0, all)) { (data.handed) " of " (all) }
            }
        }
        @if is_silent(data, here) {
            p.note { "Its process has said nothing for " (pretty(data.silent_s.saturating_mul(1_000))) ": it may be gone. Anybody goes on with it." }
        }
    }
}

/// Whether it should be handed over and nobody seems to be at it.
fn is_silent(data: &Status, here: &Here) -> bool {
    data.plan.plan.state == ReplayState::Running && !here.under_way && data.silent_s > SILENT_S
}

fn acts(data: &Status, here: &Here, frame: &Frame<'_>) -> Markup {
    let plan = &data.plan.plan;
    let act = |name: &str, label: &'static str, help: &'static str, fields: &'static [Field], is_grave: bool| {
        let action = format!("/replay/{}/{name}", plan.replay_id);
        form(frame, &Act { action, label, help, fields, hidden: Vec::new(), is_grave })
    };
    // What a recount has found since is told by its refusal.
    let is_late = data.plan.overtaken.is_some() || here.failed.as_ref().is_some_and(|why| why.starts_with(OVERTAKEN));
    let (apply, resume) = if is_late { (APPLY, RESUME) } else { (APPLY_IN_ORDER, RESUME_IN_ORDER) };
    let is_own = frame.person.is_some_and(|person| operations::same_person(&person.name, &plan.planned_by));
    let may_begin = match plan.state {
        ReplayState::Planned => !plan.needs_approval,
        ReplayState::Approved => true,
        _ => false,
    };
    html! {
        @if plan.state == ReplayState::Planned && plan.needs_approval && frame.may(Right::Approve) && !is_own {
            (act("approve", "Approve", "With you as the second person it may be applied.", COMMENT, false))
        }
        @if may_begin && !here.under_way && frame.may(Right::Act) {
            (act("apply", "Apply", "Counts once more, and then hands the records over to the room, beside the live flow. When a recount differs it does not begin.", apply, false))
        }
        @if plan.state == ReplayState::Running && frame.may(Right::Act) {
            (act("pause", "Pause", "Stops the process that hands records over, wherever it runs.", COMMENT, false))
        }
        @if (plan.state == ReplayState::Paused || is_silent(data, here)) && !here.under_way && frame.may(Right::Act) {
            (act("resume", "Go on", "Hands over what is left, behind the last record that was handed over. Looks first whether newer events of what is left took effect meanwhile.", resume, false))
        }
        @if !matches!(plan.state, ReplayState::Done | ReplayState::Aborted | ReplayState::Unknown) && frame.may(Right::Act) {
            (act("abort", "Give up", "What was handed over stays handed over; the rest is given up.", SAY, true))
        }
    }
}
