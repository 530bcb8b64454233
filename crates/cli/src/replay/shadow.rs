//! `wardline replay shadow`: what this version would do differently.

use super::{failure, selection};
use crate::args::ReplayShadow;
use crate::output::{self, Output};
use crate::{Failure, rooms};
use operations::replay::shadow::Example;
use operations::replay::{ReplayError, Replays, ShadowReport, ShadowRequest};
use runtime::Config;
use std::sync::Arc;

/// Refuses when another version is to be asked than this program is.
pub fn is_for_this_version(options: &ReplayShadow) -> Result<(), Failure> {
    request(options)?.is_for_this_version().map_err(failure)
}

/// Executes it.
pub async fn execute(replays: &Arc<Replays>, config: &Config, options: &ReplayShadow) -> Result<(), Failure> {
    let room = rooms::all().into_iter().find(|room| room.info().name == options.room);
    let Some(room) = room else {
        let there = format!("there is no room {}; there are {}", options.room, rooms::names().join(", "));
        return Err(failure(ReplayError::Room(there)));
    };
    let Some(shadow) = room.shadow(config) else {
        return Err(Failure::usage(
            format!("WL-7250: {} decides nothing about events, so two versions of it cannot be compared", options.room),
            "name a processor or an effect room: validate, enrich, erp-post or supplier-fanout",
        ));
    };
    let shadow = shadow.map_err(|error| {
        Failure::usage(
            error,
            format!("correct rooms.{} of the configuration; the shadow uses it as it is", options.room),
        )
    })?;
    let request = request(options)?;
    let spinner = output::spinner("records read");
    let told = spinner.clone();
    let report = replays.shadow(&request, shadow, move |read| told.set_position(read)).await;
    spinner.finish_and_clear();
    let report = report.map_err(failure)?;
    let mut output = Output::stdout();
    if options.json {
        output.json(&report)?;
    } else {
        show(&mut output, &report)?;
    }
    output.finish()?;
    if options.check && report.differs() {
        return Err(Failure::new(
            format!("WL-7251: version {} of {} decides otherwise", report.version, report.room),
            "look at the differences; when they are wanted, say so in the release and go on without --check",
        ));
    }
    Ok(())
}

fn request(options: &ReplayShadow) -> Result<ShadowRequest, Failure> {
    Ok(ShadowRequest {
        room: options.room.clone(),
        topic: options.select.topic.clone(),
        selection: selection(&options.select)?,
        version: options.version.clone(),
    })
}

fn show(output: &mut Output, report: &ShadowReport) -> Result<(), Failure> {
    let ShadowReport { room, version, topic, records, .. } = report;
    output.line(format!(
        "{room} {version} (this program) over {records} records of {topic}; nothing was written, nobody was called"
    ))?;
    output.line(match report.compared_with.as_slice() {
        [] => "  compared with what is on the topics, which does not say which version wrote it".to_owned(),
        known => {
            format!("  compared with what is on the topics; of what was refused there, by version {}", known.join(", "))
        }
    })?;
    let lines = [
        (report.same, "the same"),
        (report.fields_differ, "with other fields, events or effects"),
        (report.newly_refused, "accepted before, not any more"),
        (report.newly_accepted, "not accepted before, accepted now"),
        (report.other_reason, "not accepted either way, for another reason"),
        (report.not_compared, "not compared: nothing on record, or left out as there already"),
    ];
    for (count, text) in lines.into_iter().filter(|(count, _)| *count > 0) {
        output.line(format!("  {count} {text}"))?;
    }
    for change in &report.changes {
        output.line(format!("  {} x {} -> {}", change.records, change.before, change.after))?;
        change.examples.iter().try_for_each(|example| output.line(format!("      {}", place(example))))?;
    }
    for field in &report.fields {
        output.line(format!("  {} x field {}", field.times, field.path))?;
        for example in &field.examples {
            let value = |value: &Option<String>| value.clone().unwrap_or_default();
            let (before, after) = (value(&example.before), value(&example.after));
            output.line(format!("      {before} -> {after}  {}", place(example)))?;
        }
    }
    if report.events_fewer + report.events_more > 0 {
        output.line(format!("  events: {} fewer, {} more", report.events_fewer, report.events_more))?;
    }
    let effects = &report.effects;
    if effects.before + effects.after > 0 {
        output.line(format!(
            "  effects: {} on record, {} asked for; {} new, {} no more",
            effects.before, effects.after, effects.new, effects.gone
        ))?;
    }
    for money in &report.money {
        let (currency, before, after) = (&money.currency, money.before, money.after);
        output.line(format!("  money: {before} {currency} -> {after} {currency} ({:+})", money.difference))?;
    }
    if report.money_unknown > 0 {
        output.line(format!("  money of {} events only the other side can tell", report.money_unknown))?;
    }
    Ok(())
}

fn place(example: &Example) -> String {
    format!("{} {}", example.place, example.event_id)
}
