//! `wardline crosswalk`: what codes of source systems mean here.

use crate::args::{Crosswalk, CrosswalkAction, CrosswalkLs, CrosswalkStep, Globals};
use crate::output::{self, Output};
use crate::{Failure, context};
use operations::crosswalk::{self as library, CrosswalkError, MappedCode, told};
use operations::exceptions::By;
use runtime::Config;
use runtime::codec::Codec;
use schemas::MasterCrosswalk;
use std::sync::Arc;

/// Executes `wardline crosswalk`.
pub fn execute(globals: &Globals, options: &Crosswalk) -> Result<(), Failure> {
    let config = context::running(globals)?;
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
            CrosswalkAction::Approve(step) => {
                said(&mappings.approve(&code(step), &by(step)).await.map_err(failure)?, step.json)
            }
        }
    })?
}

/// The mappings of the installation.
pub(crate) fn open(config: Config) -> Result<library::Crosswalk, Failure> {
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    library::Crosswalk::new(Arc::new(config), codec).map_err(failure)
}

/// What a mapping is after a step.
pub(crate) fn said(mapping: &MasterCrosswalk, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        output.json(mapping)?;
    } else {
        output.line(told(mapping))?;
    }
    output.finish()?;
    output::note(if mapping.proposal.is_some() {
        "two people decide a mapping: somebody else has to agree with `wardline crosswalk approve`"
    } else {
        "whoever waits for it goes on by itself; what was decided before is corrected with `wardline replay plan validate --correct`"
    });
    Ok(())
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
        all.iter().try_for_each(|mapping| output.json(mapping))?;
    } else {
        let rows: Vec<Vec<String>> = all.iter().map(row).collect();
        output.table(&["KIND", "SOURCE", "CODE", "MEANS", "VERSION", "BY", "AGREED", "PROPOSED", "REASON"], &rows)?;
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
        mapping.reason.clone(),
    ]
}

fn code(step: &CrosswalkStep) -> MappedCode {
    MappedCode { kind: step.kind, source_system: step.source.clone(), code: step.code.clone() }
}

fn by(step: &CrosswalkStep) -> By {
    By { actor: step.actor.clone(), comment: step.reason.clone(), via: "cli" }
}
