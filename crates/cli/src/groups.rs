//! `wardline groups`: where rooms stand, and setting that while they stand still.

use crate::args::{Globals, Groups, GroupsAction, GroupsApprove, GroupsLs, GroupsReset};
use crate::output::{self, Output};
use crate::{Failure, context, people, rooms};
use operations::groups::{self, PartitionStanding};
use operations::replay::reset::{Requested, ResetError, ResetOutcome, ResetPlan, ResetRequest, Target, told};
use operations::replay::{ReplayRoom, Replays, Words};
use runtime::codec::Codec;
use runtime::{Config, RoomKind};
use serde::Serialize;
use std::sync::Arc;

/// Columns of the list.
const HEAD: [&str; 9] = ["room", "state", "members", "topic", "partition", "next", "end", "behind", "oldest"];

/// Columns of the resets that wait for a second person.
const ASKED_HEAD: [&str; 6] = ["reset", "room", "asked for by", "why", "what", "next"];

/// A reset that waits, as a line of JSON of its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    requested_reset: &'a Requested,
    next: String,
}

/// A room in a partition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    room: &'static str,
    state: Option<String>,
    /// None of a source: it reads back what it has written, without a group, so it is nowhere and never behind.
    members: Option<usize>,
    #[serde(flatten)]
    at: PartitionStanding,
}

/// Executes `wardline groups`.
pub fn execute(globals: &Globals, options: &Groups) -> Result<(), Failure> {
    let config = Arc::new(context::running(globals)?);
    match &options.action {
        GroupsAction::Ls(options) => {
            list(&config, options)?;
            context::block_on(requested(config, options))?
        }
        GroupsAction::Reset(options) => context::block_on(reset(config, options))?,
        GroupsAction::Approve(options) => {
            people::direct(&config, "agreeing to a reset")?;
            context::block_on(approve(config, options))?
        }
    }
}

fn list(config: &Config, options: &GroupsLs) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let mut rows = Vec::new();
    for room in rooms::all() {
        let info = room.info();
        if info.reads.is_empty() {
            continue;
        }
        let group = groups::standing(config, info).map_err(Failure::kafka)?;
        let members = (info.kind != RoomKind::Source).then_some(group.members.len());
        for at in group.partitions {
            let standing = Standing { room: info.name, state: group.state.clone(), members, at };
            if options.json {
                output.json(&standing)?;
            } else {
                rows.push(standing.row());
            }
        }
    }
    if !options.json {
        output.table(&HEAD, &rows)?;
    }
    output.finish()
}

/// The resets that wait for a second person, and how somebody agrees.
async fn requested(config: Arc<Config>, options: &GroupsLs) -> Result<(), Failure> {
    let waiting = replays(config)?.resets_requested().await.map_err(failure)?;
    let mut output = Output::stdout();
    if options.json {
        for one in &waiting {
            output.json(&Asked { requested_reset: one, next: next(one) })?;
        }
    } else if !waiting.is_empty() {
        output.line("")?;
        output.table(&ASKED_HEAD, &waiting.iter().map(asked_row).collect::<Vec<_>>())?;
    }
    output.finish()
}

fn next(one: &Requested) -> String {
    format!("wardline groups approve {} --actor NAME", one.id)
}

fn asked_row(one: &Requested) -> Vec<String> {
    vec![one.id.clone(), one.room.clone(), one.actor.clone(), one.reason.clone(), told(&one.moves), next(one)]
}

async fn reset(config: Arc<Config>, options: &GroupsReset) -> Result<(), Failure> {
    let replays = replays(Arc::clone(&config))?;
    let request = ResetRequest {
        room: options.room.clone(),
        topic: options.topic.clone(),
        partitions: options.partition.clone(),
        to: target(&options.to)?,
        reason: options.reason.clone(),
        actor: options.actor.clone(),
        force: options.force,
        previewed: None,
    };
    let spinner = output::spinner("records counted");
    let told = spinner.clone();
    let read = move |count| told.set_position(count);
    if !options.apply {
        let plan = replays.reset_preview(&request, read).await;
        spinner.finish_and_clear();
        said(&plan.map_err(failure)?, options.json)?;
        output::note("nothing is changed; --apply with --reason does it");
        return Ok(());
    }
    let preview = replays.reset_preview(&request, |_| ()).await.map_err(failure)?;
    if preview.second_person.is_some() {
        people::direct(&config, "asking for a reset that a second person has to agree to")?;
    }
    let outcome = replays.reset(&request, read).await;
    spinner.finish_and_clear();
    match outcome.map_err(failure)? {
        ResetOutcome::Done(plan) => {
            said(&plan, options.json)?;
            output::note(&format!("done: start {} again", plan.room));
        }
        ResetOutcome::Requested(plan) => {
            said(&plan, options.json)?;
            output::note(&format!(
                "nothing is changed yet: {}; somebody else has to agree with `wardline groups approve {} --actor NAME`",
                plan.second_person.unwrap_or_default(),
                plan.id
            ));
        }
    }
    Ok(())
}

async fn approve(config: Arc<Config>, options: &GroupsApprove) -> Result<(), Failure> {
    let words = Words { actor: options.actor.clone(), comment: options.comment.clone() };
    let plan = replays(config)?.reset_approve(&options.id, &words).await.map_err(failure)?;
    let mut output = Output::stdout();
    if options.json {
        output.json(&plan)?;
    } else {
        moves(&mut output, &plan)?;
    }
    output.finish()?;
    output::note(&format!("done: start {} again", plan.room));
    Ok(())
}

fn replays(config: Arc<Config>) -> Result<Arc<Replays>, Failure> {
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    let known = rooms::all().iter().map(ReplayRoom::from).collect();
    Replays::new(config, codec, known).map_err(|error| failure(error.into()))
}

fn target(text: &str) -> Result<Target, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(
            format!("WL-7066: {text} is no place to go on: {error}"),
            "write an offset, a time like 2026-03-01T08:00:00Z, earliest or latest",
        )
    })
}

fn said(plan: &ResetPlan, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        output.json(plan)?;
        return output.finish();
    }
    moves(&mut output, plan)?;
    output.line(format!("  {} records are read again, {} are passed over", plan.again, plan.skipped))?;
    for one in &plan.effects {
        let lines = [
            (one.suppressed, "have had their effect: it is suppressed"),
            (one.effects, "effects would be made, at most"),
            (one.in_doubt, "may have had their effect: the other side is asked first"),
            (one.without_effect, "ask for no effect"),
            (one.waiting, "are parked already"),
        ];
        for (count, text) in lines.into_iter().filter(|(count, _)| *count > 0) {
            output.line(format!("  {}: {count} {text}", one.topic))?;
        }
    }
    if let Some(why) = plan.second_person {
        output.line(format!("  a second person has to agree: {why}"))?;
    }
    output.finish()
}

fn moves(output: &mut Output, plan: &ResetPlan) -> Result<(), Failure> {
    output.line(format!("reset {} of {}", plan.id, plan.room))?;
    plan.moves.iter().try_for_each(|one| {
        let from = one.from.map_or_else(|| "nowhere".to_owned(), |from| from.to_string());
        output.line(format!("  {} partition {}: {from} -> {}", one.topic, one.partition, one.to))
    })
}

fn failure(error: ResetError) -> Failure {
    let next = error.next();
    if error.blames_request() { Failure::usage(error, next) } else { Failure::new(error, next) }
}

impl Standing {
    fn row(&self) -> Vec<String> {
        let PartitionStanding { lag, oldest_s } = &self.at;
        let behind = |text: String| if self.members.is_some() { text } else { "-".to_owned() };
        let next = lag.committed.map_or_else(|| "-".to_owned(), |next| next.to_string());
        vec![
            self.room.to_owned(),
            self.state.as_deref().unwrap_or("-").to_lowercase(),
            self.members.map_or_else(|| "-".to_owned(), |members| members.to_string()),
            lag.topic.clone(),
            lag.partition.to_string(),
            next,
            lag.end.to_string(),
            behind(lag.lag.to_string()),
            behind(format!("{oldest_s} s")),
        ]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_place_is_refused_with_its_code() {
        assert_eq!(target("17").unwrap(), Target::Offset(17));
        assert!(target("yesterday").unwrap_err().to_string().contains("WL-7066"));
    }
}
