//! `wardline groups`: where rooms stand, and setting that while they stand still.

mod console;
mod seen;

use crate::args::{Globals, Groups, GroupsAction, GroupsApprove, GroupsReset, GroupsShow};
use crate::output::{self, Output};
use crate::{Failure, context, people, rooms};
use operations::groups;
use operations::replay::reset::{Requested, ResetError, ResetOutcome, ResetPlan, ResetRequest, Target};
use operations::replay::{ReplayRoom, Replays, Words};
use runtime::codec::Codec;
use runtime::{Config, RoomInfo, RoomKind};
use seen::Group;
use std::sync::Arc;

/// Executes `wardline groups`.
pub fn execute(globals: &Globals, options: &Groups) -> Result<(), Failure> {
    if let Some(console) = console::of(&options.action)? {
        return context::block_on(console::act(&console, &options.action))?;
    }
    let config = Arc::new(context::running(globals)?);
    match &options.action {
        GroupsAction::Ls(options) => {
            let groups = list(&config)?;
            seen::list(&groups, &context::block_on(requested(config))??, seen::HERE, options.json)
        }
        GroupsAction::Show(options) => show(config, options),
        GroupsAction::Reset(options) => context::block_on(reset(config, options))?,
        GroupsAction::Approve(options) => {
            people::direct(&config, "agreeing to a reset")?;
            context::block_on(approve(config, options))?
        }
    }
}

fn list(config: &Config) -> Result<Vec<Group>, Failure> {
    let mut all = Vec::new();
    for room in rooms::all().iter().filter(|room| !room.info().reads.is_empty()) {
        all.push(standing(config, room.info())?);
    }
    Ok(all)
}

fn standing(config: &Config, info: &RoomInfo) -> Result<Group, Failure> {
    let standing = groups::standing(config, info).map_err(Failure::kafka)?;
    Ok(Group::read(standing, info.kind == RoomKind::Source))
}

fn show(config: Arc<Config>, options: &GroupsShow) -> Result<(), Failure> {
    let all = rooms::all();
    let mut readers = all.iter().map(|room| room.info()).filter(|info| !info.reads.is_empty());
    let Some(info) = readers.clone().find(|info| info.name == options.room) else {
        let names: Vec<&str> = readers.by_ref().map(|info| info.name).collect();
        return Err(Failure::usage(
            format!("WL-7065: there is no room {} that reads; there are {}", options.room, names.join(", ")),
            "name one of these",
        ));
    };
    let group = standing(&config, info)?;
    let waiting = context::block_on(requested(config))??;
    let waiting: Vec<Requested> = waiting.into_iter().filter(|one| one.room == options.room).collect();
    seen::one(&group, &waiting, seen::HERE, options.json)
}

/// The resets that wait for a second person.
async fn requested(config: Arc<Config>) -> Result<Vec<Requested>, Failure> {
    replays(config)?.resets_requested().await.map_err(failure)
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
                "nothing is changed yet: {}; somebody else has to agree with `{}`",
                plan.second_person.as_deref().unwrap_or_default(),
                seen::approve(&plan.id, seen::HERE)
            ));
        }
    }
    Ok(())
}

async fn approve(config: Arc<Config>, options: &GroupsApprove) -> Result<(), Failure> {
    let words = Words { actor: options.actor.clone(), comment: options.comment.clone() };
    let plan = replays(config)?.reset_approve(&options.id, &words).await.map_err(failure)?;
    agreed(&plan, options.json)
}

/// Shows a reset that somebody has agreed to, and that is done.
fn agreed(plan: &ResetPlan, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        output.json(plan)?;
    } else {
        moves(&mut output, plan)?;
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
    for one in &plan.topics {
        output.line(format!("  {}: {} records of {} keys are worked on again", one.topic, one.records, one.keys))?;
        let others = [
            (one.unreadable, "of them cannot be read, and become dead letters again"),
            (one.waiting, "more are parked already, and are left to that"),
        ];
        for (count, text) in others.into_iter().filter(|(count, _)| *count > 0) {
            output.line(format!("  {}: {count} {text}", one.topic))?;
        }
    }
    if let Some(why) = &plan.second_person {
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
