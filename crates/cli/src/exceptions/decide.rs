//! `wardline exceptions assign|comment|retry|discard|resolve`: has it decided, and prints what came of it.

use super::view;
use crate::Failure;
use crate::args::Decide;
use crate::output::{self, Output};
use operations::exceptions::{Act, By, Choice, DecideError, Decider, Outcome, verb};
use runtime::Config;
use schemas::ExceptionKind;
use serde_json::json;

/// Decides one, several, or all of a code; nothing is decided when one of those that are named cannot be.
pub async fn execute(config: &Config, options: &Decide, act: &Act) -> Result<(), Failure> {
    let (view, _running) = view(config).await?;
    let decider = Decider::connect(config, &view).await.map_err(failure)?;
    let choice = match &options.code {
        Some(code) => {
            Choice::Cause { code: code.clone(), room: options.room.clone(), subject: options.subject.clone() }
        }
        None => Choice::Ids(options.ids.clone()),
    };
    let by = By { actor: options.actor.clone(), comment: options.comment.clone(), via: "cli" };
    let outcome = decider.decide(&choice, act, &by).await.map_err(failure)?;
    print(&outcome, options.json)
}

pub fn print(outcome: &Outcome, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    for done in &outcome.done {
        if json {
            output.json(&json!({
                "exceptionId": done.exception_id,
                "state": done.state.as_str(),
                "kind": done.kind.as_str(),
            }))?;
        } else {
            output.line(format!("{} {}", done.exception_id, verb(done.kind)))?;
        }
    }
    output.finish()?;
    if outcome.done.iter().any(|done| done.kind == ExceptionKind::DiscardRequested) {
        output::note(
            "next to the patient two people discard an event: somebody else has to run this command with --approve",
        );
    }
    if outcome.done.iter().any(|done| done.kind == ExceptionKind::CorrectionRequested) {
        output::note(
            "next to the patient two people correct an event: somebody else has to run this command with --approve",
        );
    }
    if let Some(last) = outcome.left_out.last() {
        output::note(&format!("{} left out, for example: {last}; next: {}", outcome.left_out.len(), last.next));
    }
    Ok(())
}

pub fn failure(error: DecideError) -> Failure {
    match error.next() {
        Some(next) => Failure::usage(error, next),
        None => Failure::kafka(error),
    }
}
