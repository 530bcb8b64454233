//! `wardline exceptions correct|map`: corrects the event of an exception, or says what its code means.

use super::{decide, show, view, view_failure};
use crate::args::{ExceptionsCorrect, ExceptionsMap, Unmask};
use crate::{Failure, agree, crosswalk, rooms, unmask};
use operations::audit::Shown;
use operations::crosswalk::MappedCode;
use operations::exceptions::{self, Act, By, Choice, CorrectError, Decider, ExceptionsView, Proposal, mapped_code};
use operations::replay::ReplayRoom;
use runtime::Config;
use runtime::codec::Codec;
use std::sync::Arc;

/// Corrects the event of an exception, or agrees to a correction.
pub async fn correct(config: &Config, options: &ExceptionsCorrect) -> Result<(), Failure> {
    let (view, _running) = view(config).await?;
    decide::in_class(config, &view, &options.id, "a correction that two people decide")?;
    let decider = Decider::connect(config, &view).await.map_err(decide::failure)?;
    let by = By { actor: options.actor.clone(), comment: options.reason.clone(), via: "cli" };
    let outcome = if options.approve {
        let id = show::pick(&view, &options.id)?;
        let seen = seen(config, &view, &id, options).await?;
        let choice = Choice::Ids(vec![id]);
        decider.decide(&choice, &Act::ApproveCorrection { seen }, &by).await.map_err(decide::failure)?
    } else {
        let rooms: Vec<ReplayRoom> = rooms::all().iter().map(ReplayRoom::from).collect();
        let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
        let asked = exceptions::correct((config, &codec), (&view, &decider), &rooms, &options.id, &options.set, &by);
        asked.await.map_err(failure)?
    };
    decide::print(&outcome, options.json)
}

/// Maps the code that an exception is about, or agrees to a mapping.
pub async fn map(config: &Config, options: &ExceptionsMap) -> Result<(), Failure> {
    crosswalk::allowed(config)?;
    let (view, _running) = view(config).await?;
    let id = show::pick(&view, &options.id)?;
    let code = named(config, &view, &id, options).await?;
    let by = By { actor: options.actor.clone(), comment: options.reason.clone(), via: "cli" };
    let mappings = crosswalk::open(config.clone())?;
    let mapped = match &options.to {
        Some(target) => mappings.set(&code, Some(target), Some(&id), &by).await,
        None => {
            let seen = crosswalk::seen(&mappings, &code, options.seen.as_deref()).await?;
            mappings.approve(&code, seen.as_deref(), &by).await
        }
    };
    crosswalk::said(&mapped.map_err(crosswalk::failure)?, options.json)
}

/// The mark of the correction that a person agrees to. Where none waits, the refusal says so. What may identify a patient is shown
/// for that once it is on record who is shown it, and why.
async fn seen(
    config: &Config,
    view: &ExceptionsView,
    id: &str,
    options: &ExceptionsCorrect,
) -> Result<Option<String>, Failure> {
    let given = options.seen.as_deref();
    let exception = view.exception(id).await.map_err(view_failure)?;
    let Some(proposal) = exception.as_deref().and_then(Proposal::of) else { return Ok(given.map(str::to_owned)) };
    if given.is_none() && proposal.has_direct() {
        let unmask = Unmask { reason: options.reason.clone(), actor: options.actor.clone() };
        let event_id = exception.as_ref().and_then(|exception| exception.origin_event_id.clone());
        let what = "a proposed correction";
        let shown = Shown { what, event_id, exception_id: Some(id.to_owned()), ..Shown::default() };
        unmask::record(config, &unmask, shown).await?;
    }
    agree::seen(given, &show::proposed(&proposal), proposal.mark.as_deref().unwrap_or_default()).map(Some)
}

async fn named(
    config: &Config,
    view: &ExceptionsView,
    id: &str,
    options: &ExceptionsMap,
) -> Result<MappedCode, Failure> {
    let unclear = || {
        Failure::usage(
            format!("WL-7245: exception {id} does not say which code of which source is to be mapped"),
            format!(
                "say it: `wardline exceptions map {id} --kind KIND --code CODE --to TARGET --reason TEXT`, or, where it has no event, `wardline crosswalk set`"
            ),
        )
    };
    let exception = view.exception(id).await.map_err(view_failure)?.ok_or_else(unclear)?;
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    let value = exception.raw_value.as_ref().ok_or_else(unclear)?;
    let (writer, body) = codec.open(value.as_ref()).await.map_err(|_| unclear())?;
    let event = schemas::codec::to_json(&writer, body).map_err(|_| unclear())?;
    let mut code = mapped_code(&event, &exception.field_paths, options.kind).ok_or_else(unclear)?;
    if let Some(said) = &options.code {
        code.code.clone_from(said);
    }
    Ok(code)
}

fn failure(error: CorrectError) -> Failure {
    match error.next() {
        Some(next) => Failure::usage(error, next),
        None => Failure::kafka(error),
    }
}
