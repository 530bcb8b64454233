//! Steps of a replay through the API of a console.

use super::{said, short};
use crate::args::{ReplayAction, ReplayPlan, ReplayStep};
use crate::output::{self, Output};
use crate::through::Console;
use crate::{Failure, through};
use operations::replay::Plan;
use serde_json::{Value, json};

/// The console that the act is to go through; none when none is named, or it only looks.
pub fn of(action: &ReplayAction) -> Result<Option<Console>, Failure> {
    let options = match action {
        ReplayAction::Plan(options) => &options.through,
        ReplayAction::Approve(step) | ReplayAction::Pause(step) | ReplayAction::Abort(step) => &step.through,
        ReplayAction::Apply(options) => &options.step.through,
        ReplayAction::Resume(options) => &options.step.through,
        ReplayAction::Shadow(_) | ReplayAction::Status(_) | ReplayAction::Ls(_) => return Ok(None),
    };
    Console::of(options)
}

/// Has it done by the console.
pub async fn act(console: &Console, action: &ReplayAction) -> Result<(), Failure> {
    let (step, verb, more) = match action {
        ReplayAction::Plan(options) => {
            let result = console.act(&["replay", "plan"], &planned(options)).await?;
            return told(&result, options.json);
        }
        ReplayAction::Approve(step) => (step, "approve", json!({})),
        ReplayAction::Pause(step) => (step, "pause", json!({})),
        ReplayAction::Abort(step) => (step, "abort", json!({})),
        ReplayAction::Apply(options) => {
            let more = json!({
                "rate": options.rate,
                "accept_changes": options.accept_changes,
                "override_order": options.override_order,
            });
            (&options.step, "apply", more)
        }
        ReplayAction::Resume(options) => {
            let more = json!({"rate": options.rate, "override_order": options.override_order});
            (&options.step, "resume", more)
        }
        ReplayAction::Shadow(_) | ReplayAction::Status(_) | ReplayAction::Ls(_) => {
            return Err(through::not_through("this", "leave --console out: it only looks"));
        }
    };
    let result = console.act(&["replay", &step.id, verb], &commented(step, more)).await?;
    told(&result, step.json)
}

fn commented(step: &ReplayStep, mut body: Value) -> Value {
    body["comment"] = json!(step.comment);
    body
}

fn planned(options: &ReplayPlan) -> Value {
    let select = &options.select;
    let lines = |texts: &[String]| Some(texts.join("\n")).filter(|text| !text.is_empty());
    json!({
        "room": options.room,
        "topic": select.topic,
        "from_time": select.from_time,
        "until_time": select.until_time,
        "partition": select.partition,
        "from_offset": select.from_offset,
        "to_offset": select.to_offset,
        "key": select.key,
        "event_id": lines(&select.event_id),
        "type": select.event_type,
        "field": lines(&select.field),
        "correct": options.correct,
        "reason": options.reason,
    })
}

/// What came of it: a plan, or that handing over has begun in the process of the console.
fn told(result: &Value, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let plan: Option<Plan> = serde_json::from_value(result["plan"].clone()).ok();
    match plan {
        _ if json => output.json(result)?,
        Some(plan) if plan.replay_id.is_empty() => return super::nothing(output, &plan.counts),
        Some(plan) => {
            said(&plan, false)?;
            output::note(&format!("`wardline replay status {}` shows what it comes to", short(&plan)));
            return Ok(());
        }
        None => {
            let id = result["replayId"].as_str().unwrap_or_default();
            let what = match result["begun"].as_bool() {
                Some(true) => "the console hands its records over",
                _ => "the console is still counting what it comes to, and then hands its records over",
            };
            output.line(format!("replay {id}: {what}"))?;
            output::note(&format!("`wardline replay status {id}` shows how far it is"));
        }
    }
    output.finish()
}
