//! `wardline replay`: the command line's face of `operations::replay`.

mod console;
mod shadow;

use crate::args::{
    Globals, Replay, ReplayAction, ReplayApply, ReplayLs, ReplayPlan, ReplayResume, ReplaySelect, ReplayStep,
};
use crate::output::{self, Output};
use crate::{Failure, context, people, rooms};
use indicatif::ProgressBar;
use operations::replay::{
    Apply, Outcome, Overtaken, Plan, Preview, ReplayError, ReplayRoom, ReplaySelection, ReplayState, Replays, Request,
    Resume, Runner, Status, Words, events_mean, field_condition, needs_approval,
};
use runtime::codec::Codec;
use runtime::shutdown;
use schemas::{Money, ReplayCounts};
use std::sync::Arc;

/// Columns of a list.
const HEAD: [&str; 8] = ["id", "state", "room", "topic", "records", "handed over", "planned by", "planned at"];

/// Executes `wardline replay`.
pub fn execute(globals: &Globals, options: &Replay) -> Result<(), Failure> {
    if let Some(console) = console::of(&options.action)? {
        return context::block_on(console::act(&console, &options.action))?;
    }
    // Before anything is looked for: whoever asks the wrong program needs no cluster to learn that.
    if let ReplayAction::Shadow(options) = &options.action {
        shadow::is_for_this_version(options)?;
    }
    let config = Arc::new(context::running(globals)?);
    allowed(&config, &options.action)?;
    context::block_on(act(config, &options.action))?
}

/// Refuses what the console alone may do, before anything is read.
fn allowed(config: &runtime::Config, action: &ReplayAction) -> Result<(), Failure> {
    match action {
        ReplayAction::Approve(_) => people::direct(config, "agreeing to a plan"),
        ReplayAction::Plan(options) => {
            // Who plans is who must not agree, so it has to be known as surely.
            let all = rooms::all();
            let reads = all.iter().filter(|room| room.info().name == options.room).flat_map(|room| &room.info().reads);
            let meant = |topic: &str| options.select.topic.as_deref().is_none_or(|named| named == topic);
            let classes =
                reads.filter(|topic| meant(topic)).filter_map(|topic| Some(schemas::topics::find(topic)?.class));
            match classes.into_iter().any(needs_approval) {
                true => people::direct(config, "a plan that a second person has to agree to"),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Handing over what a second person has agreed to needs a person who is known as well.
async fn may_hand_over(config: &runtime::Config, replays: &Arc<Replays>, id: &str) -> Result<(), Failure> {
    let plan = replays.find(id).await.map_err(failure)?;
    if plan.needs_approval { people::direct(config, "handing over what a second person agreed to") } else { Ok(()) }
}

async fn act(config: Arc<runtime::Config>, action: &ReplayAction) -> Result<(), Failure> {
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    let known = rooms::all().iter().map(ReplayRoom::from).collect();
    let shadowed = Arc::clone(&config);
    let replays = Replays::new(config, codec, known).map_err(failure)?;
    match action {
        ReplayAction::Plan(options) => plan(&replays, options).await,
        ReplayAction::Shadow(options) => shadow::execute(&replays, &shadowed, options).await,
        ReplayAction::Approve(step) => {
            let approved = replays.approve(&step.id, &words(step)).await.map_err(failure)?;
            said(&approved, step.json)?;
            output::note("`wardline replay apply ID` hands the records over");
            Ok(())
        }
        ReplayAction::Pause(step) => said(&replays.pause(&step.id, &words(step)).await.map_err(failure)?, step.json),
        ReplayAction::Abort(step) => said(&replays.abort(&step.id, &words(step)).await.map_err(failure)?, step.json),
        ReplayAction::Apply(options) => {
            may_hand_over(&shadowed, &replays, &options.step.id).await?;
            apply(&replays, options).await
        }
        ReplayAction::Resume(options) => {
            may_hand_over(&shadowed, &replays, &options.step.id).await?;
            resume(&replays, options).await
        }
        ReplayAction::Status(options) => {
            let status = replays.status(&options.id).await.map_err(failure)?;
            let mut output = Output::stdout();
            if options.json {
                output.json(&status)?
            } else {
                show(&mut output, &status)?
            }
            output.finish()
        }
        ReplayAction::Ls(options) => list(&replays, options).await,
    }
}

async fn plan(replays: &Arc<Replays>, options: &ReplayPlan) -> Result<(), Failure> {
    let request = Request {
        room: options.room.clone(),
        topic: options.select.topic.clone(),
        selection: selection(&options.select)?,
        correct: options.correct,
        reason: options.reason.clone(),
        actor: options.actor.clone(),
    };
    let spinner = output::spinner("records read");
    let told = spinner.clone();
    let planned = replays.plan(&request, move |read| told.set_position(read)).await;
    spinner.finish_and_clear();
    let planned = planned.map_err(failure)?;
    let mut output = Output::stdout();
    let planned = Preview::at_rate(planned, Some(options.rate));
    if planned.plan.replay_id.is_empty() && !options.json {
        return nothing(output, &planned.plan.counts);
    }
    if options.json {
        output.json(&planned)?;
    } else {
        preview(&mut output, &planned)?;
    }
    output.finish()?;
    if planned.plan.replay_id.is_empty() {
        return Ok(());
    }
    let id = short(&planned.plan);
    output::note(&if planned.plan.needs_approval {
        format!("somebody else has to agree: `wardline replay approve {id} --actor NAME`")
    } else {
        format!("`wardline replay apply {id} --rate {}` hands them over", options.rate)
    });
    Ok(())
}

/// A correction that would change nothing is no plan.
fn nothing(mut output: Output, counts: &ReplayCounts) -> Result<(), Failure> {
    output.line("nothing is planned: with the master data of now none of these records would come out otherwise")?;
    for (count, text) in [
        (counts.unchanged, "would come out the same"),
        (counts.refused, "are left out: the room would refuse them now, or a person has corrected them"),
        (counts.waiting, "are left out: they are parked already"),
    ] {
        if count > 0 {
            output.line(format!("  {count} {text}"))?;
        }
    }
    output.finish()
}

async fn apply(replays: &Arc<Replays>, options: &ReplayApply) -> Result<(), Failure> {
    let apply = Apply {
        words: words(&options.step),
        rate: options.rate,
        accept_changes: options.accept_changes,
        may_agree: true,
        override_order: options.override_order.clone(),
    };
    let spinner = output::spinner("records counted again");
    let told = spinner.clone();
    let runner = Runner::apply(replays, &options.step.id, &apply, move |read| told.set_position(read)).await;
    spinner.finish_and_clear();
    run(runner.map_err(failure)?, options.step.json).await
}

async fn resume(replays: &Arc<Replays>, options: &ReplayResume) -> Result<(), Failure> {
    let resume = Resume {
        words: words(&options.step),
        rate: options.rate,
        may_agree: true,
        override_order: options.override_order.clone(),
    };
    let spinner = output::spinner("records counted again");
    let told = spinner.clone();
    let runner = Runner::resume(replays, &options.step.id, &resume, move |read| told.set_position(read)).await;
    spinner.finish_and_clear();
    run(runner.map_err(failure)?, options.step.json).await
}

/// Hands records over until the end; the first SIGTERM or SIGINT pauses the plan.
async fn run(runner: Runner, json: bool) -> Result<(), Failure> {
    let (trigger, stop) = shutdown();
    let listening = tokio::spawn(trigger.stop_on_signal());
    let plan = runner.plan();
    if plan.counts.events > 0 {
        output::note(&format!("{} records {}", plan.counts.events, events_mean(plan)));
    }
    let bar = bar(plan);
    let told = bar.clone();
    let outcome = runner.run(&stop, move |plan| told.set_position(count(handed(plan)))).await;
    bar.finish_and_clear();
    listening.abort();
    match outcome.map_err(failure)? {
        Outcome::Done(plan) => {
            said(&plan, json)?;
            output::note(&format!("`wardline replay status {}` shows how many still wait in the room", plan.replay_id));
        }
        Outcome::Paused(plan) => {
            said(&plan, json)?;
            output::note(&format!("`wardline replay resume {}` goes on", short(&plan)));
        }
        Outcome::Aborted(plan) => said(&plan, json)?,
    }
    Ok(())
}

async fn list(replays: &Arc<Replays>, options: &ReplayLs) -> Result<(), Failure> {
    let ended = |plan: &Plan| matches!(plan.state, ReplayState::Done | ReplayState::Aborted);
    let mut plans = replays.list().await.map_err(failure)?;
    plans.retain(|plan| options.all || !ended(plan));
    let mut output = Output::stdout();
    if options.json {
        plans.iter().try_for_each(|plan| output.json(plan))?;
    } else if plans.is_empty() {
        output::note("no replay is open; `wardline replay ls --all` shows those that have ended");
    } else {
        output.table(&HEAD, &plans.iter().map(row).collect::<Vec<_>>())?;
    }
    output.finish()
}

fn row(plan: &Plan) -> Vec<String> {
    vec![
        short(plan).to_owned(),
        state(plan),
        plan.room.clone(),
        plan.topic.clone(),
        plan.counts.records.to_string(),
        handed(plan).to_string(),
        plan.planned_by.clone(),
        output::told_time(plan.planned_at.0),
    ]
}

/// What a plan comes to.
fn preview(output: &mut Output, preview: &Preview) -> Result<(), Failure> {
    let plan = &preview.plan;
    let counts = &plan.counts;
    output.line(format!(
        "replay {} ({}), planned by {}: {}",
        short(plan),
        state(plan),
        plan.planned_by,
        plan.reason
    ))?;
    let (records, keys) = (counts.records, counts.keys);
    output.line(format!("  {records} records of {keys} keys of {} go to {}", plan.topic, plan.room))?;
    for span in plan.spans.iter().filter(|span| span.records > 0) {
        let (partition, start, end) = (span.partition, span.start, span.end);
        output.line(format!("    partition {partition}, offsets {start} to {}: {}", end - 1, span.records))?;
    }
    let lines = [
        (counts.waiting, "are left out: they are parked already"),
        (counts.unreadable, "cannot be decoded here and are handed over as they are"),
        (counts.unchanged, "are left out: nothing would come out otherwise"),
        (counts.refused, "are left out: the room would refuse them now, or a person has corrected them"),
        (counts.posted, "of them are posted: what was posted is taken back and posted anew"),
        (counts.events, events_mean(plan)),
        (counts.effects, "effects would be made, at most"),
        (counts.suppressed, "have had their effect: it is suppressed"),
        (counts.in_doubt, "may have had their effect: the other side is asked first"),
        (counts.without_effect, "ask for no effect"),
    ];
    for (count, text) in lines.into_iter().filter(|(count, _)| *count > 0) {
        output.line(format!("  {count} {text}"))?;
    }
    for change in &counts.changes {
        output.line(format!("  {}: {} -> {} in {}", change.path, change.before, change.after, change.records))?;
    }
    if counts.events == 0 && plan.correction == 0 {
        let (there, new) = (counts.documents, counts.new_documents);
        output.line(format!("  documents: {there} are there, {new} would be made at most"))?;
    }
    output.line(format!("  money: {}", money_line(counts)))?;
    for target in &counts.targets {
        output.line(format!("  supplier {}: {} records, {} effects", target.target, target.records, target.effects))?;
    }
    let left = counts.target_count - i64::try_from(counts.targets.len()).unwrap_or_default();
    if left > 0 {
        output.line(format!("  and {left} suppliers more"))?;
    }
    if counts.newer > 0 {
        let examples = counts.newer_examples.join(", ");
        output.line(format!("  {} newer events of these keys exist, for example {examples}", counts.newer))?;
    }
    if let Some(late) = &preview.overtaken {
        overtaken(output, late)?;
    }
    let takes = duration(preview.takes_at_least_s);
    output.line(format!("  takes at least {takes} at {} records in a second", preview.takes_at_rate))
}

/// What would take effect behind newer events, and what is needed for that.
fn overtaken(output: &mut Output, late: &Overtaken) -> Result<(), Failure> {
    output.line(format!("  out of order: newer events of {} keys took effect or wait already", late.keys))?;
    for one in &late.examples {
        let (key, newer) = (&one.key, one.newer);
        output.line(format!("    {key}: {newer} come first, the newest {}, before {}", one.newest, one.record))?;
    }
    output.line("  `wardline replay apply` refuses it (WL-7261) without --override-order REASON")
}

fn show(output: &mut Output, status: &Status) -> Result<(), Failure> {
    preview(output, &status.plan)?;
    let plan = &status.plan.plan;
    if let Some(approver) = &plan.approved_by {
        output.line(format!("  approved by {approver}"))?;
    } else if plan.needs_approval {
        output.line("  waits for the approval of somebody else")?;
    }
    output.line(format!(
        "  {} of {} handed over, {} of them still wait in the room; last step {} ago by {}",
        status.handed,
        plan.counts.records,
        status.still_parked,
        duration(u64::try_from(status.silent_s).unwrap_or_default()),
        plan.actor
    ))
}

/// One line about where a plan stands now.
fn said(plan: &Plan, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        output.json(plan)?;
    } else {
        let (done, all) = (handed(plan), plan.counts.records);
        output.line(format!(
            "replay {} is {}: {done} of {all} records handed to {}",
            short(plan),
            state(plan),
            plan.room
        ))?;
    }
    output.finish()
}

fn selection(options: &ReplaySelect) -> Result<ReplaySelection, Failure> {
    let time = |text: &Option<String>| text.as_deref().map(milliseconds).transpose();
    let fields: Result<Vec<_>, _> = options.field.iter().map(|text| field_condition(text)).collect();
    Ok(ReplaySelection {
        partitions: options.partition.into_iter().collect(),
        from_offset: options.from_offset,
        to_offset: options.to_offset,
        from_time_ms: time(&options.from_time)?,
        until_time_ms: time(&options.until_time)?,
        event_ids: options.event_id.clone(),
        key: options.key.clone(),
        event_type: options.event_type.clone(),
        fields: fields.map_err(failure)?,
    })
}

fn milliseconds(text: &str) -> Result<i64, Failure> {
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(|error| {
        Failure::usage(format!("WL-7066: {text} is not a time: {error}"), "write it like 2026-03-01T08:00:00Z")
    })
}

fn words(step: &ReplayStep) -> Words {
    Words { actor: step.actor.clone(), comment: step.comment.clone() }
}

fn failure(error: ReplayError) -> Failure {
    let next = error.next();
    if error.blames_request() { Failure::usage(error, next) } else { Failure::new(error, next) }
}

fn bar(plan: &Plan) -> ProgressBar {
    let bar = output::bar(count(plan.counts.records), "records handed over");
    bar.set_position(count(handed(plan)));
    bar
}

fn handed(plan: &Plan) -> i64 {
    plan.spans.iter().map(|span| span.handed).sum()
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn short(plan: &Plan) -> &str {
    plan.replay_id.get(..8).unwrap_or(&plan.replay_id)
}

fn state(plan: &Plan) -> String {
    plan.state.as_str().to_lowercase()
}

/// What is not known is said, and is not nothing.
fn money_line(counts: &ReplayCounts) -> String {
    let told = |sums: &[Money]| sums.iter().map(|sum| format!("{} {}", sum.amount, sum.currency)).collect::<Vec<_>>();
    let mut parts = Vec::new();
    if !counts.amounts.is_empty() {
        parts.push(format!("{} in all", told(&counts.amounts).join(", ")));
        let makes = counts.effects + counts.in_doubt > 0 && !counts.new_amounts.is_empty();
        let new = if makes { told(&counts.new_amounts).join(", ") } else { "nothing".to_owned() };
        parts.push(format!("{new} of it with effects to make"));
    }
    if counts.without_amount > 0 {
        parts.push(format!("unknown for {} records", counts.without_amount));
    }
    parts.join("; ")
}

fn duration(seconds: u64) -> String {
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_that_is_not_known_is_no_zero() {
        let euros = |amount: i64| vec![Money { amount: amount.into(), currency: "EUR".to_owned() }];
        let none = ReplayCounts { without_amount: 3, ..ReplayCounts::default() };
        assert_eq!(money_line(&none), "unknown for 3 records");
        let all = ReplayCounts { amounts: euros(7), ..ReplayCounts::default() };
        assert_eq!(money_line(&all), "7 EUR in all; nothing of it with effects to make");
        let some = ReplayCounts { effects: 1, new_amounts: euros(2), without_amount: 1, ..all };
        assert_eq!(money_line(&some), "7 EUR in all; 2 EUR of it with effects to make; unknown for 1 records");
    }

    #[test]
    fn a_duration_is_told_as_people_say_it() {
        let told = [0, 59, 61, 3_600, 7_325].map(duration).join(", ");
        assert_eq!(told, "0 s, 59 s, 1 min 1 s, 1 h 0 min, 2 h 2 min");
    }
}
