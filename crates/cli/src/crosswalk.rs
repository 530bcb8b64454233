//! `wardline crosswalk`: what codes of source systems mean here.

use crate::args::{Crosswalk, CrosswalkAction, CrosswalkLs, CrosswalkStep, Globals};
use crate::exceptions::seen_by_console;
use crate::output::{self, Output};
use crate::through::{Console, not_through};
use crate::{Failure, agree, context, people};
use operations::crosswalk::{self as library, CrosswalkError, MappedCode, MappingProposal, told};
use operations::exceptions::By;
use runtime::Config;
use runtime::codec::Codec;
use schemas::{Criticality, MasterCrosswalk};
use serde_json::{Value, json};
use std::sync::Arc;

/// Executes `wardline crosswalk`.
pub fn execute(globals: &Globals, options: &Crosswalk) -> Result<(), Failure> {
    if let Some(console) = console_of(&options.action)? {
        return context::block_on(by_console(&console, &options.action))?;
    }
    let config = context::running(globals)?;
    if !matches!(options.action, CrosswalkAction::Ls(_)) {
        allowed(&config)?;
    }
    context::block_on(async {
        let mappings = open(config)?;
        match &options.action {
            CrosswalkAction::Ls(options) => list(&mappings, options).await,
            CrosswalkAction::Set(options) => {
                let set = mappings.set(&code(&options.step), Some(&options.to), None, &by(&options.step)).await;
                said(&set.map_err(failure)?, options.step.json)
            }
            CrosswalkAction::Withdraw(step) => {
                said(&mappings.set(&code(step), None, None, &by(step)).await.map_err(failure)?, step.json)
            }
            CrosswalkAction::Approve(options) => {
                let step = &options.step;
                let seen = seen(&mappings, &code(step), options.seen.as_deref()).await?;
                let approved = mappings.approve(&code(step), seen.as_deref(), &by(step)).await;
                said(&approved.map_err(failure)?, step.json)
            }
        }
    })?
}

/// Refuses a change of a mapping, where two people decide it and the console has to know them.
pub(crate) fn allowed(config: &Config) -> Result<(), Failure> {
    people::by_class(config, Criticality::PatientAdjacent, "a mapping that two people decide")
}

fn console_of(action: &CrosswalkAction) -> Result<Option<Console>, Failure> {
    match action {
        CrosswalkAction::Ls(_) => Ok(None),
        CrosswalkAction::Set(options) => Console::of(&options.step.through),
        CrosswalkAction::Approve(options) => Console::of(&options.step.through),
        CrosswalkAction::Withdraw(step) => Console::of(&step.through),
    }
}

async fn by_console(console: &Console, action: &CrosswalkAction) -> Result<(), Failure> {
    let (step, verb, more) = match action {
        CrosswalkAction::Ls(_) => return Err(not_through("this", "leave --console out: it only looks")),
        CrosswalkAction::Set(options) => (&options.step, "set", json!({"to": options.to})),
        CrosswalkAction::Withdraw(step) => (step, "withdraw", json!({})),
        CrosswalkAction::Approve(options) => {
            (&options.step, "approve", json!({"seen": seen_by_console(options.seen.as_deref())?}))
        }
    };
    let mut body = more;
    body["kind"] = json!(step.kind.as_str());
    body["system"] = json!(step.source);
    body["code"] = json!(step.code);
    body["comment"] = json!(step.reason);
    told_by_console(&console.act(&["crosswalk", verb], &body).await?, step.json)
}

/// What a mapping is after a step that a console took.
pub(crate) fn told_by_console(result: &Value, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        output.json(result)?;
    } else {
        output.line(agree::plain(result["mapping"].as_str().unwrap_or_default()))?;
    }
    output.finish()
}

/// The mappings of the installation.
pub(crate) fn open(config: Config) -> Result<library::Crosswalk, Failure> {
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    library::Crosswalk::new(Arc::new(config), codec).map_err(failure)
}

/// The mark of the proposal that a person agrees to. Where none waits, the refusal says so.
pub(crate) async fn seen(
    mappings: &library::Crosswalk,
    code: &MappedCode,
    given: Option<&str>,
) -> Result<Option<String>, Failure> {
    if given.is_some() {
        return Ok(given.map(str::to_owned));
    }
    let mapping = mappings.find(code).await.map_err(failure)?;
    let Some(proposal) = mapping.as_ref().and_then(MappingProposal::of) else { return Ok(None) };
    agree::seen(None, &proposed(&proposal), &proposal.mark).map(Some)
}

/// A proposal for who has to agree to it.
fn proposed(proposal: &MappingProposal) -> Vec<String> {
    let MappingProposal { kind, source_system, code, actor, reason, mark, .. } = proposal;
    let to = |target: &Option<String>| target.clone().unwrap_or_else(|| "nothing".to_owned());
    vec![
        format!("a mapping of the {kind} {code} of {source_system} waits for a second person:"),
        format!("  {:<14} {actor}, {}", "proposed by", output::told_time(proposal.at)),
        format!("  {:<14} {reason}", "reason"),
        format!("  {:<14} {} -> {}", "means", to(&proposal.now), to(&proposal.target)),
        format!("  {:<14} {mark}", "mark"),
    ]
}

/// What is proposed, for who has to agree to some of it.
pub(crate) async fn waiting(config: Config) -> Result<Vec<MappingProposal>, Failure> {
    let all = open(config)?.list().await.map_err(failure)?;
    Ok(all.iter().filter_map(MappingProposal::of).collect())
}

/// A line of each proposal.
pub(crate) fn waiting_row(proposal: &MappingProposal) -> Vec<String> {
    let to = |target: &Option<String>| target.clone().unwrap_or_else(|| "nothing".to_owned());
    vec![
        proposal.kind.clone(),
        proposal.source_system.clone(),
        proposal.code.clone(),
        to(&proposal.now),
        to(&proposal.target),
        agree::plain(&proposal.actor),
        agree::plain(&proposal.reason),
        proposal.mark.clone(),
    ]
}

/// A mapping as JSON, with the mark of what waits.
fn as_json(mapping: &MasterCrosswalk) -> Result<serde_json::Value, Failure> {
    let mut value = serde_json::to_value(mapping).map_err(|error| Failure::new(error, "report this as a defect"))?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("mark".to_owned(), MappingProposal::of(mapping).map(|proposal| proposal.mark).into());
    }
    Ok(value)
}

/// What a mapping is after a step.
pub(crate) fn said(mapping: &MasterCrosswalk, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        output.json(&as_json(mapping)?)?;
    } else {
        output.line(told(mapping))?;
    }
    output.finish()?;
    output::note(&match MappingProposal::of(mapping) {
        Some(proposal) => format!("two people decide a mapping: somebody else has to agree with `{}`", approval(&proposal)),
        None => "whoever waits for it goes on by itself; what was decided before is corrected with `wardline replay plan validate --correct`".to_owned(),
    });
    Ok(())
}

/// What the second person types, bound to what was proposed.
fn approval(proposal: &MappingProposal) -> String {
    let words = [&proposal.kind, &proposal.source_system, &proposal.code, &"--seen".to_owned(), &proposal.mark]
        .map(|word| agree::quoted(&agree::plain(word)));
    format!("wardline crosswalk approve {}", words.join(" "))
}

pub(crate) fn failure(error: CrosswalkError) -> Failure {
    match error.next() {
        Some(next) => Failure::usage(error, next),
        None => Failure::kafka(error),
    }
}

async fn list(mappings: &library::Crosswalk, options: &CrosswalkLs) -> Result<(), Failure> {
    let mut all = mappings.list().await.map_err(failure)?;
    all.retain(|mapping| !options.proposed || mapping.proposal.is_some());
    let mut output = Output::stdout();
    if options.json {
        all.iter().try_for_each(|mapping| output.json(&as_json(mapping)?))?;
    } else {
        let rows: Vec<Vec<String>> = all.iter().map(row).collect();
        output.table(
            &["KIND", "SOURCE", "CODE", "MEANS", "VERSION", "BY", "AGREED", "PROPOSED", "MARK", "REASON"],
            &rows,
        )?;
    }
    output.finish()?;
    if all.is_empty() {
        output::note("no code is mapped: what is sent is recognised by the codes of the ERP");
    }
    Ok(())
}

fn row(mapping: &MasterCrosswalk) -> Vec<String> {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let proposed = mapping.proposal.as_ref().map(|change| {
        let target = change.target.as_deref().unwrap_or("nothing");
        format!("{target} by {}", change.actor)
    });
    vec![
        mapping.kind.clone(),
        mapping.source_system.clone(),
        mapping.code.clone(),
        dash(mapping.target.clone()),
        mapping.meta.revision.to_string(),
        mapping.actor.clone(),
        dash(mapping.approved_by.clone()),
        dash(proposed),
        dash(MappingProposal::of(mapping).map(|proposal| proposal.mark)),
        reason(mapping),
    ]
}

/// Why it means what it means; of a proposal why it was made.
fn reason(mapping: &MasterCrosswalk) -> String {
    let proposed = mapping.proposal.as_ref().map(|change| agree::plain(&change.reason));
    match (mapping.reason.as_str(), proposed) {
        (before, None) => before.to_owned(),
        ("", Some(proposed)) => proposed,
        (before, Some(proposed)) => format!("{before}; proposed: {proposed}"),
    }
}

fn code(step: &CrosswalkStep) -> MappedCode {
    MappedCode { kind: step.kind, source_system: step.source.clone(), code: step.code.clone() }
}

fn by(step: &CrosswalkStep) -> By {
    By { actor: step.actor.clone(), comment: step.reason.clone(), via: "cli" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::CrosswalkProposal;

    #[test]
    fn a_proposal_tells_its_reason_and_how_it_is_agreed_to() {
        let change = CrosswalkProposal { reason: "asked the ward".to_owned(), ..CrosswalkProposal::default() };
        let of = |reason: &str, proposal: Option<CrosswalkProposal>| MasterCrosswalk {
            kind: "item".to_owned(),
            source_system: "ORIS|GENERAL".to_owned(),
            code: "4711".to_owned(),
            reason: reason.to_owned(),
            proposal,
            ..MasterCrosswalk::default()
        };
        for (before, proposal, said) in [
            ("as agreed", None, "as agreed"),
            ("", Some(change.clone()), "asked the ward"),
            ("as agreed", Some(change.clone()), "as agreed; proposed: asked the ward"),
        ] {
            assert_eq!(row(&of(before, proposal)).last().map(String::as_str), Some(said));
        }
        let told = MappingProposal::of(&of("", Some(change))).map(|proposal| (approval(&proposal), proposal.mark));
        let expected =
            told.as_ref().map(|(_, mark)| format!("wardline crosswalk approve item 'ORIS|GENERAL' 4711 --seen {mark}"));
        assert_eq!(told.map(|(command, _)| command), expected);
    }
}
