//! `wardline exceptions assign|comment|retry|discard|resolve`: has it decided, and prints what came of it.

use super::{none_as_empty, view, view_failure};
use crate::args::{Decide, Discard};
use crate::output::{self, Output};
use crate::{Failure, agree, people};
use operations::exceptions::{
    Act, By, Choice, DecideError, Decider, Discards, Done, ExceptionsView, Filter, Found, Outcome, Refusal, verb,
};
use runtime::Config;
use schemas::{Criticality, ExceptionKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most decisions that are told one by one.
const LINES_MAX: usize = 20;
/// As many are told of more than that.
const EXAMPLES: usize = 5;
/// What is left to the console where it has to know people.
const WHAT: &str = "giving up an event that two people give up";

/// Decides one, several, or all of a code; nothing is decided when one of those that are named cannot be.
pub async fn execute(config: &Config, options: &Decide, act: &Act) -> Result<(), Failure> {
    let (view, _running) = view(config).await?;
    decided(config, &view, options, act).await
}

/// Agrees to what others asked to give up; of a whole cause to what was seen of it.
pub async fn approve_discard(config: &Config, options: &Discard) -> Result<(), Failure> {
    people::direct(config, WHAT)?;
    let (view, _running) = view(config).await?;
    let seen = match &options.decide.code {
        None => None,
        Some(_) => {
            let waiting = view.discards(&filter(&options.decide)).await.map_err(view_failure)?;
            seen(options.seen.as_deref(), &waiting)?
        }
    };
    decided(config, &view, &options.decide, &Act::ApproveDiscard { seen }).await
}

/// The mark of what a person agrees to of a cause. Where nothing waits, the refusal says so.
pub fn seen(given: Option<&str>, waiting: &Discards) -> Result<Option<String>, Failure> {
    match (given, &waiting.mark) {
        (None, Some(mark)) => agree::seen(None, &waiting.told(), mark).map(Some),
        (None, None) if waiting.exceptions > 0 => Err(Failure::usage(
            format!("WL-1450: not all that waits can be shown: {}", waiting.told().join("; ")),
            "narrow it with --room, --subject or --assignee, or agree one by one",
        )),
        (given, _) => Ok(given.map(str::to_owned)),
    }
}

/// What is meant by options that name a cause.
pub fn filter(options: &Decide) -> Filter {
    Filter {
        code: options.code.clone(),
        room: options.room.clone(),
        subject: options.subject.as_deref().map(none_as_empty),
        assignee: options.assignee.as_deref().map(none_as_empty),
        ..Filter::default()
    }
}

async fn decided(config: &Config, view: &ExceptionsView, options: &Decide, act: &Act) -> Result<(), Failure> {
    let decider = Decider::connect(config, view).await.map_err(failure)?;
    let Filter { code, room, subject, assignee, .. } = filter(options);
    let choice = match code {
        Some(code) => Choice::Cause { code, room, subject, assignee, seen_until: None },
        None => Choice::Ids(options.ids.clone()),
    };
    allowed(config, view, &choice, act)?;
    let by = By { actor: options.actor.clone(), comment: options.comment.clone(), via: "cli" };
    let outcome = decider.decide(&choice, act, &by).await.map_err(failure)?;
    print(&outcome, options.json)
}

/// Refuses to give up what two people give up, where the console has to know them. Of a whole cause that may be any of it.
fn allowed(config: &Config, view: &ExceptionsView, choice: &Choice, act: &Act) -> Result<(), Failure> {
    match (act, choice) {
        (Act::ApproveDiscard { .. }, _) => people::direct(config, WHAT),
        (Act::Discard | Act::Resolve { .. }, Choice::Cause { .. }) => {
            people::by_class(config, Criticality::PatientAdjacent, WHAT)
        }
        (Act::Discard | Act::Resolve { .. }, Choice::Ids(ids)) => {
            ids.iter().try_for_each(|id| in_class(config, view, id, WHAT))
        }
        _ => Ok(()),
    }
}

/// Refuses it when the flow of the exception needs two people.
pub fn in_class(config: &Config, view: &ExceptionsView, id: &str, what: &str) -> Result<(), Failure> {
    let row = match view.find(id) {
        Found::One(id) => view.row(&id),
        // What is not there, or not clear, is refused where it is decided.
        Found::None | Found::Several => None,
    };
    row.map_or(Ok(()), |row| people::by_class(config, row.class, what))
}

/// Prints what was decided.
pub fn print(outcome: &Outcome, json: bool) -> Result<(), Failure> {
    print_all(outcome, &sums(&outcome.done), json)
}

/// The same with how many were decided of each kind, where not all of them are told one by one.
pub fn print_all(outcome: &Outcome, sums: &[(ExceptionKind, u64)], json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        for done in &outcome.done {
            output.json(&json!({
                "exceptionId": done.exception_id,
                "state": done.state.as_str(),
                "kind": done.kind.as_str(),
            }))?;
        }
        outcome.left_out.iter().try_for_each(|refusal| output.json(&left_out(refusal)))?;
    } else {
        lines(&outcome.done, sums).iter().try_for_each(|line| output.line(line))?;
    }
    output.finish()?;
    let is_among = |wanted: ExceptionKind| sums.iter().any(|(kind, _)| *kind == wanted);
    if is_among(ExceptionKind::DiscardRequested) {
        output::note(
            "next to the patient two people discard or settle an event: somebody else has to run `discard --approve`, or `resolve`",
        );
    }
    if is_among(ExceptionKind::CorrectionRequested) {
        output::note(
            "next to the patient two people correct an event: somebody else has to run this command with --approve",
        );
    }
    if let Some(last) = outcome.left_out.last() {
        output::note(&format!("{} left out, for example: {last}; next: {}", outcome.left_out.len(), last.next));
    }
    Ok(())
}

/// One that was left out.
fn left_out(refusal: &Refusal) -> Value {
    let Refusal { exception_id, code, why, next, .. } = refusal;
    json!({"leftOut": {"exceptionId": exception_id, "code": code, "why": why, "next": next}})
}

/// Those that a console left out, one JSON line each.
pub fn left_out_by_console(refusals: &Value) -> Result<(), Failure> {
    let mut output = Output::stdout();
    for refusal in refusals.as_array().into_iter().flatten() {
        output.json(&json!({"leftOut": refusal}))?;
    }
    output.finish()
}

/// How many were decided of each kind.
pub fn sums(done: &[Done]) -> Vec<(ExceptionKind, u64)> {
    let mut sums: Vec<(ExceptionKind, u64)> = Vec::new();
    for one in done {
        match sums.iter_mut().find(|(kind, _)| *kind == one.kind) {
            Some((_, count)) => *count += 1,
            None => sums.push((one.kind, 1)),
        }
    }
    sums
}

/// A line for each that was decided; of many the first few and a sum. The sums are of all, also of those that are not told.
fn lines(done: &[Done], sums: &[(ExceptionKind, u64)]) -> Vec<String> {
    let all: u64 = sums.iter().map(|(_, count)| *count).sum();
    let is_whole = all <= done.len() as u64;
    let is_short = is_whole && done.len() <= LINES_MAX;
    let shown = if is_short { done.len() } else { EXAMPLES.min(done.len()) };
    let mut lines: Vec<String> =
        done.iter().take(shown).map(|one| format!("{} {}", one.exception_id, verb(one.kind))).collect();
    if !is_short {
        let mut by_verb: BTreeMap<&str, u64> = BTreeMap::new();
        for (kind, count) in sums {
            *by_verb.entry(verb(*kind)).or_default() += *count;
        }
        let told: Vec<String> = by_verb.into_iter().map(|(verb, count)| format!("{count} {verb}")).collect();
        let each = if is_whole { "; --json lists every one" } else { "" };
        let more = all.saturating_sub(shown as u64);
        lines.push(format!("and {more} more: {} in all{each}", told.join(", ")));
    }
    lines
}

pub fn failure(error: DecideError) -> Failure {
    match error.next() {
        Some(next) => Failure::usage(error, next),
        None => Failure::kafka(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::ExceptionState;

    #[test]
    fn each_that_was_left_out_is_a_line_of_its_own() {
        let refusal = Refusal {
            exception_id: "e1".to_owned(),
            code: "WL-7071",
            why: "is resolved".to_owned(),
            next: "leave it".to_owned(),
            on_page: "leave it on the page".to_owned(),
        };
        let told = json!({"exceptionId": "e1", "code": "WL-7071", "why": "is resolved", "next": "leave it"});
        assert_eq!(left_out(&refusal), json!({"leftOut": told}));
    }

    #[test]
    fn many_decisions_are_told_as_a_sum() {
        let done = |count: usize| {
            let one = |number| Done {
                exception_id: format!("e{number}"),
                kind: ExceptionKind::RetryRequested,
                state: ExceptionState::Retrying,
                at: 0,
            };
            (0..count).map(one).collect::<Vec<_>>()
        };
        let lines_of = |count: usize| lines(&done(count), &sums(&done(count)));
        assert_eq!(lines_of(0).len(), 0);
        assert_eq!(lines_of(LINES_MAX).len(), LINES_MAX);
        let many = lines_of(50_000);
        assert_eq!((many.len(), many[0].as_str()), (EXAMPLES + 1, "e0 retry requested"));
        assert_eq!(many[EXAMPLES], "and 49995 more: 50000 retry requested in all; --json lists every one");
        // A console tells the first of them, and how many there are of each kind.
        let all = [(ExceptionKind::RetryRequested, 1_100), (ExceptionKind::DiscardRequested, 100)];
        let told = lines(&done(1_000), &all);
        assert_eq!(told[EXAMPLES], "and 1195 more: 100 discard requested, 1100 retry requested in all");
    }
}
